"""A machine being built: the scene of a design, with its colours and its marking."""

from __future__ import annotations

from utils.data.mechas.catalogue import PAINTED, PAINTS, ROLES, Colour
from utils.data.mechas.designs import Design
from utils.data.mechas.geometry import Frame, disc
from utils.data.mechas.scene import Scene


class Machine(Scene):
    """The scene of a design; ``machine["knee"]`` is the colour of a role or part of the body."""

    def __init__(self, design: Design) -> None:
        super().__init__(design.yaw)
        self.design = design
        self.paint_of = dict(zip(ROLES, design.palette, strict=True))
        for part, role in zip(PAINTED, PAINTS[design.paint].split(), strict=True):
            self.paint_of[part] = self.paint_of[role]
        if design.hero:
            self.paint_of["knee"] = self.paint_of["armour"]

    def __getitem__(self, part: str) -> Colour:
        return self.paint_of[part]

    def marking(self, f: Frame, size: float) -> None:
        """Add the design's marking on the xy plane of ``f``."""
        if self.design.marking == "disc":
            self.decal(f, disc(size * 0.85), self["accent"])
            self.decal(f, disc(size * 0.4), self["body"])
        elif self.design.marking == "chevron":
            for y in (-0.5, 0.5):
                shape = ((-1, 0.3), (0, -0.5), (1, 0.3), (1, 0.8), (0, 0), (-1, 0.8))
                self.decal(f, [(u * size, (v + y) * size) for u, v in shape], self["accent"])
        elif self.design.marking == "stripe":
            for x in (-0.5, 0.5):
                shape = ((-0.5, -1.1), (0.1, -1.1), (0.5, 1.1), (-0.1, 1.1))
                self.decal(f, [((u + x) * size, v * size) for u, v in shape], self["accent"])
