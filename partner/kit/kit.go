package kit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"waybill/internal/fault"
	"waybill/internal/humanize"
	"waybill/partner"
	"waybill/partner/intake/inbox"
)

// Unknown is what the rules alone don't say about a file.
const Unknown = "not judged here, for only the receiver knows: whether the file, its number or its messages came before; " +
	"whether it contradicts what is known of a patient; whether it changes more than one file may"

// Write writes the kit of a partner into a folder, which it makes, with a copy of the program. Times without an offset are in the
// zone. It returns why there are no samples, if none can be made of the rules.
func Write(ctx context.Context, folder string, p *partner.Partner, zone *time.Location, program string, now time.Time) (noSamples, err error) {
	if p.Intake == nil {
		return nil, fault.New(fault.Usage, "make a kit for", p.Name, errors.New("its file has no intake settings"), "kits are for partners who send files")
	}
	if left, err := os.ReadDir(folder); err == nil && len(left) > 0 {
		return nil, fault.New(fault.Usage, "make a kit in", folder, errors.New("the folder is not empty"), "name a new one")
	}
	data, err := rulesOf(p, zone.String())
	if err != nil {
		return nil, fault.New(fault.Usage, "read", p.Path, err, "")
	}
	rules, err := parse(data)
	if err != nil {
		return nil, fault.New(fault.Usage, "check", p.Path, err, "")
	}
	k := &kit{folder: folder, rules: rules, zone: zone, now: now}
	k.put(RulesFile, data)
	noSamples = k.samples(ctx)
	sealed, err := sealedAs(p.Intake.Open)
	if err != nil {
		return nil, err
	}
	k.put("README.md", []byte(rules.readme(noSamples == nil, sealed)))
	k.copy(program)
	if k.err != nil {
		return nil, fault.New(fault.Usage, "make a kit in", folder, k.err, "name a folder that can be written")
	}
	return noSamples, nil
}

// kit is a folder that is being written.
type kit struct {
	folder string
	rules  *Rules
	zone   *time.Location
	now    time.Time
	err    error // the first that writing met
}

func (k *kit) put(name string, data []byte) {
	path := filepath.Join(k.folder, name)
	if k.err == nil {
		k.err = os.MkdirAll(filepath.Dir(path), 0o755)
	}
	if k.err == nil {
		k.err = os.WriteFile(path, data, 0o644)
	}
}

// copy copies the program, so that the partner needs nothing else.
func (k *kit) copy(program string) {
	if k.err != nil {
		return
	}
	from, err := os.Open(program)
	if err != nil {
		k.err = err
		return
	}
	defer from.Close()
	to, err := os.OpenFile(filepath.Join(k.folder, "waybill"), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755)
	if err == nil {
		_, err = io.Copy(to, from)
		err = errors.Join(err, to.Close())
	}
	k.err = err
}

// samples writes a right file, and a wrong one with its answer. It returns why it can't.
func (k *kit) samples(ctx context.Context) error {
	format := &k.rules.Intake.Format
	kind, width := keyOf(format, strings.ToUpper(k.rules.Partner))
	problem := errors.New("no mistake is noticed")
	for _, keys := range keyMakers(format, width) {
		good := right(keys, kind, k.zone)
		data, v, err := k.try(ctx, good)
		if err != nil || !v.Good() {
			problem = reasonOf(v, err)
			continue
		}
		bad := good[:1]
		for _, one := range wrong(keys, kind, k.zone) {
			if _, v, err := k.try(ctx, append(good[:1:1], one)); err == nil && v.SetAside == 1 {
				bad = append(bad, one)
			}
		}
		spoiled, v, err := k.try(ctx, bad)
		if err != nil || v.SetAside == 0 {
			continue
		}
		k.put(filepath.Join("right", v.File), data)
		k.put(filepath.Join("wrong", v.File), spoiled)
		k.put(filepath.Join("wrong", "answer.txt"), []byte(Text(v)))
		return nil
	}
	return problem
}

func reasonOf(v inbox.Validation, err error) error {
	switch {
	case err != nil:
		return err
	case len(v.Refused) > 0:
		return errors.New(v.Refused[0].Reason)
	}
	return errors.New(v.Reason)
}

// try validates a file of examples.
func (k *kit) try(ctx context.Context, examples []example) ([]byte, inbox.Validation, error) {
	data, err := write(&k.rules.Intake.Format, examples, k.zone)
	if err != nil {
		return nil, inbox.Validation{}, err
	}
	folder, err := os.MkdirTemp("", "waybill-kit-")
	if err != nil {
		return nil, inbox.Validation{}, err
	}
	defer os.RemoveAll(folder)
	path := filepath.Join(folder, k.rules.Intake.SampleName())
	if err := os.WriteFile(path, data, 0o600); err != nil {
		return nil, inbox.Validation{}, err
	}
	v, err := k.rules.Intake.Validate(ctx, k.rules.Partner, path, k.now)
	return data, v, err
}

// Text says what a validation found. It repeats nothing that the file holds.
func Text(v inbox.Validation) string {
	var b strings.Builder
	file, records := inbox.Printable(v.File), humanize.Plural(v.Records, "record", "records")
	switch {
	case v.Reason != "":
		fmt.Fprintf(&b, "%s: refused: %s\n", file, v.Reason)
	case v.SetAside > 0:
		fmt.Fprintf(&b, "%s: %s, of which %d would be set aside\n", file, records, v.SetAside)
	default:
		fmt.Fprintf(&b, "%s: %s, all in order\n", file, records)
	}
	if v.Misnamed != "" {
		fmt.Fprintf(&b, "name: %s\n", v.Misnamed)
	}
	for _, r := range v.Refused {
		control := ""
		if r.Control != "" {
			control = fmt.Sprintf(" (%.50q)", r.Control)
		}
		fmt.Fprintf(&b, "line %s%s: %s\n", inbox.Line(r.Member, int64(r.Line)), control, r.Reason)
	}
	if more := v.SetAside - int64(len(v.Refused)); more > 0 {
		fmt.Fprintf(&b, "and %d more\n", more)
	}
	for _, w := range v.Warnings {
		fmt.Fprintf(&b, "warning: %s\n", w)
	}
	fmt.Fprintf(&b, "%s\n", Unknown)
	return b.String()
}
