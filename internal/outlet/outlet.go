// Package outlet writes to terminals, pipes and log files that may stop accepting output: a
// terminal stopped with Ctrl-S, a connection that hangs, a full disk. One goroutine owns the
// output, so that a caller of [Writer] never waits for it; at worst, lines are lost and
// counted.
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

// chunk is text that is written in one call.
type chunk struct {
	text  []byte
	lines int // lines that are lost if it is not written
}

// depth is the number of chunks that can wait for a blocked output: enough for the log of a
// run over a night, in little memory.
const depth = 256

// New returns a Writer to w. Nothing else should write to w until Close.
func New(w io.Writer) *Writer {
	o := &Writer{queue: make(chan chunk, depth), done: make(chan struct{})}
	go func() {
		defer close(o.done)
		cut := false // the last line of the output is incomplete
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

// Write queues text and returns at once, without an error. After lines were lost, it also
// queues a line with their number, before text.
func (w *Writer) Write(text []byte) (int, error) {
	lost := int(w.lost.Swap(0))
	w.offer(append([]byte(notice(lost)), text...), lost+bytes.Count(text, []byte("\n")))
	return len(text), nil
}

// offer queues text, unless the queue is full. If the text is not written, now or later, its
// lines count as lost.
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

// notice returns a line with the number of lost lines, or "" if it is 0.
func notice(lost int) string {
	switch lost {
	case 0:
		return ""
	case 1:
		return "(1 line was lost here: the output was blocked)\n"
	}
	return fmt.Sprintf("(%d lines were lost here: the output was blocked)\n", lost)
}

// Close waits until everything is written, but at most for the given time. Later writes are
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

// LastWords is how long a process waits, when it exits, for its last output to be written.
const LastWords = 3 * time.Second

// WriteLast writes the last text of a process. It waits for [LastWords] at most.
func WriteLast(w io.Writer, text string) {
	o := New(w)
	_, _ = o.Write([]byte(text)) // never an error
	o.Close(LastWords)
}
