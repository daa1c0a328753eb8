package plugin

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"html"
	"io"
	"io/fs"
	"log"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"nb201/internal/needs"
	"nb201/internal/plugin/index"
	"nb201/internal/usage"
)

// entry is a file in a wheel.
type entry struct {
	name, content string
	mode          fs.FileMode
}

// makeWheel makes a zip archive of the entries without compression, so that the wheel is as large as
// its content.
func makeWheel(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for _, e := range entries {
		header := &zip.FileHeader{Name: e.name, Method: zip.Store}
		header.SetMode(e.mode)
		f, err := w.CreateHeader(header)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(f, e.content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// pinned returns the Wheel for a wheel's bytes.
func pinned(project string, wheel []byte) Wheel {
	sum := sha256.Sum256(wheel)
	w := Wheel{
		Project: project,
		File:    strings.ReplaceAll(project, "-", "_") + "-1.0-py3-none-manylinux_2_27_x86_64.whl",
		SHA256:  hex.EncodeToString(sum[:]),
		Size:    int64(len(wheel)),
	}
	if archive, err := zip.NewReader(bytes.NewReader(wheel), w.Size); err == nil {
		for _, f := range archive.File {
			w.Unpacked += int64(f.UncompressedSize64)
		}
		record, _ := fs.ReadFile(archive, w.recordPath())
		sum := sha256.Sum256(record)
		w.Record = hex.EncodeToString(sum[:])
	}
	return w
}

// recordOf returns the RECORD of a project's wheel with these entries.
func recordOf(project string, entries []entry) entry {
	name := pinned(project, nil).recordPath()
	var text strings.Builder
	for _, e := range entries {
		sum := sha256.Sum256([]byte(e.content))
		if e.mode.IsRegular() && filepath.IsLocal(e.name) {
			fmt.Fprintf(&text, "%s,sha256=%s,%d\n", e.name, base64.RawURLEncoding.EncodeToString(sum[:]), len(e.content))
		}
	}
	return entry{name, text.String() + name + ",,\n", 0o644}
}

// world is a package index on the loopback interface with some wheels, and a directory to install in.
type world struct {
	root   string
	pin    Pin
	device string
	wheels map[string][]byte // by project
	// Of the index, before it starts:
	asJSON   bool
	noHashes bool
	around   func(http.Handler) http.Handler
	requests atomic.Int64 // for wheels
	// Of the client, in place of the defaults:
	timeout time.Duration
	retries int
}

// newWorld makes a world with the CPU's plugin in one wheel of 3 MB.
func newWorld(t testing.TB) *world {
	w := &world{root: filepath.Join(t.TempDir(), "pjrt"), device: CPU, wheels: map[string][]byte{}}
	w.pin = Pin{Version: "1.0", Plugin: "pjrt_cpu/plugin.so"}
	w.add(t, "pjrt-cpu",
		entry{"pjrt_cpu/plugin.so", strings.Repeat("0123456789abcdef", 3<<16), 0o755},
		entry{"pjrt_cpu-1.0.dist-info/METADATA", "Name: pjrt-cpu\n", 0o664})
	return w
}

// add adds a wheel, with a RECORD, to the index and to the pin.
func (w *world) add(t testing.TB, project string, entries ...entry) {
	entries = append(slices.Clip(entries), recordOf(project, entries))
	w.wheels[project] = makeWheel(t, entries...)
	w.pin.Wheels = append(w.pin.Wheels, pinned(project, w.wheels[project]))
}

func (w *world) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/simple/{project}/", func(out http.ResponseWriter, r *http.Request) {
		project := r.PathValue("project")
		content, ok := w.wheels[project]
		if !ok {
			http.NotFound(out, r)
			return
		}
		file := pinned(project, content)
		if w.noHashes {
			file.SHA256 = ""
		}
		if w.asJSON {
			out.Header().Set("Content-Type", "application/vnd.pypi.simple.v1+json")
			_ = json.NewEncoder(out).Encode(map[string]any{"files": []any{
				map[string]any{"filename": "other-1.0.whl", "url": "other"},
				map[string]any{"filename": file.File, "url": "../../files/" + project, "hashes": map[string]string{"sha256": file.SHA256}},
			}})
			return
		}
		out.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(out, `<a href="other">other-1.0.whl</a><a href="../../files/%s/%s#sha256=%s">%s</a>`, project, file.File, file.SHA256,
			html.EscapeString(file.File))
	})
	wheel := func(out http.ResponseWriter, r *http.Request) {
		w.requests.Add(1)
		http.ServeContent(out, r, "", time.Time{}, bytes.NewReader(w.wheels[r.PathValue("project")]))
	}
	mux.HandleFunc("/files/{project}", wheel)
	mux.HandleFunc("/files/{project}/{name}", wheel)
	if w.around != nil {
		return w.around(mux)
	}
	return mux
}

// serve starts the index and returns its URL.
func (w *world) serve(t testing.TB) string {
	server := httptest.NewServer(w.handler())
	t.Cleanup(server.Close)
	return server.URL + "/simple"
}

// install installs with these of pip's environment variables, NAME=VALUE.
func (w *world) install(ctx context.Context, o Options, variables ...string) (Plugin, error) {
	settings, err := index.ReadSettings(func(name string) string {
		if name == "PIP_CONFIG_FILE" {
			return os.DevNull
		}
		for _, v := range variables {
			if key, value, _ := strings.Cut(v, "="); key == name {
				return value
			}
		}
		return ""
	})
	if err != nil {
		return Plugin{}, err
	}
	if w.timeout > 0 {
		settings.Timeout, settings.Retries = w.timeout, w.retries
	}
	client, err := index.New(settings)
	if err != nil {
		return Plugin{}, err
	}
	return install(ctx, client, w.root, w.device, w.pin, o)
}

// tree returns the files below dir with their content.
func tree(t testing.TB, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		files[name] = string(content)
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return files
}

// checkNothing checks that nothing is installed and nothing is left over.
func (w *world) checkNothing(t testing.TB) {
	t.Helper()
	entries, err := os.ReadDir(w.root)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != ".lock" {
			t.Errorf("%s is left behind", e.Name())
		}
	}
}

// checkInstalled checks that the directory has the files of the wheels and nothing else.
func (w *world) checkInstalled(t testing.TB, p Plugin) {
	t.Helper()
	want := map[string]string{".lock": ""}
	for _, wheel := range w.wheels {
		archive, err := zip.NewReader(bytes.NewReader(wheel), int64(len(wheel)))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range archive.File {
			if f.Mode().IsDir() {
				continue
			}
			content, err := fs.ReadFile(archive, f.Name)
			if err != nil {
				t.Fatal(err)
			}
			want[path.Join(w.pin.Directory(w.device), f.Name)] = string(content)
		}
	}
	got := tree(t, w.root)
	if !maps.Equal(got, want) {
		t.Errorf("there are %q, want %q", slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
	}
	wantPlugin := Plugin{Device: w.device, Path: filepath.Join(w.root, w.pin.Directory(w.device), w.pin.Plugin), Version: "1.0", Source: FromSetup}
	if p != wantPlugin {
		t.Errorf("the plugin is %+v, want %+v", p, wantPlugin)
	}
}

func TestInstall(t *testing.T) {
	for _, asJSON := range []bool{false, true} {
		for _, noHashes := range []bool{false, true} {
			w := newWorld(t)
			w.asJSON, w.noHashes = asJSON, noHashes
			var last, total, checked int64
			var doing []string
			p, err := w.install(t.Context(), Options{Progress: func(text string, done, of int64) {
				if doing = append(doing, text); text == "checking the files" {
					checked = done
					return
				}
				if done < last {
					t.Errorf("the progress falls from %d to %d", last, done)
				}
				last, total = done, of
			}}, "PIP_INDEX_URL="+w.serve(t))
			if err != nil {
				t.Fatal(err)
			}
			w.checkInstalled(t, p)
			if size := int64(len(w.wheels["pjrt-cpu"])); last != size || total != size {
				t.Errorf("the progress ends with %d of %d bytes, want %d", last, total, size)
			}
			if checked < total*99/100 || checked > total { // RECORD itself is not among what is checked
				t.Errorf("the progress ends with %d of %d bytes checked", checked, total)
			}
			if want := []string{"downloading pjrt-cpu", "unpacking pjrt-cpu", "checking the files"}; !slices.Equal(slices.Compact(doing), want) {
				t.Errorf("progress reports %q, want %q", doing, want)
			}
		}
	}
}

// The plugin finds its libraries by $ORIGIN/../../nvidia.
func TestInstallCUDA(t *testing.T) {
	w := &world{root: filepath.Join(t.TempDir(), "pjrt"), device: CUDA13, wheels: map[string][]byte{}}
	w.pin = Pin{Version: "1.0", Plugin: "jax_plugins/xla_cuda13/xla_cuda_plugin.so"}
	w.add(t, "jax-cuda13-pjrt", entry{"jax_plugins/xla_cuda13/xla_cuda_plugin.so", "plugin", 0o755})
	w.add(t, "nvidia-cublas", entry{"nvidia/", "", fs.ModeDir | 0o755}, entry{"nvidia/__init__.py", "", 0o644},
		entry{"nvidia/cu13/lib/libcublas.so.13", "blas", 0o644})
	w.add(t, "nvidia-cuda-nvcc", entry{"nvidia/__init__.py", "", 0o644}, entry{"nvidia/cu13/bin/ptxas", "ptxas", 0o750})
	p, err := w.install(t.Context(), Options{}, "PIP_INDEX_URL="+w.serve(t))
	if err != nil {
		t.Fatal(err)
	}
	w.checkInstalled(t, p)
	origin := filepath.Dir(p.Path)
	for name, executable := range map[string]bool{"lib/libcublas.so.13": false, "bin/ptxas": true} {
		info, err := os.Stat(filepath.Join(origin, "../../nvidia/cu13", name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode()&0o100 != 0 != executable {
			t.Errorf("%s has the mode %v", name, info.Mode())
		}
	}
}

func TestInstallAgain(t *testing.T) {
	w := newWorld(t)
	setting := "PIP_INDEX_URL=" + w.serve(t)
	p, err := w.install(t.Context(), Options{}, setting)
	if err != nil {
		t.Fatal(err)
	}
	// An installed plugin stays, even without an index.
	if p, err = w.install(t.Context(), Options{}, "PIP_INDEX_URL=file:///nowhere"); err != nil || w.requests.Load() != 1 {
		t.Errorf("the second time there were %d requests and the error %v", w.requests.Load(), err)
	}
	// Force repairs it, in spite of what a killed process left.
	if err := os.WriteFile(p.Path, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{w.pin.Directory(CPU) + ".new", w.pin.Directory(CPU) + ".old", w.pin.Directory(CUDA12) + ".new"} {
		if err := os.MkdirAll(filepath.Join(w.root, name, "pjrt_cpu"), 0o777); err != nil {
			t.Fatal(err)
		}
	}
	if p, err = w.install(t.Context(), Options{Force: true}, setting); err != nil {
		t.Fatal(err)
	}
	w.checkInstalled(t, p)
	// A forced installation that fails leaves the old one.
	w.pin.Wheels[0].Unpacked--
	if _, err := w.install(t.Context(), Options{Force: true}, setting); err == nil {
		t.Error("a wheel that is too large is unpacked")
	}
	w.checkInstalled(t, p)
}

// A plugin whose files differ from those installed is installed again.
func TestInstallMends(t *testing.T) {
	const record = "pjrt_cpu-1.0.dist-info/RECORD"
	edit := func(do func([]byte) []byte) func(string) error {
		return func(path string) error {
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			return os.WriteFile(path, do(content), 0o666)
		}
	}
	flipped := edit(func(b []byte) []byte { b[len(b)/2] ^= 1; return b })
	for _, c := range []struct {
		name, file string
		spoil      func(path string) error
		why        string
	}{
		{"bit flipped", "pjrt_cpu/plugin.so", flipped, "damaged: pjrt_cpu/plugin.so does not match its SHA-256"},
		{"cut off", "pjrt_cpu/plugin.so", func(path string) error { return os.Truncate(path, 1<<20) }, "damaged: pjrt_cpu/plugin.so does not match"},
		{"empty", "pjrt_cpu/plugin.so", func(path string) error { return os.Truncate(path, 0) }, "damaged: pjrt_cpu/plugin.so does not match"},
		{"removed", "pjrt_cpu/plugin.so", os.Remove, "damaged: open "},
		{"a pipe", "pjrt_cpu/plugin.so", func(path string) error { return errors.Join(os.Remove(path), syscall.Mkfifo(path, 0o666)) }, "a named pipe"},
		{"another file", "pjrt_cpu-1.0.dist-info/METADATA", flipped, "damaged: pjrt_cpu-1.0.dist-info/METADATA does not match"},
		{"RECORD removed", record, os.Remove, "damaged: open "},
		{"RECORD that fits the damaged file", record, func(path string) error {
			plugin := filepath.Join(filepath.Dir(path), "../pjrt_cpu/plugin.so")
			if err := flipped(plugin); err != nil {
				return err
			}
			content, err := os.ReadFile(plugin)
			if err != nil {
				return err
			}
			return os.WriteFile(path, []byte(recordOf("pjrt-cpu", []entry{{"pjrt_cpu/plugin.so", string(content), 0o755}}).content), 0o666)
		}, "damaged: " + record + " does not match"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			setting := "PIP_INDEX_URL=" + w.serve(t)
			if _, err := w.install(t.Context(), Options{}, setting); err != nil {
				t.Fatal(err)
			}
			dir := filepath.Join(w.root, w.pin.Directory(CPU))
			if err := c.spoil(filepath.Join(dir, c.file)); err != nil {
				t.Fatal(err)
			}
			if err := w.pin.verify(t.Context(), dir, func(int64) {}); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), c.why) {
				t.Errorf("the error is %v, want %s", err, c.why)
			}
			var why error
			p, err := w.install(t.Context(), Options{Damaged: func(err error) { why = err }}, setting)
			if err != nil {
				t.Fatal(err)
			}
			if why == nil || !strings.Contains(why.Error(), c.why) {
				t.Errorf("it says %v, want %s", why, c.why)
			}
			w.checkInstalled(t, p)
		})
	}
}

func TestInstallAtTheSameTime(t *testing.T) {
	w := newWorld(t)
	setting := "PIP_INDEX_URL=" + w.serve(t)
	var group sync.WaitGroup
	for range 5 {
		group.Go(func() {
			if _, err := w.install(t.Context(), Options{}, setting); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if n := w.requests.Load(); n != 1 {
		t.Errorf("the wheel was fetched %d times", n)
	}
	w.checkInstalled(t, w.pin.plugin(w.root, CPU))
}

// quiet is the log of servers whose clients break off on purpose.
var quiet = log.New(io.Discard, "", 0)

// onWheels makes handle answer the requests for wheels.
func onWheels(handle func(next http.Handler, out http.ResponseWriter, r *http.Request)) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
			if strings.HasPrefix(r.URL.Path, "/files/") {
				handle(next, out, r)
			} else {
				next.ServeHTTP(out, r)
			}
		})
	}
}

func TestInstallRefuses(t *testing.T) {
	answer := func(code int) func(http.Handler) http.Handler {
		return func(http.Handler) http.Handler {
			return http.HandlerFunc(func(out http.ResponseWriter, _ *http.Request) { out.WriteHeader(code) })
		}
	}
	only := func(entries ...entry) func(*testing.T, *world) {
		return func(t *testing.T, w *world) {
			w.pin.Wheels = nil
			w.add(t, "pjrt-cpu", entries...)
		}
	}
	for _, c := range []struct {
		name  string
		spoil func(*testing.T, *world)
		want  string
	}{
		{"another hash on the index", func(_ *testing.T, w *world) { w.pin.Wheels[0].SHA256 = strings.Repeat("0", 64) }, "damaged, or not the pinned file"},
		{"another hash in fact", func(_ *testing.T, w *world) {
			w.noHashes = true
			w.wheels["pjrt-cpu"][100] ^= 1
		}, "damaged, or not the pinned file"},
		{"another hash than the index says", func(_ *testing.T, w *world) {
			w.around = onWheels(func(_ http.Handler, out http.ResponseWriter, _ *http.Request) {
				_, _ = out.Write(make([]byte, w.pin.Wheels[0].Size))
			})
		}, "damaged, or not the pinned file"},
		{"too long", func(_ *testing.T, w *world) { w.pin.Wheels[0].Size-- }, "bytes, but should have"},
		{"truncated", func(_ *testing.T, w *world) {
			w.noHashes = true
			w.wheels["pjrt-cpu"] = w.wheels["pjrt-cpu"][:1000]
		}, "it has 1000 bytes, but should have"},
		{"wheel not there", func(_ *testing.T, w *world) {
			w.around = onWheels(func(_ http.Handler, out http.ResponseWriter, r *http.Request) { http.NotFound(out, r) })
		}, "404 Not Found"},
		{"project not there", func(_ *testing.T, w *world) { delete(w.wheels, "pjrt-cpu") }, "no package index has pjrt_cpu-1.0-py3"},
		{"other version only", func(_ *testing.T, w *world) { w.pin.Wheels[0].File = "pjrt_cpu-2.0.whl" }, "no package index has pjrt_cpu-2.0.whl"},
		{"index in trouble", func(_ *testing.T, w *world) { w.around = answer(503) }, "503 Service Unavailable"},
		{"index with a password", func(_ *testing.T, w *world) { w.around = answer(401) }, "401 Unauthorized; put user:password@"},
		{"index refuses", func(_ *testing.T, w *world) { w.around = answer(418) }, "418 I'm a teapot"},
		{"no index page", func(_ *testing.T, w *world) {
			w.around = func(http.Handler) http.Handler {
				return http.HandlerFunc(func(out http.ResponseWriter, _ *http.Request) {
					out.Header().Set("Content-Type", "image/png")
				})
			}
		}, "image/png"},
		{"no zip", func(_ *testing.T, w *world) {
			w.wheels["pjrt-cpu"] = []byte("not a zip file")
			w.pin.Wheels[0] = pinned("pjrt-cpu", w.wheels["pjrt-cpu"])
		}, "not a valid zip file"},
		{"file above the directory", only(entry{"../../evil", "x", 0o644}, entry{"pjrt_cpu/plugin.so", "x", 0o644}), `"../../evil" is outside`},
		{"file at the root", only(entry{"/evil", "x", 0o644}), `"/evil" is outside`},
		{"file above the directory, later", only(entry{"a/../../evil", "x", 0o644}), "is outside the directory"},
		{"directory above", only(entry{"../evil/", "", fs.ModeDir | 0o755}), "is outside the directory"},
		{"link", only(entry{"a", "/etc", fs.ModeSymlink | 0o777}, entry{"a/evil", "x", 0o644}), `"a" is neither`},
		{"more than pinned", func(_ *testing.T, w *world) { w.pin.Wheels[0].Unpacked-- }, "unpacks to more bytes than are pinned"},
		{"no plugin", only(entry{"other.so", "x", 0o644}), "do not contain pjrt_cpu/plugin.so"},
		{"directory for a plugin", only(entry{"pjrt_cpu/plugin.so/x", "x", 0o644}), "do not contain pjrt_cpu/plugin.so"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.timeout, w.retries = 15*time.Second, 1
			c.spoil(t, w)
			_, err := w.install(t.Context(), Options{}, "PIP_INDEX_URL="+w.serve(t))
			if err == nil || usage.Is(err) || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("the error is %v, want one with %q", err, c.want)
			}
			w.checkNothing(t)
			if above := tree(t, filepath.Dir(w.root)); len(above) > 1 {
				t.Errorf("there are %q", slices.Collect(maps.Keys(above)))
			}
		})
	}
}

// cut answers with the first n bytes of next's answer and closes the connection.
func cut(next http.Handler, out http.ResponseWriter, r *http.Request, n int) {
	recorder := httptest.NewRecorder()
	next.ServeHTTP(recorder, r)
	maps.Copy(out.Header(), recorder.Header())
	out.WriteHeader(recorder.Code)
	_, _ = out.Write(recorder.Body.Bytes()[:min(n, recorder.Body.Len())])
	_ = http.NewResponseController(out).Flush()
	panic(http.ErrAbortHandler)
}

func TestInstallResumes(t *testing.T) {
	const part = 1<<20 + 5
	for _, c := range []struct {
		name    string
		handle  func(attempt int, next http.Handler, out http.ResponseWriter, r *http.Request)
		retries int
		want    []string // the ranges that are asked for
		failure string
	}{
		// Every attempt transfers more than 1 MiB, which resets the number of retries.
		{"in pieces", func(attempt int, next http.Handler, out http.ResponseWriter, r *http.Request) {
			if attempt < 2 {
				cut(next, out, r, part)
			}
			next.ServeHTTP(out, r)
		}, 1, []string{"", "bytes=1048581-", "bytes=2097162-"}, ""},
		{"server without ranges", func(attempt int, next http.Handler, out http.ResponseWriter, r *http.Request) {
			r.Header.Del("Range")
			if attempt == 0 {
				cut(next, out, r, 1000)
			}
			next.ServeHTTP(out, r)
		}, 1, []string{"", "bytes=1000-"}, ""},
		{"server in passing trouble", func(attempt int, next http.Handler, out http.ResponseWriter, r *http.Request) {
			switch attempt {
			case 0:
				cut(next, out, r, 1000)
			case 1:
				out.WriteHeader(http.StatusServiceUnavailable)
			default:
				next.ServeHTTP(out, r)
			}
		}, 2, []string{"", "bytes=1000-", "bytes=1000-"}, ""},
		{"never", func(_ int, next http.Handler, out http.ResponseWriter, r *http.Request) { cut(next, out, r, 10) },
			2, []string{"", "bytes=10-", "bytes=20-"}, "unexpected EOF"},
		{"silence", func(_ int, _ http.Handler, out http.ResponseWriter, r *http.Request) {
			_, _ = out.Write(make([]byte, 7))
			_ = http.NewResponseController(out).Flush()
			<-r.Context().Done()
		}, 1, []string{"", "bytes=7-"}, "no data arrived for 300ms"},
		{"no answer", func(_ int, _ http.Handler, _ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
			0, []string{""}, "timeout awaiting response headers"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.timeout, w.retries = 300*time.Millisecond, c.retries
			var mu sync.Mutex
			var asked []string
			w.around = onWheels(func(next http.Handler, out http.ResponseWriter, r *http.Request) {
				mu.Lock()
				attempt := len(asked)
				asked = append(asked, r.Header.Get("Range"))
				mu.Unlock()
				c.handle(attempt, next, out, r)
			})
			p, err := w.install(t.Context(), Options{}, "PIP_INDEX_URL="+w.serve(t))
			mu.Lock()
			defer mu.Unlock()
			if !slices.Equal(asked, c.want) {
				t.Errorf("asked for %q, want %q", asked, c.want)
			}
			if c.failure == "" {
				if err != nil {
					t.Fatal(err)
				}
				w.checkInstalled(t, p)
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.failure) {
				t.Errorf("the error is %v, want one with %q", err, c.failure)
			}
			w.checkNothing(t)
		})
	}
}

func TestInstallCancelled(t *testing.T) {
	t.Run("while downloading", func(t *testing.T) {
		w := newWorld(t)
		w.around = onWheels(func(_ http.Handler, out http.ResponseWriter, r *http.Request) {
			_, _ = out.Write(w.wheels["pjrt-cpu"][:1<<20])
			_ = http.NewResponseController(out).Flush()
			<-r.Context().Done()
		})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		_, err := w.install(ctx, Options{Progress: func(string, int64, int64) { cancel() }}, "PIP_INDEX_URL="+w.serve(t))
		if !errors.Is(err, context.Canceled) {
			t.Errorf("the error is %v", err)
		}
		w.checkNothing(t)
	})
	t.Run("while unpacking", func(t *testing.T) {
		w := newWorld(t)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		_, err := w.install(ctx, Options{Progress: func(doing string, _, _ int64) {
			if strings.HasPrefix(doing, "unpacking") {
				cancel()
			}
		}}, "PIP_INDEX_URL="+w.serve(t))
		if !errors.Is(err, context.Canceled) {
			t.Errorf("the error is %v", err)
		}
		w.checkNothing(t)
	})
	t.Run("while another process installs", func(t *testing.T) {
		w := newWorld(t)
		first, second := make(chan struct{}), make(chan struct{})
		w.around = onWheels(func(next http.Handler, out http.ResponseWriter, r *http.Request) {
			close(first)
			<-second
			next.ServeHTTP(out, r)
		})
		setting := "PIP_INDEX_URL=" + w.serve(t)
		var group sync.WaitGroup
		group.Go(func() {
			if _, err := w.install(t.Context(), Options{}, setting); err != nil {
				t.Error(err)
			}
		})
		<-first
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if _, err := w.install(ctx, Options{}, setting); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the error is %v", err)
		}
		close(second)
		group.Wait()
		w.checkInstalled(t, w.pin.plugin(w.root, CPU))
	})
}

func TestInstallUnwritable(t *testing.T) {
	t.Run("file in the way", func(t *testing.T) {
		w := newWorld(t)
		if err := os.WriteFile(w.root, nil, 0o666); err != nil {
			t.Fatal(err)
		}
		if _, err := w.install(t.Context(), Options{}, "PIP_INDEX_URL="+w.serve(t)); !usage.Is(err) || !strings.Contains(err.Error(), "NB201_HOME") {
			t.Errorf("the error is %v", err)
		}
	})
	t.Run("read-only", func(t *testing.T) {
		needs.User(t)
		w := newWorld(t)
		if err := os.Mkdir(w.root, 0o555); err != nil {
			t.Fatal(err)
		}
		if _, err := w.install(t.Context(), Options{}, "PIP_INDEX_URL="+w.serve(t)); !usage.Is(err) || !strings.Contains(err.Error(), "NB201_HOME") {
			t.Errorf("the error is %v", err)
		}
		w.checkNothing(t)
	})
	t.Run("name of another device", func(t *testing.T) {
		for _, name := range []string{"cuda", "Nvidia"} {
			w := newWorld(t)
			w.root = filepath.Join(w.root, name)
			if _, err := w.install(t.Context(), Options{}, "PIP_INDEX_URL="+w.serve(t)); !usage.Is(err) || !strings.Contains(err.Error(), "NB201_HOME") {
				t.Errorf("the error is %v", err)
			}
			w.checkNothing(t)
		}
	})
}

// If the first file of a name is wrong, the next one is tried.
func TestInstallNextOffer(t *testing.T) {
	w := newWorld(t)
	file := w.pin.Wheels[0].File
	w.around = func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/simple/pjrt-cpu/":
				out.Header().Set("Content-Type", "text/html")
				fmt.Fprintf(out, `<a href="/bad/%[1]s">x</a><a href="/files/pjrt-cpu/%[1]s">x</a>`, file)
			case "/bad/" + file:
				bad := bytes.Clone(w.wheels["pjrt-cpu"])
				bad[100] ^= 1
				_, _ = out.Write(bad)
			default:
				next.ServeHTTP(out, r)
			}
		})
	}
	p, err := w.install(t.Context(), Options{}, "PIP_INDEX_URL="+w.serve(t))
	if err != nil {
		t.Fatal(err)
	}
	w.checkInstalled(t, p)
}

func TestInstallFromDirectory(t *testing.T) {
	w := newWorld(t)
	dir := filepath.Join(t.TempDir(), "pjrt-cpu")
	if err := errors.Join(os.Mkdir(dir, 0o777), os.WriteFile(filepath.Join(dir, w.pin.Wheels[0].File), w.wheels["pjrt-cpu"], 0o666)); err != nil {
		t.Fatal(err)
	}
	p, err := w.install(t.Context(), Options{}, "PIP_INDEX_URL=file://"+filepath.Dir(dir))
	if err != nil {
		t.Fatal(err)
	}
	w.checkInstalled(t, p)
}

func TestInstallWithPassword(t *testing.T) {
	guarded := func(t *testing.T) (*world, *url.URL) {
		w := newWorld(t)
		w.around = func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
				if user, password, _ := r.BasicAuth(); user != "me" || password != "se:cr@t" {
					out.WriteHeader(http.StatusUnauthorized)
					return
				}
				next.ServeHTTP(out, r)
			})
		}
		u, err := url.Parse(w.serve(t))
		if err != nil {
			t.Fatal(err)
		}
		return w, u
	}
	t.Run("in the URL", func(t *testing.T) {
		w, u := guarded(t)
		u.User = url.UserPassword("me", "se:cr@t")
		if _, err := w.install(t.Context(), Options{}, "PIP_INDEX_URL="+u.String()); err != nil {
			t.Error(err)
		}
	})
	t.Run("in netrc", func(t *testing.T) {
		for _, machine := range []string{"machine 127.0.0.1", "machine other login x password y\ndefault"} {
			w, u := guarded(t)
			netrc := filepath.Join(t.TempDir(), ".netrc")
			if err := os.WriteFile(netrc, []byte(machine+"\n  login me\n  password se:cr@t\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := w.install(t.Context(), Options{}, "PIP_INDEX_URL="+u.String(), "HOME="+filepath.Dir(netrc)); err != nil {
				t.Error(err)
			}
		}
	})
	t.Run("wrong", func(t *testing.T) {
		w, u := guarded(t)
		u.User = url.UserPassword("me", "guess")
		_, err := w.install(t.Context(), Options{}, "PIP_INDEX_URL="+u.String())
		if err == nil || !strings.Contains(err.Error(), "401") || strings.Contains(err.Error(), "guess") {
			t.Errorf("the error is %v", err)
		}
	})
	t.Run("not for other hosts", func(t *testing.T) {
		var told atomic.Bool
		w := newWorld(t)
		w.around = func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Authorization") != "" {
					told.Store(true)
				}
				next.ServeHTTP(out, r)
			})
		}
		files := w.serve(t)
		page := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
			http.Redirect(out, r, files+"/pjrt-cpu/", http.StatusFound)
		}))
		defer page.Close()
		if _, err := w.install(t.Context(), Options{}, "PIP_INDEX_URL="+strings.Replace(page.URL, "//", "//me:secret@", 1)); err != nil {
			t.Error(err)
		}
		if told.Load() {
			t.Error("another host gets the password")
		}
	})
}

func TestInstallThroughProxy(t *testing.T) {
	// No resolver knows these names; only the proxy finds the index.
	for _, c := range []struct{ name, variable string }{
		{"pip's", "PIP_PROXY=%s"},
		{"pip's, without a scheme", "PIP_PROXY=me:secret@127.0.0.1:%[2]s"},
		{"the environment's", "http_proxy=%s"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			var password atomic.Value
			proxy := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
				if r.URL.Host != "wheels.test" {
					t.Errorf("the proxy is asked for %v", r.URL)
				}
				password.Store(r.Header.Get("Proxy-Authorization"))
				w.handler().ServeHTTP(out, r)
			}))
			defer proxy.Close()
			_, port, _ := strings.Cut(strings.TrimPrefix(proxy.URL, "http://"), ":")
			_, err := w.install(t.Context(), Options{}, "PIP_INDEX_URL=http://wheels.test/simple", fmt.Sprintf(c.variable+"%.0[1]s%.0[2]s", proxy.URL, port))
			if err != nil {
				t.Error(err)
			}
			if wants := strings.Contains(c.variable, "secret"); wants != (password.Load() != "") {
				t.Errorf("the proxy gets the password %q", password.Load())
			}
		})
	}
	t.Run("tunnel", func(t *testing.T) {
		w := newWorld(t)
		server := httptest.NewTLSServer(w.handler())
		defer server.Close()
		proxy := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodConnect || r.Host != "example.com:443" {
				t.Errorf("the proxy is asked to %s %s", r.Method, r.Host)
			}
			tunnel(t, out, server.Listener.Addr().String())
		}))
		defer proxy.Close()
		// example.com is a name in the test server's certificate.
		_, err := w.install(t.Context(), Options{}, "PIP_INDEX_URL=https://example.com/simple", "https_proxy="+proxy.URL, "PIP_CERT="+certificate(t, server))
		if err != nil {
			t.Error(err)
		}
	})
}

// tunnel joins the connection of a request with one to address.
func tunnel(t *testing.T, out http.ResponseWriter, address string) {
	to, err := net.Dial("tcp", address)
	if err != nil {
		t.Error(err)
		return
	}
	out.WriteHeader(http.StatusOK)
	from, _, err := http.NewResponseController(out).Hijack()
	if err != nil {
		t.Error(err)
		return
	}
	go func() {
		_, _ = io.Copy(to, from)
		_ = to.Close()
	}()
	_, _ = io.Copy(from, to)
	_ = from.Close()
}

// certificate writes the server's certificate, and its key, to a file.
func certificate(t *testing.T, server *httptest.Server) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o666); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestInstallOverTLS(t *testing.T) {
	w := newWorld(t)
	server := httptest.NewUnstartedServer(w.handler())
	server.Config.ErrorLog = quiet
	server.StartTLS()
	defer server.Close()
	file := certificate(t, server)
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, variable string
		want           string // of the error
		wrongUse       bool
	}{
		{"unknown authority", "", "set PIP_CERT", false},
		{"pip's certificates", "PIP_CERT=" + file, "", false},
		{"a directory of certificates", "PIP_CERT=" + filepath.Dir(file), "", false},
		{"missing certificates", "PIP_CERT=/nowhere/ca.pem", "/nowhere/ca.pem", true},
		{"no certificates", "PIP_CERT=" + empty, empty, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			w.root = filepath.Join(t.TempDir(), "pjrt")
			p, err := w.install(t.Context(), Options{}, "PIP_INDEX_URL="+server.URL+"/simple", c.variable)
			if c.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				w.checkInstalled(t, p)
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.want) || usage.Is(err) != c.wrongUse {
				t.Errorf("the error is %v, want one with %q", err, c.want)
			}
			w.checkNothing(t)
		})
	}
}

// Whatever the bytes of a wheel are, unpack writes only below the directory, and not more than
// allowed.
func FuzzUnpack(f *testing.F) {
	f.Add(makeWheel(f, entry{"a/b", "content", 0o644}, entry{"c/", "", fs.ModeDir | 0o755}))
	f.Add(makeWheel(f, entry{"../evil", "x", 0o644}))
	f.Add(makeWheel(f, entry{"a", "/etc", fs.ModeSymlink | 0o777}, entry{"a/b", "x", 0o644}))
	f.Add(makeWheel(f, entry{"a", "x", 0o644}, entry{"a/b", "x", 0o644}))
	f.Fuzz(func(t *testing.T, wheel []byte) {
		parent := t.TempDir()
		dir := filepath.Join(parent, "dir")
		if err := os.Mkdir(dir, 0o777); err != nil {
			t.Fatal(err)
		}
		const limit = 1000
		_ = unpack(t.Context(), bytes.NewReader(wheel), Wheel{Size: int64(len(wheel)), Unpacked: limit}, dir)
		var total int
		for _, content := range tree(t, dir) {
			total += len(content)
		}
		if total > limit {
			t.Errorf("%d bytes are unpacked", total)
		}
		if entries, err := os.ReadDir(parent); err != nil || len(entries) != 1 {
			t.Errorf("%v, %v", entries, err)
		}
	})
}
