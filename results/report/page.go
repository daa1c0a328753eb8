package report

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"html"
	"io"
	"strings"
)

// maxPage bounds the size of a page, in bytes, unless it has many more trials than the published
// benchmark.
const maxPage = 9_900_000

// pageFiles holds the parts of the page. echarts.min.js is Apache ECharts 6.1.0 as published on npm
// (Apache License 2.0): canvas, fluid with all architectures in several plots, 1.1 MB.
//
//go:embed page/*.html page/*.css page/*.js
var pageFiles embed.FS

// parts are the parts of a page that are the same on all.
type parts struct {
	style, body, library, script string
}

func readParts() parts {
	// The files of the script share one scope.
	scripts := []string{
		"data", "dom", "state", "plot", "architecture", "cost", "curves", "operations", "cells", "ranks", "against", "health", "campaign",
		"live", "main",
	}
	file := func(name string) string {
		text, err := pageFiles.ReadFile("page/" + name)
		if err != nil {
			panic(err) // it is not embedded
		}
		return string(text)
	}
	var script strings.Builder
	script.WriteString("(async () => {\n\"use strict\";\n")
	for _, name := range scripts {
		script.WriteString(file(name + ".js"))
	}
	script.WriteString("})();\n")
	return parts{style: file("page.css"), body: file("page.html"), library: file("echarts.min.js"), script: script.String()}
}

// size returns the size of a page without data, at most.
func (p parts) size() int {
	const rest = 2000 // what WriteHTML writes besides
	return len(p.style) + len(p.body) + len(p.library) + len(p.script) + rest
}

// head is the beginning of every page, by which [IsReport] recognises it.
const head = `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="generator" content="nb201 report">
`

// IsReport reports whether a file that begins with head was written by [Report.WriteHTML].
func IsReport(first []byte) bool { return bytes.HasPrefix(first, []byte(head)) }

// WriteHTML writes the page. It refers to nothing outside itself, and a content security policy
// keeps anything in it from being loaded or run but its own two scripts.
func (r *Report) WriteHTML(w io.Writer) error {
	p := readParts()
	content, err := r.content.json()
	if err != nil {
		return err
	}
	for _, text := range []string{
		head,
		`<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data: blob:; script-src `,
		hash(p.library), " ", hash(p.script), "\">\n",
		`<meta name="viewport" content="width=device-width, initial-scale=1">` + "\n",
		"<title>nb201 report: ", html.EscapeString(r.content.Source.Path), "</title>\n<style>\n", p.style, "</style>\n</head>\n<body>\n", p.body,
		`<script type="application/json" id="content">`, string(content), "</script>\n",
		`<script type="text/plain" id="summary">`, string(r.columns[blockSummary]), "</script>\n",
		`<script type="text/plain" id="curves">`, string(r.columns[blockCurves]), "</script>\n",
		"<script>", p.library, "</script>\n<script>", p.script, "</script>\n</body>\n</html>\n",
	} {
		if _, err := io.WriteString(w, text); err != nil {
			return err
		}
	}
	return nil
}

// hash returns the source expression of an inline script for a content security policy.
func hash(script string) string {
	sum := sha256.Sum256([]byte(script))
	return fmt.Sprintf("'sha256-%s'", base64.StdEncoding.EncodeToString(sum[:]))
}
