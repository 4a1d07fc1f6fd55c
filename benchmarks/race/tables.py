"""Tables and sentences about the rows of a race, in Markdown."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence

from benchmarks.race.rows import Row, deviation, least_difference
from utils.scoring.registry import SCORES


def markdown(lines: Sequence[Sequence[str]]) -> str:
    """A table of rows of cells; the first is its head."""
    ruled = [lines[0], ["---"] * len(lines[0]), *lines[1:]]
    return "\n".join("| " + " | ".join(line) + " |" for line in ruled)


def cell(score: str, values: Sequence[float]) -> str:
    """Mean and range of a score."""
    if not values:
        return ""
    places = SCORES[score].decimals
    texts = [f"{value:,.{places}f}" for value in (statistics.fmean(values), *sorted(values))]
    return texts[0] if len(values) == 1 else f"{texts[0]} ({texts[1]} to {texts[-1]})"


def score_cells(row: Row, scores: Sequence[str]) -> list[str]:
    """Each of the scores at the last moment."""
    return [cell(score, row.values(score)) for score in scores]


def floor_cells(floor: Mapping[str, float], scores: Sequence[str]) -> list[str]:
    """Each of the scores of real pictures."""
    return [cell(score, [floor[score]]) for score in scores]


def names_of(rows: Sequence[Row]) -> str:
    """The contestants in a sentence."""
    return "; ".join(row.contestant.name for row in rows) or "none"


def notes(row: Row, seeds: int) -> list[str]:
    """What kept the contestant from being scored with all of its seeds.

    Args:
        row: of the contestant.
        seeds: how many it should have.
    """
    found = []
    if row.errors:
        found.append(f"became NaN ({len(row.errors)} of {len(row.scores)})")
    if row.collapsed:
        found.append(f"collapsed ({len(row.collapsed)} of {len(row.finals)})")
    if not row.ended:
        found.append(f"at {row.curve('kid')[-1][0]:g} s")
    elif row.ended < seeds:
        found.append(f"{row.ended} of {seeds} seeds")
    return found


def leaders(rows: Sequence[Row], score: str, least: float, text: str) -> list[str]:
    """Who is best, and who cannot be told apart from it.

    Args:
        rows: those that count, the best first.
        score: that decides.
        least: see `least_difference`.
        text: what the best has, as in "Least mean `kid`: {mean:.0f}".
    """
    if not rows:
        return []
    best = rows[0].mean(score)
    lines = [f"* {text.format(name=rows[0].contestant.name, mean=best)}."]
    if not math.isnan(least):
        equal = [row for row in rows[1:] if abs(row.mean(score) - best) < least]
        lines.append(f"* Not to be told apart from it: {names_of(equal)}.")
    return lines


def failures(rows: Sequence[Row]) -> str:
    """The runs that ended in an error, a line."""
    failed = [
        f"{row.contestant.name} (seed {seed}: {error})"
        for row in rows
        for seed, error in row.errors.items()
    ]
    return f"* Ended in an error: {'; '.join(failed) or 'none'}."


def chance(rows: Sequence[Row], scores: Sequence[str]) -> str:
    """Which differences of these scores mean something, for a footnote."""
    if math.isnan(deviation(rows, scores[0])):
        return (
            "Which differences mean something cannot be told without two seeds of a contestant "
            "that neither collapsed nor failed."
        )
    spreads = []
    for score in scores:
        places = SCORES[score].decimals + 1
        least = least_difference(rows, score)
        spreads.append(f"`{score}` {deviation(rows, score):.{places}f} ({least:.{places}f})")
    return (
        "Standard deviation between seeds of the same contestant, pooled over all that neither "
        "collapsed nor failed, and in brackets the least difference of two means that is not to be "
        f"expected from chance alone (twice its own deviation): {', '.join(spreads)}. Of twenty "
        "contestants that are all alike, one would be expected beyond that."
    )
