#!/usr/bin/env bash
# Pillow (13.0.0) resizes transparent pictures with premultiplied colours, so that what is hidden under
# alpha 0 does not bleed into a figure's rim. But with the filters that overshoot, BICUBIC and LANCZOS,
# the rim of a figure of one single colour comes out in other colours all the same, up to white:
# alpha is cut off at 255 (and at 0) before the colours, which overshoot as well, are divided by it.
# BOX and BILINEAR keep the colour to one shade.
#
# A figure of grey 120 with a straight edge, by LANCZOS: from 64 to 100 px its rim has 134 where it is
# opaque; from 64 to 24 px, 255 where alpha is small. Float images resized channel by channel, and
# divided by the alpha that is not cut off, keep 120.
#
# Source: measured here; Pillow 13.0.0 and NumPy 2.4.6 from PyPI.
# Whoever prepares sprites resizes in float and divides by the uncut alpha, as _resized_rgba in
# utils/common/pictures.py does.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "pillow==13.0.0" "numpy==2.4.6"
"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
from PIL import Image

GREY = 120
sprite = np.zeros((64, 64, 4), np.uint8)
sprite[:, 32:] = (GREY, GREY, GREY, 255)


def by_pillow(filter, side):
    return np.asarray(Image.fromarray(sprite).resize((side, side), filter)).astype(int)


def by_hand(filter, side):
    """Premultiplied colour and alpha (side, side) as float, neither cut off."""
    alpha = Image.fromarray(sprite[..., 3].astype(np.float32) / 255)
    colour = Image.fromarray(sprite[..., 0] * (sprite[..., 3].astype(np.float32) / 255))
    return [np.asarray(image.resize((side, side), filter)) for image in (colour, alpha)]


def farthest(colours):
    return int(colours[np.abs(colours - GREY).argmax()])


for name, side, opaque, seen in (
    ("BOX", 24, 120, 120),
    ("BILINEAR", 24, 120, 119),
    ("BICUBIC", 100, 128, 128),
    ("LANCZOS", 100, 134, 134),
    ("LANCZOS", 24, 122, 255),
):
    filter = getattr(Image.Resampling, name)
    resized = by_pillow(filter, side)
    colours, alpha = resized[..., 0], resized[..., 3]
    colour, uncut = by_hand(filter, side)
    visible = uncut > 0.01
    found = farthest(colours[alpha == 255]), farthest(colours[alpha > 0])
    right = np.abs(colour[visible] / uncut[visible] - GREY).max()
    print(f"{name} to {side} px: opaque {found[0]}, visible {found[1]}; by hand {GREY} +- {right:.3f}")
    assert right < 0.01
    assert found == (opaque, seen), "Pillow behaves otherwise now"
PYTHON
