package serve

import (
	"crypto/subtle"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path"
	"slices"
	"strings"
	"time"
)

// guard lets only those requests through that may be answered, and sets the headers of all answers.
//
// A page of another site can send requests from the browser of somebody who runs a server on the
// loopback interface, under that site's name if it resolves to 127.0.0.1. So every request must name
// this host, and a browser's must come from the server's own pages.
type guard struct {
	next   http.Handler
	live   *live
	token  string
	cookie string // that may hold it
	hosts  hosts
}

// policy is the content security policy of all answers: a page loads nothing but the server's files,
// and runs nothing else.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// ServeHTTP implements [http.Handler].
func (g *guard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	extend(w)
	h := w.Header()
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	if r.ContentLength != 0 {
		h.Set("Connection", "close") // or net/http reads the body before it sends the answer
	}
	switch {
	case !g.hosts.include(r.Host):
		refuse(w, http.StatusMisdirectedRequest, "the server does not answer to the host name "+r.Host+"; name it with nb201 serve --host")
	case isForeign(r):
		refuse(w, http.StatusForbidden, "requests from pages of other sites are refused")
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		h.Set("Allow", "GET, HEAD")
		refuse(w, http.StatusMethodNotAllowed, "the server changes nothing; use GET")
	case r.ContentLength != 0:
		refuse(w, http.StatusRequestEntityTooLarge, "requests have no body")
	case r.URL.Path != cleanPath(r.URL.Path):
		refuse(w, http.StatusNotFound, "nothing is served at "+r.URL.Path)
	case g.token != "" && !g.admits(w, r):
		// It has answered.
	default:
		g.live.touch()
		g.next.ServeHTTP(w, r)
	}
}

// cleanPath returns what a path would be without dots, doubled slashes and characters that no route
// has.
func cleanPath(p string) string {
	clean := path.Clean("/" + p)
	if strings.ContainsAny(p, "\\\x00") {
		return ""
	}
	return clean
}

// extend gives a client more time to accept the next part of an answer.
func extend(w http.ResponseWriter) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(patience)) // tests' recorders have none
}

// isForeign reports whether a browser sends the request on behalf of a page of another site. To
// follow a link from there to the page is allowed.
func isForeign(r *http.Request) bool {
	if origin, sent := r.Header["Origin"]; sent {
		u, err := url.Parse(strings.Join(origin, ","))
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host != r.Host {
			return true
		}
	}
	switch site := r.Header.Get("Sec-Fetch-Site"); site {
	case "", "same-origin", "none":
		return false
	default:
		return r.Header.Get("Sec-Fetch-Mode") != "navigate" || r.Header.Get("Sec-Fetch-Dest") != "document"
	}
}

// hosts are the names by which requests may address the server.
type hosts struct {
	names []string
	// anyAddress allows every IP address: a listener on all interfaces does not know under which it is
	// reached, and no other site's name is an address.
	anyAddress bool
}

func newHosts(l net.Listener, more []string) hosts {
	h := hosts{names: slices.Concat([]string{"localhost"}, more)}
	if address, err := netip.ParseAddrPort(l.Addr().String()); err == nil {
		h.names = append(h.names, address.Addr().String())
		h.anyAddress = address.Addr().IsUnspecified()
		if address.Addr().IsLoopback() {
			h.names = append(h.names, "127.0.0.1", "::1")
			return h
		}
	}
	if name, err := os.Hostname(); err == nil {
		h.names = append(h.names, name)
	}
	return h
}

// include reports whether a request's Host header names the server, with any port: a tunnel has
// another one.
func (h hosts) include(host string) bool {
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		name = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	}
	if h.anyAddress {
		if _, err := netip.ParseAddr(name); err == nil {
			return true
		}
	}
	return slices.ContainsFunc(h.names, func(n string) bool { return strings.EqualFold(n, name) })
}

// tokenCookie returns the name of the cookie that holds the token of a browser, which presents it in a
// link once. Cookies do not know ports, and a host may have several servers.
func tokenCookie(l net.Listener) string {
	_, port, _ := net.SplitHostPort(l.Addr().String()) // a TCP address
	return "nb201_token_" + port
}

// admits reports whether the request presents the token, and else answers it. A link with the token
// gets a cookie and leads to the same place without the token.
func (g *guard) admits(w http.ResponseWriter, r *http.Request) bool {
	is := func(token string) bool { return subtle.ConstantTimeCompare([]byte(token), []byte(g.token)) == 1 }
	if kind, token, _ := strings.Cut(r.Header.Get("Authorization"), " "); strings.EqualFold(kind, "Bearer") && is(strings.TrimSpace(token)) {
		return true
	}
	if c, err := r.Cookie(g.cookie); err == nil && is(c.Value) {
		return true
	}
	if q := r.URL.Query(); r.URL.Path == "/" && is(q.Get("token")) {
		http.SetCookie(w, &http.Cookie{Name: g.cookie, Value: g.token, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode})
		w.Header().Set("Location", "./")
		w.WriteHeader(http.StatusSeeOther)
		return false
	}
	w.Header().Set("WWW-Authenticate", `Bearer realm="nb201"`)
	refuse(w, http.StatusUnauthorized, "the token is missing or wrong; open the link that nb201 serve printed, or send the header Authorization: Bearer TOKEN")
	return false
}

// problem is the answer to a request that fails: RFC 9457.
type problem struct {
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"` // what is wrong, and what to do
}

// refuse answers a request with a problem.
func refuse(w http.ResponseWriter, status int, detail string) {
	text, err := encode(problem{http.StatusText(status), status, detail})
	if err != nil {
		panic(err) // strings and a number
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_, _ = w.Write(append(text, '\n')) // the client may be gone
}
