"""Where a data set may be written, and the files that appear with it."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py

from utils.common.errors import UserError, printable
from utils.preparing.sources.entries import Source

MADE_BY = "prepare_dataset.py"


def checked_output(
    output: str, names: Sequence[str], sources: Sequence[Source], review: bool
) -> Path:
    """Where the data set goes.

    A set that is there already may be replaced by one of the same sources, or of these and more:
    so one looks through the review page and prepares once more.

    Args:
        output: as on the command line.
        names: those of the sources, as well.
        sources: where its pictures come from.
        review: whether there will be a page to look through.

    Raises:
        UserError: it would be among its own pictures, or take the place of something else.
    """
    path = Path(output)
    shown = f"--output {printable(output)}"
    for name, source in zip(names, sources, strict=True):
        if source.holds(path):
            raise UserError(
                f"{shown}: lies in the source {printable(name)}; expected a place outside, so that "
                "a second run finds the same pictures"
            )
    files = [report_path(path), *(review_paths(path) if review else ())]
    for other in files:
        if other.is_dir():
            raise UserError(
                f"{shown}: {printable(other.name)} in the same folder is a folder; expected a "
                "place for a file of that name"
            )
    report = report_path(path)
    options = _options_of(report)
    for file, ours in ((path, _is_ours(path)), (report, bool(options))):
        if file.exists() and not ours:
            which = "exists" if file == path else f"{printable(file.name)} exists"
            raise UserError(f"{shown}: {which} and is not of {MADE_BY}; expected another name")
    described = path.with_name(os.path.basename(options.get("output", path.name)))
    if described != path and described.exists():
        raise UserError(
            f"{shown}: {printable(report.name)} is that of {printable(described.name)}; expected "
            "another name"
        )
    known = options.get("sources", [])
    if path.exists() and not (known and _places(known) <= _places(names)):
        origin = f"prepared from {printable(', '.join(known))}" if known else "its report is gone"
        raise UserError(
            f"{shown}: exists, {origin}; expected another name, or that file removed first"
        )
    return path


def report_path(output: Path) -> Path:
    """Where the report of a data set goes."""
    return output.with_suffix(".report.json")


def review_paths(output: Path) -> tuple[Path, Path]:
    """Where the page to look through and the contact sheet go."""
    return output.with_suffix(".review.html"), output.with_suffix(".review.png")


def _places(names: Sequence[str]) -> set[Path]:
    # As a report has them, which is UTF-8 whatever the names of folders are.
    names = [name.encode("utf-8", "replace").decode() for name in names]
    return {Path(os.path.expanduser(name)).resolve() for name in names}


def _options_of(report: Path) -> dict[str, Any]:
    """The options that a report names; empty where there is none of ours."""
    lines = []
    try:
        with open(report, encoding="utf-8") as file:
            for line in file:
                if line.startswith(' "pictures": ['):
                    break
                lines.append(line)
        options = json.loads("".join(lines).rstrip().rstrip(",") + "}")["options"]
        texts = [options["output"], *options["sources"]]
        return options if all(isinstance(text, str) for text in texts) else {}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return {}


def _is_ours(path: Path) -> bool:
    try:
        with h5py.File(path, "r") as file:
            return str(file.attrs.get("made_by", "")).startswith(MADE_BY)
    except (OSError, RuntimeError, ValueError, KeyError):
        return False
