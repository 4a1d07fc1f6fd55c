"""What a picture's file says besides its pixels: read within limits and taken out of the file.

Long or broken metadata makes Pillow refuse sound pictures, or read more than is safe. So what
decides how pixels are shown is read here, and Pillow gets a file without the rest.
"""

from __future__ import annotations

import contextlib
import io
import re
import struct
import zlib
from typing import Any

Said = dict[str, Any]
"""What a file says, by the keys of Pillow's ``info``: ``icc_profile``, ``exif``, ``xmp`` (bytes),
``gamma``, ``chromaticity`` (numbers), ``srgb``, ``cicp`` and ``sbit`` (numbers of one byte)."""

MAX_PROFILE_BYTES = 16 * 2**20
MAX_TEXT_BYTES = 2**20
SEARCHED_BYTES = 2**16  # how far a box or extension is looked for

PNG = b"\x89PNG\r\n\x1a\n"
PNG_PIXELS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
JPEG_PIXELS = {0xE0: b"JFIF\0", 0xEE: b"Adobe"}  # the APP segments that say what a channel is
WEBP_PIXELS = (b"VP8X", b"VP8 ", b"VP8L", b"ALPH", b"ANIM", b"ANMF")
WEBP_SAID = {b"ICCP": "icc_profile", b"EXIF": "exif", b"XMP ": "xmp"}
# Sizes, depths, compressions and places of pixels, and the orientation.
TIFF_PIXELS = {
    254, 255, 256, 257, 258, 259, 262, 266, 273, 274, 277, 278, 279, 280, 281, 284, 292, 293, 317,
    320, *range(322, 326), 332, 334, *range(338, 342), 347, *range(512, 522), *range(529, 533),
}  # fmt: skip
ORIENTATION, PROFILE = 274, 34675


def separate(data: bytes) -> tuple[bytes, Said]:
    """The file without metadata, and what it says; a file that is broken there stays as it is."""
    for signature, read in (
        (PNG, _png), (b"\xff\xd8\xff", _jpeg), (b"RIFF", _webp), (b"II", _tiff), (b"MM", _tiff),
    ):  # fmt: skip
        if data.startswith(signature):
            try:
                return read(data)
            except (struct.error, ValueError, IndexError):
                return data, {}
    return _hide_exif(data), _embedded(data)


def orientation(said: Said) -> int:
    """The EXIF orientation, 1 to 8; 1 where none is said."""
    found = 0
    exif = said.get("exif")
    if isinstance(exif, bytes):
        try:
            order, entries, _ = _directory(exif.removeprefix(b"Exif\0\0"))
            found = _number(order, *entries.get(ORIENTATION, (0, 0, b"")))
        except struct.error:
            pass
    xmp = said.get("xmp")
    if not found and isinstance(xmp, bytes):
        match = re.search(rb'tiff:Orientation(?:="|>)([1-8])', xmp[:MAX_TEXT_BYTES])
        found = int(match[1]) if match else 0
    return found if 1 <= found <= 8 else 1


def _png(data: bytes) -> tuple[bytes, Said]:
    view, kept, said = memoryview(data), io.BytesIO(PNG), {}
    width, height = struct.unpack_from(">II", data, 16)
    kept.seek(0, io.SEEK_END)
    position, kind = len(PNG), b""
    has_pixels = False
    while position + 8 <= len(data) and kind != b"IEND":
        length, kind = struct.unpack_from(">I4s", data, position)
        end = position + 12 + length
        body = view[position + 8 : end - 4]
        if not kind.isalpha():
            kept.write(view[position:])  # Pillow says what is wrong
            break
        if kind in PNG_PIXELS:
            kept.write(view[position:end])
            has_pixels = has_pixels or kind == b"IDAT"
        elif kind == b"fcTL" and not has_pixels and len(body) == 26:
            columns, rows, left, top = struct.unpack_from(">4I", body, 4)
            is_inside = left + columns <= width and top + rows <= height
            if is_inside and (columns, rows) != (width, height):
                kept.write(_chunk(b"fcTL", bytes(4) + body[4:]))  # says how large the pixels are
        elif end <= len(data):
            with contextlib.suppress(ValueError):
                _png_said(kind, body, said)
        position = end
    return kept.getvalue(), said


def _png_said(kind: bytes, body: memoryview, said: Said) -> None:
    if kind == b"iCCP" and "icc_profile" not in said:
        said["icc_profile"] = _inflate(bytes(body).partition(b"\0")[2][1:], MAX_PROFILE_BYTES)
    elif kind == b"gAMA" and len(body) == 4:
        said["gamma"] = struct.unpack(">I", body)[0] / 100_000
    elif kind == b"cHRM" and len(body) == 32:
        said["chromaticity"] = tuple(value / 100_000 for value in struct.unpack(">8I", body))
    elif (kind, len(body)) in ((b"sRGB", 1), (b"cICP", 4)) or (kind == b"sBIT" and body):
        said[kind.decode().lower()] = tuple(body[:4])
    elif kind == b"eXIf":
        said["exif"] = bytes(body)
    elif kind in (b"tEXt", b"zTXt", b"iTXt"):
        keyword, _, text = bytes(body[: 2 * MAX_TEXT_BYTES]).partition(b"\0")
        if kind == b"iTXt":
            packed, (_, _, text) = text[:1] == b"\1", text[2:].split(b"\0", 2)
        else:
            packed, text = kind == b"zTXt", text[kind == b"zTXt" :]
        if keyword == b"XML:com.adobe.xmp" and "xmp" not in said:
            said["xmp"] = _inflate(text, MAX_TEXT_BYTES) if packed else text
        elif keyword == b"Raw profile type exif" and "exif" not in said:
            text = _inflate(text, MAX_TEXT_BYTES) if packed else text
            digits = b"".join(text.split(b"\n", 3)[3:]).translate(None, b" \r\n")
            said["exif"] = bytes.fromhex(digits.decode("latin-1"))


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _inflate(data: bytes, limit: int) -> bytes:
    """Unpacked bytes; none where they are broken or more than the limit."""
    try:
        unpacked = zlib.decompressobj().decompress(data, limit + 1)
    except zlib.error:
        return b""
    return unpacked if len(unpacked) <= limit else b""


def _jpeg(data: bytes) -> tuple[bytes, Said]:
    view, kept, said, profile = memoryview(data), io.BytesIO(), {}, {}
    kept.write(view[:2])
    position = 2
    while position + 4 <= len(data) and data[position] == 0xFF:
        _, marker, length = struct.unpack_from(">BBH", data, position)
        if marker == 0xFF:  # fill bytes
            position += 1
            continue
        if marker == 0xDA or marker < 0xC0 or 0xD0 <= marker < 0xDA or length < 2:
            break
        end = position + 2 + length
        body = data[position + 4 : end]
        is_told = 0xE0 <= marker <= 0xEF or marker == 0xFE
        needed = JPEG_PIXELS.get(marker, ())
        if not is_told or (body.startswith(needed) and len(body) >= 12):
            kept.write(view[position:end])
        elif marker == 0xE1 and body.startswith(b"Exif\0\0"):
            said.setdefault("exif", body)
        elif marker == 0xE1 and body.startswith(b"http://ns.adobe.com/xap/1.0/\0"):
            said.setdefault("xmp", body)
        elif marker == 0xE2 and body.startswith(b"ICC_PROFILE\0") and len(body) > 14:
            profile[body[12]] = body[13], body[14:]
        position = end
    if profile and {count for count, _ in profile.values()} == {len(profile)}:
        said["icc_profile"] = b"".join(profile[number][1] for number in sorted(profile))
    kept.write(view[position:])
    return kept.getvalue(), said


def _webp(data: bytes) -> tuple[bytes, Said]:
    view, kept, said, frame = memoryview(data), io.BytesIO(), {}, b""
    kept.write(view[:12])
    position = 12
    while position + 8 <= len(data):
        kind, size = struct.unpack_from("<4sI", data, position)
        end = position + 8 + size + size % 2
        if kind in WEBP_PIXELS:
            kept.write(view[position:end])
            frame = frame or (data[position : position + 24] if kind == b"ANMF" else b"")
        elif kind in WEBP_SAID and size <= MAX_PROFILE_BYTES:
            said.setdefault(WEBP_SAID[kind], data[position + 8 : position + 8 + size])
        position = end
    whole = kept.getbuffer()
    struct.pack_into("<I", whole, 4, len(whole) - 8)
    if whole[12:16] == b"VP8X":
        whole[20] &= 0x12  # nothing but alpha and animation
        if frame and frame[14:20] != whole[24:30]:
            whole[20] |= 0x10  # the canvas around a smaller frame is transparent
    whole.release()
    return kept.getvalue(), said


def _directory(data: bytes) -> tuple[str, dict[int, tuple[int, int, bytes]], bool]:
    """The first directory of a TIFF or of EXIF: tags with type, count and value or place.

    Raises:
        struct.error: there is none, or half of one.
    """
    order, big = "<" if data.startswith(b"II") else ">", b"+" in data[2:4]
    place, number, entry = ("8xQ", "Q", "HHQ8s") if big else ("4xI", "H", "HHI4s")
    (start,) = struct.unpack_from(order + place, data)
    if start >= len(data):
        raise struct.error("a directory behind the end")
    (count,) = struct.unpack_from(order + number, data, start)
    start += struct.calcsize(order + number)
    size = struct.calcsize(order + entry)
    entries = {}
    for position in range(start, start + min(count, 2**16) * size, size):
        tag, *rest = struct.unpack_from(order + entry, data, position)
        entries.setdefault(tag, tuple(rest))
    return order, entries, big


def _number(order: str, kind: int, count: int, value: bytes) -> int:
    """A value of type BYTE, SHORT or LONG; 0 for others."""
    letter = {1: "B", 3: "H", 4: "I"}.get(kind)
    return struct.unpack_from(order + letter, value)[0] if letter and count == 1 else 0


def _tiff(data: bytes) -> tuple[bytes, Said]:
    order, entries, big = _directory(data)
    said: Said = {}
    if PROFILE in entries:
        _, count, value = entries[PROFILE]
        (start,) = struct.unpack(order + ("Q" if big else "I"), value)
        said["icc_profile"] = data[start : start + min(count, MAX_PROFILE_BYTES)]
    if not 1 <= _number(order, *entries.get(ORIENTATION, (0, 0, b""))) <= 8:
        entries.pop(ORIENTATION, None)
    kept = sorted(TIFF_PIXELS & entries.keys())
    number, entry, place = ("Q", "HHQ8s", "Q") if big else ("H", "HHI4s", "I")
    directory = struct.pack(order + number, len(kept))
    directory += b"".join(struct.pack(order + entry, tag, *entries[tag]) for tag in kept)
    padding = bytes(len(data) % 2)
    head = data[: 8 if big else 4] + struct.pack(order + place, len(data) + len(padding))
    rest = memoryview(data)[len(head) :]
    return b"".join((head, rest, padding, directory, bytes(8 if big else 4))), said


def _hide_exif(data: bytes) -> bytes:
    """An AVIF without EXIF: it turns nothing there, and Pillow refuses a broken one."""
    if data[4:8] != b"ftyp":
        return data
    head = re.sub(rb"(infe.{8})Exif", rb"\1skip", data[:SEARCHED_BYTES], flags=re.DOTALL)
    return head + data[SEARCHED_BYTES:]


def _embedded(data: bytes) -> Said:
    """The profiles that Pillow does not read."""
    head = data[:SEARCHED_BYTES]
    if data.startswith(b"BM") and data[70:74] == b"DEBM":  # a header of version 5
        start, size = struct.unpack_from("<II", data.ljust(138), 126)
        return {"icc_profile": data[14 + start : 14 + start + min(size, MAX_PROFILE_BYTES)]}
    if data.startswith(b"GIF") and (start := head.find(b"\x21\xff\x0bICCRGBG1012")) > 0:
        profile, start = bytearray(), start + 14
        while len(profile) < MAX_PROFILE_BYTES and (size := data[start : start + 1]) > b"\0":
            profile += data[start + 1 : start + 1 + size[0]]
            start += 1 + size[0]
        return {"icc_profile": bytes(profile)}
    if data[4:8] == b"jP  " and (start := head.find(b"colr\x02")) > 0:
        size = int.from_bytes(data[start + 7 : start + 11])
        return {"icc_profile": data[start + 7 : start + 7 + min(size, MAX_PROFILE_BYTES)]}
    if data[4:8] == b"ftyp" and (start := head.find(b"colrnclx")) > 0:
        primaries, transfer = struct.unpack_from(">HH", head.ljust(start + 12), start + 8)
        return {"cicp": (primaries, transfer, 0, 1)}
    return {}
