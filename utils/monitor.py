"""What a run tells about itself: ``history.csv`` and ``history.png``."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from utils.files import atomic_path

MOST_POINTS = 2000
"""Curves with more points than this are drawn through means of neighbouring points."""


def is_for_history_only(name: str) -> bool:
    """Tell whether a scalar that a step returns is for ``history.csv``, not the progress bar."""
    return "_gradient_" in name or name.endswith("_updates")


class Table:
    """A CSV file that grows with a run; the first of its columns is the step."""

    TEXTS: ClassVar[tuple[str, ...]] = ()
    """Columns that hold no numbers."""

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        self.path = path
        self.columns = list(columns)
        self.rows: list[list[Any]] = []

    def resume(self, step: int) -> None:
        """Take over the rows up to ``step`` and drop those that an interrupted run wrote after."""
        self.read(step)
        with atomic_path(self.path) as temporary, open(temporary, "w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(self.columns)
            writer.writerows(self._format(row) for row in self.rows)

    def read(self, step: int) -> None:
        """Take over the rows up to ``step``; the file stays as it is, or is not there."""
        if not self.path.exists():
            return
        with open(self.path, newline="", encoding="utf-8") as file:
            header, *lines = list(csv.reader(file)) or [self.columns]
        for line in lines:
            # A killed run may have left half a line at the end.
            if len(line) == len(header) and float(line[0]) <= step:
                known = {
                    name: value if name in self.TEXTS else float(value)
                    for name, value in zip(header, line, strict=True)
                }
                self.rows.append([known.get(name, math.nan) for name in self.columns])

    def append(self, rows: Iterable[Sequence[Any]]) -> None:
        """Add rows to the file and put them on the disk, so that a checkpoint can rely on them."""
        rows = [list(row) for row in rows]
        self.rows += rows
        with open(self.path, "a", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows(self._format(row) for row in rows)
            file.flush()
            os.fsync(file.fileno())

    def _format(self, row: Sequence[Any]) -> list[str]:
        raise NotImplementedError


class History(Table):
    """``history.csv``: a row every few steps, each the mean over the steps since the row before.

    Columns: ``step`` (generator updates so far), ``epoch`` (passes over the data set so far),
    ``seconds`` (training time so far, interruptions left out), then what ``train_step`` returns.
    Names that end in ``_updates`` are counts, of which a row has the last.
    """

    def __init__(self, path: Path, names: Sequence[str]) -> None:
        super().__init__(path, ["step", "epoch", "seconds", *names])

    def _format(self, row: Sequence[float]) -> list[str]:
        decimals = {"step": ".0f", "epoch": ".4f", "seconds": ".2f"}
        return [
            format(value, ".0f" if name.endswith("_updates") else decimals.get(name, ".9g"))
            for name, value in zip(self.columns, row, strict=True)
        ]

    def means(self, after: float, step: int) -> dict[str, float]:
        """Mean answers and gradients over the rows after a step, up to another one.

        Returns:
            ``d_real`` and ``d_fake``, ``gradient_first`` and ``gradient_last`` of the generator;
            what the method does not return is left out.
        """
        rows = [row for row in self.rows if after < row[0] <= step]
        names = {"d_real": "d_real", "d_fake": "d_fake"}
        names |= {f"gradient_{end}": f"g_gradient_{end}" for end in ("first", "last")}
        return {
            name: float(np.mean([row[self.columns.index(column)] for row in rows]))
            for name, column in names.items()
            if rows and column in self.columns
        }

    def _panels(self) -> list[tuple[str, list[str], str]]:
        """What is drawn, from the top down: label, columns and scale of each panel.

        The scale is ``linear``, ``log``, or ``score``: logarithmic where the values ask for it.
        """
        names = self.columns[3:]
        counts = [name for name in names if name.endswith("_updates")]
        panels = [
            ("loss", [name for name in names if name.endswith("loss")], "linear"),
            ("mean answer", [name for name in names if name in ("d_real", "d_fake")], "linear"),
            ("wasserstein", [name for name in names if name == "wasserstein"], "linear"),
            ("gradient norm", [name for name in names if "_gradient_" in name], "log"),
            ("updates", counts if self._skipped(counts) else [], "linear"),
        ]
        shown = {name for _, group, _ in panels for name in group} | set(counts)
        panels += [(name, [name], "score") for name in names if name not in shown]
        return [(label, group, scale) for label, group, scale in panels if group]

    def _skipped(self, counts: Sequence[str]) -> bool:
        """Whether a network has ever got other than its number of updates in a step."""
        for place in (self.columns.index(name) for name in counts):
            # Rows of an older version have no counts.
            shares = {row[place] / row[0] for row in self.rows if math.isfinite(row[place])}
            if any(not share.is_integer() for share in shares) or len(shares) > 1:
                return True
        return False

    def plot(self, path: Path, title: str) -> None:
        """Draw every column over the steps: losses above, the discriminator's answers below."""
        panels = self._panels()
        figure = Figure(figsize=(9, 2.8 * len(panels) + 0.4), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
        table = thin(np.array(self.rows, dtype=np.float64).reshape(-1, len(self.columns)))
        for axis, (label, group, scale) in zip(axes, panels, strict=True):
            for name in group:
                values = table[:, self.columns.index(name)]
                known = np.isfinite(values)  # a score is not taken at every row
                style = "." if known.mean() < 0.5 else ""
                axis.plot(table[known, 0], values[known], label=name, linewidth=1, marker=style)
            axis.set_ylabel(label)
            axis.grid(alpha=0.3)
            place = "upper right" if label in ("loss", "mean answer") else "best"
            axis.legend(loc=place, frameon=False, ncols=len(group))
            if label == "loss" and len(table):
                # A few wild steps at the beginning must not flatten everything after them.
                values = table[:, [self.columns.index(name) for name in group]]
                axis.set_ylim(
                    min(0.0, np.nanmin(values)), 1.3 * np.nanpercentile(values, 99) + 1e-9
                )
            values = table[:, self.columns.index(group[0])]
            values = values[np.isfinite(values)]
            falls = len(values) and 0 < 100 * values.min() < values.max()
            if scale == "log" or (scale == "score" and falls):
                # KID falls by orders of magnitude, most of it at first.
                axis.set_yscale("log")
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
