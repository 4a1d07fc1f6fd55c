"""What a file says besides its pixels never decides whether a picture can be read."""

import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from PIL import Image, features

from tests.picture_bytes import chunk, encode, tiff, with_chunks
from utils.common.metadata import separate
from utils.common.pictures import read_picture

COLOURS = np.random.default_rng(3).integers(0, 256, (8, 16, 3), np.uint8)
PICTURE = Image.fromarray(COLOURS)
PNG = encode(PICTURE, "PNG")
JPEG = encode(PICTURE, "JPEG")
WEBP = encode(PICTURE, "WEBP", lossless=True)
BOMB = zlib.compress(bytes(40 * 2**20))  # 40 MB of zeros in 40 kB


def exif(value: int, kind: int = 3) -> bytes:
    """EXIF with an orientation, big-endian, and a tag that points nowhere."""
    tags = struct.pack(">HHHIHHHHII", 2, 274, kind, 1, value, 0, 0x8769, 4, 1, 2**31)
    return b"Exif\0\0MM\0*\0\0\0\x08" + tags + bytes(4)


def text(keyword: bytes, body: bytes, kind: bytes = b"tEXt") -> bytes:
    return chunk(kind, keyword + b"\0" + body)


def segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def in_jpeg(*segments: bytes) -> bytes:
    return JPEG[:2] + b"".join(segments) + JPEG[2:]


def in_webp(kind: bytes, body: bytes, flags: int, claimed: int | None = None) -> bytes:
    head = struct.pack("<4sIB3x", b"VP8X", 10, flags) + bytes((15, 0, 0, 7, 0, 0))
    body = kind + struct.pack("<I", claimed or len(body)) + body.ljust(len(body) + len(body) % 2)
    rest = b"WEBP" + head + WEBP[12:] + body
    return b"RIFF" + struct.pack("<I", len(rest)) + rest


XMP = b'<x tiff:Orientation="6"/>'
PNGS = {
    "text of 40 MB, packed": with_chunks(PNG, text(b"a", b"\0" + BOMB, b"zTXt")),
    "a text that is a bomb": with_chunks(PNG, text(b"a", b"\1\0\0\0" + BOMB, b"iTXt")),
    "a profile that is a bomb": with_chunks(PNG, text(b"a", b"\0" + BOMB, b"iCCP")),
    "text of an unknown packing": with_chunks(PNG, text(b"a", b"\7x", b"zTXt")),
    "a profile of an unknown packing": with_chunks(PNG, text(b"a", b"\7x", b"iCCP")),
    "a wrong checksum": with_chunks(PNG, text(b"a", b"b")[:-1] + b"?"),
    "short chunks": with_chunks(
        PNG, *(chunk(kind.encode(), b"") for kind in (
            "gAMA", "cHRM", "sRGB", "cICP", "sBIT", "iCCP", "eXIf", "iTXt", "pHYs", "acTL", "fcTL",
        ))
    ),
    "text after the pixels that is cut": PNG[:-12] + text(b"a", b"b" * 999)[:500],
    "no hex of ImageMagick": with_chunks(PNG, text(b"Raw profile type exif", b"\nexif\n2\nzz")),
    "frames in disorder": with_chunks(PNG, chunk(b"acTL", bytes(8)), chunk(b"fcTL", b"9" * 26)),
}  # fmt: skip
JPEGS = {
    "a short JFIF": in_jpeg(segment(0xE0, b"JFIF\0")),
    "a short Adobe": in_jpeg(segment(0xEE, b"Adobe")),
    "a short image resource": in_jpeg(segment(0xED, b"Photoshop 3.0\0" + b"8BIM\4\4")),
    "a broken index of pictures": in_jpeg(segment(0xE2, b"MPF\0II*\0\xff\0\0\0")),
    "many comments": in_jpeg(*[segment(0xFE, b"c" * 60_000)] * 40),
    "half a profile": in_jpeg(segment(0xE2, b"ICC_PROFILE\0\1\2half")),
    "nonsense as EXIF": in_jpeg(segment(0xE1, b"Exif\0\0nonsense nonsense")),
}
OTHERS = {
    "a cut EXIF": in_webp(b"EXIF", b"MM", 0x08, claimed=900),
    "an unknown chunk": in_webp(b"abcd", b"MM", 0x3D & ~0x02),
}


@pytest.mark.parametrize("name", [*PNGS, *JPEGS, *OTHERS])
def test_broken_or_long_metadata_changes_no_pixel_and_prints_nothing(name, capfd):
    broken = {**PNGS, **JPEGS, **OTHERS}[name]
    sound = {b"\x89P": PNG, b"RI": WEBP, b"\xff\xd8": JPEG}[broken[:2]]
    tracemalloc.start()
    pixels = np.asarray(read_picture(broken))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert np.array_equal(pixels, np.asarray(read_picture(sound)))
    assert peak < 36 * 2**20
    assert capfd.readouterr() == ("", "")


TAGS = {
    "EXIF that points nowhere": {34665: (4, 2**31)},
    "a resolution that is a text": {282: (2, 5), 296: (3, 3)},
    "a place far behind the end": {270: (4, 2**31), 700: (7, 9)},
    "an orientation of 99": {274: (3, 99)},
    "an orientation that is a text": {274: (2, 6)},
    "a profile of another type": {34675: (3, 6)},
}


@pytest.mark.parametrize("name", TAGS)
def test_broken_tags_of_a_tiff_change_no_pixel(name, capfd):
    picture = read_picture(tiff(3, 8, b"\0\x80\xff", TAGS[name]))
    assert np.asarray(picture)[0, :, 0].tolist() == [0, 128, 255]
    assert capfd.readouterr() == ("", "")


UPRIGHT = {
    "PNG": with_chunks(PNG, chunk(b"eXIf", exif(6)[6:])),
    "PNG, EXIF after the pixels": PNG[:-12] + chunk(b"eXIf", exif(6)[6:]) + PNG[-12:],
    "PNG, EXIF of ImageMagick": with_chunks(
        PNG, text(b"Raw profile type exif", b"\nexif\n  44\n" + exif(6).hex("\n", 36).encode())
    ),
    "PNG, XMP": with_chunks(PNG, text(b"XML:com.adobe.xmp", bytes(4) + XMP, b"iTXt")),
    "JPEG": in_jpeg(segment(0xE1, exif(6))),
    "JPEG, XMP": in_jpeg(segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + XMP)),
    "WebP": in_webp(b"EXIF", exif(6), 0x08),
    "TIFF": encode(PICTURE, "TIFF", tiffinfo={274: 6}),
    "TIFF, packed": encode(PICTURE, "TIFF", tiffinfo={274: 6}, compression="tiff_lzw"),
    "BigTIFF": encode(PICTURE, "TIFF", tiffinfo={274: 6}, big_tiff=True),
}


@pytest.mark.parametrize("name", UPRIGHT)
def test_the_orientation_is_found(name):
    picture = read_picture(UPRIGHT[name])
    assert picture.size == (8, 16)
    if not name.startswith("JPEG"):
        assert np.array_equal(np.asarray(picture), np.rot90(COLOURS, -1))


@pytest.mark.parametrize(("value", "kind"), [(0, 3), (9, 3), (6, 2), (65535, 3)])
def test_an_orientation_that_is_none_turns_nothing(value, kind):
    assert read_picture(in_jpeg(segment(0xE1, exif(value, kind)))).size == PICTURE.size


def test_what_says_what_the_channels_are_stays():
    data = encode(PICTURE.convert("CMYK"), "JPEG", exif=exif(1), icc_profile=b"p" * 70_000)
    kept, said = separate(data)
    assert b"Adobe" in kept
    assert b"Exif" not in kept
    assert b"ICC_PROFILE" not in kept
    assert said["icc_profile"] == b"p" * 70_000


@pytest.mark.skipif(not features.check("avif"), reason="a Pillow without AVIF")
def test_avif_is_turned_by_its_own_boxes_and_broken_exif_does_not_matter():
    tags = Image.Exif()
    tags.update({270: "a robot", 274: 6})
    data = encode(PICTURE, "AVIF", exif=tags)
    assert read_picture(data).size == (8, 16)
    broken = data.replace(b"II*\0", b"none").replace(b"MM\0*", b"none")
    assert broken != data
    assert read_picture(broken).size == (8, 16)
