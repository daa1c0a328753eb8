package main

import (
	"crypto/rand"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"nb201/internal/inert"
	"nb201/internal/infile"
	"nb201/internal/listen"
	"nb201/internal/progress"
	"nb201/internal/usage"
	"nb201/results/published"
	"nb201/serve"
)

func newServeCommand() *cobra.Command {
	var flags struct {
		listen    string
		tokenFile string
		hosts     []string
	}
	c := &cobra.Command{
		Use:   "serve PATH",
		Short: "Serve a live page of a benchmark, and a JSON API",
		Long: `serve shows the page of nb201 report in a browser and keeps it up to date while a campaign
runs: progress, trials in progress and their curves, failures, and every plot as trials
finish. Programs ask the same server through a JSON API (/api/v1) and Prometheus through
/metrics. serve changes nothing. It runs until it is stopped (Ctrl-C).

PATH is a campaign directory, or a file or directory of a published format:
` + published.Describe() + `.
A campaign may run, move or be deleted meanwhile; the page then shows what was last read. serve
reads at the lowest priority, so that it does not slow down training on the same cores.

By default, only this host reaches the server. To see the page of another host, tunnel it:
  ssh -L 8201:127.0.0.1:8201 HOST
With an address that other hosts reach, every request must present a token: serve prints a
link that contains it. The connection is not encrypted.`,
		Example: `  nb201 serve campaign
  nb201 serve NAS-Bench-201-v1_1-096897.pth --listen :8080
  curl http://127.0.0.1:8201/api/v1/status`,
		Args: oneArgument("PATH", aBenchmark),
		RunE: func(c *cobra.Command, args []string) error {
			address, err := listen.Address("--listen", flags.listen)
			if err != nil {
				return err
			}
			token, err := readToken(flags.tokenFile)
			if err != nil {
				return err
			}
			for _, host := range flags.hosts {
				if strings.ContainsFunc(host, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`*/\"'?#@[]`, r) }) || host == "" {
					return usage.Errorf("--host %q is not a host name; name a host without a port, such as bench.example", host)
				}
			}
			l, err := new(net.ListenConfig).Listen(c.Context(), "tcp", address)
			if err != nil {
				return usage.Errorf("cannot listen on %s: %w; choose another address with --listen, such as --listen :0", address, err)
			}
			defer l.Close()
			if !listen.IsLoopback(l) {
				if token == "" {
					token = rand.Text()
				}
				warn(c, "other hosts reach this server: it answers whoever has the token, and the connection is not encrypted")
			}
			report, end := progress.Reporter(c.ErrOrStderr(), progress.Bytes)
			s, err := serve.Open(c.Context(), serve.Options{
				Path: args[0], Program: "nb201 " + version, Token: token, Hosts: flags.hosts,
				Indexing: published.WithProgress(func(done, total int64) { report("indexing "+args[0], done, total) }),
			})
			end()
			if err != nil {
				return err
			}
			defer s.Close()
			yieldCores()
			if _, err := inert.Fprintf(c.OutOrStdout(), "serving %s at %s (Ctrl-C stops)\n", args[0], link(l, token)); err != nil {
				return err
			}
			if err := s.Serve(c.Context(), l); err != nil {
				return err
			}
			return c.Context().Err()
		},
	}
	f := c.Flags()
	f.StringVar(&flags.listen, "listen", "127.0.0.1:8201", "listen on `ADDRESS`, HOST:PORT; without HOST, only this host reaches it; port 0 chooses a free one")
	f.StringVar(&flags.tokenFile, "token-file", "", "require the token in the first line of `FILE`, instead of a new one, also on this host")
	f.StringSliceVar(&flags.hosts, "host", nil, "answer requests to `NAME` too, by which a proxy or other hosts reach the server; may be repeated")
	return c
}

// shortestToken is the least length of a token, in characters.
const shortestToken = 16

// readToken reads the token in the first line of a file, "" without a file.
func readToken(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	text, err := infile.Read(path, 1<<16)
	if err != nil {
		return "", usage.Errorf("cannot read the token: %w", err)
	}
	line, _, _ := strings.Cut(string(text), "\n")
	token := strings.TrimSpace(line)
	if len(token) < shortestToken || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`",;\`, r) }) {
		return "", usage.Errorf("%s: the first line is not a token; write at least %d letters and digits", path, shortestToken)
	}
	return token, nil
}

// link returns the address of the page, with the token if one is required. A listener on all interfaces
// is named by its host.
func link(l net.Listener, token string) string {
	address := l.Addr().String()
	if host, port, err := net.SplitHostPort(address); err == nil && net.ParseIP(host).IsUnspecified() {
		if name, err := os.Hostname(); err == nil {
			address = net.JoinHostPort(name, port)
		}
	}
	u := url.URL{Scheme: "http", Host: address, Path: "/"}
	if token != "" {
		u.RawQuery = url.Values{"token": {token}}.Encode()
	}
	return u.String()
}

// yieldCores gives all threads of this process the lowest priority, and so those that they start.
func yieldCores() {
	const lowest = 19
	threads, _ := filepath.Glob("/proc/self/task/*")
	for _, path := range threads {
		if id, err := strconv.Atoi(filepath.Base(path)); err == nil {
			_ = unix.Setpriority(unix.PRIO_PROCESS, id, lowest) // without it, serve competes with training
		}
	}
}
