"""What a run tells about itself: ``history.csv`` and ``history.png``."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from utils.files import atomic_path

MOST_POINTS = 2000
"""Curves with more points than this are drawn through means of neighbouring points."""


class History:
    """``history.csv``: a row every few steps, each the mean over the steps since the row before.

    Columns: ``step`` (generator updates so far), ``epoch`` (passes over the data set so far),
    ``seconds`` (training time so far, interruptions left out), then what ``train_step`` returns.
    """

    def __init__(self, path: Path, names: Sequence[str]) -> None:
        self.path = path
        self.columns = ["step", "epoch", "seconds", *names]
        self.rows: list[list[float]] = []

    def resume(self, step: int) -> None:
        """Take over the rows up to ``step`` and drop those that an interrupted run wrote after."""
        if self.path.exists():
            with open(self.path, newline="", encoding="utf-8") as file:
                header, *lines = list(csv.reader(file)) or [self.columns]
            for line in lines:
                # A killed run may have left half a line at the end.
                if len(line) == len(header) and float(line[0]) <= step:
                    known = dict(zip(header, map(float, line), strict=True))
                    self.rows.append([known.get(name, math.nan) for name in self.columns])
        with atomic_path(self.path) as temporary, open(temporary, "w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(self.columns)
            writer.writerows(self._format(row) for row in self.rows)

    def append(self, rows: Iterable[Sequence[float]]) -> None:
        """Add rows to the file and put them on the disk, so that a checkpoint can rely on them."""
        rows = [list(row) for row in rows]
        self.rows += rows
        with open(self.path, "a", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows(self._format(row) for row in rows)
            file.flush()
            os.fsync(file.fileno())

    @staticmethod
    def _format(row: Sequence[float]) -> list[str]:
        return [f"{row[0]:.0f}", f"{row[1]:.4f}", f"{row[2]:.2f}", *(f"{v:.9g}" for v in row[3:])]

    def plot(self, path: Path, title: str) -> None:
        """Draw every column over the steps: losses above, the discriminator's answers below."""
        names = self.columns[3:]
        panels = [
            ("loss", [name for name in names if name.endswith("loss")]),
            ("mean answer", [name for name in names if name in ("d_real", "d_fake")]),
        ]
        shown = {name for _, group in panels for name in group}
        panels += [(name, [name]) for name in names if name not in shown]
        panels = [(label, group) for label, group in panels if group]

        figure = Figure(figsize=(9, 2.8 * len(panels) + 0.4), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
        table = thin(np.array(self.rows, dtype=np.float64).reshape(-1, len(self.columns)))
        for axis, (label, group) in zip(axes, panels, strict=True):
            for name in group:
                values = table[:, self.columns.index(name)]
                known = np.isfinite(values)  # a score is not taken at every row
                style = "." if known.mean() < 0.5 else ""
                axis.plot(table[known, 0], values[known], label=name, linewidth=1, marker=style)
            axis.set_ylabel(label)
            axis.grid(alpha=0.3)
            is_score = label not in ("loss", "mean answer")
            place = "best" if is_score else "upper right"
            axis.legend(loc=place, frameon=False, ncols=len(group))
            if label == "loss" and len(table):
                # A few wild steps at the beginning must not flatten everything after them.
                values = table[:, [self.columns.index(name) for name in group]]
                axis.set_ylim(
                    min(0.0, np.nanmin(values)), 1.3 * np.nanpercentile(values, 99) + 1e-9
                )
            scores = table[:, self.columns.index(group[0])]
            scores = scores[np.isfinite(scores)]
            if is_score and len(scores) and 0 < 100 * scores.min() < scores.max():
                axis.set_yscale("log")  # KID falls by orders of magnitude, most of it at first
            if label == "mean answer":
                axis.set_ylim(0, 1)
                axis.axhline(0.5, color="grey", linewidth=0.6)
        axes[0].set_title(title)
        axes[-1].set_xlabel("step (generator updates)")
        with atomic_path(path) as temporary:
            figure.savefig(temporary, dpi=100)


def thin(table: np.ndarray) -> np.ndarray:
    """Average neighbouring rows of (rows, columns) until at most MOST_POINTS are left."""
    span = -(-len(table) // MOST_POINTS)
    if span <= 1:
        return table
    whole = len(table) // span * span
    groups = table[:whole].reshape(-1, span, table.shape[1])
    known = np.isfinite(groups)
    with np.errstate(invalid="ignore"):
        return np.where(known, groups, 0).sum(axis=1) / known.sum(axis=1)
