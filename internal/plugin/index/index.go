// Package index fetches files from Python package indexes, without Python.
//
// A simple index has one page a project, in HTML (PEP 503) or JSON (PEP 691), that
// lists the project's files and their SHA-256. A find-links page, or a directory,
// lists files of any project. Which of them are asked, and through what proxy, with
// whose certificates and passwords, is for pip's settings to say (Settings).
package index

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
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
	SHA256 string // in lower-case hex; "" where the index does not say
	Size   int64  // in bytes; 0 where the index does not say
	Yanked bool   // withdrawn by its author
}

// Client reads index pages and fetches files. It is safe for concurrent use.
type Client struct {
	*fetch.Client
	pages, indexes []*url.URL
}

// New makes a client that goes by the settings. Its errors are wrong settings.
func New(s Settings) (*Client, error) {
	c := &Client{}
	for _, u := range s.Pages {
		c.pages = append(c.pages, s.Strip(u))
	}
	for _, u := range s.Indexes {
		c.indexes = append(c.indexes, s.Strip(u))
	}
	var err error
	c.Client, err = fetch.New(s.Settings)
	return c, err
}

// maxPage bounds an index page; the longest project pages there are take a few MB.
const maxPage = 64 << 20

// Files yields what the find-links pages and then the indexes offer of a project,
// in that order. A place that cannot be read yields an error, and the next place
// follows; that a place does not have the project is such an error too (ErrNone).
func (c *Client) Files(ctx context.Context, project string) iter.Seq2[File, error] {
	return func(yield func(File, error) bool) {
		places := append([]*url.URL(nil), c.pages...)
		for _, index := range c.indexes {
			places = append(places, index.JoinPath(normalize(project), "/"))
		}
		for _, place := range places {
			files, err := c.page(ctx, place)
			if err != nil && !yield(File{}, err) {
				return
			}
			for _, f := range files {
				if !yield(f, nil) {
					return
				}
			}
		}
	}
}

// normalize is a project's name in a URL (PEP 503).
func normalize(project string) string {
	return strings.ToLower(regexp.MustCompile(`[-_.]+`).ReplaceAllString(project, "-"))
}

// ErrNone says that a place has no page for a project.
var ErrNone = errors.New("not there")

// pageTypes are the content types of pages, as an Accept header.
const pageTypes = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"

func (c *Client) page(ctx context.Context, at *url.URL) ([]File, error) {
	page, err := c.ReadPage(ctx, at, pageTypes, maxPage)
	if errors.Is(err, fetch.ErrNotFound) {
		return nil, fmt.Errorf("%s: %w", at, ErrNone)
	}
	if err != nil {
		return nil, err
	}
	// The page's own address is what its links are relative to.
	files, err := parsePage(page.URL, page.ContentType, page.Content)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", at, err)
	}
	return files, nil
}

func parsePage(page *url.URL, contentType string, content []byte) ([]File, error) {
	kind, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		return nil, fmt.Errorf("the page has the content type %q", contentType)
	}
	switch kind {
	case "application/vnd.pypi.simple.v1+json":
		return parseJSON(page, content)
	case "application/vnd.pypi.simple.v1+html", "text/html":
		return parseHTML(page, string(content))
	}
	return nil, fmt.Errorf("the page is of type %s, which no package index has", kind)
}

// parseJSON reads a project's page as PEP 691 has it.
func parseJSON(page *url.URL, content []byte) ([]File, error) {
	var project struct {
		Files []struct {
			Filename string
			URL      string
			Hashes   map[string]string
			Size     int64
			Yanked   any // false, true or the reason
		}
	}
	if err := json.Unmarshal(content, &project); err != nil {
		return nil, fmt.Errorf("the page is damaged: %w", err)
	}
	var files []File
	for _, f := range project.Files {
		u, err := page.Parse(f.URL)
		if err != nil {
			return nil, fmt.Errorf("the page links %s to %q, which is no URL", f.Filename, f.URL)
		}
		yanked := f.Yanked != nil && f.Yanked != false
		files = append(files, File{f.Filename, u, strings.ToLower(f.Hashes["sha256"]), f.Size, yanked})
	}
	return files, nil
}

// parseHTML reads a project's page as PEP 503 has it, or any page of links.
func parseHTML(page *url.URL, content string) ([]File, error) {
	document, err := html.Parse(strings.NewReader(content))
	if err != nil {
		return nil, fmt.Errorf("the page is damaged: %w", err)
	}
	base := page
	var files []File
	for node := range document.Descendants() {
		href, ok := attribute(node, "href")
		if node.Type != html.ElementNode || !ok {
			continue
		}
		u, err := base.Parse(strings.TrimSpace(href))
		if err != nil {
			continue // A page of links may have others than to files.
		}
		switch node.DataAtom {
		case atom.Base:
			base = u
		case atom.A:
			hashes, _ := url.ParseQuery(u.Fragment) // "" is no hash, as is anything else
			u.Fragment = ""
			_, yanked := attribute(node, "data-yanked")
			files = append(files, File{path.Base(u.Path), u, strings.ToLower(hashes.Get("sha256")), 0, yanked})
		}
	}
	return files, nil
}

func attribute(node *html.Node, key string) (string, bool) {
	for _, a := range node.Attr {
		if a.Key == key {
			return a.Val, true
		}
	}
	return "", false
}
