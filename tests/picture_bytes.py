"""Bytes of pictures made by hand, for what Pillow reads but does not write."""

import io
import struct
import zlib

from PIL import Image


def encode(image: Image.Image, suffix: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=suffix, **options)
    return buffer.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    body = kind + data
    return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))


def png(width, height, bits, colour_type, rows: bytes, *extra: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0)
    parts = chunk(b"IHDR", header), *extra, chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def with_chunks(data: bytes, *chunks: bytes) -> bytes:
    """A PNG with chunks after its header."""
    return data[:33] + b"".join(chunks) + data[33:]


def tiff(width: int, bits: int, data: bytes, tags: dict[int, tuple[int, int]]) -> bytes:
    """A TIFF of one row of greys.

    Args:
        width: in pixels.
        bits: of a sample.
        data: the row.
        tags: further tags with type (3 for a SHORT) and value.
    """
    tags = {
        256: (3, width), 257: (3, 1), 258: (3, bits), 259: (3, 1), 262: (3, 1), 273: (4, 8),
        277: (3, 1), 278: (3, 1), 279: (4, len(data)), **tags,
    }  # fmt: skip
    entries = (struct.pack("<HHII", tag, kind, 1, value) for tag, (kind, value) in tags.items())
    start = 8 + len(data) + len(data) % 2
    directory = struct.pack("<H", len(tags)) + b"".join(sorted(entries)) + bytes(4)
    return b"II*\0" + struct.pack("<I", start) + data.ljust(start - 8, b"\0") + directory


def profile(space: bytes, tags: dict[bytes, bytes], connection: bytes = b"XYZ ") -> bytes:
    """An ICC profile of version 2 for a display."""
    start, table, body = 132 + 12 * len(tags), b"", b""
    for name, data in tags.items():
        table += struct.pack(">4sII", name, start + len(body), len(data))
        body += data.ljust(len(data) + -len(data) % 4, b"\0")
    size, white = start + len(body), struct.pack(">3i", 63190, 65536, 54061)
    header = struct.pack(
        ">I4xI4s4s4s12x4s28x", size, 0x02400000, b"mntr", space, connection, b"acsp"
    )
    return (header + white).ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body
