package index

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jdx/go-netrc"

	"nb201/internal/usage"
)

// Client reads index pages and fetches files. It is safe for concurrent use.
type Client struct {
	pages, indexes []*url.URL
	http           http.Client
	timeout        time.Duration
	retries        int
}

// New makes a client that goes by the settings. Its errors are wrong settings.
func New(s Settings) (*Client, error) {
	config := &tls.Config{}
	if s.CABundle != "" {
		pool, err := readCertificates(s.CABundle)
		if err != nil {
			return nil, usage.Errorf("cannot read the certificates in %s: %w: set PIP_CERT to a file of PEM certificates", s.CABundle, err)
		}
		config.RootCAs = pool
	}
	if s.ClientCert != "" {
		pair, err := tls.LoadX509KeyPair(s.ClientCert, s.ClientCert)
		if err != nil {
			return nil, usage.Errorf("cannot read the client certificate %s: %w: set PIP_CLIENT_CERT to a PEM file with a certificate and its key", s.ClientCert, err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	passwords, err := readNetrc(s.Netrc)
	if err != nil {
		return nil, usage.Errorf("cannot read %s: %w", s.Netrc, err)
	}
	c := &Client{timeout: s.Timeout, retries: s.Retries}
	credentials := map[string]*url.Userinfo{}
	// What stands before a host goes into credentials, and so into no message.
	strip := func(from []*url.URL) (stripped []*url.URL) {
		for _, u := range from {
			bare := *u
			bare.User = nil
			if u.User != nil {
				credentials[u.Host] = u.User
			}
			stripped = append(stripped, &bare)
		}
		return stripped
	}
	c.pages, c.indexes = strip(s.Pages), strip(s.Indexes)

	transport := &http.Transport{
		DialContext:           (&net.Dialer{Timeout: s.Timeout}).DialContext,
		TLSClientConfig:       config,
		TLSHandshakeTimeout:   s.Timeout,
		ResponseHeaderTimeout: s.Timeout,
		ForceAttemptHTTP2:     true,
		DisableCompression:    true, // lengths and ranges are those of the file itself
	}
	if s.Proxy != nil {
		transport.Proxy = func(r *http.Request) (*url.URL, error) { return s.Proxy(r.URL) }
	}
	transport.RegisterProtocol("file", http.NewFileTransport(http.Dir("/")))
	unchecked := transport.Clone()
	unchecked.TLSClientConfig.InsecureSkipVerify = true
	c.http.Transport = roundTripper(func(r *http.Request) (*http.Response, error) {
		user := credentials[r.URL.Host]
		if user == nil {
			user = passwords(r.URL.Hostname())
		}
		if user != nil && r.Header.Get("Authorization") == "" {
			r = r.Clone(r.Context())
			password, _ := user.Password()
			r.SetBasicAuth(user.Username(), password)
		}
		if slices.Contains(s.TrustedHosts, r.URL.Host) || slices.Contains(s.TrustedHosts, r.URL.Hostname()) {
			return unchecked.RoundTrip(r)
		}
		return transport.RoundTrip(r)
	})
	return c, nil
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
		pem, err := os.ReadFile(file)
		if err != nil && !info.IsDir() {
			return nil, err
		}
		found = pool.AppendCertsFromPEM(pem) || found
	}
	if !found {
		return nil, errors.New("there are none")
	}
	return pool, nil
}

// readNetrc reads a netrc file, if there is one, into a look-up by host.
func readNetrc(path string) (func(host string) *url.Userinfo, error) {
	file, err := netrc.Parse(path)
	if errors.Is(err, fs.ErrNotExist) {
		return func(string) *url.Userinfo { return nil }, nil
	}
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

// Fetch writes the file to dst, an empty file, and returns its SHA-256. A fetch that
// breaks off goes on where it stopped. The file has size bytes, or that is an error.
// progress, which may be nil, is told how many bytes are there; after a server that
// cannot resume they are fewer than before.
func (c *Client) Fetch(ctx context.Context, f File, dst *os.File, size int64, progress func(done int64)) (sum string, err error) {
	hash := sha256.New()
	var done int64
	err = c.retry(ctx, func() (bool, error) {
		start := done
		response, err := c.get(ctx, f.URL, func(h http.Header) {
			if done > 0 {
				h.Set("Range", fmt.Sprintf("bytes=%d-", done))
			}
		})
		if err != nil {
			return false, err
		}
		defer response.Body.Close()
		switch response.StatusCode {
		case http.StatusPartialContent:
			if from, ok := rangeStart(response.Header.Get("Content-Range")); !ok || from != done {
				return false, permanent{fmt.Errorf("asked for the bytes from %d on, the server sent %q", done, response.Header.Get("Content-Range"))}
			}
		case http.StatusOK:
			if _, err := dst.Seek(0, io.SeekStart); err != nil {
				return false, permanent{err}
			}
			if err := dst.Truncate(0); err != nil {
				return false, permanent{err}
			}
			hash.Reset()
			start, done = 0, 0
		default:
			return false, statusError(response)
		}
		buffer := make([]byte, 256<<10)
		for {
			n, readErr := response.Body.Read(buffer)
			if done += int64(n); done > size {
				return false, permanent{fmt.Errorf("it is longer than the %d bytes it should have", size)}
			}
			hash.Write(buffer[:n])
			if _, err := dst.Write(buffer[:n]); err != nil {
				return false, permanent{err}
			}
			if progress != nil && n > 0 {
				progress(done)
			}
			if done == size {
				return true, nil
			}
			if readErr == io.EOF {
				readErr = fmt.Errorf("it broke off after %d of %d bytes", done, size)
			}
			if readErr != nil {
				const worthwhile = 1 << 20
				return done-start >= worthwhile, readErr
			}
		}
	})
	if err != nil {
		return "", fmt.Errorf("%s: %w", f.URL.Redacted(), err)
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}

// ReadTail returns the last n bytes of the file, n at most its size.
func (c *Client) ReadTail(ctx context.Context, f File, n int) (tail []byte, err error) {
	err = c.retry(ctx, func() (bool, error) {
		response, err := c.get(ctx, f.URL, func(h http.Header) { h.Set("Range", fmt.Sprintf("bytes=-%d", n)) })
		if err != nil {
			return false, err
		}
		defer response.Body.Close()
		if response.StatusCode != http.StatusPartialContent {
			return false, statusError(response)
		}
		tail = make([]byte, n)
		_, err = io.ReadFull(response.Body, tail)
		return false, err
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.URL.Redacted(), err)
	}
	return tail, nil
}

// rangeStart reads the first number of "bytes 5-9/10".
func rangeStart(contentRange string) (int64, bool) {
	text, _ := strings.CutPrefix(contentRange, "bytes ")
	text, _, _ = strings.Cut(text, "-")
	n, err := strconv.ParseInt(text, 10, 64)
	return n, err == nil
}

// get asks for u. The body's reads fail once nothing came for the client's timeout.
func (c *Client) get(ctx context.Context, u *url.URL, header func(http.Header)) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		cancel(nil)
		return nil, permanent{err}
	}
	header(request.Header)
	response, err := c.http.Do(request)
	if err != nil {
		cancel(nil)
		var untrusted *tls.CertificateVerificationError
		if errors.As(err, &untrusted) {
			return nil, permanent{fmt.Errorf("%w: set PIP_CERT to the file of your certificate authority", untrusted)}
		}
		if wrapped := (*url.Error)(nil); errors.As(err, &wrapped) {
			err = wrapped.Err // The caller names the URL.
		}
		return nil, err
	}
	stalled := fmt.Errorf("nothing came for %v", c.timeout)
	response.Body = &watchedBody{
		ReadCloser: response.Body,
		ctx:        ctx,
		cancel:     cancel,
		timeout:    c.timeout,
		timer:      time.AfterFunc(c.timeout, func() { cancel(stalled) }),
	}
	return response, nil
}

// watchedBody ends a response that stops coming.
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
	if cause := context.Cause(b.ctx); err != nil && err != io.EOF && cause != nil {
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

// permanent marks an error that trying again does not mend.
type permanent struct{ error }

func (p permanent) Unwrap() error { return p.error }

// statusError is the error of an answer that is none; a server's own faults and
// its calls for patience may pass.
func statusError(r *http.Response) error {
	err := errors.New(r.Status)
	switch {
	case r.StatusCode == http.StatusUnauthorized, r.StatusCode == http.StatusForbidden:
		return permanent{fmt.Errorf("%w: put user:password@ before the host in PIP_INDEX_URL, or the host into ~/.netrc", err)}
	case r.StatusCode == http.StatusProxyAuthRequired:
		return permanent{fmt.Errorf("%w: put user:password@ before the host in PIP_PROXY", err)}
	case r.StatusCode >= 500, r.StatusCode == http.StatusTooManyRequests, r.StatusCode == http.StatusRequestTimeout:
		return err
	}
	return permanent{err}
}

// retry runs try until it succeeds, fails for good, or failed once more than the
// client's retries in a row without progress. It waits longer after each failure.
func (c *Client) retry(ctx context.Context, try func() (progress bool, err error)) error {
	const first, longest = 250 * time.Millisecond, 8 * time.Second
	wait := first
	for failures := 0; ; {
		progress, err := try()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if final := (permanent{}); errors.As(err, &final) {
			return err
		}
		if progress {
			failures, wait = 0, first
		}
		if failures++; failures > c.retries {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
		wait = min(2*wait, longest)
	}
}
