#!/usr/bin/env bash
# Pillow (13.0.0) finds the transparent colour of a PNG (its tRNS chunk) only at some bit depths. It
# compares the colour as the file has it with pixels that it has scaled or cut before:
#
# 1. Greys of 2 and 4 bits, 16-bit greys above 255 and 16-bit colours with a sample above 255 come
#    out of convert("RGBA") without one transparent pixel, although has_transparency_data is True.
#    Greys of 1 and 8 bits and 8-bit colours are right.
# 2. At 16 bits other pixels can be the transparent ones. A transparent grey of 255 takes all lighter
#    pixels with it; where the colour 0, 86, 154 is declared, those of 52, 22016, 39424 (whose high
#    bytes are 0, 86, 154) become transparent and those of 0, 86, 154 do not.
#
# No warning is given. pypng 0.20220715.0, which also writes the files here, reads all as declared.
#
# Source: PNG specification, "tRNS Transparency": a decoder may drop low bytes only after it has
# compared all 16 bits. Pillow 13.0.0 and pypng from PyPI.
# Whoever cuts figures out of such pictures turns the declared colour into the range of the decoded
# pixels first, as transparent_sample in utils/common/depths.py does.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "pillow==13.0.0" "pypng==0.20220715.0"
"$folder/venv/bin/python" - <<'PYTHON'
import io

import png
from PIL import Image

COLOUR = (0x1234, 0x5678, 0x9ABC)
NEAR = (0x1234, 0x5678, 0x9AFF)
SMALL, OTHER = (0, 86, 154), (52, 22016, 39424)

# bits, greyscale, the pixels, the transparent one, where Pillow finds it
CASES = [
    (1, True, (0, 1, 0, 1), 1, [1, 3]),
    (2, True, (0, 1, 2, 3), 1, []),
    (4, True, (0, 5, 10, 15), 5, []),
    (8, True, (0, 5, 10, 15), 5, [1]),
    (16, True, (0, 200, 4660, 65535), 200, [1]),
    (16, True, (0, 255, 4660, 65535), 255, [1, 2, 3]),
    (16, True, (0, 200, 4660, 65535), 4660, []),
    (8, False, ((0, 0, 0), (5, 6, 7), (5, 6, 8)), (5, 6, 7), [1]),
    (16, False, ((0, 0, 0), COLOUR, NEAR), COLOUR, []),
    (16, False, ((65535, 0, 0), SMALL, OTHER), SMALL, [2]),
]
for bits, grey, pixels, transparent, expected in CASES:
    row = pixels if grey else [sample for pixel in pixels for sample in pixel]
    file = io.BytesIO()
    png.Writer(len(pixels), 1, greyscale=grey, bitdepth=bits, transparent=transparent).write(
        file, [row]
    )
    alpha = list(next(iter(png.Reader(bytes=file.getvalue()).asRGBA()[2])))[3::4]
    right = [place for place, value in enumerate(alpha) if value == 0]
    assert right == [place for place, pixel in enumerate(pixels) if pixel == transparent]
    with Image.open(file) as image:
        assert image.has_transparency_data
        rgba = image.convert("RGBA")
    seen = [place for place in range(len(pixels)) if rgba.getpixel((place, 0))[3] == 0]
    print(f"{bits:2} bits, pixels {pixels}, transparent {transparent}: at {right}, Pillow {seen}")
    assert seen == expected, "Pillow behaves otherwise now"
PYTHON
