"""Heads, with what is on their sides and on their tops."""

from __future__ import annotations

from utils.data.mechas.canvas import tones
from utils.data.mechas.catalogue import OUTLINE
from utils.data.mechas.geometry import Frame, disc, sides
from utils.data.mechas.machine import Machine


def draw_head(m: Machine, neck: Frame) -> None:
    """Add the head on ``neck``, whose +z is where it looks."""
    d = m.design
    f = neck.scaled(d.head_scale, d.head_scale, d.head_scale)
    m.loft(f, m["frame"], "y", "-3 2.4 2.6 | 2 2.4 2.6")
    far, near = sides(f)
    _ear(m, far)
    HEADS[d.head](m, f)
    _ear(m, near)
    if d.head != "v-fin":
        _crest(m, f.child(0, 7.6 if d.head == "dome" else 9.2, 0))


def _ear(m: Machine, f: Frame) -> None:
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
    _eye(m, f.child(0, 4.9, 0, (0, -16, 0)), 5)
    m.plate(f, m["trim"], "z", "both 1.5 -.8 | 2.5 .8 | 2 2.6", 3.5, 7.4, 0.8, 0.8)


def _dome_head(m: Machine, f: Frame) -> None:
    colour = m["helmet"]
    m.loft(f, colour, "y", "-1.4 4.8 4.8 | 1.4 5.9 5.9", 1)
    m.loft(f, OUTLINE, "y", ".8 5.6 5.7 | 4.6 5.5 5.6", 1)
    m.loft(f, colour, "y", "4.3 6 6.1 | 6 5.4 5.5 | 7.8 3.6 3.8 | 8.6 1.2 1.4", 1)
    _eye(m, f.child(0, 2.3, 0, (0, -16, 0)), 5.7)
    m.plate(f, m["trim"], "z", "both .9 -2.4 | 1.6 -1.4 | 1.2 .2", 4.6, 6.8, 0.4, 0.7)


def _eye(m: Machine, f: Frame, radius: float) -> None:
    """Add the one eye on its rail of a ``radius``, looking along the frame's +z."""
    m.decal(f, disc(2.0), m["eye"], radius)
    m.decal(f, disc(0.95, 0.1, 0.3), (255, 246, 250), radius)


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
    mask = m["armour"] if sum(m["armour"]) > 600 else tones(m["armour"])[0]
    m.plate(f, mask, "z", "both 1.2 .2 | 2.4 1.4 | 2.6 3.2 | .7 4", 3, 6, 0.6, 0.6)
    m.plate(f, m["trim"], "z", "both .7 -.9 | 1.3 .1 | .8 1.2", 4.6, 6.6, 0.3, 0.6)
    for side in sides(f):
        m.decal(side, ((0.5, 3.9), (3.4, 4.3), (3.5, 6.3), (0.5, 5.4)), m["eye"], 5.1)
    m.plate(f, colour, "z", "both 3.8 6 | 3.5 7.6 | 1.2 8", 2, 5.6, 0.6, 0.6)
    if m.design.head == "v-fin":
        for side in sides(f.child(0, 0, 0, (-8, 0, 0))):
            fin = side.child(0, 0, 0, (0, 8, 0))
            text = ".2 5.8 | 2.4 6.4 | 9.6 14.2 | 2 9.2 | .2 8.4"
            m.plate(fin, m["accent"], "z", text, 5.2, 6.4, 0.3, 0.8)
        m.plate(f, m["trim"], "z", "both 0 5.4 | 1.2 6.6 | 1 8.8", 5.8, 7.2, 0.4, 0.7)


HEADS = {
    "mono-eye": _mono_head,
    "dome": _dome_head,
    "visor": _visor_head,
    "twin-eye": _face_head,
    "v-fin": _face_head,
}


def _crest(m: Machine, f: Frame) -> None:
    """Add what stands on the head; the frame's origin is its top."""
    kind = m.design.crest
    if kind == "horn":
        m.plate(f, m["accent"], "x", "2.4 -2 | 5.6 -3 | 4.6 7", -0.7, 0.7, 0.1, 0.8)
    elif kind == "fin":
        text = "3.4 -1 | 1.4 1 | -4.4 3.8 | -3.6 .6 | -3.6 -1.6"
        m.plate(f, m["accent"], "x", text, -0.8, 0.8, 0.2, 0.8)
    elif kind == "twin-horns":
        for side in sides(f):
            m.plate(side, m["accent"], "z", "1.8 -2 | 4.4 -3.4 | 8.4 5 | 5 .8", -0.2, 1.8, 0.3, 0.8)
