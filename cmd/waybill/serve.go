package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"waybill/cmd/waybill/observe"
	"waybill/cmd/waybill/window"
	"waybill/internal/fault"
)

type serveCommand struct {
	Listen string        `default:":9465" placeholder:"HOST:PORT" help:"Where (default: ${default}, which only this machine reaches)."`
	Every  time.Duration `default:"5s" help:"How often to look, while somebody watches (default: ${default})."`

	Look time.Duration `default:"1m" help:"How often to judge all parties for /metrics (default: ${default})."`

	window.Access `group:"access"`
}

// defaultEvery is how often the window that `run` serves looks at the parties.
const defaultEvery = 5 * time.Second

func (c *serveCommand) Run(ctx context.Context, env *environment) error {
	if c.Every < time.Second || c.Look < time.Second {
		return fault.New(fault.Usage, "serve", "the window", errors.New("--every and --look must be at least 1s"), "")
	}
	if err := c.Check(c.Listen, observe.Local(c.Listen)); err != nil {
		return err
	}
	mux, secure := env.metrics.Mux(), c.TLS()
	mux.Handle("/", env.window(c.Every))
	server, err := observe.Serve(c.Listen, c.Guard(mux), secure, env.log)
	if err != nil {
		return err
	}
	defer server.Close()
	scheme := "http"
	if secure != nil {
		scheme = "https"
	}
	fmt.Fprintf(env.out, "%s://%s/\n", scheme, server.Address)
	env.keepLookout(ctx, "", c.Look, false)()
	return nil
}

// window returns the pages that show the configured parties.
func (env *environment) window(every time.Duration) http.Handler {
	return window.New(&viewer{env: env}, every, env.elsewhere().flags, env.log).Pages()
}
