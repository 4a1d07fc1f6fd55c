"""Says when a training goes wrong: what was measured, since when, and which knob to turn.

At every score the run notes its health, a row of ``health.csv``. `find` reads these rows and
nothing else, so that what it says can be repeated from the file of any run, and other limits can be
tried on runs that have been made already. Limits were chosen on one set of runs and tried on
another: docs/alarms.md.
"""

from __future__ import annotations

import bisect
import dataclasses
import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from utils.watching.history import Table

Row = Mapping[str, float]
"""What was measured at a step, by the names of `MEASURED`; NaN where it was not."""

MEASURED = {
    "alikeness": "how much more alike generated images are than reals: 0 as reals, 1 all the same",
    "kid": "distance of generated images to held-out reals",
    "closeness": "distance of generated images to training images, beside that of held-out reals",
    "overfitting": "how far held-out pictures are, to the discriminator, from training pictures to "
    "generated ones",
    "d_real": "the discriminator's mean answer on real images since the row before",
    "d_fake": "the same on generated images",
    "gradient_first": "norm of the gradient of the generator's first kernel, mean since the row "
    "before",
    "gradient_last": "of its last kernel",
    "change": "mean change of the sample grid since the row before, in shades of 255; not measured "
    "where there is no newer grid",
    "generator_weights": "root mean square of the generator's kernels",
    "judge_weights": "of the discriminator's or critic's",
}
"""Columns of ``health.csv``, after ``step``. What the weights are compared with is
in the row of step 0."""


@dataclass(frozen=True)
class Limits:
    """Where something begins to be an alarm."""

    patience: int = 2
    """Rows in which a condition must hold, one after the other."""
    first_step: int = 2000
    """Before that, every generator draws the same blob and every discriminator wins."""
    alikeness: float = 0.25
    """As alike as if there were only 1 / alikeness different images."""
    certain: float = 0.97
    """The discriminator's mean answer on real images, and 1 minus that on generated ones."""
    blind: float = 0.03
    """Difference of its mean answers."""
    vanishing: float = 1e-3
    """Of the gradient's norm beside its median so far."""
    exploding: float = 100.0
    """The same, upwards."""
    dead: float = 0.05
    """Change of the grid from row to row, in shades of 255."""
    drift: float = 0.1
    """Distance that weights have gone from where they began, beside their size there and the square
    root of the number of steps, with which a random walk's grows. Adam's is about the learning rate
    beside the weights' size."""
    closeness: float = 0.6
    """Beside the distance of held-out reals."""
    overfitting: float = 0.7
    """Of the way from training pictures to generated ones."""
    worse: float = 2.5
    """KID beside the best so far."""
    worse_patience: int = 4


@dataclass(frozen=True)
class Alarm:
    """Something that goes wrong."""

    name: str
    since: int
    """Step of the first row in which it was so."""
    step: int
    """Step of the row at which it was said."""
    message: str
    """What was measured."""
    advice: str
    """What to turn, a sentence without its full stop."""
    over: int | None = None
    """Step at which it was no longer so."""

    def sentence(self) -> str:
        """For the person who watches."""
        return f"step {self.step}: {self.message} (since step {self.since}). {self.advice}"


@dataclass(frozen=True)
class Rule:
    """One thing that can go wrong."""

    name: str
    holds: Callable[[Row, Limits], bool]
    """Whether a row of `_with_past` is as it should not be."""
    message: Callable[[Row], str]
    """What to say of it."""
    advice: tuple[str, ...]
    """What to try, one thing each."""
    patience: str = "patience"
    """Field of `Limits`."""


def _with_past(rows: Sequence[Row]) -> list[dict[str, float]]:
    """The rows, each with what it has to be compared with.

    Returns:
        Copies with ``generator_drift`` and ``judge_drift`` (see `Limits.drift`; NaN where the first
        row is not of step 0), ``first_beside_usual`` and ``last_beside_usual``, the gradients
        beside the median of those of all rows before (NaN where there are none), and ``best_kid``
        at ``best_step`` up to the row itself.
    """
    found = []
    usual: dict[str, list[float]] = {"first": [], "last": []}
    best = {"best_kid": math.inf, "best_step": math.nan}
    for row in rows:
        if row["kid"] < best["best_kid"]:
            best = {"best_kid": row["kid"], "best_step": row["step"]}
        known = dict(row) | best
        for network in ("generator", "judge"):
            size, start = (each[f"{network}_weights"] for each in (row, rows[0]))
            known[f"{network}_drift"] = math.nan
            if rows[0]["step"] == 0 < row["step"] and start:
                # The directions are all but orthogonal.
                gone = math.sqrt(max(size**2 / start**2 - 1, 0)) if size == size else math.nan
                known[f"{network}_drift"] = gone / math.sqrt(row["step"])
        for end, before in usual.items():
            value = row[f"gradient_{end}"]
            median = before[len(before) // 2] if before else math.nan
            known[f"{end}_beside_usual"] = value / median if median else math.nan
            if math.isfinite(value):
                bisect.insort(before, value)
        found.append(known)
    return found


class _Reading(dict[str, float]):
    """A row that notes whether anything was looked up that had not been measured."""

    is_unknown = False

    def __getitem__(self, name: str) -> float:
        value = super().__getitem__(name)
        self.is_unknown |= value != value
        return value


# A comparison with NaN, of what was not measured, is false: no alarm.
RULES = (
    Rule(
        "collapse",
        lambda row, limits: row["alikeness"] > limits.alikeness,
        lambda row: (
            "collapse: generated images are as alike as if there were only "
            f"{1 / row['alikeness']:.1f} different ones"
        ),
        (
            "--minibatch discrimination",
            "a lower --generator-learning-rate",
            "a higher --discriminator-learning-rate",
            "a larger --batch-size",
        ),
    ),
    Rule(
        "discriminator wins",
        lambda row, limits: row["d_real"] > limits.certain and row["d_fake"] < 1 - limits.certain,
        lambda row: (
            f"the discriminator wins: its mean answers are {row['d_real']:.3f} on real and "
            f"{row['d_fake']:.3f} on generated images, and the generator learns little from it"
        ),
        (
            "--augmentation color translation cutout --augmentation-probability 1",
            "a lower --discriminator-learning-rate",
            "a higher --discriminator-dropout",
            "--label-noise 0.1",
        ),
    ),
    Rule(
        "discriminator sees nothing",
        lambda row, limits: abs(row["d_real"] - row["d_fake"]) < limits.blind,
        lambda row: (
            "the discriminator cannot tell real from generated images: its mean answers are "
            f"{row['d_real']:.3f} and {row['d_fake']:.3f}"
        ),
        (
            "a higher --discriminator-learning-rate",
            "wider --discriminator-filters",
            "less --discriminator-dropout, --label-noise and --instance-noise",
        ),
    ),
    Rule(
        "vanishing gradients",
        lambda row, limits: row["first_beside_usual"] < limits.vanishing,
        lambda row: (
            "vanishing gradients: the generator's first layer gets "
            f"{row['first_beside_usual']:.1g} of its usual gradient"
        ),
        (
            "a lower --discriminator-learning-rate",
            "a lower --critic-learning-rate",
            "a lower --learning-rate",
            "--normalization before-activation",
        ),
    ),
    Rule(
        "exploding gradients",
        lambda row, limits: (
            row["first_beside_usual"] > limits.exploding
            or row["last_beside_usual"] > limits.exploding
        ),
        lambda row: (
            "exploding gradients: the generator's are "
            f"{np.nanmax([row['first_beside_usual'], row['last_beside_usual']]):.0f} "
            "times as large as usual"
        ),
        (
            "a lower --generator-learning-rate",
            "a lower --discriminator-learning-rate",
            "a lower --critic-learning-rate",
            "a lower --learning-rate",
        ),
    ),
    Rule(
        "runaway generator",
        lambda row, limits: row["generator_drift"] > limits.drift,
        lambda row: (
            "the generator's weights run away: they have gone "
            f"{row['generator_drift'] * math.sqrt(row['step']):.0f} times as far as they were large"
        ),
        ("a lower --generator-learning-rate", "a lower --learning-rate"),
    ),
    Rule(
        "runaway discriminator",
        lambda row, limits: row["judge_drift"] > limits.drift,
        lambda row: (
            "the discriminator's weights run away: they have gone "
            f"{row['judge_drift'] * math.sqrt(row['step']):.0f} times as far as they were large"
        ),
        (
            "a lower --discriminator-learning-rate",
            "a lower --critic-learning-rate",
            "a lower --learning-rate",
        ),
    ),
    Rule(
        "dead generator",
        lambda row, limits: row["change"] < limits.dead,
        lambda row: (
            f"dead generator: its samples have changed by {row['change']:.2g} of 255 shades "
            "on the mean"
        ),
        (
            "another --generator-learning-rate",
            "another --learning-rate",
            "--normalization before-activation",
            "beginning again, as a network of dead units does not recover",
        ),
    ),
    Rule(
        "copies",
        lambda row, limits: row["closeness"] < limits.closeness,
        lambda row: (
            f"copies: generated images are {row['closeness']:.2f} times as far from training "
            "images as other real pictures are"
        ),
        (
            "more pictures",
            "--mirror",
            "networks of an earlier step (evaluate.py shows the nearest training pictures)",
        ),
    ),
    Rule(
        "memorised",
        lambda row, limits: row["overfitting"] > limits.overfitting,
        lambda row: (
            "the discriminator knows its pictures by heart: it takes held-out ones "
            f"{row['overfitting']:.0%} for generated"
        ),
        (
            "--augmentation color translation cutout --augmentation-probability 1",
            "--mirror",
            "more pictures",
            "a higher --discriminator-dropout",
            "stopping earlier",
        ),
    ),
    Rule(
        "getting worse",
        lambda row, limits: row["kid"] > limits.worse * max(row["best_kid"], 1.0),
        lambda row: (
            f"scores have been getting worse: KID is {row['kid']:.0f}, and was "
            f"{row['best_kid']:.0f} at step {row['best_step']:.0f}"
        ),
        (
            "the best networks, which are in best/",
            "--augmentation color translation --augmentation-probability 1",
            "lower learning rates",
        ),
        "worse_patience",
    ),
)


def _spell_advice(advice: Sequence[str], options: Collection[str] | None) -> str:
    """Those that name no option which the script does not have, as a sentence."""
    known = [
        each
        for each in advice
        if options is None or set(re.findall(r"--[a-z0-9-]+", each)) <= set(options)
    ]
    *others, last = known or ["other hyperparameters"]
    return f"Try {', '.join(others)} or {last}" if others else f"Try {last}"


def find(
    rows: Sequence[Row], limits: Limits | None = None, options: Collection[str] | None = None
) -> list[Alarm]:
    """All alarms of a run, in the order in which they were said.

    Args:
        rows: with ``step`` and every name of `MEASURED`, in the order of their steps.
        limits: None takes the defaults.
        options: that the script has, such as ``--mirror``: no other is advised; None is any.

    Returns:
        An alarm for each time that a condition began; with ``over`` where it has ended.
    """
    limits = limits or Limits()
    alarms: list[Alarm] = []
    known = _with_past(rows)
    for rule in RULES:
        held, began = 0, math.nan
        alarm: Alarm | None = None
        for row in known:
            reading = _Reading(row)
            if row["step"] < limits.first_step or not rule.holds(reading, limits):
                if reading.is_unknown:
                    continue  # neither for it nor against it
                if alarm is not None:
                    alarms.append(dataclasses.replace(alarm, over=int(row["step"])))
                held, alarm = 0, None
                continue
            held += 1
            began = row["step"] if held == 1 else began
            if held == getattr(limits, rule.patience):
                since = int(began)
                advice = _spell_advice(rule.advice, options)
                alarm = Alarm(rule.name, since, int(row["step"]), rule.message(row), advice)
        if alarm is not None:
            alarms.append(alarm)
    return sorted(alarms, key=lambda alarm: alarm.step)


class Health(Table):
    """``health.csv``: a row at every score, with ``step`` and the columns of `MEASURED`."""

    def __init__(
        self, path: Path, options: Collection[str] | None = None, pictures_since: int = 0
    ) -> None:
        """Open it.

        Args:
            path: of the file.
            options: see `find`.
            pictures_since: step after which the pictures are what they are now: scores up to it
                cannot be compared with those of later.
        """
        super().__init__(path, ["step", *MEASURED])
        self.options = options
        self.pictures_since = pictures_since

    def _format(self, row: Sequence[float]) -> list[str]:
        return [f"{row[0]:.0f}", *(f"{value:.6g}" for value in row[1:])]

    def add(self, step: int, measured: Row) -> None:
        """Add a row to the file; what is not measured is NaN."""
        self.append([[step, *(measured.get(name, math.nan) for name in MEASURED)]])

    def alarms(self, limits: Limits | None = None) -> list[Alarm]:
        """What `find` says of the rows so far."""
        rows = [dict(zip(self.columns, row, strict=True)) for row in self.rows]
        for row in rows:
            if row["step"] <= self.pictures_since:
                row["kid"] = math.nan
        return find(rows, limits, self.options)
