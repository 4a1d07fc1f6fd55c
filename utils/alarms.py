"""Says when a training goes wrong: what was measured, since when, and which knob to turn.

At every score the run notes its health, a row of ``health.csv``. `find` reads these rows and
nothing else, so that what it says can be repeated from the file of any run, and other limits can be
tried on runs that have been made already. Limits were chosen on one set of runs and tried on
another: docs/alarms.md.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from utils.monitor import Table

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
    "change": "mean change of the sample grid since the row before, in shades of 255",
}
"""Columns of ``health.csv``, after ``step``."""


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
    closeness: float = 0.6
    """Beside the distance of held-out reals."""
    overfitting: float = 0.7
    """Of the way from training pictures to generated ones."""
    worse: float = 2.0
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
    """What to turn."""
    over: int | None = None
    """Step at which it was no longer so."""

    def sentence(self) -> str:
        """For the person who watches."""
        return f"step {self.step}: {self.message} (since step {self.since}). {self.advice}"


@dataclass(frozen=True)
class Rule:
    """One thing that can go wrong."""

    name: str
    holds: Callable[[Sequence[Row], Limits], bool]
    """Whether the last of the rows is as it should not be."""
    message: Callable[[Sequence[Row], Limits], str]
    """What to say of the last of the rows."""
    advice: str
    patience: str = "patience"
    """Field of `Limits`."""


def _beside_median(rows: Sequence[Row], name: str) -> float:
    """The last value beside the median of those before; 1 where there are none."""
    known = sorted(row[name] for row in rows[:-1] if math.isfinite(row[name]))
    if not known or known[len(known) // 2] == 0:
        return 1.0
    return rows[-1][name] / known[len(known) // 2]


def _best(rows: Sequence[Row], name: str) -> Row:
    """The row with the smallest value."""
    return min(rows, key=lambda row: row[name] if math.isfinite(row[name]) else math.inf)


# A comparison with NaN, of what was not measured, is false: no alarm.
RULES = (
    Rule(
        "collapse",
        lambda rows, limits: rows[-1]["alikeness"] > limits.alikeness,
        lambda rows, _: (
            "collapse: generated images are as alike as if there were only "
            f"{1 / rows[-1]['alikeness']:.1f} different ones"
        ),
        "Try --minibatch discrimination, --generator-dropout 0.3, lower learning rates or a larger "
        "--batch-size",
    ),
    Rule(
        "discriminator wins",
        lambda rows, limits: (
            rows[-1]["d_real"] > limits.certain and rows[-1]["d_fake"] < 1 - limits.certain
        ),
        lambda rows, _: (
            f"the discriminator wins: its mean answers are {rows[-1]['d_real']:.3f} on real and "
            f"{rows[-1]['d_fake']:.3f} on generated images, and the generator learns little from it"
        ),
        "Lower --discriminator-learning-rate, raise --discriminator-dropout, or try "
        "--label-noise 0.1",
    ),
    Rule(
        "discriminator sees nothing",
        lambda rows, limits: abs(rows[-1]["d_real"] - rows[-1]["d_fake"]) < limits.blind,
        lambda rows, _: (
            "the discriminator cannot tell real from generated images: its mean answers are "
            f"{rows[-1]['d_real']:.3f} and {rows[-1]['d_fake']:.3f}"
        ),
        "Raise --discriminator-learning-rate or --discriminator-filters, or take dropout and noise "
        "away",
    ),
    Rule(
        "vanishing gradients",
        lambda rows, limits: _beside_median(rows, "gradient_first") < limits.vanishing,
        lambda rows, _: (
            "vanishing gradients: the generator's first layer gets "
            f"{_beside_median(rows, 'gradient_first'):.1g} of its usual gradient"
        ),
        "Lower --discriminator-learning-rate, or check --normalization and --initial-stddev",
    ),
    Rule(
        "exploding gradients",
        lambda rows, limits: (
            max(_beside_median(rows, name) for name in ("gradient_first", "gradient_last"))
            > limits.exploding
        ),
        lambda rows, _: (
            "exploding gradients: the generator's are "
            f"{max(_beside_median(rows, n) for n in ('gradient_first', 'gradient_last')):.0f} "
            "times as large as usual"
        ),
        "Lower both learning rates",
    ),
    Rule(
        "dead generator",
        lambda rows, limits: rows[-1]["change"] < limits.dead,
        lambda rows, _: (
            f"dead generator: its samples have changed by {rows[-1]['change']:.2g} of 255 shades "
            "on the mean"
        ),
        "Raise --generator-learning-rate, or begin again: a network of dead units does not recover",
    ),
    Rule(
        "copies",
        lambda rows, limits: rows[-1]["closeness"] < limits.closeness,
        lambda rows, _: (
            f"copies: generated images are {rows[-1]['closeness']:.2f} times as far from training "
            "images as other real pictures are"
        ),
        "Use more pictures or --mirror, or stop earlier; evaluate.py shows the nearest ones",
    ),
    Rule(
        "memorised",
        lambda rows, limits: rows[-1]["overfitting"] > limits.overfitting,
        lambda rows, _: (
            "the discriminator knows its pictures by heart: it takes held-out ones "
            f"{rows[-1]['overfitting']:.0%} for generated"
        ),
        "Use more pictures or --mirror, raise --discriminator-dropout, or stop earlier",
    ),
    Rule(
        "getting worse",
        lambda rows, limits: rows[-1]["kid"] > limits.worse * max(_best(rows, "kid")["kid"], 1.0),
        lambda rows, _: (
            f"scores have been getting worse: KID is {rows[-1]['kid']:.0f}, and was "
            f"{_best(rows, 'kid')['kid']:.0f} at step {_best(rows, 'kid')['step']:.0f}"
        ),
        "The best networks are in best/; lower the learning rates or let them decay",
        "worse_patience",
    ),
)


def find(rows: Sequence[Row], limits: Limits | None = None) -> list[Alarm]:
    """All alarms of a run, in the order in which they were said.

    Args:
        rows: with ``step`` and every name of `MEASURED`, in the order of their steps.
        limits: None takes the defaults.

    Returns:
        An alarm for each time that a condition began; with ``over`` where it has ended.
    """
    limits = limits or Limits()
    alarms: list[Alarm] = []
    for rule in RULES:
        held = 0
        alarm: Alarm | None = None
        for number, row in enumerate(rows):
            seen = rows[: number + 1]
            if row["step"] < limits.first_step or not rule.holds(seen, limits):
                if alarm is not None:
                    alarms.append(dataclasses.replace(alarm, over=int(row["step"])))
                held, alarm = 0, None
                continue
            held += 1
            if held == getattr(limits, rule.patience):
                since = int(rows[number - held + 1]["step"])
                message = rule.message(seen, limits)
                alarm = Alarm(rule.name, since, int(row["step"]), message, rule.advice)
        if alarm is not None:
            alarms.append(alarm)
    return sorted(alarms, key=lambda alarm: alarm.step)


class Health(Table):
    """``health.csv``: a row at every score, with ``step`` and the columns of `MEASURED`."""

    def __init__(self, path: object) -> None:
        super().__init__(path, ["step", *MEASURED])

    def _format(self, row: Sequence[float]) -> list[str]:
        return [f"{row[0]:.0f}", *(f"{value:.6g}" for value in row[1:])]

    def add(self, step: int, measured: Row) -> None:
        """Add a row to the file; what is not measured is NaN."""
        self.append([[step, *(measured.get(name, math.nan) for name in MEASURED)]])

    def alarms(self, limits: Limits | None = None) -> list[Alarm]:
        """What `find` says of the rows so far."""
        return find([dict(zip(self.columns, row, strict=True)) for row in self.rows], limits)
