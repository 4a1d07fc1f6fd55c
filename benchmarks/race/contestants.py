"""What takes part in a race: a script and its options."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from utils.common.errors import UserError


@dataclass(frozen=True)
class Contestant:
    """A script and its options."""

    name: str
    flags: str = ""
    """Options beyond those of all contestants, as on the command line."""
    script: str = "dcgan.py"
    recipe: str = ""
    """The published recipe that this is a form of; the better form counts."""
    schedule: str = ""
    """An option that is given the run's number of steps: a schedule that ends with the training.
    (With other ``--seconds``, such a contestant starts from scratch.)"""

    @property
    def slug(self) -> str:
        """The name as part of a run's name."""
        return slug(self.name)

    @property
    def keys(self) -> set[str]:
        """What ``--only`` finds it by."""
        return {self.slug, slug(self.recipe or self.name)}


def slug(name: str) -> str:
    """A name in lower-case letters, digits and hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def chosen(contestants: Sequence[Contestant], names: Sequence[str] | None) -> list[Contestant]:
    """The contestants of these names, or forms of recipes of these names; None takes all.

    Raises:
        UserError: a name that no contestant has.
    """
    known = {key for each in contestants for key in each.keys}
    for name in names or ():
        if slug(name) not in known:
            existing = "; ".join(each.name for each in contestants)
            raise UserError(f"--only {name!r}: no such contestant; there are {existing}")
    asked = {slug(name) for name in names or ()}
    return [each for each in contestants if not asked or each.keys & asked]
