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
	"waybill/internal/progress"
	"waybill/internal/span"
)

// watchFlags say how a command is observed; see docs/observability.md.
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
	if env.served = flags.Metrics != ""; env.served {
		mux := env.metrics.Mux()
		server, err := observe.Serve(flags.Metrics, mux, nil, env.log)
		if fault.ClassOf(err) == fault.Usage {
			return err
		}
		if err != nil { // another run has the address: the work matters more than the metrics
			env.log.Warn(err.Error(), "hint", env.typed(fault.HintOf(err)))
		}
		defer server.Close()
		if server != nil && observe.Local(flags.Metrics) {
			env.pages = mux
		}
	}
	if env.terminal {
		bars := &bars{out: env.errors}
		defer bars.clear()
		ctx = progress.With(ctx, bars.say)
	}
	command.BindTo(ctx, (*context.Context)(nil))
	return command.Run(env)
}

// leaveMetrics writes the textfile. A failure is only logged, because the run is already over.
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

// report prints what failed and what to do: as text on a terminal, otherwise as a line of the log.
func (env *environment) report(err error) {
	hint := env.typed(fault.HintOf(err))
	if env.terminal {
		explain(env.errors, err, hint)
		return
	}
	env.log.Error(err.Error(), "class", fault.ClassOf(err).String(), "hint", hint, "next", fault.CommandIn(hint), "exit", exitCode(err))
}

func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// newLogger logs as text for people and as JSON for others, with durations in seconds.
func newLogger(w io.Writer, level string, people bool) *slog.Logger {
	options := &slog.HandlerOptions{Level: new(slog.LevelVar)}
	_ = options.Level.(*slog.LevelVar).UnmarshalText([]byte(level)) // kong has checked the value
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
