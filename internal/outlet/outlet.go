// Package outlet writes to terminals, pipes and log files that may take no output: a
// terminal that is stopped with Ctrl-S, a connection that hangs, a full disk. One goroutine
// owns the output; who writes never waits for it, and at worst lines are lost and counted.
package outlet

import (
	"bytes"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// Writer writes to an output. It is safe for concurrent use.
type Writer struct {
	queue chan chunk
	lost  atomic.Int64 // lines
	done  chan struct{}

	mu     sync.Mutex
	closed bool
}

// chunk is text that is written at once.
type chunk struct {
	text  []byte
	lines int // that are lost with it
}

// depth is how many chunks wait for an output that takes none: enough for what a run says
// in a night, and little memory.
const depth = 256

// New writes to w, which nothing else should write to until Close.
func New(w io.Writer) *Writer {
	o := &Writer{queue: make(chan chunk, depth), done: make(chan struct{})}
	go func() {
		defer close(o.done)
		cut := false // the output ends within a line
		for c := range o.queue {
			text := c.text
			if cut {
				text = append([]byte("\n"), text...)
			}
			n, err := w.Write(text)
			if err != nil {
				o.lost.Add(int64(c.lines))
				cut = n > 0 && text[n-1] != '\n' || n == 0 && cut
			} else {
				cut = false
			}
		}
	}()
	return o
}

// Write has text written, and before it, once the output works again, how many lines were
// lost. It returns at once and without an error.
func (w *Writer) Write(text []byte) (int, error) {
	lost := int(w.lost.Swap(0))
	w.offer(append([]byte(notice(lost)), text...), lost+bytes.Count(text, []byte("\n")))
	return len(text), nil
}

// offer has text written as a whole, unless too much waits already. The lines count as lost
// when the text is not written, now or later.
func (w *Writer) offer(text []byte, lines int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.closed {
		select {
		case w.queue <- chunk{text, lines}:
			return
		default:
		}
	}
	w.lost.Add(int64(lines))
}

// notice reports in one line how many lines were lost; it is empty when none was.
func notice(lost int) string {
	switch lost {
	case 0:
		return ""
	case 1:
		return "(1 line was lost here: the output took no more)\n"
	}
	return fmt.Sprintf("(%d lines were lost here: the output took no more)\n", lost)
}

// Close waits until everything is written, at most for this long. What is written later is
// lost. A second Close does nothing.
func (w *Writer) Close(within time.Duration) {
	w.mu.Lock()
	closed := w.closed
	w.closed = true
	w.mu.Unlock()
	if closed {
		return
	}
	close(w.queue)
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case <-w.done:
	case <-timer.C:
	}
}

// LastWords is how long a process that ends waits for its output to take what it says last.
const LastWords = 3 * time.Second

// Last writes text that a process ends with: it waits for LastWords at most.
func Last(w io.Writer, text string) {
	o := New(w)
	_, _ = o.Write([]byte(text)) // never an error
	o.Close(LastWords)
}
