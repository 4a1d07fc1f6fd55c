"""``history.csv`` and ``history.png``: the curves of a run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np

from utils.common.figures import figure_file
from utils.watching.table import Table, thin

SCHEDULES = ("learning_rate", "gamma", "beta2")
"""Scheduled values among the scalars that a step returns."""


def is_for_history_only(name: str) -> bool:
    """Whether a scalar of a step goes to ``history.csv`` but not to the progress bar."""
    return "_gradient_" in name or name.endswith("_updates") or name in SCHEDULES


class Panel(NamedTuple):
    """Curves that share a vertical axis."""

    label: str
    names: list[str]
    times: np.ndarray
    """float64 (rows, 3): step, epoch and seconds; only rows in which a curve has a value."""
    values: np.ndarray
    """float64 (rows, names); NaN where a curve has none."""
    is_sparse: bool
    """Whether fewer than half of the rows have a value."""
    is_logarithmic: bool
    limits: tuple[float, float] | None
    """Of the axis; None fits the values."""


class History(Table):
    """``history.csv``: a row every few steps, each the mean over the steps since the row before.

    Columns: ``step`` (generator updates so far), ``epoch`` (passes over the data set so far),
    ``seconds`` (training time so far, without interruptions), then what ``train_step`` returns.
    Names that end in ``_updates`` are counts: a row has the last one, not the mean.
    """

    FIRST: ClassVar[tuple[str, ...]] = ("step", "epoch", "seconds")

    def __init__(self, path: Path, names: Sequence[str] = ()) -> None:
        super().__init__(path, [*self.FIRST, *names])

    def _format(self, row: Sequence[float]) -> list[str]:
        decimals = {"step": ".0f", "epoch": ".4f", "seconds": ".2f"}
        return [
            format(value, ".0f" if name.endswith("_updates") else decimals.get(name, ".9g"))
            for name, value in zip(self.columns, row, strict=True)
        ]

    def means(self, after: float, step: int) -> dict[str, float]:
        """Means over the rows after a step, up to another one.

        Returns:
            ``d_real`` and ``d_fake``, ``gradient_first`` and ``gradient_last`` of the generator,
            without those that the method does not return.
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
        """Label, columns and scale of each panel, from the top down.

        The scale is ``linear``, ``log``, or ``score``: logarithmic if the values span decades.
        """
        names = self.columns[3:]
        counts = [name for name in names if name.endswith("_updates")]
        panels = [
            ("loss", [name for name in names if name.endswith("loss")], "linear"),
            ("mean answer", [name for name in names if name in ("d_real", "d_fake")], "linear"),
            ("wasserstein", [name for name in names if name == "wasserstein"], "linear"),
            ("gradient norm", [name for name in names if "_gradient_" in name], "log"),
            ("penalty", [name for name in names if name in ("r1_penalty", "r2_penalty")], "score"),
            ("schedule", [name for name in names if name in SCHEDULES], "log"),
            ("updates", counts if self._skipped(counts) else [], "linear"),
        ]
        shown = {name for _, group, _ in panels for name in group} | set(counts)
        panels += [(name, [name], "score") for name in names if name not in shown]
        return [(label, group, scale) for label, group, scale in panels if group]

    def _skipped(self, counts: Sequence[str]) -> bool:
        """Whether a network ever had more or fewer updates in a step than usual."""
        for place in (self.columns.index(name) for name in counts):
            # Rows of older versions have no counts.
            shares = {row[place] / row[0] for row in self.rows if math.isfinite(row[place])}
            if any(not share.is_integer() for share in shares) or len(shares) > 1:
                return True
        return False

    def curves(self) -> list[Panel]:
        """The panels from the top down, with at most MOST_POINTS points a curve."""
        table = thin(self.table())
        found = []
        for label, names, scale in self._panels():
            values = table[:, [self.columns.index(name) for name in names]]
            known = np.isfinite(values)
            limits = None
            if label == "loss" and known.any():
                # A few wild steps at the beginning must not flatten the rest.
                finite = values[known]
                limits = (min(0.0, finite.min()), 1.3 * float(np.percentile(finite, 99)) + 1e-9)
            if label in ("mean answer", "augmentation_probability"):
                limits = (0.0, 1.0)
            first = values[known[:, 0], 0]
            # KID falls by orders of magnitude, mostly at first.
            falls = len(first) and 0 < 100 * first.min() < first.max()
            is_log = scale == "log" or bool(scale == "score" and falls)
            rows = known.any(axis=1)  # few rows have a score
            is_sparse = bool(rows.sum() < 0.5 * len(rows))
            times, values = table[rows, :3], values[rows]
            found.append(Panel(label, names, times, values, is_sparse, is_log, limits))
        return found

    def table(self) -> np.ndarray:
        """All rows, float64 (rows, columns)."""
        return np.array(self.rows, np.float64).reshape(-1, len(self.columns))

    def plot(self, path: Path, title: str) -> None:
        """Draw the panels below each other, over the steps."""
        panels = self.curves()
        with figure_file(path, 9, 2.8 * len(panels) + 0.4) as figure:
            axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
            for axis, panel in zip(axes, panels, strict=True):
                style = "." if panel.is_sparse else ""
                for name, values in zip(panel.names, panel.values.T, strict=True):
                    known = np.isfinite(values)
                    axis.plot(
                        panel.times[known, 0], values[known], label=name, linewidth=1, marker=style
                    )
                axis.set_ylabel(panel.label)
                axis.grid(alpha=0.3)
                place = "upper right" if panel.label in ("loss", "mean answer") else "best"
                axis.legend(loc=place, frameon=False, ncols=len(panel.names))
                if panel.limits is not None:
                    axis.set_ylim(panel.limits)
                if panel.is_logarithmic:
                    axis.set_yscale("log")
                if panel.label == "mean answer":
                    axis.axhline(0.5, color="grey", linewidth=0.6)
            axes[0].set_title(title)
            axes[-1].set_xlabel("step (generator updates)")
