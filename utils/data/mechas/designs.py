"""Designs: all that makes one machine, drawn at random from a seed and an index."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass

import numpy as np

from utils.data.mechas.catalogue import (
    BACKGROUNDS,
    BEAMS,
    CATALOGUE,
    COMMON,
    FACTIONS,
    HERO_SHARE,
    POSES,
    SCHEMES,
    WORDS,
    Colour,
)


@dataclass(frozen=True)
class Design:
    """All that makes one machine; ``draw`` needs nothing else.

    Sides ("left", "right") are those of the picture. ``height`` is the machine's height in
    metres (14 to 24), ``bulk`` the relative thickness of its limbs (0.78 to 1.38), ``yaw``,
    ``lean`` and ``twist`` are in degrees, the other numbers are factors. ``palette`` holds one RGB
    colour for each of ``ROLES``.
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


def _colour(code: str) -> Colour:
    """The colour of six hexadecimal digits."""
    red, green, blue = bytes.fromhex(code)
    return red, green, blue


def _varied(rng: np.random.Generator, code: str) -> Colour:
    """The colour of ``code``, moved a little in hue, depth and lightness."""
    hue, saturation, value = colorsys.rgb_to_hsv(*(channel / 255 for channel in _colour(code)))
    hue = (hue + rng.normal(0, 0.012)) % 1
    saturation = min(1.0, saturation * rng.uniform(0.88, 1.12))
    value = min(1.0, value * rng.uniform(0.93, 1.06))
    red, green, blue = colorsys.hsv_to_rgb(hue, saturation, value)
    return round(red * 255), round(green * 255), round(blue * 255)


def _choose(rng: np.random.Generator, weights: dict[str, float]) -> str:
    """One key of ``weights``, with a probability proportional to its weight."""
    shares = np.array(list(weights.values()))
    return list(weights)[rng.choice(len(shares), p=shares / shares.sum())]


def design(index: int, seed: int = 0) -> Design:
    """Design number ``index`` (from 0) of the set ``seed``: always the same one.

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
    palette = tuple(_varied(rng, code) for code in schemes[rng.integers(len(schemes))])
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
