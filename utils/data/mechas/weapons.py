"""Weapons and shields."""

from __future__ import annotations

from utils.data.mechas.catalogue import GUNMETAL, OUTLINE, STEEL
from utils.data.mechas.geometry import CIRCLE, Frame, disc
from utils.data.mechas.machine import Machine


def draw_weapon(m: Machine, f: Frame) -> None:
    """Add the weapon; the frame's origin is the fist, +z is where the weapon points."""
    WEAPONS[m.design.weapon](m, f)


def _rifle(m: Machine, f: Frame) -> None:
    m.loft(f, STEEL, "z", "6 1 1 0 1.6 | 23 .9 .9 0 1.6", 1)
    m.loft(f, GUNMETAL, "z", "20 1.6 1.6 0 1.6 | 25 1.4 1.4 0 1.6", 1)
    m.plate(f, GUNMETAL, "x", "-15 -2.8 | -15 2.8 | -5 3.4 | -5 0", -1.1, 1.1, 0.4)
    m.plate(f, STEEL, "x", "-6 -.6 | 3 -.8 | 12 0 | 12 3.4 | 2 4.8 | -6 4", -1.8, 1.8, 0.6)
    m.plate(f, GUNMETAL, "x", "4 -.2 | 8 -.2 | 7.4 -6 | 4 -6", -1.3, 1.3, 0.4)
    m.loft(f, GUNMETAL, "z", "-2 1.3 1.3 0 6 | 5 1.5 1.5 0 6", 0.5)
    m.loft(f, m["eye"], "z", "5 1.1 1.1 0 6 | 5.5 1.1 1.1 0 6", 0.5, 0.5)


def _sabre(m: Machine, f: Frame) -> None:
    glow = m.design.beam
    core = tuple(round(0.3 * channel + 0.7 * 255) for channel in glow)
    m.loft(f, glow, "z", "3 1.7 1.7 | 27 1.6 1.6 | 31 .2 .2", 1, 0)
    m.loft(f, core, "z", "3 .7 .7 | 26 .65 .65 | 28.5 .1 .1", 1, 0)
    m.loft(f, STEEL, "z", "-5 1.1 1.1 | 3.4 1.2 1.2", 1)


def _bazooka(m: Machine, f: Frame) -> None:
    f = f.child(0, 4.4, 0)
    m.loft(f, GUNMETAL, "z", "-17 3.5 3.5 | -11 2.4 2.4", 1)
    m.loft(f, STEEL, "z", "-12 2.6 2.6 | 17 2.6 2.6", 1)
    m.loft(f, m["trim"], "z", "15 2.9 2.9 | 18 3.6 3.6 | 22 3.6 3.6", 1)
    m.decal(f, disc(2.5), OUTLINE, 22.1)
    m.plate(f, GUNMETAL, "x", "-6 2 | 3 2 | 3 5.8 | -5 5.8", -1.4, 1.4, 0.5)
    m.plate(f, GUNMETAL, "x", "-1.4 -6 | 1.4 -6 | 1.4 0 | -1.4 0", -0.9, 0.9, 0.3)


def _axe(m: Machine, f: Frame) -> None:
    m.loft(f, STEEL, "z", "-8 1 1 | 18 1 1", 1)
    m.plate(f, GUNMETAL, "x", "9.5 .5 | 18 .5 | 20.5 7 | 15 10.5 | 8 8.5", -1, 1, 0.4)
    text = "19.4 4.6 | 22 7.6 | 15.4 12.4 | 6.6 9.8 | 8 7.4 | 15.4 9.2"
    m.plate(f, m.design.beam, "x", text, -1.2, 1.2, 0.3, 0.7)
    m.plate(f, STEEL, "x", "11 -.5 | 16 -.5 | 13.4 -6", -0.7, 0.7, 0.2)


def _gatling(m: Machine, f: Frame) -> None:
    f = f.child(0, 1.6, 0)
    m.loft(f, STEEL, "z", "-9 2.4 2.6 | -7 3.6 3.8 | 6 3.6 3.8 | 8 2.6 2.6", 0.5)
    for x, y in ((-1.2, 1.2), (1.2, 1.2), (1.2, -1.2), (-1.2, -1.2)):
        m.loft(f.child(x, y, 0), GUNMETAL, "z", "7 .9 .9 | 23 .9 .9", 1, 0.6)
    for z in (11, 19):
        m.loft(f.child(0, 0, z), STEEL, "z", "0 2.7 2.7 | 1.7 2.7 2.7", 1, 0.7)
    m.loft(f, m["trim"], "x", "-2.4 4.2 4.2 0 -4.2 | 2.6 4.2 4.2 0 -4.2", 1)


WEAPONS = {"rifle": _rifle, "sabre": _sabre, "bazooka": _bazooka, "axe": _axe, "gatling": _gatling}

SHIELDS = {
    "kite": "both 0 -17 | 5.2 -9 | 6.6 6 | 4.6 14 | 2 15.5",
    "tower": "both 4.2 -16 | 6.4 -13 | 6.4 12 | 4.2 15.5",
    "round": " | ".join(f"{x:.3f} {y:.3f}" for x, y in CIRCLE),  # of radius 1
    "spiked": "both 0 -16 | 4.2 -11 | 6.8 0 | 5.6 9 | 2.4 12.5",
}


def draw_shield(m: Machine, f: Frame) -> None:
    """Add the shield; the frame's +z is its outer side."""
    kind, hero = m.design.shield, m.design.hero
    rim, field = (m["armour"], m["trim"]) if hero else (m["trim"], m["armour"])
    if kind == "round":
        m.plate(f.scaled(9, 9, 1), rim, "z", SHIELDS[kind], 0, 2, 0.1)
        m.plate(f.scaled(6.4, 6.4, 1), field, "z", SHIELDS[kind], 1.6, 2.9, 0.1, 0.7)
        m.marking(f.child(0, 0, 3), 3.2)
        return
    m.plate(f, rim, "z", SHIELDS[kind], 0, 2)
    m.plate(f.scaled(0.68, 0.74, 1), field, "z", SHIELDS[kind], 1.6, 2.8, 0.7, 0.7)
    if kind == "spiked":
        for y in (-7, 1, 8):
            m.loft(f.child(0, y, 2), m["accent"], "z", "0 1.8 1.8 | 5 .2 .2", 1, 0.8)
    elif hero and kind == "kite":
        text = "both 0 -8 | 1.3 -1.4 | 4 2 | 1.3 3.4 | 0 10"
        m.plate(f, m["accent"], "z", text, 2.4, 3.4, 0.4, 0.7)
    else:
        m.decal(f, ((-2.6, 8), (2.6, 8), (2.6, 6), (-2.6, 6)), OUTLINE, 2.85)
        m.marking(f.child(0, -1, 2.85), 3.2)
