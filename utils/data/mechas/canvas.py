"""The canvas: how a scene's solids, patches and lines become pixels, outlines first."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from utils.data.mechas.catalogue import OUTLINE, Colour
from utils.data.mechas.geometry import CIRCLE, faces_of

# Of the outlines, as shares of the picture: thin in large pictures, but not lost in small ones.
LINE_WIDTHS = {32: 0.0092, 64: 0.0076, 128: 0.0062, 256: 0.005}

Face = tuple[int, ...]  # the numbers of its corners among the vertices of its solid


class Canvas:
    """A picture being painted, with the vertices of all that is to be painted as its pixels."""

    def __init__(
        self, side: int, background: Colour, vertices: np.ndarray, scale: float, width: float
    ) -> None:
        """Make an empty one.

        Args:
            side: of the picture, in pixels.
            background: its colour.
            vertices: their places on the picture, (n, 2).
            scale: pixels of a unit of the model.
            width: of an outline, in pixels.
        """
        self.image = Image.new("RGB", (side, side), background)
        self.pen = ImageDraw.Draw(self.image)
        self.points = [(x, y) for x, y in vertices.tolist()]
        self.scale = scale
        self.width = width
        self.hairline = round(width * 0.5)

    def floor_shadow(self, vertices: np.ndarray, background: Colour) -> None:
        """Paint a faint shadow on the floor under the feet, well inside the picture."""
        side = self.image.width
        bottom = float(vertices[:, 1].max())
        feet = vertices[vertices[:, 1] > bottom - 0.07 * side, 0]
        middle, half = (feet.max() + feet.min()) / 2, (feet.max() - feet.min()) / 2 + 0.02 * side
        half = min(half, middle - 0.034 * side, 0.966 * side - middle)
        for share, shade in ((1.0, 0.955), (0.8, 0.91)):
            box = (
                middle - half * share,
                bottom - 0.045 * side * share - 0.008 * side,
                middle + half * share,
                bottom + 0.018 * side * share - 0.008 * side,
            )
            self.pen.ellipse(box, tuple(round(value * shade) for value in background))


class Solid(NamedTuple):
    """A closed body of rings."""

    first: int  # of its vertices
    shape: tuple[int, int]  # rings, corners of each
    tones: tuple[Colour, Colour, Colour, Colour]
    line: float  # times the usual width is its outline's

    def paint(self, canvas: Canvas, lit: Iterator[int]) -> None:
        """Paint the faces that look at the viewer, with an outline and edges between tones.

        ``lit`` yields the tone of each face, as a number of ``tones``, -1 if it looks away.
        """
        points = canvas.points[self.first : self.first + math.prod(self.shape)]
        shades = zip(faces_of(*self.shape)[0], lit, strict=False)
        seen = [(face, self.tones[tone]) for face, tone in shades if tone >= 0]
        for loop in _boundary(face for face, _ in seen) if self.line else ():
            outline = _grown([points[corner] for corner in loop], canvas.width * self.line)
            if len(outline) > 2:
                canvas.pen.polygon(outline, OUTLINE)
        for face, tint in seen:
            canvas.pen.polygon([points[corner] for corner in face], tint)
        if self.line >= 1 and self.shape[1] != len(CIRCLE):
            for a, b in _creases(seen):
                canvas.pen.line((*points[a], *points[b]), self.tones[3], canvas.hairline)


class Decal(NamedTuple):
    """A flat, unshaded patch."""

    first: int
    count: int
    colour: Colour

    def paint(self, canvas: Canvas, _: Iterator[int]) -> None:
        """Fill it."""
        canvas.pen.polygon(canvas.points[self.first : self.first + self.count], self.colour)


class Stroke(NamedTuple):
    """A line on a surface."""

    first: int
    count: int
    colour: Colour
    width: float  # in units of the model

    def paint(self, canvas: Canvas, _: Iterator[int]) -> None:
        """Draw it, as a hairline at least."""
        points = canvas.points[self.first : self.first + self.count]
        width = max(canvas.hairline, round(self.width * canvas.scale))
        canvas.pen.line(points, self.colour, width)


class Cable(NamedTuple):
    """A round cable."""

    first: int
    count: int
    colour: Colour
    width: float  # in units of the model

    def paint(self, canvas: Canvas, _: Iterator[int]) -> None:
        """Draw it inside its outline."""
        points = canvas.points[self.first : self.first + self.count]
        width = self.width * canvas.scale
        canvas.pen.line(points, OUTLINE, round(width + 2 * canvas.width), joint="curve")
        canvas.pen.line(points, self.colour, round(width), joint="curve")


def _boundary(faces: Iterable[Face]) -> list[list[int]]:
    """The loops of corners around a set of faces that all turn the same way."""
    edges = {edge for face in faces for edge in zip(face, (*face[1:], face[0]), strict=True)}
    following = {a: b for a, b in edges if (b, a) not in edges}
    loops = []
    while following:
        start, corner = following.popitem()
        loop = [start]
        while corner != start and corner in following:
            loop.append(corner)
            corner = following.pop(corner)
        loops.append(loop)
    return loops


def _creases(seen: Sequence[tuple[Face, Colour]]) -> Iterator[tuple[int, int]]:
    """The edges between two faces of different tones."""
    tints: dict[tuple[int, int], Colour] = {}
    for face, tint in seen:
        for a, b in zip(face, (*face[1:], face[0]), strict=True):
            if tints.get((b, a), tint) != tint:
                yield a, b
            tints[a, b] = tint


def _grown(polygon: Sequence[tuple[float, float]], width: float) -> list[tuple[float, float]]:
    """A polygon with every edge moved outwards by ``width``; sharp corners are cut off."""
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


@functools.lru_cache(maxsize=4096)
def tones(colour: Colour) -> tuple[Colour, Colour, Colour, Colour]:
    """(highlight, lit, shadow, deep shadow) of a colour; shadows lean to blue."""
    highlight = tuple(round(0.58 * channel + 0.42 * 255) for channel in colour)
    shadow, deep = (
        tuple(round(share * channel) for share, channel in zip(shares, colour, strict=True))
        for shares in ((0.7, 0.71, 0.79), (0.52, 0.53, 0.62))
    )
    return highlight, colour, shadow, deep
