"""What becomes of each picture: the filters reject, a person overrules, of copies one stays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from utils.common.errors import UserError
from utils.common.pictures import is_elongated
from utils.preparing.duplicates import NearDuplicates
from utils.preparing.examine import Examined
from utils.preparing.filters import Thresholds, rejection
from utils.preparing.overrides import Overrides

Decision = Literal["", "excluded", "included"]


@dataclass(slots=True)
class Picture:
    """A picture and what becomes of it."""

    examined: Examined
    details: int = 0
    """The place of its thumbnail and attributes in the heap."""
    rejected_by: str = ""
    """The filter that rejects it, whatever a person says; empty where none does."""
    reason: str = ""
    """Why, in words."""
    decision: Decision = ""
    """What a person said instead."""
    mirrored: bool = False
    certainty: float = 0.0

    @property
    def kept(self) -> bool:
        """Whether it goes into the data set."""
        return self.decision == "included" or not (self.rejected_by or self.decision)


def decide(
    pictures: Sequence[Picture],
    thresholds: Thresholds,
    least_side: int,
    exclude: Overrides,
    include: Overrides,
) -> None:
    """Set of every picture which filter rejects it and why, and what a person decided.

    Raises:
        UserError: both overrides name the same picture.
    """
    for overrides in (exclude, include):
        overrides.settle(picture.examined.identity() for picture in pictures)
    in_person = set()  # this very picture is asked for, although it may be a copy
    for number, picture in enumerate(pictures):
        examined = picture.examined
        decision, by = _override(examined, exclude, include)
        if examined.problem:
            picture.rejected_by, picture.reason = "unreadable", examined.problem
            continue
        picture.decision = decision
        if (decision, by) == ("included", "name"):
            in_person.add(number)
        rejected = rejection(examined.measures, thresholds)
        sides = f"{examined.width} x {examined.height} pixels"
        if max(examined.framed) < least_side:
            picture.rejected_by = "too small"
            picture.reason = (
                f"{sides}, --size would be made of {max(examined.framed)}, expected {least_side} "
                "or more"
            )
        elif is_elongated(*examined.framed):
            picture.rejected_by = "too narrow"
            picture.reason = f"{sides}, a line in a square; expected at most 5 times as long"
        elif rejected:
            picture.rejected_by, picture.reason = rejected

    _reject_copies(pictures, in_person)
    if thresholds.near_duplicates is not None:
        _reject_near_duplicates(pictures, thresholds.near_duplicates)


def _override(examined: Examined, exclude: Overrides, include: Overrides) -> tuple[Decision, str]:
    """What a person decided of a picture, and by what it was named: ``name``, ``hash``."""
    identity = examined.identity()
    excluded, included = exclude.match(identity), include.match(identity)
    if excluded and excluded == included:
        raise UserError(f"--exclude and --include both name {examined.name}: expected in one")
    if excluded and included != "name":
        return "excluded", excluded
    return ("included", included) if included else ("", "")


def _reject_copies(pictures: Sequence[Picture], in_person: set[int]) -> None:
    """Of equal pictures, the first kept one stays; one that a person names stays in any case."""
    seen: dict[bytes, str] = {}
    numbers = [number for number, picture in enumerate(pictures) if picture.kept]
    numbers.sort(key=lambda number: number not in in_person)  # a stable sort: these come first
    for number in numbers:
        picture = pictures[number]
        keys = picture.examined.sha256, picture.examined.pixels
        first = next((seen[key] for key in keys if key in seen), None)
        if first is not None:
            picture.rejected_by, picture.reason = "exact duplicate", f"the same picture as {first}"
            if number not in in_person:
                picture.decision = ""
        for key in keys:
            seen.setdefault(key, picture.examined.name)


def _reject_near_duplicates(pictures: Sequence[Picture], threshold: int) -> None:
    """Of pictures that look alike, the largest stays; those that a person includes stay anyway."""
    numbers = [number for number, picture in enumerate(pictures) if picture.kept]

    def rank(number: int) -> tuple[bool, int, int]:
        picture = pictures[number]
        area = picture.examined.width * picture.examined.height
        return picture.decision != "included", -area, number

    known = NearDuplicates(len(numbers), threshold)
    for number in sorted(numbers, key=rank):
        picture = pictures[number]
        found = known.find(picture.examined.hashes)
        if found:
            like, bits, mirrored = found
            picture.rejected_by = "near duplicate"
            picture.reason = (
                f"{bits} of 256 bits away from {pictures[like].examined.name}"
                f"{', mirrored' if mirrored else ''}; expected more than {threshold}"
            )
        if picture.kept:
            known.add(number, picture.examined.hashes)
