"""Where a data set may be written."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import h5py

from utils.common.errors import UserError, printable

MADE_BY = "prepare_dataset.py"


def checked_output(output: str, sources: Iterable[str], others: Iterable[str]) -> Path:
    """Where the data set goes.

    Args:
        output: as on the command line.
        sources: where its pictures come from.
        others: names of files that will be written into the same folder.

    Raises:
        UserError: it would be among its own pictures, or take the place of something else.
    """
    path = Path(os.path.expanduser(output))
    shown = f"--output {printable(output)}"
    for source in sources:
        folder = Path(os.path.expanduser(source))
        inside = folder.is_dir() and folder.resolve() in path.resolve().parents
        if inside or (path.exists() and folder.exists() and path.samefile(folder)):
            raise UserError(
                f"{shown}: lies in the source {printable(source)}; expected a place outside, so "
                "that a second run finds the same pictures"
            )
    for other in (report_path(path), *map(path.with_name, others)):
        if other.is_dir():
            raise UserError(
                f"{shown}: {printable(other.name)} in the same folder is a folder; expected a "
                "place for a file of that name"
            )
    if path.exists() and not _is_ours(path):
        raise UserError(f"{shown}: exists and is not of {MADE_BY}; expected another name")
    return path


def report_path(output: Path) -> Path:
    """Where the report of a data set goes."""
    return output.with_suffix(".report.json")


def _is_ours(path: Path) -> bool:
    try:
        with h5py.File(path, "r") as file:
            return str(file.attrs.get("made_by", "")).startswith(MADE_BY)
    except (OSError, RuntimeError, ValueError, KeyError):
        return False
