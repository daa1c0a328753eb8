package main

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"nb201/results"
	"nb201/results/resultstest"
)

// serveCampaign makes a campaign to serve.
func serveCampaign(t *testing.T) string {
	t.Helper()
	c := results.Campaign{Dir: t.TempDir()}
	if err := c.Publish(resultstest.Record(t, results.Trial{Arch: 4, Dataset: "digits", Epochs: 2, Seed: 1}), nil); err != nil {
		t.Fatal(err)
	}
	return c.Dir
}

// serve refuses what it cannot serve, or where it cannot listen, in one sentence.
func TestServeRefuses(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		return path
	}
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o666); err != nil {
		t.Fatal(err)
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	campaign := serveCampaign(t)
	const token, long = "0123456789ABCDEF", "is not a token; write at least 16 letters and digits"
	for _, test := range []struct {
		args []string
		want string
	}{
		{nil, "takes one PATH"}, {[]string{campaign, campaign}, "takes one PATH"},
		{[]string{filepath.Join(dir, "none")}, "none: no such file or directory"},
		{[]string{dir}, "is neither a campaign nor a benchmark in a published format"},
		{[]string{write("empty.pth", "")}, "is an empty file"},
		{[]string{write("text.pth", "hello\n")}, "text.pth"},
		{[]string{write("cut.pth", "PK\x03\x04")}, "cut.pth"},
		{[]string{pipe}, "pipe"},
		{[]string{"/dev/null"}, "/dev/null"},
		{[]string{campaign, "--token-file", filepath.Join(dir, "none")}, "cannot read the token: open " + dir + "/none: no such file"},
		{[]string{campaign, "--token-file", write("empty", "")}, long},
		{[]string{campaign, "--token-file", write("short", token[1:]+"\n")}, long},
		{[]string{campaign, "--token-file", write("second", "\n"+token+"\n")}, long},
		{[]string{campaign, "--token-file", write("space", token+" "+token)}, long},
		{[]string{campaign, "--token-file", write("quote", token+`"`)}, long},
		{[]string{campaign, "--token-file", write("semicolon", token+`;a`)}, long},
		{[]string{campaign, "--token-file", write("comma", token+`,a`)}, long},
		{[]string{campaign, "--token-file", write("backslash", token+`\a`)}, long},
		{[]string{campaign, "--token-file", write("control", token+"\x1b[2J")}, long},
		{[]string{campaign, "--token-file", write("NUL", token+"\x00")}, long},
		{[]string{campaign, "--token-file", write("letters", token+"é")}, long},
		{[]string{campaign, "--token-file", write("bytes", token+"\xff")}, long},
		{[]string{campaign, "--token-file", write("large", strings.Repeat(token, 5000))}, "too large"},
		{[]string{campaign, "--token-file", dir}, "not a regular file: it is a directory"},
		{[]string{campaign, "--token-file", pipe}, "not a regular file: it is a named pipe"},
		{[]string{campaign, "--token-file", "/dev/zero"}, "not a regular file: it is a device"},
		{[]string{campaign, "--listen", ""}, "use HOST:PORT, or :PORT"},
		{[]string{campaign, "--host", "*"}, `--host "*" is not a host name`},
		{[]string{campaign, "--host", "http://bench.example"}, "name a host without a port"},
		{[]string{campaign, "--listen", "127.0.0.1"}, "use HOST:PORT, or :PORT"},
		{[]string{campaign, "--listen", ":65536"}, "the port is not a number from 0 to 65535"},
		{[]string{campaign, "--listen", "http://127.0.0.1:8201"}, "use HOST:PORT, or :PORT"},
		{[]string{campaign, "--listen", "203.0.113.1:0"}, "choose another address with --listen"},
		{[]string{campaign, "--listen", taken.Addr().String()}, "address already in use; choose another address with --listen, such as --listen :0"},
	} {
		if !strings.Contains(strings.Join(test.args, " "), "--listen") {
			test.args = append(test.args, "--listen", ":0")
		}
		stdout, stderr, code := nb201(append([]string{"serve"}, test.args...)...)
		if code != 2 || stdout != "" || !strings.Contains(stderr, test.want) || strings.Count(stderr, "nb201: ") != 1 || strings.ContainsAny(stderr, "\x1b\x00") || strings.Contains(stderr, token) {
			t.Errorf("%q: code %d, stdout %q, stderr %q; want %q", test.args, code, stdout, stderr, test.want)
		}
	}
}

// Where other hosts reach the server, it warns and requires the token of the link that it prints. A
// signal ends it.
func TestServeLink(t *testing.T) {
	campaign := serveCampaign(t)
	const token = "0123456789-ABCDEF=+/"
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(token+"\r\nnot this\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	addresses := []struct {
		listen string
		file   bool
		link   string // a pattern
		warns  bool
	}{
		{":0", false, `^http://127\.0\.0\.1:\d+/$`, false},
		{":0", true, `^http://127\.0\.0\.1:\d+/\?token=0123456789-ABCDEF%3D%2B%2F$`, false},
		{"0.0.0.0:0", false, `^http://[^/]+:\d+/\?token=[A-Z2-7]{26}$`, true},
		{"0.0.0.0:0", true, `^http://[^/]+:\d+/\?token=0123456789-ABCDEF%3D%2B%2F$`, true},
	}
	if l, err := net.Listen("tcp", "[::1]:0"); err == nil { // the host has IPv6
		l.Close()
		addresses = append(addresses, addresses[0], addresses[2])
		addresses[4].listen, addresses[4].link = "[::1]:0", `^http://\[::1\]:\d+/$`
		addresses[5].listen = "[::]:0"
	}
	for _, test := range addresses {
		args := []string{"serve", campaign, "--listen", test.listen}
		if test.file {
			args = append(args, "--token-file", file)
		}
		cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
		var stderr strings.Builder
		cmd.Stderr = &stderr
		stdout, err := cmd.StdoutPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		line, err := bufio.NewReader(stdout).ReadString('\n')
		if err != nil {
			_ = cmd.Wait() // see the text
			t.Fatalf("%q: %v, stderr %q", args, err, &stderr)
		}
		link := regexp.MustCompile(` at (\S+) \(Ctrl-C stops\)\n$`).FindStringSubmatch(line)
		if link == nil || !regexp.MustCompile(test.link).MatchString(link[1]) {
			t.Fatalf("%q: prints %q", args, line)
		}
		page, err := url.Parse(link[1])
		if err != nil {
			t.Fatal(err)
		}
		if test.warns {
			page.Host = "127.0.0.1:" + page.Port()
		}
		client := http.Client{Timeout: time.Minute, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
		hasToken := page.RawQuery != ""
		ask := func(address string) int {
			r, err := client.Get(address)
			if err != nil {
				t.Fatal(err)
			}
			_, err = io.Copy(io.Discard, r.Body)
			if err = errors.Join(err, r.Body.Close()); err != nil {
				t.Fatal(err)
			}
			return r.StatusCode
		}
		withToken, without := ask(page.String()), ask("http://"+page.Host+"/")
		if hasToken && (withToken != http.StatusSeeOther || without != http.StatusUnauthorized) || !hasToken && without != http.StatusOK {
			t.Errorf("%q: status %d with the link, %d without", args, withToken, without)
		}
		client.CloseIdleConnections()
		if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // see the status
		const warning = "other hosts reach this server"
		if code := cmd.ProcessState.ExitCode(); code != 130 || strings.Contains(stderr.String(), warning) != test.warns || !strings.Contains(stderr.String(), "nb201: stopped (interrupt)") {
			t.Errorf("%q: code %d, stderr %q", args, code, &stderr)
		}
	}
}
