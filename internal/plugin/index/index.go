// Package index fetches files from Python package indexes, without Python.
//
// A simple index has a page for each project, in HTML (PEP 503) or JSON (PEP 691), that lists the
// project's files and their SHA-256. [ReadSettings] reads the address of the index, the proxy and
// the trusted certificates from pip's settings; a [Client] reads pages and fetches files.
package index

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/url"
	"path"
	"regexp"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"

	"nb201/internal/fetch"
)

// File is a file that an index offers.
type File struct {
	Name   string
	URL    *url.URL
	SHA256 string // in lower-case hex; "" if the index does not give it
	Size   int64  // in bytes; 0 if the index does not give it
	Yanked bool   // withdrawn by its author

	Refused error // why the URL must not be fetched, by fetch.MayLead; nil if it may
}

// Client reads index pages and fetches files. It is safe for concurrent use.
type Client struct {
	*fetch.Client
	index *url.URL
}

// New returns a client with the settings. It returns an error if they are invalid.
func New(s Settings) (*Client, error) {
	index := s.Strip(s.Index)
	client, err := fetch.New(s.Settings)
	return &Client{client, index}, err
}

// maxPage and maxLinks limit an index page, in bytes and links. The longest pages of existing
// projects take a few MB.
const (
	maxPage  = 32 << 20
	maxLinks = 200_000
)

var errLinks = fmt.Errorf("the page has more than %d links", maxLinks)

// Files lists the files that the index has for a project. If the index does not have the project,
// the error is [ErrNone].
func (c *Client) Files(ctx context.Context, project string) ([]File, error) {
	page, files, err := c.page(ctx, c.index.JoinPath(normalize(project), "/"))
	for i := range files {
		f := &files[i]
		if err := fetch.MayLead(page, f.URL); err != nil {
			f.Refused = fmt.Errorf("%s links to %s: %w", page.Redacted(), f.URL.Redacted(), err)
		}
	}
	return files, err
}

// normalize returns a project's name as it is written in URLs (PEP 503).
func normalize(project string) string {
	return strings.ToLower(regexp.MustCompile(`[-_.]+`).ReplaceAllString(project, "-"))
}

// ErrNone is the error of an index that has no page for a project.
var ErrNone = errors.New("the package index does not have the project")

// pageTypes is the Accept header with the content types of pages.
const pageTypes = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"

// page reads the page at an address. It returns the page's address after redirections, and the files
// that it lists.
func (c *Client) page(ctx context.Context, at *url.URL) (*url.URL, []File, error) {
	page, err := c.ReadPage(ctx, at, pageTypes, maxPage)
	if errors.Is(err, fetch.ErrNotFound) {
		return nil, nil, fmt.Errorf("%s: %w", at, ErrNone)
	}
	if err != nil {
		return nil, nil, err
	}
	// Links are relative to the address after redirections.
	files, err := parsePage(page.URL, page.ContentType, page.Content)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", at, err)
	}
	return page.URL, files, nil
}

func parsePage(page *url.URL, contentType string, content []byte) ([]File, error) {
	kind, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		return nil, fmt.Errorf("the page has the invalid content type %q", contentType)
	}
	switch kind {
	case "application/vnd.pypi.simple.v1+json":
		return parseJSON(page, content)
	case "application/vnd.pypi.simple.v1+html", "text/html":
		return parseHTML(page, content)
	}
	return nil, fmt.Errorf("the page has the content type %s, so it is not a package index", kind)
}

// parseJSON parses a project's page as PEP 691 defines it.
func parseJSON(page *url.URL, content []byte) ([]File, error) {
	var project struct{ Files entries }
	if err := json.Unmarshal(content, &project); errors.Is(err, errLinks) {
		return nil, err
	} else if err != nil {
		return nil, fmt.Errorf("the page is damaged: %w", err)
	}
	var files []File
	for _, f := range project.Files {
		u, err := page.Parse(f.URL)
		if err != nil {
			return nil, fmt.Errorf("the page links %q to %q, which is not a URL", f.Filename, f.URL)
		}
		yanked := len(f.Yanked) > 0 && string(f.Yanked) != "false" && string(f.Yanked) != "null"
		files = append(files, File{Name: f.Filename, URL: u, SHA256: strings.ToLower(f.Hashes.SHA256), Size: f.Size, Yanked: yanked})
	}
	return files, nil
}

// entries holds the files of a JSON page, at most maxLinks.
type entries []entry

type entry struct {
	Filename string
	URL      string
	Hashes   struct{ SHA256 string }
	Size     int64
	Yanked   json.RawMessage // false, true or the reason
}

func (e *entries) UnmarshalJSON(text []byte) error {
	in := json.NewDecoder(bytes.NewReader(text))
	if token, err := in.Token(); err != nil || token == nil {
		return err
	} else if token != json.Delim('[') {
		return fmt.Errorf(`"files" is %v, not a list`, token)
	}
	for in.More() {
		if len(*e) == maxLinks {
			return errLinks
		}
		*e = append(*e, entry{})
		if err := in.Decode(&(*e)[len(*e)-1]); err != nil {
			return err
		}
	}
	return nil
}

// parseHTML parses a project's page as PEP 503 defines it, or any page of links.
func parseHTML(page *url.URL, content []byte) ([]File, error) {
	base := page
	var files []File
	for tokens := html.NewTokenizer(bytes.NewReader(content)); ; {
		kind := tokens.Next()
		if kind == html.ErrorToken && errors.Is(tokens.Err(), io.EOF) {
			return files, nil
		}
		if kind == html.ErrorToken {
			return nil, fmt.Errorf("the page is damaged: %w", tokens.Err())
		}
		if kind != html.StartTagToken && kind != html.SelfClosingTagToken {
			continue
		}
		token := tokens.Token()
		href, ok := attribute(token, "href")
		if !ok || token.DataAtom != atom.Base && token.DataAtom != atom.A {
			continue
		}
		u, err := base.Parse(strings.TrimSpace(href))
		if err != nil {
			continue // a page of links may have other links
		}
		if token.DataAtom == atom.Base {
			base = u
			continue
		}
		if len(files) == maxLinks {
			return nil, errLinks
		}
		hashes, _ := url.ParseQuery(u.Fragment) // a fragment that does not parse has no hash
		u.Fragment = ""
		_, yanked := attribute(token, "data-yanked")
		files = append(files, File{Name: path.Base(u.Path), URL: u, SHA256: strings.ToLower(hashes.Get("sha256")), Yanked: yanked})
	}
}

func attribute(token html.Token, key string) (string, bool) {
	for _, a := range token.Attr {
		if a.Key == key {
			return a.Val, true
		}
	}
	return "", false
}
