"""Wide greys: which sample is white."""

import struct

import numpy as np
import pytest
from PIL import Image

from tests.picture_bytes import chunk, encode, png, tiff, with_chunks
from utils.common.pictures import read_picture

# Of samples at 0, a quarter and all of a range.
STEPS = [0, 64, 255]


def greys(data: bytes) -> list[int]:
    """The pixels of the first row, which must be grey."""
    row = np.asarray(read_picture(data))[0]
    assert (row == row[:, :1]).all()
    return row[:, 0].tolist()


def floats(*values: float) -> bytes:
    return encode(Image.fromarray(np.array([values], np.float32)), "TIFF")


def integers(kind: str, *values: int) -> bytes:
    return encode(Image.fromarray(np.array([values], kind)), "TIFF")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((0, 0.25, 1.0), STEPS),
        ((0, 0.25, 1.02), STEPS),
        ((0, 0.25, 6.5), STEPS),
        ((0, 0.1, 0.2), [0, 26, 51]),
        ((0, 63.75, 255), STEPS),
        ((0, 63.75, 260), STEPS),
        ((0, 1024, 4095), STEPS),
        ((0, 16384, 65535), STEPS),
        ((0, 250_000, 1_000_000), STEPS),
        ((-0.5, 0.25, 1), STEPS),
        ((float("nan"), 0.25, 1), STEPS),
        ((float("-inf"), 0.25, float("inf")), STEPS),
        ((0, 63.75, 255, float("inf")), [*STEPS, 255]),
        ((float("nan"), float("nan")), [0, 0]),
    ],
)
def test_floats_are_of_the_smallest_range_that_holds_them(values, expected):
    assert greys(floats(*values)) == expected


@pytest.mark.parametrize("top", [255, 1023, 4095, 16383, 65535])
@pytest.mark.parametrize("kind", ["uint16", "int32"])
def test_integers_of_a_tiff_use_8_to_16_bits(kind, top):
    assert greys(integers(kind, 0, round(top / 4), top)) == STEPS


def test_further_integers():
    assert greys(integers("int32", -70_000, 250_000, 1_000_000)) == STEPS
    row = struct.pack("<3I", 0, 2**30, 2**32 - 1)
    assert greys(tiff(3, 32, row, {})) == STEPS
    assert greys(tiff(3, 16, struct.pack("<3h", -5, 1024, 4095), {339: (3, 2)})) == STEPS
    big = struct.pack(">3H", 0, 16384, 65535)
    assert greys(b"P5 3 1 65535\n" + big) == STEPS
    assert greys(b"P5 3 1 4095\n" + struct.pack(">3H", 0, 1024, 4095)) == STEPS
    assert greys(encode(Image.fromarray(np.array([[0, 16384, 65535]], ">u2")), "TIFF")) == STEPS


def test_a_tiff_says_how_far_its_range_goes():
    assert greys(tiff(2, 12, bytes([0x40, 0x0F, 0xFF]), {})) == [64, 255]
    dark = struct.pack("<3H", 0, 100, 400)
    assert greys(tiff(3, 16, dark, {})) == [0, 25, 100]
    assert greys(tiff(3, 16, dark, {281: (3, 4095)})) == [0, 6, 25]
    assert greys(tiff(3, 16, dark, {341: (3, 65535)})) == [0, 0, 2]
    assert greys(tiff(3, 16, dark, {281: (3, 255)})) == [0, 25, 100]  # which is not true
    assert greys(tiff(3, 16, struct.pack("<3H", 65535, 49151, 0), {262: (3, 0)})) == STEPS
    assert greys(tiff(3, 16, struct.pack("<3H", 4095, 3071, 0), {262: (3, 0)})) == STEPS
    assert greys(tiff(8, 1, b"\x0f", {262: (3, 0)})) == [255] * 4 + [0] * 4


def test_a_png_uses_its_range_or_says_how_many_bits():
    wide = encode(Image.fromarray(np.array([[0, 1024, 4095]], np.uint16)), "PNG")
    assert greys(wide) == [0, 4, 16]
    assert greys(with_chunks(wide, chunk(b"sBIT", b"\x0c"))) == STEPS
    scaled = encode(Image.fromarray(np.array([[0, 16384, 65535]], np.uint16)), "PNG")
    assert greys(with_chunks(scaled, chunk(b"sBIT", b"\x0c"))) == STEPS
    row = b"\0" + struct.pack(">3H", 0, 257, 65535)
    assert greys(png(3, 1, 16, 0, row, chunk(b"tRNS", struct.pack(">H", 257)))) == [0, 255, 255]
