package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"waybill/exchange"
	"waybill/exchange/seal"
	"waybill/exchange/trust"
	"waybill/internal/fact"
	"waybill/internal/fault"
	"waybill/internal/humanize"
	"waybill/internal/spool"
	"waybill/schemas"
)

type keysCheckCommand struct {
	Service string `arg:"" optional:"" help:"One service (default: all that are configured)."`
}

// checkedKeys has the findings on a party's keys.
type checkedKeys struct {
	Service string      `json:"service"`
	Keys    []fact.Fact `json:"keys"`
}

// Run tries each configured key, and fails if one does not do what it is for.
func (c *keysCheckCommand) Run(ctx context.Context, env *environment) error {
	parties, err := env.configs(c.Service)
	if err != nil {
		return err
	}
	list, failed := []checkedKeys{}, 0
	for _, party := range parties {
		keys := env.advisedFacts(party.examineKeys(ctx, env))
		list = append(list, checkedKeys{party.Service, keys})
		failed += len(slices.DeleteFunc(slices.Clone(keys), func(f fact.Fact) bool { return !f.Fails }))
	}
	if err := env.out.printCheckedKeys(list); err != nil {
		return err
	}
	if failed > 0 {
		return fault.New(fault.Usage, "check", "keys", fmt.Errorf("%s", humanize.Plural(int64(failed), "thing fails", "things fail")), "follow the advice next to each FAIL")
	}
	return nil
}

func (out *printer) printCheckedKeys(list []checkedKeys) error {
	if out.json {
		return out.printJSON(list)
	}
	var err error
	for _, of := range list {
		if len(of.Keys) == 0 {
			fmt.Fprintf(out, "%s: no keys\n", of.Service)
			continue
		}
		fmt.Fprintf(out, "%s: keys\n", of.Service)
		err = errors.Join(err, out.facts(of.Keys).print())
	}
	return err
}

// examineKeys says who signs and who reads, how old the keys are, and what they do on the log as it is.
func (c *config) examineKeys(ctx context.Context, env *environment) []fact.Fact {
	facts := []fact.Fact{}
	if c.Sign != nil {
		facts = append(facts, c.examineSigners(ctx)...)
	}
	if c.Seal != nil {
		facts = append(facts, fact.Fact{Name: "seals", Value: c.Seal.describe()})
	}
	if !c.Trust.Demands() && c.Seal == nil && c.Open == nil {
		return facts
	}
	place, err := c.openStore(&env.installation)
	if err != nil {
		return append(facts, fact.Failed("log", err))
	}
	reader := env.reader(c, place)
	last, err := reader.Last(ctx)
	if errors.Is(err, exchange.ErrNotFound) {
		return append(facts, fact.Fact{Name: "log", Value: "it is empty"})
	}
	if err != nil {
		return append(facts, fact.Failed("trusts", err))
	}
	if c.Trust.Demands() {
		facts = append(facts, fact.Fact{Name: "trusts", Value: fmt.Sprintf("batch %d, the newest, which is signed by %s", last.Manifest.Batch, signersOf(last))})
	}
	if c.Seal != nil || c.Open != nil {
		facts = append(facts, c.examineOpening(ctx, reader, last))
	}
	return facts
}

// examineSigners has each key sign something.
func (c *config) examineSigners(ctx context.Context) (facts []fact.Fact) {
	files, err := trust.AllFiles(c.Sign.Keys)
	if err != nil {
		facts = append(facts, fact.Failed("signs", err))
	}
	for _, file := range files {
		key, err := trust.ReadPrivate(file)
		if err != nil {
			facts = append(facts, fact.Failed("signs", err))
			continue
		}
		facts = append(facts, fact.Fact{Name: "signs", Value: key.Public().Name + ", " + ageOf(file)})
	}
	for _, command := range c.Sign.Commands {
		f := fact.Fact{Name: "signs", Value: command.Key.Name + ", by " + command.Args[0]}
		if _, err := command.Sign(ctx, []byte("waybill keys check\n")); err != nil {
			f = fact.Failed("signs", err)
		}
		facts = append(facts, f)
	}
	return facts
}

func (s *sealConfig) describe() string {
	readers := []string{}
	for _, name := range slices.Sorted(maps.Keys(s.Readers)) {
		readers = append(readers, fmt.Sprintf("%s (%s)", name, humanize.Plural(int64(len(s.Readers[name].Keys)), "key", "keys")))
	}
	return "for " + strings.Join(readers, ", ")
}

// keysInWords says who signs and who reads, and how old keys are; "" if nothing is signed or sealed. It reads the files alone, so
// that `status` may ask often; of the store, [config.opensInWords] reads the beginning of a part.
func (p *place) keysInWords() string {
	var words []string
	if p.Sign != nil {
		for _, command := range p.Sign.Commands {
			words = append(words, "signs with "+command.Key.Name)
		}
		if len(p.Sign.Keys) > 0 {
			words = append(words, "signs with "+inWords(p.Sign.Keys))
		}
	}
	if p.Trust.Demands() {
		names := []string{}
		for _, key := range p.Trust.Keys {
			names = append(names, cmp.Or(key.Name, key.String()))
		}
		words = append(words, "trusts "+strings.Join(names, ", "))
	}
	if p.Seal != nil {
		words = append(words, "seals "+p.Seal.describe())
	}
	if paths := p.openPaths(); len(paths) > 0 {
		words = append(words, "opens with "+inWords(paths))
	}
	return strings.Join(words, "; ")
}

// opensInWords says whether a party opens what the newest batch has for it, sealed; "" if that has nothing.
func (c *config) opensInWords(ctx context.Context, reader *exchange.Reader, newest *schemas.Manifest) string {
	parts := c.partsOf(newest)
	if len(parts) == 0 || parts[0].Seal == nil {
		return ""
	}
	opening, err := c.opening()
	if err == nil {
		err = reader.Opening(opening.Keys).Opens(ctx, parts[0])
	}
	if err != nil {
		return fmt.Sprintf("; can't open batch %d: %v", newest.Batch, err)
	}
	return fmt.Sprintf("; opens batch %d, the newest", newest.Batch)
}

// partsOf returns the parts of a batch that hold what the party follows.
func (c *config) partsOf(m *schemas.Manifest) []schemas.Part {
	if c.consumer == nil {
		return m.PartsOf(nil, false)
	}
	return m.PartsOf(c.consumer.Events, c.consumer.Slim)
}

// inWords says how many keys there are, and how old the newest is.
func inWords(paths []string) string {
	files, err := trust.AllFiles(paths)
	if err != nil {
		return err.Error()
	}
	return humanize.Plural(int64(len(files)), "key", "keys") + ", the newest " + ageOf(files[len(files)-1])
}

func signersOf(e *exchange.Entry) string {
	names := []string{}
	for _, s := range schemas.Signatures(e.Data) {
		names = append(names, fmt.Sprintf("%.40q", s.Key))
	}
	return strings.Join(names, ", ")
}

func ageOf(file string) string {
	created := trust.Created(file)
	if created.IsZero() {
		return "its file does not say how old it is"
	}
	return humanize.Ago(time.Since(created)) + " old"
}

// examineOpening tries the party's keys on the newest part that it would read.
func (c *config) examineOpening(ctx context.Context, reader *exchange.Reader, last *exchange.Entry) fact.Fact {
	files, err := trust.AllFiles(c.openPaths())
	if err != nil {
		return fact.Failed("opens", err)
	}
	keys, err := seal.ReadKeys(files)
	if err != nil {
		return fact.Failed("opens", err)
	}
	newest := files[len(files)-1]
	f := fact.Fact{Name: "opens", Value: inWords(files)}
	batch, part, err := c.newestPart(ctx, reader, last)
	if err != nil {
		return fact.Failed("opens", err)
	}
	if part == nil {
		f.Value += "; no recent batch has a part for it"
		return f
	}
	folder, err := spool.Open(c.Spool, "keys")
	if err != nil {
		return fact.Failed("opens", err)
	}
	defer folder.Close()
	by, err := reader.Opening(keys).OpenedBy(ctx, *part, folder.Dir)
	switch {
	case err != nil:
		return fact.Failed("opens", err)
	case part.Seal == nil:
		f.Value += fmt.Sprintf("; batch %d lies open", batch)
	case len(by) == 0:
		return fact.Failed("opens", exchange.NotForUs(*part))
	case !slices.Contains(by, keys[len(keys)-1].Recipient().String()):
		f.Value += fmt.Sprintf("; an older key opens batch %d", batch)
		f.Advice = "have the producer name the newest in place of it: `waybill keys show " + newest + "`"
	default:
		f.Value += fmt.Sprintf("; it opens batch %d", batch)
	}
	return f
}

// recently is how many batches are searched for a part.
const recently = 100

// newestPart returns the newest part that holds what the party follows, or else nil.
func (c *config) newestPart(ctx context.Context, reader *exchange.Reader, last *exchange.Entry) (int64, *schemas.Part, error) {
	begins, err := reader.Begins(ctx)
	for entry := last; err == nil; {
		m := entry.Manifest
		if parts := c.partsOf(m); len(parts) > 0 {
			return m.Batch, &parts[0], nil
		}
		if m.Batch <= max(begins, last.Manifest.Batch-recently) {
			return 0, nil, nil
		}
		entry, err = reader.Open(ctx, m.Batch-1)
	}
	return 0, nil, err
}
