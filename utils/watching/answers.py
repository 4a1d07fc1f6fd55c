"""``answers.csv`` and ``answers.png``: what the discriminator answers to three kinds of pictures.

Training pictures, held-out ones and generated ones. A discriminator that overfits takes held-out
pictures for generated: the answers to the two kinds of real pictures drift apart before anything
shows in the losses or the grids.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from utils.common.figures import BLUE, GREEN, ORANGE, figure_file
from utils.watching.table import Table, thin

if TYPE_CHECKING:
    from matplotlib.axes import Axes

KINDS = {"training": BLUE, "held out": GREEN, "generated": ORANGE}
"""What is asked about, and its colour."""
PERCENTILES = (5, 25, 50, 75, 95)


def overfitting(answers: Mapping[str, np.ndarray]) -> float:
    """How far held-out pictures are on the way from training pictures to generated ones.

    It is a ratio of differences between means of a few dozen answers. Where training pictures and
    generated images get nearly the same answers, as from a discriminator that is far from winning,
    it can be anything: the denominator must be four times its standard error.

    Args:
        answers: (N,) of each of `KINDS`.

    Returns:
        r_v of Karras et al. 2020 (arXiv:2006.06676, equation 1): 0 where the discriminator answers
        training and held-out pictures alike, 1 where it takes held-out ones for generated. NaN
        where it may be chance, or where no pictures are held out.
    """
    if "held out" not in answers:
        return math.nan
    return _significant_ratio({kind: (len(x), x.mean(), x.std()) for kind, x in answers.items()})


def _significant_ratio(statistics: Mapping[str, tuple[float, float, float]]) -> float:
    """The same, of number, mean and standard deviation of the answers of each kind."""
    (n, training, deviation), (_, held_out, _), (m, generated, other) = map(statistics.get, KINDS)
    error = math.hypot(deviation / math.sqrt(n), other / math.sqrt(m))
    difference = training - generated
    return (training - held_out) / difference if abs(difference) > 4.0 * error else math.nan


class Answers(Table):
    """``answers.csv``: three rows a sample, one for each kind of picture.

    Columns: ``step`` (generator updates so far), ``kind`` (training, held out, generated),
    ``pictures`` (how many were asked about), then mean, standard deviation and percentiles of the
    answers: logits of a discriminator, values of a critic.
    """

    TEXTS: ClassVar[Mapping[str, Collection[str]]] = {"kind": tuple(KINDS)}
    FIRST: ClassVar[tuple[str, ...]] = ("step", "kind", "pictures", "mean", "standard_deviation")

    def __init__(self, path: Path, discriminator: str = "discriminator") -> None:
        """A table without rows; see `Table.read` and `Table.resume`.

        Args:
            path: of the file.
            discriminator: what the method calls the generator's opponent.
        """
        percentiles = [f"percentile_{percentile}" for percentile in PERCENTILES]
        super().__init__(path, [*self.FIRST, *percentiles])
        self.discriminator = discriminator
        self.unit = "value" if discriminator == "critic" else "logit"
        self.latest: dict[str, np.ndarray] = {}
        """The last answers, (N,) of each kind."""

    @staticmethod
    def _format(row: Sequence[float | str]) -> list[str]:
        step, kind, pictures, *numbers = row
        return [f"{step:.0f}", kind, f"{pictures:.0f}", *(f"{number:.6g}" for number in numbers)]

    def add(self, step: int, answers: Mapping[str, np.ndarray]) -> None:
        """Add the rows of a step to the file: its answers, (N,) of each kind."""
        self.latest = dict(answers)
        self.append(
            [step, kind, len(x), x.mean(), x.std(), *np.percentile(x, PERCENTILES)]
            for kind, x in answers.items()
        )

    def curves(self, kind: str) -> np.ndarray:
        """The rows of a kind, (rows, columns) without the kind itself."""
        rows = [[row[0], *row[2:]] for row in self.rows if row[1] == kind]
        return np.array(rows, np.float64).reshape(-1, len(self.columns) - 1)

    def _statistics(self) -> dict[float, dict[str, tuple[float, float, float]]]:
        """By step and kind: number, mean and standard deviation; steps at which means differ."""
        found: dict[float, dict[str, tuple[float, float, float]]] = {}
        for step, kind, number, mean, deviation, *_ in self.rows:
            found.setdefault(step, {})[kind] = (number, float(mean), float(deviation))
        return {
            step: kinds
            for step, kinds in found.items()
            if KINDS.keys() <= kinds.keys() and kinds["training"][1] != kinds["generated"][1]
        }

    def overfitting(self) -> np.ndarray:
        """`overfitting` at every sample, even where it may be chance.

        Returns:
            Steps and values, (rows, 2); no rows where no pictures are held out.
        """
        found = []
        for step, kinds in self._statistics().items():
            training, held_out, generated = (kinds[kind][1] for kind in KINDS)
            found.append((step, (training - held_out) / (training - generated)))
        return np.array(found, np.float64).reshape(-1, 2)

    def significant_overfitting(self) -> float:
        """`overfitting` at the last sample; NaN where it may be chance, or without samples."""
        statistics = self._statistics()
        return _significant_ratio(statistics[max(statistics)]) if statistics else math.nan

    def plot(self, path: Path, title: str) -> None:
        """Draw median and 5-95 % band of each kind over the steps, and the last answers."""
        overfitting = thin(self.overfitting())
        overfits = len(overfitting) > 0
        with figure_file(path, 11, 5.6 if overfits else 3.8) as figure:
            places = [["curves", "last"], ["overfitting", "last"]][: 2 if overfits else 1]
            heights = [2, 1] if overfits else None
            axes = figure.subplot_mosaic(places, width_ratios=[2, 1], height_ratios=heights)
            if overfits:
                axis = axes["overfitting"]
                axis.plot(*overfitting.T, color=KINDS["held out"], **_style(len(overfitting)))
                for value in (0, 1):
                    axis.axhline(value, color="grey", linewidth=0.6)
                axis.set_yticks([0, 1], ["0: none", "1: all"])
                axis.set_ylim(-0.5, 1.5)
                text = "overfitting: how far held-out pictures are on the way to generated ones"
                axis.set_title(text, loc="left", fontsize=9)
                axis.sharex(axes["curves"])
                axes["curves"].tick_params(labelbottom=False)
            axes[places[-1][0]].set_xlabel("step (generator updates)")
            self._draw_curves(axes["curves"])
            self._draw_latest(axes["last"])
            for axis in axes.values():
                axis.grid(alpha=0.3)
                axis.spines[["top", "right"]].set_visible(False)
            text = f"{title}: what the {self.discriminator} answers"
            figure.suptitle(text, x=0.01, ha="left", fontsize=11)
            lines, labels = axes["curves"].get_legend_handles_labels()
            figure.legend(lines, labels, loc="outside upper right", ncols=len(KINDS), frameon=False)

    def _draw_curves(self, axis: Axes) -> None:
        for kind, colour in KINDS.items():
            table = thin(self.curves(kind))
            if len(table):
                steps, lower, median, upper = table[:, [0, 4, 6, 8]].T
                axis.fill_between(steps, lower, upper, color=colour, alpha=0.15, linewidth=0)
                named = {"held out": "held-out pictures", "generated": "generated images"}
                label = named.get(kind, f"{kind} pictures")
                axis.plot(steps, median, color=colour, label=label, **_style(len(steps)))
        axis.axhline(0, color="grey", linewidth=0.6)
        axis.set_title(self.label(), loc="left", fontsize=9)

    def _draw_latest(self, axis: Axes) -> None:
        finite = {kind: x[np.isfinite(x)] for kind, x in self.latest.items()}
        edges = np.histogram_bin_edges(np.concatenate([*finite.values(), np.zeros(0)]), bins=16)
        for kind, x in finite.items():
            if len(x):
                # Shares compare, also where the kinds have different numbers of pictures.
                shares = {"x": x, "bins": edges, "weights": np.full(len(x), 100 / len(x))}
                axis.hist(**shares, histtype="stepfilled", color=KINDS[kind], alpha=0.15)
                axis.hist(**shares, histtype="step", color=KINDS[kind], linewidth=1.4)
        axis.axvline(0, color="grey", linewidth=0.6)
        axis.set_xlabel(f"answer ({self.unit})")
        last = max((row[0] for row in self.rows), default=0)
        axis.set_title(f"step {last:,.0f}: pictures of each kind, in %", loc="left", fontsize=9)

    def label(self) -> str:
        """What the curves are, and in which unit."""
        return f"answer ({self.unit}): median, and band of 5 to 95 %"


def _style(points: int) -> dict[str, float | str]:
    """A line, with dots where there are few points."""
    return {"linewidth": 1.2, "marker": "o" if points <= 30 else "", "markersize": 3}
