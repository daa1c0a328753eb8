package picture

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"image"
	"image/png"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"nb201/internal/needs"

	"github.com/go-json-experiment/json"
)

// vector is Pillow's result for a file of testdata (testdata/make.py).
type vector struct {
	Width   int            `json:"width"`
	Height  int            `json:"height"`
	RGB     []byte         `json:"rgb"`
	Squares map[int]uint32 `json:"squares"` // CRC-32 of the picture squeezed to a size
}

func vectors(t *testing.T) map[string]vector {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "vectors.json"))
	if err != nil {
		t.Fatal(err)
	}
	var v map[string]vector
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	if len(v) < 20 {
		t.Fatalf("%d vectors", len(v))
	}
	return v
}

// largest returns the largest difference between two pictures, and the number of bytes that
// differ.
func largest(a, b []byte) (difference, bytes int) {
	for i := range a {
		d := max(int(a[i]), int(b[i])) - min(int(a[i]), int(b[i]))
		difference = max(difference, d)
		bytes += min(d, 1)
	}
	return difference, bytes
}

func TestDecode(t *testing.T) {
	for name, want := range vectors(t) {
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join("testdata", name))
			if err != nil {
				t.Fatal(err)
			}
			got, err := Decode(bytes.NewReader(text))
			if err != nil {
				t.Fatal(err)
			}
			if got.Width != want.Width || got.Height != want.Height || len(got.Pixels) != len(want.RGB) {
				t.Fatalf("%d x %d pixels in %d bytes, not %d x %d in %d", got.Width, got.Height, len(got.Pixels), want.Width, want.Height, len(want.RGB))
			}
			difference, n := largest(got.Pixels, want.RGB)
			if allowed := tolerance(name); difference > allowed || 4*n > len(want.RGB) {
				t.Errorf("%d of %d bytes differ, by %d at most; allowed is %d", n, len(want.RGB), difference, allowed)
			}
		})
	}
}

// tolerance returns the largest difference allowed in a byte: for JPEG pictures, that of the
// rounding of the cosine transform.
func tolerance(name string) int {
	if filepath.Ext(name) == ".jpg" {
		return 3
	}
	return 0
}

func TestSquare(t *testing.T) {
	for name, v := range vectors(t) {
		for size, want := range v.Squares {
			pixels := Image{v.Width, v.Height, v.RGB}.Square(size)
			if len(pixels) != 3*size*size || crc32.ChecksumIEEE(pixels) != want {
				t.Errorf("%s squeezed to %d pixels differs from Pillow's", name, size)
			}
		}
	}
}

func TestSquareOfThatSizeIsThePicture(t *testing.T) {
	im := Image{2, 2, []byte("abcdefghijkl")}
	if pixels := im.Square(2); &pixels[0] != &im.Pixels[0] {
		t.Error("it was copied")
	}
}

// python runs a script with the Python that NB201_PYTHON names, which must have Pillow.
func python(t *testing.T, script string, input []byte, args ...string) []byte {
	t.Helper()
	interpreter := needs.Python(t)
	c := exec.Command(interpreter, append([]string{"-c", script}, args...)...)
	var stderr bytes.Buffer
	c.Stdin, c.Stderr = bytes.NewReader(input), &stderr
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, &stderr)
	}
	return out
}

// Pictures of random sizes, resized to random sizes, are byte for byte those of Pillow.
func TestSquareAgainstPillow(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	side := func(limit int) int { return 1 + r.IntN(1+r.IntN(limit)) }
	var input, want []byte
	for range 300 {
		im := Image{Width: side(700), Height: side(700)}
		size := side(130)
		im.Pixels = make([]byte, 3*im.Width*im.Height)
		limit := 1 + r.IntN(256) // few values, as in flat pictures, too
		for i := range im.Pixels {
			im.Pixels[i] = byte(255 - r.IntN(limit))
		}
		for _, n := range []int{im.Width, im.Height, size} {
			input = binary.LittleEndian.AppendUint32(input, uint32(n))
		}
		input = append(input, im.Pixels...)
		want = append(want, im.Square(size)...)
	}
	got := python(t, `import struct, sys
from PIL import Image
while head := sys.stdin.buffer.read(12):
    width, height, size = struct.unpack("<3I", head)
    im = Image.frombytes("RGB", (width, height), sys.stdin.buffer.read(3 * width * height))
    sys.stdout.buffer.write(im.resize((size, height), Image.BOX).resize((size, size), Image.BOX).tobytes())
`, input)
	if !bytes.Equal(got, want) {
		_, n := largest(want[:min(len(got), len(want))], got)
		t.Errorf("%d and %d bytes, of which %d differ", len(want), len(got), n)
	}
}

// JPEG pictures that Pillow writes are read as it reads them, up to rounding.
func TestJPEGAgainstPillow(t *testing.T) {
	dir := t.TempDir()
	want := python(t, `import random, sys
from PIL import Image
random.seed(1)
for i in range(60):
    small = Image.frombytes("RGB", (6, 6), random.randbytes(108))
    im = small.resize((random.randint(1, 150), random.randint(1, 150)), Image.BICUBIC)
    name = "%s/%02d.jpg" % (sys.argv[1], i)
    im.save(name, quality=random.randint(50, 98), subsampling=i % 3, progressive=i % 2 == 0)
    sys.stdout.buffer.write(Image.open(name).convert("RGB").tobytes())
`, nil, dir)
	differing, total := 0, len(want)
	for i := range 60 {
		im := decodeFile(t, filepath.Join(dir, fmt.Sprintf("%02d.jpg", i)))
		difference, n := largest(im.Pixels, want[:len(im.Pixels)])
		if want = want[len(im.Pixels):]; difference > 4 {
			t.Errorf("picture %d, %d x %d, differs by %d", i, im.Width, im.Height, difference)
		}
		differing += n
	}
	t.Logf("%.2f %% of %d bytes differ", 100*float64(differing)/float64(total), total)
	if 10*differing > total || len(want) != 0 {
		t.Errorf("%d of %d bytes differ, %d are left", differing, total, len(want))
	}
}

// Pictures in inks, without Adobe's marker and with each of its transforms, are read as
// Pillow reads them, up to rounding.
func TestCMYKAgainstPillow(t *testing.T) {
	dir := t.TempDir()
	want := python(t, `import io, random, sys
from PIL import Image
random.seed(2)
for i in range(40):
    small = Image.frombytes("CMYK", (6, 6), random.randbytes(144))
    out = io.BytesIO()
    small.resize((random.randint(1, 60), random.randint(1, 60)), Image.BICUBIC).save(out, "JPEG", quality=random.randint(50, 98), progressive=i % 3 == 0)
    text = out.getvalue()
    at = text.index(b"\xff\xee")
    end = at + 2 + int.from_bytes(text[at + 2:at + 4], "big")
    text = [text[:at] + text[end:], text[:end - 1] + bytes([i % 3]) + text[end:]][i % 2]
    with open("%s/%02d.jpg" % (sys.argv[1], i), "wb") as f:
        f.write(text)
    sys.stdout.buffer.write(Image.open(io.BytesIO(text)).convert("RGB").tobytes())
`, nil, dir)
	for i := range 40 {
		im := decodeFile(t, filepath.Join(dir, fmt.Sprintf("%02d.jpg", i)))
		if difference, _ := largest(im.Pixels, want[:len(im.Pixels)]); difference > 4 {
			t.Errorf("picture %d, %d x %d, differs by %d", i, im.Width, im.Height, difference)
		}
		want = want[len(im.Pixels):]
	}
	if len(want) != 0 {
		t.Errorf("%d bytes are left", len(want))
	}
}

// Grey of 16 bits keeps its upper byte.
func TestGrey16(t *testing.T) {
	grey := image.NewGray16(image.Rect(0, 0, 2, 1))
	copy(grey.Pix, "\x12\x34\xfe\xdc")
	var file bytes.Buffer
	if err := png.Encode(&file, grey); err != nil {
		t.Fatal(err)
	}
	got, err := Decode(&file)
	if err != nil || string(got.Pixels) != "\x12\x12\x12\xfe\xfe\xfe" {
		t.Errorf("%x %v", got.Pixels, err)
	}
}

// header is the beginning of a PNG of a size.
func header(width, height uint32) string {
	ihdr := binary.BigEndian.AppendUint32([]byte("IHDR"), width)
	ihdr = append(binary.BigEndian.AppendUint32(ihdr, height), 8, 2, 0, 0, 0)
	text := append([]byte("\x89PNG\r\n\x1a\n\x00\x00\x00\x0d"), ihdr...)
	return string(binary.BigEndian.AppendUint32(text, crc32.ChecksumIEEE(ihdr)))
}

func TestUndecodable(t *testing.T) {
	whole := map[string]string{}
	for _, name := range []string{"rgb.png", "444.jpg", "progressive.jpg"} {
		text, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		whole[name] = string(text)
	}
	tests := []struct{ name, file, want string }{
		{"empty", "", "is neither a PNG nor a JPEG picture"},
		{"text", "a picture of a cat", "is neither a PNG nor a JPEG picture"},
		{"GIF", "GIF89a\x01\x00\x01\x00", "is neither a PNG nor a JPEG picture"},
		{"start of a PNG", whole["rgb.png"][:20], "is cut short"},
		{"half a PNG", whole["rgb.png"][:150], "cannot be decoded: png: invalid format: not enough pixel data"},
		{"start of a JPEG", whole["444.jpg"][:20], "is cut short"},
		{"half a JPEG", whole["444.jpg"][:700], "cannot be decoded: invalid JPEG format: short Huffman data"},
		{"half a progressive JPEG", whole["progressive.jpg"][:500], "cannot be decoded: invalid JPEG format: short Huffman data"},
		{"large", header(100000, 100000), "claims to have 100000 x 100000 pixels, more than the limit of 89 million"},
		{"wide", header(1<<31-1, 1), "more than the limit of 89 million"},
		{"without pixels", header(0, 7), "cannot be decoded: png: invalid format: non-positive dimension"},
		{"damaged PNG", strings.Replace(whole["rgb.png"], "IDAT", "IDAT?", 1), "cannot be decoded: zlib: invalid header"},
		{"arithmetic coding", "\xff\xd8\xff\xc9\x00\x0b\x08\x00\x01\x00\x01\x01\x01\x11\x00", "cannot be decoded: unsupported JPEG feature"},
	}
	for _, test := range tests {
		_, err := Decode(strings.NewReader(test.file))
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, not %q", test.name, err, test.want)
		}
	}
}

// files are the pictures of testdata.
func files(t *testing.T) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join("testdata", "*.[pj]*g"))
	if err != nil || len(names) < 20 {
		t.Fatal(names, err)
	}
	return names
}

func TestRead(t *testing.T) {
	var paths []string
	for range 40 {
		paths = append(paths, files(t)...)
		paths = append(paths, "missing.png", filepath.Join("testdata", "make.py"))
	}
	next := 0
	err := Read(t.Context(), paths, 7, func(i int, im Squeezed, err error) error {
		if i != next {
			t.Fatalf("file %d comes after %d", i, next-1)
		}
		next++
		path := paths[i]
		switch f, openErr := os.Open(path); {
		case openErr != nil:
			if err == nil || !strings.Contains(err.Error(), "missing.png: no such file") {
				t.Errorf("%s: %v", path, err)
			}
		case filepath.Ext(path) == ".py":
			if err == nil || err.Error() != path+" is neither a PNG nor a JPEG picture" {
				t.Errorf("%s: %v", path, err)
			}
		default:
			want, wantErr := Decode(f)
			if err != nil || wantErr != nil || !slices.Equal(im.Pixels, want.Square(7)) {
				t.Errorf("%s: %v, %v, or other pixels", path, err, wantErr)
			}
			if im.Turned != strings.HasPrefix(filepath.Base(path), "turned.") {
				t.Errorf("%s is turned: %v", path, im.Turned)
			}
			_ = f.Close()
		}
		return nil
	})
	if err != nil || next != len(paths) {
		t.Errorf("%d of %d files, %v", next, len(paths), err)
	}
}

func TestReadEnds(t *testing.T) {
	paths := slices.Repeat(files(t), 100)
	stop := errors.New("enough")
	count := 0
	err := Read(t.Context(), paths, 7, func(i int, _ Squeezed, _ error) error {
		if count++; i == 33 {
			return stop
		}
		return nil
	})
	if !errors.Is(err, stop) || count != 34 {
		t.Errorf("after %d files: %v", count, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	count = 0
	err = Read(ctx, paths, 7, func(i int, _ Squeezed, _ error) error {
		if count++; i == 33 {
			cancel()
		}
		return nil
	})
	if !errors.Is(err, context.Canceled) || count > 40 {
		t.Errorf("cancelled, after %d files: %v", count, err)
	}
	if err := Read(t.Context(), nil, 7, nil); err != nil {
		t.Error(err)
	}
}

// FuzzDecode checks that the decoder neither crashes on foreign bytes nor allocates too much
// memory for them.
func FuzzDecode(f *testing.F) {
	names, err := filepath.Glob(filepath.Join("testdata", "*.[pj]*g"))
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte(header(9000, 9000)))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := open(bytes.NewReader(text))
		if err != nil || s.pixels > 1<<20 {
			return // as large as it may be, but slow
		}
		im, err := s.decode()
		if err != nil {
			return
		}
		if im.Width < 1 || im.Height < 1 || len(im.Pixels) != 3*im.Width*im.Height || im.Width*im.Height != s.pixels {
			t.Errorf("%d x %d pixels in %d bytes", im.Width, im.Height, len(im.Pixels))
		}
		if n := len(im.Square(8)); n != 3*8*8 {
			t.Errorf("%d bytes of 8 x 8 pixels", n)
		}
	})
}

func decodeFile(t *testing.T, path string) Image {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	im, err := Decode(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return im
}
