package browsertest

import (
	"fmt"
	"image/png"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"nb201/internal/needs"
)

// clean is a page without faults that shows how it is shown.
const clean = `<!DOCTYPE html><html lang="en"><meta charset="utf-8"><title>A page</title>
<style>body { background: #fff; color: #111 } @media (prefers-color-scheme: dark) { body { background: #111; color: #eee } }</style>
<main><h1>A page</h1><p>%s</p><img alt="" src="data:image/gif;base64,R0lGODlhAQABAAAAACwAAAAAAQABAAA="></main>
<script>console.log("to read"); console.debug("not to read")</script>`

// write writes an HTML file.
func write(t *testing.T, text string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "a page.html")
	if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestClean(t *testing.T) {
	needs.Axe(t)
	p := Open(t, write(t, fmt.Sprintf(clean, "text")), Options{Width: 390, Height: 600, Scale: 2})
	if found := p.Axe(); len(found) > 0 {
		t.Errorf("axe finds %+v", found)
	}
	if errors, requests := p.Errors(), p.Requests(); len(errors) > 0 || !slices.Equal(requests, []string{p.URL}) {
		t.Errorf("errors %q, requests %q", errors, requests)
	}
}

// The viewport, the color scheme and the medium reach the page, and screenshots show it.
func TestShow(t *testing.T) {
	const shown = `[innerWidth, innerHeight, devicePixelRatio, matchMedia("(prefers-color-scheme: dark)").matches, matchMedia("print").matches].join()`
	p := Open(t, write(t, fmt.Sprintf(clean, `<div style="height: 2000px"></div>`)), Options{})
	for _, c := range []struct {
		o    Options
		want string
	}{
		{Options{}, "1024,768,1,false,false"},
		{Options{Width: 390, Height: 600, Scale: 2, Dark: true}, "390,600,2,true,false"},
		{Options{Print: true}, "1024,768,1,false,true"},
	} {
		p.Show(c.o)
		if got := Eval[string](p, shown); got != c.want {
			t.Errorf("%+v: the page is shown as %s, want %s", c.o, got, c.want)
		}
	}
	p.Show(Options{Width: 390, Height: 600, Scale: 2, Dark: true})
	path := filepath.Join(t.TempDir(), "page.png")
	for _, c := range []struct {
		shoot  func(path string)
		isTall bool
	}{{p.Screenshot, false}, {p.FullScreenshot, true}} {
		c.shoot(path)
		file, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		picture, err := png.Decode(file)
		if err != nil {
			t.Fatal(err)
		}
		file.Close()
		size := picture.Bounds().Size()
		if r, g, b, _ := picture.At(1, 1).RGBA(); size.X != 780 || (size.Y > 1200) != c.isTall || r>>8 != 0x11 || r != g || g != b {
			t.Errorf("%v pixels, the first is %x %x %x", size, r, g, b)
		}
	}
}

// A key clicks a button, unless the page prevents that.
func TestPress(t *testing.T) {
	p := Open(t, write(t, `<!DOCTYPE html><title>Keys</title><button>1</button><button>2</button><script>
		const clicked = [];
		document.onclick = event => clicked.push(event.target.textContent);
		document.querySelector("button").onkeydown = event => { if (event.key === "Enter") event.preventDefault(); };</script>`), Options{})
	for range 2 {
		for _, key := range []string{kb.Tab, kb.Enter, " "} {
			p.Press(key)
		}
	}
	if got := Eval[string](p, "clicked.join()"); got != "1,2,2" {
		t.Errorf("clicked %s", got)
	}
}

func TestDownload(t *testing.T) {
	p := Open(t, write(t, `<!DOCTYPE html><title>Download</title><button>Get</button><script>
		document.querySelector("button").onclick = () => {
			const link = document.createElement("a");
			link.href = URL.createObjectURL(new Blob(["a,b\r\n"], {type: "text/csv"}));
			link.download = "table.csv";
			link.click();
		};</script>`), Options{})
	for range 2 {
		name, content := p.Download(chromedp.Click(chromedp.CSS("button")))
		if name != "table.csv" || string(content) != "a,b\r\n" {
			t.Errorf("got %s: %q", name, content)
		}
	}
	if got := p.Requests(); !slices.Equal(got, []string{p.URL}) {
		t.Errorf("requests %q", got)
	}
}

// A page of a local server opens, and reaches nothing else. What keeps it busy is measured.
func TestOpenURL(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, clean, "served")
	}))
	defer server.Close()
	p := OpenURL(t, server.URL+"/", Options{})
	if got := Eval[string](p, `document.querySelector("p").textContent`); got != "served" {
		t.Errorf("the page shows %q", got)
	}
	for _, host := range []string{"localhost", "127.0.0.2", "10.0.0.1", "example.org"} {
		address := strings.Replace(server.URL, "127.0.0.1", host, 1)
		if Eval[bool](p, fmt.Sprintf(`fetch(%q, {mode: "no-cors"}).then(() => true, () => false)`, address)) {
			t.Errorf("the page reaches %s", address)
		}
	}
	before := p.Busy()
	Eval[chromedp.Void](p, `{ const end = performance.now() + 300; while (performance.now() < end); }`)
	if took := p.Busy() - before; took < 10*time.Millisecond || took > time.Minute {
		t.Errorf("the page was busy for %v", took)
	}

	// A file reaches nothing.
	p = Open(t, write(t, fmt.Sprintf(clean, "text")), Options{})
	if Eval[bool](p, fmt.Sprintf(`fetch(%q, {mode: "no-cors"}).then(() => true, () => false)`, server.URL)) {
		t.Error("a file reaches the server")
	}
}

// What a page does wrong is reported.
func TestFaults(t *testing.T) {
	needs.Axe(t)
	p := Open(t, write(t, `<!DOCTYPE html><html lang="en"><title>Faults</title><main><h1>Faults</h1><img src="data:,x">
<script>console.error("the cost is", 7)</script><script>throw new Error("thrown")</script><script>Promise.reject(new Error("rejected"))</script>
<script>fetch("http://127.0.0.1:9/x").catch(() => { document.title = "refused" }); fetch("https://example.org/").catch(() => {})</script>`), Options{})
	p.WaitFor(`document.title === "refused"`)
	want := []string{
		"error: the cost is 7 ", "exception: Uncaught Error: thrown ", "exception: Uncaught (in promise) Error: rejected ", "net::ERR_NAME_NOT_RESOLVED",
	}
	missing := func() []string {
		found := strings.Join(p.Errors(), "\n")
		return slices.DeleteFunc(slices.Clone(want), func(text string) bool { return strings.Contains(found, text) })
	}
	// The browser reports requests that failed when it gets around to it.
	for end := time.Now().Add(10 * time.Second); len(missing()) > 0; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%q are not among %q", missing(), p.Errors())
		}
	}
	if got, want := p.Requests(), []string{p.URL, "http://127.0.0.1:9/x", "https://example.org/"}; !slices.Equal(got, want) {
		t.Errorf("requests %q, want %q", got, want)
	}
	found := p.Axe()
	if !slices.ContainsFunc(found, func(v Violation) bool {
		return v.ID == "image-alt" && v.IsSerious() && strings.HasPrefix(v.Nodes[0], "img: ")
	}) {
		t.Errorf("axe finds %+v", found)
	}
}

// failure is the text with which a recorder fails.
type failure string

// recorder is a test that panics with a failure when it fails.
type recorder struct{ *testing.T }

func (recorder) Fatalf(format string, args ...any) { panic(failure(fmt.Sprintf(format, args...))) }

// A page that never ends its script fails the test, which does not wait for it.
func TestHung(t *testing.T) {
	const limit = 3 * time.Second
	path := write(t, `<!DOCTYPE html><title>Hung</title><script>setTimeout(() => { for (;;); })</script>`)
	began := time.Now()
	t.Run("page", func(t *testing.T) {
		defer func() {
			if text, ok := recover().(failure); !ok || !strings.Contains(string(text), "context deadline exceeded") {
				t.Errorf("fails with %q", text)
			}
		}()
		Open(recorder{t}, path, Options{Limit: limit}).WaitFor("false")
	})
	if took := time.Since(began); took > 5*limit {
		t.Errorf("took %v", took)
	}
}
