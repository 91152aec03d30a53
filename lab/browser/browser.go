// Package browser runs a real Chromium without a window, for tests of pages.
package browser

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"waybill/internal/fault"
	"waybill/lab/npm"
)

// axeVersion is the release of the npm package axe-core, which checks pages for accessibility.
const axeVersion = "4.14.1"

// Fetch installs axe-core for this user unless it exists already, and looks for Chromium.
func Fetch(ctx context.Context) error {
	if err := npm.Fetch(ctx, "axe", "axe-core", axeVersion); err != nil {
		return err
	}
	_, err := find()
	return err
}

func find() (path string, err error) {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err = exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", fault.New(fault.Usage, "find", "Chromium", err, "`make browser` installs it for root; otherwise install your system's package chromium")
}

// Tab is a tab of a browser.
type Tab struct {
	testing.TB
	ctx context.Context
}

// Start returns a browser's only tab, which ends with the test.
func Start(t testing.TB) *Tab {
	t.Helper()
	path, err := find()
	if err != nil {
		t.Fatalf("%v: %s", err, fault.HintOf(err))
	}
	ctx, end := chromedp.NewContext(context.Background(), chromedp.WithAllocatorOptions(chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU))
	t.Cleanup(end)
	ctx, stop := context.WithTimeout(ctx, 10*time.Minute) // the limit for every test: it ends what hangs
	t.Cleanup(stop)
	return &Tab{t, ctx}
}

// Do makes the tab run the steps.
func (tab *Tab) Do(steps ...chromedp.Action[chromedp.Void]) {
	tab.Helper()
	if err := chromedp.Do(tab.ctx, steps...); err != nil {
		tab.Fatal(err)
	}
}

// Screen sets the tab's size in CSS pixels, the scheme ("dark" or "light") and the medium ("screen" or "print").
func (tab *Tab) Screen(width, height int64, scheme, medium string) {
	tab.Helper()
	tab.Do(chromedp.EmulateViewport(width, height))
	Run(tab, func(ctx context.Context, t *chromedp.Target) (any, error) {
		return cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Media: medium, Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
		})
	})
}

// Run runs an action in the tab and returns its result.
func Run[T any](tab *Tab, action chromedp.Action[T]) T {
	tab.Helper()
	answer, err := chromedp.Run(tab.ctx, action)
	if err != nil {
		tab.Fatal(err)
	}
	return answer
}

// Text returns what a reader sees of an element.
func (tab *Tab) Text(selector string) string {
	tab.Helper()
	return Run(tab, chromedp.Evaluate[string](fmt.Sprintf(`document.querySelector(%q).innerText`, selector)))
}

// Await waits until a JavaScript expression is true.
func (tab *Tab) Await(expression string) {
	tab.Helper()
	if _, err := chromedp.Run(tab.ctx, chromedp.Poll[bool](expression)); err != nil {
		tab.Fatalf("%s never came true: %v\n%s", expression, err, tab.Text("body"))
	}
}

// Shoot writes a picture of the whole page into the folder that WAYBILL_SCREENSHOTS names, if it is set.
func (tab *Tab) Shoot(name string) {
	tab.Helper()
	folder := os.Getenv("WAYBILL_SCREENSHOTS")
	if folder == "" {
		return
	}
	err := os.MkdirAll(folder, 0o755)
	if err == nil {
		err = os.WriteFile(filepath.Join(folder, name+".png"), Run(tab, chromedp.FullScreenshot(100)), 0o644)
	}
	if err != nil {
		tab.Error(err)
	}
}

// violation is a problem that axe-core found.
type violation struct {
	ID, Impact, Help string
	Nodes            []struct{ HTML, FailureSummary string }
}

// CheckAccess runs axe-core on the page, and fails if it finds a serious or critical problem. It runs like the developer
// tools, so the page's policy does not block it.
func (tab *Tab) CheckAccess() {
	tab.Helper()
	dir, err := npm.Folder("axe", axeVersion)
	if err != nil {
		tab.Fatal(err)
	}
	axe, err := os.ReadFile(filepath.Join(dir, "node_modules", "axe-core", "axe.min.js"))
	if err != nil {
		tab.Fatalf("%v: `make browser` fetches it", err)
	}
	Run(tab, chromedp.Evaluate[any](string(axe)+"; true"))
	answer := Run(tab, chromedp.Evaluate[string](`axe.run().then(r => JSON.stringify(r.violations))`, chromedp.EvalAwaitPromise))
	var found []violation
	if err := json.Unmarshal([]byte(answer), &found); err != nil {
		tab.Fatal(err)
	}
	for _, v := range found {
		if v.Impact == "serious" || v.Impact == "critical" {
			tab.Errorf("%s (%s): %s\n%s", v.ID, v.Impact, v.Help, v.Nodes[0].HTML+"\n"+v.Nodes[0].FailureSummary)
		}
	}
}
