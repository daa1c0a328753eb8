package index

import (
	"cmp"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/http/httpproxy"
	"gopkg.in/ini.v1"

	"nb201/internal/fetch"
	"nb201/internal/infile"
	"nb201/internal/usage"
)

// pip's defaults.
const (
	defaultIndex   = "https://pypi.org/simple"
	defaultTimeout = 15 * time.Second
	defaultRetries = 5
)

// Settings holds the three of pip's settings that are read: the package index, the proxy and the
// trusted certificates.
type Settings struct {
	fetch.Settings
	Index *url.URL // a simple index
}

// ReadFetchSettings reads pip's proxy and certificates as pip does, from its configuration files and
// from PIP_PROXY and PIP_CERT, which take precedence.
func ReadFetchSettings(getenv func(string) string) (fetch.Settings, error) {
	options, err := readOptions(getenv)
	if err != nil {
		return fetch.Settings{}, err
	}
	return fetchSettings(options, getenv)
}

func fetchSettings(options map[string]string, getenv func(string) string) (fetch.Settings, error) {
	s := fetch.Settings{
		CABundle: options["cert"],
		Timeout:  defaultTimeout,
		Retries:  defaultRetries,
		Netrc:    cmp.Or(getenv("NETRC"), filepath.Join(getenv("HOME"), ".netrc")),
	}
	var err error
	s.Proxy, err = proxy(options["proxy"], getenv)
	return s, err
}

// ReadSettings reads the settings of [ReadFetchSettings], and pip's index.
func ReadSettings(getenv func(string) string) (Settings, error) {
	options, err := readOptions(getenv)
	if err != nil {
		return Settings{}, err
	}
	var s Settings
	if s.Settings, err = fetchSettings(options, getenv); err != nil {
		return Settings{}, err
	}
	text := cmp.Or(options["index-url"], defaultIndex)
	u, err := url.Parse(text)
	if err != nil || !slices.Contains([]string{"http", "https", "file"}, u.Scheme) {
		return Settings{}, usage.Errorf("pip's index %q is not an http, https or file URL; set PIP_INDEX_URL to one", redacted(text))
	}
	s.Index = u
	return s, nil
}

// readOptions reads the options index-url, proxy and cert from pip's configuration files and
// variables, in the order of pip's configuration.py (iter_config_files) and cli/parser.py.
func readOptions(getenv func(string) string) (map[string]string, error) {
	sections := map[string]map[string]string{"global": {}, "install": {}}
	for _, path := range configFiles(getenv) {
		text, err := infile.Read(path, infile.MaxText)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		var file *ini.File
		if err == nil {
			file, err = parseConfig(text)
		}
		if err != nil {
			return nil, usage.Errorf("cannot read pip's configuration file %s: %w; correct it, or name another with PIP_CONFIG_FILE", path, err)
		}
		for section, values := range sections {
			for _, key := range file.Section(section).Keys() {
				values[strings.ReplaceAll(strings.ToLower(key.Name()), "_", "-")] = key.Value()
			}
		}
	}
	options := map[string]string{}
	for name, variable := range map[string]string{"index-url": "PIP_INDEX_URL", "proxy": "PIP_PROXY", "cert": "PIP_CERT"} {
		options[name] = cmp.Or(getenv(variable), sections["install"][name], sections["global"][name])
	}
	return options, nil
}

// parseConfig parses the ini format as Python's configparser does.
func parseConfig(text []byte) (*ini.File, error) {
	lines := slices.DeleteFunc(strings.SplitAfter(string(text), "\n"), func(line string) bool {
		line = strings.TrimSpace(line) // a comment may be between the lines of a value
		return strings.HasPrefix(line, "#") || strings.HasPrefix(line, ";")
	})
	return ini.LoadSources(ini.LoadOptions{AllowPythonMultilineValues: true, IgnoreInlineComment: true}, []byte(strings.Join(lines, "")))
}

func configFiles(getenv func(string) string) []string {
	own := getenv("PIP_CONFIG_FILE")
	if own == os.DevNull {
		return nil
	}
	var files []string
	system := getenv("XDG_CONFIG_DIRS")
	if system == "" {
		system = "/etc/xdg"
	}
	for _, dir := range filepath.SplitList(system) {
		files = append(files, filepath.Join(dir, "pip", "pip.conf"))
	}
	files = append(files, "/etc/pip.conf")
	if _, err := os.Stat(own); err != nil {
		user := getenv("XDG_CONFIG_HOME")
		if user == "" {
			user = filepath.Join(getenv("HOME"), ".config")
		}
		files = append(files, filepath.Join(getenv("HOME"), ".pip", "pip.conf"), filepath.Join(user, "pip", "pip.conf"))
	}
	if environment := getenv("VIRTUAL_ENV"); environment != "" {
		files = append(files, filepath.Join(environment, "pip.conf"))
	}
	if own != "" {
		files = append(files, own)
	}
	return files
}

// proxy returns a function that maps a URL to its proxy: pip's proxy own for all URLs or, if that is
// "", the proxy that HTTP_PROXY, HTTPS_PROXY and NO_PROXY select.
func proxy(own string, getenv func(string) string) (func(*url.URL) (*url.URL, error), error) {
	if own == "" {
		variable := func(name string) string {
			if value := getenv(strings.ToLower(name)); value != "" {
				return value
			}
			return getenv(name)
		}
		config := httpproxy.Config{
			HTTPProxy:  variable("HTTP_PROXY"),
			HTTPSProxy: variable("HTTPS_PROXY"),
			NoProxy:    variable("NO_PROXY"),
		}
		return config.ProxyFunc(), nil
	}
	if !strings.Contains(own, "://") {
		own = "http://" + own
	}
	u, err := url.Parse(own)
	if err != nil {
		return nil, usage.Errorf("pip's proxy %q is not a URL; set PIP_PROXY to [user:password@]host:port", redacted(own))
	}
	return func(*url.URL) (*url.URL, error) { return u, nil }, nil
}

// redacted hides everything before the host, which may include a password.
func redacted(text string) string {
	if _, after, found := strings.Cut(text, "@"); found {
		return "***@" + after
	}
	return text
}
