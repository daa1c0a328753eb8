package report

import (
	"io"
	"strings"
)

// LiveFile is a part of the live page.
type LiveFile struct {
	Path    string // relative to the page's directory; "": the page itself
	Type    string // media type
	Content []byte
}

// liveHead and liveTail surround the body of the live page.
const (
	liveHead = `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="generator" content="nb201 serve">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>nb201</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="page.css">
</head>
<body>
`
	liveTail = `<script src="library.js"></script>
<script src="page.js"></script>
</body>
</html>
`
)

// LiveFiles returns the parts of the live page, the page itself first. Besides them, the page requests
// two paths relative to its directory: data, which is what [Report.WriteData] writes, and
// api/v1/events, a stream of server-sent events: page/live.js says what they hold.
//
// The page needs nothing but this content security policy: script-src 'self'; style-src 'self';
// img-src 'self' data: blob:; connect-src 'self'.
func LiveFiles() []LiveFile {
	p := readParts()
	var body strings.Builder
	for _, text := range []string{liveHead, p.body, liveTail} {
		body.WriteString(text)
	}
	return []LiveFile{
		{"", "text/html; charset=utf-8", []byte(body.String())},
		{"page.css", "text/css; charset=utf-8", []byte(p.style)},
		{"library.js", "text/javascript; charset=utf-8", []byte(p.library)},
		{"page.js", "text/javascript; charset=utf-8", []byte(p.script)},
	}
}

// WriteData writes what the live page shows of the benchmark, in three lines: the content as JSON, and
// the two blocks of packed columns as text.
func (r *Report) WriteData(w io.Writer) error {
	content, err := r.content.json()
	if err != nil {
		return err
	}
	for _, line := range [][]byte{content, r.columns[blockSummary], r.columns[blockCurves]} {
		for _, part := range [][]byte{line, {'\n'}} {
			if _, err := w.Write(part); err != nil {
				return err
			}
		}
	}
	return nil
}
