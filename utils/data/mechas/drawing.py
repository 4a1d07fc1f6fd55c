"""Drawing: a design's machine as a picture, and a whole data set by several processes."""

from __future__ import annotations

import functools
import math
import sys
from contextlib import closing

import numpy as np
from PIL import Image
from tqdm import tqdm

from utils.common.processes import cores, ordered_map
from utils.data import ANY_SIZE, IMAGE_SIZES
from utils.data.mechas.catalogue import CATALOGUE, COMMON
from utils.data.mechas.designs import Design, design
from utils.data.mechas.geometry import Frame, sides
from utils.data.mechas.head import draw_head
from utils.data.mechas.limbs import draw_arm, draw_leg
from utils.data.mechas.machine import Machine
from utils.data.mechas.torso import draw_backpack, draw_cannon, draw_skirt, draw_torso

VERSION = 1  # raise when the same seed would draw other pictures
DEFAULT_COUNT = 1666

# What a design tells about itself in the data set, with the array type.
_ATTRIBUTES: dict[str, str] = {
    **dict.fromkeys(("faction", *CATALOGUE["mono"], *COMMON), "S"),
    **dict.fromkeys(("weapon_side", "weapon_pose", "facing"), "S"),
    **dict.fromkeys(("bulk", "height", "head_scale", "yaw"), "f4"),
    "hero": "?",
}

# Where far and near ankle stand (outwards, forward), and the pelvis's shift and roll.
STANCES = {
    "narrow": ((10.5, 1.0), (10.5, -0.5), 0.0, 0.0),
    "wide": ((16.5, 0.0), (16.0, 0.5), 0.0, 0.0),
    "contrapposto": ((16.0, 5.0), (10.5, -2.0), -2.0, 4.0),
    "stride": ((12.5, -5.5), (12.5, 7.0), 0.5, 1.0),
}
ANKLE = 6.6  # height above the floor


def _compose(d: Design) -> Machine:
    """The machine of a design, built from back to front."""
    m = Machine(d)
    (far_x, far_z), (near_x, near_z), shift, roll = STANCES[d.stance]
    leg = 42 * d.leg_length * (0.93 if d.legs == "digitigrade" else 0.985)
    hip_height = ANKLE + math.sqrt(leg**2 - (far_x - 6) ** 2)
    pelvis = Frame(np.eye(3), np.array((shift, hip_height, 0.0))).child(0, 0, 0, (0, 0, roll))
    waist = pelvis.child(0, 5.0, 0, (0, d.twist * 0.3, 0))
    chest = pelvis.child(0, 14.0, 0.4, (d.lean, d.twist, -roll * 1.5))
    half = 12.0 * d.shoulder_width * (0.72 + 0.28 * d.bulk)
    shoulder_x = half + 4.6 * (0.6 + 0.4 * d.bulk)
    far_armed = d.weapon_side == d.facing
    near_armed = not far_armed and d.weapon_side != "none"
    draw_arm(m, chest, 1, shoulder_x, far_armed)
    draw_backpack(m, chest)
    hip = 5.8 + 1.4 * d.bulk
    draw_leg(m, pelvis.point(hip, 0, 0), np.array((far_x + d.bulk, ANKLE, far_z)), 1)
    draw_torso(m, chest, half)
    draw_leg(m, pelvis.point(-hip, 0, 0), np.array((-near_x - d.bulk, ANKLE, near_z)), -1)
    draw_skirt(m, waist, (max(0.0, far_z), max(0.0, near_z)))
    far, near = sides(chest)
    if d.backpack == "cannons":
        draw_cannon(m, far)
    draw_head(m, chest.child(0, 16.4 if d.head == "dome" else 17.2, 0.8, (0, 11, 0)))
    draw_arm(m, chest, -1, shoulder_x, near_armed)
    if d.backpack == "cannons":
        draw_cannon(m, near)
    return m


def draw(design: Design, size: int) -> np.ndarray:
    """The picture of a design, uint8 (size, size, 3), RGB.

    Raises:
        ValueError: ``size`` is not one of ``IMAGE_SIZES``.
    """
    _check_size(size)
    image = _compose(design).paint(size, design.facing, design.background, design.fill)
    # The sharper filter reaches a pixel further, which would soil the frame of the smallest size.
    method = Image.Resampling.BOX if size == 32 else Image.Resampling.HAMMING
    return np.asarray(image.resize((size, size), method))


def _check_size(size: int) -> None:
    if size not in IMAGE_SIZES:
        raise ValueError(f"size is {size}, but must be {ANY_SIZE}")


def draw_dataset(
    count: int = DEFAULT_COUNT,
    size: int = 64,
    seed: int = 0,
    processes: int | None = None,
    progress: bool = True,
) -> tuple[np.ndarray, list[str], dict[str, np.ndarray]]:
    """The first ``count`` designs of the set ``seed``, drawn.

    Args:
        count: How many, 1 or more.
        size: Width and height in pixels, one of ``IMAGE_SIZES``.
        seed: Which set, 0 or more. The pictures depend on ``seed`` and ``size`` alone.
        processes: How many processes draw; None takes one per core, 1 none but this one.
        progress: Whether to show a bar on stderr.

    Returns:
        The pictures, uint8 (count, size, size, 3), RGB; their names, all different; and the
        attributes, an array of length ``count`` for each name: byte strings for kinds (sides are
        those of the picture), float32 for numbers, bool for ``hero``.

    Raises:
        ValueError: ``count`` or ``processes`` is less than 1, ``seed`` less than 0, or ``size``
            not one of ``IMAGE_SIZES``.
    """
    _check_size(size)
    for name, value, least in (("count", count, 1), ("seed", seed, 0), ("processes", processes, 1)):
        if value is not None and value < least:
            raise ValueError(f"{name} is {value}, but must be {least} or more")
    designs = [design(index, seed) for index in range(count)]
    images = np.empty((count, size, size, 3), dtype=np.uint8)
    workers = min(processes or cores(), math.ceil(count / 16))
    paint = functools.partial(draw, size=size)
    bar = tqdm(total=count, desc="drawing mechas", file=sys.stderr, disable=not progress)
    # Closing ends the workers at once when something goes wrong here, Ctrl-C above all.
    with bar, closing(ordered_map(paint, designs, workers, died=paint)) as pictures:
        for index, picture in enumerate(pictures):
            images[index] = picture
            bar.update()
    attributes = {
        name: np.array([getattr(each, name) for each in designs], dtype=kind)
        for name, kind in _ATTRIBUTES.items()
    }
    return images, [each.name for each in designs], attributes
