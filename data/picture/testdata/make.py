"""Makes the pictures and vectors.json of this directory: what Pillow reads and squeezes.

Made with Pillow 13.0.0 (libjpeg-turbo 3.2.0) and numpy 2.4.6:
    python make.py
"""
import base64, json, os, struct, zlib
import numpy as np
from PIL import Image

os.chdir(os.path.dirname(os.path.abspath(__file__)))
W, H = 21, 13
y, x = np.mgrid[0:H, 0:W]
RGB = np.stack([x * 12 + y, 255 - y * 19, (x * y * 3 + 40 * (x > 9)) % 256], 2).astype(np.uint8)
ALPHA = (x * 11 % 256).astype(np.uint8)
GREY = RGB[:, :, 2]


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(name, depth, colour, rows, *extra, interlace=0):
    """Writes a PNG of a kind that Pillow cannot write, from the bytes of its rows."""
    with open(name, "wb") as f:
        f.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", W, H, depth, colour, 0, 0, interlace)))
        for e in extra:
            f.write(e)
        f.write(chunk(b"IDAT", zlib.compress(b"".join(b"\0" + r for r in rows))) + chunk(b"IEND", b""))


def packed(values, bits):
    """Packs rows of small numbers into bytes."""
    for row in values:
        text = "".join(format(v, "0%db" % bits) for v in row)
        text += "0" * (-len(text) % 8)
        yield bytes(int(text[i:i + 8], 2) for i in range(0, len(text), 8))


def interlaced(pixels):
    """The rows of the seven passes of Adam7."""
    for x0, y0, dx, dy in ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)):
        for row in pixels[y0::dy, x0::dx]:
            yield row.tobytes()


rgb = Image.fromarray(RGB)
rgb.save("rgb.png")
rgb.convert("L").save("grey.png")
Image.fromarray(np.dstack([RGB, ALPHA])).save("rgba.png")
Image.fromarray(np.dstack([GREY, ALPHA])).save("grey-alpha.png")
palette = rgb.quantize(20)
palette.save("palette.png", bits=8)
palette.save("palette-alpha.png", bits=8, transparency=bytes(range(0, 200, 10)))
rgb.save("rgb-transparent.png", transparency=tuple(int(v) for v in RGB[2, 3]))
rgb.convert("L").save("grey-transparent.png", transparency=int(GREY[2, 3]))
for bits in (1, 2, 4):
    png("grey%d.png" % bits, bits, 0, packed(GREY >> (8 - bits), bits))
    png("palette%d.png" % bits, bits, 3, packed(GREY >> (8 - bits), bits), chunk(b"PLTE", bytes(range(7, 7 + 3 * 2**bits))))
wide = RGB.astype(">u2") * 256 + 200 - RGB // 2
png("rgb16.png", 16, 2, (r.tobytes() for r in wide))
png("rgba16.png", 16, 6, (r.tobytes() for r in np.dstack([wide, ALPHA.astype(">u2") * 255]).astype(">u2")))
png("grey-alpha16.png", 16, 4, (r.tobytes() for r in np.dstack([wide[:, :, 0], ALPHA.astype(">u2") * 255]).astype(">u2")))
png("interlaced.png", 8, 2, interlaced(RGB), interlace=1)

for name, options in {
    "444": dict(subsampling="4:4:4"), "422": dict(subsampling="4:2:2"), "420": dict(subsampling="4:2:0"),
    "progressive": dict(progressive=True), "keep-rgb": dict(keep_rgb=True), "restart": dict(restart_marker_blocks=2),
}.items():
    rgb.save(name + ".jpg", quality=85, **options)
rgb.convert("L").save("grey.jpg", quality=85)
rgb.convert("CMYK").save("cmyk.jpg", quality=90)
rgb.resize((3, 3)).save("narrow.jpg", quality=85, subsampling="4:2:0")
rgb.resize((4, 5)).save("narrow422.jpg", quality=85, subsampling="4:2:2")
rgb.save("png-named.JPEG", format="PNG")

# Other samplings, which Pillow reads but does not write: as many blocks in another order.
for name, subsampling, factors in ("440", "4:2:2", 0x12), ("411", "4:2:0", 0x41):
    rgb.resize((32, 32)).save(name + ".jpg", quality=85, subsampling=subsampling)
    with open(name + ".jpg", "r+b") as f:
        f.seek(f.read().index(b"\xff\xc0") + 11)
        f.write(bytes([factors]))

# Four channels without Adobe's marker, and with one that says they are YCbCr and black.
with open("cmyk.jpg", "rb") as f:
    inks = f.read()
at = inks.index(b"\xff\xee")
end = at + 2 + int.from_bytes(inks[at + 2:at + 4], "big")
with open("cmyk-unmarked.jpg", "wb") as f:
    f.write(inks[:at] + inks[end:])
with open("ycck.jpg", "wb") as f:
    f.write(inks[:end - 1] + b"\2" + inks[end:])

# A picture that is to be shown turned: EXIF's orientation 6 and 3, and 1, which is as it is stored.
for name, orientation in ("turned.jpg", 6), ("turned.png", 3), ("upright.jpg", 1):
    exif = Image.Exif()
    exif[0x112] = orientation
    rgb.save(name, exif=exif)


def square(im, size):
    """Squeezes along the rows first, as Pillow did for all pictures before 13.0.0."""
    return im.resize((size, im.height), Image.BOX).resize((size, size), Image.BOX)


vectors = {}
for name in sorted(os.listdir(".")):
    if not name.lower().endswith((".png", ".jpg", ".jpeg")):
        continue
    im = Image.open(name).convert("RGB")
    squares = {size: zlib.crc32(square(im, size).tobytes()) for size in (1, 2, 5, 13, 16, 21, 32, 50)}
    vectors[name] = dict(width=im.width, height=im.height, rgb=base64.b64encode(im.tobytes()).decode(), squares=squares)
with open("vectors.json", "w") as f:
    json.dump(vectors, f, indent=1)
    f.write("\n")
