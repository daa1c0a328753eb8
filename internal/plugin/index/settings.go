package index

import (
	"errors"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http/httpproxy"
	"gopkg.in/ini.v1"

	"nb201/internal/fetch"
	"nb201/internal/infile"
	"nb201/internal/usage"
)

// pip's own defaults.
const (
	defaultIndex   = "https://pypi.org/simple"
	defaultTimeout = 15 * time.Second
	defaultRetries = 5
)

// Settings are those of pip's settings that say where packages come from and how
// they are fetched.
type Settings struct {
	fetch.Settings
	Pages   []*url.URL // find-links: pages or directories, each a list of files
	Indexes []*url.URL // simple indexes, one page a project
}

// ReadFetchSettings reads those of pip's settings that say how anything is fetched,
// as pip does: its configuration files, then the PIP_ variables, then those of curl
// and requests that pip knows as well.
func ReadFetchSettings(getenv func(string) string) (fetch.Settings, error) {
	options, err := readOptions(getenv)
	if err != nil {
		return fetch.Settings{}, err
	}
	return fetchSettings(options, getenv)
}

func fetchSettings(options options, getenv func(string) string) (fetch.Settings, error) {
	s := fetch.Settings{
		CABundle:     options.first("cert"),
		ClientCert:   options.first("client-cert"),
		TrustedHosts: strings.Fields(options.first("trusted-host")),
		Timeout:      defaultTimeout,
		Retries:      defaultRetries,
		Netrc:        getenv("NETRC"),
	}
	for _, name := range []string{"REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"} {
		if s.CABundle == "" {
			s.CABundle = getenv(name)
		}
	}
	if s.Netrc == "" {
		s.Netrc = filepath.Join(getenv("HOME"), ".netrc")
	}
	if text := options.first("timeout", "default-timeout"); text != "" {
		seconds, err := strconv.ParseFloat(text, 64)
		if err != nil || !(seconds > 0) {
			return fetch.Settings{}, usage.Errorf("pip's timeout is %q: set PIP_DEFAULT_TIMEOUT to a number of seconds above 0", text)
		}
		s.Timeout = time.Duration(seconds * float64(time.Second))
	}
	var err error
	if text := options.first("retries"); text != "" {
		if s.Retries, err = strconv.Atoi(text); err != nil || s.Retries < 0 {
			return fetch.Settings{}, usage.Errorf("pip's number of retries is %q: set PIP_RETRIES to 0 or more", text)
		}
	}
	s.Proxy, err = proxy(options.first("proxy"), getenv)
	return s, err
}

// ReadSettings reads all of pip's settings, as ReadFetchSettings does.
func ReadSettings(getenv func(string) string) (Settings, error) {
	options, err := readOptions(getenv)
	if err != nil {
		return Settings{}, err
	}
	var s Settings
	if s.Settings, err = fetchSettings(options, getenv); err != nil {
		return Settings{}, err
	}
	for _, place := range strings.Fields(options.first("find-links")) {
		page, err := parsePlace(place)
		if err != nil {
			return Settings{}, usage.Errorf("pip's find-links names %q, which is neither a URL nor a path: %w", place, err)
		}
		s.Pages = append(s.Pages, page)
	}
	if isTrue(options.first("no-index")) {
		return s, nil
	}
	first := options.first("index-url", "pypi-url")
	if first == "" {
		first = defaultIndex
	}
	for _, text := range append([]string{first}, strings.Fields(options.first("extra-index-url"))...) {
		u, err := url.Parse(text)
		if err != nil || !slices.Contains([]string{"http", "https", "file"}, u.Scheme) {
			return Settings{}, usage.Errorf("pip's index is %q, which is no URL: set PIP_INDEX_URL or PIP_EXTRA_INDEX_URL to one", redacted(text))
		}
		s.Indexes = append(s.Indexes, asDirectory(u))
	}
	return s, nil
}

// options are pip's options by their long names; later maps override earlier ones.
type options []map[string]string

func (o options) first(names ...string) string {
	for _, m := range slices.Backward(o) {
		for _, name := range names {
			if m[name] != "" {
				return m[name]
			}
		}
	}
	return ""
}

// readOptions collects what pip's configuration files and the PIP_ variables say,
// in the order of pip's configuration.py (iter_config_files) and cli/parser.py.
func readOptions(getenv func(string) string) (options, error) {
	global, install := map[string]string{}, map[string]string{}
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
			return nil, usage.Errorf("cannot read pip's configuration file %s: %w", path, err)
		}
		for section, values := range map[string]map[string]string{"global": global, "install": install} {
			for _, key := range file.Section(section).Keys() {
				values[strings.ReplaceAll(strings.ToLower(key.Name()), "_", "-")] = key.Value()
			}
		}
	}
	environment := map[string]string{}
	for _, name := range []string{
		"cert", "client-cert", "default-timeout", "extra-index-url", "find-links", "index-url", "no-index",
		"proxy", "pypi-url", "retries", "timeout", "trusted-host",
	} {
		environment[name] = getenv("PIP_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_")))
	}
	return options{global, install, environment}, nil
}

// parseConfig reads the ini format as Python's configparser does.
func parseConfig(text []byte) (*ini.File, error) {
	lines := slices.DeleteFunc(strings.SplitAfter(string(text), "\n"), func(line string) bool {
		line = strings.TrimSpace(line) // A comment may stand amid the lines of a value.
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

// proxy is pip's own proxy for everything, or the one that HTTP_PROXY, HTTPS_PROXY
// and NO_PROXY name.
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
		return nil, usage.Errorf("pip's proxy is %q, which is no URL: set PIP_PROXY to [user:password@]host:port", redacted(own))
	}
	return func(*url.URL) (*url.URL, error) { return u, nil }, nil
}

// parsePlace reads a find-links entry: a URL, or the path of a page or a directory.
func parsePlace(place string) (*url.URL, error) {
	if strings.Contains(place, "://") {
		return url.Parse(place)
	}
	path, err := filepath.Abs(place)
	if err != nil {
		return nil, err
	}
	u := &url.URL{Scheme: "file", Path: filepath.ToSlash(path)}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		u = asDirectory(u)
	}
	return u, nil
}

// asDirectory ends the path in a slash, so that references resolve below it.
func asDirectory(u *url.URL) *url.URL {
	return u.JoinPath("/")
}

// isTrue reads a switch as Python's strtobool does.
func isTrue(text string) bool {
	return slices.Contains([]string{"y", "yes", "t", "true", "on", "1"}, strings.ToLower(text))
}

// redacted hides what stands before the host, where passwords are.
func redacted(text string) string {
	if _, after, found := strings.Cut(text, "@"); found {
		return "***@" + after
	}
	return text
}
