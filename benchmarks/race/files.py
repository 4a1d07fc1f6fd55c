"""JSON files, and the lock of a race's folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from utils.common.errors import UserError
from utils.common.files import FolderLock, atomic_path


def read_json(path: Path) -> dict[str, Any]:
    """What is in a file; empty where there is none."""
    return json.loads(path.read_text()) if path.exists() else {}


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a file, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n")


def lock_folder(folder: Path) -> FolderLock:
    """Keep others out of a folder for as long as a process holds the lock, this one or a run.

    Raises:
        UserError: another benchmark works in it.
    """
    try:
        return FolderLock(folder)
    except BlockingIOError:
        raise UserError(
            f"--folder {folder}: another benchmark, or a run of it, is at work"
        ) from None
