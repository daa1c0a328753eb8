package serve

import (
	"net/http"
	"sync"
)

// answers holds answers that depend on one version of the data alone, by what was asked: programs that
// watch a campaign ask the same again and again.
type answers struct {
	mu    sync.Mutex
	texts map[string][]byte
	bytes int
}

// maxAnswers bounds the bytes of the answers that are kept, and maxAnswer those of one.
const (
	maxAnswers = 16 << 20
	maxAnswer  = maxAnswers / 16
)

// kept returns the answer to a request, nil if it is not kept. d may be nil.
func (d *data) kept(r *http.Request) []byte {
	if d == nil {
		return nil
	}
	a := &d.answers
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.texts[r.URL.RequestURI()]
}

// keep keeps the answer to a request. To make room, it forgets all others. d may be nil.
func (d *data) keep(r *http.Request, text []byte) {
	asked := r.URL.RequestURI()
	size := len(asked) + len(text)
	if d == nil || size > maxAnswer {
		return
	}
	a := &d.answers
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.texts == nil || a.bytes+size > maxAnswers {
		a.texts, a.bytes = map[string][]byte{}, 0
	}
	if _, known := a.texts[asked]; !known {
		a.texts[asked] = text
		a.bytes += size
	}
}
