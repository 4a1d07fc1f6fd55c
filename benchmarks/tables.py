"""Scores of several seeds: which differ by more than chance, and a table of them."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

COLLAPSED = 0.2
"""`alikeness` beyond which a generator has collapsed: that of five different images. One that still
draws nothing but dark figures is beyond it too: in one run of the baseline it was 0.32 after 500
steps, 0.14 after 2,000 and 0.06 after 5,000."""


def pooled_deviation(groups: Sequence[Sequence[float]]) -> float:
    """How far the values of a group differ: the pooled standard deviation; NaN with one each.

    The square root of the squared distances from each group's mean, summed over all groups, by the
    sum of their numbers of values less one.
    """
    groups = [group for group in groups if len(group) > 1]
    if not groups:
        return math.nan
    squares = [(value - statistics.fmean(group)) ** 2 for group in groups for value in group]
    return math.sqrt(sum(squares) / sum(len(group) - 1 for group in groups))


def difference_of_chance(deviation: float, number: int) -> float:
    """Means of two groups that differ by less may differ by chance: 2 s sqrt(2 / n).

    Args:
        deviation: s, of one value.
        number: n, of values in a group; s sqrt(2 / n) is the deviation of the difference of two
            means.
    """
    return 2 * deviation * math.sqrt(2 / number) if number else math.nan


def cell(values: Sequence[float], decimals: int) -> str:
    """Mean and range."""
    if not values:
        return ""
    texts = [f"{value:,.{decimals}f}" for value in (statistics.fmean(values), *sorted(values))]
    return texts[0] if len(values) == 1 else f"{texts[0]} ({texts[1]} to {texts[-1]})"


def markdown(lines: Sequence[Sequence[str]]) -> str:
    """A table of rows of cells; the first is its head."""
    ruled = [lines[0], ["---"] * len(lines[0]), *lines[1:]]
    return "\n".join("| " + " | ".join(line) + " |" for line in ruled)
