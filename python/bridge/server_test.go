package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"

	"nb201/internal/pickle"
	"nb201/results"
	"nb201/results/resultstest"
)

// ask sends a request and decodes the reply.
func ask(s *server, format string, operands ...any) (any, error) {
	text, err := s.answer(fmt.Appendf(nil, format, operands...))
	if err != nil {
		return nil, err
	}
	return pickle.Reader{Class: func(module, name string) (any, error) {
		if module == kept.Module {
			return &pickle.Opaque{Name: name}, nil
		}
		return pickle.Plain(module, name)
	}}.Decode(text)
}

// open opens a benchmark and returns its number.
func open(t testing.TB, s *server, path string) int64 {
	t.Helper()
	v, err := ask(s, `{"call":"open","path":%q,"numpy":true}`, path)
	if err != nil {
		t.Fatal(err)
	}
	handle, _ := v.(*pickle.Dict).Get("handle")
	return handle.(int64)
}

func campaign(t testing.TB) string {
	var trials []results.Trial
	for _, arch := range []int{0, 7} {
		trials = append(trials, resultstest.Published(arch)...)
	}
	return resultstest.Fill(t, trials...).Dir
}

func TestWrongRequests(t *testing.T) {
	s := newServer()
	handle := open(t, s, campaign(t))
	for request, want := range map[string]string{
		``:                                     "does not understand",
		`[]`:                                   "does not understand",
		`{"call":"open","colour":1}`:           "does not understand",
		`{"call":"unknown"}`:                   "no call",
		`{"call":"open","path":""}`:            "no such file",
		`{"call":"strings","handle":99}`:       "is closed",
		`{"call":"next","handle":99,"scan":5}`: "",
		`{"call":"scan","handle":99}`:          "is closed",
		`{"call":"close","handle":99}`:         "",
		`{"call":"cancel","ticket":99}`:        "",
		`{"call":"progress","ticket":99}`:      "",
		fmt.Sprintf(`{"call":"architecture","handle":%d,"index":3}`, handle):                             "does not hold architecture 3",
		fmt.Sprintf(`{"call":"records","handle":%d,"index":-1}`, handle):                                 "-1",
		fmt.Sprintf(`{"call":"weights","handle":%d,"slot":"12","dataset":"cifar10"}`, handle):            "names no seed",
		fmt.Sprintf(`{"call":"weights","handle":%d,"slot":"5","dataset":"cifar10","seed":1}`, handle):    `no schedule "5"`,
		fmt.Sprintf(`{"call":"weights","handle":%d,"slot":"less","dataset":"cifar10","seed":1}`, handle): "seed",
		fmt.Sprintf(`{"call":"index","handle":%d,"arch":"x"}`, handle):                                   "unknown architecture",
	} {
		_, err := ask(s, "%s", request)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: error %v, want %q", request, err, want)
		}
	}
}

// A fault of the library is an error of the call, not the end of the Python program.
func TestPanics(t *testing.T) {
	s := newServer()
	s.benchmarks[1] = &opened{} // without a benchmark
	_, err := ask(s, `{"call":"strings","handle":1}`)
	if err == nil || !strings.Contains(err.Error(), "please report it") {
		t.Errorf("error %v", err)
	}
	if text := encodeError(err); !bytes.Contains(text, []byte("system")) {
		t.Errorf("%q", text)
	}
}

// Records of a file are its own contents; those of a campaign are the contents of its export.
func TestRecords(t *testing.T) {
	s := newServer()
	const file = "../../testdata/published-sss"
	handle := open(t, s, file)
	v, err := ask(s, `{"call":"records","handle":%d,"index":11}`, handle)
	if err != nil {
		t.Fatal(err)
	}
	text, err := pickle.ReadBZ2(filepath.Join(file, "000011.pickle.pbz2"), 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	original, err := pickle.Reader{}.Decode(text)
	if err != nil {
		t.Fatal(err)
	}
	compared := 0
	for i, slot := range original.(*pickle.OrderedDict).Items {
		got := v.(*pickle.OrderedDict).Items[i]
		pair := got.Value.(pickle.Tuple)
		all, _ := slot.Value.(*pickle.Dict).Get("all_results")
		trials := *pair[1].(*pickle.List)
		for j, trial := range *all.(*pickle.Dict) {
			state, err := pickle.Reader{}.Decode(trials[j].(pickle.Tuple)[1].([]byte))
			if err != nil || !reflect.DeepEqual(state, trial.Value) || !reflect.DeepEqual(trials[j].(pickle.Tuple)[0], trial.Key) {
				t.Errorf("%v %v differs: %v", slot.Key, trial.Key, err)
			}
			compared++
		}
		if got.Key != slot.Key || len(*pair[0].(*pickle.Dict)) != len(*slot.Value.(*pickle.Dict)) {
			t.Errorf("%v has %v", slot.Key, got)
		}
	}
	if compared != 20 {
		t.Errorf("compared %d trials", compared)
	}
}

// Many goroutines ask, scan, open and close at the same time. Run it with -race.
func TestConcurrent(t *testing.T) {
	s := newServer()
	path := campaign(t)
	shared := open(t, s, path)
	want, err := ask(s, `{"call":"architecture","handle":%d,"index":7}`, shared)
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for worker := range 32 {
		group.Go(func() {
			random := rand.New(rand.NewPCG(uint64(worker), 0))
			for range 6 {
				switch random.IntN(4) {
				case 0:
					if got, err := ask(s, `{"call":"architecture","handle":%d,"index":7}`, shared); err != nil || !reflect.DeepEqual(got, want) {
						t.Errorf("got %v, %v", got, err)
					}
				case 1:
					own := open(t, s, path)
					if _, err := ask(s, `{"call":"close","handle":%d}`, own); err != nil {
						t.Error(err)
					}
				case 2:
					scan, err := ask(s, `{"call":"scan","handle":%d,"indices":[7,0,7,7,0,7]}`, shared)
					if err != nil {
						t.Error(err)
						return
					}
					if random.IntN(2) == 0 {
						if _, err := ask(s, `{"call":"stop","scan":%d}`, scan); err != nil {
							t.Error(err)
						}
					}
					if _, err := ask(s, `{"call":"next","scan":%d}`, scan); err != nil {
						t.Error(err)
					}
				case 3:
					ticket := worker + 1
					if _, err := ask(s, `{"call":"cancel","ticket":%d}`, random.IntN(40)); err != nil {
						t.Error(err)
					}
					_, _ = ask(s, `{"call":"best","handle":%d,"dataset":"cifar10","set":"test","schedule":"12","ticket":%d}`, shared, ticket) // may be cancelled
				}
			}
		})
	}
	group.Wait()
	if len(s.tickets) > 0 || len(s.benchmarks) != 1 {
		t.Errorf("%d tickets and %d benchmarks are left", len(s.tickets), len(s.benchmarks))
	}
}

// The text of any request is JSON or an error, never a panic.
func FuzzRequests(f *testing.F) {
	for _, name := range []string{"open", "next", "scan", "best", "query"} {
		f.Add(fmt.Appendf(nil, `{"call":%q,"handle":1,"index":0,"path":"."}`, name))
	}
	s := newServer()
	f.Fuzz(func(t *testing.T, text []byte) {
		reply, err := s.answer(text)
		if err != nil {
			reply = encodeError(err)
		}
		if _, err := (pickle.Reader{}).Decode(reply); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	})
}
