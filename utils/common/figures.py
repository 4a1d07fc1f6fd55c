"""Figures of matplotlib, drawn with its own defaults: a person's settings are for other work.

It takes a third of a second to load, and a run draws its first figure after its first samples: so
it is imported where something is drawn.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from utils.common.files import atomic_path

if TYPE_CHECKING:
    from matplotlib.figure import Figure

logging.getLogger("matplotlib").setLevel(logging.ERROR)  # not of a folder it cannot write to

BLUE, ORANGE, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#AA4499"
"""Colours that also the colour-blind tell apart."""
COLOURS = (BLUE, ORANGE, GREEN, PURPLE)
SKY = "#56B4E9"
"""For bars, under black text."""


@contextmanager
def figure_file(
    path: Path, width: float, height: float, layout: Literal["constrained", "none"] = "constrained"
) -> Iterator[Figure]:
    """A figure of some inches; when the block ends well it becomes a PNG, whole or not at all.

    Args:
        path: the PNG, of 100 pixels an inch.
        width: in inches.
        height: in inches.
        layout: none where the block places everything itself.

    Raises:
        OSError: the folder cannot be written, or the disk is full.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        figure = Figure(figsize=(width, height), layout=layout)
        FigureCanvasAgg(figure)
        yield figure
        with atomic_path(path) as temporary:
            figure.savefig(temporary, dpi=100)
