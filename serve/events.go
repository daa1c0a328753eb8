package serve

import (
	"net/http"
	"time"
)

// stream answers with the moment, and with each one that follows, as server-sent events. A client
// that is slow receives fewer of them: none is kept for it.
type stream struct {
	live    *live
	metrics *metrics
}

// eventEvery is the least time between two events of a stream. Tests change it.
var eventEvery = time.Second

// fewStreams is the number of streams up to which that is so; with twice as many, it is twice as long.
const fewStreams = 50

// rest returns how long a stream rests after an event.
func (s *stream) rest() time.Duration {
	return eventEvery * time.Duration(max(s.metrics.streams.Load(), fewStreams)) / fewStreams
}

// heartbeat is the longest time without a sign of life.
const heartbeat = 15 * time.Second

// ServeHTTP implements [http.Handler].
func (s *stream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if open := s.metrics.streams.Add(1); open > maxStreams {
		s.metrics.streams.Add(-1)
		w.Header().Set("Retry-After", "5")
		w.Header().Set("Connection", "close") // an idle connection would keep others waiting
		refuse(w, http.StatusServiceUnavailable, "too many streams of events are open; try again later, or use api/v1/status")
		return
	}
	defer s.metrics.streams.Add(-1)
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no") // or a proxy holds events back
	out := http.NewResponseController(w)
	send := func(parts ...[]byte) bool {
		extend(w)
		for _, part := range parts {
			if _, err := w.Write(part); err != nil {
				return false
			}
		}
		return out.Flush() == nil
	}
	if r.Method == http.MethodHead {
		return
	}
	quiet := time.NewTicker(heartbeat)
	defer quiet.Stop()
	for {
		text, changed := s.live.current()
		if !send([]byte("event: status\ndata: "), text, []byte("\n\n")) {
			return
		}
		s.live.touch()
		rest := time.NewTimer(s.rest())
		select {
		case <-r.Context().Done():
			rest.Stop()
			return
		case <-rest.C:
		}
		for waiting := true; waiting; {
			select {
			case <-r.Context().Done():
				return
			case <-changed:
				waiting = false
			case <-quiet.C:
				if !send([]byte(": \n\n")) {
					return
				}
				s.live.touch()
			}
		}
	}
}
