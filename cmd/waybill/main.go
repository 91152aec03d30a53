// Command waybill carries events between services through files. It maps failures to exit
// codes and text; what it does is in the packages exporter, importer and exchange.
package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	_ "time/tzdata" // sites have machines without zone files

	"github.com/alecthomas/kong"

	"waybill/cmd/waybill/observe"
	"waybill/exchange/guard"
	"waybill/importer"
	"waybill/internal/crashpoint"
	"waybill/internal/fault"
)

// Exit codes; docs/operation.md explains them.
const (
	exitDone      = 0
	exitUsage     = 2
	exitPoison    = 3
	exitTransient = 4
	exitLate      = 5
	exitHeld      = 6
)

type commands struct {
	Config []string   `short:"c" placeholder:"PATH" env:"WAYBILL_CONFIG" help:"A configuration file, or the folder that holds one per service (default: this folder)." default:"."`
	JSON   bool       `help:"Print JSON instead of tables."`
	Log    string     `enum:"error,warn,info,debug" default:"warn" help:"Log level, to standard error (${enum})."`
	Watch  watchFlags `embed:""`

	Init       initCommand       `cmd:"" help:"Write a commented configuration file for a service."`
	Migrate    migrateCommand    `cmd:"" help:"Bring the databases' tables up to date."`
	Capture    captureCommand    `cmd:"" help:"Compare each patient with their last event; repair what the triggers missed."`
	Adopt      adoptCommand      `cmd:"" help:"Let the log continue from a database whose identity pg_upgrade or a move has changed."`
	Export     exportCommand     `cmd:"" help:"Publish everything from the last batch to now."`
	Import     importCommand     `cmd:"" help:"Load everything from the checkpoint to now."`
	Run        runCommand        `cmd:"" help:"Run a service's jobs on their schedules, on this machine among others."`
	Jobs       jobsCommand       `cmd:"" help:"Show the jobs; run, pause, resume or cancel one."`
	Deliver    deliverCommand    `cmd:"" help:"Write what is new in the log into a partner's files."`
	Intake     intakeCommand     `cmd:"" help:"Take in the files that a partner has left."`
	Quarantine quarantineCommand `cmd:"" help:"See and decide what was set aside of partners' files."`
	Partner    partnerCommand    `cmd:"" help:"List the partners, and compare their settings with their folders."`
	Rerun      rerunCommand      `cmd:"" help:"Load batches again."`
	Repair     repairCommand     `cmd:"" help:"Write a published batch's lost or damaged files to the store again."`
	Prune      pruneCommand      `cmd:"" help:"Delete old data: log, outbox and plans below the newest snapshot; a consumer's records."`
	Status     statusCommand     `cmd:"" help:"Show each service's position and state."`
	Batches    batchesCommand    `cmd:"" help:"List the newest batches of the log."`
	Verify     verifyCommand     `cmd:"" help:"Read log and parts again: chain, hashes, counts."`
	Doctor     doctorCommand     `cmd:"" help:"Check everything that a service needs of its store and its database."`
	Reconcile  reconcileCommand  `cmd:"" help:"Compare the source, the log and the consumers."`
	Trace      traceCommand      `cmd:"" help:"Follow one patient from the outbox to the consumers' effects."`
	Version    versionCommand    `cmd:"" help:"Print the release."`
}

func main() {
	code := run(os.Args[1:], os.Stdout, os.Stderr)
	crashpoint.Report()
	os.Exit(code)
}

// run executes one command line and returns its exit code.
func run(arguments []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var c commands
	parser, err := kong.New(&c, kong.Name("waybill"), kong.Writers(stdout, stderr), kong.UsageOnError(),
		kong.Description("Events between services that may exchange only files."))
	if err != nil {
		fmt.Fprintln(stderr, "waybill:", err)
		return exitUsage
	}
	command, err := parser.Parse(arguments)
	if err != nil {
		fmt.Fprintln(stderr, "waybill:", err)
		return exitUsage
	}
	people := isTerminal(stderr)
	env := &environment{paths: c.Config, json: c.JSON, out: stdout, errors: stderr, terminal: people, log: newLogger(stderr, c.Log, people)}
	defer env.close()
	return env.execute(ctx, command, c.Watch)
}

func exitCode(err error) int {
	switch fault.ClassOf(err) {
	case fault.Usage:
		return exitUsage
	case fault.Poison:
		return exitPoison
	case fault.NotYet:
		return exitLate
	case fault.Held:
		return exitHeld
	default:
		return exitTransient
	}
}

// explain prints what failed, and below it what to do.
func explain(w io.Writer, err error) {
	fmt.Fprintf(w, "waybill: %s (%s)\n", err, fault.ClassOf(err))
	if hint := fault.HintOf(err); hint != "" {
		fmt.Fprintln(w, "  next:", hint)
	}
}

// environment is what every command gets.
type environment struct {
	paths    []string
	json     bool
	out      io.Writer
	errors   io.Writer
	terminal bool // errors are read by people
	log      *slog.Logger
	metrics  *observe.Metrics

	service string       // the one that the command is for; "" for several, or none
	idle    bool         // another run was running
	noting  noting       // where its outcome is kept
	policy  guard.Policy // how patient stores are; the zero value is the default
	opened  []io.Closer
	loaded  func(importer.BatchSummary) // if set, is called for each batch that was loaded
}

// close says goodbye to the stores. That this fails changes nothing that was done.
func (env *environment) close() {
	for _, place := range env.opened {
		_ = place.Close()
	}
}

type versionCommand struct{}

func (versionCommand) Run(env *environment) error {
	_, err := fmt.Fprintln(env.out, "waybill", release())
	return err
}

// release is the module's version, or the commit of a build from a checkout.
func release() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	for _, setting := range info.Settings {
		if setting.Key == "vcs.revision" {
			return "0.1.0+" + setting.Value[:min(12, len(setting.Value))]
		}
	}
	return "0.1.0"
}
