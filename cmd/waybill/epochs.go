package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"filippo.io/age"

	"waybill/exchange"
	"waybill/exchange/seal"
	"waybill/exchange/trust"
	"waybill/exporter"
	"waybill/internal/decision"
	"waybill/internal/fault"
	"waybill/internal/spool"
	"waybill/partner"
)

type keysRotateCommand struct {
	Folder string `arg:"" help:"The folder that the settings name, with a key for each epoch." predictor:"file"`
}

// Run makes the next key of a folder. A newest secret seals from the next batch on, and the signers in a folder all sign.
func (c *keysRotateCommand) Run(_ context.Context, env *environment) error {
	files, err := trust.Files(c.Folder)
	if err != nil {
		return err
	}
	newest, now := files[len(files)-1], time.Now()
	if newest == c.Folder {
		return fault.New(fault.Usage, "rotate", c.Folder, errors.New("it is one key, not a folder of one for each epoch"),
			"make a folder with mode 0700, move the file into it, and name the folder in the settings")
	}
	if name := filepath.Base(newest); name >= now.UTC().Format(epochForm) {
		return fault.New(fault.Usage, "rotate", c.Folder, fmt.Errorf("the next key's name would come before %s, so that it would not be the newest", name),
			"check this machine's clock, or rename that file: names begin with the time, as in "+now.UTC().Format(epochForm)+".key")
	}
	kind := "sign"
	if _, err := trust.ReadPrivate(newest); err != nil {
		if _, err := seal.ReadSecret(newest); err != nil {
			return err
		}
		kind = "open"
	}
	return (&keysNewCommand{For: kind, File: c.Folder}).make(env, now)
}

type keysDestroyCommand struct {
	File   string `arg:"" help:"The key's file." predictor:"file"`
	Reason string `required:"" placeholder:"TEXT" help:"Why; kept with the decision."`
}

// destroyedKey is a key that is no more.
type destroyedKey struct {
	shownKey
	File string   `json:"file"`
	Logs []string `json:"logs"` // services whose logs were read for parts that need the key
}

// Run deletes a key. The decision is noted before.
func (c *keysDestroyCommand) Run(ctx context.Context, env *environment) error {
	shown, err := showKey(c.File)
	if err != nil {
		return err
	}
	parties, err := env.keyHolders()
	if err != nil {
		return err
	}
	answer := destroyedKey{shownKey: shown, File: c.File, Logs: []string{}}
	if err := c.spareNewest(parties); err != nil {
		return err
	}
	if _, err := trust.ReadPrivate(c.File); err != nil {
		if err := c.spareNeeded(ctx, env, parties, &answer); err != nil {
			return err
		}
	}
	for _, party := range parties {
		if err := party.decide(ctx, decision.Decision{Kind: "destroy", Subject: "the key " + shown.Key, Reason: c.Reason, Person: person()}); err != nil {
			return err
		}
	}
	if err := os.Remove(c.File); err != nil {
		return fault.New(fault.Usage, "destroy", c.File, fault.Bare(err), "")
	}
	return env.out.answer(answer, "%s is destroyed; copies of it, in backups or on other machines, are yours to destroy", c.File)
}

// keyHolders are the parties whose logs may need a key: the services, and partners with a log of their own.
func (on *installation) keyHolders() ([]*config, error) {
	parties, err := on.configs("")
	if err != nil {
		return nil, err
	}
	partners, err := partner.List(on.partnerFolders())
	for _, p := range partners {
		if p.Deliver == nil || p.Service != "" {
			continue
		}
		queue, err := on.queue(p)
		if err != nil {
			return nil, err
		}
		parties = append(parties, queue)
	}
	return parties, err
}

// spareNewest refuses to destroy a file that settings name, or the newest one of a folder that they name.
func (c *keysDestroyCommand) spareNewest(parties []*config) error {
	doomed, err := os.Stat(c.File)
	if err != nil {
		return c.refuse(fault.Bare(err), "")
	}
	for _, party := range parties {
		for _, path := range party.keyPaths() {
			files, err := trust.Files(path)
			if err != nil {
				return err
			}
			if newest, err := os.Stat(files[len(files)-1]); err == nil && os.SameFile(newest, doomed) {
				return c.refuse(fmt.Errorf("it is the newest key of %s, which the settings of %s name", path, party.Service),
					"`waybill keys rotate FOLDER` makes the next; a file that the settings name itself, take out of them")
			}
		}
	}
	return nil
}

// spareNeeded refuses to destroy a key while a log that is configured here has a part that is sealed to it.
func (c *keysDestroyCommand) spareNeeded(ctx context.Context, env *environment, parties []*config, answer *destroyedKey) error {
	key, err := seal.ReadSecret(c.File)
	if err != nil {
		return err
	}
	d := &doomed{c, key.ID(), seal.Keys{key.X25519Identity}, map[string][]string{}}
	for _, party := range parties {
		opening, err := party.opening()
		if err != nil {
			return err
		}
		d.keys = append(d.keys, slices.DeleteFunc(opening.Keys, func(k *age.X25519Identity) bool { return k.Recipient().String() == d.public })...)
	}
	for _, party := range parties {
		for _, of := range party.each() {
			if err := d.unneeded(ctx, env, of); err != nil {
				return err
			}
			answer.Logs = append(answer.Logs, of.label())
		}
	}
	return nil
}

// doomed is a key that logs are searched for. Most parties follow the same log, of which each part is fetched once.
type doomed struct {
	*keysDestroyCommand
	public string
	keys   seal.Keys           // it, and those of all parties
	opens  map[string][]string // public keys that open a part, by the part's hash
}

// unneeded reads the parts of a log from its floor on, and refuses at the first that the key opens. If the party opens with this key, a
// newer one must open a part: a store that hides what came last must not have us destroy the key that it needs.
func (c *doomed) unneeded(ctx context.Context, env *environment, party *config) error {
	opening, err := party.opening()
	if err != nil {
		return err
	}
	var own []string
	for _, key := range opening.Keys {
		own = append(own, key.Recipient().String())
	}
	uses := slices.Contains(own, c.public)
	if uses && party.Export == nil && !party.Trust.Demands() {
		return c.refuse(fmt.Errorf("%s trusts no signatures, so anybody who can write to the store can say what was pruned", party.Service), "set trust.keys first")
	}
	place, err := party.openStore(&env.installation)
	if err != nil {
		return err
	}
	reader := env.reader(party, place)
	begins, err := reader.Begins(ctx)
	if err != nil {
		return err
	}
	if party.Export != nil {
		if begins, err = c.unplanned(ctx, party, begins); err != nil {
			return err
		}
	}
	opened, err := c.readParts(ctx, party, reader, begins, own)
	if err == nil && uses && !opened {
		err = c.refuse(fmt.Errorf("no part of %s is sealed to a newer key yet", party.label()),
			"`waybill keys rotate FOLDER`, have the producer name the new key in place of this one, and `waybill export --snapshot`")
	}
	return err
}

// unplanned refuses a key to which the producer's database has sealed a batch that may still be written again. It returns where to
// begin to read: the store's floor may be anybody's.
func (c *doomed) unplanned(ctx context.Context, party *config, begins int64) (int64, error) {
	url, err := party.databaseURL()
	if err != nil {
		return 0, err
	}
	floor, batch, err := exporter.SealedTo(ctx, url, party.stream, c.public)
	if err == nil && batch >= 0 {
		err = c.above(party, fmt.Sprintf("batch %d", batch), floor)
	}
	return min(begins, floor), err
}

// readParts reports whether another of the party's keys opens a part. One that the doomed key opens is an error, as is one that can't be
// read.
func (c *doomed) readParts(ctx context.Context, party *config, reader *exchange.Reader, begins int64, own []string) (opened bool, err error) {
	folder, err := spool.Open(party.Spool, "keys")
	if err != nil {
		return false, err
	}
	defer folder.Close()
	for entry, err := range reader.Entries(ctx, begins, -1) {
		if err != nil {
			return false, err
		}
		for _, p := range entry.Manifest.Parts {
			by, read := c.opens[p.SHA256]
			if !read {
				if by, err = reader.Opening(c.keys).OpenedBy(ctx, p, folder.Dir); err != nil {
					return false, err
				}
				c.opens[p.SHA256] = by
			}
			if slices.Contains(by, c.public) {
				return false, c.above(party, fmt.Sprintf("batch %d", entry.Manifest.Batch), begins)
			}
			opened = opened || slices.ContainsFunc(by, func(key string) bool { return slices.Contains(own, key) })
		}
	}
	return opened, nil
}

func (c *keysDestroyCommand) above(party *config, batch string, floor int64) error {
	begins := "was never pruned"
	if floor > 0 {
		begins = fmt.Sprintf("begins at batch %d", floor)
	}
	return c.refuse(fmt.Errorf("%s of %s is sealed to it, and that log %s", batch, party.label(), begins),
		"the floor must pass it: at the producer `waybill export --snapshot`, sealed to the next key, and `waybill prune` once that batch is old enough")
}

func (c *keysDestroyCommand) refuse(cause error, hint string) error {
	return fault.New(fault.Usage, "destroy", c.File, cause, hint)
}
