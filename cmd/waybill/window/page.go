package window

import (
	"cmp"
	"embed"
	"fmt"
	"html/template"
	"slices"
	"strings"
	"time"

	"waybill/exporter"
	"waybill/internal/fault"
	"waybill/internal/health"
	"waybill/internal/humanize"
)

//go:embed *.html
var files embed.FS

var pages = template.Must(template.New("").Funcs(template.FuncMap{
	"ago": humanize.Ago, "count": humanize.Count, "plural": humanize.Plural, "when": humanize.When, "span": span,
	"style": func() template.CSS { return template.CSS(style) }, "script": func() template.JS { return template.JS(script) },
	"millis": func(d time.Duration) string { return fmt.Sprintf("%d ms", max(1, d.Milliseconds())) },
	"none": func(n int64) string {
		if n < 0 {
			return "none"
		}
		return fmt.Sprint(n)
	},
	"utc": func() *time.Location { return time.UTC },
}).ParseFS(files, "*.html"))

// page has the data for its template.
type page struct {
	*View
	Every   time.Duration
	Failure string // why looking failed; View is then an earlier one, or nil
	Batch   int64  // the batch in question
	Asked   bool   // the reader chose Batch; otherwise it is the newest

	flags string
}

func (w *Window) newPage(view *View, err error) page {
	p := page{View: view, Every: w.every, flags: w.flags}
	if err != nil {
		p.Failure = err.Error()
	}
	if view != nil {
		p.Batch = view.Newest()
	}
	return p
}

// Stale reports that the view is older than it should be.
func (p page) Stale() bool { return p.View != nil && time.Since(p.At) > 3*p.Every+longest }

// Needs counts the parties that need a person.
func (p page) Needs() (n int) {
	if p.View == nil {
		return 0
	}
	for _, l := range p.Lanes {
		if l.Class != 0 {
			n++
		}
	}
	return n
}

// Title returns the tab's title.
func (p page) Title() string {
	if n := p.Needs(); n > 0 {
		return fmt.Sprintf("(%d) Waybill", n)
	}
	return "Waybill"
}

// answer says whether a party has a batch, and what to do.
type answer struct {
	*Lane
	Has  bool
	Verb string // has applied, has not published
	Type string // a sentence with the command to type
}

// Answers returns answers about the parties that don't have the batch or need a person, the worst first.
func (p page) Answers() (list []answer) {
	for _, l := range p.Lanes {
		a := answer{Lane: l, Has: !l.follows() || l.At >= p.Batch, Type: l.Advice()}
		verb := map[bool]string{true: "published", false: "applied"}[l.Export != nil]
		if a.Has && l.Class == 0 {
			continue
		}
		switch {
		case !l.follows():
		case a.Has:
			a.Verb = fmt.Sprintf("has %s batch %d", verb, p.Batch)
		default:
			a.Verb = fmt.Sprintf("has not %s batch %d", verb, p.Batch)
		}
		if a.Type == "" && !a.Has {
			a.Type = l.run()
		}
		list = append(list, a)
	}
	slices.SortStableFunc(list, func(a, b answer) int {
		return cmp.Or(a.Compare(&b.Report), cmp.Compare(map[bool]int{true: 1}[a.Has], map[bool]int{true: 1}[b.Has]))
	})
	return list
}

// laneOf is a lane on its page.
type laneOf struct {
	Lane *Lane
	Page page
}

// Of returns the data for the lane's template.
func (p page) Of(l *Lane) laneOf { return laneOf{l, p} }

// receiptOf is a receipt with its producer.
type receiptOf struct {
	exporter.Receipt
	End  int64
	Zone *time.Location
	Text string
}

// Wrong reports whether a person should ask the consumer's staff.
func (r receiptOf) Wrong() bool {
	return r.Moved == "" && (r.Forked != "" || r.Cut != "" || r.Gone || r.Pruned || r.SilentSince != nil)
}

// Receipts returns the receipts that the producers here expect and have.
func (p page) Receipts() (list []receiptOf) {
	for _, l := range p.Lanes {
		for _, r := range l.Receipts {
			list = append(list, receiptOf{r, l.End, l.Zone, r.Text(l.Zone)})
		}
	}
	return list
}

// Have names the parties that have the batch and need no person.
func (p page) Have() string {
	var names []string
	for _, l := range p.Lanes {
		if l.Class == 0 && l.follows() && l.At >= p.Batch {
			names = append(names, l.Name)
		}
	}
	return strings.Join(names, ", ")
}

// Desks counts the items that wait for people who work with the consumers.
func (p page) Desks() string {
	var terms []string
	for _, l := range p.Lanes {
		var all, urgent int64
		for _, o := range l.Recent.Open {
			all += o.Count
			if o.Urgent {
				urgent += o.Count
			}
		}
		if all > 0 {
			terms = append(terms, fmt.Sprintf("%s has %s to settle, %d urgent", l.Name, humanize.Plural(all, "item", "items"), urgent))
		}
	}
	return strings.Join(terms, "; ")
}

// Scheduled reports whether any job is known.
func (p page) Scheduled() bool {
	return slices.ContainsFunc(p.Jobs, func(j Jobs) bool { return len(j.Rows) > 0 })
}

// run returns the command that does a party's work at once.
func (l *Lane) run() string {
	switch {
	case l.Delivery != nil:
		return fmt.Sprintf("wait for its schedule, or run `waybill deliver %s`", l.Name)
	case l.Export != nil:
		return "wait for its schedule, or run `waybill export`"
	}
	return fmt.Sprintf("wait for its schedule, or run `waybill import %s`", l.Name)
}

// Tone returns a lane's urgency as a class of the stylesheet.
func (l *Lane) Tone() string {
	switch {
	case l.State == health.Held:
		return "stop"
	case l.Class == fault.NotYet:
		return "warn"
	case l.Class != 0:
		return "bad"
	case l.State == health.OK:
		return "good"
	}
	return "calm"
}

// Why returns the problem without the next step, which is shown separately.
func (l *Lane) Why() string {
	terms := []string{}
	for _, term := range []string{l.Detail, l.Error} {
		if term != "" && !slices.Contains(terms, term) {
			terms = append(terms, term)
		}
	}
	return strings.Join(terms, "; ")
}

// Advice returns what a person should do, with the command to type.
func (l *Lane) Advice() string {
	if l.Next == "" || strings.Contains(l.Hint, l.Next) {
		return l.Hint
	}
	return strings.TrimPrefix(l.Hint+"; `"+l.Next+"`", "; ")
}

// Short returns the problem in short: the detail of a held batch, otherwise the error if there is one.
func (l *Lane) Short() string {
	if l.State == health.Held {
		return l.Detail
	}
	return cmp.Or(l.Error, l.Detail)
}

// Does returns what the party does.
func (l *Lane) Does() string {
	switch {
	case l.Intake != nil:
		return "takes in files"
	case l.Delivery != nil:
		return "is sent files"
	case l.Export != nil:
		return "publishes"
	case l.Import != nil:
		return "applies"
	}
	return ""
}

// Follows reports whether the lane has a strip.
func (l *Lane) Follows() bool { return l.follows() }

// Charts returns the lane's pictures.
func (l *Lane) Charts() Charts {
	batches := l.batches()
	return Charts{Strip: l.strip(batches), Sparks: []spark{l.ages(batches), l.queues(batches)}, Brake: l.brakes()}
}

// Charts are a lane's pictures.
type Charts struct {
	Strip  strip
	Sparks []spark
	Brake  *brakes
}

// Legend returns what the bars mean.
func (page) Legend() []struct {
	Fate  fate
	Means string
} {
	return []struct {
		Fate  fate
		Means string
	}{
		{applied, "published or applied"},
		{late, "late"},
		{due, "not yet"},
		{held, "held by the brake"},
		{damaged, "damaged or missing"},
		{passed, "passed over"},
		{pruned, "pruned"},
	}
}

// part is a piece of a hint: prose, or a command.
type part struct {
	Text    string
	Command bool
}

// Words splits a hint at its backticks. Commands name the configuration, so that they work in any folder.
func (p page) Words(hint string) []part {
	if slices.ContainsFunc(p.Lanes, func(l *Lane) bool { return l.Export != nil }) {
		hint = fault.AtProducer(hint)
	}
	return words(hint, p.flags)
}

func words(hint, flags string) (parts []part) {
	for i, text := range strings.Split(fault.WithFlags(hint, flags), "`") {
		if text != "" {
			parts = append(parts, part{text, i%2 == 1 && strings.HasPrefix(text, "waybill ")})
		}
	}
	return parts
}
