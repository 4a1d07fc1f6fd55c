"""Where a part is and which way it looks, how limbs bend, and what shapes there are.

Shapes are texts, tables with rows that end in "|". ``loft("y", "0 3 3 | 10 2 2", 1)`` is a round
column ten high that grows thinner, ``plate("z", "both 0 0 | 4 2 | 4 9", 0, 1)`` a shield nine high
and one thick.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np


class Frame(NamedTuple):
    """A local coordinate system: the columns of ``axes`` (3, 3) and the ``origin`` (3,)."""

    axes: np.ndarray
    origin: np.ndarray

    def child(self, x: float, y: float, z: float, turn: Sequence[float] = (0, 0, 0)) -> Frame:
        """A frame at (x, y, z) in this one, turned about its x, y, z axes (degrees)."""
        axes = self.axes if not any(turn) else self.axes @ rotation(*turn)
        return Frame(axes, self.origin + self.axes @ np.array((x, y, z), dtype=float))

    def scaled(self, x: float, y: float, z: float) -> Frame:
        """This frame with longer or shorter units along its axes."""
        return Frame(self.axes * (x, y, z), self.origin)

    def mirrored(self) -> Frame:
        """This frame with its x axis the other way round."""
        return Frame(self.axes * (-1.0, 1.0, 1.0), self.origin)

    def point(self, x: float, y: float, z: float) -> np.ndarray:
        """The outer coordinates of a point of this frame."""
        return self.origin + self.axes @ np.array((x, y, z), dtype=float)


def rotation(pitch: float, yaw: float, roll: float) -> np.ndarray:
    """The rotation by ``roll`` about z, then ``pitch`` about x, then ``yaw`` about y."""
    (sx, sy, sz), (cx, cy, cz) = (
        [function(math.radians(angle)) for angle in (pitch, yaw, roll)]
        for function in (math.sin, math.cos)
    )
    about_x = np.array(((1, 0, 0), (0, cx, -sx), (0, sx, cx)))
    about_y = np.array(((cy, 0, sy), (0, 1, 0), (-sy, 0, cy)))
    about_z = np.array(((cz, -sz, 0), (sz, cz, 0), (0, 0, 1)))
    return about_y @ about_x @ about_z


def unit(vector: Iterable[float]) -> np.ndarray:
    """The vector with a length of 1."""
    array = np.asarray(vector, dtype=float)
    return array / math.sqrt(float(array @ array))


def limb(top: np.ndarray, bottom: np.ndarray, forward: Iterable[float], side: int) -> Frame:
    """The frame of a limb from ``top`` down to ``bottom``: origin at ``top``, +y upwards.

    +z looks to ``forward`` as far as the limb's direction lets it, +x to the body's outside
    (``side`` is 1 for the far limb, -1 for the near one).
    """
    up = unit(top - bottom)
    ahead = np.asarray(forward, dtype=float)
    ahead = unit(ahead - up * (ahead @ up))
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
    """(joint, end) of a two-part limb; ``end`` is pulled nearer if it is out of reach.

    The joint (knee or elbow) bends to the side ``hint``.
    """
    reach = end - start
    distance = math.sqrt(float(reach @ reach))
    direction = reach / distance
    distance = min(distance, 0.995 * (upper + lower))
    along = (upper**2 - lower**2 + distance**2) / (2 * distance)
    aside = np.asarray(hint, dtype=float)
    aside = unit(aside - direction * (aside @ direction))
    joint = start + direction * along + aside * math.sqrt(max(upper**2 - along**2, 0.0))
    return joint, start + direction * distance


def aim(origin: np.ndarray, direction: np.ndarray, broad: bool = False) -> Frame:
    """A frame at ``origin`` whose +z has a ``direction`` and whose +y is as good as up.

    If it is ``broad``, +y is across the picture instead, so that a blade shows its flat side.
    """
    ahead = unit(direction)
    above = np.array((0.8, 0.3, 0.6) if broad else (0.05, 1, -0.6 if ahead[1] > 0.5 else 0.1))
    above = unit(above - ahead * (above @ ahead))
    return Frame(np.stack((np.cross(above, ahead), above, ahead), axis=1), origin)


def facing_x(frame: Frame) -> Frame:
    """A frame whose +z is the +x of ``frame``: for markings on a plate along x."""
    x, y, z = frame.axes.T
    return Frame(np.stack((-z, y, x), axis=1), frame.origin)


def sides(frame: Frame) -> tuple[Frame, Frame]:
    """The frame of the far side and that of the near side, +x outwards in both."""
    return frame, frame.mirrored()


Points = Sequence[Sequence[float]]

CIRCLE = [(math.cos(angle), math.sin(angle)) for angle in np.arange(12) * math.tau / 12]


def disc(radius: float, x: float = 0.0, y: float = 0.0) -> list[tuple[float, float]]:
    """The points of a round patch."""
    return [(x + u * radius, y + v * radius) for u, v in CIRCLE]


def table(text: str) -> list[list[float]]:
    """The numbers of a shape's text: rows end in "|"."""
    return [[float(number) for number in row.split()] for row in text.split("|")]


def _along(axis: str, position: float, u: float, v: float) -> tuple[float, float, float]:
    """The point at ``position`` along ``axis`` and (u, v) across it."""
    return {"x": (position, v, u), "y": (u, position, v), "z": (u, v, position)}[axis]


@functools.cache
def loft(axis: str, sections: str, corner: float = 0.35) -> np.ndarray:
    """The rings (k, n, 3) of a body that goes through ``sections`` along ``axis``.

    A section is "position, half width, half height[, offset in width, offset in height]"; width
    and height are x and z for a body along y, x and y along z, z and y along x. ``corner`` is the
    size of the chamfers as a share of the smaller half; 1 makes the section an ellipse.
    """
    rings = []
    for section in table(sections):
        position, a, b, u, v = (*section, 0, 0)[:5]
        if corner >= 1:
            ring = [(a * x, b * y) for x, y in CIRCLE]
        else:
            p, q = a - corner * min(a, b), b - corner * min(a, b)
            ring = [(a, q), (p, b), (-p, b), (-a, q), (-a, -q), (-p, -b), (p, -b), (a, -q)]
        rings.append([_along(axis, position, u + x, v + y) for x, y in ring])
    return np.array(rings)


@functools.cache
def plate(axis: str, profile: str, back: float, front: float, bevel: float = 0.8) -> np.ndarray:
    """The rings (3, n, 3) of a plate: ``profile`` from ``back`` to ``front`` along ``axis``.

    The profile's points are (x, y) for a plate along z, (z, y) along x. A profile that starts
    with "both" is the right half, from bottom to top, of one with two like halves. The edge of
    the front is cut off by about ``bevel``.
    """
    rows = table(profile.removeprefix("both"))
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
def faces_of(rings: int, corners: int) -> tuple[list[tuple[int, ...]], np.ndarray]:
    """The faces of a body of rings as vertex indices, and four indices of each (m, 4)."""
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
