"""The curves on the page of a run, all of them over the same steps and seconds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from utils.common.figures import BLUE, GREEN, ORANGE
from utils.watching.alarms import Health
from utils.watching.answers import KINDS, Answers
from utils.watching.history import History
from utils.watching.rules import MEASURED
from utils.watching.table import thin

DIGITS = 5
"""Of the numbers in the curves; a plot of a thousand pixels shows four."""
COLOURS = (BLUE, ORANGE, GREEN)
"""The colours in answers.png that stand for the page's first ones."""
OVERFITTING = "overfitting: held-out pictures, 0 as training ones, 1 as generated"
HEALTH_PLOTS = (
    ("alikeness: 0 as reals, 1 all the same", ["alikeness"], False),
    ("KID: distance to held-out reals", ["kid"], True),
    ("coverage: share of held-out reals with an image nearby", ["coverage"], False),
    ("originality: distance to training images, 1 as reals", ["originality"], False),
    ("weights: root mean square", ["generator_weights", "judge_weights"], True),
)
"""Label, columns of health.csv, and whether the axis is logarithmic."""

Plot = dict[str, Any]


class Clock:
    """Seconds and epochs of any step, interpolated between the rows of history."""

    def __init__(self, history: History | None) -> None:
        table = history.table()[:, :3] if history is not None else np.zeros((0, 3))
        table = table[np.isfinite(table).all(axis=1)]
        self.table = np.concatenate([np.zeros((1, 3)), table])

    def seconds(self, steps: Sequence[float] | np.ndarray) -> list[float | None]:
        """Seconds of training until each of some steps."""
        return numbers(np.interp(steps, self.table[:, 0], self.table[:, 2]), 2)

    def epochs(self, steps: Sequence[float]) -> list[float | None]:
        """Epochs until each of some steps."""
        return numbers(np.interp(steps, self.table[:, 0], self.table[:, 1]), 2)

    def last(self) -> dict[str, float | None]:
        """Step, epoch and seconds of the last row."""
        return dict(zip(("step", "epoch", "seconds"), numbers(self.table[-1], 2), strict=True))


def history_plots(history: History | None) -> list[Plot]:
    """The panels of history.png."""
    if history is None or not history.rows:
        return []
    plots = []
    for panel in history.curves():
        series = _series(panel.names, panel.values, panel.is_logarithmic)
        if any(value is not None for each in series for value in each["values"]):
            seconds = numbers(panel.times[:, 2], 2)
            limits = panel.limits and numbers(panel.limits)
            plots.append(
                _plot(panel.label, panel.times[:, 0], seconds, series, panel.is_logarithmic, limits)
            )
    return plots


def health_plots(health: Health | None, history: History | None, clock: Clock) -> list[Plot]:
    """What alarms are found in and no other curve shows."""
    if health is None or not health.rows:
        return []
    shown = history.columns if history else ()
    table = thin(np.array(health.rows, np.float64))
    names = {"generator_weights": "generator", "judge_weights": health.discriminator}
    plots = []
    for label, columns, is_logarithmic in HEALTH_PLOTS:
        places = [1 + list(MEASURED).index(column) for column in columns]
        if any(health.columns[place] in shown for place in places):
            continue
        values = table[:, places]
        known = np.isfinite(values).any(axis=1)
        if known.any() and table[known, 0].max() > 0:  # not the weights of step 0 alone
            called = [names.get(column, column) for column in columns]
            series = _series(called, values[known], is_logarithmic)
            steps = table[known, 0]
            plots.append(_plot(label, steps, clock.seconds(steps), series, is_logarithmic))
    return plots


def answer_plots(answers: Answers | None, clock: Clock) -> list[Plot]:
    """The median of each kind between its percentiles 5 and 95, and the overfitting."""
    if answers is None or not answers.rows:
        return []
    curves = {kind: thin(answers.curves(kind)) for kind in KINDS}
    curves = {kind: table for kind, table in curves.items() if len(table)}
    steps = np.unique(np.concatenate([table[:, 0] for table in curves.values()]))
    series = []
    for kind, table in curves.items():
        columns = np.full((len(steps), 3), np.nan)
        columns[np.searchsorted(steps, table[:, 0])] = table[:, [4, 6, 8]]
        low, median, high = map(numbers, columns.T)
        colour = COLOURS.index(KINDS[kind])
        series.append({"name": kind, "values": median, "low": low, "high": high, "colour": colour})
    plots = [_plot(answers.label(), steps, clock.seconds(steps), series)]
    overfitting = thin(answers.overfitting())
    if np.isfinite(overfitting[:, 1]).any():
        steps, series = overfitting[:, 0], _series(["overfitting"], overfitting[:, 1:])
        plots.append(
            _plot(
                OVERFITTING,
                steps,
                clock.seconds(steps),
                series,
                limits=[-0.5, 1.5],
            )
        )
    return plots


def _plot(
    label: str,
    steps: np.ndarray,
    seconds: list[float | None],
    series: list[dict[str, Any]],
    is_logarithmic: bool = False,
    limits: list[float] | None = None,
) -> Plot:
    return {
        "label": label,
        "steps": numbers(steps, 1),
        "seconds": seconds,
        "series": series,
        "is_logarithmic": is_logarithmic,
        "limits": limits,
    }


def _series(
    names: Sequence[str], values: np.ndarray, is_logarithmic: bool = False
) -> list[dict[str, Any]]:
    """Curves from (rows, names); on a logarithmic axis there is nothing at 0 and below."""
    if is_logarithmic:
        values = np.where(values > 0, values, np.nan)
    return [
        {"name": name, "values": numbers(column)}
        for name, column in zip(names, values.T, strict=True)
    ]


def numbers(
    values: Sequence[float] | np.ndarray, decimals: int | None = None
) -> list[float | None]:
    """Numbers (N,) for JSON, rounded to DIGITS or to decimals; None for NaN and infinity."""
    values = np.asarray(values, np.float64)
    known = np.isfinite(values)
    safe = np.where(known, values, 1.0)
    if decimals is None:
        size = np.floor(np.log10(np.maximum(np.abs(safe), 1e-12)))
        scale = 10.0 ** np.maximum(DIGITS - 1 - size, 0)
        safe = np.rint(safe * scale) / scale
    else:
        safe = np.round(safe, decimals)
    return [
        x if is_known else None for x, is_known in zip(safe.tolist(), known.tolist(), strict=True)
    ]
