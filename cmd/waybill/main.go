// Command waybill carries events between services through files. It maps failures to exit
// codes and text; what it does is in the packages exporter, importer and exchange.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	_ "time/tzdata" // sites have machines without zone files

	"github.com/alecthomas/kong"
	"github.com/posener/complete"
	"github.com/willabides/kongplete"

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
	Config  []string         `short:"c" group:"everywhere" placeholder:"PATH" env:"WAYBILL_CONFIG" help:"A configuration file, or the folder that holds one per service (default: this folder)." default:"." predictor:"file"`
	JSON    bool             `group:"everywhere" help:"Print JSON instead of tables."`
	Log     string           `group:"everywhere" enum:"error,warn,info,debug" default:"warn" help:"Log level, to standard error (${enum})."`
	Version kong.VersionFlag `group:"everywhere" help:"Print the release and exit."`
	Watch   watchFlags       `embed:"" group:"everywhere"`

	Init     initCommand     `cmd:"" group:"start" help:"Write a commented configuration file for a service."`
	Migrate  migrateCommand  `cmd:"" group:"start" help:"Bring the databases' tables up to date."`
	Doctor   doctorCommand   `cmd:"" group:"start" help:"Check everything that a service needs of its store and its database."`
	Consumer consumerCommand `cmd:"" group:"start" help:"Check a consumer of your own."`
	Help     helpCommand     `cmd:"" group:"start" help:"Print a page of the documentation, or how a command is used."`
	Explain  explainCommand  `cmd:"" group:"start" help:"Say what a state or an error means, and what to do."`

	Export exportCommand `cmd:"" group:"run" help:"Publish everything from the last batch to now."`
	Import importCommand `cmd:"" group:"run" help:"Load everything from the checkpoint to now."`
	Run    runCommand    `cmd:"" group:"run" help:"Run a service's jobs on their schedules, on this machine among others."`
	Jobs   jobsCommand   `cmd:"" group:"run" help:"Show the jobs; run, pause, resume or cancel one."`

	Status    statusCommand    `cmd:"" group:"look" help:"Show each service's position and state."`
	Batches   batchesCommand   `cmd:"" group:"look" help:"List the newest batches of the log."`
	Trace     traceCommand     `cmd:"" group:"look" help:"Follow one patient from the outbox to the consumers' effects."`
	Verify    verifyCommand    `cmd:"" group:"look" help:"Read log and parts again: chain, hashes, counts."`
	Reconcile reconcileCommand `cmd:"" group:"look" help:"Compare the source, the log and the consumers."`

	Partner    partnerCommand    `cmd:"" group:"partners" help:"List the partners, and compare their settings with their folders."`
	Intake     intakeCommand     `cmd:"" group:"partners" help:"Take in the files that a partner has left."`
	Quarantine quarantineCommand `cmd:"" group:"partners" help:"See and decide what was set aside of partners' files."`
	Deliver    deliverCommand    `cmd:"" group:"partners" help:"Write what is new in the log into a partner's files."`

	Rerun   rerunCommand   `cmd:"" group:"repair" help:"Load batches again."`
	Repair  repairCommand  `cmd:"" group:"repair" help:"Write a published batch's lost or damaged files to the store again."`
	Retire  retireCommand  `cmd:"" group:"repair" help:"End a stream whose consumers have moved to a later one."`
	Capture captureCommand `cmd:"" group:"repair" help:"Compare each patient with their last event; repair what the triggers missed."`
	Adopt   adoptCommand   `cmd:"" group:"repair" help:"Let the log continue from a database whose identity pg_upgrade or a move has changed."`
	Prune   pruneCommand   `cmd:"" group:"repair" help:"Delete old data: log, outbox and plans below the newest snapshot; a consumer's records."`

	Completion completionCommand `cmd:"" group:"start" help:"Print what makes a shell complete commands."`
	Man        manCommand        `cmd:"" hidden:"" help:"Print the man page."`
}

// groups are the headings of the help, in its order.
var groups = []kong.Group{
	{Key: "start", Title: "Begin here:"},
	{Key: "run", Title: "Exchange events:"},
	{Key: "look", Title: "Look:"},
	{Key: "partners", Title: "Partners who know only files:"},
	{Key: "repair", Title: "Re-run, repair, clean up:"},
	{Key: "everywhere", Title: "Flags of every command:"},
}

const description = "Events between services that may exchange only files.\n\n" +
	"To begin: waybill init patients, waybill migrate patients, waybill export; more: waybill help operation."

func main() {
	code := run(os.Args[1:], os.Stdout, os.Stderr)
	crashpoint.Report()
	os.Exit(code)
}

// newParser returns the command line's parser. The shell calls the program to complete a line.
func newParser(c *commands, stdout, stderr io.Writer) (*kong.Kong, error) {
	return kong.New(c, kong.Name("waybill"), kong.Description(description), kong.Writers(stdout, stderr),
		kong.ExplicitGroups(groups), kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true}),
		kong.Vars{"version": "waybill " + release()})
}

// run executes one command line and returns its exit code.
func run(arguments []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var c commands
	parser, err := newParser(&c, stdout, stderr)
	if err != nil {
		fmt.Fprintln(stderr, "waybill:", err)
		return exitUsage
	}
	if os.Getenv("COMP_LINE") != "" { // a shell asks for what may follow
		kongplete.Complete(parser, kongplete.WithPredictor("file", complete.PredictFiles("*")))
		return exitDone
	}
	if len(arguments) == 0 {
		arguments = []string{"help"}
	}
	command, err := parser.Parse(arguments)
	if err != nil {
		explain(stderr, usage(err))
		return exitUsage
	}
	people := isTerminal(stderr)
	env := &environment{
		paths: c.Config, json: c.JSON, out: stdout, errors: stderr, log: newLogger(stderr, c.Log, people),
		terminal: people, colour: isTerminal(stdout) && os.Getenv("NO_COLOR") == "",
	}
	defer env.close()
	return env.execute(ctx, command, c.Watch)
}

// usage says which command's help to read.
func usage(err error) error {
	hint := "waybill help"
	if parse, ok := errors.AsType[*kong.ParseError](err); ok {
		if node := parse.Context.Selected(); node != nil {
			hint = "waybill " + node.Path() + " --help"
		}
	}
	return fault.New(fault.Usage, "read", "the command line", err, "`"+hint+"` shows what can be given")
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
	colour   bool // the answer may have colours: https://no-color.org
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
