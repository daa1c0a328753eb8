package index

import (
	"net/url"
	"slices"
	"strings"
	"testing"
)

var page = &url.URL{Scheme: "https", Host: "a.test", Path: "/simple/p/"}

func TestParsePage(t *testing.T) {
	sum := strings.Repeat("0a", 32)
	for _, c := range []struct {
		name, contentType, content string
		want                       []string // name URL hash, by file
	}{
		{"HTML", "text/html; charset=utf-8", `<!DOCTYPE html><html><head><meta name="pypi:repository-version" content="1.0"></head><body>
<a href="../../f/p-1.whl#sha256=` + strings.ToUpper(sum) + `" data-requires-python="&gt;=3">p-1.whl</a><br>
<a href="https://b.test/p%2B2.whl">p+2.whl</a>
<a name="top">no link</a><a href="::">no URL</a></body>`,
			[]string{"p-1.whl https://a.test/f/p-1.whl " + sum, "p+2.whl https://b.test/p%2B2.whl "}},
		{"HTML with a base", "application/vnd.pypi.simple.v1+html", `<base href="/base/"><a href="p.whl#md5=1">p</a>`,
			[]string{"p.whl https://a.test/base/p.whl "}},
		{"JSON", "application/vnd.pypi.simple.v1+json", `{"meta": {"api-version": "1.1"}, "files": [
{"filename": "p-1.whl", "url": "../../f/x?y=z", "hashes": {"sha256": "` + sum + `"}, "size": 5, "yanked": false},
{"filename": "p-2.whl", "url": "https://b.test/p-2.whl", "hashes": {}, "yanked": "broken"}]}`,
			[]string{"p-1.whl https://a.test/f/x?y=z " + sum, "p-2.whl https://b.test/p-2.whl  yanked"}},
		{"empty", "text/html", "", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			files, err := parsePage(page, c.contentType, []byte(c.content))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, f := range files {
				text := f.Name + " " + f.URL.String() + " " + f.SHA256
				if f.Yanked {
					text += " yanked"
				}
				got = append(got, text)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
		})
	}
}

func TestParsePageRefuses(t *testing.T) {
	for _, c := range []struct{ contentType, content, want string }{
		{"application/vnd.pypi.simple.v1+json", `{"files": [{`, "damaged"},
		{"application/vnd.pypi.simple.v1+json", `{"files": [{"filename": "p", "url": ":"}]}`, "not a URL"},
		{"application/json", `{}`, "application/json"},
		{"", ``, "content type"},
	} {
		if _, err := parsePage(page, c.contentType, []byte(c.content)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %s: the error is %v", c.contentType, c.content, err)
		}
	}
}

func FuzzParsePage(f *testing.F) {
	f.Add("text/html", `<base href="/b/"><a href="p-1.whl#sha256=00">p-1.whl</a><a href="%zz" data-yanked>`)
	f.Add("application/vnd.pypi.simple.v1+json", `{"files": [{"filename": "p", "url": "u", "hashes": {"sha256": "00"}, "size": 1, "yanked": true}]}`)
	f.Add("application/vnd.pypi.simple.v1+json", `{"files": [{"yanked": {}}, {"hashes": null}]}`)
	f.Fuzz(func(t *testing.T, contentType, content string) {
		files, err := parsePage(page, contentType, []byte(content))
		if err != nil && files != nil {
			t.Errorf("files besides the error %v", err)
		}
		for _, file := range files {
			if !file.URL.IsAbs() {
				t.Errorf("the link to %q is relative: %v", file.Name, file.URL)
			}
		}
	})
}

func TestNormalize(t *testing.T) {
	for name, want := range map[string]string{"jax-cuda13-pjrt": "jax-cuda13-pjrt", "NVIDIA_cuBLAS.-_cu12": "nvidia-cublas-cu12"} {
		if got := normalize(name); got != want {
			t.Errorf("%s becomes %s, want %s", name, got, want)
		}
	}
}
