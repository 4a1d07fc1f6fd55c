"""Scores of several generators next to each other: a table, and a chart."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np

from utils.common.figures import SKY, figure_file
from utils.scoring.registry import SCORES, FeatureKind

Scores = Mapping[str, float]

FEW_PICTURES, ENOUGH_PICTURES = 100, 200
LIMITS: dict[FeatureKind, str] = {
    "random": "random features see colours and textures, no figures: patches without any robot can "
    "score like real pictures",
    "inception": "Keras' Inception weights: these scores compare with each other, not with FID and "
    "KID of papers, whose weights of 2015 have 1,008 classes",
}


def caution(features: FeatureKind, pictures: int) -> list[str]:
    """What scores of such features and of as many pictures cannot tell, a sentence each."""
    lines = [LIMITS[features]] if features in LIMITS else []
    if pictures < ENOUGH_PICTURES:
        few = "too few for a verdict" if pictures < FEW_PICTURES else "few"
        lines.append(
            f"{pictures} pictures are {few}: small differences are chance; expected at least "
            f"{FEW_PICTURES}, better {ENOUGH_PICTURES}"
        )
    return lines


def table(columns: Mapping[str, Scores]) -> str:
    """Scores as rows, generators as columns, and what each score means."""
    names = dict.fromkeys(name for scores in columns.values() for name in scores)
    lines = [["", *columns, ""]]
    for name in names:
        if not name.endswith("_spread"):
            meaning = SCORES[name].sentence if name in SCORES else ""
            lines.append([name, *(cell(scores, name) for scores in columns.values()), meaning])
    return aligned(lines, left=(0, len(lines[0]) - 1))


def class_table(scores: Mapping[str, Scores]) -> str:
    """Classes as rows: what `class_scores` returns."""
    lines = [["class", "held out", "recognised", "of reals", "diversity", "kid"]]
    for name, row in scores.items():
        shares = (f"{row[key]:.2f}" if key in row else "" for key in
                  ("recognised", "recognised_reals", "diversity"))  # fmt: skip
        distance = f"{row['kid']:.0f}" if "kid" in row else ""
        lines.append([name, f"{row['pictures']:.0f}", *shares, distance])
    return aligned(lines, left=(0,))


def aligned(lines: Sequence[Sequence[str]], left: Collection[int]) -> str:
    """Lines of cells as columns of equal width; those at the places ``left`` begin at the left."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            text.ljust(width) if place in left else text.rjust(width)
            for place, (text, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def cell(scores: Scores, name: str) -> str:
    """A score and its spread, three digits; empty where it is not known."""
    found = [scores[each] for each in (name, f"{name}_spread") if each in scores]
    return " ± ".join(map(_number, found))


def _number(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def draw_comparison(
    path: Path, runs: Mapping[str, Scores], floors: Sequence[Scores], title: str
) -> None:
    """Draw a small chart for every score: a bar for every run, the mean floor as a line."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    names = [name for name in SCORES if any(name in scores for scores in runs.values())]
    columns = 3
    rows = -(-len(names) // columns)
    height = 0.6 + rows * (0.9 + 0.35 * len(runs))
    with figure_file(path, 4 * columns, height) as figure:
        axes = figure.subplots(rows, columns, squeeze=False).ravel()
        for axis, name in zip(axes, names, strict=False):
            values = [scores.get(name, math.nan) for scores in runs.values()]
            spreads = [scores.get(f"{name}_spread", 0.0) for scores in runs.values()]
            places = np.arange(len(runs))[::-1]
            axis.barh(places, values, xerr=spreads, height=0.6, color=SKY)
            # Numbers, as the bar of a 0 is none, and so is that of a score that is missing.
            for place, value in zip(places, values, strict=True):
                text = "none" if math.isnan(value) else _number(value)
                axis.annotate(
                    text, (0.99, place), xycoords=("axes fraction", "data"), ha="right",
                    va="center", fontsize=8,
                )  # fmt: skip
            known = [scores[name] for scores in floors if name in scores]
            if known:
                axis.axvline(float(np.mean(known)), color="black", linestyle="--", linewidth=1)
            ends = [x for x in (0.0, *values, *known) if math.isfinite(x)]
            axis.set_xlim(1.05 * min(ends), 1.35 * max(ends) or 1.0)
            axis.xaxis.set_major_locator(MaxNLocator(4))
            axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
            axis.spines[["top", "right"]].set_visible(False)
            axis.set_yticks(places, runs)
            axis.set_ylim(-0.6, len(runs) - 0.4)
            axis.set_title(name, fontsize=10)
            axis.set_xlabel(SCORES[name].sentence, fontsize=7)
        for axis in axes[len(names) :]:
            axis.set_axis_off()
        figure.suptitle(title)
