"""Which of the things to try a run can still try."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Collection, Mapping, Sequence


def spell_advice(
    advice: Sequence[str], options: Mapping[str, str] | None, fixed: Collection[str] = ()
) -> str:
    """Things to try as a sentence without its full stop.

    Args:
        advice: as in `rules.Rule`.
        options: of the run, such as ``--mirror``, and their values: what names another or would
            change nothing is left out. None: nothing is known of them.
        fixed: those that a resumed run keeps: what names one takes a new run.
    """
    known = [each for each in advice if options is None or _changes_something(each, options)]
    for_a_new_run = [each for each in known if _named(each) & {*fixed}]
    now = [each for each in known if each not in for_a_new_run]
    if not for_a_new_run:
        return f"Try {_either(now or ['other hyperparameters'])}"
    later = f"in a new run {_either(for_a_new_run)}"
    return f"Try {_either(now)}; {later}" if now else f"Try {later}"


def _named(advice: str) -> set[str]:
    return set(re.findall(r"--[a-z0-9-]+", advice))


def _changes_something(advice: str, options: Mapping[str, str]) -> bool:
    if not _named(advice) <= options.keys():
        return False
    if advice.startswith(("a lower ", "less ")):
        return any(set(options[name].split()) - {"0", "0.0"} for name in _named(advice))
    if advice.startswith("--"):
        parts = re.findall(r"(--[a-z0-9-]+)((?: (?!--)\S+)*)", advice)
        return any(_comparable(value or "True") != _comparable(options[o]) for o, value in parts)
    return True


def _comparable(value: str) -> str | float:
    with contextlib.suppress(ValueError):
        return float(value)
    return value.strip()


def _either(choices: Sequence[str]) -> str:
    *others, last = choices
    return f"{', '.join(others)} or {last}" if others else last
