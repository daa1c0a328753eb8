package index

import (
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"nb201/internal/usage"
)

// environment is a getenv of the given variables, by default without pip's files.
func environment(variables map[string]string) func(string) string {
	return func(name string) string {
		if value, ok := variables[name]; ok || name != "PIP_CONFIG_FILE" {
			return value
		}
		return os.DevNull
	}
}

func TestReadSettings(t *testing.T) {
	list := func(urls []*url.URL) string {
		var texts []string
		for _, u := range urls {
			texts = append(texts, u.String())
		}
		return strings.Join(texts, " ")
	}
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
	dir := t.TempDir()
	for _, c := range []struct {
		name      string
		variables map[string]string
		get       func(Settings) any
		want      any
	}{
		{"default index", nil, func(s Settings) any { return list(s.Indexes) }, defaultIndex + "/"},
		{"index", map[string]string{"PIP_INDEX_URL": "http://u:p@a.test/simple"}, func(s Settings) any { return list(s.Indexes) }, "http://u:p@a.test/simple/"},
		{"extra indexes", map[string]string{"PIP_INDEX_URL": "http://a.test/", "PIP_EXTRA_INDEX_URL": "http://b.test/x  http://c.test"},
			func(s Settings) any { return list(s.Indexes) }, "http://a.test/ http://b.test/x/ http://c.test/"},
		{"no index", map[string]string{"PIP_INDEX_URL": "http://a.test/", "PIP_NO_INDEX": "1"}, func(s Settings) any { return list(s.Indexes) }, ""},
		{"find-links", map[string]string{"PIP_FIND_LINKS": dir + " https://a.test/wheels.html"},
			func(s Settings) any { return list(s.Pages) }, "file://" + dir + "/ https://a.test/wheels.html"},
		{"certificates", map[string]string{"PIP_CERT": "a", "REQUESTS_CA_BUNDLE": "b"}, func(s Settings) any { return s.CABundle }, "a"},
		{"requests' certificates", map[string]string{"REQUESTS_CA_BUNDLE": "b", "CURL_CA_BUNDLE": "c"}, func(s Settings) any { return s.CABundle }, "b"},
		{"curl's certificates", map[string]string{"CURL_CA_BUNDLE": "c"}, func(s Settings) any { return s.CABundle }, "c"},
		{"client certificate", map[string]string{"PIP_CLIENT_CERT": "a"}, func(s Settings) any { return s.ClientCert }, "a"},
		{"trusted hosts", map[string]string{"PIP_TRUSTED_HOST": "a.test b.test:8080"}, func(s Settings) any { return strings.Join(s.TrustedHosts, ",") }, "a.test,b.test:8080"},
		{"proxy", map[string]string{"PIP_PROXY": "u:p@proxy:3128", "HTTPS_PROXY": "http://b"}, proxyFor("https://a.test"), "http://u:p@proxy:3128"},
		{"proxy for HTTP", map[string]string{"HTTP_PROXY": "http://a", "http_proxy": "http://b", "HTTPS_PROXY": "http://c"}, proxyFor("http://a.test"), "http://b"},
		{"proxy for HTTPS", map[string]string{"HTTP_PROXY": "http://a", "HTTPS_PROXY": "socks5://c"}, proxyFor("https://a.test"), "socks5://c"},
		{"excluded host", map[string]string{"HTTPS_PROXY": "http://c", "NO_PROXY": "b.test,.a.test"}, proxyFor("https://x.a.test"), "none"},
		{"no proxy", nil, proxyFor("https://a.test"), "none"},
		{"default timeout", nil, func(s Settings) any { return s.Timeout }, 15 * time.Second},
		{"timeout", map[string]string{"PIP_DEFAULT_TIMEOUT": "2.5"}, func(s Settings) any { return s.Timeout }, 2500 * time.Millisecond},
		{"short name of timeout", map[string]string{"PIP_TIMEOUT": "3"}, func(s Settings) any { return s.Timeout }, 3 * time.Second},
		{"default retries", nil, func(s Settings) any { return s.Retries }, 5},
		{"retries", map[string]string{"PIP_RETRIES": "0"}, func(s Settings) any { return s.Retries }, 0},
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
		{"PIP_EXTRA_INDEX_URL", "nowhere", `"nowhere"`},
		{"PIP_PROXY", "http://u:secret@a b:x", "PIP_PROXY"},
		{"PIP_DEFAULT_TIMEOUT", "soon", "PIP_DEFAULT_TIMEOUT"},
		{"PIP_DEFAULT_TIMEOUT", "0", "PIP_DEFAULT_TIMEOUT"},
		{"PIP_DEFAULT_TIMEOUT", "nan", "PIP_DEFAULT_TIMEOUT"},
		{"PIP_RETRIES", "-1", "PIP_RETRIES"},
		{"PIP_RETRIES", "1.5", "PIP_RETRIES"},
		{"PIP_FIND_LINKS", "http://[::1", "find-links"},
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
	write("xdg/pip/pip.conf", "[global]\nindex-url = http://system.test\nretries: 1\ntimeout = 11\n")
	write("home/.config/pip/pip.conf", "[global]\nindex_url = http://user.test\nextra-index-url =\n    http://one.test\n    # a comment\n    http://two.test\nretries = 2\n")
	write("env/pip.conf", "[global]\ntimeout = 12\n[install]\nretries = 3\n[download]\nretries = 9\n")
	own := write("own.conf", "[global]\nindex-url = http://own.test/a#b;c\n")
	variables := map[string]string{
		"HOME": filepath.Join(dir, "home"), "XDG_CONFIG_DIRS": filepath.Join(dir, "xdg"),
		"VIRTUAL_ENV": filepath.Join(dir, "env"), "PIP_CONFIG_FILE": "",
	}

	s, err := ReadSettings(environment(variables))
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Indexes) != 3 || s.Indexes[0].Host != "user.test" || s.Indexes[1].Host != "one.test" || s.Indexes[2].Host != "two.test" {
		t.Errorf("the indexes are %v", s.Indexes)
	}
	if s.Timeout != 12*time.Second || s.Retries != 3 {
		t.Errorf("timeout %v, %d retries", s.Timeout, s.Retries)
	}

	// A file of one's own replaces the user's, and variables override them all.
	variables["PIP_CONFIG_FILE"] = own
	variables["PIP_RETRIES"] = "4"
	if s, err = ReadSettings(environment(variables)); err != nil {
		t.Fatal(err)
	}
	if len(s.Indexes) != 1 || s.Indexes[0].Host != "own.test" || s.Retries != 4 {
		t.Errorf("the indexes are %v, %d retries", s.Indexes, s.Retries)
	}

	variables["PIP_CONFIG_FILE"] = write("bad.conf", "[global\n")
	if _, err = ReadSettings(environment(variables)); !usage.Is(err) || !strings.Contains(err.Error(), "bad.conf") {
		t.Errorf("the error is %v", err)
	}
}
