"""What can be measured: every metric, and the scores that it gives.

A new metric is one function, registered where it stands, in a module that
``utils/scoring/__init__.py`` imports:

    distance = Score("mean_distance", "distance of the mean features", "less", chooses=True)

    @metric(distance, needs=("features",))
    def mean_distance(fakes: np.ndarray, reals: np.ndarray) -> float:
        return float(np.linalg.norm(fakes.mean(0) - reals.mean(0)))

`Scorer` computes it, and the tables, JSON and charts of ``evaluate.py`` show it. With ``chooses``,
``--score`` takes it as well: then it must say which is better, more or less.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

FeatureKind = Literal["imagenet", "random", "inception"]
"""What ``--features`` can be."""
Need = Literal["images", "features", "imagenet", "inception", "training", "seed", "pairs"]
Function = TypeVar("Function", bound=Callable[..., Any])


class NothingToCompareError(ValueError):
    """The reals are such that a metric means nothing; `Scorer` leaves its scores out."""


@dataclass(frozen=True)
class Score:
    """A number that a metric gives."""

    name: str
    """In tables, JSON, ``history.csv`` and ``--score``."""
    meaning: str
    """What it is, for tables and charts."""
    better: Literal["more", "less"] | None = None
    """Which direction is better; None where the best is what reals get."""
    decimals: int = 2
    """In tables where every column has its own."""
    chooses: bool = False
    """Whether ``--score`` can choose the best networks of a training by it."""
    tie_break: str = ""
    """The score that decides where this one is equal."""

    @property
    def sentence(self) -> str:
        """Its meaning and direction."""
        return self.meaning + (f"; {self.better} is better" if self.better else "")


@dataclass(frozen=True)
class Metric:
    """A registered function of fakes and reals; it returns one score, or several by name."""

    name: str
    function: Callable[..., float | dict[str, float]]
    scores: tuple[Score, ...]
    needs: tuple[Need, ...]
    of_reals: Callable[..., Any] | None

    @property
    def sees_features(self) -> bool:
        """Whether its fakes and reals are features (N, D) rather than images."""
        return "features" in self.needs


METRICS: dict[str, Metric] = {}
"""All of them by name."""
SCORES: dict[str, Score] = {}
"""All that they give by name, but for the spreads and levels that belong to one of these."""


def metric(
    *scores: Score,
    needs: tuple[Need, ...],
    name: str = "",
    of_reals: Callable[..., Any] | None = None,
) -> Callable[[Function], Function]:
    """Register the function below.

    Args:
        scores: what it gives. It returns a number, or a dictionary with their names; further
            entries there, such as ``..._spread``, are shown as well.
        needs: what fakes and reals are: ``images``, uint8 (N, H, H, 3) in an order that does not
            depend on how they were given, or ``features`` (N, D); and what it takes by keyword:
            ``training`` (images or features that the generator learned from), ``seed``, ``pairs``.
            With ``imagenet`` or ``inception`` it is computed for these features alone, unless asked
            for.
        name: by which `Scorer` is asked for it; that of the first score if not given.
        of_reals: a function of the reals (and of what is taken by keyword), computed once for all
            fakes; the metric takes the result as its third argument.
    """

    def register(function: Function) -> Function:
        entry = Metric(name or scores[0].name, function, scores, needs, of_reals)
        METRICS[entry.name] = entry
        SCORES.update({score.name: score for score in scores})
        return function

    return register


def metrics_of(scores: Collection[str]) -> tuple[str, ...]:
    """Names of the metrics that give these scores."""
    return tuple(
        each.name for each in METRICS.values() if any(score.name in scores for score in each.scores)
    )


def choices() -> tuple[str, ...]:
    """Names of the scores that ``--score`` can choose by."""
    return tuple(score.name for score in SCORES.values() if score.chooses)


def ranking(name: str) -> tuple[str, ...]:
    """The score of that name and its tie-break, if it has one; empty for ``none``."""
    if name not in SCORES:
        return ()
    return tuple(filter(None, (name, SCORES[name].tie_break)))


def rank(name: str, scores: Mapping[str, float]) -> tuple[float, ...]:
    """Scores as a tuple that is larger where they are better, by the named one first."""
    signs = {"more": 1.0, "less": -1.0}
    return tuple(signs[SCORES[each].better] * scores[each] for each in ranking(name))


def column(score: str, features: str) -> str:
    """A score's name in files, ``kid_imagenet_128_57934424``: with other features it is another.

    Args:
        score: its name, or that of its spread.
        features: `FeatureNetwork.name`; "" is none.
    """
    seen = {
        each.name for metric in METRICS.values() if metric.sees_features for each in metric.scores
    }
    sees = score.removesuffix("_spread") in seen
    return f"{score}_{features}" if sees and features else score
