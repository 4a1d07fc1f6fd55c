"""``history.csv`` and ``history.png``: the curves of a run."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import numpy as np

from utils.common.figures import COLOURS, figure_file
from utils.scoring.registry import SCORES
from utils.watching.table import Table, thin

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SCHEDULES = ("learning_rate", "gamma", "beta2")
"""Scheduled values among the scalars that a step returns."""
SET = {"schedule", "augmentation_probability"}
"""Panels of what is set, not measured: nothing to look at while it is constant."""
LABELS = {
    "mean answer": "mean answer, as a probability (0.5: cannot tell)",
    "wasserstein": "critic's estimate of the Wasserstein distance",
    "gradient norm": "norms of gradients",
    "penalty": "penalties without their weight",
    "updates": "updates of each network so far",
    "augmentation_probability": "probability of each augmentation",
    "gradient_penalty": "gradient penalty without its weight",
    "d_difference": "mean of D(x) - D(G(z)), in logits",
    "d_ordered": "pairs whose real image gets the higher logit (0.5: chance)",
}
"""What a panel says where its name does not say it."""


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
        """The panels from the top down, with at most MOST_POINTS points a curve.

        Those without a value, and of what is set and constant, are left out.
        """
        table = thin(self.table())
        found = []
        for label, names, scale in self._panels():
            values = table[:, [self.columns.index(name) for name in names]]
            known = np.isfinite(values)
            limits = None
            if not known.any() or (label in SET and set(names) <= self.constants().keys()):
                continue
            if label == "loss":
                limits = _loss_limits(values[known])
            if label in ("mean answer", "augmentation_probability", "d_ordered"):
                limits = (0.0, 1.0)
            first = values[known[:, 0], 0]
            # KID falls by orders of magnitude, mostly at first.
            falls = len(first) and 0 < 100 * first.min() < first.max()
            is_log = scale == "log" or bool(scale == "score" and falls)
            # A score's column may end in the features that it is of.
            score = next((x for x in SCORES if label == x or label.startswith(f"{x}_")), "")
            if score and not is_log and values[known].min() >= 0:
                limits = (0.0, 1.08 * float(values[known].max()) or 1.0)
            rows = known.any(axis=1)  # few rows have a score
            is_sparse = bool(rows.sum() < 0.5 * len(rows))
            times, values = table[rows, :3], values[rows]
            label = LABELS.get(label, label)
            if score:
                features = label.removeprefix(score).replace("_", " ").strip()
                label = f"{score} ({features})" if features else score
                better = SCORES[score].better
                label += f": {better} is better" if better else f": {SCORES[score].meaning}"
            found.append(Panel(label, names, times, values, is_sparse, is_log, limits))
        return found

    def constants(self) -> dict[str, float]:
        """What is set and has not changed so far, by its column."""
        table = self.table()
        columns = {name: table[:, self.columns.index(name)] for name in self.columns}
        return {
            name: float(values[0])
            for name, values in columns.items()
            if (name in SCHEDULES or name in SET)
            and len(values)
            and np.ptp(values) <= 1e-3 * abs(values[0])
        }

    def table(self) -> np.ndarray:
        """All rows, float64 (rows, columns)."""
        return np.array(self.rows, np.float64).reshape(-1, len(self.columns))

    def plot(self, path: Path, title: str) -> None:
        """Draw the panels in two columns, over the steps, with the last value of every curve."""
        panels = self.curves()
        columns = min(2, len(panels))
        rows = -(-len(panels) // columns)
        with figure_file(path, 6.5 * columns, 2.6 * rows + 0.6) as figure:
            axes = figure.subplots(rows, columns, squeeze=False).ravel()
            for axis, panel in zip(axes, panels, strict=False):
                _draw(axis, panel)
                axis.set_xlim(0, max(1, self.rows[-1][0]))
            for axis in axes[len(panels) :]:
                axis.set_axis_off()
            for axis in axes[max(0, len(panels) - columns) : len(panels)]:
                axis.set_xlabel("step (generator updates)")
            constants = [f"{name} {value:.4g}" for name, value in self.constants().items()]
            constant = f"constant so far: {', '.join(constants)}" if constants else ""
            figure.suptitle("; ".join(filter(None, (title, constant))), fontsize=11)


def _loss_limits(values: np.ndarray) -> tuple[float, float]:
    """An axis with 0 and all values, unless a few wild ones would flatten the rest."""
    low, high = np.percentile(values, (1, 99))
    low, high = min(float(low), 0.0), max(float(high), 0.0)
    span = high - low
    bottom, top = max(float(values.min()), low - span), min(float(values.max()), high + span)
    bottom, top = min(bottom, 0.0), max(top, 0.0)
    margin = 0.05 * (top - bottom) + 1e-9
    return bottom - margin if bottom < 0 else 0.0, top + margin


def _draw(axis: Axes, panel: Panel) -> None:
    """Draw curves under their label, with a legend above the axes."""
    for colour, name, values in zip(
        itertools.cycle(COLOURS), panel.names, panel.values.T, strict=False
    ):
        known = np.isfinite(values)
        if known.any():
            last = values[known][-1]
            axis.plot(
                panel.times[known, 0], values[known], color=colour, linewidth=1.2,
                marker="o" if panel.is_sparse or known.sum() == 1 else "", markersize=4,
                clip_on=not panel.is_sparse and panel.limits != (0.0, 1.0), zorder=3,
                label=f"{name} {last:.4g}" if len(panel.names) > 1 else f"last: {last:.4g}",
            )  # fmt: skip
    axis.set_title(panel.label, loc="left", fontsize=9)
    axis.legend(
        loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0.3, frameon=False, fontsize=8,
        ncols=2 if len(panel.names) > 2 else len(panel.names), handlelength=1.2, columnspacing=1,
    )  # fmt: skip
    axis.grid(alpha=0.3)
    axis.spines[["top", "right"]].set_visible(False)
    if panel.limits is not None:
        axis.set_ylim(panel.limits)
        highest = np.unravel_index(np.nanargmax(panel.values), panel.values.shape)
        if panel.values[highest] > panel.limits[1]:
            text = f"up to {panel.values[highest]:.3g}"
            axis.text(panel.times[highest[0], 0], panel.limits[1], text, fontsize=8, va="top")
    if panel.is_logarithmic:
        _plain_logarithms(axis, panel.values)
    if panel.label == LABELS["mean answer"]:
        axis.axhline(0.5, color="grey", linewidth=0.6)


def _plain_logarithms(axis: Axes, values: np.ndarray) -> None:
    """A logarithmic axis with plain numbers, also where it spans less than a decade."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    positive = values[values > 0]
    if not len(positive):
        return
    axis.set_yscale("log")
    is_short = positive.max() < 30 * positive.min()
    axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if is_short else (1,)))
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.yaxis.set_minor_formatter(NullFormatter())
