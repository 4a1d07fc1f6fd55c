"""Names of files and folders, made from what other people wrote."""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from urllib.parse import unquote, urlsplit

UNRECOGNISED = "unrecognised"
# What a collection itself has in its folder.
TAKEN = (UNRECOGNISED, "manifest.jsonl", "rejected.jsonl", "failed.jsonl")
MAX_NAME_BYTES = 120
# The suffixes that fit a format; the first is given to files that have none of them.
SUFFIXES = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "MPO": (".jpg", ".jpeg", ".mpo"),
    "PNG": (".png",),
    "GIF": (".gif",),
    "WEBP": (".webp",),
    "BMP": (".bmp",),
    "DIB": (".bmp",),
    "TIFF": (".tif", ".tiff"),
    "AVIF": (".avif",),
    "PPM": (".ppm", ".pgm", ".pbm"),
    "JPEG2000": (".jp2",),
    "PSD": (".psd",),
    "ICO": (".ico",),
}
# Names that Windows keeps for devices.
DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)


def plain_name(text: str) -> str:
    """A name for a file or folder, on any system: letters, digits and ``+-_.()~``, not empty.

    Nothing that climbs out of a folder, hides or names a device is left of it.
    """
    text = unicodedata.normalize("NFC", text)
    text = re.sub(r"[^\w+.()~-]+", "_", text).strip("_").lstrip(".-~").rstrip(".")
    encoded = text.encode("utf-8", "ignore")
    if len(encoded) > MAX_NAME_BYTES:
        stem, suffix = os.path.splitext(text)
        suffix = suffix if len(suffix) <= 6 else ""
        room = MAX_NAME_BYTES - len(suffix.encode()) - 7
        cut = stem.encode("utf-8", "ignore")[:room].decode("utf-8", "ignore")
        text = f"{cut}-{hashlib.sha256(encoded).hexdigest()[:6]}{suffix}"
    else:
        text = encoded.decode()
    return f"_{text}" if not text or DEVICES.match(text) else text


def folder_name(show: str) -> str:
    """The folder of a show, none that the collection needs itself."""
    name = plain_name(show)
    return f"_{name}" if name.casefold() in TAKEN else name


def picture_name(address: str, picture_format: str) -> str:
    """The file name of a picture: that of its address, with a suffix that fits what it is.

    Some addresses go on after the name, as those of wikis do (``x.png/revision/latest``): the last
    part with a suffix of a picture counts.
    """
    parts = [unquote(part) for part in urlsplit(address).path.split("/") if part]
    # A slash that was written as %2F is still one.
    parts = [re.split(r"[/\\]", part)[-1] for part in parts] or ["picture"]
    known = {suffix for suffixes in SUFFIXES.values() for suffix in suffixes}
    named = [part for part in parts if os.path.splitext(part)[1].lower() in known]
    name = plain_name((named or parts)[-1])
    stem, suffix = os.path.splitext(name)
    fitting = SUFFIXES.get(picture_format, (f".{picture_format.lower()}",))
    if suffix.lower() in fitting:
        return name
    return (stem if suffix.lower() in known else name) + fitting[0]
