package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"

	"github.com/cenkalti/backoff/v5"
)

// Sum computes checksums over the bytes of a file. A hash.Hash is a Sum.
type Sum interface {
	io.Writer
	Reset() // discards all bytes written so far
}

// Fetch writes the file at u to dst, and all its bytes to sum. If dst contains the beginning
// of the file, from an earlier Fetch, it resumes there; if the server cannot resume, it
// starts again. A file whose length is not size bytes is an error. Errors name the URL.
// progress is called with the number of bytes in dst, which falls if the download starts
// again. It may be nil.
func (c *Client) Fetch(ctx context.Context, u *url.URL, dst *os.File, size int64, sum Sum, progress func(done int64)) error {
	if progress == nil {
		progress = func(int64) {}
	}
	d := download{file: dst, size: size, sum: sum, progress: progress}
	err := d.open()
	if err == nil {
		err = c.retry(ctx, func() (bool, error) { return c.fetchRest(ctx, u, &d) })
	}
	if err != nil {
		return fmt.Errorf("%s: %w", u.Redacted(), err)
	}
	return nil
}

// fetchRest fetches the rest of the file. further reports whether it got far enough beyond
// all earlier attempts to make another one worthwhile.
func (c *Client) fetchRest(ctx context.Context, u *url.URL, d *download) (further bool, err error) {
	if d.done == d.size {
		return true, nil
	}
	response, from, err := c.getFrom(ctx, u, d.done)
	if errors.Is(err, errNoResume) && d.done > 0 {
		response, from, err = c.getFrom(ctx, u, 0)
	}
	if err != nil {
		return false, err
	}
	defer response.Body.Close()
	if n := response.ContentLength; n >= 0 && from+n != d.size {
		return false, backoff.Permanent(fmt.Errorf("it has %d bytes, but should have %d", from+n, d.size))
	}
	if from == 0 {
		if err := d.restart(); err != nil {
			return false, backoff.Permanent(err)
		}
	}
	const worthwhile = 1 << 20
	enough := d.most + worthwhile
	err = d.appendBody(response.Body)
	return d.done >= enough, err
}

// errNoResume reports that a server cannot send only the rest of a file.
var errNoResume = errors.New("the server cannot resume")

// getFrom requests the bytes of a file starting with byte from. The response starts with
// byte start, which is from, or 0 if the server does not support ranges.
func (c *Client) getFrom(ctx context.Context, u *url.URL, from int64) (response *http.Response, start int64, err error) {
	response, err = c.get(ctx, u, func(h http.Header) {
		if from > 0 {
			h.Set("Range", fmt.Sprintf("bytes=%d-", from))
		}
	})
	if err != nil {
		return nil, 0, err
	}
	switch response.StatusCode {
	case http.StatusOK:
		return response, 0, nil
	case http.StatusPartialContent:
		contentRange := response.Header.Get("Content-Range")
		if start, ok := rangeStart(contentRange); ok && start == from {
			return response, from, nil
		}
		err = backoff.Permanent(fmt.Errorf("%w: asked for the bytes from %d, it sent %q", errNoResume, from, contentRange))
	case http.StatusRequestedRangeNotSatisfiable:
		err = backoff.Permanent(fmt.Errorf("%w: asked for the bytes from %d, it answered %d", errNoResume, from, response.StatusCode))
	default:
		err = statusError(response)
	}
	response.Body.Close()
	return nil, 0, err
}

// rangeStart returns the first number in a Content-Range such as "bytes 5-9/10".
func rangeStart(contentRange string) (int64, bool) {
	text, _ := strings.CutPrefix(contentRange, "bytes ")
	text, _, _ = strings.Cut(text, "-")
	n, err := strconv.ParseInt(text, 10, 64)
	return n, err == nil
}

// download is the state of a file that is being downloaded.
type download struct {
	file     *os.File
	size     int64 // of the complete file
	sum      Sum
	progress func(done int64)

	done int64 // bytes in the file
	most int64 // the greatest value of done so far
}

// open sums the bytes that the file already has, and seeks to its end.
func (d *download) open() error {
	d.sum.Reset()
	if _, err := d.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	n, err := io.Copy(d.sum, io.LimitReader(d.file, d.size+1))
	if err != nil {
		return err
	}
	if n > d.size {
		return d.restart()
	}
	d.advance(n)
	return nil
}

// restart empties the file.
func (d *download) restart() error {
	d.sum.Reset()
	d.done = 0
	if _, err := d.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	return d.file.Truncate(0)
}

func (d *download) advance(n int64) {
	d.done += n
	d.most = max(d.most, d.done)
	if n > 0 {
		d.progress(d.done)
	}
}

// appendBody appends body, which must be the rest of the file.
func (d *download) appendBody(body io.Reader) error {
	buffer := make([]byte, 256<<10)
	for {
		n, readErr := body.Read(buffer)
		if d.done+int64(n) > d.size {
			return backoff.Permanent(fmt.Errorf("it is longer than the %d bytes that it should have", d.size))
		}
		if _, err := d.file.Write(buffer[:n]); err != nil {
			return backoff.Permanent(err)
		}
		if _, err := d.sum.Write(buffer[:n]); err != nil {
			return backoff.Permanent(err)
		}
		d.advance(int64(n))
		switch {
		case d.done == d.size:
			return nil
		case readErr == io.EOF:
			return fmt.Errorf("it ended after %d of %d bytes", d.done, d.size)
		case readErr != nil:
			return readErr
		}
	}
}

// ReadTail returns the last n bytes of the file at u, which must have at least n. The server
// must support ranges.
func (c *Client) ReadTail(ctx context.Context, u *url.URL, n int) (tail []byte, err error) {
	err = c.retry(ctx, func() (bool, error) {
		response, err := c.get(ctx, u, func(h http.Header) { h.Set("Range", fmt.Sprintf("bytes=-%d", n)) })
		if err != nil {
			return false, err
		}
		defer response.Body.Close()
		if response.StatusCode != http.StatusPartialContent {
			return false, statusError(response)
		}
		tail = make([]byte, n)
		_, err = io.ReadFull(response.Body, tail)
		return false, err
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", u.Redacted(), err)
	}
	return tail, nil
}

// Page is a short file that was read into memory.
type Page struct {
	URL         *url.URL // after redirections
	ContentType string
	Content     []byte
}

// ReadPage reads the page at u, of at most limit bytes. accept is the HTTP header that lists
// the acceptable content types. If the page does not exist, the error wraps [ErrNotFound].
func (c *Client) ReadPage(ctx context.Context, u *url.URL, accept string, limit int64) (page Page, err error) {
	err = c.retry(ctx, func() (bool, error) {
		response, err := c.get(ctx, u, func(h http.Header) { h.Set("Accept", accept) })
		if err != nil {
			return false, err
		}
		defer response.Body.Close()
		if response.StatusCode != http.StatusOK {
			return false, statusError(response)
		}
		if encoding := response.Header.Get("Content-Encoding"); encoding != "" && encoding != "identity" {
			return false, backoff.Permanent(fmt.Errorf("the page has the encoding %q, which was not requested", encoding))
		}
		content, err := io.ReadAll(io.LimitReader(response.Body, limit+1))
		if err != nil {
			return false, err
		}
		if int64(len(content)) > limit {
			return false, backoff.Permanent(fmt.Errorf("the page is longer than %d MiB", limit>>20))
		}
		page = Page{response.Request.URL, response.Header.Get("Content-Type"), content}
		return true, nil
	})
	if err != nil {
		return Page{}, fmt.Errorf("%s: %w", u.Redacted(), err)
	}
	return page, nil
}
