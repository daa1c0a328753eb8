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

// Sum takes the bytes of a file: a hash.Hash, or several.
type Sum interface {
	io.Writer
	Reset() // forgets the bytes so far: the file begins anew
}

// Fetch writes the file at u to dst, and all its bytes to sum. dst may hold the
// beginning of the file, from an earlier Fetch: it goes on there, as after a break,
// and begins anew where the server cannot. The file has size bytes, or that is an
// error. progress, which may be nil, is told how many bytes are there; when the file
// begins anew they are fewer than before.
func (c *Client) Fetch(ctx context.Context, u *url.URL, dst *os.File, size int64, sum Sum, progress func(done int64)) error {
	if progress == nil {
		progress = func(int64) {}
	}
	d := download{file: dst, size: size, sum: sum, progress: progress}
	err := d.open()
	if err == nil {
		err = c.retry(ctx, func() (bool, error) { return c.goOn(ctx, u, &d) })
	}
	if err != nil {
		return fmt.Errorf("%s: %w", u.Redacted(), err)
	}
	return nil
}

// goOn fetches what is missing. It tells whether it came so far beyond all tries
// before that another is worthwhile.
func (c *Client) goOn(ctx context.Context, u *url.URL, d *download) (further bool, err error) {
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
		return false, backoff.Permanent(fmt.Errorf("it has %d bytes instead of the %d it should have", from+n, d.size))
	}
	if from == 0 {
		if err := d.anew(); err != nil {
			return false, backoff.Permanent(err)
		}
	}
	const worthwhile = 1 << 20
	enough := d.most + worthwhile
	err = d.take(response.Body)
	return d.done >= enough, err
}

// errNoResume says that a server does not send a file from some byte on.
var errNoResume = errors.New("the server cannot resume")

// getFrom asks for the bytes of a file from one on. The answer begins with byte
// start, which is from or, where the server knows no ranges, 0.
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
		err = backoff.Permanent(fmt.Errorf("%w: asked for the bytes from %d on it sent %q", errNoResume, from, contentRange))
	case http.StatusRequestedRangeNotSatisfiable:
		err = backoff.Permanent(fmt.Errorf("%w: asked for the bytes from %d on it says %d", errNoResume, from, response.StatusCode))
	default:
		err = statusError(response)
	}
	response.Body.Close()
	return nil, 0, err
}

// rangeStart reads the first number of "bytes 5-9/10".
func rangeStart(contentRange string) (int64, bool) {
	text, _ := strings.CutPrefix(contentRange, "bytes ")
	text, _, _ = strings.Cut(text, "-")
	n, err := strconv.ParseInt(text, 10, 64)
	return n, err == nil
}

// download is a file as far as it is there.
type download struct {
	file     *os.File
	size     int64 // when it is whole
	sum      Sum
	progress func(done int64)

	done int64 // bytes that are there
	most int64 // the most that ever were
}

// open goes to the end of what the file holds from before, and sums it up.
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
		return d.anew()
	}
	d.advance(n)
	return nil
}

// anew empties the file.
func (d *download) anew() error {
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

// take appends what body holds, which is the rest of the file.
func (d *download) take(body io.Reader) error {
	buffer := make([]byte, 256<<10)
	for {
		n, readErr := body.Read(buffer)
		if d.done+int64(n) > d.size {
			return backoff.Permanent(fmt.Errorf("it is longer than the %d bytes it should have", d.size))
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
			return fmt.Errorf("it broke off after %d of %d bytes", d.done, d.size)
		case readErr != nil:
			return readErr
		}
	}
}

// ReadTail returns the last n bytes of the file at u, n at most its size.
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

// Page is a short file, to be read at once.
type Page struct {
	URL         *url.URL // its own, after redirections
	ContentType string
	Content     []byte
}

// ReadPage reads the page at u, of at most limit bytes, in one of the content types
// that accept lists (the HTTP header). One that is not there is ErrNotFound.
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
			return false, backoff.Permanent(fmt.Errorf("the page has the encoding %q, which was not asked for", encoding))
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
