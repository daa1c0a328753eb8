package index

import (
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nb201/internal/usage"
)

// environment returns a getenv for the given variables, by default without pip's files.
func environment(variables map[string]string) func(string) string {
	return func(name string) string {
		if value, ok := variables[name]; ok || name != "PIP_CONFIG_FILE" {
			return value
		}
		return os.DevNull
	}
}

func TestReadSettings(t *testing.T) {
	proxyFor := func(address string) func(Settings) any {
		return func(s Settings) any {
			u, err := url.Parse(address)
			if err != nil {
				t.Fatal(err)
			}
			if u, err = s.Proxy(u); err != nil {
				t.Fatal(err)
			}
			if u == nil {
				return "none"
			}
			return u.String()
		}
	}
	index := func(s Settings) any { return s.Index.String() }
	for _, c := range []struct {
		name      string
		variables map[string]string
		get       func(Settings) any
		want      any
	}{
		{"default index", nil, index, defaultIndex},
		{"index", map[string]string{"PIP_INDEX_URL": "http://u:p@a.test/simple"}, index, "http://u:p@a.test/simple"},
		{"certificates", map[string]string{"PIP_CERT": "a"}, func(s Settings) any { return s.CABundle }, "a"},
		{"proxy", map[string]string{"PIP_PROXY": "u:p@proxy:3128", "HTTPS_PROXY": "http://b"}, proxyFor("https://a.test"), "http://u:p@proxy:3128"},
		{"proxy for HTTP", map[string]string{"HTTP_PROXY": "http://a", "http_proxy": "http://b", "HTTPS_PROXY": "http://c"}, proxyFor("http://a.test"), "http://b"},
		{"proxy for HTTPS", map[string]string{"HTTP_PROXY": "http://a", "HTTPS_PROXY": "socks5://c"}, proxyFor("https://a.test"), "socks5://c"},
		{"excluded host", map[string]string{"HTTPS_PROXY": "http://c", "NO_PROXY": "b.test,.a.test"}, proxyFor("https://x.a.test"), "none"},
		{"no proxy", nil, proxyFor("https://a.test"), "none"},
		{"netrc", map[string]string{"HOME": "/home/u"}, func(s Settings) any { return s.Netrc }, "/home/u/.netrc"},
		{"another netrc", map[string]string{"HOME": "/home/u", "NETRC": "/n"}, func(s Settings) any { return s.Netrc }, "/n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := ReadSettings(environment(c.variables))
			if err != nil {
				t.Fatal(err)
			}
			if got := c.get(s); got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func TestReadSettingsRefuses(t *testing.T) {
	for _, c := range []struct{ variable, value, want string }{
		{"PIP_INDEX_URL", "user:secret@a.test/simple", "PIP_INDEX_URL"},
		{"PIP_INDEX_URL", "http://[::1", "PIP_INDEX_URL"},
		{"PIP_PROXY", "http://u:secret@a b:x", "PIP_PROXY"},
	} {
		_, err := ReadSettings(environment(map[string]string{c.variable: c.value}))
		if !usage.Is(err) || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s=%s: the error is %v", c.variable, c.value, err)
		}
	}
}

func TestConfigurationFiles(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("xdg/pip/pip.conf", "[global]\nindex-url = http://system.test\nproxy: one.test:1\ncert = a\nretries = many\n")
	write("home/.config/pip/pip.conf", "[global]\nindex_url = http://user.test\nextra-index-url =\n    http://one.test\n    # a comment\n    http://two.test\nproxy = two.test:2\n")
	write("env/pip.conf", "[global]\ncert = b\n[install]\nproxy = three.test:3\n[download]\nproxy = nine.test:9\n")
	own := write("own.conf", "[global]\nindex-url = http://own.test/a#b;c\n")
	variables := map[string]string{
		"HOME": filepath.Join(dir, "home"), "XDG_CONFIG_DIRS": filepath.Join(dir, "xdg"),
		"VIRTUAL_ENV": filepath.Join(dir, "env"), "PIP_CONFIG_FILE": "",
	}
	check := func(host, proxy, certificates string) {
		t.Helper()
		s, err := ReadSettings(environment(variables))
		if err != nil {
			t.Fatal(err)
		}
		through, err := s.Proxy(s.Index)
		if err != nil {
			t.Fatal(err)
		}
		if s.Index.Host != host || through.Host != proxy || s.CABundle != certificates {
			t.Errorf("the index is %v, the proxy %v, the certificates are %q", s.Index, through, s.CABundle)
		}
	}
	check("user.test", "three.test:3", "b")

	// PIP_CONFIG_FILE replaces the user's file, and other variables override all files.
	variables["PIP_CONFIG_FILE"] = own
	variables["PIP_PROXY"] = "four.test:4"
	check("own.test", "four.test:4", "b")

	variables["PIP_CONFIG_FILE"] = write("bad.conf", "[global\n")
	if _, err := ReadSettings(environment(variables)); !usage.Is(err) || !strings.Contains(err.Error(), "bad.conf") {
		t.Errorf("the error is %v", err)
	}
}
