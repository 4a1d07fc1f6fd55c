import contextlib
import struct
import warnings

import numpy as np
import pytest
from PIL import Image

from tests.picture_bytes import chunk, encode, png
from utils.common.pictures import (
    UnreadablePicture,
    background_colour,
    fit_square,
    is_picture_signature,
    read_picture,
)

RED, GREEN, BLUE, WHITE, BLACK = (
    (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0),
)  # fmt: skip


def pixels(data: bytes, **options) -> list[tuple[int, int, int]]:
    image = read_picture(data, **options)
    assert image.mode == "RGB"
    return [tuple(pixel) for pixel in np.asarray(image).reshape(-1, 3).tolist()]


def test_hidden_black_under_alpha_comes_out_as_the_background():
    image = Image.fromarray(np.array([[[0, 0, 0, 0], [255, 0, 0, 255], [0, 0, 0, 128]]], np.uint8))
    data = encode(image, "PNG")
    assert pixels(data) == [WHITE, RED, (127, 127, 127)]
    assert pixels(data, background=BLUE) == [BLUE, RED, (0, 0, 127)]


def test_transparency_of_every_kind():
    grey = Image.fromarray(np.array([[[0, 0], [40, 255]]], np.uint8))
    assert grey.mode == "LA"
    assert pixels(encode(grey, "PNG")) == [WHITE, (40, 40, 40)]
    assert pixels(encode(grey, "TIFF")) == [WHITE, (40, 40, 40)]

    palette = Image.new("P", (3, 1))
    palette.putpalette([*BLACK, *RED, *GREEN])
    palette.putdata([0, 1, 2])
    assert pixels(encode(palette, "PNG", transparency=0)) == [WHITE, RED, GREEN]
    assert pixels(encode(palette, "GIF", transparency=1)) == [BLACK, WHITE, GREEN]
    half = encode(palette, "PNG", transparency=bytes([0, 255, 128]))
    assert pixels(half) == [WHITE, RED, (127, 255, 127)]

    rgb = Image.fromarray(np.array([[BLACK, RED]], np.uint8))
    assert pixels(encode(rgb, "PNG", transparency=BLACK)) == [WHITE, RED]
    assert pixels(encode(rgb.convert("L"), "PNG", transparency=0)) == [WHITE, (76, 76, 76)]
    bilevel = rgb.convert("L").point([0, *[255] * 255]).convert("1")
    assert pixels(encode(bilevel, "PNG", transparency=0)) == [WHITE, WHITE]


def test_transparent_colour_of_png_depths_that_pillow_rescales():
    def key(*samples: int) -> bytes:
        return chunk(b"tRNS", struct.pack(f">{len(samples)}H", *samples))

    # Greys of 4 bits: 3 is transparent, 15 is white, 0 is black.
    assert pixels(png(4, 1, 4, 0, b"\0\x30\x3f", key(3))) == [WHITE, BLACK, WHITE, WHITE]
    assert pixels(png(4, 1, 4, 0, b"\0\x30\x3f", key(15)))[0] == (51, 51, 51)
    assert pixels(png(4, 1, 2, 0, b"\0\x1b", key(1))) == [BLACK, WHITE, (170,) * 3, WHITE]
    # Colours of 16 bits, of which Pillow keeps the upper 8.
    row = b"\0" + struct.pack(">6H", 0x1234, 0, 0, 0xFFFF, 0, 0)
    assert pixels(png(2, 1, 16, 2, row, key(0x1234, 0, 0))) == [WHITE, RED]


def test_cmyk_is_converted():
    red = encode(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG", quality=100)
    assert np.abs(np.array(pixels(red)) - RED).max() <= 3


def test_exif_orientation_is_applied():
    image = Image.fromarray(np.array([[RED, GREEN, BLUE]], np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6  # turn a quarter clockwise: left to right becomes top to bottom
    turned = read_picture(encode(image, "PNG", exif=exif))
    assert turned.size == (1, 3)
    assert turned.getpixel((0, 0)) == RED
    exif[0x0112] = 3
    assert pixels(encode(image, "PNG", exif=exif)) == [BLUE, GREEN, RED]


def test_broken_exif_is_tolerated():
    image = Image.new("RGB", (16, 8), RED)
    nonsense = encode(image, "PNG", exif=b"Exif\0\0nonsense nonsense")
    assert read_picture(nonsense).size == (16, 8)
    # A sound orientation (6) next to a tag that Pillow can read and not write.
    tags = struct.pack(">HHHIHHHHI4s", 2, 0x0112, 3, 1, 6, 0, 0xA005, 1, 1, b"\0\1\0\0")
    half_broken = encode(image, "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08" + tags + bytes(4))
    assert read_picture(half_broken).size == (8, 16)


@pytest.mark.parametrize("suffix", ["GIF", "PNG", "WEBP"])
def test_first_frame_of_an_animation(suffix):
    first, second = Image.new("RGB", (16, 16), RED), Image.new("RGB", (16, 16), BLUE)
    options = {"lossless": True} if suffix == "WEBP" else {}
    data = encode(first, suffix, save_all=True, append_images=[second], **options)
    assert set(pixels(data)) == {RED}


def small_gif(*, greys: bool = False) -> bytes:
    """A canvas of 4 x 4 whose first frame is one red (or dark) pixel at (2, 1)."""
    palette = bytes((0, 0, 0, 1, 1, 1)) if greys else bytes((9, 9, 9, *RED))
    frame = struct.pack("<4HB", 2, 1, 1, 1, 0) + b"\2\2\x4c\1\0"
    return b"GIF89a" + struct.pack("<2H3B", 4, 4, 0x80, 0, 0) + palette + b"," + frame + b";"


def small_apng() -> bytes:
    frame = chunk(b"fcTL", struct.pack(">5I2H2B", 0, 1, 1, 2, 1, 1, 10, 0, 0))
    animation = chunk(b"acTL", struct.pack(">2I", 2, 0))
    return png(4, 4, 8, 2, b"\0" + bytes(RED), animation, frame)


def small_webp(flags: int) -> bytes:
    frame = bytes((1, 0, 0, 0)) + bytes(11) + b"\0"
    frame += encode(Image.new("RGB", (1, 1), RED), "WEBP", lossless=True)[12:]
    head = struct.pack("<4sIB3x", b"VP8X", 10, flags) + bytes((3, 0, 0, 3, 0, 0))
    animation = struct.pack("<4sI6x", b"ANIM", 6) + struct.pack("<4sI", b"ANMF", len(frame)) + frame
    return (
        struct.pack("<4sI4s", b"RIFF", 4 + len(head) + len(animation), b"WEBP") + head + animation
    )


@pytest.mark.parametrize(
    ("data", "place", "colour"),
    [
        (small_gif(), (2, 1), RED),
        (small_gif(greys=True), (2, 1), (1, 1, 1)),
        (small_apng(), (2, 1), RED),
        (small_webp(0x02), (2, 0), RED),
        (small_webp(0x12), (2, 0), RED),
    ],
    ids=["GIF", "GIF of greys", "APNG", "WebP", "WebP with alpha"],
)
def test_around_a_small_first_frame_is_the_background(data, place, colour):
    picture = read_picture(data, background=BLUE)
    assert picture.getpixel(place) == colour
    assert sorted(picture.getcolors()) == [(1, colour), (15, BLUE)]


def test_format_comes_from_the_bytes_and_a_path_will_do(tmp_path):
    path = tmp_path / "picture.jpg"
    path.write_bytes(encode(Image.new("RGB", (2, 2), GREEN), "PNG"))
    assert read_picture(path).getpixel((0, 0)) == GREEN
    assert read_picture(str(path)).getpixel((0, 0)) == GREEN


def noise_picture() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))


BOMB = png(50_000, 50_000, 8, 2, b"\0")
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n"
CUT = "^broken picture: cut short, as after a broken download$"
UNREADABLE = {
    "zero bytes": (b"", "^an empty file$"),
    "text": (b"no picture at all\n" * 9, "^a text file$"),
    "unknown": (b"\x01\x02\x03" * 9, "^no picture, or one of an unknown format"),
    "zeros": (bytes(999), "^nothing but zeros, as after a broken download$"),
    "pointer": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
        '^a Git LFS pointer instead of the file; run "git lfs pull"$',
    ),
    "web page": (b"\n<!DOCTYPE html><svg>", r"^a web page \(HTML\) instead of the file$"),
    "old web page": (b'<?xml version="1.0"?><html \xff>', r"^a web page \(HTML\)"),
    "heic": (b"\0\0\0\x18ftypmif1\0\0\0\0heic", "^a HEIC picture, which is not read; save it as"),
    "jpeg xl": (b"\xff\x0a\x12\x34", "^a JPEG XL picture"),
    "video": (b"\0\0\0\x18ftypisom\0\0\0\0mp42", "^an MP4 video$"),
    "webm": (b"\x1a\x45\xdf\xa3webm", "^a WebM or Matroska video$"),
    "pdf": (b"%PDF-1.7\n\xff", "^a PDF document$"),
    "tar": (bytes(257) + b"ustar\x0000", "^a tar archive$"),
    "svg": (b'<?xml version="1.0"?>\n<svg width="9"></svg>', "^an SVG drawing, not a picture"),
    "postscript": (EPS, "^a PostScript document$"),
    "cut png": (encode(noise_picture(), "PNG")[:4000], CUT),
    "cut jpeg": (encode(noise_picture(), "JPEG")[:1500], CUT),
    "cut gif": (encode(noise_picture(), "GIF")[:2000], CUT),
    "cut webp": (encode(noise_picture(), "WEBP")[:500], CUT),
    "header only": (encode(noise_picture(), "PNG")[:20], "^(no|broken) picture"),
    "huge header": (BOMB, "^too many pixels$"),
    "large header": (png(9_000, 9_000, 8, 2, b"\0"), "^9000 x 9000 pixels, more than 64,000,000$"),
    "no width": (png(0, 9, 8, 2, b"\0"), "^(no|broken) picture"),
    "short tRNS": (png(1, 1, 8, 2, b"\0abc", chunk(b"tRNS", b"\0")), "^broken picture: "),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_hostile_bytes_give_a_reason(name, tmp_path):
    data, reason = UNREADABLE[name]
    with pytest.raises(UnreadablePicture, match=reason) as from_bytes:
        read_picture(data)
    path = tmp_path / "hostile.png"
    path.write_bytes(data)
    with pytest.raises(UnreadablePicture, match=reason) as from_path:
        read_picture(path)
    assert str(from_bytes.value) == str(from_path.value)
    assert "hostile" not in str(from_path.value)
    assert "\n" not in str(from_path.value)


def test_an_avif_that_this_pillow_cannot_read_is_called_one(monkeypatch):
    monkeypatch.delitem(Image.OPEN, "AVIF", raising=False)
    with pytest.raises(UnreadablePicture, match=r"^an AVIF picture, which this Pillow cannot read"):
        read_picture(b"\0\0\0\x14ftypmif1\0\0\0\0avif")


def test_damaged_bytes_raise_nothing_else():
    generator = np.random.default_rng(1)
    picture = noise_picture().resize((24, 24))
    for suffix in ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "PPM", "ICO"):
        original = np.frombuffer(encode(picture, suffix), np.uint8)
        for _ in range(40):
            damaged = original.copy()
            places = generator.integers(0, min(300, len(damaged)), 6)
            damaged[places] = generator.integers(0, 256, 6)
            with contextlib.suppress(UnreadablePicture):
                assert read_picture(damaged.tobytes(), max_pixels=10_000).mode == "RGB"


def test_sizes_are_refused_before_decoding(monkeypatch):
    data = encode(Image.new("RGB", (10, 10)), "PNG")
    assert read_picture(data, max_pixels=100).size == (10, 10)
    with pytest.raises(UnreadablePicture, match=r"^10 x 10 pixels, more than 99$"):
        read_picture(data, max_pixels=99)
    monkeypatch.setattr("utils.common.pictures.MAX_FILE_BYTES", 2**20)
    with pytest.raises(UnreadablePicture, match=r"^more than 1 MB$"):
        read_picture(data + bytes(2**20))


def test_pillow_is_left_as_it_was():
    from PIL import ImageFile

    before = Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # the size that Pillow only warns of is silent here
        with pytest.raises(UnreadablePicture, match=r"^10000 x 10000 pixels"):
            read_picture(png(10_000, 10_000, 8, 2, b"\0"))
    assert before == (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES)


def test_paths_that_are_no_files(tmp_path):
    with pytest.raises(UnreadablePicture, match=r"^No such file or directory$"):
        read_picture(tmp_path / "absent.png")
    with pytest.raises(UnreadablePicture, match=r"^not a file$"):
        read_picture(tmp_path)
    with pytest.raises(UnreadablePicture, match="null"):
        read_picture("a\0b.png")


def test_first_bytes_promise_a_picture():
    for suffix in ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF"):
        assert is_picture_signature(encode(noise_picture(), suffix)[:12]), suffix
    for head in (b"BMW or RIFF.", b"", b"\0\0\0\x18ftypisom"):
        assert not is_picture_signature(head)


def test_background_colour_is_that_of_the_border():
    image = np.full((9, 9, 3), (10, 200, 30), np.uint8)
    image[1:8, 1:8] = 255
    image[0, :4] = 0
    assert background_colour(Image.fromarray(image)) == (10, 200, 30)


def test_fit_square_pads_with_the_background_and_centres():
    picture = Image.new("RGB", (40, 20), BLUE)
    picture.paste(RED, (10, 5, 30, 15))
    square = np.asarray(fit_square(picture, 80))
    assert square.shape == (80, 80, 3)
    assert (square[:20] == BLUE).all()
    assert (square[60:] == BLUE).all()
    assert np.abs(square[34:46, 26:54].astype(int) - RED).max() <= 4  # the filter rings a little
    padded = np.asarray(fit_square(picture, 32, colour=GREEN))
    assert (padded[:8] == GREEN).all()
    assert (padded[8] != GREEN).any()


def test_fit_square_leaves_a_square_of_the_right_size_alone():
    picture = noise_picture()
    assert np.array_equal(np.asarray(fit_square(picture, 64)), np.asarray(picture))


@pytest.mark.parametrize("size", [(1, 50_000), (50_000, 1), (1, 1), (3, 2)])
def test_fit_square_of_any_shape(size):
    square = fit_square(Image.new("RGB", size, RED), 32)
    assert square.size == (32, 32)
    assert square.getcolors() == [(32 * 32, RED)]
