package fetch

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// content is the file that the servers of these tests have.
var content = bytes.Repeat([]byte("0123456789abcdef"), 500)

// handler answers a request, the first of which is attempt 0.
type handler func(attempt int, out http.ResponseWriter, r *http.Request)

// serve starts a server and returns its URL, and a function that lists the ranges requested.
func serve(t *testing.T, handle handler) (*url.URL, func() []string) {
	t.Helper()
	var mu sync.Mutex
	var ranges []string
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		mu.Lock()
		attempt := len(ranges)
		ranges = append(ranges, r.Header.Get("Range"))
		mu.Unlock()
		handle(attempt, out, r)
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // connections break off on purpose
	server.Start()
	t.Cleanup(server.Close)
	u, err := url.Parse(server.URL + "/file")
	if err != nil {
		t.Fatal(err)
	}
	return u, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(ranges)
	}
}

// whole serves the complete file.
func whole(_ int, out http.ResponseWriter, r *http.Request) {
	http.ServeContent(out, r, "", time.Time{}, bytes.NewReader(content))
}

// part sends n bytes starting at from, with a status code, and breaks the connection.
func part(out http.ResponseWriter, code, from, n int) {
	if code == http.StatusPartialContent {
		out.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(content)-1, len(content)))
	}
	out.WriteHeader(code)
	_, _ = out.Write(content[from : from+n])
	_ = http.NewResponseController(out).Flush()
	panic(http.ErrAbortHandler)
}

func TestFetch(t *testing.T) {
	const size = 8000
	for _, c := range []struct {
		name    string
		before  string // in the file
		handle  handler
		retries int
		want    []string // the ranges that are asked for
		failure string
	}{
		{"new", "", whole, 0, []string{""}, ""},
		{"the rest", string(content[:10]), whole, 0, []string{"bytes=10-"}, ""},
		{"nothing more", string(content), whole, 0, nil, ""},
		{"longer before", string(content) + "x", whole, 0, []string{""}, ""},
		{"no ranges", string(content[:10]), func(_ int, out http.ResponseWriter, r *http.Request) {
			r.Header.Del("Range")
			whole(0, out, r)
		}, 0, []string{"bytes=10-"}, ""},
		{"ranges refused", string(content[:10]), func(_ int, out http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Range") != "" {
				out.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
				return
			}
			whole(0, out, r)
		}, 0, []string{"bytes=10-", ""}, ""},
		{"another range", string(content[:10]), func(_ int, out http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Range") != "" {
				r.Header.Set("Range", "bytes=20-")
			}
			whole(0, out, r)
		}, 0, []string{"bytes=10-", ""}, ""},
		{"no range in the answer", string(content[:10]), func(_ int, out http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Range") != "" {
				out.WriteHeader(http.StatusPartialContent)
				return
			}
			whole(0, out, r)
		}, 0, []string{"bytes=10-", ""}, ""},
		{"a range unasked for", "", func(_ int, out http.ResponseWriter, r *http.Request) {
			r.Header.Set("Range", "bytes=20-")
			whole(0, out, r)
		}, 3, []string{""}, `asked for the bytes from 0, it sent "bytes 20-7999/8000"`},
		{"in pieces", "", func(attempt int, out http.ResponseWriter, r *http.Request) {
			switch attempt {
			case 0:
				part(out, http.StatusOK, 0, 100)
			case 1:
				part(out, http.StatusPartialContent, 100, 50)
			}
			whole(0, out, r)
		}, 2, []string{"", "bytes=100-", "bytes=150-"}, ""},
		{"in too many pieces", "", func(attempt int, out http.ResponseWriter, _ *http.Request) {
			part(out, http.StatusOK, 0, 100)
		}, 1, []string{"", "bytes=100-"}, "EOF"},
		{"ended early", "", func(_ int, out http.ResponseWriter, r *http.Request) {
			_, _ = out.Write(content[:100])
			_ = http.NewResponseController(out).Flush()
		}, 0, []string{""}, "it ended after 100 of 8000 bytes"},
		{"shorter", "", func(_ int, out http.ResponseWriter, _ *http.Request) { _, _ = out.Write(content[:100]) },
			3, []string{""}, "it has 100 bytes, but should have 8000"},
		{"longer", string(content[:10]), func(_ int, out http.ResponseWriter, r *http.Request) {
			http.ServeContent(out, r, "", time.Time{}, strings.NewReader(string(content)+"x"))
		}, 3, []string{"bytes=10-"}, "it has 8001 bytes, but should have 8000"},
		{"longer than announced", "", func(_ int, out http.ResponseWriter, _ *http.Request) {
			_, _ = out.Write(content[:10])
			_ = http.NewResponseController(out).Flush()
			_, _ = out.Write(append(slices.Clone(content), 0))
		}, 3, []string{""}, "it is longer than the 8000 bytes that it should have"},
		{"not there", "", func(_ int, out http.ResponseWriter, r *http.Request) { http.NotFound(out, r) }, 3, []string{""}, "404 Not Found"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			u, asked := serve(t, c.handle)
			client, err := New(Settings{Timeout: 5 * time.Second, Retries: c.retries})
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(t.TempDir(), "file")
			if err := os.WriteFile(path, []byte(c.before), 0o666); err != nil {
				t.Fatal(err)
			}
			file, err := os.OpenFile(path, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer file.Close()
			sum := sha256.New()
			_, _ = sum.Write([]byte("what was summed up before"))
			var last int64
			err = client.Fetch(t.Context(), u, file, size, sum, func(done int64) { last = done })
			if got := asked(); !slices.Equal(got, c.want) {
				t.Errorf("asked for %q, want %q", got, c.want)
			}
			if c.failure != "" {
				if err == nil || !strings.Contains(err.Error(), c.failure) || !strings.HasPrefix(err.Error(), u.String()+": ") {
					t.Errorf("the error is %v, want one with %q", err, c.failure)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, content) {
				t.Errorf("the file has %d bytes: %v", len(got), err)
			}
			if want := sha256.Sum256(content); !bytes.Equal(sum.Sum(nil), want[:]) {
				t.Error("the sum is not that of the file")
			}
			if last != size {
				t.Errorf("the progress ends with %d", last)
			}
		})
	}
}

// Fetch gives up on a server that always breaks off at the same byte and cannot resume.
func TestFetchGivesUp(t *testing.T) {
	large := make([]byte, 3<<20)
	u, asked := serve(t, func(_ int, out http.ResponseWriter, _ *http.Request) {
		_, _ = out.Write(large[:2<<20])
		_ = http.NewResponseController(out).Flush()
		panic(http.ErrAbortHandler)
	})
	client, err := New(Settings{Timeout: 5 * time.Second, Retries: 1})
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := client.Fetch(t.Context(), u, file, int64(len(large)), sha256.New(), nil); err == nil {
		t.Error("no error")
	}
	// Only the first try came further than any before.
	if n := len(asked()); n != 2 && n != 3 {
		t.Errorf("%d requests", n)
	}
}

// A file that cannot be written ends the fetch at once.
func TestFetchUnwritable(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, content[:10], 0o666); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	u, asked := serve(t, whole)
	client, err := New(Settings{Timeout: 5 * time.Second, Retries: 5})
	if err != nil {
		t.Fatal(err)
	}
	var ofPath *fs.PathError
	if err := client.Fetch(t.Context(), u, file, 8000, sha256.New(), nil); !errors.As(err, &ofPath) || len(asked()) != 1 {
		t.Errorf("%d requests, the error is %v", len(asked()), err)
	}
}

func TestReadPage(t *testing.T) {
	for _, c := range []struct {
		name   string
		handle handler
		want   string // of the error
		is     error
	}{
		{"page", func(_ int, out http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/file" {
				http.Redirect(out, r, "/moved", http.StatusFound)
				return
			}
			out.Header().Set("Content-Type", r.Header.Get("Accept"))
			_, _ = out.Write(content)
		}, "", nil},
		{"in passing trouble", func(attempt int, out http.ResponseWriter, r *http.Request) {
			if attempt == 0 {
				out.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			if r.URL.Path == "/file" {
				http.Redirect(out, r, "/moved", http.StatusFound)
				return
			}
			out.Header().Set("Content-Type", "text/x")
			_, _ = out.Write(content)
		}, "", nil},
		{"not there", func(_ int, out http.ResponseWriter, r *http.Request) { http.NotFound(out, r) }, "404 Not Found", ErrNotFound},
		{"too long", func(_ int, out http.ResponseWriter, _ *http.Request) { _, _ = out.Write(make([]byte, 1<<20+1)) }, "longer than 1 MiB", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			u, _ := serve(t, c.handle)
			client, err := New(Settings{Timeout: 5 * time.Second, Retries: 1})
			if err != nil {
				t.Fatal(err)
			}
			page, err := client.ReadPage(context.Background(), u, "text/x", 1<<20)
			if c.want != "" {
				if err == nil || !strings.Contains(err.Error(), c.want) || c.is != nil && !errors.Is(err, c.is) {
					t.Errorf("the error is %v, want one with %q", err, c.want)
				}
				return
			}
			if err != nil || page.URL.Path != "/moved" || page.ContentType != "text/x" || !bytes.Equal(page.Content, content) {
				t.Errorf("%v %s, %d bytes, %v", page.URL, page.ContentType, len(page.Content), err)
			}
		})
	}
}

func TestStrip(t *testing.T) {
	var s Settings
	u := &url.URL{Scheme: "https", User: url.UserPassword("me", "secret"), Host: "a.test", Path: "/x"}
	before := s
	if bare := s.Strip(u); bare.String() != "https://a.test/x" || u.User == nil {
		t.Errorf("%v of %v", bare, u)
	}
	if s.passwords["a.test"] != u.User || before.passwords != nil {
		t.Errorf("the passwords are %v", s.passwords)
	}
}

func TestMayLead(t *testing.T) {
	for steps, want := range map[string]bool{
		"http http": true, "http https": true, "https https": true, "file file": true, "file https": true, "file http": true,
		"https http": false, "http file": false, "https file": false, "http ftp": false, "https data": false, "file gopher": false, "http ": false,
	} {
		from, to, _ := strings.Cut(steps, " ")
		if err := MayLead(&url.URL{Scheme: from}, &url.URL{Scheme: to}); (err == nil) != want {
			t.Errorf("%s: %v", steps, err)
		}
	}
}

// Redirections lead neither to this machine's files nor in circles, and are not retried.
func TestRedirections(t *testing.T) {
	dir := t.TempDir()
	secret, pipe := filepath.Join(dir, "secret"), filepath.Join(dir, "pipe")
	if err := errors.Join(os.WriteFile(secret, content, 0o600), syscall.Mkfifo(pipe, 0o600)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, to string
		requests int
		want     string // of the error
	}{
		{"file", "file://" + secret, 1, "it redirects to file://" + secret + ": http must not lead to file"},
		{"file of localhost", "file://localhost" + secret, 1, "http must not lead to file"},
		{"pipe", "file://" + pipe, 1, "http must not lead to file"},
		{"other scheme", "ftp://127.0.0.1/x", 1, "http must not lead to ftp"},
		{"loop", "/file", 11, "it redirects more than 10 times"},
		{"elsewhere", "/moved", 2, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			u, asked := serve(t, func(_ int, out http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/moved" {
					out.Header().Set("Content-Type", "text/x")
					whole(0, out, r)
					return
				}
				http.Redirect(out, r, c.to, http.StatusTemporaryRedirect)
			})
			client, err := New(Settings{Timeout: 5 * time.Second, Retries: 3})
			if err != nil {
				t.Fatal(err)
			}
			file, err := os.Create(filepath.Join(t.TempDir(), "file"))
			if err != nil {
				t.Fatal(err)
			}
			defer file.Close()
			check := func(what string, err error) {
				t.Helper()
				if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
					t.Errorf("%s: the error is %v, want %q", what, err, c.want)
				}
			}
			check("Fetch", client.Fetch(t.Context(), u, file, int64(len(content)), sha256.New(), nil))
			if n := len(asked()); n != c.requests {
				t.Errorf("%d requests, want %d", n, c.requests)
			}
			_, err = client.ReadPage(t.Context(), u, "text/x", 1<<20)
			check("ReadPage", err)
			_, err = client.ReadTail(t.Context(), u, 10)
			check("ReadTail", err)
			if info, err := file.Stat(); err != nil || c.want != "" && info.Size() != 0 {
				t.Errorf("%d bytes were written, %v", info.Size(), err)
			}
		})
	}
}

// Every wait ends with its context.
func TestCancelled(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0") // accepts connections and sends nothing
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	page, _ := serve(t, func(_ int, out http.ResponseWriter, r *http.Request) {
		_, _ = out.Write(content[:10])
		_ = http.NewResponseController(out).Flush()
		<-r.Context().Done()
	})
	busy, _ := serve(t, func(_ int, out http.ResponseWriter, _ *http.Request) { out.WriteHeader(http.StatusServiceUnavailable) })
	for name, u := range map[string]*url.URL{
		"answer":        {Scheme: "http", Host: silent.Addr().String(), Path: "/"},
		"TLS handshake": {Scheme: "https", Host: silent.Addr().String(), Path: "/"},
		"rest":          page,
		"backoff":       busy,
	} {
		client, err := New(Settings{Timeout: time.Hour, Retries: 100})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 600*time.Millisecond)
		start := time.Now()
		if _, err := client.ReadPage(ctx, u, "text/x", 1<<20); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: the error is %v", name, err)
		}
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("%s: it ends after %v", name, took)
		}
		cancel()
	}
}
