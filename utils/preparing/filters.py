"""Which pictures stay out of a data set, and why: thresholds of their measures."""

from __future__ import annotations

import dataclasses

from utils.preparing.measures import Measures


@dataclasses.dataclass(frozen=True)
class Thresholds:
    """Where the filters reject; None switches one off."""

    min_colour: float | None = None
    min_plainness: float | None = None
    min_lightness: float | None = None
    max_photo: float | None = None
    min_aspect: float | None = None
    max_aspect: float | None = None
    near_duplicates: int | None = None
    """Bits of 256 in which the hashes of two pictures may differ for one to be rejected."""


MECHA = Thresholds(
    min_colour=0.06,
    min_plainness=0.65,
    min_lightness=0.7,
    max_photo=0.62,
    min_aspect=0.7,
    max_aspect=3.5,
    near_duplicates=8,
)
"""What ``--filters mecha`` sets. docs/preparing.md says what each was chosen on."""

# Of each threshold: the filter's name, the measure, and the reason with value and threshold.
_FILTERS = {
    "min_colour": ("black and white", "colour", "colours reach {:.2f}, expected {:.2f} or more"),
    "min_plainness": (
        "background not plain", "plainness",
        "{:.0%} of the border in one colour, expected {:.0%} or more",
    ),
    "min_lightness": (
        "background not light", "lightness", "lightness {:.2f}, expected {:.2f} or more",
    ),
    "max_photo": (
        "photograph", "photo", "{:.2f} of its slopes are gentle, expected {:.2f} or less",
    ),
    "min_aspect": (
        "shape of no biped", "aspect", "{:.2f} times as tall as wide, expected {:.2f} or more",
    ),
    "max_aspect": (
        "shape of no biped", "aspect", "{:.2f} times as tall as wide, expected {:.2f} or less",
    ),
}  # fmt: skip

FILTER_NAMES = (
    "unreadable", "too small", "too narrow", "exact duplicate",
    *dict.fromkeys(name for name, _, _ in _FILTERS.values()), "near duplicate", "excluded",
)  # fmt: skip


def rejection(measures: Measures, thresholds: Thresholds) -> tuple[str, str] | None:
    """The first filter that rejects a picture, and the reason in words; None where none does."""
    for option, (name, measured, sentence) in _FILTERS.items():
        threshold = getattr(thresholds, option)
        value = getattr(measures, measured)
        if threshold is not None and _excess(option, value, threshold) > 0:
            return name, sentence.format(value, threshold)
    return None


def filter_score(measures: Measures, thresholds: Thresholds) -> float:
    """How near a picture comes to being rejected: 0 at a threshold, above it beyond.

    Filters that are off count with what ``--filters mecha`` would set.
    """
    return max(
        _excess(
            option,
            getattr(measures, measured),
            getattr(MECHA if getattr(thresholds, option) is None else thresholds, option),
        )
        for option, (_, measured, _) in _FILTERS.items()
    )


def _excess(option: str, value: float, threshold: float) -> float:
    excess = value - threshold if option.startswith("max") else threshold - value
    return excess / 4 if option == "max_aspect" else excess
