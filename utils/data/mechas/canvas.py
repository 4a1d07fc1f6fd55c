"""The canvas: how a scene's solids, patches and lines become pixels, outlines first."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import itemgetter
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from utils.data.mechas.catalogue import OUTLINE, Colour
from utils.data.mechas.geometry import CIRCLE, faces_of

# Of the outlines, as shares of the picture: thin in large pictures, but not lost in small ones.
LINE_WIDTHS = {32: 0.0092, 64: 0.0076, 128: 0.0062, 256: 0.005}

Face = tuple[int, ...]  # the numbers of its corners among the vertices of its solid
Pixels = Sequence[tuple[float, float]]
Tones = tuple[Colour, Colour, Colour, Colour]


class Canvas:
    """A picture being painted: points are pixels of it, widths are in units of the model."""

    def __init__(
        self, side: int, background: Colour, lit: list[int], scale: float, outline: float
    ) -> None:
        """Make an empty one.

        Args:
            side: of the picture, in pixels.
            background: its colour.
            lit: the tones of all faces of all solids, in order; -1 looks away.
            scale: pixels of a unit of the model.
            outline: the usual width of outlines, in pixels.
        """
        self.image = Image.new("RGB", (side, side), background)
        self.pen = ImageDraw.Draw(self.image)
        self.background = background
        self.lit = iter(lit)
        self.scale = scale
        self.outline = outline
        self.hairline = round(outline * 0.5)

    def floor_shadow(self, vertices: np.ndarray) -> None:
        """Paint a faint shadow on the floor under a figure (n, 2), well inside the picture."""
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
            self.pen.ellipse(box, tuple(round(value * shade) for value in self.background))

    def solid(self, points: Pixels, shape: tuple[int, int], tones: Tones, line: float) -> None:
        """Paint the faces of a body of rings that look here, with outline and creases."""
        lit = itertools.islice(self.lit, len(faces_of(*shape)[0]))
        # Of equal tones, the first: between them is no crease.
        seen = _seen(shape, tuple(tone if tone < 0 else tones.index(tones[tone]) for tone in lit))
        for corners_of in seen.loops if line else ():
            outline = _grown(corners_of(points), self.outline * line)
            if len(outline) > 2:
                self.pen.polygon(outline, OUTLINE)
        for corners_of, tone in seen.faces:
            self.pen.polygon(corners_of(points), tones[tone])
        if line >= 1 and shape[1] != len(CIRCLE):
            for a, b in seen.creases:
                self.pen.line((*points[a], *points[b]), tones[3], self.hairline)

    def patch(self, points: Pixels, colour: Colour) -> None:
        """Fill a polygon."""
        self.pen.polygon(points, colour)

    def stroke(self, points: Pixels, colour: Colour, width: float) -> None:
        """Draw a line, a hairline at least."""
        self.pen.line(points, colour, max(self.hairline, round(width * self.scale)))

    def cable(self, points: Pixels, colour: Colour, width: float) -> None:
        """Draw a line inside its outline."""
        width *= self.scale
        self.pen.line(points, OUTLINE, round(width + 2 * self.outline), joint="curve")
        self.pen.line(points, colour, round(width), joint="curve")


class _Seen(NamedTuple):
    """What there is to paint of a body of rings: numbers of corners among its points."""

    loops: list[Callable[[Pixels], Pixels]]
    """Take the corners around the faces, of which each loop becomes an outline."""
    faces: list[tuple[Callable[[Pixels], Pixels], int]]
    """Take the corners of a face; with its tone."""
    creases: list[tuple[int, int]]


@functools.lru_cache(maxsize=20_000)
def _seen(shape: tuple[int, int], lit: tuple[int, ...]) -> _Seen:
    """What is seen of a body of rings with the tones ``lit``; few of them differ in that."""
    faces = [(face, tone) for face, tone in zip(faces_of(*shape)[0], lit, strict=True) if tone >= 0]
    return _Seen(
        [itemgetter(*loop) for loop in _boundary(face for face, _ in faces) if len(loop) > 1],
        [(itemgetter(*face), tone) for face, tone in faces],
        list(_creases(faces)),
    )


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


def _creases(seen: Sequence[tuple[Face, int]]) -> Iterator[tuple[int, int]]:
    """The edges between two faces of different tones."""
    tones: dict[tuple[int, int], int] = {}
    for face, tone in seen:
        for a, b in zip(face, (*face[1:], face[0]), strict=True):
            if tones.get((b, a), tone) != tone:
                yield a, b
            tones[a, b] = tone


def _grown(polygon: Pixels, width: float) -> Pixels:
    """A polygon with every edge moved outwards by ``width``; sharp corners are cut off."""
    polygon = [p for p, q in zip(polygon, (*polygon[1:], polygon[0]), strict=True) if p != q]
    if not polygon:
        return []
    area = 0.0
    normals = []
    before_x, before_y = polygon[-1]
    for x, y in polygon:
        dx, dy = x - before_x, y - before_y
        area += before_x * y - before_y * x
        length = math.hypot(dx, dy)
        normals.append((dy / length, -dx / length))
        before_x, before_y = x, y
    if area < 0:
        width = -width
    grown = []
    for (x, y), (ax, ay), (bx, by) in zip(
        polygon, normals, (*normals[1:], normals[0]), strict=True
    ):
        cosine = 1 + ax * bx + ay * by
        share = width / (cosine if cosine > 0.8 else 0.8)
        grown.append((x + (ax + bx) * share, y + (ay + by) * share))
    return grown


@functools.lru_cache(maxsize=4096)
def tones(colour: Colour) -> Tones:
    """(highlight, lit, shadow, deep shadow) of a colour; shadows lean to blue."""
    highlight = tuple(round(0.58 * channel + 0.42 * 255) for channel in colour)
    shadow, deep = (
        tuple(round(share * channel) for share, channel in zip(shares, colour, strict=True))
        for shares in ((0.7, 0.71, 0.79), (0.52, 0.53, 0.62))
    )
    return highlight, colour, shadow, deep
