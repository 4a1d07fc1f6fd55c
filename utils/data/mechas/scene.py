"""The scene: what is to be painted, back to front, who looks at it, and where the light is."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image

from utils.data.mechas.canvas import LINE_WIDTHS, Canvas, tones
from utils.data.mechas.catalogue import Colour
from utils.data.mechas.geometry import Frame, Points, faces_of, loft, plate, rotation, table, unit

PITCH = 9.0  # the viewer looks down on the figure a little: degrees
DISTANCE = 330.0  # of the viewer: the near side is a little larger
LIGHT = unit((0.45, 0.66, 0.6))  # falls from above on the side the figure faces


class Scene:
    """What is to be painted, back to front; the view has x to the right, y up, z to the viewer."""

    def __init__(self, yaw: float) -> None:
        self.view = rotation(PITCH, 0, 0) @ rotation(0, yaw, 0)
        self.vertices: list[np.ndarray] = []
        self.count = 0
        # What paints it, its first vertex, how many it has, and further arguments.
        self.items: list[tuple[Callable[..., None], int, int, tuple]] = []

    def loft(
        self, f: Frame, colour: Colour, axis: str, text: str, corner: float = 0.35, line: float = 1
    ) -> None:
        """Add a `loft` in the frame ``f``; its outline is ``line`` times as wide as usual."""
        rings = loft(axis, text, corner)
        self._add(f, rings, Canvas.solid, rings.shape[:2], tones(colour), line)

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
        """Add a `plate` in the frame ``f``; its outline is ``line`` times as wide as usual."""
        rings = plate(axis, text, back, front, bevel)
        self._add(f, rings, Canvas.solid, rings.shape[:2], tones(colour), line)

    def decal(self, f: Frame, points: Points, colour: Colour, at: float = 0.0) -> None:
        """Add a flat, unshaded patch (points (n, 2)) on the plane z = ``at`` of a frame.

        It is seen only if the frame's +z looks at the viewer.
        """
        if self._looks_here(f, 2):
            rows = np.array([(*point, at) for point in points])
            self._add(f, rows, Canvas.patch, colour)

    def stroke(
        self, f: Frame, points: str, colour: Colour, width: float = 0.0, axis: int = 2
    ) -> None:
        """Add a line through points "x y z"; a ``width`` (model units) of 0 is a hairline.

        It is seen only if the frame's ``axis`` looks at the viewer.
        """
        if self._looks_here(f, axis):
            self._add(f, np.array(table(points)), Canvas.stroke, colour, width)

    def seam(self, f: Frame, colour: Colour, points: str, axis: int = 2) -> None:
        """Add a hairline in the shadow of a plate's colour."""
        self.stroke(f, points, tones(colour)[3], axis=axis)

    def cable(self, f: Frame, points: str, colour: Colour, width: float) -> None:
        """Add a round cable with an outline through points "x y z", seen from everywhere."""
        self._add(f, np.array(table(points)), Canvas.cable, colour, width)

    def paint(self, size: int, facing: str, background: Colour, fill: float) -> Image.Image:
        """The picture, fitted to ``fill`` of the frame, larger than ``size`` as yet."""
        side = 1024 if size > 128 else 512
        flip = -1 if facing == "left" else 1
        vertices = np.concatenate(self.vertices)
        pixels, scale = _fitted(vertices, side, fill, flip)
        lit = self._tones_of_faces(vertices, pixels, flip)
        canvas = Canvas(side, background, lit, scale, side * LINE_WIDTHS[size])
        canvas.floor_shadow(pixels)
        points = [(x, y) for x, y in pixels.tolist()]
        for paint, first, count, how in self.items:
            paint(canvas, points[first : first + count], *how)
        return canvas.image

    def _add(self, f: Frame, points: np.ndarray, paint: Callable[..., None], *how: object) -> None:
        seen = (points.reshape(-1, 3) @ f.axes.T + f.origin) @ self.view.T
        self.items.append((paint, self.count, len(seen), how))
        self.vertices.append(seen)
        self.count += len(seen)

    def _looks_here(self, f: Frame, axis: int) -> bool:
        return (self.view @ f.axes[:, axis])[2] > 0.08

    def _tones_of_faces(self, vertices: np.ndarray, pixels: np.ndarray, flip: int) -> list[int]:
        """Each solid face's tone (index into its colours), or -1 if it looks away."""
        solids = [(how[0], first) for paint, first, _, how in self.items if paint is Canvas.solid]
        quarters = [faces_of(*shape)[1] + first for shape, first in solids]
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
        light = (normals @ LIGHT) * inside_out
        light /= np.maximum(np.sqrt((normals**2).sum(1)), 1e-9)
        lit = np.select((light > 0.915, light > 0.42, light > -0.35), (0, 1, 2), 3)
        return np.where(area > 0.5, lit, -1).tolist()


def _fitted(vertices: np.ndarray, side: int, fill: float, flip: int) -> tuple[np.ndarray, float]:
    """Where vertices (n, 3) are on the picture, (n, 2), and how many pixels a unit has."""
    flat = vertices[:, :2] * (DISTANCE / (DISTANCE - vertices[:, 2:]))
    low, high = flat.min(0), flat.max(0)
    # Outlines reach beyond the figure, by 1.58 times the widest one at its sharpest corners;
    # the scale counts that in, the same at every size.
    scale = (fill - 2 * 1.58 * max(LINE_WIDTHS.values())) * side / float((high - low).max())
    return (flat - (low + high) / 2) * (scale * flip, -scale) + side / 2, scale
