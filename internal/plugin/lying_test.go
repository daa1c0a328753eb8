package plugin

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Whatever an index answers, an installation ends with an error of one sentence, in bounded time and
// memory, and leaves nothing behind.
func TestInstallFromLyingIndex(t *testing.T) {
	const (
		pageJSON = "application/vnd.pypi.simple.v1+json"
		pageHTML = "text/html"
	)
	// page answers with a page, and with unchanged wheels.
	page := func(contentType string, write func(w *world, out io.Writer)) func(*testing.T, *world) {
		return func(_ *testing.T, w *world) {
			w.around = func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
					if !strings.HasPrefix(r.URL.Path, "/simple/") {
						next.ServeHTTP(out, r)
						return
					}
					out.Header().Set("Content-Type", contentType)
					write(w, out)
				})
			}
		}
	}
	redirect := func(to func(r *http.Request) string) func(*testing.T, *world) {
		return func(_ *testing.T, w *world) {
			w.around = onWheels(func(_ http.Handler, out http.ResponseWriter, r *http.Request) {
				http.Redirect(out, r, to(r), http.StatusFound)
			})
		}
	}
	repeat := func(out io.Writer, text string, n int) {
		block := []byte(strings.Repeat(text, 1000))
		for range n / 1000 {
			if _, err := out.Write(block); err != nil {
				return
			}
		}
	}
	zipped := func(t *testing.T, header zip.FileHeader, content []byte) func(*world) {
		var out bytes.Buffer
		z := zip.NewWriter(&out)
		f, err := z.CreateRaw(&header)
		if err == nil {
			_, err = f.Write(content)
		}
		if err == nil {
			err = z.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
		return func(w *world) {
			w.wheels["pjrt-cpu"] = out.Bytes()
			w.pin.Wheels[0] = pinned("pjrt-cpu", out.Bytes())
			w.pin.Wheels[0].Unpacked = 1 << 20
		}
	}
	deflated := func(t *testing.T, size int) []byte {
		var out bytes.Buffer
		f, err := flate.NewWriter(&out, flate.BestCompression)
		if err != nil {
			t.Fatal(err)
		}
		repeat(f, "\x00", size)
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		return out.Bytes()
	}
	for _, c := range []struct {
		name  string
		spoil func(*testing.T, *world)
		want  string
	}{
		{"endless page", page(pageHTML, func(_ *world, out io.Writer) { repeat(out, "<p>x</p>", 1<<40) }), "longer than 32 MiB"},
		{"endless page of JSON", page(pageJSON, func(_ *world, out io.Writer) { repeat(out, " ", 1<<40) }), "longer than 32 MiB"},
		{"millions of links", page(pageHTML, func(_ *world, out io.Writer) { repeat(out, "<a href=x>", 3_000_000) }), "more than 200000 links"},
		{"millions of links in JSON", page(pageJSON, func(_ *world, out io.Writer) {
			fmt.Fprint(out, `{"files": [`)
			repeat(out, "{},", 10_000_000)
			fmt.Fprint(out, "{}]}")
		}), "more than 200000 links"},
		{"deep JSON", page(pageJSON, func(_ *world, out io.Writer) {
			fmt.Fprint(out, `{"files": [{"yanked": `)
			repeat(out, "[", 10_000_000)
		}), "the page is damaged"},
		{"files that are none", page(pageJSON, func(_ *world, out io.Writer) { fmt.Fprint(out, `{"files": {"a": 1}}`) }), "not a list"},
		{"many hashes", page(pageJSON, func(_ *world, out io.Writer) {
			fmt.Fprint(out, `{"files": [{"filename": "x", "url": "x", "hashes": {`)
			repeat(out, `"a":"",`, 4_000_000)
			fmt.Fprint(out, `"a":""}}]}`)
		}), "no package index has"},
		{"compressed page", page(pageHTML, func(_ *world, out io.Writer) {
			out.(http.ResponseWriter).Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(out)
			repeat(z, "<a href=x>", 1_000_000)
			_ = z.Close()
		}), `the encoding "gzip"`},
		{"gzip in place of a page", page(pageHTML, func(_ *world, out io.Writer) {
			z := gzip.NewWriter(out)
			repeat(z, "<a href=x>", 1_000_000)
			_ = z.Close()
		}), "no package index has"},
		{"the file again and again", page(pageHTML, func(w *world, out io.Writer) {
			for n := range 100_000 {
				fmt.Fprintf(out, `<a href="../../simple/no/%d/%s">x</a>`, n, w.pin.Wheels[0].File)
			}
		}), "lists the file more than 10 times"},
		{"link to a file", page(pageHTML, func(w *world, out io.Writer) {
			fmt.Fprintf(out, `<a href="file:///etc/%s">x</a>`, w.pin.Wheels[0].File)
		}), "links to file:///etc/pjrt_cpu-1.0-py3-none-manylinux_2_27_x86_64.whl: http must not lead to file"},
		{"link in JSON to a file", page(pageJSON, func(w *world, out io.Writer) {
			fmt.Fprintf(out, `{"files": [{"filename": %q, "url": "file:///dev/zero"}]}`, w.pin.Wheels[0].File)
		}), "http must not lead to file"},
		{"link to no host", page(pageHTML, func(w *world, out io.Writer) {
			fmt.Fprintf(out, `<a href="gopher://x/%s">x</a>`, w.pin.Wheels[0].File)
		}), "http must not lead to gopher"},
		{"base of files", page(pageHTML, func(w *world, out io.Writer) {
			fmt.Fprintf(out, `<base href="file:///etc/"><a href="%s">x</a>`, w.pin.Wheels[0].File)
		}), "http must not lead to file"},
		{"redirection to a file", redirect(func(*http.Request) string { return "file:///etc/passwd" }),
			"it redirects to file:///etc/passwd: http must not lead to file"},
		{"redirection to a device", redirect(func(*http.Request) string { return "file:///dev/zero" }), "http must not lead to file"},
		{"redirection to itself", redirect(func(r *http.Request) string { return r.URL.Path }), "it redirects more than 10 times"},
		{"redirection without end", redirect(func(r *http.Request) string { return r.URL.Path + "x" }), "it redirects more than 10 times"},
		{"endless wheel", func(_ *testing.T, w *world) {
			w.around = onWheels(func(_ http.Handler, out http.ResponseWriter, _ *http.Request) { repeat(out, "wheel", 1<<40) })
		}, "it is longer than the"},
		{"a reason that clears the screen", func(_ *testing.T, w *world) {
			w.around = func(http.Handler) http.Handler {
				return http.HandlerFunc(func(out http.ResponseWriter, _ *http.Request) {
					connection, _, err := http.NewResponseController(out).Hijack()
					if err == nil {
						_, _ = io.WriteString(connection, "HTTP/1.1 418 \x1b[2J\x1b]0;title\x07\r\nContent-Length: 0\r\n\r\n")
						_ = connection.Close()
					}
				})
			}
		}, "418 I'm a teapot"},
		{"zip bomb", func(t *testing.T, w *world) {
			zipped(t, zip.FileHeader{Name: "pjrt_cpu/plugin.so", Method: zip.Deflate, UncompressedSize64: 1 << 26}, deflated(t, 1<<26))(w)
		}, "the wheel unpacks to more bytes than are pinned"},
		{"zip bomb that looks small", func(t *testing.T, w *world) {
			content := deflated(t, 1<<26)
			zipped(t, zip.FileHeader{Name: "pjrt_cpu/plugin.so", Method: zip.Deflate, UncompressedSize64: 10, CompressedSize64: uint64(len(content))}, content)(w)
		}, "pjrt_cpu/plugin.so: zip: "},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.timeout, w.retries = 5*time.Second, 5
			c.spoil(t, w)
			index := w.serve(t)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			start := time.Now()
			_, err := w.install(t.Context(), Options{}, "PIP_INDEX_URL="+index)
			runtime.ReadMemStats(&after)
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.ContainsAny(err.Error(), "\n\x1b") || len(err.Error()) > 3000 {
				t.Errorf("the error is %.3000v, want one sentence with %q", err, c.want)
			}
			// The total of all allocations; the server's share is small.
			if grown := (after.TotalAlloc - before.TotalAlloc) >> 20; grown > 700 {
				t.Errorf("it takes %d MiB", grown)
			}
			if took := time.Since(start); took > 20*time.Second {
				t.Errorf("it takes %v", took)
			}
			w.checkNothing(t)
		})
	}
}

// An index that was read by https does not lead to an address without it.
func TestInstallNeverLessSecure(t *testing.T) {
	for name, spoil := range map[string]func(w *world, plain string) func(http.Handler) http.Handler{
		"link": func(w *world, plain string) func(http.Handler) http.Handler {
			return func(http.Handler) http.Handler {
				return http.HandlerFunc(func(out http.ResponseWriter, _ *http.Request) {
					out.Header().Set("Content-Type", "text/html")
					fmt.Fprintf(out, `<a href="%s/files/pjrt-cpu/%s">x</a>`, plain, w.pin.Wheels[0].File)
				})
			}
		},
		"redirection": func(_ *world, plain string) func(http.Handler) http.Handler {
			return onWheels(func(_ http.Handler, out http.ResponseWriter, r *http.Request) {
				http.Redirect(out, r, plain+r.URL.Path, http.StatusFound)
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			plain := httptest.NewServer(w.handler())
			defer plain.Close()
			w.around = spoil(w, plain.URL)
			server := httptest.NewTLSServer(w.handler())
			defer server.Close()
			_, err := w.install(t.Context(), Options{}, "PIP_INDEX_URL="+server.URL+"/simple", "PIP_CERT="+certificate(t, server))
			if err == nil || !strings.Contains(err.Error(), "https must not lead to http") {
				t.Errorf("the error is %v", err)
			}
			w.checkNothing(t)
		})
	}
}

// A pipe is refused wherever the user's settings name a file.
func TestInstallFromPipe(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "pjrt-cpu"), 0o777); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"pjrt-cpu/" + w.pin.Wheels[0].File, ".netrc", "cert.pem"} {
		if err := syscall.Mkfifo(filepath.Join(dir, name), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	sound := "PIP_INDEX_URL=" + w.serve(t)
	for _, variables := range [][]string{
		{"PIP_INDEX_URL=file://" + dir},
		{sound, "PIP_CERT=" + dir + "/cert.pem"},
		{sound, "NETRC=" + dir + "/.netrc"},
	} {
		done := make(chan error, 1)
		go func() {
			_, err := w.install(t.Context(), Options{}, variables...)
			done <- err
		}()
		select {
		case err := <-done:
			if err == nil || !strings.Contains(err.Error(), "a named pipe") {
				t.Errorf("%q: the error is %v", variables, err)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("%q: it waits for ever", variables)
		}
		w.checkNothing(t)
	}
}
