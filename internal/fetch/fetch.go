// Package fetch downloads files from HTTP servers and from file: URLs. [Settings] configure
// proxies, certificates and passwords. A [Client] retries after failures that may be
// temporary, and resumes a download that was interrupted.
package fetch

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/jdx/go-netrc"

	"nb201/internal/infile"
	"nb201/internal/usage"
)

// Settings configures a [Client].
type Settings struct {
	Proxy    func(*url.URL) (*url.URL, error) // returns the proxy for a URL, or nil for none; may be nil
	CABundle string                           // file or directory of trusted certificates; "" means the system's
	Timeout  time.Duration                    // of connecting, of an answer, and between two pieces of one
	Retries  int                              // number of retries after consecutive failures
	Netrc    string                           // path of a file with passwords; it may be missing

	passwords map[string]*url.Userinfo // by host and port; they override those in Netrc
}

// Strip returns u without the user and the password before its host. It keeps them in the
// settings instead, so that they appear in no message.
func (s *Settings) Strip(u *url.URL) *url.URL {
	bare := *u
	bare.User = nil
	if u.User != nil {
		s.passwords = maps.Clone(s.passwords)
		if s.passwords == nil {
			s.passwords = map[string]*url.Userinfo{}
		}
		s.passwords[u.Host] = u.User
	}
	return &bare
}

// Client fetches files. It is safe for concurrent use.
type Client struct {
	http    http.Client
	timeout time.Duration
	retries int
}

// New returns a client with the given settings. Wrong settings are usage errors.
func New(s Settings) (*Client, error) {
	config := &tls.Config{}
	if s.CABundle != "" {
		pool, err := readCertificates(s.CABundle)
		if err != nil {
			return nil, usage.Errorf("cannot read the certificates in %s: %w; set PIP_CERT to a file of PEM certificates", s.CABundle, err)
		}
		config.RootCAs = pool
	}
	netrc, err := readNetrc(s.Netrc)
	if err != nil {
		return nil, usage.Errorf("cannot read %s: %w; correct it or move it away", s.Netrc, err)
	}
	c := &Client{http: http.Client{CheckRedirect: checkRedirect}, timeout: s.Timeout, retries: s.Retries}
	transport := &http.Transport{
		DialContext:           (&net.Dialer{Timeout: s.Timeout}).DialContext,
		TLSClientConfig:       config,
		TLSHandshakeTimeout:   s.Timeout,
		ResponseHeaderTimeout: s.Timeout,
		ForceAttemptHTTP2:     true,
		DisableCompression:    true, // so that lengths and ranges are those of the file itself
	}
	if s.Proxy != nil {
		transport.Proxy = func(r *http.Request) (*url.URL, error) { return s.Proxy(r.URL) }
	}
	transport.RegisterProtocol("file", http.NewFileTransport(files{}))
	c.http.Transport = roundTripper(func(r *http.Request) (*http.Response, error) {
		if r.URL.Scheme == "file" { // FileTransport answers 404 whatever the error
			if f, err := (files{}).Open(r.URL.Path); err == nil {
				_ = f.Close() // it was only read
			} else if errors.Is(err, infile.ErrNotRegular) {
				return nil, backoff.Permanent(err)
			}
		}
		user := s.passwords[r.URL.Host]
		if user == nil {
			user = netrc(r.URL.Hostname())
		}
		if user != nil && r.Header.Get("Authorization") == "" {
			r = r.Clone(r.Context())
			password, _ := user.Password()
			r.SetBasicAuth(user.Username(), password)
		}
		return transport.RoundTrip(r)
	})
	return c, nil
}

// files opens the files of this machine, but only regular ones and directories. Any other
// could block its reader, out of reach of signals.
type files struct{}

func (files) Open(name string) (http.File, error) {
	path := filepath.FromSlash(name)
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return os.Open(path)
	}
	return infile.Open(path)
}

// checkRedirect limits the number of redirections and checks each with MayLead.
func checkRedirect(r *http.Request, via []*http.Request) error {
	const most = 10
	if len(via) > most {
		return backoff.Permanent(fmt.Errorf("it redirects more than %d times", most))
	}
	if err := MayLead(via[len(via)-1].URL, r.URL); err != nil {
		return backoff.Permanent(fmt.Errorf("it redirects to %s: %w", r.URL.Redacted(), err))
	}
	return nil
}

// MayLead returns an error if a redirection or a link at from must not be followed to to: to
// a file of this machine from a server, or to an unencrypted connection from https. URLs that
// the user chose need no such check.
func MayLead(from, to *url.URL) error {
	switch {
	case from.Scheme == to.Scheme, to.Scheme == "https", from.Scheme == "file" && to.Scheme == "http":
		return nil
	case from.Scheme == "https" && to.Scheme == "http":
		return errors.New("https must not lead to http")
	}
	return fmt.Errorf("%s must not lead to %s", from.Scheme, to.Scheme)
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// readCertificates reads the PEM files at path, a file or a directory.
func readCertificates(path string) (*x509.CertPool, error) {
	files := []string{path}
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		if files, err = filepath.Glob(filepath.Join(path, "*")); err != nil {
			return nil, err
		}
	}
	pool := x509.NewCertPool()
	found := false
	for _, file := range files {
		pem, err := infile.Read(file, infile.MaxText)
		if err != nil && !info.IsDir() {
			return nil, err
		}
		found = pool.AppendCertsFromPEM(pem) || found
	}
	if !found {
		return nil, errors.New("it contains no certificates")
	}
	return pool, nil
}

// readNetrc reads a netrc file, which may be missing, and returns a function that looks up
// the user of a host.
func readNetrc(path string) (func(host string) *url.Userinfo, error) {
	text, err := infile.Read(path, infile.MaxText)
	if errors.Is(err, fs.ErrNotExist) {
		return func(string) *url.Userinfo { return nil }, nil
	}
	if err != nil {
		return nil, err
	}
	file, err := netrc.ParseString(string(text))
	if err != nil {
		return nil, err
	}
	return func(host string) *url.Userinfo {
		for _, m := range file.Machines() {
			if m.Name == host || m.IsDefault {
				return url.UserPassword(m.Get("login"), m.Get("password"))
			}
		}
		return nil
	}, nil
}

// get requests u. Reading the body fails if no data arrive for the client's timeout.
func (c *Client) get(ctx context.Context, u *url.URL, header func(http.Header)) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		cancel(nil)
		return nil, backoff.Permanent(err)
	}
	header(request.Header)
	response, err := c.http.Do(request)
	if err != nil {
		cancel(nil)
		var untrusted *tls.CertificateVerificationError
		if errors.As(err, &untrusted) {
			return nil, backoff.Permanent(fmt.Errorf("%w; set PIP_CERT or SSL_CERT_FILE to the file of your certificate authority", untrusted))
		}
		if wrapped := (*url.Error)(nil); errors.As(err, &wrapped) {
			err = wrapped.Err // the caller adds the URL
		}
		return nil, err
	}
	stalled := fmt.Errorf("no data arrived for %v", c.timeout)
	response.Body = &watchedBody{
		ReadCloser: response.Body,
		ctx:        ctx,
		cancel:     cancel,
		timeout:    c.timeout,
		timer:      time.AfterFunc(c.timeout, func() { cancel(stalled) }),
	}
	return response, nil
}

// watchedBody cancels a response that stalls.
type watchedBody struct {
	io.ReadCloser
	ctx     context.Context
	cancel  context.CancelCauseFunc
	timeout time.Duration
	timer   *time.Timer
}

func (b *watchedBody) Read(p []byte) (int, error) {
	b.timer.Reset(b.timeout)
	n, err := b.ReadCloser.Read(p)
	if cause := context.Cause(b.ctx); err != nil && !errors.Is(err, io.EOF) && cause != nil {
		err = cause
	}
	return n, err
}

func (b *watchedBody) Close() error {
	b.timer.Stop()
	err := b.ReadCloser.Close()
	b.cancel(nil)
	return err
}

// ErrNotFound reports that a server does not have a file.
var ErrNotFound = errors.New("404 Not Found")

// statusError returns the error for a response's status. It is permanent unless the server
// has failed or asks the client to wait.
func statusError(r *http.Response) error {
	// Do not use r.Status: its text comes from the server and may be anything.
	err := errors.New(strings.TrimSpace(fmt.Sprintf("%d %s", r.StatusCode, http.StatusText(r.StatusCode))))
	switch {
	case r.StatusCode == http.StatusNotFound:
		return backoff.Permanent(ErrNotFound)
	case r.StatusCode == http.StatusUnauthorized, r.StatusCode == http.StatusForbidden:
		return backoff.Permanent(fmt.Errorf("%w; put user:password@ before the host in its URL, or add the host to ~/.netrc", err))
	case r.StatusCode == http.StatusProxyAuthRequired:
		return backoff.Permanent(fmt.Errorf("%w; put user:password@ before the host of the proxy in HTTPS_PROXY or PIP_PROXY", err))
	case r.StatusCode >= 500, r.StatusCode == http.StatusTooManyRequests, r.StatusCode == http.StatusRequestTimeout:
		return err
	}
	return backoff.Permanent(err)
}

// retry calls try until it succeeds, fails permanently (backoff.Permanent), or fails more
// often in a row than the client's retries. Progress (further) starts the count again. retry
// waits longer after each failure.
func (c *Client) retry(ctx context.Context, try func() (further bool, err error)) error {
	wait := &backoff.ExponentialBackOff{InitialInterval: 250 * time.Millisecond, Multiplier: 2, RandomizationFactor: 0.2, MaxInterval: 8 * time.Second}
	failures := 0
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		further, err := try()
		if further {
			failures = 0
			wait.Reset()
		}
		if failures++; failures > c.retries {
			err = backoff.Permanent(err)
		}
		return struct{}{}, err
	}, backoff.WithBackOff(wait), backoff.WithMaxElapsedTime(0))
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}
