"""What the seeds of each contestant came to, and which differences mean something."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.race.contestants import Contestant
from benchmarks.race.runs import AVERAGED, CURRENT, Moment, Run
from utils.common.errors import UserError
from utils.scoring.similarity import alikeness
from utils.watching.rules import Limits

COLLAPSED = 0.2
"""`alikeness` beyond which a generator has collapsed: that of five different images. One that still
draws nothing but dark figures is beyond it too: in one run of the baseline of recipes.py it was
0.32 after 500 steps, 0.14 after 2,000 and 0.06 after 5,000."""
MOST_COPIES = 0.05
"""Share of images suspiciously near to a training picture, beyond that of real pictures."""


@dataclass
class Row:
    """What the seeds of one contestant came to."""

    contestant: Contestant
    step_seconds: float
    moments: tuple[Moment, ...]
    scores: dict[int, dict[int, dict[str, float]]] = field(default_factory=dict)
    """By seed, by steps: of the averaged generator."""
    current: dict[int, dict[str, float]] = field(default_factory=dict)
    """By seed: of the generator as it is, at the last moment."""
    cpu_seconds: dict[int, float] = field(default_factory=dict)
    """By seed, what its processes took."""
    errors: dict[int, str] = field(default_factory=dict)
    """By seed, how it ended."""
    beaten: Row | None = None
    """The other form of the same published recipe, which does not count."""

    @property
    def finals(self) -> dict[int, dict[str, float]]:
        """By seed, the scores at the last moment."""
        last = self.moments[-1].steps
        return {seed: scores[last] for seed, scores in self.scores.items() if last in scores}

    @property
    def collapsed(self) -> dict[int, float]:
        """By seed, the `alikeness` of those that have collapsed."""
        found = {seed: alikeness(scores) for seed, scores in self.finals.items()}
        return {seed: share for seed, share in found.items() if share > COLLAPSED}

    @property
    def ended(self) -> int:
        """How many seeds have nothing left to do."""
        return len(self.finals) + len(self.errors)

    def values(self, score: str) -> list[float]:
        """A score at the last moment, a number for each seed."""
        return [scores[score] for scores in self.finals.values()]

    def mean(self, score: str) -> float:
        """Over the seeds, at the last moment; NaN where none was scored."""
        return statistics.fmean(self.values(score)) if self.finals else math.nan

    def curve(self, score: str) -> list[tuple[float, float]]:
        """Seconds and the mean over the seeds, for each moment that was scored."""
        found = []
        for moment in self.moments:
            values = [x[moment.steps][score] for x in self.scores.values() if moment.steps in x]
            if values:
                found.append((moment.seconds, statistics.fmean(values)))
        return found

    def copies(self, floor: Mapping[str, float]) -> list[int]:
        """The seeds that draw copies of training pictures.

        Args:
            floor: the scores of real pictures.
        """
        return [
            seed
            for seed, scores in self.finals.items()
            if scores.get("originality", 1.0) < Limits().originality
            or scores.get("copies", 0.0) > floor.get("copies", 0.0) + MOST_COPIES
        ]


def collect(runs: Sequence[Run]) -> tuple[list[Row], dict[str, float]]:
    """A row for each contestant that was scored or has failed, and the scores of real pictures.

    Raises:
        UserError: some were scored on other features than the rest.
    """
    rows: dict[str, Row] = {}
    floor: dict[str, float] = {}
    features: set[str] = set()
    for run in runs:
        state, evaluations = run.state(), run.evaluations()
        if not evaluations and "error" not in state:
            continue
        row = rows.setdefault(
            run.contestant.name, Row(run.contestant, run.step_seconds, run.moments)
        )
        row.scores[run.seed] = {
            steps: found["scores"][AVERAGED] for steps, found in evaluations.items()
        }
        row.cpu_seconds[run.seed] = state["cpu_seconds"]
        if "error" in state:
            row.errors[run.seed] = state["error"]
        if run.last.steps in evaluations:
            row.current[run.seed] = evaluations[run.last.steps]["scores"].get(CURRENT, {})
        features |= {found.get("features", "random") for found in evaluations.values()}
        for found in evaluations.values():
            floor = found["floor"] or floor
    if len(features) > 1:
        raise UserError(
            f"--folder {runs[0].folder}: has scores of {' and '.join(sorted(features))} features, "
            "which do not compare; take another folder"
        )
    return list(rows.values()), floor


def deviation(rows: Sequence[Row], score: str) -> float:
    """How far seeds of one contestant differ: the pooled standard deviation, NaN with one each.

    Contestants that have collapsed or ended in an error are left out: they differ by more, and
    nobody asks by how much.
    """
    return pooled_deviation(
        [row.values(score) for row in rows if not row.collapsed and not row.errors]
    )


def pooled_deviation(groups: Sequence[Sequence[float]]) -> float:
    """The pooled standard deviation within groups of values; NaN with one value each.

    The square root of the squared distances from each group's mean, summed over all groups, by the
    sum of their numbers of values less one.
    """
    groups = [group for group in groups if len(group) > 1]
    if not groups:
        return math.nan
    squares = [(value - statistics.fmean(group)) ** 2 for group in groups for value in group]
    return math.sqrt(sum(squares) / sum(len(group) - 1 for group in groups))


def least_difference(rows: Sequence[Row], score: str) -> float:
    """The least difference of two means that is not to be expected from chance: 2 s sqrt(2 / n).

    s is the deviation of one value; s sqrt(2 / n) is that of the difference of two means of n.
    """
    seeds = max((len(row.finals) for row in rows), default=0)
    return 2 * deviation(rows, score) * math.sqrt(2 / seeds) if seeds else math.nan
