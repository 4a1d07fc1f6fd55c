"""Legs and arms, with feet, shoulders and gauntlets, and how the arms are held.

Frames are scaled so that a thigh is 20 long, a shin 22, and both parts of an arm 12.5.
"""

from __future__ import annotations

import numpy as np

from utils.data.mechas.catalogue import GUNMETAL, OUTLINE
from utils.data.mechas.geometry import Frame, aim, bend, facing_x, limb
from utils.data.mechas.machine import Machine
from utils.data.mechas.weapons import draw_shield, draw_weapon


def draw_leg(m: Machine, hip: np.ndarray, ankle: np.ndarray, side: int) -> None:
    """Add a leg from ``hip`` to ``ankle``; ``side`` is 1 for the far one, -1 for the near one."""
    d = m.design
    kind, length = d.legs, d.leg_length
    hint = (0.25 * side, 0, -1.0 if kind == "digitigrade" else 1.0)
    knee, ankle = bend(hip, ankle, 20 * length, 22 * length, hint)
    girth = d.bulk * {"slim": 0.88, "heavy": 1.1}.get(kind, 1.0)
    thigh = limb(hip, knee, (0.12 * side, 0, 1), side).scaled(girth, length, girth)
    shin = limb(knee, ankle, (0.12 * side, 0, 1), side).scaled(girth, length, girth)
    _foot(m, ankle, side)
    m.loft(thigh, m["frame"], "y", "3 2.8 2.8 | -20 2.5 2.7")
    m.loft(shin, m["frame"], "y", "1 2.5 2.5 | -24 2.3 2.3")
    m.loft(thigh, m["thigh"], "y", "2 3.6 4.2 | -3 5.0 5.4 | -11 4.6 5.0 | -17 3.5 4.0")
    m.seam(thigh, m["thigh"], "-3.1 -12 4.85 | 3.1 -12 4.85")
    m.loft(shin, m["frame"], "x", "-3.5 2.8 2.8 | 3.5 2.8 2.8", 1)
    SHINS[kind](m, shin)
    if kind == "digitigrade":
        for x in (2.0, -2.0):
            m.plate(shin, m["trim"], "x", "-2 3 | -4 6 | -9 1 | -8 -8 | -4 -10", x * 0.4, x * 1.4)


def _straight_shin(m: Machine, f: Frame) -> None:
    colour = m["shin"]
    text = "3 3.4 3.8 | -3 5 5.6 .2 -1 | -8 5.6 6.8 .5 -1.8 | -17 3.9 4.6 .2 -.4 | -21.5 5.2 5.6"
    m.loft(f, colour, "y", text)
    for x in (5.2, -4.6):  # thruster vents on the calves' sides
        text = "-5.5 -5 | -1 -4 | -1 -9 | -5 -10.5"
        m.plate(f, m["trim"], "x", text, x * 0.9, x * 1.12, 0.4, 0.6)
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


SHINS = {
    "straight": _straight_shin,
    "flared": _flared_shin,
    "heavy": _heavy_shin,
    "slim": _slim_shin,
    "digitigrade": _straight_shin,
}


def _foot(m: Machine, ankle: np.ndarray, side: int) -> None:
    """Add the foot under ``ankle``, flat on the floor 6.6 below and turned out a little."""
    b = 0.5 + 0.55 * m.design.bulk
    f = Frame(np.eye(3), ankle).child(0, 0, 0, (0, 9 * side, 0))
    f = (f.mirrored() if side < 0 else f).scaled(b, 1, b)
    FEET[m.design.feet](m, f)
    cuff = f.child(0, 0, 0, (-24, 0, 0))
    m.plate(cuff, m["shin"], "z", "both 2.8 -5 | 3.8 -1.5 | 2.6 2.6", 1.2, 5, 0.9)


def _claw_foot(m: Machine, f: Frame) -> None:
    colour = m["foot"]
    m.loft(f, colour, "z", "-9 1.6 1.2 0 -5.4 | -4 2.6 2.8 0 -3.8 | 0 2.8 2.8 0 -3.8")
    for x, angle in ((2.2, 24), (-2.2, -24), (0, 0)):
        toe = f.child(x, 0, 1, (0, angle, 0))
        m.loft(toe, colour, "z", "-2 2 3 0 -3.6 | 6 2.2 2.3 0 -4.3 | 14 .9 .6 0 -6", 0.45)


def _round_foot(m: Machine, f: Frame) -> None:
    colour = m["foot"]
    text = "-7 3.6 1.5 0 -5.1 | -5 5.2 2.2 0 -4.4 | 2 5.9 2.9 0 -3.7 | 10 5.2 2 0 -4.6"
    m.loft(f, colour, "z", text + "| 13.5 3.2 1 0 -5.6", 0.6)
    m.seam(f, colour, "-5.4 -3 4.5 | 0 -1 4.5 | 5.4 -3 4.5", 1)


def _boot_foot(m: Machine, f: Frame) -> None:
    colour = m["foot"]
    m.loft(f, m["shin"], "z", "-7 3.8 2 0 -4.6 | -5.6 5 2.7 0 -3.9 | 7 5.2 2.7 0 -3.9")
    m.loft(f, colour, "z", "6.4 5.3 2.9 0 -3.7 | 11 5 2.1 0 -4.5 | 14.5 3.8 1.1 0 -5.5")


def _wedge_foot(m: Machine, f: Frame) -> None:
    colour = m["foot"]
    m.loft(f, colour, "z", "-8 3 1.5 0 -5.1 | -6 4.2 2.7 0 -3.9 | 1 4.8 3 0 -3.6")
    m.loft(f, colour, "z", "0 5 3 0 -3.6 | 6 5 2.4 0 -4.2 | 14 3.9 1 0 -5.6 | 15 3 .6 0 -6")
    m.seam(f, colour, "-4.6 -2 6.2 | 4.6 -2 6.2", 1)


FEET = {"claw": _claw_foot, "round": _round_foot, "boots": _boot_foot, "wedge": _wedge_foot}


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


def draw_arm(m: Machine, chest: Frame, side: int, shoulder_x: float, armed: bool) -> None:
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
    draw_shoulder(m, root.child(0, 0, 0, (0, 0, lift)), side)
    m.loft(lower, m["frame"], "x", "-2.9 2.6 2.6 | 2.9 2.6 2.6", 1)
    FOREARMS[d.forearms](m, lower)
    if armed:
        draw_weapon(m, aim(fist, outer.axes @ np.array(pointing), d.weapon == "axe"))
    fingers = "-11 1.9 1.9 | -11.6 2.5 2.7 | -14.4 2.7 2.9 | -15.8 2 2.2"
    m.loft(lower, m["frame"], "y", fingers)
    m.stroke(lower, "-2.3 -14.2 3.1 | 2.3 -14.2 3.1", OUTLINE, 0.4)
    if bears:
        mount = lower.child(3.6, -6.5, 0).origin
        normal = outer.axes @ np.array((0.62, 0.06, 0.75))
        draw_shield(m, aim(mount, normal).scaled(1.12, 1.12, 1))


def _cuffed_forearm(m: Machine, f: Frame) -> None:
    colour = m["forearm"]
    m.loft(f, colour, "y", ".5 2.9 3.1 | -5 3.8 4 | -9 4.1 4.3", 1)
    m.loft(f, m["trim"], "y", "-8.4 4.4 4.6 | -12 5 5.2 | -12.6 4.4 4.6", 1)


def _boxy_forearm(m: Machine, f: Frame) -> None:
    colour = m["forearm"]
    m.loft(f, colour, "y", "1 2.9 3.3 | -3 4.2 4.6 | -11 4.3 4.7 | -12.6 3.4 3.8", 0.25)
    m.plate(f, m["trim"], "x", "-2.6 -3.4 | 2.6 -3.4 | 2.6 -10 | -2.6 -10", 3.8, 5.4, 0.8, 0.7)
    m.seam(f, colour, "-3.6 -9 4.7 | 3.6 -9 4.7")


def _plain_forearm(m: Machine, f: Frame) -> None:
    colour = m["forearm"]
    m.loft(f, colour, "y", "1 2.7 3 | -4 4 4.4 | -12.6 3.3 3.6")
    m.loft(f, m["accent"], "y", "-9.6 3.8 4.1 | -11.4 3.6 3.9", line=0.6)


# The gauntlet: its frame's origin is the elbow, the fist is 12.5 below.
FOREARMS = {"cuffed": _cuffed_forearm, "boxy": _boxy_forearm, "plain": _plain_forearm}


def draw_shoulder(m: Machine, f: Frame, side: int) -> None:
    """Add the shoulder's armour; its frame has +x outwards."""
    kind = m.design.shoulders
    if kind == "shielded" and side < 0:
        kind = "spiked"  # the shield hangs from one shoulder, the other has spikes
    b = 0.54 + 0.52 * m.design.bulk
    f = f.scaled(b, b, b)
    m.loft(f, m["frame"], "x", "-5 3 3 | 2 3 3", 1)
    SHOULDERS[kind](m, f)


def _round(m: Machine, f: Frame) -> None:
    text = "-5 5.8 6.2 1 | -1 6.7 7 1 | 3 6.1 6.5 .8 | 6 3.8 4.2 .4 | 7.2 1.4 1.6"
    m.loft(f, m["shoulder"], "y", text, 1)
    m.loft(f, m["trim"], "y", "-5.4 6.3 6.7 1 | -3.4 6.7 7.1 1", 1, 0.8)


def _spiked(m: Machine, f: Frame) -> None:
    _round(m, f)
    for roll, pitch in ((-6, 26), (-66, 4), (-36, -20)):
        spike = f.child(1, 0, 0, (pitch, 0, roll))
        m.loft(spike, m["accent"], "y", "5 1.9 1.9 | 12 .15 .15", 1, 0.8)


def _shielded(m: Machine, f: Frame) -> None:
    colour = m["shoulder"]
    m.loft(f, colour, "y", "-4 4.6 5 | 2 5.4 5.6 | 5 3.6 4", 1)
    guard = f.child(5.2, -2, 1.5, (0, -30, 6))
    text = "-8 8 | -4.6 11 | 6 11 | 9 8 | 9 -8 | 5.6 -13 | -5.6 -13 | -8.6 -8"
    m.plate(guard, colour, "x", text, 0, 2.6, 1.2)
    m.seam(guard, colour, "2.6 -7 -7 | 2.6 -7 7", 0)
    m.marking(facing_x(guard.child(2.7, 2, 0)), 3.6)


def _flared(m: Machine, f: Frame) -> None:
    colour = m["shoulder"]
    m.loft(f, colour, "y", "-4 4.6 5.4 | 1 5.2 5.8 | 4 3.8 4.6")
    text = "-4.5 2 | -3 6 | 10 11.5 | 14.5 9 | 9.6 -6 | 6.6 -7 | 3.5 0"
    m.plate(f, colour, "z", text, -6, 6, 1.3)
    text = "-1 4.6 | 8.6 8.8 | 10.8 7.2 | 7.6 -.6 | 4.4 2.4"
    m.plate(f, m["trim"], "z", text, 5.4, 7, 0.5, 0.7)


def _layered(m: Machine, f: Frame) -> None:
    colour = m["shoulder"]
    m.loft(f, m["trim"], "y", "-6.6 6.4 6.2 1.4 | -1 6.9 6.5 1.4")
    m.loft(f, colour, "y", "-2.6 7.6 7.2 1.2 | 2.6 7.2 7 1 | 5.4 4.4 4.8", 0.3)
    m.marking(f.child(1.2, 0.2, 7.3), 2.4)


def _boxy(m: Machine, f: Frame) -> None:
    colour = m["shoulder"]
    m.loft(f, colour, "y", "-5.8 6.2 6.4 .8 | 3.4 6.7 6.9 .8 | 6.4 4.8 5 .4", 0.22)
    m.seam(f, colour, "-4.8 -2.9 6.8 | 6.4 -2.9 6.8")
    m.plate(f, colour, "x", "-4.4 -3.4 | 4.4 -3.4 | 4.4 2.8 | -4.4 2.8", 6.4, 8.4, 0.9, 0.8)
    m.marking(f.child(0.8, 0.6, 6.95), 2.6)


SHOULDERS = {
    "round": _round,
    "spiked": _spiked,
    "shielded": _shielded,
    "flared": _flared,
    "layered": _layered,
    "boxy": _boxy,
}
