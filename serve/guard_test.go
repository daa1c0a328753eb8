package serve

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"go.uber.org/goleak"
	"golang.org/x/sync/errgroup"

	"nb201/cell"
	"nb201/results"
	"nb201/results/resultstest"
	"nb201/scheduler/plan/plantest"
)

// served is a server that a test has started. It answers at address, a loopback address with a port.
type served struct {
	*Server
	address string
	opened  *openConnections
}

// serveAt serves a benchmark on 127.0.0.1, or where listen says, until the test ends. No goroutine may
// then be left.
func serveAt(t *testing.T, o Options, listen ...string) *served {
	t.Helper()
	before := goleak.IgnoreCurrent()
	o.Program = "nb201 test"
	s, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", append(listen, "127.0.0.1:0")[0])
	if err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	opened := &openConnections{Listener: l}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, opened) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the server ended with %v", err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		goleak.VerifyNone(t, before)
	})
	return &served{s, "127.0.0.1:" + port, opened}
}

// openConnections counts the connections that the server has open.
type openConnections struct {
	net.Listener
	sendBuffer int // bytes that the system keeps for a client; 0: the usual number

	mu        sync.Mutex
	now, most int
}

func (o *openConnections) Accept() (net.Conn, error) {
	c, err := o.Listener.Accept()
	if err != nil {
		return c, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.sendBuffer > 0 {
		_ = c.(*net.TCPConn).SetWriteBuffer(o.sendBuffer)
	}
	o.now++
	o.most = max(o.most, o.now)
	return &openConnection{Conn: c, all: o}, nil
}

type openConnection struct {
	net.Conn
	all    *openConnections
	closed sync.Once
}

func (c *openConnection) Close() error {
	c.closed.Do(func() {
		c.all.mu.Lock()
		defer c.all.mu.Unlock()
		c.all.now--
	})
	return c.Conn.Close()
}

func (o *openConnections) count() (now, most int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.now, o.most
}

// wait waits until a condition holds.
func wait(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("after two minutes, still not: %s", what)
		}
	}
}

// answer holds an answer of the server.
type answer struct {
	*http.Response
	body string
}

// dial connects to the server. The connection ends with the test, and cannot last for long.
func (s *served) dial(t *testing.T) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	return c
}

// send sends the bytes of a request, in which HOST is the server's address and PORT its port, and
// returns the answer.
func (s *served) send(t *testing.T, request string) answer {
	t.Helper()
	a, err := s.ask(request)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// ask is like send, for goroutines of tests.
func (s *served) ask(request string) (answer, error) {
	c, err := net.Dial("tcp", s.address)
	if err != nil {
		return answer{}, err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	_, port, _ := net.SplitHostPort(s.address)
	request = strings.NewReplacer("HOST", s.address, "PORT", port).Replace(request)
	var sending sync.WaitGroup
	sending.Go(func() { _, _ = io.WriteString(c, request) }) // the server may refuse the rest
	defer sending.Wait()
	defer c.Close()
	method, _, _ := strings.Cut(request, " ")
	r, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: method}) //nolint:bodyclose // its connection is closed
	if err != nil {
		return answer{}, fmt.Errorf("%.200q: %w", request, err)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil && !(r.Close && errors.Is(err, syscall.ECONNRESET)) { // net/http closes before it has read a large request
		return answer{}, fmt.Errorf("%.200q: %w", request, err)
	}
	return answer{r, string(body)}, nil
}

// get sends a request for a path, with further header lines.
func (s *served) get(t *testing.T, path string, lines ...string) answer {
	t.Helper()
	return s.send(t, request("GET", path, lines...))
}

// request returns a request without a body.
func request(method, target string, lines ...string) string {
	return strings.Join(slices.Concat([]string{method + " " + target + " HTTP/1.1", "Host: HOST"}, lines, []string{"", ""}), "\r\n")
}

// ready waits until the benchmark has been read.
func (s *served) ready(t *testing.T) *served {
	t.Helper()
	wait(t, "the benchmark is read", func() bool { return s.live.data.Load() != nil })
	return s
}

// guarded are headers of all answers.
var guarded = map[string]string{
	"Content-Security-Policy": policy, "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY",
	"Referrer-Policy": "no-referrer", "Cross-Origin-Resource-Policy": "same-origin", "Cross-Origin-Opener-Policy": "same-origin",
}

// checkHarmless checks that an answer gives another site's page nothing: no script runs in it, nobody
// but the server's own pages reads it, and nothing that was sent is sent back as HTML.
func checkHarmless(t *testing.T, what string, a answer) {
	t.Helper()
	kind := a.Header.Get("Content-Type")
	if a.Header.Get("Content-Security-Policy") == "" {
		// The text of net/http, about what is not a request.
		own := []int{http.StatusBadRequest, http.StatusRequestHeaderFieldsTooLarge, http.StatusNotImplemented, http.StatusHTTPVersionNotSupported, http.StatusExpectationFailed}
		if !slices.Contains(own, a.StatusCode) || kind != "text/plain; charset=utf-8" && a.body != "" || len(a.body) > 100 || strings.Contains(a.body, "<") {
			t.Errorf("%s: status %d without a policy, %s %q", what, a.StatusCode, kind, a.body)
		}
		return
	}
	for name, want := range guarded {
		if got := a.Header.Get(name); got != want {
			t.Errorf("%s: status %d, %s is %q", what, a.StatusCode, name, got)
		}
	}
	for name, values := range a.Header {
		if strings.HasPrefix(name, "Access-Control") || strings.Contains(strings.Join(values, " "), "attacker") {
			t.Errorf("%s: status %d, header %s: %q", what, a.StatusCode, name, values)
		}
	}
	if a.StatusCode < 400 {
		if strings.HasPrefix(kind, "text/html") && a.Request.Method != http.MethodHead && !strings.Contains(a.body, "<script src=") {
			t.Errorf("%s: another page: %.100q", what, a.body)
		}
		return
	}
	var p problem
	if kind != "application/problem+json" || a.Request.Method != http.MethodHead && (json.Unmarshal([]byte(a.body), &p) != nil || p.Status != a.StatusCode || p.Title == "" || p.Detail == "") {
		t.Errorf("%s: status %d is not a problem: %s %q", what, a.StatusCode, kind, a.body)
	}
}

// smallCampaign makes a campaign with a plan, beside a file that nobody may read through the server.
func smallCampaign(t *testing.T) results.Campaign {
	t.Helper()
	c := resultstest.Fill(t, resultstest.Grid(0, 4)...)
	plantest.Digits(t, c.Dir, 3, []int{2}, 1)
	moved := results.Campaign{Dir: filepath.Join(t.TempDir(), "campaign")}
	if err := os.Rename(c.Dir, moved.Dir); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(filepath.Dir(moved.Dir), "secret.txt"), []byte(secret), 0o666); err != nil {
		t.Fatal(err)
	}
	return moved
}

// secret is the content of files that the server must not send.
const secret = "TOPSECRET"

func TestGuard(t *testing.T) {
	s := serveAt(t, Options{Path: smallCampaign(t).Dir}).ready(t)
	const (
		status = "/api/v1/status"
		arch   = "/api/v1/architectures/"
	)
	held, err := cell.Topology{}.ByIndex(4)
	if err != nil {
		t.Fatal(err)
	}
	type test struct {
		request string
		want    int
	}
	var tests []test
	add := func(want int, requests ...string) {
		for _, r := range requests {
			tests = append(tests, test{r, want})
		}
	}
	with := func(want int, header string, values ...string) {
		for _, v := range values {
			add(want, request("GET", status, header+": "+v))
		}
	}

	for _, path := range []string{
		"/../secret.txt", "/..", "/.", "/./data", "/data/..", "/data/", "/data/../data", "//data", "/api//v1", "/api/v1/", "/api/v1/../../../secret.txt",
		"/%2e%2e/secret.txt", "/%2E%2E/secret.txt", "/.%2e/secret.txt", "/..%2fsecret.txt", "/%2e%2e%2fsecret.txt", "/..%5csecret.txt", `/..\secret.txt`,
		"/%252e%252e/secret.txt", "/%c0%ae%c0%ae/secret.txt", "/..;/secret.txt", "/....//secret.txt", "/%00", "/data%00", "/data%00.html", "/data%0a", "/data%20", "/%2fdata", "/api%2fv1%2fstatus",
		"//secret.txt", "//attacker.example/", "///etc/passwd", "/file:///etc/passwd", "/etc/passwd", "/plan.json", "/trials", "/trials/000000/cifar10/0002-0111.json", "/weights",
		"http://HOST/../secret.txt", "http://HOST/plan.json", "http://HOST//data", "http://HOST", "*",
		arch, arch + "..", arch + "%2e%2e", arch + "..%2f..%2fplan.json", arch + "..%2f..%2f..%2fsecret.txt", arch + "%2fetc%2fpasswd", arch + "0%2f..%2f..%2f..%2fplan.json", arch + "..%5c..%5cplan.json",
		arch + "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|%2f..%2f..%2fplan.json", arch + "0/../../../plan.json", arch + "0/curves/..", arch + "0%2fcurves", arch + "0/curves/plan.json", arch + "plan.json",
		arch + "-1", arch + "99999999999999999999", arch + "%F0%9F%92%A3", arch + "%ff", arch + "<script>alert(1)</script>",
		"/<script>alert(1)</script>", "/%3Cscript%3E", "/%1b%5B2J", "/%e2%80%ae",
	} {
		add(404, request("GET", path))
	}
	add(400, request("GET", "/%"), request("GET", "/%zz"), request("GET", "/\x00"), request("GET", "/data\x7f"), request("GET", "data"), request("GET", `..\secret.txt`), request("GET", "/ data"), request("GET", "ht!tp://HOST/"))
	add(400, request("GET", status+"?%zz=1"), request("GET", status+"?;"), request("GET", status+"?path=../secret.txt"), request("GET", "/api/v1/trials?architecture=../plan.json"))
	add(200, request("GET", "http://HOST/data"), request("GET", "/%64ata"), request("GET", arch+held.String()))

	for _, host := range []string{"HOST", "127.0.0.1", "127.0.0.1:1", "localhost", "LoCaLhOsT:PORT", "LocalHost", "[::1]", "[::1]:PORT", "127.0.0.1:"} {
		add(200, "GET "+status+" HTTP/1.1\r\nHost: "+host+"\r\n\r\n")
	}
	for _, host := range []string{
		"", "attacker.example", "attacker.example:PORT", "127.0.0.1.nip.io", "127.0.0.1.nip.io:PORT", "localhost.attacker.example", "attacker.example.localhost", "localhost.", "local", "127.0.0.1.",
		"127.0.0.2", "127.0.0.2:PORT", "0.0.0.0:PORT", "0", "127.1", "2130706433", "0x7f000001", "192.168.0.1", "10.0.0.1:PORT", "169.254.169.254", "[::]:PORT", "[fe80::1]", "[::ffff:127.0.0.1]:PORT", "[::1%25eth0]",
		"localhost:PORT:PORT", "localhost,attacker.example", "localhost;attacker.example",
	} {
		add(421, "GET "+status+" HTTP/1.1\r\nHost: "+host+"\r\n\r\n", "POST "+status+" HTTP/1.1\r\nHost: "+host+"\r\nContent-Length: 0\r\n\r\n")
	}
	add(421, "GET "+status+" HTTP/1.0\r\n\r\n", "GET http://attacker.example"+status+" HTTP/1.1\r\nHost: HOST\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
	add(400, "GET "+status+" HTTP/1.1\r\n\r\n", "GET "+status+" HTTP/1.1\r\nHost: HOST\r\nHost: attacker.example\r\n\r\n", "GET "+status+" HTTP/1.1\r\nHost: HOST\r\nHost: HOST\r\n\r\n",
		"GET "+status+" HTTP/1.1\r\nHost: attacker.example/HOST\r\n\r\n", "GET "+status+" HTTP/1.1\r\nHost: attacker.example@HOST\r\n\r\n", "GET "+status+"\r\n\r\n", "GET "+status+" HTTP/9.9.9\r\nHost: HOST\r\n\r\n", "\x16\x03\x01\x02\x00\r\n\r\n")
	add(505, "GET "+status+" HTTP/2.0\r\nHost: HOST\r\n\r\n")
	add(200, "GET "+status+" HTTP/1.0\r\nHost: HOST\r\n\r\n")

	with(200, "Origin", "http://HOST", "https://HOST")
	with(403, "Origin", "null", "", "http://attacker.example", "http://attacker.example:PORT", "http://127.0.0.1", "http://127.0.0.1:1", "http://localhost:PORT", "http://HOST.attacker.example",
		"http://HOST@attacker.example", "HOST", "//HOST", "file://", "ftp://HOST", "javascript:HOST", "chrome-extension://HOST", "http://HOST, http://HOST", "http://HOST http://attacker.example", "http://HOST\r\nOrigin: http://attacker.example",
		"http://attacker.example\r\nOrigin: http://HOST", "http://HOST\r\nOrigin: http://HOST", "http://HOST\r\nSec-Fetch-Site: cross-site", "http://attacker.example\r\nSec-Fetch-Site: same-origin", "http://[::1", "%", "*")
	with(200, "Sec-Fetch-Site", "same-origin", "none", "cross-site\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document", "same-site\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document")
	with(403, "Sec-Fetch-Site", "cross-site", "same-site", "Same-Origin", "anything", "same-origin, cross-site", "cross-site\r\nSec-Fetch-Mode: cors\r\nSec-Fetch-Dest: empty", "cross-site\r\nSec-Fetch-Mode: no-cors\r\nSec-Fetch-Dest: script",
		"cross-site\r\nSec-Fetch-Mode: no-cors\r\nSec-Fetch-Dest: image", "cross-site\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: iframe", "cross-site\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: embed", "cross-site\r\nSec-Fetch-Mode: navigate",
		"cross-site\r\nSec-Fetch-Mode: websocket\r\nSec-Fetch-Dest: document", "same-site\r\nSec-Fetch-Mode: cors\r\nSec-Fetch-Dest: document")

	for _, method := range []string{"PUT", "POST", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND", "get", "NB201"} {
		add(405, request(method, status), request(method, "/", "Content-Length: 3")+"a=1", request(method, "/plan.json"), request(method, "/../secret.txt"))
		add(403, request(method, status, "Origin: http://attacker.example", "Access-Control-Request-Method: PUT", "Access-Control-Request-Headers: x", "Access-Control-Request-Private-Network: true"))
	}
	add(405, request("OPTIONS", "*"), request("CONNECT", "HOST"), request("POST", status, "X-HTTP-Method-Override: GET", "Content-Length: 0"))
	add(421, request("CONNECT", "attacker.example:443"))
	add(200, request("HEAD", status), request("HEAD", "/"), request("HEAD", "/data"), request("HEAD", "/api/v1/events"), request("GET", status, "X-HTTP-Method-Override: PUT"))
	add(404, request("HEAD", "/plan.json"))

	add(413, request("GET", status, "Content-Length: 5")+"GET /", request("GET", status, "Content-Length: 999999999999"), request("GET", status, "Transfer-Encoding: chunked")+"5\r\nGET /\r\n0\r\n\r\n",
		request("GET", status, "Content-Length: 6", "Transfer-Encoding: chunked")+"0\r\n\r\nG", request("GET", status, "Transfer-Encoding: chunked", "Content-Length: 6")+"0\r\n\r\nG",
		request("GET", status, "Content-Length: 5", "Expect: 100-continue"), request("GET", status, "Transfer-Encoding: chunked")+"ffffffffffffffff\r\n")
	add(400, request("GET", status, "Content-Length: -1"), request("GET", status, "Content-Length: +5"), request("GET", status, "Content-Length: 5x"), request("GET", status, "Content-Length: 0", "Content-Length: 5"),
		request("GET", status, "Content-Length: 5, 6"), request("GET", status, "Transfer-Encoding : chunked"), request("GET", status, "X:\x00"), request("GET", status, "no colon"), request("GET", status, "Bad Name: x"))
	add(501, request("GET", status, "Transfer-Encoding: xchunked"), request("GET", status, "Transfer-Encoding: chunked, identity"), request("GET", status, "Transfer-Encoding: gzip"), request("GET", status, "Transfer-Encoding: chunked", "Transfer-Encoding: identity"))
	add(200, request("GET", status, "Content-Length: 0"), request("GET", status, "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__"),
		request("GET", status, "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version: 13"),
		request("GET", status, "X-Forwarded-Host: attacker.example", "Forwarded: host=attacker.example", "X-Original-URL: /plan.json", "X-Rewrite-URL: /plan.json"),
		request("GET", "/data", "Range: bytes=0-10"))
	add(417, request("GET", status, "Expect: everything"))

	answers := make([]answer, len(tests))
	var clients errgroup.Group
	clients.SetLimit(40) // net/http takes half a second to refuse what is not a request
	for i, test := range tests {
		clients.Go(func() (err error) {
			answers[i], err = s.ask(test.request)
			return err
		})
	}
	if err := clients.Wait(); err != nil {
		t.Fatal(err)
	}
	for i, test := range tests {
		a := answers[i]
		what := strings.TrimSpace(test.request)
		if a.StatusCode != test.want {
			t.Errorf("%.300q: status %d, want %d: %.200q", what, a.StatusCode, test.want, a.body)
		}
		checkHarmless(t, what, a)
		if strings.Contains(a.body, secret) || strings.Contains(a.body, `"parts"`) || strings.ContainsAny(a.body, "\x00\x1b\u202e") {
			t.Errorf("%.300q: %.500q", what, a.body)
		}
		if allow := a.Header.Get("Allow"); (allow == "GET, HEAD") != (a.StatusCode == http.StatusMethodNotAllowed) {
			t.Errorf("%.300q: status %d, Allow: %q", what, a.StatusCode, allow)
		}
		if strings.HasPrefix(what, "HEAD ") && a.body != "" {
			t.Errorf("%.300q: body %q", what, a.body)
		}
	}
}

// All routes have the headers of the guard, also where they answer that nothing has changed.
func TestGuardedRoutes(t *testing.T) {
	s := serveAt(t, Options{Path: smallCampaign(t).Dir}).ready(t)
	for path := range s.live.files {
		path = "/" + strings.TrimSuffix(path, "{$}")
		a := s.get(t, path)
		checkHarmless(t, path, a)
		again := s.get(t, path, "If-None-Match: "+a.Header.Get("ETag"))
		checkHarmless(t, path, again)
		if a.StatusCode != 200 || again.StatusCode != http.StatusNotModified || again.body != "" {
			t.Errorf("%s: status %d, then %d with %d bytes", path, a.StatusCode, again.StatusCode, len(again.body))
		}
	}
	for pattern := range newAPI(s.live, s.source).routes() {
		path := strings.ReplaceAll(pattern, "{arch}", "4")
		if a := s.get(t, path); a.StatusCode != 200 || a.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: status %d, %s", path, a.StatusCode, a.Header.Get("Content-Type"))
		} else {
			checkHarmless(t, path, a)
		}
	}
	for _, path := range []string{"/data", "/metrics"} {
		a := s.get(t, path)
		checkHarmless(t, path, a)
		if a.StatusCode != 200 || !strings.HasPrefix(a.Header.Get("Content-Type"), "text/plain") {
			t.Errorf("%s: status %d, %s", path, a.StatusCode, a.Header.Get("Content-Type"))
		}
	}
	c := s.dial(t)
	if _, err := io.WriteString(c, strings.ReplaceAll(request("GET", "/api/v1/events"), "HOST", s.address)); err != nil {
		t.Fatal(err)
	}
	r, err := http.ReadResponse(bufio.NewReader(c), nil) //nolint:bodyclose // its connection is closed
	if err != nil {
		t.Fatal(err)
	}
	r.Request = &http.Request{Method: "GET"}
	checkHarmless(t, "events", answer{r, ""})
	if r.Header.Get("Content-Type") != "text/event-stream" {
		t.Errorf("events are %s", r.Header.Get("Content-Type"))
	}
}

func TestToken(t *testing.T) {
	const token = "0123456789ABCDEFGHIJ"
	s := serveAt(t, Options{Path: smallCampaign(t).Dir, Token: token, Hosts: []string{"bench.example"}}, "0.0.0.0:0").ready(t)
	const status = "/api/v1/status"
	_, port, _ := net.SplitHostPort(s.address)
	name := "nb201_token_" + port
	cookie := "Cookie: " + name + "="
	for _, test := range []struct {
		path  string
		lines []string
		want  int
	}{
		{status, nil, 401}, {"/", nil, 401}, {"/data", nil, 401}, {"/metrics", nil, 401}, {"/api/v1/events", nil, 401}, {"/nothing", nil, 401},
		{status, []string{"Authorization: Bearer " + token}, 200}, {status, []string{"Authorization: bearer  " + token + " "}, 200}, {"/", []string{"Authorization: Bearer " + token}, 200},
		{status, []string{"Authorization: Bearer " + token + "x"}, 401}, {status, []string{"Authorization: Bearer " + token[:19]}, 401}, {status, []string{"Authorization: Bearer " + token[1:]}, 401},
		{status, []string{"Authorization: Bearer"}, 401}, {status, []string{"Authorization: Bearer "}, 401}, {status, []string{"Authorization: " + token}, 401}, {status, []string{"Authorization: Basic " + token}, 401},
		{status, []string{"Authorization: Bearer " + strings.ToLower(token)}, 401}, {status, []string{"Authorization: Bearer wrong", "Authorization: Bearer " + token}, 401},
		{status, []string{cookie + token}, 200}, {status, []string{"Cookie: other=1; " + name + "=" + token}, 200},
		{status, []string{cookie}, 401}, {status, []string{cookie + token[:19]}, 401}, {status, []string{"Cookie: other=" + token}, 401}, {status, []string{"Cookie: " + strings.ToUpper(name) + "=" + token}, 401},
		{status, []string{"X-Token: " + token}, 401}, {status + "?token=" + token, nil, 401}, {"/data?token=" + token, nil, 401}, {"/nothing?token=" + token, nil, 401},
		{"/?token=", nil, 401}, {"/?token=" + token[:19], nil, 401}, {"/?token=" + token + "x", nil, 401}, {"/?TOKEN=" + token, nil, 401}, {"/?token=wrong&token=" + token, nil, 401},
		{"/?token=" + token, nil, 303}, {"/?token=" + token + "&x=1", nil, 303},
		// The token does not replace the other checks.
		{status, []string{"Authorization: Bearer " + token, "Origin: http://attacker.example"}, 403}, {"/?token=" + token, []string{"Sec-Fetch-Site: cross-site"}, 403},
		{"/../secret.txt", []string{"Authorization: Bearer " + token}, 404},
	} {
		what := test.path + " " + strings.Join(test.lines, ", ")
		a := s.get(t, test.path, test.lines...)
		checkHarmless(t, what, a)
		if a.StatusCode != test.want {
			t.Errorf("%s: status %d, want %d", what, a.StatusCode, test.want)
		}
		if (a.Header.Get("WWW-Authenticate") != "") != (test.want == 401) {
			t.Errorf("%s: WWW-Authenticate: %q", what, a.Header.Get("WWW-Authenticate"))
		}
		cookies := a.Cookies()
		a.Header.Del("Set-Cookie")
		var headers bytes.Buffer
		_ = a.Header.Write(&headers) // to memory
		if strings.Contains(headers.String()+a.body, token) {
			t.Errorf("%s: the answer contains the token: %s%s", what, &headers, a.body)
		}
		if test.want != 303 {
			if len(cookies) > 0 {
				t.Errorf("%s: sets %v", what, cookies)
			}
			continue
		}
		if len(cookies) != 1 || cookies[0].Value != token || !cookies[0].HttpOnly || cookies[0].SameSite != http.SameSiteStrictMode || cookies[0].Domain != "" || a.Header.Get("Location") != "./" || a.body != "" {
			t.Fatalf("%s: cookies %v, Location %q, body %q", what, cookies, a.Header.Get("Location"), a.body)
		}
		if then := s.get(t, "/", "Cookie: "+cookies[0].Name+"="+cookies[0].Value); then.StatusCode != 200 {
			t.Errorf("with the cookie: status %d", then.StatusCode)
		}
	}
	if a := s.send(t, request("POST", "/?token="+token)); a.StatusCode != 405 || len(a.Cookies()) > 0 {
		t.Errorf("POST with the token: status %d, %v", a.StatusCode, a.Cookies())
	}

	name, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string]int{
		"HOST": 200, "localhost": 200, "192.168.7.7:PORT": 200, "[fe80::1]:PORT": 200, name: 200, strings.ToUpper(name) + ":1": 200, "bench.example": 200, "BENCH.example:443": 200,
		"": 421, "attacker.example": 421, "bench.example.attacker.example": 421, "x.bench.example": 421, "10.0.0.1.nip.io": 421, "2130706433": 421,
	} {
		a := s.send(t, "GET "+status+" HTTP/1.1\r\nHost: "+host+"\r\nAuthorization: Bearer "+token+"\r\n\r\n")
		checkHarmless(t, host, a)
		if a.StatusCode != want {
			t.Errorf("Host %q: status %d, want %d", host, a.StatusCode, want)
		}
	}
}
