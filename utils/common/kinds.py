"""What a file is by its first bytes, in words for a message that says why it is not taken."""

from __future__ import annotations

import codecs

HEAD_BYTES = 4096
"""How much of a file `kind_of` looks at."""

_OTHERWISE = "which is not read; save it as PNG or JPEG"
_PACKED = "which is not read; unpack it"

# Offset, bytes, words; the first that fits counts.
_SIGNATURES = (
    (0, b"version https://git-lfs", 'a Git LFS pointer instead of the file; run "git lfs pull"'),
    (0, b"version https://hawser", 'a Git LFS pointer instead of the file; run "git lfs pull"'),
    (0, b"\xff\x0a", f"a JPEG XL picture, {_OTHERWISE}"),
    (0, b"\0\0\0\x0cJXL \r\n\x87\n", f"a JPEG XL picture, {_OTHERWISE}"),
    (0, b"8BPS\0\x02", f"a large Photoshop document, {_OTHERWISE}"),
    (0, b"gimp xcf", f"a GIMP picture, {_OTHERWISE}"),
    (0, b"\x76\x2f\x31\x01", f"an OpenEXR picture, {_OTHERWISE}"),
    (0, b"#?RADIANCE", f"a Radiance HDR picture, {_OTHERWISE}"),
    (0, b"DDS ", f"a DDS texture, {_OTHERWISE}"),
    (0, b"qoif", f"a QOI picture, {_OTHERWISE}"),
    (0, b"FLIF", f"a FLIF picture, {_OTHERWISE}"),
    (0, b"BPG\xfb", f"a BPG picture, {_OTHERWISE}"),
    (0, b"AT&TFORM", f"a DjVu document, {_OTHERWISE}"),
    (0, b"icns", f"an Apple icon, {_OTHERWISE}"),
    (0, b"II\xbc\x01", f"a JPEG XR picture, {_OTHERWISE}"),
    (0, b"FUJIFILMCCD-RAW", f"a camera's raw picture, {_OTHERWISE}"),
    (0, b"IIRO", f"a camera's raw picture, {_OTHERWISE}"),
    (0, b"IIU\0", f"a camera's raw picture, {_OTHERWISE}"),
    (0, b"\xd7\xcd\xc6\x9a", f"a WMF drawing, {_OTHERWISE}"),
    (40, b" EMF", f"an EMF drawing, {_OTHERWISE}"),
    (128, b"DICM", f"a DICOM picture, {_OTHERWISE}"),
    (0, b"%PDF-", "a PDF document"),
    (0, b"%!PS", "a PostScript document"),
    (0, b"\xc5\xd0\xd3\xc6", "a PostScript document"),
    (0, b"\x1a\x45\xdf\xa3", "a WebM or Matroska video"),
    (0, b"FLV\x01", "a Flash video"),
    (0, b"\0\0\x01\xba", "an MPEG video"),
    (0, b"\0\0\x01\xb3", "an MPEG video"),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "a Windows Media video"),
    (0, b"OggS", "an Ogg recording"),
    (8, b"AVI ", "an AVI video"),
    (8, b"WAVE", "a sound"),
    (0, b"ID3", "a sound"),
    (0, b"PK\x03\x04", "a zip archive"),
    (0, b"PK\x05\x06", "an empty zip archive"),
    (0, b"PK\x07\x08", "a part of a split zip archive"),
    (257, b"ustar", "a tar archive"),
    (0, b"Rar!\x1a\x07", f"a RAR archive, {_PACKED}"),
    (0, b"7z\xbc\xaf\x27\x1c", f"a 7-Zip archive, {_PACKED}"),
    (0, b"\x1f\x8b", f"a gzip file, {_PACKED}"),
    (0, b"BZh", f"a bzip2 file, {_PACKED}"),
    (0, b"\xfd7zXZ\0", f"an xz file, {_PACKED}"),
    (0, b"\x28\xb5\x2f\xfd", f"a zstd file, {_PACKED}"),
    (0, b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    (0, b"PAR1", "a parquet file"),
    (0, b"ARROW1", "an Arrow file"),
    (0, b"\x93NUMPY", "a NumPy array"),
    (0, b"SQLite format 3", "an SQLite database"),
    (0, b"\0\x05\x16\x07", "metadata of macOS"),
)  # fmt: skip

# Of files in boxes, as MP4 has them: what the brands say that they name.
_BRANDS = (
    ({b"avif", b"avis"}, "an AVIF picture, which this Pillow cannot read; pip install -U Pillow"),
    ({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"mif1", b"msf1"},
     f"a HEIC picture, {_OTHERWISE}"),
    ({b"crx "}, f"a camera's raw picture, {_OTHERWISE}"),
    ({b"qt  "}, "a QuickTime video"),
)  # fmt: skip


def kind_of(head: bytes) -> str:
    """What a file is, such as "a zip archive"; empty for a usual picture and for what is unknown.

    Args:
        head: its first `HEAD_BYTES` bytes, or all of them.
    """
    if not head:
        return "an empty file"
    for offset, signature, words in _SIGNATURES:
        if head.startswith(signature, offset):
            return words
    if head[4:8] == b"ftyp":
        end = min(int.from_bytes(head[:4]), 256)
        brands = {head[8:12], *(head[place : place + 4] for place in range(16, end, 4))}
        return next((words for known, words in _BRANDS if brands & known), "an MP4 video")
    start = head.removeprefix(codecs.BOM_UTF8).lstrip().lower()
    before, svg, _ = start.partition(b"<svg")
    if start.startswith((b"<!doctype html", b"<head", b"<body", b"<script")) or (
        start.startswith(b"<") and b"<html" in before
    ):
        return "a web page (HTML) instead of the file"
    if svg and start.startswith(b"<"):
        return "an SVG drawing, not a picture of pixels"
    if not head.strip(b"\0"):
        return "nothing but zeros, as after a broken download"
    return "a text file" if _is_text(head) else ""


def why_unreadable(data: bytes, error: Exception) -> str:
    """Why Pillow cannot read a picture, in one line.

    Args:
        data: the whole file.
        error: what Pillow raised.
    """
    kind = kind_of(data[:HEAD_BYTES])
    if kind and not kind.startswith("an AVIF"):
        return kind
    message = " ".join(str(error).split()) or type(error).__name__
    if "truncated" in message.lower() or _promises_more(data):
        return "broken picture: cut short, as after a broken download"
    if "cannot identify image file" in message:
        return kind or "no picture, or one of an unknown format or with a broken header"
    return f"broken picture: {message}"


def _promises_more(data: bytes) -> bool:
    """Whether a WebP, AVIF or JPEG 2000 file says that it is longer."""
    if data.startswith(b"RIFF"):
        return int.from_bytes(data[4:8], "little") + 8 > len(data)
    end = 0
    if data[4:8] in (b"ftyp", b"jP  "):
        while end + 8 <= len(data) and (size := int.from_bytes(data[end : end + 4])) >= 8:
            end += size
    return end > len(data)


def _is_text(head: bytes) -> bool:
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return True
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return all(character.isprintable() or character.isspace() for character in text)
