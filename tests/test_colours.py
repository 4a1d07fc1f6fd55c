"""Colours come out as sRGB, whatever space they were stored in."""

import io
import struct

import numpy as np
import pytest
from PIL import Image

from tests.picture_bytes import chunk, encode, profile, with_chunks
from utils.common.pictures import read_picture

RAMP = Image.fromarray(np.arange(256, dtype=np.uint8)[None])


def point(x: float, y: float, z: float) -> bytes:
    return b"XYZ " + struct.pack(">4x3i", *(round(value * 65536) for value in (x, y, z)))


def curve(gamma: float) -> bytes:
    return b"curv" + struct.pack(">4xIH", 1, round(gamma * 256))


# Adobe RGB (1998).
ADOBE = profile(b"RGB ", {
    b"rXYZ": point(0.60974, 0.31111, 0.01947), b"gXYZ": point(0.20528, 0.62567, 0.06087),
    b"bXYZ": point(0.14919, 0.06322, 0.74457),
    b"rTRC": curve(2.2), b"gTRC": curve(2.2), b"bTRC": curve(2.2),
})  # fmt: skip
ADOBE_RED, RED = (171, 35, 35), (200, 30, 30)  # the same colour
GREY = profile(b"GRAY", {b"kTRC": curve(1.0)})
ADOBE_CHROMATICITY = 31270, 32900, 64000, 33000, 21000, 71000, 15000, 6000


def ink() -> bytes:
    """A CMYK profile in which magenta and yellow are a dull red: Lab 47, 68, 48."""
    corners = b""
    for number in range(16):
        cyan, magenta, yellow, black = (number >> bit & 1 for bit in (3, 2, 1, 0))
        lab = (47, 68, 48) if magenta and yellow and not cyan else (60, 0, 0)
        lab = (0, 0, 0) if black else (100, 0, 0) if not number else lab
        corners += bytes((round(lab[0] * 2.55), lab[1] + 128, lab[2] + 128))
    identity = struct.pack(">9i", *(65536 * (number % 4 == 0) for number in range(9)))
    table = b"mft1" + struct.pack(">4x4B", 4, 3, 2, 0) + identity
    table += bytes(range(256)) * 4 + corners + bytes(range(256)) * 3
    return profile(b"CMYK", {b"A2B0": table}, connection=b"Lab ")


def red(mode: str) -> Image.Image:
    """ADOBE_RED, as a picture of 16 pixels, transparent in the first column if there is alpha."""
    image = Image.new("RGB", (4, 4), ADOBE_RED)
    if mode == "P":
        return image.quantize(4)
    image = image.convert(mode)
    if mode == "RGBA":
        image.paste((0, 0, 0, 0), (0, 0, 1, 4))
    return image


@pytest.mark.parametrize(
    ("mode", "suffix", "options"),
    [
        ("RGB", "PNG", {}),
        ("RGBA", "PNG", {}),
        ("P", "PNG", {}),
        ("RGB", "JPEG", {"quality": 100}),
        ("RGB", "TIFF", {}),
        ("RGBA", "TIFF", {"compression": "tiff_lzw"}),
        ("RGB", "TIFF", {"big_tiff": True}),
        ("YCbCr", "TIFF", {}),
        ("RGBA", "WEBP", {"lossless": True}),
    ],
)
def test_an_embedded_profile_is_converted(mode, suffix, options):
    data = encode(red(mode), suffix, icc_profile=ADOBE, **options)
    picture = np.asarray(read_picture(data, background=(1, 2, 3)), int)
    assert np.abs(picture[:, 1:] - RED).max() <= 3
    assert np.abs(picture[:, 0] - ((1, 2, 3) if mode == "RGBA" else RED)).max() <= 3
    assert np.abs(np.asarray(read_picture(encode(red(mode), suffix, **options)))[0, 1]
                  - np.array(ADOBE_RED)).max() <= 3  # fmt: skip


def test_profiles_that_pillow_passes_over():
    gif = encode(red("P"), "GIF")
    start = 13 + 3 * 2 ** (gif[10] % 8 + 1)
    blocks = b"".join(
        bytes([len(part)]) + part for part in (ADOBE[:255], ADOBE[255:510], ADOBE[510:]) if part
    )
    gif = gif[:start] + b"\x21\xff\x0bICCRGBG1012" + blocks + b"\0" + gif[start:]
    assert np.abs(np.array(read_picture(gif).getpixel((1, 1))) - RED).max() <= 3

    pixels = encode(red("RGB"), "BMP")[54:]
    header = struct.pack("<IiiHHI20x16x4s48xIII4x", 124, 4, 4, 1, 24, 0, b"DEBM", 0, 124 + 48, 0)
    header = header[:116] + struct.pack("<II", len(ADOBE), 0)
    bmp = b"BM" + struct.pack("<I4xI", 186 + len(ADOBE), 138) + header + pixels + ADOBE
    assert np.abs(np.array(read_picture(bmp).getpixel((1, 1))) - RED).max() <= 3

    jp2 = encode(red("RGB"), "JPEG2000")
    at, outer = jp2.index(b"colr") - 4, jp2.index(b"jp2h") - 4
    size, whole = (struct.unpack_from(">I", jp2, place)[0] for place in (at, outer))
    box = struct.pack(">I", 11 + len(ADOBE)) + b"colr\2\0\0" + ADOBE
    jp2 = jp2[:at] + box + jp2[at + size :]
    jp2 = jp2[:outer] + struct.pack(">I", whole - size + len(box)) + jp2[outer + 4 :]
    assert np.abs(np.array(read_picture(jp2).getpixel((1, 1))) - RED).max() <= 3


def test_greys_take_a_grey_profile():
    light = np.arange(256) / 255
    expected = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055) * 255
    wide = Image.fromarray((np.arange(256) * 257).astype(np.uint16)[None])
    for image in (RAMP, RAMP.convert("LA"), wide):
        for suffix in ("PNG", "TIFF"):
            picture = read_picture(encode(image, suffix, icc_profile=GREY))
            assert np.abs(np.asarray(picture)[0] - expected[:, None]).max() <= 1


@pytest.mark.parametrize("suffix", ["TIFF", "JPEG"])
def test_inks_take_an_ink_profile(suffix):
    red_ink = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    plain = read_picture(encode(red_ink, suffix)).getpixel((5, 5))
    assert np.abs(np.subtract(plain, (255, 0, 0))).max() <= 2
    converted = read_picture(encode(red_ink, suffix, icc_profile=ink())).getpixel((5, 5))
    assert np.abs(np.subtract(converted, (215, 29, 36))).max() <= 4
    for inks, expected in (((0, 0, 0, 0), 255), ((0, 0, 0, 255), 0)):
        image = encode(Image.new("CMYK", (16, 16), inks), suffix, icc_profile=ink())
        assert np.abs(np.subtract(read_picture(image).getpixel((5, 5)), expected)).max() <= 2


@pytest.mark.parametrize(
    "broken",
    [
        b"no profile", ADOBE[:200], bytes(600), GREY, ink(), ADOBE + bytes(17 * 2**20),
        ADOBE[:12] + b"link" + ADOBE[16:],
        profile(b"RGB ", {name: point(0, 0, 0) if name.endswith(b"XYZ") else curve(1) for name in (
            b"rXYZ", b"gXYZ", b"bXYZ", b"rTRC", b"gTRC", b"bTRC",
        )}),
    ],
    ids=["text", "cut", "zeros", "of greys", "of inks", "huge", "a link", "black"],
)  # fmt: skip
def test_a_broken_or_wrong_profile_counts_as_none(broken):
    assert read_picture(encode(red("RGB"), "PNG", icc_profile=broken)).getpixel((1, 1)) == ADOBE_RED


def test_profiles_of_srgb_change_no_pixel():
    from PIL import ImageCms

    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    picture = read_picture(encode(Image.fromarray(noise), "PNG", icc_profile=srgb))
    assert np.array_equal(np.asarray(picture), noise)
    again = io.BytesIO()
    picture.save(again, "PNG")
    assert b"iCCP" not in again.getvalue()


def gamma(value: int) -> bytes:
    return chunk(b"gAMA", struct.pack(">I", value))


def chromaticity(*values: int) -> bytes:
    return chunk(b"cHRM", struct.pack(">8I", *values))


P3, SRGB = chunk(b"cICP", bytes((12, 13, 0, 1))), chunk(b"cICP", bytes((1, 13, 0, 1)))
PROFILED = encode(red("RGB"), "PNG", icc_profile=ADOBE)


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        ([gamma(45455)], ADOBE_RED),
        ([gamma(100_000)], (213, 103, 103)),
        ([gamma(100_000), chunk(b"sRGB", b"\0")], ADOBE_RED),
        ([gamma(45455), chromaticity(*ADOBE_CHROMATICITY)], RED),
        ([chromaticity(*ADOBE_CHROMATICITY)], (198, 35, 35)),
        ([P3], (188, 0, 24)),
        ([P3, gamma(100_000), chunk(b"sRGB", b"\0")], (188, 0, 24)),
        ([SRGB, gamma(100_000)], ADOBE_RED),
        ([chunk(b"cICP", bytes((9, 16, 0, 1))), gamma(45455)], ADOBE_RED),
        ([gamma(0)], ADOBE_RED),
        ([gamma(2**32 - 1)], ADOBE_RED),
        ([chromaticity(*[0] * 8)], ADOBE_RED),
        ([chromaticity(*[2**32 - 1] * 8)], ADOBE_RED),
        ([chromaticity(31270, 32900, *[64000, 33000] * 3)], ADOBE_RED),
    ],
)  # fmt: skip
def test_chunks_of_a_png_that_say_what_a_colour_is(chunks, expected):
    for mode in ("RGB", "RGBA", "P"):
        picture = read_picture(with_chunks(encode(red(mode), "PNG"), *chunks))
        assert np.abs(np.subtract(picture.getpixel((1, 1)), expected)).max() <= 3
    embedded = read_picture(with_chunks(PROFILED, gamma(100_000))).getpixel((1, 1))
    assert np.abs(np.subtract(embedded, RED)).max() <= 3


@pytest.mark.parametrize("mode", ["L", "LA"])
def test_gamma_of_greys(mode):
    picture = read_picture(with_chunks(encode(RAMP.convert(mode), "PNG"), gamma(100_000)))
    assert [picture.getpixel((place, 0))[0] for place in (0, 55, 128, 255)] == [0, 128, 188, 255]


def test_lab_needs_no_profile():
    lab = Image.merge("LAB", [Image.new("L", (4, 4), value) for value in (120, 196, 176)])
    for options in ({}, {"icc_profile": ADOBE}):
        picture = read_picture(encode(lab, "TIFF", **options)).getpixel((1, 1))
        assert np.abs(np.subtract(picture, (215, 29, 36))).max() <= 4
