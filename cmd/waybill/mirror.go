package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"waybill/exchange/mirror"
	"waybill/internal/fault"
	"waybill/internal/humanize"
	"waybill/internal/setting"
	"waybill/internal/spool"
	"waybill/jobs"
	"waybill/schemas"
)

// storesFolder is the folder of the files that name stores, next to the configuration.
const storesFolder = "stores"

// mirrorConfig is such a file: a store as in a service's file, and how it is mirrored.
type mirrorConfig struct {
	place    `yaml:",inline"`
	Ledger   string `yaml:"ledger"`   // nothing is read from this store: this folder keeps what was sent
	Receipts bool   `yaml:"receipts"` // receipts are copied back from this store
}

type mirrorCommand struct {
	From   string `arg:"" help:"Where the log lies: a service, or the name of a file in the folder stores."`
	To     string `arg:"" help:"Where it is copied to: the name of a file in the folder stores, or a service."`
	Stream string `placeholder:"NAME" help:"One stream (default: all; with --again, the newest)."`
	Again  string `placeholder:"N..M" help:"Copy these batches once more, and the floors: what was lost behind a store that is not read."`
}

func (c *mirrorCommand) Run(ctx context.Context, env *environment) error {
	list, err := env.mirror(ctx, *c)
	return errors.Join(env.out.printMirror(list, err != nil), err)
}

// mirror copies each stream's log.
func (env *environment) mirror(ctx context.Context, c mirrorCommand) (list []mirror.Summary, failed error) {
	list = []mirror.Summary{}
	from, err := env.mirrored(c.From)
	if err != nil {
		return list, err
	}
	to, err := env.mirrored(c.To)
	if err != nil {
		return list, err
	}
	streams := schemas.Streams()
	switch {
	case c.Stream != "" && schemas.ContractOf(c.Stream) == nil:
		return list, fault.New(fault.Usage, "read", "--stream", fmt.Errorf("this release has %s, not %q", strings.Join(streams, ", "), c.Stream), "")
	case c.Stream != "":
		streams = []string{c.Stream}
	case c.Again != "":
		streams = streams[len(streams)-1:]
	}
	for _, stream := range streams {
		from.stream, to.stream = stream, stream
		s, err := env.mirrorStream(ctx, from, to, c)
		if s.Stream = stream; err != nil || s.Last >= 0 {
			list = append(list, s)
		}
		failed = errors.Join(failed, err)
	}
	return list, failed
}

func (env *environment) mirrorStream(ctx context.Context, from, to *mirrorConfig, c mirrorCommand) (s mirror.Summary, err error) {
	near, err := from.openStore(&env.installation)
	if err != nil {
		return s, err
	}
	far, err := to.openStore(&env.installation)
	if err != nil {
		return s, err
	}
	folder, err := spool.Open(from.Spool, "mirror")
	if err != nil {
		return s, err
	}
	defer folder.Close()
	config := mirror.Config{
		From: env.metrics.Store(c.From, near, env.log), Trust: from.Trust, To: env.metrics.Store(c.To, far, env.log), Delete: far, Dir: folder.Dir, Now: time.Now,
	}
	if to.Receipts {
		config.Back = near
	}
	if to.Ledger != "" {
		config.Ledger = filepath.Join(to.Ledger, to.stream+".jsonl")
	}
	m, err := mirror.New(config)
	if err != nil {
		return s, err
	}
	if c.Again == "" {
		return m.Run(ctx)
	}
	first, last, err := batchRange(c.Again)
	if err != nil {
		return s, err
	}
	return m.Again(ctx, first, last)
}

// mirrored returns the store of that name: a file in the folder stores, or a service.
func (on *installation) mirrored(name string) (*mirrorConfig, error) {
	for _, folder := range on.folders(storesFolder) {
		path := filepath.Join(folder, name+".yaml")
		data, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) || name != filepath.Base(name) {
			continue
		}
		if err != nil {
			return nil, fault.New(fault.Usage, "read", path, fault.Bare(err), "let this user read it")
		}
		return readMirrored(path, data)
	}
	list, err := on.configs(name)
	if err != nil {
		return nil, fault.New(fault.Usage, "find", "store "+name, fmt.Errorf("no %s/%s.yaml, and no service: %w", storesFolder, name, err), "`waybill help mirror.md` shows how stores are named")
	}
	return &mirrorConfig{place: list[0].place}, nil
}

func readMirrored(path string, data []byte) (*mirrorConfig, error) {
	c := &mirrorConfig{place: defaults().place}
	if err := setting.Load(data, c); err != nil {
		return nil, fault.New(fault.Usage, "read", path, err, "`waybill help mirror.md` lists the settings")
	}
	c.path = path
	var err error
	switch {
	case c.Store == "":
		err = setting.Errorf("store", "name the place where the files lie")
	case c.StorePassword != "" && c.StorePasswordFile != "":
		err = setting.Errorf("store_password", "give either store_password or store_password_file")
	case c.Database != "" || c.DatabaseFile != "" || c.Sign != nil || c.Seal != nil || c.Open != nil:
		err = setting.Errorf("store", "a store has neither a database nor keys: a mirror signs nothing, and copies sealed parts as they are")
	case c.Ledger != "" && c.Receipts:
		err = setting.Errorf("receipts", "nothing is read from a store that has a ledger")
	default:
		err = setting.In("trust", c.Trust.Validate())
	}
	if err != nil {
		return nil, fault.New(fault.Usage, "check", path, setting.WithLine(err, data), "")
	}
	return c, nil
}

// runMirror does the job "mirror FROM TO".
func runMirror(ctx context.Context, env *environment, names string) (jobs.Result, error) {
	from, to, _ := strings.Cut(names, " ")
	list, err := env.mirror(ctx, mirrorCommand{From: from, To: to})
	result := jobs.Result{Idle: true}
	for _, s := range list {
		result.Idle = result.Idle && s.Batches+s.Floors+s.Receipts == 0
		result.Text = strings.TrimPrefix(result.Text+fmt.Sprintf(", %s up to %d", humanize.Plural(s.Batches, "batch", "batches"), s.Last), ", ")
	}
	return result, err
}

func (out *printer) printMirror(list []mirror.Summary, failed bool) error {
	if out.json {
		return out.printJSON(list)
	}
	if len(list) == 0 && !failed {
		fmt.Fprintln(out, "the log is empty; nothing to copy")
	}
	t := out.table("STREAM", "BATCHES", "PARTS", "SIZE", "UP TO", "FLOORS", "DELETED", "RECEIPTS")
	for _, s := range list {
		t.row(s.Stream, humanize.Count(s.Batches), humanize.Count(s.Parts), size(s.Bytes), s.Last, humanize.Count(s.Floors), humanize.Count(s.Deleted), humanize.Count(s.Receipts))
	}
	err := t.print()
	for _, s := range list {
		if s.Note != "" {
			fmt.Fprintln(out, s.Note)
		}
	}
	return err
}
