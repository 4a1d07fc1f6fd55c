#!/usr/bin/env bash
# LittleCMS (2.19, in Pillow 13.0.0) converts an 8-bit grey picture less exactly than the same
# picture in RGB. From a linear grey profile (gamma 1.0) to sRGB, the darkest levels come out up to
# 10 of 255 too dark: level 2 becomes 12, not 22. The same curve in an RGB profile is exact to half
# a level.
#
# The cause is the default optimisation, which samples the transform of grey into a coarse table
# with straight lines between its nodes: levels 0 to 8 become 0, 6, 12, 19, 25, 31, 37, 43, 50. RGB
# is optimised in another way. Flags.HIGHRESPRECALC still leaves 7 of 255; Flags.NOOPTIMIZE is
# exact. A test with the usual gamma of 2.2 shows nothing of it: there the difference is 1.
#
# Source: ICC.1:2010 (grey TRC, "curv" with one entry), IEC 61966-2-1 (the curve of sRGB, computed
# here); ImageCms of Pillow 13.0.0 from PyPI.
# utils/common/colours.py gives NOOPTIMIZE for grey.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "pillow==13.0.0"
"$folder/venv/bin/python" - <<'PYTHON'
import io
import struct

from PIL import Image, ImageCms

D50 = (0.9642, 1.0, 0.8249)
COLUMNS = {
    "r": (0.4361, 0.2225, 0.0139), "g": (0.3851, 0.7169, 0.0971), "b": (0.1431, 0.0606, 0.7141)
}  # fmt: skip


def fixed(*numbers: float) -> bytes:
    return struct.pack(f">{len(numbers)}i", *(round(number * 65536) for number in numbers))


def profile(space: str, gamma: float) -> ImageCms.ImageCmsProfile:
    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256))
    tags = {
        "desc": b"desc" + bytes(4) + struct.pack(">I", 5) + b"made\0" + bytes(78),
        "cprt": b"text" + bytes(4) + b"none\0",
        "wtpt": b"XYZ " + bytes(4) + fixed(*D50),
    }
    if space == "GRAY":
        tags["kTRC"] = curve
    else:
        for letter, column in COLUMNS.items():
            tags[letter + "XYZ"] = b"XYZ " + bytes(4) + fixed(*column)
            tags[letter + "TRC"] = curve
    position = 132 + 12 * len(tags)
    table, body = struct.pack(">I", len(tags)), b""
    for name, content in tags.items():
        table += struct.pack(">4sII", name.encode(), position + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    head = bytearray(128)
    struct.pack_into(">I", head, 0, position + len(body))
    struct.pack_into(">I4s4s4s", head, 8, 0x02400000, b"mntr", space.encode(), b"XYZ ")
    head[36:40], head[68:80] = b"acsp", fixed(*D50)
    return ImageCms.ImageCmsProfile(io.BytesIO(bytes(head) + table + body))


def right(level: int, gamma: float) -> float:
    light = (level / 255) ** gamma
    return 255 * (12.92 * light if light <= 0.0031308 else 1.055 * light ** (1 / 2.4) - 0.055)


def converted(mode: str, gamma: float, flags: ImageCms.Flags) -> list[int]:
    ramp = Image.new("L", (256, 1))
    ramp.putdata(range(256))
    source = profile("GRAY" if mode == "L" else "RGB ", gamma)
    srgb = ImageCms.createProfile("sRGB")
    image = ImageCms.profileToProfile(
        ramp.convert(mode), source, srgb, outputMode="RGB", flags=flags
    )
    return list(image.getchannel("G").tobytes())


NONE, FLAGS = ImageCms.Flags(0), ImageCms.Flags
print(f"LittleCMS {ImageCms.core.littlecms_version}")
seen = {}
for mode, gamma, flags, name in (
    ("L", 1.0, NONE, "default"),
    ("L", 1.0, FLAGS.HIGHRESPRECALC, "HIGHRESPRECALC"),
    ("L", 1.0, FLAGS.NOOPTIMIZE, "NOOPTIMIZE"),
    ("RGB", 1.0, NONE, "default"),
    ("L", 2.2, NONE, "default"),
):
    values = converted(mode, gamma, flags)
    error = max(abs(value - right(level, gamma)) for level, value in enumerate(values))
    seen[mode, gamma, name] = round(error)
    print(f"{mode:3} gamma {gamma} {name:14}: levels 0 to 8 {values[:9]}, at most {error:.1f} off")
print(f"right with gamma 1.0: {[round(right(level, 1.0)) for level in range(9)]}")
assert list(seen.values()) == [10, 7, 0, 1, 1], "LittleCMS behaves otherwise now"
PYTHON
