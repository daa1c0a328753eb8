package main

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"nb201/internal/plugin/index"
)

func TestParseRequirement(t *testing.T) {
	for _, c := range []struct {
		text                string
		project, specifiers string
		applies             bool
	}{
		{"jax-cuda13-pjrt==0.11.2", "jax-cuda13-pjrt", "==0.11.2", true},
		{`nvidia-cudnn-cu13<10.0,>=9.12.0.46; sys_platform == "linux" and extra == "with-cuda"`, "nvidia-cudnn-cu13", "<10.0,>=9.12.0.46", true},
		{`nvidia-nvvm; extra == 'with-cuda'`, "nvidia-nvvm", "", true},
		{"NVIDIA-nccl (>=2)", "nvidia-nccl", ">=2", true},
		{"numpy[fast] >=1 ; extra == 'test'", "numpy", ">=1", false},
	} {
		project, specifiers, applies, err := parseRequirement(c.text, true)
		if err != nil || project != c.project || specifiers != c.specifiers || applies != c.applies {
			t.Errorf("%s: %q, %q, %v, %v", c.text, project, specifiers, applies, err)
		}
	}
	if _, _, applies, err := parseRequirement(`a; extra == "with-cuda"`, false); err != nil || applies {
		t.Errorf("an extra that is not asked for applies: %v, %v", applies, err)
	}
	for _, text := range []string{`a; python_version < "3.9"`, `a; sys_platform == "win32"`} {
		if _, _, _, err := parseRequirement(text, true); err == nil {
			t.Errorf("%s is judged", text)
		}
	}
}

func TestResolve(t *testing.T) {
	// What the projects' releases require.
	releases := map[string]map[string][]string{
		"jax-pjrt":    {"1.0": nil, "2.0": nil},
		"jax-plugin":  {"1.0": {"jax-pjrt==1.0", `nvidia-a>=1.5; extra == "with-cuda"`, `nvidia-b; extra == "with-cuda"`, `other; extra == "test"`}},
		"nvidia-a":    {"1.4": nil, "1.10": {"nvidia-c<3"}, "1.9": nil, "2.0rc1": nil},
		"nvidia-b":    {"5": {"nvidia-a<1.11", "nvidia-c!=2.5"}},
		"nvidia-c":    {"2.4": nil, "2.5": nil, "3.0": nil},
		"nvidia-none": {},
	}
	wheels := map[string][]byte{}
	name := func(project, version string) string {
		return fmt.Sprintf("%s-%s-py3-none-manylinux_2_27_x86_64.whl", strings.ReplaceAll(project, "-", "_"), version)
	}
	for project, versions := range releases {
		for version, requires := range versions {
			var out bytes.Buffer
			w := zip.NewWriter(&out)
			info := strings.ReplaceAll(project, "-", "_") + "-" + version + ".dist-info/"
			record, err := w.Create(info + "RECORD")
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprint(record, project)
			f, err := w.Create(info + "METADATA")
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(f, "Name: %s\n", project)
			for _, r := range requires {
				fmt.Fprintf(f, "Requires-Dist: %s\n", r)
			}
			fmt.Fprint(f, "\nRequires-Dist: the-description\n")
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			wheels[name(project, version)] = out.Bytes()
		}
	}
	server := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		if content, ok := wheels[path.Base(r.URL.Path)]; ok {
			http.ServeContent(out, r, "", time.Time{}, bytes.NewReader(content))
			return
		}
		project := path.Base(r.URL.Path)
		files := []map[string]any{}
		for version := range releases[project] {
			file := name(project, version)
			files = append(files,
				map[string]any{"filename": file, "url": file, "size": len(wheels[file]), "hashes": map[string]string{"sha256": "00"}},
				map[string]any{"filename": strings.Replace(file, "x86_64", "aarch64", 1), "url": "x"},
				map[string]any{"filename": name(project, "99"), "url": "x", "yanked": "broken"})
		}
		out.Header().Set("Content-Type", "application/vnd.pypi.simple.v1+json")
		_ = json.NewEncoder(out).Encode(map[string]any{"files": files})
	}))
	defer server.Close()
	settings, err := index.ReadSettings(func(name string) string {
		return map[string]string{"PIP_CONFIG_FILE": os.DevNull, "PIP_INDEX_URL": server.URL}[name]
	})
	if err != nil {
		t.Fatal(err)
	}
	client, err := index.New(settings)
	if err != nil {
		t.Fatal(err)
	}
	got, err := resolve(t.Context(), client, root{"cuda", "jax-pjrt", "1.0", "x.so", "jax-plugin", nil})
	if err != nil {
		t.Fatal(err)
	}
	var files []string
	for _, w := range got {
		files = append(files, w.File)
		if sum := sha256.Sum256([]byte(w.Project)); w.Record != hex.EncodeToString(sum[:]) {
			t.Errorf("%s has the RECORD %s, want %x", w.File, w.Record, sum)
		}
		if w.Size != int64(len(wheels[w.File])) || w.Unpacked == 0 || w.SHA256 != "00" {
			t.Errorf("%+v", w)
		}
	}
	if want := []string{name("jax-pjrt", "1.0"), name("nvidia-a", "1.10"), name("nvidia-b", "5"), name("nvidia-c", "2.4")}; !slices.Equal(files, want) {
		t.Errorf("got %q, want %q", files, want)
	}
	got, err = resolve(t.Context(), client, root{project: "jax-pjrt", version: "1.0", also: []string{"nvidia-a==1.9"}})
	if err != nil || len(got) != 2 || got[0].File != name("jax-pjrt", "1.0") || got[1].File != name("nvidia-a", "1.9") {
		t.Errorf("with one more: %+v, %v", got, err)
	}
	if _, err := resolve(t.Context(), client, root{project: "nvidia-none", version: "1.0"}); err == nil {
		t.Error("a project without releases has one")
	}
}
