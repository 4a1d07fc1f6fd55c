"""A data set of giant robots, drawn by code: no picture in it belongs to anybody else.

Every design is drawn at random from ``(seed, index)`` alone: colours, head, armour, weapon and
pose. It is then built as a small three-dimensional model (armour plates, lofted limbs, joints),
seen in three-quarter view and painted back to front with dark outlines and flat cel shading.
All lengths of the model are in units of about a hundredth of the figure's height; the picture is
fitted to the figure at the very end, so that nothing is ever cropped.

The model always faces right and is mirrored for a design that faces left. So "near" is the side
of the body turned to the viewer (in a picture facing right the left one), "far" is the other one,
and inside a limb's frame +x always points away from the body.
"""

from __future__ import annotations

import colorsys
import functools
import math
import multiprocessing
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw
from tqdm import tqdm

from utils.common.processes import ignore_interrupts, light_start
from utils.data import ANY_SIZE, IMAGE_SIZES

VERSION: int = 1  # raise when the same seed would draw other pictures
DEFAULT_COUNT: int = 1666

Colour = tuple[int, int, int]
Points = Sequence[Sequence[float]]

# ---------------------------------------------------------------------------------------------
# Factions: what a side paints its machines with, and what it likes to build
# ---------------------------------------------------------------------------------------------

# The colours of a scheme, in this order: the chest, the limbs and the head, what is set off from
# them, vents and markings, the joints underneath, and the light of the eye.
ROLES = ("body", "armour", "trim", "accent", "frame", "eye")


class Faction(NamedTuple):
    """A side of the war: its share of the designs and its taste in parts."""

    share: float
    code: str  # starts the designations of its machines
    school: str  # the part of the CATALOGUE it builds from


HERO_SHARE = 0.05  # of all designs; the factions' shares are those of the rest
FACTIONS = {
    "dominion": Faction(0.20, "DGR", "mono"),
    "ace": Faction(0.08, "VKR", "mono"),
    "heavy": Faction(0.10, "OBX", "mono"),
    "desert": Faction(0.09, "SND", "mono"),
    "union": Faction(0.18, "RGV", "visor"),
    "marine": Faction(0.10, "NAV", "visor"),
    "night": Faction(0.08, "NOX", "visor"),
    "arctic": Faction(0.07, "BOR", "visor"),
    "trial": Faction(0.10, "TRX", "visor"),
    "hero": Faction(0.0, "XVA", "hero"),
}
# One colour scheme a line: whose it is, then a hexadecimal colour for each of ROLES.
SCHEMES = """
    dominion 3f6144 8cb26a 59665e d0ac4c 5f656c ff4f8b
    dominion 4f6a42 a6b866 4e5c50 dcc67e 5b5f60 ff5a5a
    dominion 2f5650 74a67c 3e565a e0a63f 626870 ff4fa0
    dominion 5a6238 b4b872 5c5440 d8783c 5e605c ffd24a
    ace 8f2230 dd5850 5e4c58 ecbc4b 5c5a63 63f08c
    ace 74202f e8705f 92303e f4d67c 56545e 7cf0ff
    ace a83248 f08a92 66586a f4e2c0 5e5c66 6affb4
    heavy 423a5c 7c68ac 565270 c2b0e0 5e5e70 ff5a7a
    heavy 34406a 6478b0 4a5678 d86262 626878 ff6a4a
    heavy 4a3854 9878b0 5e4e6e e4b650 625e6c ffd24a
    desert ac8250 e2c490 866a50 c0563a 66605a ff6a4a
    desert 94704e d6b682 70604f 62845f 605c56 ffb43c
    union c8493f e8e8e0 c8493f ecc04c 70767e 3fe0c0
    union 6688b0 e4e8ec 5a6c8e e6b64e 6c727c 4adcff
    union 84939e dadee2 6a7884 dc683e 646a72 5aff9a
    union 4e8a78 e6e6da 4a6a64 e8c452 6a7076 ffd24a
    marine 2c487a 6490cc 40568a f2c650 626a76 7affd0
    marine 236270 68b8b4 305a70 f2904e 606c72 ffe66a
    marine 30528a b2cce2 3c5282 ece8da 68707c ff6a8a
    night 464656 787888 4c4c5c e6b850 7c7a84 ff4a4a
    night 4e3a46 706a78 a03044 d8dbe0 74747e ff5a4a
    night 3a485c 687c92 44566c 62d8c8 7a8290 6affea
    arctic 90aecc eef3f6 6e8caa 5070c8 707a88 2ac8ff
    arctic a8b0bc f2f0ea 7e8896 e68040 70727a ff9a2c
    trial eae6dc f09c48 666a76 4060a0 6c7076 5aff8a
    trial eadcba ecc044 5c6074 c85040 66666e 4ad8ff
    trial eeeae4 d87496 6e5c6e f2d468 6c6870 6affe0
    hero 3a60bc f4f4f0 d84040 f8ca3a 767b84 ffe030
    hero 3050a4 f0f2f6 cc344e f4bc34 70768a 2af0a8
    hero 45536e f2f1ee c83640 f6d044 7a7e86 3ce884
"""
BEAMS = ("ff5f9e", "ff4fc0", "58e06c", "ffd23c", "42c8ff")
BACKGROUNDS = ("fcfcfc", "f6f7f8", "f3f3f2", "f7f4ef", "f0f5fa", "eef0f3")
# Of the outlines, as shares of the picture: thin in large pictures, but not lost in small ones.
LINE_WIDTHS = {32: 0.0092, 64: 0.0076, 128: 0.0062, 256: 0.005}
OUTLINE: Colour = (34, 30, 41)
STEEL: Colour = (104, 109, 121)
GUNMETAL: Colour = (68, 71, 83)

# What each school builds: part -> {variant: weight}.
CATALOGUE: dict[str, dict[str, dict[str, float]]] = {
    "mono": {
        "head": {"mono-eye": 6, "dome": 2.4, "visor": 0.6, "twin-eye": 0.5, "v-fin": 0.1},
        "crest": {"none": 3, "horn": 3, "fin": 1.2, "ears": 1, "twin-horns": 1.4},
        "torso": {"barrel": 4, "slab": 2, "prow": 1.5, "vented": 1},
        "shoulders": {"round": 2, "spiked": 3, "shielded": 2, "flared": 1.5, "boxy": 0.7},
        "skirt": {"bell": 3, "plates": 2, "long": 1.5, "short": 1},
        "legs": {"flared": 4, "straight": 2, "heavy": 2, "slim": 0.7, "digitigrade": 0.8},
        "feet": {"round": 3, "wedge": 1.5, "boots": 1.5, "claw": 0.8},
        "forearms": {"cuffed": 3, "plain": 2, "boxy": 1},
        "weapon": {"rifle": 3, "bazooka": 2, "axe": 3, "gatling": 1.5, "sabre": 1, "none": 0.7},
        "shield": {"none": 5, "round": 1.2, "spiked": 1.2, "tower": 0.8},
        "backpack": {"twin": 2.4, "tanks": 2, "slim": 1.5, "cannons": 1.3, "funnels": 1},
        "wings": {"none": 8, "binders": 1.6, "blades": 0.5},
        "paint": {"plain": 3, "boots": 2, "vest": 3, "thighs": 1.5, "sleeves": 1.5},
    },
    "visor": {
        "head": {"visor": 5, "twin-eye": 2.6, "mono-eye": 0.8, "dome": 0.5, "v-fin": 0.3},
        "crest": {"none": 2, "fin": 2, "ears": 3, "horn": 0.8, "twin-horns": 0.8},
        "torso": {"vented": 4, "prow": 2, "slab": 2, "barrel": 0.7},
        "shoulders": {"boxy": 5, "layered": 2.4, "flared": 1.8, "round": 1},
        "skirt": {"plates": 5, "short": 2, "long": 1.6, "bell": 0.4},
        "legs": {"straight": 4, "slim": 2.4, "heavy": 1.8, "flared": 1, "digitigrade": 0.8},
        "feet": {"wedge": 4, "boots": 2.5, "claw": 0.8, "round": 0.5},
        "forearms": {"boxy": 3, "cuffed": 1.5, "plain": 1.5},
        "weapon": {"rifle": 5, "sabre": 2.2, "bazooka": 1.4, "gatling": 1, "axe": 0.4, "none": 0.7},
        "shield": {"kite": 3, "tower": 2, "round": 0.5, "none": 4},
        "backpack": {"twin": 4, "slim": 1.6, "cannons": 1.6, "tanks": 1, "funnels": 0.8},
        "wings": {"none": 7, "blades": 1.6, "binders": 1.2},
        "paint": {"plain": 3, "boots": 1.5, "vest": 1.5, "thighs": 2, "sleeves": 2},
    },
    "hero": {
        "head": {"v-fin": 1},
        "crest": {"none": 1},
        "torso": {"vented": 3, "prow": 1},
        "shoulders": {"boxy": 4, "layered": 2, "flared": 1},
        "skirt": {"plates": 4, "short": 1},
        "legs": {"straight": 4, "slim": 2},
        "feet": {"wedge": 3, "boots": 1},
        "forearms": {"boxy": 3, "plain": 1},
        "weapon": {"rifle": 5, "sabre": 4, "bazooka": 1},
        "shield": {"kite": 6, "tower": 1, "none": 2},
        "backpack": {"twin": 5, "cannons": 1, "funnels": 1},
        "wings": {"none": 4, "blades": 2, "binders": 0.6},
        "paint": {"plain": 1},
    },
}
# What every school draws alike.
COMMON: dict[str, dict[str, float]] = {
    "stance": {"narrow": 2, "wide": 3, "contrapposto": 3, "stride": 2},
    "free_arm": {"down": 3, "bent": 2, "fist": 1},
    "marking": {"none": 2, "stripe": 2, "chevron": 1.5, "disc": 1.5},
}
# How each weapon may be held.
POSES: dict[str, dict[str, float]] = {
    "rifle": {"low": 3, "forward": 3, "up": 1.5},
    "sabre": {"forward": 2, "raised": 2, "low": 1.5},
    "bazooka": {"level": 3, "low": 1},
    "axe": {"raised": 2, "forward": 2, "low": 1.5},
    "gatling": {"low": 1, "forward": 2},
    "none": {"down": 1},
}
# Which role's colour each part of the body takes.
PAINTED = ("thigh", "shin", "knee", "foot", "arm", "forearm", "shoulder", "skirt", "helmet")
PAINTS = {
    "plain": "armour armour armour trim armour armour armour armour armour",
    "boots": "armour trim accent trim armour trim armour armour armour",
    "vest": "armour armour body trim armour armour body body armour",
    "thighs": "body armour trim body body armour armour trim armour",
    "sleeves": "armour body armour trim trim body armour body armour",
}
WORDS = """
    Halberd Palisade Basalt Ironwood Bulwark Lodestar Caldera Brigand Mistral Obsidian Partisan
    Ravelin Saltire Tollgate Umbra Anvil Bastion Cinder Ember Falchion Glacier Harrow Keystone
    Monsoon Nomad Onyx Portcullis Rampart Tundra Vesper Warden Alloy Beacon Cobalt Drumlin
    Escarp Flintlock Gantry Hauberk Isobar Jackdaw Kelp Lichen Marlin Nettle Ocelot Pylon Quarrel
    Rookery Saffron Tarn Undertow Verdigris Wolfram Yarrow Bramble Culverin Dolmen Estoc Fjord
    Gambeson Hornbeam Ibex Juniper Kiln Lantern Mangrove Narwhal Osprey Petrel Quill Redoubt Solace
"""


# ---------------------------------------------------------------------------------------------
# Designs
# ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Design:
    """All that makes one machine; ``draw`` needs nothing else.

    Sides ("left", "right") are those of the picture. ``height`` is the machine's height in
    metres (14 to 24), ``bulk`` the thickness of its limbs against the usual (0.78 to 1.38),
    ``yaw``, ``lean`` and ``twist`` are in degrees, the other numbers are factors. ``palette``
    holds one RGB colour for each of ``ROLES``.
    """

    index: int
    seed: int
    name: str
    hero: bool
    faction: str
    palette: tuple[Colour, ...]
    beam: Colour
    background: Colour
    head: str
    crest: str
    torso: str
    shoulders: str
    skirt: str
    legs: str
    feet: str
    forearms: str
    weapon: str
    weapon_side: str
    weapon_pose: str
    free_arm: str
    shield: str
    backpack: str
    wings: str
    paint: str
    marking: str
    facing: str
    stance: str
    bulk: float
    height: float
    head_scale: float
    leg_length: float
    shoulder_width: float
    yaw: float
    lean: float
    twist: float
    fill: float  # share of the picture's width or height, whichever is filled more


def _choose(rng: np.random.Generator, weights: dict[str, float]) -> str:
    """Draw one key of ``weights`` with a probability proportional to its weight."""
    shares = np.array(list(weights.values()))
    return list(weights)[rng.choice(len(shares), p=shares / shares.sum())]


def _colour(code: str) -> Colour:
    """Return the colour of six hexadecimal digits."""
    red, green, blue = bytes.fromhex(code)
    return red, green, blue


def _vary(rng: np.random.Generator, code: str) -> Colour:
    """Return the colour of ``code``, moved a little in hue, depth and lightness."""
    hue, saturation, value = colorsys.rgb_to_hsv(*(channel / 255 for channel in _colour(code)))
    hue = (hue + rng.normal(0, 0.012)) % 1
    saturation = min(1.0, saturation * rng.uniform(0.88, 1.12))
    value = min(1.0, value * rng.uniform(0.93, 1.06))
    red, green, blue = colorsys.hsv_to_rgb(hue, saturation, value)
    return round(red * 255), round(green * 255), round(blue * 255)


def design(index: int, seed: int = 0) -> Design:
    """Return design number ``index`` (from 0) of the set ``seed``: always the same one.

    Raises:
        ValueError: ``index`` or ``seed`` is negative.
    """
    if index < 0 or seed < 0:
        raise ValueError(f"index and seed are {index} and {seed}, but must be 0 or more")
    rng = np.random.default_rng([seed, index])
    hero = bool(rng.random() < HERO_SHARE)
    faction = _choose(rng, {name: faction.share for name, faction in FACTIONS.items()})
    faction = "hero" if hero else faction
    maker = FACTIONS[faction]
    schemes = [row.split() for row in SCHEMES.strip().splitlines()]
    schemes = [codes for owner, *codes in schemes if owner == faction]
    palette = tuple(_vary(rng, code) for code in schemes[rng.integers(len(schemes))])
    parts = {part: _choose(rng, weights) for part, weights in CATALOGUE[maker.school].items()}
    parts |= {part: _choose(rng, weights) for part, weights in COMMON.items()}
    facing, side = (("left", "right")[rng.integers(2)] for _ in range(2))
    height = float(np.clip(rng.normal(18.5, 1.9), 14, 24))
    usual_bulk = {"heavy": 1.12, "flared": 1.08, "slim": 0.92}.get(parts["legs"], 1.0)
    words = WORDS.split()
    return Design(
        index=index,
        seed=seed,
        # The index is part of the designation, so no two designs of a set share a name.
        name=f"{maker.code}-{index:04d} {words[rng.integers(len(words))]}",
        hero=hero,
        faction=faction,
        palette=palette,
        beam=_colour(BEAMS[rng.integers(len(BEAMS))]),
        background=_colour(BACKGROUNDS[rng.integers(len(BACKGROUNDS))]),
        weapon_side="none" if parts["weapon"] == "none" else side,
        weapon_pose=_choose(rng, POSES[parts["weapon"]]),
        facing=facing,
        bulk=float(np.clip(rng.normal(usual_bulk, 0.11), 0.78, 1.38)),
        height=height,
        # Tall machines have small heads and long legs.
        head_scale=float(np.clip(1.23 - 0.03 * (height - 18) + rng.normal(0, 0.05), 1.0, 1.4)),
        leg_length=float(np.clip(1.04 + 0.024 * (height - 18) + rng.normal(0, 0.04), 0.86, 1.24)),
        shoulder_width=float(rng.uniform(0.92, 1.2)),
        yaw=float(rng.uniform(32, 40)),
        lean=float(rng.uniform(-3, 5)),
        twist=float(rng.uniform(-7, 7)),
        fill=float(rng.uniform(0.905, 0.936)),
        **parts,
    )


# ---------------------------------------------------------------------------------------------
# Primitives: frames, solids, and the scene that turns them into a picture
# ---------------------------------------------------------------------------------------------


class Frame(NamedTuple):
    """A local coordinate system: the columns of ``axes`` (3, 3) and the ``origin`` (3,)."""

    axes: np.ndarray
    origin: np.ndarray

    def child(self, x: float, y: float, z: float, turn: Sequence[float] = (0, 0, 0)) -> Frame:
        """Return a frame at (x, y, z) in this one, turned about its x, y, z axes (degrees)."""
        axes = self.axes if not any(turn) else self.axes @ _rotation(*turn)
        return Frame(axes, self.origin + self.axes @ np.array((x, y, z), dtype=float))

    def scaled(self, x: float, y: float, z: float) -> Frame:
        """Return this frame with longer or shorter units along its axes."""
        return Frame(self.axes * (x, y, z), self.origin)

    def mirrored(self) -> Frame:
        """Return this frame with its x axis the other way round."""
        return Frame(self.axes * (-1.0, 1.0, 1.0), self.origin)

    def point(self, x: float, y: float, z: float) -> np.ndarray:
        """Return the outer coordinates of a point of this frame."""
        return self.origin + self.axes @ np.array((x, y, z), dtype=float)


def _rotation(pitch: float, yaw: float, roll: float) -> np.ndarray:
    """Return the rotation by ``roll`` about z, then ``pitch`` about x, then ``yaw`` about y."""
    (sx, sy, sz), (cx, cy, cz) = (
        [function(math.radians(angle)) for angle in (pitch, yaw, roll)]
        for function in (math.sin, math.cos)
    )
    about_x = np.array(((1, 0, 0), (0, cx, -sx), (0, sx, cx)))
    about_y = np.array(((cy, 0, sy), (0, 1, 0), (-sy, 0, cy)))
    about_z = np.array(((cz, -sz, 0), (sz, cz, 0), (0, 0, 1)))
    return about_y @ about_x @ about_z


def _unit(vector: Iterable[float]) -> np.ndarray:
    array = np.asarray(vector, dtype=float)
    return array / math.sqrt(float(array @ array))


def limb(top: np.ndarray, bottom: np.ndarray, forward: Iterable[float], side: int) -> Frame:
    """Return the frame of a limb from ``top`` down to ``bottom``: origin at ``top``, +y upwards.

    +z looks to ``forward`` as far as the limb's direction lets it, +x to the body's outside
    (``side`` is 1 for the far limb, -1 for the near one).
    """
    up = _unit(top - bottom)
    ahead = np.asarray(forward, dtype=float)
    ahead = _unit(ahead - up * (ahead @ up))
    x = np.array(
        (
            up[1] * ahead[2] - up[2] * ahead[1],
            up[2] * ahead[0] - up[0] * ahead[2],
            up[0] * ahead[1] - up[1] * ahead[0],
        )
    )
    return Frame(np.stack((side * x, up, ahead), axis=1), top)


def bend(
    start: np.ndarray, end: np.ndarray, upper: float, lower: float, hint: Iterable[float]
) -> tuple[np.ndarray, np.ndarray]:
    """Return (joint, end) of a two-part limb; ``end`` is pulled nearer if it is out of reach.

    The joint (knee or elbow) bends to the side ``hint``.
    """
    reach = end - start
    distance = math.sqrt(float(reach @ reach))
    direction = reach / distance
    distance = min(distance, 0.995 * (upper + lower))
    along = (upper**2 - lower**2 + distance**2) / (2 * distance)
    aside = np.asarray(hint, dtype=float)
    aside = _unit(aside - direction * (aside @ direction))
    joint = start + direction * along + aside * math.sqrt(max(upper**2 - along**2, 0.0))
    return joint, start + direction * distance


_CIRCLE = [(math.cos(angle), math.sin(angle)) for angle in np.arange(12) * math.tau / 12]


def _table(text: str) -> list[list[float]]:
    """Return the numbers of a shape's text: rows end in "|"."""
    return [[float(number) for number in row.split()] for row in text.split("|")]


def _along(axis: str, position: float, u: float, v: float) -> tuple[float, float, float]:
    """Return the point at ``position`` along ``axis`` and (u, v) across it."""
    return {"x": (position, v, u), "y": (u, position, v), "z": (u, v, position)}[axis]


@functools.cache
def loft(axis: str, sections: str, corner: float = 0.35) -> np.ndarray:
    """Return the rings (k, n, 3) of a body that goes through ``sections`` along ``axis``.

    A section is "position, half width, half height[, offset in width, offset in height]"; width
    and height are x and z for a body along y, x and y along z, z and y along x. ``corner`` is the
    size of the chamfers as a share of the smaller half; 1 makes the section an ellipse.
    """
    rings = []
    for section in _table(sections):
        position, a, b, u, v = (*section, 0, 0)[:5]
        if corner >= 1:
            ring = [(a * x, b * y) for x, y in _CIRCLE]
        else:
            p, q = a - corner * min(a, b), b - corner * min(a, b)
            ring = [(a, q), (p, b), (-p, b), (-a, q), (-a, -q), (-p, -b), (p, -b), (a, -q)]
        rings.append([_along(axis, position, u + x, v + y) for x, y in ring])
    return np.array(rings)


@functools.cache
def plate(axis: str, profile: str, back: float, front: float, bevel: float = 0.8) -> np.ndarray:
    """Return the rings (3, n, 3) of a plate: ``profile`` from ``back`` to ``front`` along ``axis``.

    The profile's points are (x, y) for a plate along z, (z, y) along x. A profile that starts
    with "both" is the right half, from bottom to top, of one with two like halves. The edge of
    the front is cut off by about ``bevel``.
    """
    rows = _table(profile.removeprefix("both"))
    if profile.startswith("both"):
        rows += [[-x, y] for x, y in reversed(rows) if x]
    points = np.array(rows)
    centre = (points.max(0) + points.min(0)) / 2
    size = (points.max(0) - points.min(0)) / 2
    inner = centre + (points - centre) * np.maximum(1 - bevel / size, 0.2)
    step = math.copysign(min(bevel, abs(front - back) * 0.8), front - back)
    return np.array(
        [
            [_along(axis, position, u, v) for u, v in ring]
            for position, ring in ((back, points), (front - step, points), (front, inner))
        ]
    )


@functools.cache
def _faces(rings: int, corners: int) -> tuple[list[tuple[int, ...]], np.ndarray]:
    """Return the faces of a body of rings as vertex indices, and four indices of each (m, 4)."""
    faces: list[tuple[int, ...]] = []
    for ring in range(rings - 1):
        for corner in range(corners):
            a, b = ring * corners + corner, ring * corners + (corner + 1) % corners
            faces.append((a, b, b + corners, a + corners))
    last = (rings - 1) * corners
    faces.append(tuple(range(corners - 1, -1, -1)))
    faces.append(tuple(range(last, last + corners)))
    quarters = [[face[len(face) * i // 4] for i in range(4)] for face in faces]
    return faces, np.array(quarters)


@functools.lru_cache(maxsize=4096)
def _tones(colour: Colour) -> tuple[Colour, Colour, Colour, Colour]:
    """Return (highlight, lit, shadow, deep shadow) of a colour; shadows lean to blue."""
    highlight = tuple(round(0.58 * channel + 0.42 * 255) for channel in colour)
    shadow, deep = (
        tuple(round(share * channel) for share, channel in zip(shares, colour, strict=True))
        for shares in ((0.7, 0.71, 0.79), (0.52, 0.53, 0.62))
    )
    return highlight, colour, shadow, deep


class Scene:
    """What is to be painted, back to front; the view has x to the right, y up, z to the viewer."""

    PITCH = 9.0  # the viewer looks down on the figure a little: degrees
    DISTANCE = 330.0  # of the viewer: the near side is a little larger
    LIGHT = _unit((0.45, 0.66, 0.6))  # falls from above on the side the figure faces

    def __init__(self, yaw: float) -> None:
        self.view = _rotation(self.PITCH, 0, 0) @ _rotation(0, yaw, 0)
        self.vertices: list[np.ndarray] = []
        self.count = 0
        # One entry per item: its kind, first vertex, number of vertices and what the kind needs.
        self.items: list[tuple] = []

    def _add(self, frame: Frame, points: np.ndarray) -> int:
        seen = (points.reshape(-1, 3) @ frame.axes.T + frame.origin) @ self.view.T
        self.vertices.append(seen)
        self.count += len(seen)
        return self.count - len(seen)

    def solid(self, frame: Frame, rings: np.ndarray, colour: Colour, line: float = 1.0) -> None:
        """Add a closed body of rings (k, n, 3); ``line`` times the usual width is its outline's."""
        first = self._add(frame, rings)
        self.items.append(("solid", first, rings.shape[:2], _tones(colour), line))

    def decal(self, frame: Frame, points: Points, colour: Colour, at: float = 0.0) -> None:
        """Add a flat, unshaded patch (points (n, 2)) on the plane z = ``at`` of a frame.

        It is seen only if the frame's +z looks at the viewer.
        """
        if (self.view @ frame.axes[:, 2])[2] > 0.08:
            first = self._add(frame, np.array([(*point, at) for point in points]))
            self.items.append(("decal", first, len(points), colour, 0.0))

    def stroke(
        self, frame: Frame, points: str, colour: Colour, width: float = 0.0, axis: int = 2
    ) -> None:
        """Add a line through points "x y z"; a ``width`` (model units) of 0 is a hairline.

        It is seen only if the frame's ``axis`` looks at the viewer.
        """
        if (self.view @ frame.axes[:, axis])[2] > 0.08:
            rows = np.array(_table(points))
            self.items.append(("stroke", self._add(frame, rows), len(rows), colour, width))

    def cable(self, frame: Frame, points: str, colour: Colour, width: float) -> None:
        """Add a round cable with an outline through points "x y z", seen from everywhere."""
        rows = np.array(_table(points))
        self.items.append(("cable", self._add(frame, rows), len(rows), colour, width))

    def paint(self, size: int, facing: str, background: Colour, fill: float) -> Image.Image:
        """Return the picture, fitted to ``fill`` of the frame, at its internal resolution."""
        vertices = np.concatenate(self.vertices)
        flat = vertices[:, :2] * (self.DISTANCE / (self.DISTANCE - vertices[:, 2:]))
        side = 1024 if size > 128 else 512
        low, high = flat.min(0), flat.max(0)
        # Outlines reach beyond the figure, by 1.58 times the widest one at its sharpest corners;
        # the scale counts that in, the same at every size.
        scale = (fill - 2 * 1.58 * max(LINE_WIDTHS.values())) * side / float((high - low).max())
        flip = -1 if facing == "left" else 1
        pixels = (flat - (low + high) / 2) * (scale * flip, -scale) + side / 2
        points = [(x, y) for x, y in pixels.tolist()]
        tones = self._tones_of_faces(vertices, pixels, flip)

        image = Image.new("RGB", (side, side), background)
        pen = ImageDraw.Draw(image)
        width = side * LINE_WIDTHS[size]
        hairline = round(width * 0.5)
        self._paint_ground(pen, pixels, background, side)
        row = 0
        for kind, first, shape, colour, line in self.items:
            if kind == "solid":
                faces = _faces(*shape)[0]
                seen = []
                for face in faces:
                    tone = tones[row]
                    row += 1
                    if tone >= 0:
                        seen.append((face, colour[tone]))
                for loop in _boundary(face for face, _ in seen) if line else ():
                    outline = _grown([points[first + i] for i in loop], width * line)
                    if len(outline) > 2:
                        pen.polygon(outline, OUTLINE)
                for face, tint in seen:
                    pen.polygon([points[first + i] for i in face], tint)
                if line >= 1 and shape[1] != len(_CIRCLE):
                    for a, b in _creases(seen):
                        pen.line((*points[first + a], *points[first + b]), colour[3], hairline)
                continue
            patch = points[first : first + shape]
            if kind == "decal":
                pen.polygon(patch, colour)
            elif kind == "stroke":
                pen.line(patch, colour, max(hairline, round(line * scale)))
            else:
                pen.line(patch, OUTLINE, round(line * scale + 2 * width), joint="curve")
                pen.line(patch, colour, round(line * scale), joint="curve")
        return image

    def _tones_of_faces(self, vertices: np.ndarray, pixels: np.ndarray, flip: int) -> list[int]:
        """Return each solid face's tone (index into its colours), or -1 if it looks away."""
        solids = [item for item in self.items if item[0] == "solid"]
        quarters = [_faces(*shape)[1] + first for _, first, shape, _, _ in solids]
        starts = np.cumsum([0] + [len(part) for part in quarters[:-1]])
        owners = np.repeat(np.arange(len(quarters)), [len(part) for part in quarters])
        indices = np.concatenate(quarters)
        corners = vertices[indices]
        normals = np.cross(corners[:, 2] - corners[:, 0], corners[:, 3] - corners[:, 1])
        centres = corners.mean(1)
        middles = np.add.reduceat(centres, starts) / np.diff([*starts, len(indices)])[:, None]
        # A mirrored frame turns a body's faces inside out: the sum of "normal times position"
        # tells, as it is the body's volume.
        volume = np.add.reduceat((normals * (centres - middles[owners])).sum(1), starts)
        inside_out = np.sign(volume)[owners]
        flat = pixels[indices]
        a, b = flat[:, 2] - flat[:, 0], flat[:, 3] - flat[:, 1]
        area = (a[:, 1] * b[:, 0] - a[:, 0] * b[:, 1]) * flip * inside_out
        light = (normals @ self.LIGHT) * inside_out
        light /= np.maximum(np.sqrt((normals**2).sum(1)), 1e-9)
        tones = np.select((light > 0.915, light > 0.42, light > -0.35), (0, 1, 2), 3)
        return np.where(area > 0.5, tones, -1).tolist()

    def _paint_ground(
        self, pen: ImageDraw.ImageDraw, pixels: np.ndarray, background: Colour, side: int
    ) -> None:
        """Paint a faint shadow on the ground, well inside the frame."""
        bottom = float(pixels[:, 1].max())
        feet = pixels[pixels[:, 1] > bottom - 0.07 * side, 0]
        middle, half = (feet.max() + feet.min()) / 2, (feet.max() - feet.min()) / 2 + 0.02 * side
        half = min(half, middle - 0.034 * side, 0.966 * side - middle)
        for share, shade in ((1.0, 0.955), (0.8, 0.91)):
            box = (
                middle - half * share,
                bottom - 0.045 * side * share - 0.008 * side,
                middle + half * share,
                bottom + 0.018 * side * share - 0.008 * side,
            )
            pen.ellipse(box, tuple(round(value * shade) for value in background))


def _boundary(faces: Iterable[Sequence[int]]) -> list[list[int]]:
    """Return the loops of vertices around a set of faces that all turn the same way."""
    edges = {edge for face in faces for edge in zip(face, (*face[1:], face[0]), strict=True)}
    following = {a: b for a, b in edges if (b, a) not in edges}
    loops = []
    while following:
        start, following_vertex = following.popitem()
        loop = [start]
        while following_vertex != start and following_vertex in following:
            loop.append(following_vertex)
            following_vertex = following.pop(following_vertex)
        loops.append(loop)
    return loops


def _creases(seen: Sequence[tuple[Sequence[int], Colour]]) -> Iterator[tuple[int, int]]:
    """Yield the edges between two faces of different tones."""
    tints: dict[tuple[int, int], Colour] = {}
    for face, tint in seen:
        for a, b in zip(face, (*face[1:], face[0]), strict=True):
            if tints.get((b, a), tint) != tint:
                yield a, b
            tints[a, b] = tint


def _grown(polygon: Sequence[tuple[float, float]], width: float) -> list[tuple[float, float]]:
    """Return a polygon with every edge moved outwards by ``width``; sharp corners are cut off."""
    polygon = [p for p, q in zip(polygon, (*polygon[1:], polygon[0]), strict=True) if p != q]
    if not polygon:
        return []
    area = 0.0
    normals = []
    previous = polygon[-1]
    for point in polygon:
        dx, dy = point[0] - previous[0], point[1] - previous[1]
        area += previous[0] * point[1] - previous[1] * point[0]
        length = math.hypot(dx, dy)
        normals.append((dy / length, -dx / length))
        previous = point
    if area < 0:
        width = -width
    grown = []
    for i, (x, y) in enumerate(polygon):
        (ax, ay), (bx, by) = normals[i], normals[(i + 1) % len(polygon)]
        share = width / max(1 + ax * bx + ay * by, 0.8)
        grown.append((x + (ax + bx) * share, y + (ay + by) * share))
    return grown


# ---------------------------------------------------------------------------------------------
# Body parts
# ---------------------------------------------------------------------------------------------


class Machine(Scene):
    """The scene of a design, with its colours by role and by part of the body."""

    def __init__(self, design: Design) -> None:
        super().__init__(design.yaw)
        self.design = design
        self.paint_of = dict(zip(ROLES, design.palette, strict=True))
        for part, role in zip(PAINTED, PAINTS[design.paint].split(), strict=True):
            self.paint_of[part] = self.paint_of[role]
        if design.hero:
            self.paint_of["knee"] = self.paint_of["armour"]

    def __getitem__(self, part: str) -> Colour:
        """Return the colour of a role or of a part of the body."""
        return self.paint_of[part]

    def loft(
        self, f: Frame, colour: Colour, axis: str, text: str, corner: float = 0.35, line: float = 1
    ) -> None:
        """Add a ``loft`` in the frame ``f``."""
        self.solid(f, loft(axis, text, corner), colour, line)

    def plate(
        self,
        f: Frame,
        colour: Colour,
        axis: str,
        text: str,
        back: float,
        front: float,
        bevel: float = 0.8,
        line: float = 1,
    ) -> None:
        """Add a ``plate`` in the frame ``f``."""
        self.solid(f, plate(axis, text, back, front, bevel), colour, line)

    def seam(self, f: Frame, colour: Colour, points: str, axis: int = 2) -> None:
        """Add a hairline in the shadow of a plate's colour."""
        self.stroke(f, points, _tones(colour)[3], axis=axis)


def _sides(frame: Frame) -> tuple[Frame, Frame]:
    """Return the frame of the far side and that of the near side, +x outwards in both."""
    return frame, frame.mirrored()


def _disc(radius: float, x: float = 0.0, y: float = 0.0) -> list[tuple[float, float]]:
    return [(x + u * radius, y + v * radius) for u, v in _CIRCLE]


def _draw_marking(m: Machine, f: Frame, size: float) -> None:
    """Add the machine's marking on the xy plane of ``f``."""
    if m.design.marking == "disc":
        m.decal(f, _disc(size * 0.85), m["accent"])
        m.decal(f, _disc(size * 0.4), m["body"])
    elif m.design.marking == "chevron":
        for y in (-0.5, 0.5):
            shape = ((-1, 0.3), (0, -0.5), (1, 0.3), (1, 0.8), (0, 0), (-1, 0.8))
            m.decal(f, [(u * size, (v + y) * size) for u, v in shape], m["accent"])
    elif m.design.marking == "stripe":
        for x in (-0.5, 0.5):
            shape = ((-0.5, -1.1), (0.1, -1.1), (0.5, 1.1), (-0.1, 1.1))
            m.decal(f, [((u + x) * size, v * size) for u, v in shape], m["accent"])


def _facing_x(frame: Frame) -> Frame:
    """Return a frame whose +z is the +x of ``frame``: for markings on a plate along x."""
    x, y, z = frame.axes.T
    return Frame(np.stack((-z, y, x), axis=1), frame.origin)


# --- Legs: frames are scaled so that a thigh is 20 long and a shin 22 ---


def _draw_leg(m: Machine, hip: np.ndarray, ankle: np.ndarray, side: int) -> None:
    """Add a leg from ``hip`` to ``ankle``; ``side`` is 1 for the far one, -1 for the near one."""
    d = m.design
    kind, length = d.legs, d.leg_length
    hint = (0.25 * side, 0, -1.0 if kind == "digitigrade" else 1.0)
    knee, ankle = bend(hip, ankle, 20 * length, 22 * length, hint)
    girth = d.bulk * {"slim": 0.88, "heavy": 1.1}.get(kind, 1.0)
    thigh = limb(hip, knee, (0.12 * side, 0, 1), side).scaled(girth, length, girth)
    shin = limb(knee, ankle, (0.12 * side, 0, 1), side).scaled(girth, length, girth)
    _draw_foot(m, ankle, side)
    m.loft(thigh, m["frame"], "y", "3 2.8 2.8 | -20 2.5 2.7")
    m.loft(shin, m["frame"], "y", "1 2.5 2.5 | -24 2.3 2.3")
    m.loft(thigh, m["thigh"], "y", "2 3.6 4.2 | -3 5.0 5.4 | -11 4.6 5.0 | -17 3.5 4.0")
    m.seam(thigh, m["thigh"], "-3.1 -12 4.85 | 3.1 -12 4.85")
    m.loft(shin, m["frame"], "x", "-3.5 2.8 2.8 | 3.5 2.8 2.8", 1)
    {"flared": _flared_shin, "heavy": _heavy_shin, "slim": _slim_shin}.get(kind, _shin)(m, shin)
    if kind == "digitigrade":
        for x in (2.0, -2.0):
            m.plate(shin, m["trim"], "x", "-2 3 | -4 6 | -9 1 | -8 -8 | -4 -10", x * 0.4, x * 1.4)


def _shin(m: Machine, f: Frame) -> None:
    colour = m["shin"]
    text = "3 3.4 3.8 | -3 5 5.6 .2 -1 | -8 5.6 6.8 .5 -1.8 | -17 3.9 4.6 .2 -.4 | -21.5 5.2 5.6"
    m.loft(f, colour, "y", text)
    for x in (5.2, -4.6):  # thruster vents on the calves' sides
        m.plate(
            f, m["trim"], "x", "-5.5 -5 | -1 -4 | -1 -9 | -5 -10.5", x * 0.9, x * 1.12, 0.4, 0.6
        )
    m.plate(f, colour, "z", "both 1.2 -19 | 2.6 -9 | 3.2 -2.5 | 2.7 3 | 1.2 5.6", 2.6, 6.2, 1.2)
    m.seam(f, colour, "-2.6 -6.5 6.2 | 2.6 -6.5 6.2")
    m.plate(f, m["knee"], "z", "both 1.6 -3.4 | 2.7 -1 | 2.3 3.6 | 1 5.4", 5.2, 7.6, 0.9, 0.8)


def _flared_shin(m: Machine, f: Frame) -> None:
    colour = m["shin"]
    m.loft(f, GUNMETAL, "y", "-23 6.4 6.6 0 -1.2 | -19 6.6 7 0 -1.2", 1)
    text = "2 3.5 3.9 | -4 5.2 5.8 .2 -.6 | -10 6.1 6.8 .4 -1.2 | -16 6.9 7.6 .6 -1.2"
    m.loft(f, colour, "y", text + "| -21 8.6 9.2 .8 -1.2", 1)
    m.loft(f, m["trim"], "y", "-19.4 8.4 9 .8 -1.2 | -22 9 9.6 .8 -1.2", 1)
    m.plate(f, m["knee"], "z", "both 1.6 -7 | 3.6 -2.4 | 3.3 2.5 | 1.4 4.8", 2.6, 6.8, 1.2)
    m.plate(f, colour, "z", "both 0 -17.5 | 1.8 -14 | 1.4 -9.6", 5.2, 7.6, 0.8, 0.7)


def _heavy_shin(m: Machine, f: Frame) -> None:
    colour = m["shin"]
    text = "2 3.8 4.2 | -4 5.6 6 .2 -.5 | -13 6.9 7.6 .6 -1 | -20 6.4 7.6 .5 -.6 | -22 5 6.2 .4 -.4"
    m.loft(f, colour, "y", text, 0.42)
    m.plate(f, m["trim"], "z", "both 1.8 -19 | 3.2 -17 | 3.0 -12 | 1.8 -10.6", 5.4, 7.6, 0.6, 0.8)
    for y in ("-13", "-15", "-17"):
        m.stroke(f, f"-2.2 {y} 7.7 | 2.2 {y} 7.7", OUTLINE, 0.5)
    for x in (6.6, -5.6):
        m.plate(f, colour, "x", "-6 -4 | 2 -5 | 2 -16 | -5 -18", x * 0.86, x * 1.16, 1)
    m.plate(f, m["knee"], "z", "both 2.2 -7 | 3.9 -3 | 3.5 3 | 1.8 5", 2.8, 7.2, 1.3)


def _slim_shin(m: Machine, f: Frame) -> None:
    colour = m["shin"]
    text = "2 3.2 3.4 | -4 4.7 5.6 .2 -1.4 | -9 4.8 5.8 .2 -1.6 | -17 3.6 4 .1 -.4 | -21 3.9 4.2"
    m.loft(f, colour, "y", text)
    m.plate(f, m["trim"], "x", "-8 -3 | -4 -2 | -3 -9 | -8.6 -12 | -10 -8", -1.2, 1.2, 0.4)
    m.plate(f, m["knee"], "z", "both 0 -13 | 2.4 -6 | 3.2 1 | 1.2 6.4", 2.4, 6.4, 1.2)
    m.plate(f, m["accent"], "z", "both 0 -3 | 1.2 0 | .7 3.2", 6, 7.2, 0.4, 0.6)


def _draw_foot(m: Machine, ankle: np.ndarray, side: int) -> None:
    """Add the foot under ``ankle``, flat on the ground 6.6 below and turned out a little."""
    b = 0.5 + 0.55 * m.design.bulk
    f = Frame(np.eye(3), ankle).child(0, 0, 0, (0, 9 * side, 0))
    f = (f.mirrored() if side < 0 else f).scaled(b, 1, b)
    kind, colour = m.design.feet, m["foot"]
    if kind == "claw":
        m.loft(f, colour, "z", "-9 1.6 1.2 0 -5.4 | -4 2.6 2.8 0 -3.8 | 0 2.8 2.8 0 -3.8")
        for x, angle in ((2.2, 24), (-2.2, -24), (0, 0)):
            toe = f.child(x, 0, 1, (0, angle, 0))
            m.loft(toe, colour, "z", "-2 2 3 0 -3.6 | 6 2.2 2.3 0 -4.3 | 14 .9 .6 0 -6", 0.45)
    elif kind == "round":
        m.loft(
            f,
            colour,
            "z",
            "-7 3.6 1.5 0 -5.1 | -5 5.2 2.2 0 -4.4 | 2 5.9 2.9 0 -3.7 | 10 5.2 2 0 -4.6"
            "| 13.5 3.2 1 0 -5.6",
            0.6,
        )
        m.seam(f, colour, "-5.4 -3 4.5 | 0 -1 4.5 | 5.4 -3 4.5", 1)
    elif kind == "boots":
        m.loft(f, m["shin"], "z", "-7 3.8 2 0 -4.6 | -5.6 5 2.7 0 -3.9 | 7 5.2 2.7 0 -3.9")
        m.loft(f, colour, "z", "6.4 5.3 2.9 0 -3.7 | 11 5 2.1 0 -4.5 | 14.5 3.8 1.1 0 -5.5")
    else:
        m.loft(f, colour, "z", "-8 3 1.5 0 -5.1 | -6 4.2 2.7 0 -3.9 | 1 4.8 3 0 -3.6")
        m.loft(f, colour, "z", "0 5 3 0 -3.6 | 6 5 2.4 0 -4.2 | 14 3.9 1 0 -5.6 | 15 3 .6 0 -6")
        m.seam(f, colour, "-4.6 -2 6.2 | 4.6 -2 6.2", 1)
    cuff = f.child(0, 0, 0, (-24, 0, 0))
    m.plate(cuff, m["shin"], "z", "both 2.8 -5 | 3.8 -1.5 | 2.6 2.6", 1.2, 5, 0.9)


# --- Waist and torso ---


def _draw_skirt(m: Machine, waist: Frame, far_swing: float, near_swing: float) -> None:
    """Add belt and skirt; each front plate is lifted by how far its leg stands forward."""
    d = m.design
    kind, colour = d.skirt, m["skirt"]
    g = 0.85 + 0.17 * d.bulk
    f = waist.scaled(g, 1, g)
    if kind == "bell":
        m.loft(f, colour, "y", "-10.5 13 10.2 | -8.8 13 10.2 | -3 9.8 7.6 | 1 7.6 6", 1)
        m.loft(f, m["trim"], "y", "-11 13.3 10.5 | -9.4 13.3 10.5", 1, 0.7)
        m.plate(f, m["trim"], "z", "both 2.4 -10.6 | 2.8 -3 | 2.2 .6", 4, 10.8)
    else:
        text = {
            "plates": "-5 1.5 | 4.6 1.5 | 5.6 -8.5 | 2 -11.5 | -6 -11.5",
            "short": "-5 1.5 | 4.6 1.5 | 5 -5.5 | 2 -8 | -5.6 -8",
            "long": "-5 1.5 | 4.6 1.5 | 6 -10 | 1 -18 | -7 -16",
        }[kind]
        for side in _sides(f):
            hip = side.child(8.4, -0.5, 0, (0, 0, 18 if kind == "long" else 14))
            m.plate(hip, colour, "x", text, 0, 2.6, 1)
            m.plate(hip, m["trim"], "x", "-2.8 -1 | 2.6 -1 | 2.6 -5 | -2.8 -5", 2.4, 4, 0.6, 0.7)
        text = {
            "plates": "-3.2 .5 | 3.8 .5 | 5 -7 | 3.8 -11.5 | -1.8 -11.5 | -3.4 -9",
            "short": "-3.2 .5 | 3.8 .5 | 4.6 -5 | 3 -8 | -1.8 -8 | -3.4 -6.5",
            "long": "-3.2 .5 | 3.8 .5 | 5.2 -9 | 4 -14.5 | 0 -15.5 | -3.4 -12",
        }[kind]
        for side, swing in zip(_sides(f), (far_swing, near_swing), strict=True):
            front = side.child(4.8, 0.5, 4.8, (-15 - 0.8 * swing, 0, 3))
            m.plate(front, colour, "z", text, 0, 2.4, 1)
            if kind == "plates":
                m.plate(
                    front, m["accent"], "z", "-1.6 -1 | 2.2 -1 | 2.4 -4 | -1.6 -4", 2, 3, 0.4, 0.7
                )
                m.seam(front, colour, "-2 -9 2.4 | 4 -9 2.4")
            else:
                m.seam(front, colour, "-2 -3.5 2.4 | 3.4 -3.5 2.4")
        centre = m["trim"] if d.hero else m["body"]
        m.plate(f, centre, "z", "both 0 -10.5 | 1.9 -8.6 | 2.4 .8", 3.5, 7.6)
        m.plate(f, m["accent"], "z", "both 0 -5.6 | 1.1 -3.8 | 1.1 -1", 7.2, 8.2, 0.4, 0.6)
    m.loft(f, m["trim"] if d.hero else m["body"], "y", "-1 7.8 6.1 | 1.8 7.4 5.8")
    m.plate(f, m["accent"], "z", "both 2.2 -.9 | 2.2 2.1", 5, 6.8, 0.6, 0.7)


def _draw_torso(m: Machine, chest: Frame, half: float) -> None:
    """Add abdomen, chest and collar; ``half`` is the chest's half width (usually 12)."""
    d = m.design
    f = chest.scaled(half / 12, 1, 0.9 + 0.1 * d.bulk)
    m.loft(f, m["frame"], "y", "-8 4.8 4.2 | 3 5.6 4.8")
    belly = m["trim"] if d.hero else m["body"] if d.torso == "slab" else m["armour"]
    m.loft(f, belly, "y", "-5 5.4 5.2 | -2 5.4 5.2 | 2.5 6.8 6")
    m.plate(f, belly, "z", "both 1.8 -5 | 2.6 -2 | 2.6 1", 4, 6.2, 0.8, 0.7)
    {"barrel": _barrel, "slab": _slab, "prow": _prow}.get(d.torso, _vented)(m, f)
    if d.torso != "barrel":
        collar = m["accent"] if d.hero else m["trim"]
        m.loft(f, collar, "y", "14.4 5.8 5.6 0 .6 | 17.6 4.9 4.6 0 .2")


def _barrel(m: Machine, f: Frame) -> None:
    colour = m["body"]
    text = "0 8 6.4 | 4 11 8.6 | 11 12.2 8.8 | 15 9.6 6.6 | 16.8 5.8 4.4"
    m.loft(f, colour, "y", text, 1)
    m.plate(f, colour, "z", "both 2.6 1.6 | 4.4 5 | 3.8 11 | 1.8 12.6", 6, 10, 1.2)
    m.plate(f, m["accent"], "z", "both 1.2 4 | 2 6.4 | 1.6 9", 9.4, 10.6, 0.5, 0.6)
    for side in _sides(f):  # power cables from the chest to the back of the waist
        m.plate(side, m["trim"], "z", "5.4 6 | 9 7 | 9.4 10.4 | 5.2 10.8", 6, 8.6, 0.5, 0.7)
        m.cable(side, "3.4 1 8.4 | 7.4 -2.4 7.2 | 9.6 -3.6 2.5 | 8.4 -3.4 -2", m["frame"], 2.2)


def _slab(m: Machine, f: Frame) -> None:
    m.loft(f, m["body"], "y", "0 8.6 6.6 | 3 11.8 8.2 | 12.5 12.8 8.4 | 16 10.6 5.8", 0.28)
    m.plate(f, m["armour"], "z", "both 4.8 5.2 | 6.8 8 | 6.8 13 | 5 14.8", 6, 10, 1.2)
    m.plate(f, m["trim"], "z", "both 2.2 .2 | 3.4 2.4 | 3.4 5", 7, 9.6)
    for y in ("8", "9.8", "11.6"):
        m.stroke(f, f"-4.4 {y} 10 | 4.4 {y} 10", OUTLINE, 0.55)
    for side in _sides(f):
        m.plate(side, m["accent"], "z", "8.4 10 | 11 10 | 11 12.4 | 8.4 12.4", 7, 9, 0.4, 0.7)


def _prow(m: Machine, f: Frame) -> None:
    m.loft(f, m["body"], "y", "0 7.2 5.8 | 5 11.4 7.2 | 12 12.6 7.2 | 16 9 5")
    for side in _sides(f):
        wing = side.child(0, 0, 0, (0, 16, 0))
        m.plate(wing, m["body"], "z", "1 4.6 | 9.6 6.8 | 12 10 | 12 13.8 | 1 15", 4.5, 9, 1.2)
        m.plate(wing, m["accent"], "z", "4.6 8 | 9.4 8.8 | 9.8 11 | 4.6 10.6", 8.6, 9.6, 0.4, 0.7)
    m.plate(f, m["armour"], "x", "5 1 | 10 6 | 13.4 11.6 | 9.4 15 | 5 15", -2.8, 2.8, 0.3)
    m.plate(f, m["accent"], "x", "9 5.6 | 12.4 10.4 | 9 10.4", -3.1, 3.1, 0.1, 0.6)


def _vented(m: Machine, f: Frame) -> None:
    m.loft(f, m["body"], "y", "0 7.4 6 | 4.5 10.8 7.4 | 12.5 12.6 7.4 | 16 9.8 5.4")
    for side in _sides(f):
        m.plate(side, m["body"], "z", "2.4 5 | 9.8 5.8 | 12 9 | 12 14 | 3 15", 5.5, 9.4, 1.2)
        m.plate(side, m["accent"], "z", "4 8.8 | 10.4 9.2 | 10.4 13 | 4 13.4", 8.8, 10, 0.3, 0.7)
        for y in ("10.4", "11.9"):
            m.seam(side, m["accent"], f"4.2 {y} 10 | 10.2 {y} 10")
    hatch = m["trim"] if m.design.hero else m["armour"]
    m.plate(f, hatch, "z", "both 2.2 -.2 | 3.2 2 | 2.8 8.4 | 1.6 9.8", 5, 9.8, 1.2)
    m.seam(f, hatch, "-2.4 4.6 9.8 | 2.4 4.6 9.8")


# --- Head ---


def _draw_head(m: Machine, neck: Frame) -> None:
    """Add the head on ``neck``, whose +z is where it looks."""
    d = m.design
    f = neck.scaled(d.head_scale, d.head_scale, d.head_scale)
    m.loft(f, m["frame"], "y", "-3 2.4 2.6 | 2 2.4 2.6")
    heads = {"mono-eye": _mono_head, "dome": _dome_head, "visor": _visor_head}
    far, near = _sides(f)
    _draw_ear(m, far)
    heads.get(d.head, _face_head)(m, f)
    _draw_ear(m, near)
    if d.head != "v-fin":
        _draw_crest(m, f.child(0, 7.6 if d.head == "dome" else 9.2, 0))


def _draw_ear(m: Machine, f: Frame) -> None:
    """Add what is on one side of the head; the frame's +x looks away from it."""
    d = m.design
    if d.crest == "ears":
        low = 0 if d.head == "dome" else 2.4
        antenna = f.child(0, low, 0)
        m.plate(antenna, m["trim"], "x", "-3.4 0 | -.4 0 | -3 12 | -4 11", 4.2, 5.6, 0.3, 0.8)
    if d.head == "mono-eye":
        m.cable(f, "1.8 .9 6.6 | 4.6 .6 4.8 | 5.2 1 .5", m["frame"], 1.5)
    elif d.head == "visor":
        m.loft(f, m["trim"], "x", "4 1.6 1.6 0 4.4 | 5.2 1.2 1.2 0 4.4", 0.5, 0.6)
    elif d.head != "dome":
        m.loft(f, m["helmet"], "x", "3.9 1.6 1.9 -.4 3.6 | 5.2 1.2 1.4 -.4 3.6", 0.5, 0.6)


def _mono_head(m: Machine, f: Frame) -> None:
    colour = m["helmet"]
    m.loft(f, colour, "y", "0 3.4 3.8 | 2.2 4.6 5 | 4.0 4.9 5.3", 1)
    m.loft(f, OUTLINE, "y", "3.4 4.6 5 | 7.2 4.5 4.9", 1)
    m.loft(f, colour, "y", "6.9 4.9 5.3 | 8.4 4.4 4.8 | 10 2.6 3 | 10.6 1 1.2", 1)
    _draw_eye(m, f.child(0, 4.9, 0, (0, -16, 0)), 5)
    m.plate(f, m["trim"], "z", "both 1.5 -.8 | 2.5 .8 | 2 2.6", 3.5, 7.4, 0.8, 0.8)


def _draw_eye(m: Machine, f: Frame, radius: float) -> None:
    """Add the one eye on its rail of a ``radius``, looking along the frame's +z."""
    m.decal(f, _disc(2.0), m["eye"], radius)
    m.decal(f, _disc(0.95, 0.1, 0.3), (255, 246, 250), radius)


def _dome_head(m: Machine, f: Frame) -> None:
    colour = m["helmet"]
    m.loft(f, colour, "y", "-1.4 4.8 4.8 | 1.4 5.9 5.9", 1)
    m.loft(f, OUTLINE, "y", ".8 5.6 5.7 | 4.6 5.5 5.6", 1)
    m.loft(f, colour, "y", "4.3 6 6.1 | 6 5.4 5.5 | 7.8 3.6 3.8 | 8.6 1.2 1.4", 1)
    _draw_eye(m, f.child(0, 2.3, 0, (0, -16, 0)), 5.7)
    m.plate(f, m["trim"], "z", "both .9 -2.4 | 1.6 -1.4 | 1.2 .2", 4.6, 6.8, 0.4, 0.7)


def _visor_head(m: Machine, f: Frame) -> None:
    colour = m["helmet"]
    m.loft(f, colour, "y", "0 3 3.6 | 3 4.3 4.8 | 6.8 4.4 4.9 | 9 3 3.4")
    m.plate(f, m["armour"], "z", "both 1.6 -.2 | 2.6 1.4 | 2.8 3.4", 3, 5.8, 0.6, 0.7)
    m.plate(f, OUTLINE, "z", "both 3.7 2.9 | 4 6.9", 2, 5.1, 0.3, 0.7)
    m.decal(f, ((-3.4, 3.5), (3.4, 3.5), (3.6, 6.3), (-3.6, 6.3)), m["eye"], 5.15)
    m.decal(f, ((0.2, 4.9), (3.2, 4.9), (3.3, 6.0), (0.2, 6.0)), (244, 255, 252), 5.2)
    m.plate(f, colour, "x", "-3 7.6 | 5 6.8 | 4.6 8.6 | 2 10 | -3 9.4", -1.3, 1.3, 0.4, 0.8)


def _face_head(m: Machine, f: Frame) -> None:
    """Add a head with two eyes and a mask, with the V of a "v-fin" on its brow."""
    colour = m["helmet"]
    m.loft(f, colour, "y", ".6 3 3.2 | 3 4.3 4.4 | 6.8 4.4 4.8 | 9 3 3.2")
    m.plate(f, colour, "x", "-3.6 7.6 | 4.4 7 | 4.2 9 | 2.6 10.6 | -2 9.6", -1.3, 1.3, 0.4, 0.8)
    m.plate(f, OUTLINE, "z", "both 2.4 1.4 | 3.6 3 | 3.6 6.4", 2.5, 5, 0.3, 0.6)
    mask = m["armour"] if sum(m["armour"]) > 600 else _tones(m["armour"])[0]
    m.plate(f, mask, "z", "both 1.2 .2 | 2.4 1.4 | 2.6 3.2 | .7 4", 3, 6, 0.6, 0.6)
    m.plate(f, m["trim"], "z", "both .7 -.9 | 1.3 .1 | .8 1.2", 4.6, 6.6, 0.3, 0.6)
    for side in _sides(f):
        m.decal(side, ((0.5, 3.9), (3.4, 4.3), (3.5, 6.3), (0.5, 5.4)), m["eye"], 5.1)
    m.plate(f, colour, "z", "both 3.8 6 | 3.5 7.6 | 1.2 8", 2, 5.6, 0.6, 0.6)
    if m.design.head == "v-fin":
        for side in _sides(f.child(0, 0, 0, (-8, 0, 0))):
            fin = side.child(0, 0, 0, (0, 8, 0))
            text = ".2 5.8 | 2.4 6.4 | 9.6 14.2 | 2 9.2 | .2 8.4"
            m.plate(fin, m["accent"], "z", text, 5.2, 6.4, 0.3, 0.8)
        m.plate(f, m["trim"], "z", "both 0 5.4 | 1.2 6.6 | 1 8.8", 5.8, 7.2, 0.4, 0.7)


def _draw_crest(m: Machine, f: Frame) -> None:
    """Add what stands on the head; the frame's origin is its top."""
    kind = m.design.crest
    if kind == "horn":
        m.plate(f, m["accent"], "x", "2.4 -2 | 5.6 -3 | 4.6 7", -0.7, 0.7, 0.1, 0.8)
    elif kind == "fin":
        text = "3.4 -1 | 1.4 1 | -4.4 3.8 | -3.6 .6 | -3.6 -1.6"
        m.plate(f, m["accent"], "x", text, -0.8, 0.8, 0.2, 0.8)
    elif kind == "twin-horns":
        for side in _sides(f):
            m.plate(side, m["accent"], "z", "1.8 -2 | 4.4 -3.4 | 8.4 5 | 5 .8", -0.2, 1.8, 0.3, 0.8)


# --- Arms and shoulders ---

# Where the fist goes, from the shoulder (outwards, up, forward), and where the weapon points.
ARM_POSES = {
    "rifle low": ((8, -21, 6), (0.12, -0.5, 0.85)),
    "rifle forward": ((4, -13, 14), (0.15, 0.04, 1)),
    "rifle up": ((9, -12, 9), (0.3, 1, 0.1)),
    "sabre forward": ((6, -13, 13), (0.55, 0.6, 0.5)),
    "sabre raised": ((12, 5, 8), (0.75, 0.6, -0.1)),
    "sabre low": ((9, -19, 6), (0.75, -0.45, 0.4)),
    "bazooka level": ((6, -9, 13), (0.12, 0.06, 1)),
    "bazooka low": ((8, -21, 5), (0.3, -0.35, 0.85)),
    "axe raised": ((12, 3, 8), (0.25, 0.95, 0.25)),
    "axe forward": ((5, -13, 13), (0.3, 0.9, 0.35)),
    "axe low": ((8, -22, 4), (0.85, -0.3, 0.35)),
    "gatling low": ((8, -20, 6), (0.25, -0.35, 0.9)),
    "gatling forward": ((5, -15, 13), (0.12, 0.0, 1)),
    "shield": ((8, -17, 9), (0, 0, 1)),
    "down": ((8, -23.5, 2), (0, 0, 1)),
    "bent": ((9, -19, 9), (0, 0, 1)),
    "fist": ((4, -12, 14), (0, 0, 1)),
}


def _draw_arm(m: Machine, chest: Frame, side: int, shoulder_x: float, armed: bool) -> None:
    """Add one arm with its shoulder and with the weapon or the shield it holds."""
    d = m.design
    bears = not armed and d.shield != "none"
    pose = f"{d.weapon} {d.weapon_pose}" if armed else "shield" if bears else d.free_arm
    target, pointing = ARM_POSES[pose]
    if side < 0 and pointing[2] >= 0.8:
        # A near gun points across the picture, not out of it, and leaves the chest to be seen.
        target, pointing = (7, min(target[1], -17.5), 10), (-0.45, *pointing[1:])
    outer = chest if side > 0 else chest.mirrored()
    root = outer.child(shoulder_x, 12.5, -0.5)
    hint = outer.axes @ np.array((0.75, -0.35, -0.7))
    elbow, fist = bend(root.origin, root.point(*target), 12.5, 12.5, hint)
    girth = 0.25 + 0.78 * d.bulk
    forward = outer.axes @ np.array((0.25, 0, 1))
    upper = limb(root.origin, elbow, forward, side).scaled(girth, 1, girth)
    if target[1] > -18:
        forward = outer.axes @ np.array((0.3, 1, 0.2))  # a bent forearm shows its back
    lower = limb(elbow, fist, forward, side).scaled(girth, 1, girth)
    m.loft(upper, m["frame"], "y", "2 2.7 2.7 | -12.5 2.3 2.5")
    m.loft(upper, m["arm"], "y", "0 3.2 3.4 | -8 3.5 3.7 | -10.4 2.8 3.1")
    lift = 5 + max(0.0, target[1] + 8) * 1.2
    _draw_shoulder(m, root.child(0, 0, 0, (0, 0, lift)), side)
    m.loft(lower, m["frame"], "x", "-2.9 2.6 2.6 | 2.9 2.6 2.6", 1)
    _draw_forearm(m, lower)
    if armed:
        _draw_weapon(m, _aim(fist, outer.axes @ np.array(pointing), d.weapon == "axe"))
    fingers = "-11 1.9 1.9 | -11.6 2.5 2.7 | -14.4 2.7 2.9 | -15.8 2 2.2"
    m.loft(lower, m["frame"], "y", fingers)
    m.stroke(lower, "-2.3 -14.2 3.1 | 2.3 -14.2 3.1", OUTLINE, 0.4)
    if bears:
        mount = lower.child(3.6, -6.5, 0).origin
        normal = outer.axes @ np.array((0.62, 0.06, 0.75))
        _draw_shield(m, _aim(mount, normal).scaled(1.12, 1.12, 1))


def _aim(origin: np.ndarray, direction: np.ndarray, broad: bool = False) -> Frame:
    """Return a frame at ``origin`` whose +z has a ``direction`` and whose +y is as good as up.

    If it is ``broad``, +y is across the picture instead, so that a blade shows its flat side.
    """
    ahead = _unit(direction)
    above = np.array((0.8, 0.3, 0.6) if broad else (0.05, 1, -0.6 if ahead[1] > 0.5 else 0.1))
    above = _unit(above - ahead * (above @ ahead))
    return Frame(np.stack((np.cross(above, ahead), above, ahead), axis=1), origin)


def _draw_forearm(m: Machine, f: Frame) -> None:
    """Add the gauntlet; its frame's origin is the elbow, the fist is 12.5 below."""
    kind, colour = m.design.forearms, m["forearm"]
    if kind == "cuffed":
        m.loft(f, colour, "y", ".5 2.9 3.1 | -5 3.8 4 | -9 4.1 4.3", 1)
        m.loft(f, m["trim"], "y", "-8.4 4.4 4.6 | -12 5 5.2 | -12.6 4.4 4.6", 1)
    elif kind == "boxy":
        m.loft(f, colour, "y", "1 2.9 3.3 | -3 4.2 4.6 | -11 4.3 4.7 | -12.6 3.4 3.8", 0.25)
        m.plate(f, m["trim"], "x", "-2.6 -3.4 | 2.6 -3.4 | 2.6 -10 | -2.6 -10", 3.8, 5.4, 0.8, 0.7)
        m.seam(f, colour, "-3.6 -9 4.7 | 3.6 -9 4.7")
    else:
        m.loft(f, colour, "y", "1 2.7 3 | -4 4 4.4 | -12.6 3.3 3.6")
        m.loft(f, m["accent"], "y", "-9.6 3.8 4.1 | -11.4 3.6 3.9", line=0.6)


def _draw_shoulder(m: Machine, f: Frame, side: int) -> None:
    """Add the shoulder's armour; its frame has +x outwards."""
    d = m.design
    kind, colour = d.shoulders, m["shoulder"]
    b = 0.54 + 0.52 * d.bulk
    f = f.scaled(b, b, b)
    m.loft(f, m["frame"], "x", "-5 3 3 | 2 3 3", 1)
    if kind in ("round", "spiked") or (kind == "shielded" and side < 0):
        text = "-5 5.8 6.2 1 | -1 6.7 7 1 | 3 6.1 6.5 .8 | 6 3.8 4.2 .4 | 7.2 1.4 1.6"
        m.loft(f, colour, "y", text, 1)
        m.loft(f, m["trim"], "y", "-5.4 6.3 6.7 1 | -3.4 6.7 7.1 1", 1, 0.8)
        if kind != "round":
            for roll, pitch in ((-6, 26), (-66, 4), (-36, -20)):
                spike = f.child(1, 0, 0, (pitch, 0, roll))
                m.loft(spike, m["accent"], "y", "5 1.9 1.9 | 12 .15 .15", 1, 0.8)
    elif kind == "shielded":
        m.loft(f, colour, "y", "-4 4.6 5 | 2 5.4 5.6 | 5 3.6 4", 1)
        guard = f.child(5.2, -2, 1.5, (0, -30, 6))
        text = "-8 8 | -4.6 11 | 6 11 | 9 8 | 9 -8 | 5.6 -13 | -5.6 -13 | -8.6 -8"
        m.plate(guard, colour, "x", text, 0, 2.6, 1.2)
        m.seam(guard, colour, "2.6 -7 -7 | 2.6 -7 7", 0)
        _draw_marking(m, _facing_x(guard.child(2.7, 2, 0)), 3.6)
    elif kind == "flared":
        m.loft(f, colour, "y", "-4 4.6 5.4 | 1 5.2 5.8 | 4 3.8 4.6")
        m.plate(
            f, colour, "z", "-4.5 2 | -3 6 | 10 11.5 | 14.5 9 | 9.6 -6 | 6.6 -7 | 3.5 0", -6, 6, 1.3
        )
        m.plate(
            f, m["trim"], "z", "-1 4.6 | 8.6 8.8 | 10.8 7.2 | 7.6 -.6 | 4.4 2.4", 5.4, 7, 0.5, 0.7
        )
    elif kind == "layered":
        m.loft(f, m["trim"], "y", "-6.6 6.4 6.2 1.4 | -1 6.9 6.5 1.4")
        m.loft(f, colour, "y", "-2.6 7.6 7.2 1.2 | 2.6 7.2 7 1 | 5.4 4.4 4.8", 0.3)
        _draw_marking(m, f.child(1.2, 0.2, 7.3), 2.4)
    else:
        m.loft(f, colour, "y", "-5.8 6.2 6.4 .8 | 3.4 6.7 6.9 .8 | 6.4 4.8 5 .4", 0.22)
        m.seam(f, colour, "-4.8 -2.9 6.8 | 6.4 -2.9 6.8")
        m.plate(f, colour, "x", "-4.4 -3.4 | 4.4 -3.4 | 4.4 2.8 | -4.4 2.8", 6.4, 8.4, 0.9, 0.8)
        _draw_marking(m, f.child(0.8, 0.6, 6.95), 2.6)


# --- What it carries ---


def _draw_weapon(m: Machine, f: Frame) -> None:
    """Add the weapon; the frame's origin is the fist, +z is where the weapon points."""
    kind = m.design.weapon
    if kind == "rifle":
        m.loft(f, STEEL, "z", "6 1 1 0 1.6 | 23 .9 .9 0 1.6", 1)
        m.loft(f, GUNMETAL, "z", "20 1.6 1.6 0 1.6 | 25 1.4 1.4 0 1.6", 1)
        m.plate(f, GUNMETAL, "x", "-15 -2.8 | -15 2.8 | -5 3.4 | -5 0", -1.1, 1.1, 0.4)
        m.plate(f, STEEL, "x", "-6 -.6 | 3 -.8 | 12 0 | 12 3.4 | 2 4.8 | -6 4", -1.8, 1.8, 0.6)
        m.plate(f, GUNMETAL, "x", "4 -.2 | 8 -.2 | 7.4 -6 | 4 -6", -1.3, 1.3, 0.4)
        m.loft(f, GUNMETAL, "z", "-2 1.3 1.3 0 6 | 5 1.5 1.5 0 6", 0.5)
        m.loft(f, m["eye"], "z", "5 1.1 1.1 0 6 | 5.5 1.1 1.1 0 6", 0.5, 0.5)
    elif kind == "sabre":
        glow = m.design.beam
        core = tuple(round(0.3 * channel + 0.7 * 255) for channel in glow)
        m.loft(f, glow, "z", "3 1.7 1.7 | 27 1.6 1.6 | 31 .2 .2", 1, 0)
        m.loft(f, core, "z", "3 .7 .7 | 26 .65 .65 | 28.5 .1 .1", 1, 0)
        m.loft(f, STEEL, "z", "-5 1.1 1.1 | 3.4 1.2 1.2", 1)
    elif kind == "bazooka":
        f = f.child(0, 4.4, 0)
        m.loft(f, GUNMETAL, "z", "-17 3.5 3.5 | -11 2.4 2.4", 1)
        m.loft(f, STEEL, "z", "-12 2.6 2.6 | 17 2.6 2.6", 1)
        m.loft(f, m["trim"], "z", "15 2.9 2.9 | 18 3.6 3.6 | 22 3.6 3.6", 1)
        m.decal(f, _disc(2.5), OUTLINE, 22.1)
        m.plate(f, GUNMETAL, "x", "-6 2 | 3 2 | 3 5.8 | -5 5.8", -1.4, 1.4, 0.5)
        m.plate(f, GUNMETAL, "x", "-1.4 -6 | 1.4 -6 | 1.4 0 | -1.4 0", -0.9, 0.9, 0.3)
    elif kind == "axe":
        m.loft(f, STEEL, "z", "-8 1 1 | 18 1 1", 1)
        m.plate(f, GUNMETAL, "x", "9.5 .5 | 18 .5 | 20.5 7 | 15 10.5 | 8 8.5", -1, 1, 0.4)
        text = "19.4 4.6 | 22 7.6 | 15.4 12.4 | 6.6 9.8 | 8 7.4 | 15.4 9.2"
        m.plate(f, m.design.beam, "x", text, -1.2, 1.2, 0.3, 0.7)
        m.plate(f, STEEL, "x", "11 -.5 | 16 -.5 | 13.4 -6", -0.7, 0.7, 0.2)
    elif kind == "gatling":
        f = f.child(0, 1.6, 0)
        m.loft(f, STEEL, "z", "-9 2.4 2.6 | -7 3.6 3.8 | 6 3.6 3.8 | 8 2.6 2.6", 0.5)
        for x, y in ((-1.2, 1.2), (1.2, 1.2), (1.2, -1.2), (-1.2, -1.2)):
            m.loft(f.child(x, y, 0), GUNMETAL, "z", "7 .9 .9 | 23 .9 .9", 1, 0.6)
        for z in (11, 19):
            m.loft(f.child(0, 0, z), STEEL, "z", "0 2.7 2.7 | 1.7 2.7 2.7", 1, 0.7)
        m.loft(f, m["trim"], "x", "-2.4 4.2 4.2 0 -4.2 | 2.6 4.2 4.2 0 -4.2", 1)


SHIELDS = {
    "kite": "both 0 -17 | 5.2 -9 | 6.6 6 | 4.6 14 | 2 15.5",
    "tower": "both 4.2 -16 | 6.4 -13 | 6.4 12 | 4.2 15.5",
    "round": " | ".join(f"{x:.3f} {y:.3f}" for x, y in _CIRCLE),  # of radius 1
    "spiked": "both 0 -16 | 4.2 -11 | 6.8 0 | 5.6 9 | 2.4 12.5",
}


def _draw_shield(m: Machine, f: Frame) -> None:
    """Add the shield; the frame's +z is its outer side."""
    kind, hero = m.design.shield, m.design.hero
    rim, field = (m["armour"], m["trim"]) if hero else (m["trim"], m["armour"])
    if kind == "round":
        m.plate(f.scaled(9, 9, 1), rim, "z", SHIELDS[kind], 0, 2, 0.1)
        m.plate(f.scaled(6.4, 6.4, 1), field, "z", SHIELDS[kind], 1.6, 2.9, 0.1, 0.7)
        _draw_marking(m, f.child(0, 0, 3), 3.2)
        return
    m.plate(f, rim, "z", SHIELDS[kind], 0, 2)
    m.plate(f.scaled(0.68, 0.74, 1), field, "z", SHIELDS[kind], 1.6, 2.8, 0.7, 0.7)
    if kind == "spiked":
        for y in (-7, 1, 8):
            m.loft(f.child(0, y, 2), m["accent"], "z", "0 1.8 1.8 | 5 .2 .2", 1, 0.8)
    elif hero and kind == "kite":
        m.plate(
            f, m["accent"], "z", "both 0 -8 | 1.3 -1.4 | 4 2 | 1.3 3.4 | 0 10", 2.4, 3.4, 0.4, 0.7
        )
    else:
        m.decal(f, ((-2.6, 8), (2.6, 8), (2.6, 6), (-2.6, 6)), OUTLINE, 2.85)
        _draw_marking(m, f.child(0, -1, 2.85), 3.2)


def _draw_backpack(m: Machine, chest: Frame) -> None:
    """Add what is behind the chest; most of it shows above and beside the shoulders."""
    kind = m.design.backpack
    f = chest.child(0, 8, -9)
    for side in _sides(f):
        if m.design.wings != "none":
            _draw_wing(m, side)
        if kind in ("twin", "cannons"):
            pod = side.child(7.5, 3, -2, (12, 0, -10))
            m.loft(pod, GUNMETAL, "y", "-15 3.4 3.4 | -9 2 2", 1)
            m.loft(pod, m["trim"], "y", "-10 2.8 3 | -6 3.8 4 | 7 3.6 3.8 | 10 2.2 2.4")
        if kind == "twin":
            hilt = side.child(7.0, 9, -0.5, (-6, 0, -14))
            m.loft(hilt, STEEL, "y", "0 1.3 1.3 | 10.5 1.2 1.2", 1)
            m.loft(hilt, m["accent"], "y", "8.6 1.6 1.6 | 11.4 1.2 1.2", 1, 0.7)
        elif kind == "tanks":
            tank = side.child(10, 0, -4, (10, 0, -18))
            m.loft(tank, m["armour"], "y", "-15 2 2 | -12 4.2 4.2 | 11 4.2 4.2 | 15 2 2", 1)
            m.loft(tank, m["accent"], "y", "5 4.5 4.5 | 8 4.5 4.5", 1, 0.6)
        elif kind == "funnels":
            for angle in (-24, -50, -76):
                fin = side.child(5, 3, -4, (0, 0, angle))
                m.plate(
                    fin, m["armour"], "z", "-2.4 6 | 2.4 6 | 3 19 | .4 27 | -1.8 19", -1.2, 1.2, 0.5
                )
                m.stroke(fin, "0.2 9 1.25 | .4 21 1.25", m["accent"], 1.1)
    m.loft(f, m["frame"] if kind == "slim" else m["trim"], "y", "-9 6 3.4 | 8 7.4 4.2")


def _draw_wing(m: Machine, f: Frame) -> None:
    """Add one wing; its frame has +x outwards."""
    if m.design.wings == "blades":
        for angle, colour in ((-68, m["trim"]), (-48, m["armour"]), (-28, m["armour"])):
            feather = f.child(3, 3, -4, (0, 14, angle))
            text = "-2.6 3 | 2.8 3 | 4.8 20 | 2.6 33 | -1.8 26"
            m.plate(feather, colour, "z", text, -0.9, 0.9, 0.5)
            m.stroke(feather, "-.6 22 .95 | 3.4 26 .95", m["accent"], 1.4)
    else:
        binder = f.child(9, 6, -4, (0, 20, -20))
        m.plate(
            binder, m["armour"], "z", "-1 13 | 5 18 | 13 9 | 12 -20 | 7 -27 | 1 -15", -2, 2.6, 1.2
        )
        m.plate(binder, m["trim"], "z", "3.4 10 | 9.4 6.6 | 9 -9 | 3.4 -9", 2, 3.6, 0.5, 0.7)
        m.seam(binder, m["armour"], "2 -13 2.6 | 11 -13 2.6")


def _draw_cannon(m: Machine, side: Frame) -> None:
    """Add a gun of the "cannons" backpack over the shoulder of one side of the chest."""
    gun = side.child(13, 18.2, -3, (-9, 8, 0))
    m.loft(gun, STEEL, "z", "4 1.5 1.5 | 20 1.4 1.4", 1)
    m.loft(gun, GUNMETAL, "z", "18 2.1 2.1 | 22.5 2.1 2.1", 1)
    m.loft(gun, m["armour"], "z", "-7 2 2.2 | -5 3 3 | 6 3 3 | 8 2.2 2.2")


# ---------------------------------------------------------------------------------------------
# Composing
# ---------------------------------------------------------------------------------------------

# Where far and near ankle stand (outwards, forward), and the pelvis's shift and roll.
STANCES = {
    "narrow": ((10.5, 1.0), (10.5, -0.5), 0.0, 0.0),
    "wide": ((16.5, 0.0), (16.0, 0.5), 0.0, 0.0),
    "contrapposto": ((16.0, 5.0), (10.5, -2.0), -2.0, 4.0),
    "stride": ((12.5, -5.5), (12.5, 7.0), 0.5, 1.0),
}
ANKLE = 6.6  # height above the ground


def _compose(d: Design) -> Machine:
    """Build the machine of a design, back to front."""
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
    _draw_arm(m, chest, 1, shoulder_x, far_armed)
    _draw_backpack(m, chest)
    hip = 5.8 + 1.4 * d.bulk
    _draw_leg(m, pelvis.point(hip, 0, 0), np.array((far_x + d.bulk, ANKLE, far_z)), 1)
    _draw_torso(m, chest, half)
    _draw_leg(m, pelvis.point(-hip, 0, 0), np.array((-near_x - d.bulk, ANKLE, near_z)), -1)
    _draw_skirt(m, waist, max(0.0, far_z), max(0.0, near_z))
    far, near = _sides(chest)
    if d.backpack == "cannons":
        _draw_cannon(m, far)
    _draw_head(m, chest.child(0, 16.4 if d.head == "dome" else 17.2, 0.8, (0, 11, 0)))
    _draw_arm(m, chest, -1, shoulder_x, near_armed)
    if d.backpack == "cannons":
        _draw_cannon(m, near)
    return m


def draw(design: Design, size: int) -> np.ndarray:
    """Return the picture of a design, uint8 (size, size, 3), RGB.

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


# ---------------------------------------------------------------------------------------------
# The data set
# ---------------------------------------------------------------------------------------------

# What a design tells about itself in the data set, with the array type.
_ATTRIBUTES: dict[str, str] = {
    **dict.fromkeys(("faction", *CATALOGUE["mono"], *COMMON), "S"),
    **dict.fromkeys(("weapon_side", "weapon_pose", "facing"), "S"),
    **dict.fromkeys(("bulk", "height", "head_scale", "yaw"), "f4"),
    "hero": "?",
}


def draw_dataset(
    count: int = DEFAULT_COUNT,
    size: int = 64,
    seed: int = 0,
    processes: int | None = None,
    progress: bool = True,
) -> tuple[np.ndarray, list[str], dict[str, np.ndarray]]:
    """Draw the first ``count`` designs of the set ``seed``.

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
    workers = min(processes or os.cpu_count() or 1, math.ceil(count / 16))
    bar = tqdm(total=count, desc="drawing mechas", file=sys.stderr, disable=not progress)
    # Closing ends the workers at once when something goes wrong here, Ctrl-C above all.
    with bar, closing(_drawn(designs, size, workers)) as pictures:
        for index, picture in enumerate(pictures):
            images[index] = picture
            bar.update()
    attributes = {
        name: np.array([getattr(each, name) for each in designs], dtype=kind)
        for name, kind in _ATTRIBUTES.items()
    }
    return images, [each.name for each in designs], attributes


def _drawn(designs: list[Design], size: int, workers: int) -> Iterator[np.ndarray]:
    """Yield the pictures in order, drawn by ``workers`` processes if such can be started."""
    done = 0
    if workers > 1 and not multiprocessing.current_process().daemon:
        # Not fork: a process that has started TensorFlow has threads, which fork does not copy.
        context = multiprocessing.get_context("spawn")
        try:
            executor = ProcessPoolExecutor(workers, context, ignore_interrupts)
            try:
                with light_start():
                    pictures = executor.map(
                        functools.partial(draw, size=size), designs, chunksize=8
                    )
                for picture in pictures:
                    yield picture
                    done += 1
            finally:
                executor.shutdown(cancel_futures=True)
        except (OSError, ImportError, BrokenExecutor):
            pass  # no processes here, or they died: this one draws what is left
    for each in designs[done:]:
        yield draw(each, size)
