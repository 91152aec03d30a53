// Command waybill carries events between services through files. It maps failures to exit codes and
// text; the packages exporter, importer and exchange do the work.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	_ "time/tzdata" // some machines have no zone files

	"github.com/alecthomas/kong"
	"github.com/posener/complete"
	"github.com/willabides/kongplete"

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
	Quiet   bool             `short:"q" group:"everywhere" help:"Print an answer only if the command fails: for cron, which mails what is printed."`
	Log     string           `group:"everywhere" enum:"error,warn,info,debug" default:"warn" help:"Log level, to standard error (${enum})."`
	Version kong.VersionFlag `group:"everywhere" help:"Print the release and exit."`
	Watch   watchFlags       `embed:"" group:"everywhere"`

	Init     initCommand     `cmd:"" group:"start" help:"Write a commented configuration file for a service."`
	Migrate  migrateCommand  `cmd:"" group:"start" help:"Bring the databases' tables up to date."`
	Doctor   doctorCommand   `cmd:"" group:"start" help:"Check everything that a service needs of its store and its database."`
	Consumer consumerCommand `cmd:"" group:"start" help:"Check a consumer of your own."`
	Keys     keysCommand     `cmd:"" group:"start" help:"Make and show the keys by which parties know each other's files."`
	Help     helpCommand     `cmd:"" group:"start" help:"Print a page of the documentation, or how a command is used."`
	Explain  explainCommand  `cmd:"" group:"start" help:"Say what a state or an error means, and what to do."`

	Export exportCommand `cmd:"" group:"run" help:"Publish everything from the last batch to now."`
	Import importCommand `cmd:"" group:"run" help:"Load everything from the checkpoint to now."`
	Run    runCommand    `cmd:"" group:"run" help:"Run a service's jobs on their schedules, on this machine among others."`
	Mirror mirrorCommand `cmd:"" group:"run" help:"Copy a log to another store, verified and in order; also one way."`
	Jobs   jobsCommand   `cmd:"" group:"run" help:"Show the jobs; run, pause, resume or cancel one."`

	Serve     serveCommand     `cmd:"" group:"look" help:"Show where each party stands, and what to type, as a page in the browser."`
	Status    statusCommand    `cmd:"" group:"look" help:"Show each service's position and state."`
	Batches   batchesCommand   `cmd:"" group:"look" help:"List the newest batches of the log."`
	Trace     traceCommand     `cmd:"" group:"look" help:"Follow one patient from the outbox to the consumers' effects."`
	Verify    verifyCommand    `cmd:"" group:"look" help:"Read log and parts again: chain, hashes, counts."`
	Open      openCommand      `cmd:"" group:"look" help:"Leave sealed parts in a folder as Parquet that anybody can read; it is kept as a decision."`
	Reconcile reconcileCommand `cmd:"" group:"look" help:"Compare the source, the log and the consumers."`

	Partner    partnerCommand    `cmd:"" group:"partners" help:"List the partners, and compare their settings with their folders."`
	Intake     intakeCommand     `cmd:"" group:"partners" help:"Take in the files that a partner has left."`
	Validate   validateCommand   `cmd:"" group:"partners" help:"Judge a file by the rules of a partner's kit, on the partner's own machine."`
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
func run(arguments []string, stdout, stderr io.Writer) (code int) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var c commands
	parser, err := newParser(&c, stdout, stderr)
	if err != nil {
		fmt.Fprintln(stderr, "waybill:", err)
		return exitUsage
	}
	if os.Getenv("COMP_LINE") != "" { // a shell asks for completions
		kongplete.Complete(parser, kongplete.WithPredictor("file", complete.PredictFiles("*")))
		return exitDone
	}
	if len(arguments) == 0 {
		arguments = []string{"help"}
	}
	command, err := parser.Parse(arguments)
	if err != nil {
		err := usage(err)
		explain(stderr, err, fault.HintOf(err))
		return exitUsage
	}
	if c.Quiet {
		var answer bytes.Buffer
		defer func(out io.Writer) {
			if code != exitDone {
				_, _ = answer.WriteTo(out) // a failure can't be reported anywhere else
			}
		}(stdout)
		stdout = &answer
	}
	people := isTerminal(stderr)
	env := &environment{
		installation: installation{paths: c.Config, flags: givenFlags(command, c.Config), log: newLogger(stderr, c.Log, people)},
		out:          &printer{stdout, c.JSON, isTerminal(stdout) && os.Getenv("NO_COLOR") == "", commandName(command)},
		errors:       stderr, terminal: people,
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
func explain(w io.Writer, err error, hint string) {
	fmt.Fprintf(w, "waybill: %s (%s)\n", err, fault.ClassOf(err))
	if hint != "" {
		fmt.Fprintln(w, "  next:", hint)
	}
}

// environment is passed to every command.
type environment struct {
	installation
	out      *printer
	errors   io.Writer
	terminal bool // errors are read by people

	idle   bool           // another run was running
	served bool           // metrics are served
	noting noting         // where the run's outcome is noted
	pages  *http.ServeMux // served to this machine only while the command runs; nil: nothing
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
