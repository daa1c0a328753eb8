package prose

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"nb201/internal/repository"
)

var (
	link    = regexp.MustCompile(`!?\[[^\]]*\]\(([^)\s]+)\)`)
	picture = regexp.MustCompile(`!\[[^\]]{10,}\]\(([^)\s]+)\)`) // with a text
	heading = regexp.MustCompile(`(?m)^#+ (.+)$`)
	code    = regexp.MustCompile("(?ms)^```.*?^```$|`[^`\n]*`")
	dropped = regexp.MustCompile(`[^\p{L}\p{N}_ -]`)
)

// anchors are the names by which a page's headings are linked, as GitHub makes them.
func anchors(page string) []string {
	var list []string
	for _, m := range heading.FindAllStringSubmatch(page, -1) {
		list = append(list, strings.ReplaceAll(dropped.ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-"))
	}
	return list
}

// broken returns the links of a page that lead nowhere: to a file that does not exist, or to a
// heading that its page does not have. Addresses of other hosts are not visited.
func broken(path string) ([]string, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var list []string
	for _, m := range link.FindAllStringSubmatch(code.ReplaceAllString(string(content), ""), -1) {
		if strings.Contains(m[1], "://") {
			continue
		}
		file, anchor, _ := strings.Cut(m[1], "#")
		target := path
		if file != "" {
			target = filepath.Join(filepath.Dir(path), file)
		}
		if _, err := os.Stat(target); err != nil {
			list = append(list, m[1])
			continue
		}
		if anchor == "" {
			continue
		}
		page, err := os.ReadFile(target)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(anchors(string(page)), anchor) {
			list = append(list, m[1])
		}
	}
	return list, nil
}

func TestLinks(t *testing.T) {
	pages := 0
	repository.Walk(t, func(name string) error {
		if filepath.Ext(name) != ".md" {
			return nil
		}
		pages++
		list, err := broken(filepath.Join(repository.Root, name))
		for _, target := range list {
			t.Errorf("%s links to %s, which does not exist", name, target)
		}
		return err
	})
	if pages < 10 {
		t.Errorf("only %d pages were read", pages)
	}
}

// Every picture must be small and on a page, with a text that describes it.
func TestPictures(t *testing.T) {
	described := map[string]bool{}
	repository.Walk(t, func(name string) error {
		if filepath.Ext(name) != ".md" {
			return nil
		}
		for _, m := range picture.FindAllStringSubmatch(repository.Read(t, name), -1) {
			described[filepath.Join(filepath.Dir(name), m[1])] = true
		}
		return nil
	})
	pictures := 0
	repository.Walk(t, func(name string) error {
		if filepath.Dir(name) != filepath.Join("docs", "pictures") {
			return nil
		}
		pictures++
		info, err := os.Stat(filepath.Join(repository.Root, name))
		if err != nil {
			return err
		}
		const most = 400_000
		if info.Size() >= most {
			t.Errorf("%s has %d bytes; pictures must have less than %d", name, info.Size(), most)
		}
		if !described[name] {
			t.Errorf("no page shows %s with a text between the brackets", name)
		}
		return nil
	})
	if pictures < 5 {
		t.Errorf("only %d pictures were found", pictures)
	}
}

// The front page stays a front page: the manual is in docs.
func TestReadmeIsShort(t *testing.T) {
	if lines := strings.Count(repository.Read(t, "README.md"), "\n"); lines > 180 {
		t.Errorf("README.md has %d lines, more than 180; move some to docs", lines)
	}
}

func TestBrokenLinks(t *testing.T) {
	dir := t.TempDir()
	page := filepath.Join(dir, "page.md")
	text := "# A `word`, two\n[a](page.md#a-word-two) [b](page.md#lost) [c](lost.md) [d](#a-word-two) [e](https://example.org/lost.md)\n`[f](code.md)`\n"
	if err := os.WriteFile(page, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	got, err := broken(page)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"page.md#lost", "lost.md"}; !slices.Equal(got, want) {
		t.Errorf("broken links %q, want %q", got, want)
	}
}
