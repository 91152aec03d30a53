package main

import (
	"context"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/alecthomas/kong"
	"golang.org/x/term"

	"waybill/cmd/waybill/observe"
	"waybill/internal/fault"
	"waybill/internal/span"
)

// watchFlags say who watches a command; docs/observability.md explains what there is to see.
type watchFlags struct {
	Metrics     string `placeholder:"HOST:PORT" env:"WAYBILL_METRICS" help:"Serve /metrics and /healthz there while the command runs; :PORT for this machine alone."`
	MetricsFile string `placeholder:"PATH" env:"WAYBILL_METRICS_FILE" help:"Write metrics to this textfile (*.prom) for node_exporter at the end."`
}

// execute runs a command with its metrics, traces and log, and returns its exit code.
func (env *environment) execute(ctx context.Context, command *kong.Context, flags watchFlags) int {
	name, started := commandName(command), time.Now()
	env.metrics = observe.New(name, release(), time.Now)
	provider, flush := observe.Tracing(ctx, release(), os.Getenv, env.log)
	defer flush()
	ctx, run := provider.Tracer("waybill").Start(ctx, "waybill "+name)
	if id := run.SpanContext(); id.IsValid() {
		env.log = env.log.With("trace_id", id.TraceID().String())
	}
	err := env.watched(ctx, command, flags)
	env.note(ctx, env.idle, err)
	run.SetAttributes(span.Service.String(env.service))
	span.End(run, err)
	env.metrics.Ran(env.service, started, env.idle, err)
	env.leaveMetrics(flags.MetricsFile)
	if err != nil {
		env.report(err)
		return exitCode(err)
	}
	env.log.Info("finished", "command", name, "duration", time.Since(started))
	return exitDone
}

func (env *environment) watched(ctx context.Context, command *kong.Context, flags watchFlags) error {
	if flags.MetricsFile != "" {
		if err := observe.CheckFile(flags.MetricsFile); err != nil {
			return err
		}
	}
	if flags.Metrics != "" {
		server, err := env.metrics.Serve(flags.Metrics, env.log)
		if fault.ClassOf(err) == fault.Usage {
			return err
		}
		if err != nil { // another run's: this one matters more than that somebody watches it
			env.log.Warn(err.Error(), "hint", fault.HintOf(err))
		}
		defer server.Close()
	}
	command.BindTo(ctx, (*context.Context)(nil))
	return command.Run(env)
}

// leaveMetrics writes the textfile. The run is over: a failure to write it is logged and changes
// nothing else.
func (env *environment) leaveMetrics(path string) {
	if path == "" || observe.CheckFile(path) != nil {
		return
	}
	if err := env.metrics.WriteFile(path); err != nil {
		env.log.Warn(err.Error())
	}
}

// commandName is the command without its arguments: "rerun import".
func commandName(command *kong.Context) string {
	name, _, _ := strings.Cut(command.Command(), " <")
	return name
}

// report tells what failed and what to do: people on a terminal, and others in a line of the log.
func (env *environment) report(err error) {
	if env.terminal {
		explain(env.errors, err)
		return
	}
	env.log.Error(err.Error(), "class", fault.ClassOf(err).String(), "hint", fault.HintOf(err), "exit", exitCode(err))
}

func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// newLogger logs as text for people and as JSON for others, with durations in seconds.
func newLogger(w io.Writer, level string, people bool) *slog.Logger {
	options := &slog.HandlerOptions{Level: new(slog.LevelVar)}
	_ = options.Level.(*slog.LevelVar).UnmarshalText([]byte(level)) // kong has checked it against the enum
	if people {
		return slog.New(slog.NewTextHandler(w, options))
	}
	options.ReplaceAttr = func(_ []string, a slog.Attr) slog.Attr {
		if a.Value.Kind() == slog.KindDuration {
			a.Value = slog.Float64Value(a.Value.Duration().Seconds())
		}
		return a
	}
	return slog.New(slog.NewJSONHandler(w, options))
}
