package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"waybill/internal/fault"
	"waybill/partner/kit"
)

// validateCommand is for partners, who have a kit but no configuration: it reads only the rules and the file.
type validateCommand struct {
	File  string `arg:"" help:"The file, as it would be sent."`
	Rules string `placeholder:"PATH" default:"rules.yaml" help:"The rules of the kit (default: ${default})." predictor:"file"`
}

func (c *validateCommand) Run(ctx context.Context, env *environment) error {
	rules, err := kit.Read(c.Rules)
	if err != nil {
		return err
	}
	v, err := rules.Intake.Validate(ctx, rules.Partner, c.File, time.Now())
	if err != nil {
		return err
	}
	if env.out.json {
		err = env.out.printJSON(v)
	} else {
		_, err = fmt.Fprint(env.out, kit.Text(v))
	}
	if err == nil && !v.Good() {
		err = fault.New(fault.Poison, "validate", v.File, errors.New("not all of it can be taken"), "correct what is listed, and try again")
	}
	return err
}
