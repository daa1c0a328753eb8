package serve

import (
	"net/http"
	"strconv"

	"nb201/results/report"
)

// file is a part of the page, which does not change while the server runs.
type file struct {
	kind, tag string
	content   []byte
}

// pageFiles returns the parts of the page by their paths, and their version.
func pageFiles() (files map[string]*file, all string) {
	files = map[string]*file{}
	var contents [][]byte
	for _, f := range report.LiveFiles() {
		path := f.Path
		if path == "" {
			path = "{$}" // the root alone
		}
		files[path] = &file{f.Type, strconv.Quote(version(f.Content)), f.Content}
		contents = append(contents, f.Content)
	}
	return files, version(contents...)
}

// ServeHTTP implements [http.Handler].
func (f *file) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	sendTagged(w, r, f.kind, f.tag, f.content)
}

// serveData answers with the data of the page.
func (l *live) serveData(w http.ResponseWriter, r *http.Request) {
	d := l.firstData(r.Context())
	if d == nil {
		refuseUnread(w)
		return
	}
	sendTagged(w, r, "text/plain; charset=utf-8", strconv.Quote(d.version), d.page)
}

// refuseUnread answers a request that needs what has not been read yet.
func refuseUnread(w http.ResponseWriter) {
	w.Header().Set("Retry-After", "5")
	refuse(w, http.StatusServiceUnavailable, "the benchmark is being read; api/v1/status says how far")
}

// sendTagged sends a content, unless the client says that it has it: tag is its entity tag.
func sendTagged(w http.ResponseWriter, r *http.Request, kind, tag string, content []byte) {
	h := w.Header()
	h.Set("Cache-Control", "no-cache") // ask each time
	h.Set("ETag", tag)
	if r.Header.Get("If-None-Match") == tag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Type", kind)
	h.Set("Content-Length", strconv.Itoa(len(content)))
	if r.Method == http.MethodHead {
		return
	}
	const part = 256 << 10
	for len(content) > 0 {
		extend(w)
		n, err := w.Write(content[:min(len(content), part)])
		if err != nil {
			return
		}
		content = content[n:]
	}
}
