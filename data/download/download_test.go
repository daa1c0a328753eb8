package download

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"nb201/configs"
	"nb201/data"
	"nb201/data/datatest"
	"nb201/internal/fetch"
	"nb201/internal/needs"
	"nb201/internal/usage"
)

// entry is an entry of a tar file, a regular file by default.
type entry struct {
	name, content string
	kind          byte
}

// pack returns a gzipped tar file.
func pack(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var out bytes.Buffer
	zipped := gzip.NewWriter(&out)
	w := tar.NewWriter(zipped)
	for _, e := range entries {
		header := &tar.Header{Name: e.name, Typeflag: e.kind, Mode: 0o644, Size: int64(len(e.content))}
		switch e.kind {
		case 0:
			header.Typeflag = tar.TypeReg
		case tar.TypeSymlink, tar.TypeLink:
			header.Linkname, header.Size = e.content, 0
		}
		err := w.WriteHeader(header)
		if err == nil && header.Size > 0 {
			_, err = io.WriteString(w, e.content)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), zipped.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// world is a local server with an archive, and a data directory.
type world struct {
	root    string
	archive Archive
	content []byte // of the archive on the server
	entries []entry

	// around answers request number attempt, from 0, before next or instead of it.
	around func(attempt int, next http.Handler, out http.ResponseWriter, r *http.Request)
	mu     sync.Mutex
	ranges []string // requested so far
}

// newWorld makes a world with a small CIFAR of a key and version.
func newWorld(t testing.TB, key, version string) *world {
	t.Helper()
	archive, err := Find(key, version)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{root: filepath.Join(t.TempDir(), "data"), archive: archive}
	train, test := datatest.Synth(90, 32, archive.Dataset.Classes, 1), datatest.Synth(20, 32, archive.Dataset.Classes, 2)
	w.archive.Dataset.Images = data.Counts{Train: train.Len(), Test: test.Len()}
	for i := range w.archive.Dataset.Eval {
		w.archive.Dataset.Eval[i].Split = "" // its indices need all images
		w.archive.Dataset.Eval[i].Order = data.Sequential
	}
	w.entries = []entry{{name: archive.Directory + "/", kind: tar.TypeDir}}
	for name, content := range datatest.Files(archive.Dataset.Format, train, test) {
		w.entries = append(w.entries, entry{name: archive.Directory + "/" + name, content: string(content)})
	}
	w.entries = append(w.entries, entry{name: archive.Directory + "/readme.html", content: "CIFAR"})
	w.publish(pack(t, w.entries...))
	return w
}

// publish makes content the archive on the server.
func (w *world) publish(content []byte) {
	w.content = content
	w.archive.Size = int64(len(content))
	sum, sum5 := sha256.Sum256(content), md5.Sum(content)
	w.archive.SHA256, w.archive.MD5 = hex.EncodeToString(sum[:]), hex.EncodeToString(sum5[:])
}

func (w *world) ServeHTTP(out http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	attempt := len(w.ranges)
	w.ranges = append(w.ranges, r.Header.Get("Range"))
	w.mu.Unlock()
	next := http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/mirror/"+w.archive.Name {
			http.NotFound(out, r)
			return
		}
		http.ServeContent(out, r, "", time.Time{}, bytes.NewReader(w.content))
	})
	if w.around != nil {
		w.around(attempt, next, out, r)
		return
	}
	next.ServeHTTP(out, r)
}

// serve starts the server and returns the mirror's URL.
func (w *world) serve(t testing.TB) string {
	server := httptest.NewUnstartedServer(w)
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // connections break off on purpose
	server.Start()
	t.Cleanup(server.Close)
	return server.URL + "/mirror/"
}

func (w *world) get(ctx context.Context, mirror string, progress func(doing string, done, total int64)) (Result, error) {
	settings := fetch.Settings{Timeout: 2 * time.Second, Retries: 1}
	return w.archive.Get(ctx, w.root, Options{Settings: settings, Mirror: mirror, Progress: progress})
}

// got checks the result and the data directory after a successful Get.
func (w *world) got(t testing.TB, r Result, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	want := Result{w.archive.Dataset.Name, filepath.Join(w.root, "cifar.python", w.archive.Directory), true, 90, 20}
	if r != want {
		t.Errorf("the result is %+v, want %+v", r, want)
	}
	files := map[string]string{w.lock(): ""}
	for _, e := range w.entries {
		if e.kind == 0 {
			files["cifar.python/"+e.name] = e.content
		}
	}
	if got := w.tree(t); !maps.Equal(got, files) {
		t.Errorf("there are %q, want %q", slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(files)))
	}
}

func (w *world) lock() string    { return "cifar.python/." + w.archive.Name + ".lock" }
func (w *world) partial() string { return "cifar.python/" + w.archive.Name + ".partial" }

// asked checks the ranges that were requested.
func (w *world) asked(t testing.TB, want ...string) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if !slices.Equal(w.ranges, want) {
		t.Errorf("asked for %q, want %q", w.ranges, want)
	}
}

// tree returns the files below the data directory with their contents.
func (w *world) tree(t testing.TB) map[string]string {
	t.Helper()
	return tree(t, w.root)
}

func tree(t testing.TB, root string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		name, _ := filepath.Rel(root, path)
		files[filepath.ToSlash(name)] = string(content)
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return files
}

// put writes a file below the data directory.
func (w *world) put(t testing.TB, name string, content []byte) {
	t.Helper()
	path := filepath.Join(w.root, filepath.FromSlash(name))
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o777), os.WriteFile(path, content, 0o666)); err != nil {
		t.Fatal(err)
	}
}

func TestGet(t *testing.T) {
	for _, key := range []string{"cifar10", "cifar10-valid", "cifar100"} {
		for _, version := range Versions() {
			t.Run(key+" "+version, func(t *testing.T) {
				w := newWorld(t, key, version)
				mirror := w.serve(t)
				var doing []string
				var last int64
				r, err := w.get(t.Context(), mirror, func(text string, done, total int64) {
					if len(doing) == 0 || doing[len(doing)-1] != text {
						doing = append(doing, text)
					} else if done < last {
						t.Errorf("%s: the progress falls from %d to %d", text, last, done)
					}
					if last = done; total != w.archive.Size {
						t.Errorf("a total of %d", total)
					}
				})
				w.got(t, r, err)
				if want := []string{"downloading " + w.archive.Name, "unpacking " + w.archive.Name}; !slices.Equal(doing, want) || last != w.archive.Size {
					t.Errorf("the progress shows %q and ends with %d", doing, last)
				}
				// Get keeps existing files.
				again, err := w.get(t.Context(), mirror, nil)
				if r.Downloaded = false; again != r || err != nil {
					t.Errorf("the second time: %+v, %v", again, err)
				}
				w.asked(t, "")
			})
		}
	}
}

// Get finds a directory that the user unpacked elsewhere in the data directory.
func TestGetElsewhere(t *testing.T) {
	w := newWorld(t, "cifar10", Python)
	for _, e := range w.entries {
		if e.kind == 0 {
			w.put(t, e.name, []byte(e.content))
		}
	}
	before := w.tree(t)
	want := Result{"cifar10", filepath.Join(w.root, w.archive.Directory), false, 90, 20}
	if r, err := w.get(t.Context(), w.serve(t), nil); r != want || err != nil {
		t.Errorf("%+v, %v; want %+v", r, err, want)
	}
	if !maps.Equal(w.tree(t), before) {
		t.Error("the data directory has changed")
	}
}

// Get does not touch existing data that does not load.
func TestGetDamaged(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(w *world, files []entry)
	}{
		{"file missing", func(w *world, files []entry) { w.entries = files[1:] }},
		{"file empty", func(_ *world, files []entry) { files[0].content = "" }},
		{"other counts", func(w *world, _ []entry) { w.archive.Dataset.Images.Train++ }},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, "cifar10", Binary)
			w.entries = w.entries[1:]
			c.spoil(w, w.entries)
			for _, e := range w.entries {
				w.put(t, "cifar.python/"+e.name, []byte(e.content))
			}
			before := w.tree(t)
			_, err := w.get(t.Context(), w.serve(t), nil)
			if dir := filepath.Join(w.root, "cifar.python", w.archive.Directory); !usage.Is(err) || !strings.HasPrefix(err.Error(), dir+" exists, but is not cifar10") {
				t.Errorf("the error is %v", err)
			}
			if !maps.Equal(w.tree(t), before) {
				t.Error("the data directory has changed")
			}
			w.asked(t)
		})
	}
}

// cut sends the first n bytes of next's response, and breaks the connection.
func cut(next http.Handler, out http.ResponseWriter, r *http.Request, n int) {
	recorder := httptest.NewRecorder()
	next.ServeHTTP(recorder, r)
	maps.Copy(out.Header(), recorder.Header())
	out.WriteHeader(recorder.Code)
	_, _ = out.Write(recorder.Body.Bytes()[:n])
	_ = http.NewResponseController(out).Flush()
	panic(http.ErrAbortHandler)
}

func TestGetResumes(t *testing.T) {
	flipped := func(content []byte) []byte {
		content = slices.Clone(content)
		content[5] ^= 1
		return content
	}
	for _, c := range []struct {
		name    string
		partial func(content []byte) []byte // contents of the partial file; nil means none
		around  func(attempt int, next http.Handler, out http.ResponseWriter, r *http.Request)
		want    []string // the ranges that should be requested
	}{
		{"a break", nil, func(attempt int, next http.Handler, out http.ResponseWriter, r *http.Request) {
			if attempt == 0 {
				cut(next, out, r, 1000)
			}
			next.ServeHTTP(out, r)
		}, []string{"", "bytes=1000-"}},
		{"a break at a server without ranges", nil, func(attempt int, next http.Handler, out http.ResponseWriter, r *http.Request) {
			r.Header.Del("Range")
			if attempt == 0 {
				cut(next, out, r, 1000)
			}
			next.ServeHTTP(out, r)
		}, []string{"", "bytes=1000-"}},
		{"an earlier time", func(content []byte) []byte { return content[:2000] }, nil, []string{"bytes=2000-"}},
		{"an earlier time, whole", func(content []byte) []byte { return content }, nil, nil},
		{"an earlier time, at a server without ranges", func(content []byte) []byte { return content[:2000] },
			func(_ int, next http.Handler, out http.ResponseWriter, r *http.Request) {
				r.Header.Del("Range")
				next.ServeHTTP(out, r)
			}, []string{"bytes=2000-"}},
		{"an earlier time, at a server that refuses ranges", func(content []byte) []byte { return content[:2000] },
			func(_ int, next http.Handler, out http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Range") != "" {
					out.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
					return
				}
				next.ServeHTTP(out, r)
			}, []string{"bytes=2000-", ""}},
		{"another file's beginning", func(content []byte) []byte { return flipped(content)[:2000] }, nil, []string{"bytes=2000-", ""}},
		{"another file", flipped, nil, []string{""}},
		{"a longer file", func(content []byte) []byte { return append(slices.Clone(content), 0) }, nil, []string{""}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, "cifar10", Python)
			w.around = c.around
			if c.partial != nil {
				w.put(t, w.partial(), c.partial(w.content))
			}
			r, err := w.get(t.Context(), w.serve(t), nil)
			w.got(t, r, err)
			w.asked(t, c.want...)
		})
	}
}

// stall answers the first request with n bytes, and then sends nothing more.
func stall(n int) func(int, http.Handler, http.ResponseWriter, *http.Request) {
	return func(attempt int, next http.Handler, out http.ResponseWriter, r *http.Request) {
		if attempt > 0 {
			next.ServeHTTP(out, r)
			return
		}
		recorder := httptest.NewRecorder()
		next.ServeHTTP(recorder, r)
		maps.Copy(out.Header(), recorder.Header())
		_, _ = out.Write(recorder.Body.Bytes()[:n])
		_ = http.NewResponseController(out).Flush()
		<-r.Context().Done()
	}
}

func TestGetCancelled(t *testing.T) {
	t.Run("while downloading", func(t *testing.T) {
		w := newWorld(t, "cifar10", Python)
		w.around = stall(3000)
		mirror := w.serve(t)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		_, err := w.get(ctx, mirror, func(_ string, done, _ int64) {
			if done == 3000 {
				cancel()
			}
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("the error is %v", err)
		}
		if got, want := w.tree(t), map[string]string{w.lock(): "", w.partial(): string(w.content[:3000])}; !maps.Equal(got, want) {
			t.Errorf("there are %q", slices.Sorted(maps.Keys(got)))
		}
		r, err := w.get(t.Context(), mirror, nil)
		w.got(t, r, err)
		w.asked(t, "", "bytes=3000-")
	})
	t.Run("while unpacking", func(t *testing.T) {
		w := newWorld(t, "cifar10", Python)
		mirror := w.serve(t)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		_, err := w.get(ctx, mirror, func(doing string, _, _ int64) {
			if strings.HasPrefix(doing, "unpacking") {
				cancel()
			}
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("the error is %v", err)
		}
		if got, want := w.tree(t), map[string]string{w.lock(): "", w.partial(): string(w.content)}; !maps.Equal(got, want) {
			t.Errorf("there are %q", slices.Sorted(maps.Keys(got)))
		}
		r, err := w.get(t.Context(), mirror, nil)
		w.got(t, r, err)
		w.asked(t, "")
	})
	t.Run("while another process gets it", func(t *testing.T) {
		w := newWorld(t, "cifar10", Python)
		first, second := make(chan struct{}), make(chan struct{})
		w.around = func(_ int, next http.Handler, out http.ResponseWriter, r *http.Request) {
			close(first)
			<-second
			next.ServeHTTP(out, r)
		}
		mirror := w.serve(t)
		var group sync.WaitGroup
		group.Go(func() {
			r, err := w.get(t.Context(), mirror, nil)
			if err != nil || !r.Downloaded {
				t.Errorf("%+v, %v", r, err)
			}
		})
		<-first
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		_, err := w.get(ctx, mirror, func(doing string, _, _ int64) {
			if strings.HasPrefix(doing, "waiting for another process") {
				cancel()
			}
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("the error is %v", err)
		}
		close(second)
		group.Wait()
	})
}

func TestGetAtTheSameTime(t *testing.T) {
	w := newWorld(t, "cifar100", Binary)
	mirror := w.serve(t)
	results := make([]Result, 5)
	var group sync.WaitGroup
	for i := range results {
		group.Go(func() {
			var err error
			if results[i], err = w.get(t.Context(), mirror, nil); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	w.asked(t, "")
	i := slices.IndexFunc(results, func(r Result) bool { return r.Downloaded })
	w.got(t, results[max(i, 0)], nil)
}

// killed is the environment variable that makes the test binary call Get. Its value is the
// URL of the mirror, a space, and the data directory.
const killed = "NB201_TEST_GET"

// If a process is killed while it downloads or unpacks, the next one resumes.
func TestGetKilled(t *testing.T) {
	w := newWorld(t, "cifar10", Python)
	if mirror, root, ok := strings.Cut(os.Getenv(killed), " "); ok {
		w.root = root
		_, err := w.get(t.Context(), mirror, nil)
		t.Fatalf("not killed: %v", err)
	}
	w.around = stall(5000)
	mirror := w.serve(t)
	process := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestGetKilled$")
	process.Env = append(os.Environ(), killed+"="+mirror+" "+w.root)
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	partial := filepath.Join(w.root, filepath.FromSlash(w.partial()))
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if info, err := os.Stat(partial); err == nil && info.Size() == 5000 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the other process does not download")
		}
	}
	if err := process.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = process.Wait() // killed
	// As if another process had been killed while it unpacked.
	w.put(t, "cifar.python/."+w.archive.Directory+".KILLED.tmp/data_batch_1", []byte("part"))
	r, err := w.get(t.Context(), mirror, nil)
	w.got(t, r, err)
	w.asked(t, "", "bytes=5000-")
}

// A process that is killed right after the directory got its name leaves the archive.
func TestGetKilledAtTheEnd(t *testing.T) {
	w := newWorld(t, "cifar10", Python)
	mirror := w.serve(t)
	r, err := w.get(t.Context(), mirror, nil)
	w.got(t, r, err)
	w.put(t, w.partial(), w.content)
	if _, err := w.get(t.Context(), mirror, nil); err != nil {
		t.Fatal(err)
	}
	w.got(t, r, nil)
}

func TestGetRefuses(t *testing.T) {
	status := func(code int) func(*testing.T, *world) {
		return func(_ *testing.T, w *world) {
			w.around = func(_ int, _ http.Handler, out http.ResponseWriter, _ *http.Request) { out.WriteHeader(code) }
		}
	}
	// withEntry publishes the archive with another entry.
	withEntry := func(e entry) func(*testing.T, *world) {
		return func(t *testing.T, w *world) { w.publish(pack(t, append(slices.Clone(w.entries), e)...)) }
	}
	for _, c := range []struct {
		name  string
		spoil func(*testing.T, *world)
		want  string
		left  bool // the download stays for the next Get
	}{
		{"another content", func(_ *testing.T, w *world) {
			w.content = slices.Clone(w.content)
			w.content[1000] ^= 1
		}, "the SHA-256 is ", false},
		{"another MD5", func(_ *testing.T, w *world) { w.archive.MD5 = strings.Repeat("0", 32) }, "instead of 00000000000000000000000000000000", false},
		{"shorter", func(_ *testing.T, w *world) { w.content = w.content[:1000] }, "it has 1000 bytes, but should have", false},
		{"longer", func(_ *testing.T, w *world) { w.content = append(slices.Clone(w.content), 0) }, "bytes, but should have", false},
		{"always breaking off", func(_ *testing.T, w *world) {
			w.around = func(_ int, next http.Handler, out http.ResponseWriter, r *http.Request) { cut(next, out, r, 10) }
		}, "run the command again to resume", true},
		{"not there", status(404), "404 Not Found; run the command again", false},
		{"in trouble", status(503), "503 Service Unavailable", false},
		{"file above", withEntry(entry{name: "../evil", content: "x"}), `"../evil" is outside the directory cifar-10-batches-py`, true},
		{"file above, later", withEntry(entry{name: "cifar-10-batches-py/../../evil", content: "x"}), "is outside the", true},
		{"file beside", withEntry(entry{name: "cifar-10-batches-py/../cifar-100-python/evil", content: "x"}), "is outside the", true},
		{"file at the root", withEntry(entry{name: "/evil", content: "x"}), `"/evil" is outside the`, true},
		{"file without a directory", withEntry(entry{name: "evil", content: "x"}), `"evil" is outside the`, true},
		{"symbolic link", withEntry(entry{"cifar-10-batches-py/a", "/etc", tar.TypeSymlink}), "is neither a file nor a directory", true},
		{"hard link", withEntry(entry{"cifar-10-batches-py/a", "cifar-10-batches-py/test_batch", tar.TypeLink}), "is neither a file nor a directory", true},
		{"device", withEntry(entry{name: "cifar-10-batches-py/a", kind: tar.TypeChar}), "is neither a file nor a directory", true},
		{"pipe", withEntry(entry{name: "cifar-10-batches-py/a", kind: tar.TypeFifo}), "is neither a file nor a directory", true},
		{"file twice", withEntry(entry{name: "cifar-10-batches-py/test_batch", content: "x"}), "exists", true},
		{"file for a directory", withEntry(entry{name: "cifar-10-batches-py/test_batch/x", content: "x"}), "exists", true},
		{"file for the directory", withEntry(entry{name: "cifar-10-batches-py", content: "x"}), "exists", true},
		{"no gzip", func(_ *testing.T, w *world) { w.publish([]byte("not a gzipped file")) }, "gzip: invalid header", true},
		{"truncated", func(_ *testing.T, w *world) { w.publish(w.content[:len(w.content)/2]) }, "unexpected EOF", true},
		{"without the end", func(_ *testing.T, w *world) { w.publish(w.content[:len(w.content)-4]) }, "unexpected EOF", true},
		{"wrong sum in gzip", func(_ *testing.T, w *world) {
			w.content = slices.Clone(w.content)
			w.content[len(w.content)-8] ^= 1
			w.publish(w.content)
		}, "gzip: invalid checksum", true},
		{"file missing", func(t *testing.T, w *world) { w.publish(pack(t, slices.Delete(slices.Clone(w.entries), 3, 4)...)) }, "are not cifar10: ", true},
		{"empty", func(t *testing.T, w *world) { w.publish(pack(t)) }, "are not cifar10: ", true},
		{"other counts", func(_ *testing.T, w *world) { w.archive.Dataset.Images.Train = 91 }, "are not cifar10: ", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, "cifar10", Python)
			c.spoil(t, w)
			_, err := w.get(t.Context(), w.serve(t), nil)
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "PIP_") {
				t.Errorf("the error is %v, want one with %q", err, c.want)
			}
			want := []string{w.lock()}
			if c.left {
				want = append(want, w.partial())
			}
			if got := slices.Sorted(maps.Keys(tree(t, filepath.Dir(w.root)))); len(got) != len(want) {
				t.Errorf("there are %q, want %q", got, want)
			}
			if _, err := os.Lstat(filepath.Join(w.root, "cifar.python", w.archive.Directory)); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("there is a directory of the data: %v", err)
			}
		})
	}
}

func TestGetMirror(t *testing.T) {
	t.Run("on the file system", func(t *testing.T) {
		w := newWorld(t, "cifar10", Python)
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, w.archive.Name), w.content, 0o666); err != nil {
			t.Fatal(err)
		}
		w.put(t, w.partial(), w.content[:100])
		r, err := w.get(t.Context(), "file://"+dir, nil)
		w.got(t, r, err)
	})
	t.Run("that leads to a file", func(t *testing.T) {
		dir := t.TempDir()
		pipe := filepath.Join(dir, "pipe")
		if err := syscall.Mkfifo(pipe, 0o666); err != nil {
			t.Fatal(err)
		}
		for _, to := range []string{"/etc/passwd", "/dev/zero", pipe} {
			w := newWorld(t, "cifar10", Python)
			w.around = func(_ int, _ http.Handler, out http.ResponseWriter, r *http.Request) {
				http.Redirect(out, r, "file://"+to, http.StatusFound)
			}
			_, err := w.get(t.Context(), w.serve(t), nil)
			if err == nil || !strings.Contains(err.Error(), "it redirects to file://"+to+": http must not lead to file") {
				t.Errorf("%s: the error is %v", to, err)
			}
			if left := w.tree(t); len(left) != 1 { // the lock
				t.Errorf("%s: there are %q", to, left)
			}
		}
	})
	t.Run("with a pipe", func(t *testing.T) {
		w := newWorld(t, "cifar10", Python)
		dir := t.TempDir()
		if err := syscall.Mkfifo(filepath.Join(dir, w.archive.Name), 0o666); err != nil {
			t.Fatal(err)
		}
		if _, err := w.get(t.Context(), "file://"+dir, nil); err == nil || !strings.Contains(err.Error(), "a named pipe") {
			t.Errorf("the error is %v", err)
		}
	})
	t.Run("with a pipe in place of what is written", func(t *testing.T) {
		w := newWorld(t, "cifar10", Python)
		partial := filepath.Join(w.root, w.partial())
		if err := errors.Join(os.MkdirAll(filepath.Dir(partial), 0o777), syscall.Mkfifo(partial, 0o666)); err != nil {
			t.Fatal(err)
		}
		if _, err := w.get(t.Context(), w.serve(t), nil); !usage.Is(err) || !strings.Contains(err.Error(), partial+" is not a regular file") {
			t.Errorf("the error is %v", err)
		}
	})
	guarded := func(t *testing.T) (*world, string) {
		w := newWorld(t, "cifar10", Python)
		w.around = func(_ int, next http.Handler, out http.ResponseWriter, r *http.Request) {
			if user, password, _ := r.BasicAuth(); user != "me" || password != "secret" {
				out.WriteHeader(http.StatusUnauthorized)
				return
			}
			next.ServeHTTP(out, r)
		}
		return w, w.serve(t)
	}
	t.Run("with a password", func(t *testing.T) {
		w, mirror := guarded(t)
		r, err := w.get(t.Context(), strings.Replace(mirror, "//", "//me:secret@", 1), nil)
		w.got(t, r, err)
	})
	t.Run("with a wrong password", func(t *testing.T) {
		w, mirror := guarded(t)
		_, err := w.get(t.Context(), strings.Replace(mirror, "//", "//me:guess@", 1), nil)
		if err == nil || !strings.Contains(err.Error(), "401 Unauthorized; put user:password@ before the host") || strings.Contains(err.Error(), "guess") {
			t.Errorf("the error is %v", err)
		}
	})
	t.Run("no URL", func(t *testing.T) {
		w := newWorld(t, "cifar10", Python)
		for _, mirror := range []string{"host/path", "ftp://host", "http://[::1", "/path", "me:secret@host"} {
			if _, err := w.get(t.Context(), mirror, nil); !usage.Is(err) || strings.Contains(err.Error(), "secret") {
				t.Errorf("%s: the error is %v", mirror, err)
			}
		}
		if left := w.tree(t); len(left) != 0 {
			t.Errorf("there are %q", left)
		}
	})
}

func TestGetUnwritable(t *testing.T) {
	t.Run("file in the way", func(t *testing.T) {
		w := newWorld(t, "cifar10", Python)
		w.put(t, "cifar.python", nil)
		if _, err := w.get(t.Context(), w.serve(t), nil); !usage.Is(err) || !strings.Contains(err.Error(), "--data") {
			t.Errorf("the error is %v", err)
		}
		w.asked(t)
	})
	t.Run("read-only", func(t *testing.T) {
		needs.User(t)
		w := newWorld(t, "cifar10", Python)
		if err := os.Mkdir(w.root, 0o555); err != nil {
			t.Fatal(err)
		}
		if _, err := w.get(t.Context(), w.serve(t), nil); !usage.Is(err) || !strings.Contains(err.Error(), "--data") {
			t.Errorf("the error is %v", err)
		}
	})
}

func TestFind(t *testing.T) {
	for _, c := range []struct{ key, version, name, directory, format string }{
		{"cifar10", Python, "cifar-10-python.tar.gz", "cifar-10-batches-py", "cifar10-python"},
		{"cifar10", Binary, "cifar-10-binary.tar.gz", "cifar-10-batches-bin", "cifar10-binary"},
		{"cifar10-valid", Python, "cifar-10-python.tar.gz", "cifar-10-batches-py", "cifar10-python"},
		{"cifar10-valid", Binary, "cifar-10-binary.tar.gz", "cifar-10-batches-bin", "cifar10-binary"},
		{"cifar100", Python, "cifar-100-python.tar.gz", "cifar-100-python", "cifar100-python"},
		{"cifar100", Binary, "cifar-100-binary.tar.gz", "cifar-100-binary", "cifar100-binary"},
	} {
		a, err := Find(c.key, c.version)
		if err != nil {
			t.Fatal(err)
		}
		if a.Name != c.name || a.Directory != c.directory || a.Dataset.Format != c.format || a.Dataset.Name != c.key || a.Dataset.Images != (data.Counts{Train: 50000, Test: 10000}) {
			t.Errorf("%s %s: %+v", c.key, c.version, a)
		}
		for sum, bytes := range map[string]int{a.MD5: md5.Size, a.SHA256: sha256.Size} {
			if raw, err := hex.DecodeString(sum); err != nil || len(raw) != bytes || sum != strings.ToLower(sum) {
				t.Errorf("%s: the checksum %q", a.Name, sum)
			}
		}
		// 60,000 images of 3,072 random-looking bytes shrink a little.
		if pixels := int64(60000 * 3072); a.Size < pixels*9/10 || a.Size > pixels {
			t.Errorf("%s: %d bytes", a.Name, a.Size)
		}
	}
	seen := map[string]bool{}
	for format, a := range archives {
		for _, value := range []string{a.Name, a.MD5, a.SHA256, a.Directory} {
			if seen[value] {
				t.Errorf("%s: %s occurs twice", format, value)
			}
			seen[value] = true
		}
	}
}

func TestFindRefuses(t *testing.T) {
	for _, c := range []struct {
		key, version, want string
		is                 error
	}{
		{"ImageNet16-120", Python, "ImageNet16-120 has no download; put its files into the data directory by hand", ErrByHand},
		{"digits", Python, "digits is part of this program", ErrEmbedded},
		{"mine.json", Python, "mine.json: no download is known for a dataset of your own", nil},
		{"MNIST", Python, `unknown dataset key "MNIST"`, nil},
		{"cifar10", "matlab", `unknown --format "matlab" for cifar10; use python or binary`, nil},
		{"cifar100", "", `unknown --format "" for cifar100`, nil},
	} {
		_, err := Find(c.key, c.version)
		if !usage.Is(err) || !strings.Contains(err.Error(), c.want) || c.is != nil && !errors.Is(err, c.is) {
			t.Errorf("%s %s: the error is %v", c.key, c.version, err)
		}
	}
	// Every published key is known here.
	for _, key := range configs.Datasets() {
		if _, err := Find(key, Python); err != nil && !errors.Is(err, ErrByHand) && !errors.Is(err, ErrEmbedded) {
			t.Errorf("%s: %v", key, err)
		}
	}
}
