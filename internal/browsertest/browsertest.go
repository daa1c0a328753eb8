// Package browsertest opens HTML files and pages of local servers in a headless Chromium, for tests.
// Nothing of a page leaves the machine: no host name resolves. The package records what a page requests
// and complains about.
package browsertest

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/performance"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"nb201/internal/needs"
)

// Options describe how a page is shown.
type Options struct {
	Width, Height int     // of the viewport, in CSS pixels; 1024 by 768 if both are 0
	Scale         float64 // device pixels of a CSS pixel; 1 if it is 0
	Dark          bool    // prefers-color-scheme is dark, and else light
	Print         bool    // the medium is print, and else the screen
	// Limit is how long each step may take: the start of the browser, an action, its end. It is one
	// minute if it is 0.
	Limit time.Duration
}

// Page is a page in a browser that shows nothing else. Whatever goes wrong ends the test.
type Page struct {
	URL   string
	t     testing.TB
	ctx   context.Context
	limit time.Duration

	mu       sync.Mutex // guards what follows
	errors   []string
	requests []string
	barriers map[string]chan struct{} // closed when the console shows their names
}

// Open starts a browser with a new profile and opens an HTML file. The browser is closed when the
// test ends.
func Open(t testing.TB, path string, o Options) *Page {
	t.Helper()
	absolute, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return open(t, (&url.URL{Scheme: "file", Path: absolute}).String(), nowhere, o)
}

// OpenURL starts a browser with a new profile and opens a page of a server at 127.0.0.1, the only
// address that the page can reach. The browser is closed when the test ends.
func OpenURL(t testing.TB, address string, o Options) *Page {
	t.Helper()
	return open(t, address, nowhere+", EXCLUDE 127.0.0.1", o)
}

// nowhere is a rule by which no host is found, not even by its address.
const nowhere = "MAP * ~NOTFOUND"

func open(t testing.TB, address, rules string, o Options) *Page {
	t.Helper()
	chromium := needs.Chromium(t)
	if o.Limit == 0 {
		o.Limit = time.Minute
	}
	p := &Page{URL: address, t: t, limit: o.Limit, barriers: map[string]chan struct{}{}}
	// chromedp makes and removes the profile, and leaves the sandbox out where root has none.
	ctx, cancel := chromedp.NewContext(context.Background(), chromedp.WithAllocatorOptions(
		chromedp.ExecPath(chromium),
		chromedp.Flag("host-resolver-rules", rules),
		chromedp.Flag("no-proxy-server", true),
		chromedp.Flag("hide-scrollbars", true),
	))
	p.ctx = ctx
	t.Cleanup(func() { p.close(cancel) })
	// The context of the first action is that of the browser, and must not end with the action.
	late := time.AfterFunc(p.limit, cancel)
	err := chromedp.Do(ctx)
	if !late.Stop() && err != nil {
		err = fmt.Errorf("after %v: %w", p.limit, err)
	}
	if err == nil {
		err = chromedp.Listen(ctx, p.record)
	}
	if err != nil {
		t.Fatalf("%s does not start: %v", chromium, err)
	}
	messages := chromedp.Console(ctx)
	go func() {
		for m, err := range messages {
			if err != nil {
				return // the browser is closed
			}
			p.read(m)
		}
	}()
	p.Do(func(ctx context.Context, _ *chromedp.Target) (chromedp.Void, error) { // for Busy
		_, err := chromedp.Call(ctx, performance.Enable, performance.EnableParams{TimeDomain: performance.EnableTimeDomainThreadTicks})
		return chromedp.Void{}, err
	})
	p.Show(o)
	p.Do(chromedp.Navigate(p.URL))
	return p
}

// close closes the browser, which removes its files if it can, and otherwise kills it.
func (p *Page) close(kill context.CancelFunc) {
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		ctx, cancel := context.WithTimeout(p.ctx, p.limit)
		defer cancel()
		if chromedp.Cancel(ctx) != nil {
			kill()
		}
	}()
	select {
	case <-closed:
	case <-time.After(2 * p.limit):
		p.t.Errorf("%s: the browser does not end within %v", p.URL, 2*p.limit)
	}
}

// record takes note of a request.
func (p *Page) record(event any) {
	sent, ok := event.(*network.EventRequestWillBeSent)
	if !ok || strings.HasPrefix(sent.Request.URL, "data:") || strings.HasPrefix(sent.Request.URL, "blob:") {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.requests = append(p.requests, sent.Request.URL)
}

// read takes note of a message of the console.
func (p *Page) read(m chromedp.ConsoleMessage) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if barrier := p.barriers[m.Text]; barrier != nil {
		close(barrier)
		delete(p.barriers, m.Text)
		return
	}
	switch m.Type {
	case chromedp.ConsoleWarning, chromedp.ConsoleError, chromedp.ConsoleException, "assert":
		p.errors = append(p.errors, fmt.Sprintf("%s (%s:%d)", m, m.URL, m.Line+1))
	}
}

// settle waits until everything that the page has reported so far is recorded.
func (p *Page) settle() {
	p.t.Helper()
	name := fmt.Sprintf("barrier %d", time.Now().UnixNano())
	passed := make(chan struct{})
	p.mu.Lock()
	p.barriers[name] = passed
	p.mu.Unlock()
	Eval[chromedp.Void](p, fmt.Sprintf("console.debug(%q)", name))
	select {
	case <-passed:
	case <-time.After(p.limit):
		p.t.Fatalf("%s: the console shows nothing within %v", p.URL, p.limit)
	}
}

// Errors returns the warnings and errors of the console so far, with uncaught exceptions and what
// the browser itself reports, such as requests that fail.
func (p *Page) Errors() []string {
	p.t.Helper()
	p.settle()
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.errors)
}

// Requests returns the URLs that the page has requested so far, its own first. URLs with their
// content in them (data:) and those of the page's own objects (blob:) are not among them.
func (p *Page) Requests() []string {
	p.t.Helper()
	p.settle()
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.requests)
}

// Show changes how the page is shown.
func (p *Page) Show(o Options) {
	p.t.Helper()
	if o.Width == 0 && o.Height == 0 {
		o.Width, o.Height = 1024, 768
	}
	if o.Scale == 0 {
		o.Scale = 1
	}
	scheme := &emulation.MediaFeature{Name: "prefers-color-scheme", Value: "light"}
	if o.Dark {
		scheme.Value = "dark"
	}
	media := emulation.SetEmulatedMediaParams{Media: "screen", Features: []*emulation.MediaFeature{scheme}}
	if o.Print {
		media.Media = "print"
	}
	p.Do(
		chromedp.EmulateViewport(int64(o.Width), int64(o.Height), chromedp.EmulateScale(o.Scale)),
		func(ctx context.Context, _ *chromedp.Target) (chromedp.Void, error) {
			_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, media)
			return chromedp.Void{}, err
		},
	)
}

// Press presses and releases a key, a constant of package kb. If the page prevents what the key does,
// it does not happen, as when a person presses it; after [chromedp.KeyEvent] it does.
func (p *Page) Press(key string) {
	p.t.Helper()
	known := kb.Keys[[]rune(key)[0]]
	event := input.DispatchKeyEventParams{
		Type: input.DispatchKeyEventTypeRawKeyDown, Key: known.Key, Code: known.Code, WindowsVirtualKeyCode: known.Windows,
	}
	if known.Print {
		event.Type, event.Text = input.DispatchKeyEventTypeKeyDown, known.Text
	}
	released := event
	released.Type, released.Text = input.DispatchKeyEventTypeKeyUp, ""
	for _, params := range []input.DispatchKeyEventParams{event, released} {
		p.Do(func(ctx context.Context, _ *chromedp.Target) (chromedp.Void, error) {
			_, err := chromedp.Call(ctx, input.DispatchKeyEvent, params)
			return chromedp.Void{}, err
		})
	}
}

// Do runs actions of chromedp, each within the limit.
func (p *Page) Do(actions ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	for _, action := range actions {
		run(p, action)
	}
}

// run runs one action and returns its value.
func run[T any](p *Page, action chromedp.Action[T]) T {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, p.limit)
	defer cancel()
	value, err := chromedp.Run(ctx, action)
	if err != nil {
		p.t.Fatalf("%s: %v", p.URL, err)
	}
	return value
}

// Eval returns the value of an expression in JavaScript, or what the promise becomes that it is.
func Eval[T any](p *Page, expression string) T {
	p.t.Helper()
	return run(p, func(ctx context.Context, target *chromedp.Target) (T, error) {
		value, err := chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise)(ctx, target)
		if err != nil {
			err = fmt.Errorf("%.200s: %w", expression, err)
		}
		return value, err
	})
}

// WaitFor waits until an expression in JavaScript is true.
func (p *Page) WaitFor(expression string) {
	p.t.Helper()
	for end := time.Now().Add(p.limit); !Eval[bool](p, "!!("+expression+")"); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			p.t.Fatalf("%s: %s is not true within %v", p.URL, expression, p.limit)
		}
	}
}

// ElementScreenshot writes a PNG of the first element that a CSS selector matches.
func (p *Page) ElementScreenshot(selector, path string) {
	p.t.Helper()
	p.save(path, chromedp.Screenshot(chromedp.CSS(selector)))
}

// Busy returns the processor time that the page's main thread has spent on tasks so far.
func (p *Page) Busy() time.Duration {
	p.t.Helper()
	return run(p, func(ctx context.Context, _ *chromedp.Target) (time.Duration, error) {
		result, err := chromedp.Call(ctx, performance.GetMetrics, chromedp.Void{})
		if err != nil {
			return 0, err
		}
		for _, m := range result.Metrics {
			if m.Name == "TaskDuration" {
				return time.Duration(m.Value * float64(time.Second)), nil
			}
		}
		return 0, errors.New("the browser does not measure tasks")
	})
}

// Screenshot writes a PNG of the viewport.
func (p *Page) Screenshot(path string) {
	p.t.Helper()
	p.save(path, chromedp.CaptureScreenshot())
}

// FullScreenshot writes a PNG of the page from its top to its end.
func (p *Page) FullScreenshot(path string) {
	p.t.Helper()
	p.save(path, chromedp.FullScreenshot(100)) // PNG; less would be JPEG
}

// PDF returns the page as it is printed.
func (p *Page) PDF() []byte {
	p.t.Helper()
	return run(p, chromedp.PrintToPDF())
}

// save writes what a screenshot returns.
func (p *Page) save(path string, screenshot chromedp.Action[[]byte]) {
	p.t.Helper()
	if err := os.WriteFile(path, run(p, screenshot), 0o666); err != nil {
		p.t.Fatal(err)
	}
}

// Download runs actions that make the browser download a file, and returns its name and content.
func (p *Page) Download(actions ...chromedp.Action[chromedp.Void]) (name string, content []byte) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, p.limit)
	defer cancel()
	progress := chromedp.BrowserEvents(ctx, browser.DownloadProgress)
	if _, err := chromedp.CallBrowser(ctx, browser.SetDownloadBehavior, browser.SetDownloadBehaviorParams{
		Behavior: browser.SetDownloadBehaviorBehaviorAllow, DownloadPath: p.t.TempDir(), EventsEnabled: new(true),
	}); err != nil {
		p.t.Fatal(err)
	}
	p.Do(actions...)
	for event, err := range progress {
		if err != nil || event.State == browser.DownloadProgressStateCanceled {
			p.t.Fatalf("%s: no file was downloaded: %v", p.URL, err)
		}
		if event.State == browser.DownloadProgressStateCompleted {
			content, err := os.ReadFile(event.FilePath)
			if err != nil {
				p.t.Fatal(err)
			}
			return filepath.Base(event.FilePath), content
		}
	}
	return "", nil // the last event has an error
}

// Violation is a rule of accessibility that a page breaks.
type Violation struct {
	ID     string // the name of the rule
	Impact string // minor, moderate, serious or critical
	Help   string
	Nodes  []string // the elements, as selectors, with what is wrong with each
}

// IsSerious reports whether the impact is serious or critical.
func (v Violation) IsSerious() bool { return v.Impact == "serious" || v.Impact == "critical" }

// Axe returns the violations that axe-core finds in the page as it is now.
func (p *Page) Axe() []Violation {
	p.t.Helper()
	source, err := os.ReadFile(needs.Axe(p.t))
	if err != nil {
		p.t.Fatal(err)
	}
	Eval[chromedp.Void](p, string(source))
	return Eval[[]Violation](p, `axe.run().then(found => found.violations.map(({id, impact, help, nodes}) => ({
		ID: id, Impact: impact, Help: help, Nodes: nodes.map(node => node.target.join(" ") + ": " + node.failureSummary),
	})))`)
}
