package main_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/chromedp/chromedp"

	"waybill/lab/await"
	"waybill/lab/browser"
)

// serve starts the page of the site, and returns its address.
func (s *site) serve(arguments ...string) string {
	s.Helper()
	cmd := s.command(nil, append([]string{"serve", "--listen", "127.0.0.1:0", "--every", "1s"}, arguments...)...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		s.Fatal(err)
	}
	var failure bytes.Buffer
	cmd.Stderr = &failure
	if err := cmd.Start(); err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { _ = cmd.Process.Signal(syscall.SIGTERM); _ = cmd.Wait() })
	address, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		s.Fatalf("%v: %s", err, &failure)
	}
	return strings.TrimSpace(address)
}

// get returns a page.
func (s *site) get(address string) string {
	s.Helper()
	answer, err := http.Get(address)
	if err != nil {
		s.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		s.Fatal(err)
	}
	return string(body)
}

// watchedSite is a site that somebody watches in a browser.
type watchedSite struct {
	*site
	*browser.Tab
	address string
}

func (s *site) watch() *watchedSite {
	s.Helper()
	w := &watchedSite{s, browser.Start(s.TB), s.serve()}
	w.Screen(1280, 800, "light", "screen")
	w.Do(chromedp.Navigate(w.address))
	return w
}

// shows waits until the page shows a text in an element. Nobody reloads it.
func (w *watchedSite) shows(selector string, texts ...string) {
	w.site.Helper()
	for _, text := range texts {
		w.Await(fmt.Sprintf(`[...document.querySelectorAll(%q)].some(e => e.innerText.replace(/\s+/g, " ").includes(%q))`, selector, text))
	}
}

// bars waits until the strip of a party shows a batch as one of that fate.
func (w *watchedSite) bars(party, fate string, batch int) {
	w.site.Helper()
	w.Await(fmt.Sprintf(`[...document.querySelectorAll('article[aria-labelledby="lane-%s"] .strip rect.%s title')].some(e => e.textContent.startsWith("batch %d:"))`, party, fate, batch))
}

// types runs the command that the page says to type, in another folder, with a reason.
func (w *watchedSite) types(selector string) {
	w.site.Helper()
	command := strings.ReplaceAll(w.Text(selector), "TEXT", "seen")
	fields := strings.Fields(command)
	if fields[0] != "waybill" {
		w.site.Fatalf("the page says to type %q", command)
	}
	cmd := exec.Command(w.waybill(), fields[1:]...)
	cmd.Dir = "/"
	if out, err := cmd.CombinedOutput(); err != nil {
		w.site.Fatalf("%s: %v\n%s", command, err, out)
	}
}

// Somebody who watches sees at once which party has not applied a batch and why, and what they type helps.
func TestTheWindowSaysWhoHasNotAppliedABatchAndWhatToType(t *testing.T) {
	t.Parallel()
	s := newSiteAt(t, onFolder(t))
	s.firstDay()
	s.exchangeAll()
	w := s.watch()
	w.shows(".have", "patients, appointments, morgue all have batch 1.")
	w.bars("morgue", "applied", 1)

	s.configure("morgue", "import: {instance: east, brake: 1}")
	s.secondDay()
	s.die(4)
	s.do("export")
	s.do("import", "appointments")
	w.bars("morgue", "due", 2)
	w.shows(".answer", "morgue has not applied batch 2", "waybill -c "+s.dir+" import morgue")
	s.fails(6, nil, "import", "morgue")
	w.bars("morgue", "held", 2)
	w.shows(".answer.stop", "morgue has not applied batch 2: held", "--approve 2@")
	w.shows(".brake", "Batch 2 is held: more than 1 of one kind", "opened 2", "voided 1")
	first := browser.Run(w.Tab, chromedp.Evaluate[float64](`document.querySelector(".answer .command").getBoundingClientRect().bottom`))
	if first > 800 {
		t.Errorf("what to type is %v pixels down, not on the first screen", first)
	}
	w.Shoot("held")
	w.types(".answer .command")
	w.shows(".have", "patients, appointments, morgue all have batch 2.")
	w.CheckAccess()

	w.Do(chromedp.Navigate(w.address + "trace/" + patient(1).String()))
	w.shows(".timeline", "died", "death_retracted", "cancelled", "restored", "voided", "batch 2")
	w.CheckAccess()
	w.Shoot("trace")
}

// What stops a party is in its lane, for each kind of trouble.
func TestProofTheWindowShowsWhatIsWrong(t *testing.T) {
	t.Parallel()
	s := newSiteAt(t, onFolder(t))
	ward := s.sender("ward", wardADT)
	s.configure("patients", "export: {heartbeat: 1s, grace: 1s, batch_events: 3}")
	s.configure("morgue", "import: {instance: east, grace: 1s}")
	s.firstDay()
	s.exchangeAll()
	w := s.watch()

	ward.leaveBatch(1, admission(1, "Keller", false))
	ward.leaveBatch(3, admission(2, "Lang", false))
	s.do("intake", "ward")
	w.shows(`article[aria-labelledby="lane-ward"]`, "takes in files", "files waiting 1", "number 2 is missing")

	s.exec("morgue", `UPDATE morgue.case_file SET state = 'received', tag = 'T1', received_at = now(), received_by = 'Anna' WHERE patient_id = $1`, patient(0))
	s.live(0)
	s.exec("appointments", `UPDATE appointments.appointment SET status = 'arrived' WHERE id = $1`, appointment(2))
	s.do("export")
	w.shows(".answer.warn", "morgue has not applied batch", "late", "see whether the schedule of waybill -c")
	s.fails(5, []string{"late"}, "import", "morgue") // what comes after it is late already
	w.bars("morgue", "late", s.newest())
	w.shows(`article[aria-labelledby="lane-morgue"] .urgent`, "1 identity urgent")
	w.shows(`article[aria-labelledby="lane-appointments"] .urgent`, "1 seen_after_death urgent")

	s.do("export", "--snapshot")
	s.run(nil, "import", "morgue") // which may be late again
	s.do("import", "appointments")
	s.do("prune", "--keep", "0")
	w.bars("patients", "pruned", 1)
	s.die(3)
	s.do("export")
	newest := s.newest()
	s.damagePart(int64(newest))
	s.fails(3, nil, "import", "morgue")
	w.bars("morgue", "damaged", newest)
	w.shows(".answer.bad", fmt.Sprintf("morgue has not applied batch %d: broken", newest), "is damaged", fmt.Sprintf(" repair %d", newest))
	w.looks("wrong")

	s.removeManifest(int64(newest))
	w.bars("patients", "damaged", newest)
	w.loses()
	w.hidesPatients()
}

// loses takes a consumer's receipts away, and then the store.
func (w *watchedSite) loses() {
	w.site.Helper()
	receipts, err := filepath.Glob(filepath.Join(w.exchange(), "*", "receipts", "morgue@east"))
	if err != nil || len(receipts) != 1 {
		w.site.Fatalf("%v %v", receipts, err)
	}
	if err := os.RemoveAll(receipts[0]); err != nil {
		w.site.Fatal(err)
	}
	w.shows("tr.bad", "morgue@east", "has no receipts any more")
	if err := os.Rename(w.exchange(), w.exchange()+".gone"); err != nil {
		w.site.Fatal(err)
	}
	w.shows(`article[aria-labelledby="lane-morgue"]`, "out of reach")
}

// The jobs of a machine are on the page that it serves itself.
func TestTheWindowOfAMachineShowsItsJobs(t *testing.T) {
	t.Parallel()
	r := newRunning(t, 0)
	r.firstDay()
	address := r.exposing("patients")
	tab := browser.Start(t)
	w := &watchedSite{r.site, tab, "http://" + address + "/"}
	await.True(t, "the machine serves", func() bool { return scrape(address) != "" })
	w.Do(chromedp.Navigate(w.address))
	w.shows("tr", "patients export @every 1s")
	w.CheckAccess()
	r.stop()
}

func (s *site) newest() int {
	s.Helper()
	batches := strings.Split(strings.TrimSpace(s.do("batches")), "\n")
	n, err := strconv.Atoi(strings.Fields(batches[len(batches)-1])[0])
	if err != nil {
		s.Fatal(err)
	}
	return n
}

// looks sees that the page can be used on a phone, in the dark and on paper, without a mouse, and without the script, and takes pictures.
func (w *watchedSite) looks(name string) {
	w.site.Helper()
	for _, screen := range []struct {
		name           string
		width, height  int64
		scheme, medium string
	}{{"phone", 360, 740, "light", "screen"}, {"dark", 1280, 800, "dark", "screen"}, {"paper", 794, 1123, "dark", "print"}, {"light", 1280, 800, "light", "screen"}} {
		w.Screen(screen.width, screen.height, screen.scheme, screen.medium)
		w.CheckAccess()
		if wide := browser.Run(w.Tab, chromedp.Evaluate[int](`document.documentElement.scrollWidth`)); wide > int(screen.width) {
			w.site.Errorf("the page is %d pixels wide on a screen of %d", wide, screen.width)
		}
		w.Shoot(name + "-" + screen.name)
	}
	if page := w.get(w.address); !strings.Contains(page, `<noscript><meta http-equiv="refresh"`) || !strings.Contains(page, "has not applied batch") {
		w.site.Errorf("without a script the page does not refresh, or does not say the same:\n%s", page)
	}
}

// hidesPatients looks for what patients are called.
func (w *watchedSite) hidesPatients() {
	w.site.Helper()
	for _, page := range []string{w.get(w.address), w.get(w.address + "trace/" + patient(0).String())} {
		for _, name := range []string{"Given", "Keller", "Lang", "Otto"} {
			if strings.Contains(page, name) {
				w.site.Errorf("the page names %s:\n%s", name, page)
			}
		}
	}
}
