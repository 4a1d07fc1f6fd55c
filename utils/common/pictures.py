"""One picture from anywhere: read it safely, find its figure, fit it into a square."""

from __future__ import annotations

import io
import logging
import stat
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageColor

from utils.common.colours import in_mode, to_srgb
from utils.common.depths import eight_bits, transparent_sample
from utils.common.errors import UserError, printable
from utils.common.kinds import why_unreadable
from utils.common.metadata import orientation, separate

Colour = tuple[int, int, int]

WHITE: Colour = (255, 255, 255)

# The usual formats of collections, and nothing else that Pillow would try: EPS starts Ghostscript
# on a program hidden in the file, WMF, HDF5, GRIB and BUFR are stubs for code of other people, TGA
# has no signature (so any file may pass for one), and each of the others is one more decoder within
# reach of hostile bytes.
FORMATS = (
    "PNG", "JPEG", "GIF", "WEBP", "BMP", "DIB", "TIFF", "PPM", "PSD", "ICO", "AVIF", "JPEG2000",
)  # fmt: skip

# Suffixes of pictures, some of them of formats that cannot be read: such a file is reported, not
# passed over.
SUFFIXES = (
    ".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".gif", ".webp", ".avif", ".bmp",
    ".dib", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm", ".psd", ".ico", ".jp2", ".j2k",
    ".jpx", ".jxl", ".heic", ".heif", ".tga", ".svg",
)  # fmt: skip

# The first bytes of the common formats, for pictures whose suffix says nothing.
SIGNATURES = (
    b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a",
    b"II*\0", b"MM\0*", b"8BPS", b"\0\0\0\x0cjP  \r\n\x87\n",
)  # fmt: skip

# By EXIF orientation, what turns the picture upright.
ORIENTATIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

MAX_FILE_BYTES = 256 * 2**20
MAX_PIXELS = 64_000_000
"""The default limit on a picture."""


# Pillow logs errors of pictures, which Python prints where nobody listens.
logging.getLogger("PIL").addHandler(logging.NullHandler())


class UnreadablePicture(Exception):  # noqa: N818 - it names what was found, like KeyboardInterrupt
    """Not a picture that can be read; the message is the reason in one line, without path."""


def is_picture_signature(head: bytes) -> bool:
    """Whether the first 12 bytes of a file are those of a common format."""
    is_webp = head.startswith(b"RIFF") and head.endswith(b"WEBP")
    is_avif = head[4:] in (b"ftypavif", b"ftypavis")
    is_bmp = head.startswith(b"BM") and head[6:10] == bytes(4)
    return is_webp or is_avif or is_bmp or head.startswith(SIGNATURES)


def read_picture(
    source: str | Path | bytes, background: Colour | None = WHITE, max_pixels: int = MAX_PIXELS
) -> Image.Image:
    """A picture as 8-bit RGB, or RGBA.

    The bytes decide the format, not the suffix. Colours are converted to sRGB, wide greys are
    scaled to 8 bits, what is transparent or outside a small first frame becomes ``background``,
    the EXIF orientation is applied, and an animation gives its first frame. Other metadata counts
    for nothing, whether it is long or broken. The result's ``format`` is the file's, and its
    ``info`` says under ``"transparent"`` whether some of it is.

    Args:
        source: a path, or the bytes of the file.
        background: the colour under transparent pixels; None keeps them, in RGBA.
        max_pixels: a picture of more pixels (width x height) is refused before it is decoded.

    Raises:
        UnreadablePicture: no file, no picture, a broken one, or one that is too large.
    """
    data = source if isinstance(source, bytes) else read_file(Path(source))
    if not data:
        raise UnreadablePicture("an empty file")
    if len(data) > MAX_FILE_BYTES:
        raise UnreadablePicture(f"more than {MAX_FILE_BYTES // 2**20} MB")
    try:
        with warnings.catch_warnings():
            # Pillow warns of odd metadata, and of sizes that `_decode` refuses.
            warnings.simplefilter("ignore")
            return _decode(data, background, max_pixels)
    except UnreadablePicture:
        raise
    except Exception as error:
        # Pillow's decoders raise nearly anything: OSError, SyntaxError, ValueError, struct.error,
        # EOFError, OverflowError, MemoryError, ZeroDivisionError, ...
        raise UnreadablePicture(_reason(error, data)) from error


def read_file(path: Path) -> bytes:
    """The bytes of a file; of one that is too large, one byte more than the limit.

    Raises:
        UnreadablePicture: no file, or one that cannot be read.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise UnreadablePicture("not a file")
        with open(path, "rb") as file:
            return file.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError, MemoryError) as error:
        raise UnreadablePicture(
            getattr(error, "strerror", None) or str(error) or type(error).__name__
        ) from error


def _reason(error: Exception, data: bytes) -> str:
    if isinstance(error, Image.DecompressionBombError):
        return "too many pixels"
    return why_unreadable(data, error)


def _decode(data: bytes, background: Colour | None, max_pixels: int) -> Image.Image:
    Image.init()
    formats = [name for name in FORMATS if name in Image.OPEN]  # not every Pillow has AVIF
    data, said = separate(data)
    with Image.open(io.BytesIO(data), formats=formats) as image:
        if image.width * image.height > max_pixels:
            raise UnreadablePicture(
                f"{image.width} x {image.height} pixels, more than {max_pixels:,}"
            )
        tile = image.tile[0] if image.format in ("PNG", "GIF") and image.tile else None
        image.load()
        said = {**image.info, **said}
        if tile and image.format == "PNG" and "transparency" in image.info:
            image.info["transparency"] = transparent_sample(image.info["transparency"], tile[3])
        colours, alpha = _split(eight_bits(image, said))
        colours = to_srgb(colours, said)
        if tile and tile[1] != (0, 0, *image.size):
            # The first frame is smaller than the canvas.
            shown = Image.new("L", image.size)
            shown.paste(alpha.crop(tile[1]) if alpha else 255, tile[1])
            alpha = shown
        picture = colours if background else colours.convert("RGBA")
        if alpha and background:
            picture = Image.new("RGB", colours.size, background)
            picture.paste(colours, mask=alpha)
        elif alpha:
            picture.putalpha(alpha)
        method = ORIENTATIONS.get(orientation(said)) if image.format != "TIFF" else None
        picture = picture if method is None else picture.transpose(method)
        picture = picture.copy() if picture is image else picture  # not the file's
        picture.format = image.format
        picture.info = {"transparent": bool(alpha) and alpha.getextrema()[0] < 255}
        return picture


def _split(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """The colours and the alpha of an 8-bit picture, None where there is none."""
    if not image.has_transparency_data:
        return image, None
    is_grey = image.mode in ("1", "L", "LA", "La")
    image = in_mode(image, "LA" if is_grey else "RGBA")
    return image.convert("L" if is_grey else "RGB"), image.getchannel("A")


def is_elongated(width: int, height: int) -> bool:
    """Whether a picture is a banner, which becomes a line in a square: over 5 times as long."""
    return max(width, height) > 5 * min(width, height)


def is_one_coloured(image: Image.Image, tolerance: int = 8) -> bool:
    """Whether a picture is nothing but its background, give or take what JPEG makes of it."""
    found = image.getextrema()
    extrema = found if len(image.getbands()) > 1 else (found,)
    return all(high - low <= tolerance for low, high in extrema)


def named_colour(option: str, name: str) -> Colour:
    """The colour of a name such as white, or of #rrggbb.

    Raises:
        UserError: there is none; names the option.
    """
    try:
        return ImageColor.getrgb(name)[:3]
    except ValueError as error:
        raise UserError(
            f"{option} {printable(name)}: expected a colour such as white or #f0f0f0"
        ) from error


def background_colour(image: Image.Image) -> tuple[int, ...]:
    """The median of the picture's border pixels, channel by channel: of RGB, or of RGBa."""
    width, height = image.size
    edges = (
        (0, 0, width, 1), (0, height - 1, width, height),
        (0, 0, 1, height), (width - 1, 0, width, height),
    )  # fmt: skip
    rows = [_pixels(image.crop(edge)) for edge in edges]
    border = np.concatenate([row.reshape(-1, row.shape[-1]) for row in rows])
    return tuple(int(channel) for channel in np.median(border, axis=0))


def _pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image if image.mode == "RGBa" else in_mode(image, "RGB"))


def figure_mask(pixels: np.ndarray, colour: tuple[int, ...], tolerance: int = 24) -> np.ndarray:
    """Where a picture, uint8 (H, W, C), differs from a colour in any channel, bool (H, W)."""
    different = np.zeros(pixels.shape[:2], bool)
    for channel, value in enumerate(colour):
        plane = pixels[..., channel]
        different |= plane < max(0, value - tolerance)
        different |= plane > min(255, value + tolerance)
    return different


def figure_box(
    image: Image.Image, colour: tuple[int, ...] | None = None
) -> tuple[int, int, int, int]:
    """The box (left, top, right, bottom) in pixels of all that differs from the background.

    Specks are left out: a row or column counts where at least 0.4 % of it, and two pixels, are
    figure. Without a figure, or without a background, it is the box of the whole picture.
    """
    pixels = _pixels(image)
    return box_of(figure_mask(pixels, background_colour(image) if colour is None else colour))


def box_of(figure: np.ndarray) -> tuple[int, int, int, int]:
    """`figure_box` of a mask of the figure, bool (H, W)."""
    edges = []
    for axis in (0, 1):
        enough = min(figure.shape[axis], max(2, 0.004 * figure.shape[axis]))
        found = np.flatnonzero(figure.sum(axis=axis) >= enough)
        edges.append((int(found[0]), int(found[-1]) + 1) if len(found) else None)
    if edges[0] is None or edges[1] is None:
        return 0, 0, *figure.shape[::-1]
    return edges[0][0], edges[1][0], edges[0][1], edges[1][1]


def fit_square(image: Image.Image, size: int, colour: tuple[int, ...] | None = None) -> Image.Image:
    """The whole picture, centred in a square of ``size`` x ``size`` pixels, as RGB (RGBa stays so).

    Nothing is cropped or stretched: the longer side becomes ``size`` and the rest is padded with
    ``colour``, by default the picture's `background_colour`. Small pictures are enlarged.
    """
    image = image if image.mode == "RGBa" else in_mode(image, "RGB")
    return place(image, (0, 0, *image.size), size, size, colour or background_colour(image))


def place(
    image: Image.Image,
    box: tuple[int, int, int, int],
    size: int,
    inner: int,
    colour: tuple[int, ...],
    resampling: str = "lanczos",
) -> Image.Image:
    """A part of a picture, centred in a square of ``size`` x ``size`` pixels of ``colour``.

    Args:
        image: the picture, RGB, or RGBa with premultiplied colours.
        box: (left, top, right, bottom) of the part, in pixels.
        size: side of the square.
        inner: what the longer side of the part becomes, at most ``size``.
        colour: of the padding.
        resampling: lanczos, bicubic, hamming or box.
    """
    # Resized before it is padded: a strip of 1 x 5000 pixels needs no canvas of 5000 x 5000.
    sides = box[2] - box[0], box[3] - box[1]
    width, height = (max(1, round(side * inner / max(sides))) for side in sides)
    if (width, height) != image.size or sides != image.size:
        method = Image.Resampling[resampling.upper()]
        if image.mode == "RGBa":
            image = _resized_rgba(image, (width, height), method, box)
        else:
            image = image.resize((width, height), method, box, reducing_gap=3.0)
    square = Image.new(image.mode, (size, size), colour)
    square.paste(image, ((size - width) // 2, (size - height) // 2))
    return square


def _resized_rgba(
    image: Image.Image,
    size: tuple[int, int],
    method: Image.Resampling,
    box: tuple[int, int, int, int],
) -> Image.Image:
    """A part of an RGBa picture in another size.

    Lanczos overshoots along edges. Were alpha clipped to 255 and premultiplied colours left as they
    are, opaque edges would have a rim of lighter colours.
    """
    planes = [plane.convert("F").resize(size, method, box) for plane in image.split()]
    *colours, alpha = (np.asarray(plane) for plane in planes)
    opaque = np.clip(alpha, 0, 255)
    fitting = [np.clip(each * (255 / np.maximum(alpha, 255)), 0, opaque) for each in colours]
    pixels = np.rint(np.stack([*fitting, opaque], axis=2)).astype(np.uint8)
    return Image.frombytes("RGBa", size, pixels.tobytes())
