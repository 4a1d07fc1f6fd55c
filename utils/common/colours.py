"""Colours as the picture's maker saw them: profiles, gamma and primaries, converted to sRGB."""

from __future__ import annotations

import hashlib
import io
import struct
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageCms

from utils.common.metadata import MAX_PROFILE_BYTES, Said

SPACES = {"L": "GRAY", "RGB": "RGB", "CMYK": "CMYK"}  # of profiles, by mode
CLASSES = ("mntr", "scnr", "prtr", "spac")  # a link or a list of named colours is no space
KEPT = 64  # transforms at a time

D50 = (0.9642, 1.0, 0.8249)
BRADFORD = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)
SRGB_CHROMATICITY = (0.3127, 0.329, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06)
# Of cICP chunks (ITU-T H.273): white, red, green and blue as x and y; gamma, None for sRGB's curve.
PRIMARIES = {
    1: SRGB_CHROMATICITY,
    9: (0.3127, 0.329, 0.708, 0.292, 0.17, 0.797, 0.131, 0.046),  # BT.2020
    12: (0.3127, 0.329, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06),  # Display P3
}
TRANSFERS = {1: None, 4: 1 / 2.2, 5: 1 / 2.8, 6: None, 8: 1.0, 13: None, 14: None, 15: None}

Transform = Callable[[Image.Image], Image.Image]
_transforms: dict[bytes, Transform | None] = {}


def to_srgb(image: Image.Image, said: Said) -> Image.Image:
    """An 8-bit picture without alpha as sRGB, mode RGB.

    A profile of another colour space than the picture's, a broken one and one of more than 16 MB
    count as none: the plain conversion.

    Args:
        image: the picture.
        said: what its file says of colours.
    """
    profile = _profile(said) if image.mode != "LAB" else b""
    if image.mode not in SPACES or profile is not said.get("icc_profile"):
        image = in_mode(image, "RGB")
    transform = _transform(profile, image.mode) if profile else None
    return transform(image) if transform else in_mode(image, "RGB")


def in_mode(image: Image.Image, mode: str) -> Image.Image:
    """The picture in a mode, not copied where it is in it already."""
    return image if image.mode == mode else image.convert(mode)


def _profile(said: Said) -> bytes:
    """The profile that is embedded, or made of what else is said; none for sRGB.

    In the order of the PNG specification: cICP, iCCP, sRGB, then cHRM and gAMA.
    """
    primaries, transfer, *rest = said.get("cicp", (0, 0))
    if primaries in PRIMARIES and transfer in TRANSFERS and rest == [0, 1]:
        return _made(PRIMARIES[primaries], TRANSFERS[transfer])
    if "icc_profile" in said or "srgb" in said:
        found = said.get("icc_profile")
        return found if isinstance(found, bytes) and len(found) <= MAX_PROFILE_BYTES else b""
    chromaticity, gamma = said.get("chromaticity", SRGB_CHROMATICITY), said.get("gamma")
    if gamma is not None and not 0.1 < gamma < 10:
        gamma = None
    if gamma and abs(gamma * 2.2 - 1) < 0.02 and _is_srgb(chromaticity):
        gamma = None  # what sRGB's curve is called in a gAMA chunk
    return _made(chromaticity, gamma)


def _is_srgb(chromaticity: tuple[float, ...]) -> bool:
    pairs = zip(chromaticity, SRGB_CHROMATICITY, strict=False)
    return all(abs(value - ours) <= 0.001 for value, ours in pairs)


def _transform(profile: bytes, mode: str) -> Transform | None:
    """What converts pixels to sRGB; None where they are sRGB already, or nothing is known."""
    key = hashlib.sha256(profile).digest() + mode.encode()
    if key not in _transforms:
        if len(_transforms) >= KEPT:
            _transforms.clear()
        try:
            _transforms[key] = _new_transform(profile, mode)
        except Exception:  # LittleCMS raises much, and Pillow may be built without it
            _transforms[key] = None
    return _transforms[key]


def _new_transform(profile: bytes, mode: str) -> Transform | None:
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    found = source.profile
    if found.xcolor_space.strip() != SPACES[mode] or found.device_class not in CLASSES:
        return None
    flags = ImageCms.Flags.BLACKPOINTCOMPENSATION
    if mode == "L":
        flags |= ImageCms.Flags.NOOPTIMIZE  # which is up to 10 of 255 off in the dark
    transform = ImageCms.ImageCmsTransform(
        source, ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")), mode, "RGB", flags=flags
    )
    white = Image.new(mode, (1, 1), 0 if mode == "CMYK" else "white")
    if min(transform.apply(white).getpixel((0, 0))) < 128:
        return None  # no profile of anything
    if mode == "CMYK":
        return transform.apply
    levels = np.arange(256, dtype=np.uint8)[:: 1 if mode == "L" else 15]
    if mode == "RGB":
        levels = np.stack(np.meshgrid(levels, levels, levels), -1).reshape(-1, len(levels), 3)
    plain = Image.fromarray(np.atleast_2d(levels))
    converted = np.asarray(transform.apply(plain), int)
    if np.abs(converted - np.asarray(plain.convert("RGB"))).max() <= 2:
        return None
    if mode == "RGB":
        return transform.apply
    table = converted[0, :, 1].tolist()
    return lambda image: image.point(table).convert("RGB")


def _made(chromaticity: tuple[float, ...], gamma: float | None) -> bytes:
    """A profile of these primaries and this gamma (None for sRGB's curve); none for sRGB itself."""
    if gamma is None and _is_srgb(chromaticity):
        return b""
    points = np.array(chromaticity, float).reshape(4, 2)
    if not (points[:, 1] > 0.001).all():
        return b""
    white, *primaries = np.column_stack([points, 1 - points.sum(1)]) / points[:, 1:]
    matrix = np.array(primaries).T
    try:
        matrix = matrix * np.linalg.solve(matrix, white)
    except np.linalg.LinAlgError:
        return b""
    cones = (BRADFORD @ D50) / (BRADFORD @ white)
    matrix = np.linalg.inv(BRADFORD) @ (cones[:, None] * (BRADFORD @ matrix))
    if not np.isfinite(matrix).all() or np.abs(matrix).max() > 100:
        return b""
    value = np.linspace(0, 1, 4096)
    if gamma is None:
        light = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    else:
        light = value ** (1 / gamma)
    curve = b"curv" + struct.pack(">4xI", len(light))
    curve += np.rint(light * 65535).astype(">u2").tobytes()
    colours = [
        b"XYZ " + bytes(4) + np.rint(column * 65536).astype(">i4").tobytes() for column in matrix.T
    ]
    start = 132 + 6 * 12
    places = [start, start + 20, start + 40, *3 * [start + 60]]
    table = b"".join(
        struct.pack(">4sII", name, place, size)
        for name, place, size in zip(
            (b"rXYZ", b"gXYZ", b"bXYZ", b"rTRC", b"gTRC", b"bTRC"),
            places, [20, 20, 20, *3 * [len(curve)]], strict=True,
        )
    )  # fmt: skip
    body = struct.pack(">I", 6) + table + b"".join(colours) + curve
    header = struct.pack(">I4xI4s4s4s12x4s28x", 128 + len(body), 0x02400000, b"mntr", b"RGB ",
                         b"XYZ ", b"acsp")  # fmt: skip
    header += np.rint(np.array(D50) * 65536).astype(">i4").tobytes()
    return header.ljust(128, b"\0") + body
