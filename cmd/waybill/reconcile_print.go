package main

import (
	"fmt"
	"slices"
	"strings"

	"waybill/internal/humanize"
	"waybill/reconcile"
)

func (out *printer) printReconciliation(r *reconcile.Report) error {
	if out.json {
		return out.printJSON(r)
	}
	sides := out.table("SIDE", "BATCHES", "EVENTS", "BY TYPE", "")
	for _, s := range []struct {
		name string
		side *reconcile.Side
	}{{"source", r.Source}, {"log", r.Log}} {
		if s.side != nil {
			sides.row(s.name, humanize.Count(s.side.Batches), humanize.Count(s.side.Rows), humanize.Counts(s.side.Events), fromFile(s.side.File))
		}
	}
	consumers := out.table("CONSUMER", "BATCH", "EVENTS", "PATIENTS", "DEAD", "")
	checks := out.table("CONSUMER", "CHECK", "FOUND")
	for _, c := range r.Consumers {
		lag := ""
		if c.Lag > 0 {
			lag = humanize.Plural(c.Lag, "batch", "batches") + " behind: not compared"
		}
		consumers.row(c.Consumer, c.Checkpoint, humanize.Count(c.Rows), humanize.Count(c.Patients), humanize.Count(c.Dead), strings.TrimSpace(fromFile(c.File)+" "+lag))
		for _, check := range c.Checks {
			checks.row(c.Consumer, check.Description, humanize.Count(check.Count))
		}
	}
	if err := printTables(sides, consumers, checks, out.uncounted(r), out.findings(r)); err != nil {
		return err
	}
	fmt.Fprintln(out)
	_, err := fmt.Fprintf(out, "batches %d..%d: %s\n", r.From, r.To, equation(r))
	return err
}

func fromFile(file bool) string {
	if file {
		return "from the file"
	}
	return ""
}

func (out *printer) uncounted(r *reconcile.Report) *table {
	t := out.table("NOT COUNTED", "WHY")
	for _, u := range r.Uncounted {
		t.row(u.Batch, u.Reason)
	}
	return t
}

func (out *printer) findings(r *reconcile.Report) *table {
	t := out.table("DIFFERS", "BATCH", "KIND", "WHAT", "PATIENTS")
	for _, f := range r.Findings {
		t.row(f.Side, orDash(f.Batch), f.Kind, f.Text, someOf(f))
	}
	return t
}

// someOf names a few of a finding's patients.
func someOf(f reconcile.Finding) string {
	const most = 3
	named := slices.Clone(f.Patients[:min(most, len(f.Patients))])
	if more := f.Count - int64(len(named)); more > 0 && f.Count > 0 {
		named = append(named, fmt.Sprintf("and %s more (--json names them)", humanize.Count(more)))
	}
	return strings.Join(named, " ")
}

// equation sums up the comparison in one line.
func equation(r *reconcile.Report) string {
	var terms []string
	if r.Source != nil && r.Log != nil {
		equal := sign(r.Source.Rows == r.Log.Rows)
		if len(r.Uncounted) > 0 {
			equal = "of"
		}
		terms = append(terms, fmt.Sprintf("source %s events %s log %s", humanize.Count(r.Source.Rows), equal, humanize.Count(r.Log.Rows)))
	}
	for _, c := range r.Consumers {
		if r.Log != nil && !c.Append {
			terms = append(terms, fmt.Sprintf("log %s dead %s %s %s", humanize.Count(c.LogDead), sign(c.LogDead == c.Dead), c.Consumer, humanize.Count(c.Dead)))
		}
	}
	for _, c := range r.Consumers {
		if c.Observed > 0 {
			terms = append(terms, fmt.Sprintf("%s only observed by %s, not checked", humanize.Plural(c.Observed, "patient", "patients"), c.Consumer))
		}
	}
	switch n := int64(len(r.Findings)); {
	case n > 0:
		terms = append(terms, humanize.Plural(n, "difference", "differences"))
	case r.Log == nil && len(r.Consumers) == 0:
		terms = append(terms, "counted, and compared with nothing")
	default:
		terms = append(terms, "no differences")
	}
	return strings.Join(terms, "; ")
}

func sign(same bool) string {
	if same {
		return "="
	}
	return "≠"
}
