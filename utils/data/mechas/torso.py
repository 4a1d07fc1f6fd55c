"""The trunk: abdomen, chest and collar, belt and skirt, and what is carried on the back."""

from __future__ import annotations

from utils.data.mechas.catalogue import GUNMETAL, OUTLINE, STEEL
from utils.data.mechas.geometry import Frame, sides
from utils.data.mechas.machine import Machine


def draw_torso(m: Machine, chest: Frame, half: float) -> None:
    """Add abdomen, chest and collar; ``half`` is the chest's half width (usually 12)."""
    d = m.design
    f = chest.scaled(half / 12, 1, 0.9 + 0.1 * d.bulk)
    m.loft(f, m["frame"], "y", "-8 4.8 4.2 | 3 5.6 4.8")
    belly = m["trim"] if d.hero else m["body"] if d.torso == "slab" else m["armour"]
    m.loft(f, belly, "y", "-5 5.4 5.2 | -2 5.4 5.2 | 2.5 6.8 6")
    m.plate(f, belly, "z", "both 1.8 -5 | 2.6 -2 | 2.6 1", 4, 6.2, 0.8, 0.7)
    TORSOS[d.torso](m, f)
    if d.torso != "barrel":
        collar = m["accent"] if d.hero else m["trim"]
        m.loft(f, collar, "y", "14.4 5.8 5.6 0 .6 | 17.6 4.9 4.6 0 .2")


def _barrel(m: Machine, f: Frame) -> None:
    colour = m["body"]
    text = "0 8 6.4 | 4 11 8.6 | 11 12.2 8.8 | 15 9.6 6.6 | 16.8 5.8 4.4"
    m.loft(f, colour, "y", text, 1)
    m.plate(f, colour, "z", "both 2.6 1.6 | 4.4 5 | 3.8 11 | 1.8 12.6", 6, 10, 1.2)
    m.plate(f, m["accent"], "z", "both 1.2 4 | 2 6.4 | 1.6 9", 9.4, 10.6, 0.5, 0.6)
    for side in sides(f):  # power cables from the chest to the back of the waist
        m.plate(side, m["trim"], "z", "5.4 6 | 9 7 | 9.4 10.4 | 5.2 10.8", 6, 8.6, 0.5, 0.7)
        m.cable(side, "3.4 1 8.4 | 7.4 -2.4 7.2 | 9.6 -3.6 2.5 | 8.4 -3.4 -2", m["frame"], 2.2)


def _slab(m: Machine, f: Frame) -> None:
    m.loft(f, m["body"], "y", "0 8.6 6.6 | 3 11.8 8.2 | 12.5 12.8 8.4 | 16 10.6 5.8", 0.28)
    m.plate(f, m["armour"], "z", "both 4.8 5.2 | 6.8 8 | 6.8 13 | 5 14.8", 6, 10, 1.2)
    m.plate(f, m["trim"], "z", "both 2.2 .2 | 3.4 2.4 | 3.4 5", 7, 9.6)
    for y in ("8", "9.8", "11.6"):
        m.stroke(f, f"-4.4 {y} 10 | 4.4 {y} 10", OUTLINE, 0.55)
    for side in sides(f):
        m.plate(side, m["accent"], "z", "8.4 10 | 11 10 | 11 12.4 | 8.4 12.4", 7, 9, 0.4, 0.7)


def _prow(m: Machine, f: Frame) -> None:
    m.loft(f, m["body"], "y", "0 7.2 5.8 | 5 11.4 7.2 | 12 12.6 7.2 | 16 9 5")
    for side in sides(f):
        wing = side.child(0, 0, 0, (0, 16, 0))
        m.plate(wing, m["body"], "z", "1 4.6 | 9.6 6.8 | 12 10 | 12 13.8 | 1 15", 4.5, 9, 1.2)
        m.plate(wing, m["accent"], "z", "4.6 8 | 9.4 8.8 | 9.8 11 | 4.6 10.6", 8.6, 9.6, 0.4, 0.7)
    m.plate(f, m["armour"], "x", "5 1 | 10 6 | 13.4 11.6 | 9.4 15 | 5 15", -2.8, 2.8, 0.3)
    m.plate(f, m["accent"], "x", "9 5.6 | 12.4 10.4 | 9 10.4", -3.1, 3.1, 0.1, 0.6)


def _vented(m: Machine, f: Frame) -> None:
    m.loft(f, m["body"], "y", "0 7.4 6 | 4.5 10.8 7.4 | 12.5 12.6 7.4 | 16 9.8 5.4")
    for side in sides(f):
        m.plate(side, m["body"], "z", "2.4 5 | 9.8 5.8 | 12 9 | 12 14 | 3 15", 5.5, 9.4, 1.2)
        m.plate(side, m["accent"], "z", "4 8.8 | 10.4 9.2 | 10.4 13 | 4 13.4", 8.8, 10, 0.3, 0.7)
        for y in ("10.4", "11.9"):
            m.seam(side, m["accent"], f"4.2 {y} 10 | 10.2 {y} 10")
    hatch = m["trim"] if m.design.hero else m["armour"]
    m.plate(f, hatch, "z", "both 2.2 -.2 | 3.2 2 | 2.8 8.4 | 1.6 9.8", 5, 9.8, 1.2)
    m.seam(f, hatch, "-2.4 4.6 9.8 | 2.4 4.6 9.8")


TORSOS = {"barrel": _barrel, "slab": _slab, "prow": _prow, "vented": _vented}


# The skirt's plates: those on the hips, and those in front of the legs.
HIP_PLATES = {
    "plates": "-5 1.5 | 4.6 1.5 | 5.6 -8.5 | 2 -11.5 | -6 -11.5",
    "short": "-5 1.5 | 4.6 1.5 | 5 -5.5 | 2 -8 | -5.6 -8",
    "long": "-5 1.5 | 4.6 1.5 | 6 -10 | 1 -18 | -7 -16",
}
FRONT_PLATES = {
    "plates": "-3.2 .5 | 3.8 .5 | 5 -7 | 3.8 -11.5 | -1.8 -11.5 | -3.4 -9",
    "short": "-3.2 .5 | 3.8 .5 | 4.6 -5 | 3 -8 | -1.8 -8 | -3.4 -6.5",
    "long": "-3.2 .5 | 3.8 .5 | 5.2 -9 | 4 -14.5 | 0 -15.5 | -3.4 -12",
}


def draw_skirt(m: Machine, waist: Frame, swings: tuple[float, float]) -> None:
    """Add belt and skirt; ``swings`` are how far the far and the near leg stand forward."""
    d = m.design
    g = 0.85 + 0.17 * d.bulk
    f = waist.scaled(g, 1, g)
    middle = m["trim"] if d.hero else m["body"]
    if d.skirt == "bell":
        _bell(m, f)
    else:
        _hip_plates(m, f)
        _front_plates(m, f, swings)
        m.plate(f, middle, "z", "both 0 -10.5 | 1.9 -8.6 | 2.4 .8", 3.5, 7.6)
        m.plate(f, m["accent"], "z", "both 0 -5.6 | 1.1 -3.8 | 1.1 -1", 7.2, 8.2, 0.4, 0.6)
    m.loft(f, middle, "y", "-1 7.8 6.1 | 1.8 7.4 5.8")
    m.plate(f, m["accent"], "z", "both 2.2 -.9 | 2.2 2.1", 5, 6.8, 0.6, 0.7)


def _bell(m: Machine, f: Frame) -> None:
    m.loft(f, m["skirt"], "y", "-10.5 13 10.2 | -8.8 13 10.2 | -3 9.8 7.6 | 1 7.6 6", 1)
    m.loft(f, m["trim"], "y", "-11 13.3 10.5 | -9.4 13.3 10.5", 1, 0.7)
    m.plate(f, m["trim"], "z", "both 2.4 -10.6 | 2.8 -3 | 2.2 .6", 4, 10.8)


def _hip_plates(m: Machine, f: Frame) -> None:
    kind = m.design.skirt
    for side in sides(f):
        hip = side.child(8.4, -0.5, 0, (0, 0, 18 if kind == "long" else 14))
        m.plate(hip, m["skirt"], "x", HIP_PLATES[kind], 0, 2.6, 1)
        m.plate(hip, m["trim"], "x", "-2.8 -1 | 2.6 -1 | 2.6 -5 | -2.8 -5", 2.4, 4, 0.6, 0.7)


def _front_plates(m: Machine, f: Frame, swings: tuple[float, float]) -> None:
    kind, colour = m.design.skirt, m["skirt"]
    for side, swing in zip(sides(f), swings, strict=True):
        front = side.child(4.8, 0.5, 4.8, (-15 - 0.8 * swing, 0, 3))
        m.plate(front, colour, "z", FRONT_PLATES[kind], 0, 2.4, 1)
        if kind == "plates":
            text = "-1.6 -1 | 2.2 -1 | 2.4 -4 | -1.6 -4"
            m.plate(front, m["accent"], "z", text, 2, 3, 0.4, 0.7)
            m.seam(front, colour, "-2 -9 2.4 | 4 -9 2.4")
        else:
            m.seam(front, colour, "-2 -3.5 2.4 | 3.4 -3.5 2.4")


def draw_backpack(m: Machine, chest: Frame) -> None:
    """Add what is behind the chest; most of it shows around the shoulders."""
    kind = m.design.backpack
    f = chest.child(0, 8, -9)
    for side in sides(f):
        if m.design.wings != "none":
            _wing(m, side)
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
                text = "-2.4 6 | 2.4 6 | 3 19 | .4 27 | -1.8 19"
                m.plate(fin, m["armour"], "z", text, -1.2, 1.2, 0.5)
                m.stroke(fin, "0.2 9 1.25 | .4 21 1.25", m["accent"], 1.1)
    m.loft(f, m["frame"] if kind == "slim" else m["trim"], "y", "-9 6 3.4 | 8 7.4 4.2")


def _wing(m: Machine, f: Frame) -> None:
    """Add one wing; its frame has +x outwards."""
    if m.design.wings == "blades":
        for angle, colour in ((-68, m["trim"]), (-48, m["armour"]), (-28, m["armour"])):
            feather = f.child(3, 3, -4, (0, 14, angle))
            text = "-2.6 3 | 2.8 3 | 4.8 20 | 2.6 33 | -1.8 26"
            m.plate(feather, colour, "z", text, -0.9, 0.9, 0.5)
            m.stroke(feather, "-.6 22 .95 | 3.4 26 .95", m["accent"], 1.4)
    else:
        binder = f.child(9, 6, -4, (0, 20, -20))
        text = "-1 13 | 5 18 | 13 9 | 12 -20 | 7 -27 | 1 -15"
        m.plate(binder, m["armour"], "z", text, -2, 2.6, 1.2)
        m.plate(binder, m["trim"], "z", "3.4 10 | 9.4 6.6 | 9 -9 | 3.4 -9", 2, 3.6, 0.5, 0.7)
        m.seam(binder, m["armour"], "2 -13 2.6 | 11 -13 2.6")


def draw_cannon(m: Machine, side: Frame) -> None:
    """Add a gun of the "cannons" backpack over the shoulder of one side of the chest."""
    gun = side.child(13, 18.2, -3, (-9, 8, 0))
    m.loft(gun, STEEL, "z", "4 1.5 1.5 | 20 1.4 1.4", 1)
    m.loft(gun, GUNMETAL, "z", "18 2.1 2.1 | 22.5 2.1 2.1", 1)
    m.loft(gun, m["armour"], "z", "-7 2 2.2 | -5 3 3 | 6 3 3 | 8 2.2 2.2")
