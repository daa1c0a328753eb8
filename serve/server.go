package serve

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"time"

	"golang.org/x/net/netutil"
	"golang.org/x/sync/errgroup"

	"nb201/results/published"
)

// Options configures a server.
type Options struct {
	Path    string // a campaign, or a file or directory of a published format
	Program string // name and version of this program
	Token   string // that every request must present; "": none
	// Hosts are names by which requests may address the server, besides those of this host's
	// loopback interface, its addresses and its host name.
	Hosts    []string
	Indexing published.Option // see [published.WithProgress]; nil: none
}

// Server serves a benchmark.
type Server struct {
	options Options
	source  *source
	live    *live
}

// Open opens the benchmark. Errors are those of [published.Open].
func Open(ctx context.Context, o Options) (*Server, error) {
	src, err := openSource(ctx, o.Path, o.Indexing)
	if err != nil {
		return nil, err
	}
	return &Server{options: o, source: src, live: newLive(src, o.Program)}, nil
}

// Close closes the benchmark's files.
func (s *Server) Close() error { return s.source.close() }

const (
	// maxConnections is the number of connections served at a time; further ones wait.
	maxConnections = 512
	// maxStreams is how many of them may be streams of events.
	maxStreams = 256
)

// patience is how long a client may take to send a request, or to accept a part of an answer, and how
// long a connection may be idle: others may be waiting for it. Tests change it.
var patience = 10 * time.Second

// Serve answers requests until ctx ends or the listener fails, and closes the listener.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	server := &http.Server{
		Handler: s.handler(l),
		// The guard answers OPTIONS *, too.
		DisableGeneralOptionsHandler: true,
		MaxHeaderBytes:               8 << 10, // net/http adds 4 KiB
		ReadHeaderTimeout:            patience, ReadTimeout: patience, IdleTimeout: patience,
		// Each handler sets deadlines for what it writes: see extend.
		ErrorLog:    log.New(io.Discard, "", 0), // what clients do wrong
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	var work errgroup.Group
	work.Go(func() error {
		s.live.follow(ctx)
		return nil
	})
	work.Go(func() error {
		<-ctx.Done() // streams end by themselves
		last, stop := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer stop()
		if server.Shutdown(last) != nil {
			_ = server.Close()
		}
		return nil
	})
	err := server.Serve(netutil.LimitListener(l, maxConnections))
	cancel()
	_ = work.Wait() // no errors
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// handler returns the handler of all requests that come from l.
func (s *Server) handler(l net.Listener) http.Handler {
	m := newMetrics(s.live, s.options.Program)
	mux := http.NewServeMux()
	route := func(pattern string, h http.Handler) { mux.Handle("GET "+pattern, m.count(pattern, h)) }
	for path, file := range s.live.files {
		route("/"+path, file)
	}
	route("/data", http.HandlerFunc(s.live.serveData))
	route("/metrics", m.handler())
	route("/api/v1/events", &stream{live: s.live, metrics: m})
	a := newAPI(s.live, s.source)
	for pattern, answered := range a.routes() {
		route(pattern, a.handle(answered))
	}
	// Everything else.
	mux.Handle("/", m.count("other", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		refuse(w, http.StatusNotFound, "nothing is served at "+r.URL.Path+"; api/v1 lists what is")
	})))
	return &guard{next: mux, live: s.live, token: s.options.Token, cookie: tokenCookie(l), hosts: newHosts(l, s.options.Hosts)}
}
