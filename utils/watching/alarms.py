"""Alarms: what goes wrong in a training, since when, and which options to change.

At every score the run adds a row to ``health.csv``. `find` applies the rules of rules.py to these
rows and reads nothing else, so that the alarms of any run can be found again from its file, also
with other limits. How the limits were chosen and tested: docs/alarms.md.
"""

from __future__ import annotations

import bisect
import dataclasses
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from utils.scoring.registry import column
from utils.watching.advice import spell_advice
from utils.watching.rules import MEASURED, RULES, Limits, Row
from utils.watching.table import Table


@dataclass(frozen=True)
class Alarm:
    """Something that goes wrong."""

    name: str
    since: int
    """Step of the first row in which the condition held."""
    step: int
    """Step of the row that raised the alarm."""
    message: str
    """What was measured."""
    advice: str
    """Which options to change: a sentence without its full stop."""
    over: int | None = None
    """Step at which the condition no longer held."""

    def sentence(self) -> str:
        """The alarm as the training prints it."""
        return f"step {self.step}: {self.message} (since step {self.since}). {self.advice}"


def with_past(rows: Sequence[Row]) -> list[dict[str, float]]:
    """The rows, each with what the rules compare with the rows before it.

    Returns:
        Copies with ``generator_drift`` and ``judge_drift`` (see `Limits.drift`; NaN where the first
        row is not of step 0) and the same as ``_distance``, without the steps; gradients divided by
        the median of all rows before as ``first_to_usual``, ``last_to_usual`` and the
        ``largest_to_usual`` of them (NaN where there are none); ``best_kid`` at ``best_step``, with
        ``best_kid_spread``, and ``best_coverage`` up to the row itself; ``different`` images, by
        their alikeness.
    """
    found = []
    usual: dict[str, list[float]] = {"first": [], "last": []}
    best = {"best_kid": math.inf, "best_kid_spread": math.nan, "best_step": math.nan}
    best_coverage = 0.0
    for row in rows:
        if row["kid"] < best["best_kid"]:
            best = {f"best_{name}": row[name] for name in ("kid", "kid_spread", "step")}
        best_coverage = max(best_coverage, row["coverage"])  # of NaN, the one so far
        known = dict(row) | best | {"best_coverage": best_coverage}
        for network in ("generator", "judge"):
            size, start = (each[f"{network}_weights"] for each in (row, rows[0]))
            distance = math.nan
            if rows[0]["step"] == 0 < row["step"] and start and size == size:
                # Start and movement are all but orthogonal.
                distance = math.sqrt(max(size**2 / start**2 - 1, 0))
            known[f"{network}_distance"] = distance
            known[f"{network}_drift"] = distance / math.sqrt(row["step"] or 1)
        for end, before in usual.items():
            value = row[f"gradient_{end}"]
            median = before[len(before) // 2] if before else math.nan
            known[f"{end}_to_usual"] = value / median if median else math.nan
            if math.isfinite(value):
                bisect.insort(before, value)
        ratios = [known[f"{end}_to_usual"] for end in usual]
        known["largest_to_usual"] = max((x for x in ratios if x == x), default=math.nan)
        known["different"] = 1 / row["alikeness"] if row["alikeness"] else math.inf
        found.append(known)
    return found


class _Reading(dict[str, float]):
    """A row that notes whether a rule looked up something that was not measured."""

    is_unknown = False

    def __getitem__(self, name: str) -> float:
        value = super().__getitem__(name)
        self.is_unknown |= value != value
        return value


def find(
    rows: Sequence[Row],
    limits: Limits | None = None,
    options: Mapping[str, str] | None = None,
    discriminator: str = "discriminator",
    fixed: Collection[str] = (),
) -> list[Alarm]:
    """All alarms of a run, in the order in which they were raised.

    Args:
        rows: with ``step`` and every name of `MEASURED`, in the order of their steps.
        limits: None takes the defaults.
        options: see `spell_advice`.
        discriminator: what the method calls the generator's opponent.
        fixed: see `spell_advice`.

    Returns:
        An alarm for each time that a condition began; with ``over`` where it has ended.
    """
    limits = limits or Limits()
    alarms: list[Alarm] = []
    known = with_past(rows)
    for rule in RULES:
        names = {"discriminator": discriminator}
        advice = spell_advice([each.format(**names) for each in rule.advice], options, fixed)
        held, began = 0, 0
        alarm: Alarm | None = None
        for row in known:
            reading, step = _Reading(row), int(row["step"])
            if step < limits.first_step or not rule.holds(reading, limits):
                if reading.is_unknown:
                    continue  # neither for it nor against it
                if alarm is not None:
                    alarms.append(dataclasses.replace(alarm, over=step))
                held, alarm = 0, None
                continue
            held += 1
            began = step if held == 1 else began
            if held == getattr(limits, rule.patience):
                message = rule.message.format(**row, **names)
                alarm = Alarm(rule.name, began, step, message, advice)
        if alarm is not None:
            alarms.append(alarm)
    return sorted(alarms, key=lambda alarm: alarm.step)


def watched_since(rows: Sequence[Row], limits: Limits | None = None) -> dict[str, int | None]:
    """The first step at which each alarm could be raised, by its name; None where it never could:
    nothing was measured, or the run is too young."""
    limits = limits or Limits()
    since: dict[str, int | None] = {}
    for rule in RULES:
        since[rule.name] = None
        for row in with_past(rows):
            reading, step = _Reading(row), int(row["step"])
            if step < limits.first_step:
                continue
            if rule.holds(reading, limits) or not reading.is_unknown:
                since[rule.name] = step
                break
    return since


class Health(Table):
    """``health.csv``: a row at every score, with ``step`` and the columns of `MEASURED`."""

    def __init__(
        self,
        path: Path,
        options: Mapping[str, str] | None = None,
        pictures_since: int = 0,
        discriminator: str = "discriminator",
        features: str = "",
        fixed: Collection[str] = (),
    ) -> None:
        """A table without rows; see `Table.read` and `Table.resume`.

        Args:
            path: of the file.
            options: see `find`.
            pictures_since: the step since which the run has its present pictures: scores up to it
                do not compare with later ones.
            discriminator: see `find`.
            features: that scores see; those of others have columns of their own and do not count.
            fixed: see `find`.
        """
        super().__init__(path, ["step", *(column(name, features) for name in MEASURED)])
        self.pictures_since = pictures_since
        self.options, self.fixed = options, fixed
        self.discriminator = discriminator

    def _format(self, row: Sequence[float]) -> list[str]:
        return [f"{row[0]:.0f}", *(f"{value:.6g}" for value in row[1:])]

    def add(self, step: int, measured: Row) -> None:
        """Add a row to the file; NaN for what was not measured."""
        self.append([[step, *(measured.get(name, math.nan) for name in MEASURED)]])

    def alarms(self, limits: Limits | None = None) -> list[Alarm]:
        """What `find` finds in the rows so far."""
        return find(self._measured(), limits, self.options, self.discriminator, self.fixed)

    def watch(self) -> str:
        """Whether there are alarms, since when they are watched for, and which are not."""
        since = watched_since(self._measured())
        steps = [step for step in since.values() if step is not None]
        if not steps:
            return f"Nothing is watched yet: alarms begin at step {Limits().first_step:,}."
        absent = [
            name.replace("discriminator", self.discriminator)
            for name, step in since.items()
            if step is None
        ]
        lacks = f" Not watched, as it is not measured: {', '.join(absent)}." if absent else ""
        begins = "Watched" if self.alarms() else "None so far, watched"
        return f"{begins} since step {min(steps):,}.{lacks}"

    def _measured(self) -> list[dict[str, float]]:
        names = ["step", *MEASURED]
        rows = [dict(zip(names, row, strict=False)) for row in self.rows]
        for row in rows:
            if row["step"] <= self.pictures_since:
                row["kid"] = row["coverage"] = math.nan
        return rows
