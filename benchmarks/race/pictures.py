"""The pictures of a race: scores against seconds, and what the contestants draw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.ticker import FuncFormatter, NullLocator

from benchmarks.race.rows import Row
from benchmarks.race.runs import AVERAGED, Run
from utils.common.figures import figure_file
from utils.common.grids import caption, save_png, tile
from utils.common.pictures import read_picture
from utils.scoring.registry import SCORES

PANELS = {
    "kid": "KID x 1000, less is better",
    "swd": "SWD, less is better",
    "coverage": "coverage, more is better",
}
TICKS = (30, 60, 120, 300, 600, 1200, 3600)
"""Seconds; where no moment is one of them, all moments."""


def draw_curves(path: Path, rows: Sequence[Row], floor: Mapping[str, float]) -> None:
    """Draw scores against seconds: recipes broken lines, real pictures a dotted one.

    Args:
        path: the PNG.
        rows: in the order of the legend.
        floor: the scores of real pictures; may be empty.
    """
    with figure_file(path, 15, 6.6) as figure:
        axes = figure.subplots(1, len(PANELS))
        styles = _styles(rows)
        times = sorted({moment.seconds for row in rows for moment in row.moments})
        shown = [time for time in times if time in TICKS] or times
        for axis, (score, title) in zip(axes, PANELS.items(), strict=True):
            axis.set_xscale("log")
            for row, style in zip(rows, styles, strict=True):
                curve = [(x, y) for x, y in row.curve(score) if score != "kid" or y > 0]
                if curve:
                    axis.plot(*zip(*curve, strict=True), label=row.contestant.name, **style)
            if score == "kid":
                axis.set_yscale("log")
                axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
            elif score in floor:
                axis.axhline(floor[score], color="black", linestyle=":", linewidth=1.2)
                axis.annotate(
                    "real pictures", (0.99, floor[score]), xycoords=("axes fraction", "data"),
                    xytext=(0, 3), textcoords="offset points", ha="right", fontsize=8,
                )  # fmt: skip
            axis.set_title(title, fontsize=11)
            axis.set_xlabel("seconds of the machine")
            axis.set_xticks(shown, [f"{time:g}" for time in shown])
            axis.xaxis.set_minor_locator(NullLocator())
            axis.grid(alpha=0.25)
            axis.spines[["top", "right"]].set_visible(False)
        lines, labels = max(
            (axis.get_legend_handles_labels() for axis in axes), key=lambda found: len(found[1])
        )
        figure.legend(
            lines, labels, loc="outside lower center", ncols=4, fontsize=9, frameon=False,
            title="in the order of the table; dashed or dotted: historical recipes",
            title_fontsize=9, handlelength=3,
        )  # fmt: skip


def _styles(rows: Sequence[Row]) -> list[dict[str, object]]:
    """A line for each row; colours and markers go by rank."""
    numbers = {True: 0, False: 0}
    styles = []
    for row in rows:
        is_recipe = bool(row.contestant.recipe)
        palette = colormaps["Set2" if is_recipe else "tab10"].colors
        turn, place = divmod(numbers[is_recipe], len(palette))
        style = {"color": palette[place], "marker": "osD^vPX*"[turn % 8]}
        if is_recipe:
            dashes = (0, (4, 2)) if turn % 2 == 0 else (0, (1, 1.2))
            style |= {"linestyle": dashes, "linewidth": 1.4, "markersize": 3, "zorder": 2}
        else:
            order = 4 - numbers[is_recipe] / 100
            style |= {"linewidth": 2.2, "markersize": 4.5, "zorder": order}
        styles.append(style)
        numbers[is_recipe] += 1
    return styles


def last_grids(
    rows: Sequence[Row], runs: Sequence[Run], score: str
) -> list[tuple[str, np.ndarray]]:
    """Real pictures, and the last grid of seed 0 of every row that has one, with their labels.

    Args:
        rows: in this order.
        runs: of the rows.
        score: is shown in the label.
    """
    by_name = {run.contestant.name: run for run in runs if run.seed == 0}
    shown: list[tuple[str, np.ndarray]] = []
    for row in rows:
        run = by_name[row.contestant.name]
        path = run.grids.get(run.last.steps)
        if 0 not in row.finals or path is None:
            continue
        if not shown:
            reals = path.with_name("reals.png")
            shown.append(("real pictures", np.asarray(read_picture(reals))))
        label = f"{row.contestant.name}: {score} {row.finals[0][score]:.{SCORES[score].decimals}f}"
        label += " (historical)" * bool(row.contestant.recipe) + ", collapsed" * (
            0 in row.collapsed
        )
        shown.append((label, np.asarray(read_picture(path))))
    return shown


def grids_of(run: Run) -> list[tuple[str, np.ndarray]]:
    """The grids of a run at each of its moments that was scored, with their labels."""
    evaluations = run.evaluations()
    shown = []
    for moment in run.moments:
        if moment.steps in evaluations and moment.steps in run.grids:
            kid = evaluations[moment.steps]["scores"][AVERAGED]["kid"]
            label = f"{run.contestant.name}, {moment.seconds:g} s: kid {kid:.0f}"
            shown.append((label, np.asarray(read_picture(run.grids[moment.steps]))))
    return shown


def draw_grids(
    path: Path, shown: Sequence[tuple[str, np.ndarray]], columns: int = 3, enlarged: int = 1
) -> None:
    """Draw grids next to each other, row by row, each under its label; nothing where none is shown.

    Args:
        path: the PNG.
        shown: label and grid, uint8 (H, W, 3), all of one size.
        columns: grids in a row.
        enlarged: how many times.
    """
    if shown:
        labelled = [
            caption(grid.repeat(enlarged, 0).repeat(enlarged, 1), [label], size=18)
            for label, grid in shown
        ]
        save_png(path, tile(np.stack(labelled), columns, padding=10))
