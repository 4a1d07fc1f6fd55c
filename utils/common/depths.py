"""Pictures of wide or odd samples with 8 bits a channel."""

from __future__ import annotations

import numpy as np
from PIL import Image

from utils.common.metadata import Said

RANGES = (255, 1023, 4095, 16383, 65535)  # of 8, 10, 12, 14 and 16 bits
HIGHEST_UNIT = 8.0  # floats below it are of the range 0 to 1, with highlights
OVERSHOOT = 1.25

MIN_IS_WHITE = 0


def eight_bits(image: Image.Image, said: Said) -> Image.Image:
    """The picture with 8 bits a channel, scaled; Pillow would clip wider ones to white.

    White is the end of the range that the file declares, or else of the smallest usual range that
    holds the picture; docs/preparing.md has the rule. NaN and negative samples are black.

    Args:
        image: a loaded picture of any mode; only modes F and I… are changed.
        said: what its file says.
    """
    if image.mode != "F" and not image.mode.startswith("I"):
        return image
    values = np.asarray(image)
    transparent = image.info.get("transparency")
    opaque = values != transparent if isinstance(transparent, int) else None
    tags = getattr(image, "tag_v2", {})
    if image.mode == "I" and tags.get(258) == (32,) and tags.get(339, (1,)) == (1,):
        values = values.view(np.uint32)  # which Pillow has read as signed
    values = values.astype(np.float32)
    finite = values[np.isfinite(values)]
    peak = float(finite.max()) if finite.size else 0.0
    white = _declared_white(image, said, peak) or _usual_white(image.mode == "F", peak)
    scaled = np.clip(np.nan_to_num(values, posinf=np.inf, neginf=-np.inf) / white, 0, 1)
    if tags.get(262) == MIN_IS_WHITE:
        scaled = 1 - scaled
    grey = Image.fromarray(np.rint(scaled * 255).astype(np.uint8))
    if opaque is not None:
        grey.putalpha(Image.fromarray(np.where(opaque, np.uint8(255), np.uint8(0))))
    return grey


def _declared_white(image: Image.Image, said: Said, peak: float) -> float | None:
    """The end of the range that the file declares; None where there is none, or more is used."""
    if image.format != "TIFF":
        # Pillow scales PGM and JPEG 2000 to 16 bits. A PNG is scaled already, or says how few
        # of its bits are used.
        bits = said.get("sbit", (16,))[0]
        return 2**bits - 1 if 0 < bits < 16 and peak < 2**bits else 65535
    bits = image.tag_v2.get(258, (1,))[0]
    if bits < 16:
        return 2**bits - 1
    for tag in (341, 281):  # SMaxSampleValue, MaxSampleValue
        found = image.tag_v2.get(tag)
        value = found[0] if isinstance(found, tuple) and found else found
        if isinstance(value, int | float) and 0 < peak <= value * OVERSHOOT < np.inf:
            return float(value) if image.mode == "F" else 2 ** int(value).bit_length() - 1
    return None


def _usual_white(is_float: bool, peak: float) -> float:
    if is_float and peak < HIGHEST_UNIT:
        return 1.0
    tolerance = OVERSHOOT if is_float else 1.0
    return next((top for top in RANGES if peak <= top * tolerance), peak)


def transparent_sample(sample: object, raw_mode: object) -> object:
    """The transparent colour of a PNG in the range of the decoded pixels.

    Pillow gives the number in the file, but scales 2- and 4-bit greys to 8 bits and cuts 16-bit
    colours to 8.
    """
    if isinstance(sample, int) and raw_mode in ("L;2", "L;4"):
        return sample * {"L;2": 85, "L;4": 17}[raw_mode]
    if isinstance(sample, tuple) and raw_mode == "RGB;16B":
        return tuple(channel >> 8 for channel in sample)
    return sample
