"""A folder of pictures, with or without a scraper's manifest."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from utils.common.errors import UserError
from utils.common.pictures import read_file
from utils.data.folders import find_pictures
from utils.preparing.sources.entries import EXPECTED, Entry, attributes_of, text, unreadable

MANIFEST = "manifest.jsonl"
MAX_MANIFEST_LINE = 2**20
# What a manifest says that the picture itself says better.
NOT_ATTRIBUTES = ("file", "sha256", "width", "height", "format")


class Folder:
    """A folder and all those in it; titles and attributes from a manifest where there is one."""

    kind = "folder"

    def __init__(self, path: Path, shown: str, image_column: str = "") -> None:
        self.path = path
        found, paths, self.problems = find_pictures(path)
        if not paths and not self.problems:
            kinds = {each.suffix for each in path.iterdir()} & {".parquet", ".zip"}
            hint = f"name the {' and '.join(sorted(kinds))} files in it" if kinds else EXPECTED
            raise UserError(f"{shown}: no picture among {found} files; {hint}")
        self.files = [each.relative_to(path).as_posix() for each in paths]
        self.other_files = found - len(paths)
        self.manifest = _Manifest(path / MANIFEST)

    @staticmethod
    def recognises(path: Path, head: bytes) -> bool:
        """Any folder will do."""
        return path.is_dir()

    def __len__(self) -> int:
        return len(self.files) + len(self.problems)

    def entries(self) -> Iterator[Entry]:
        """The pictures by path; folders that cannot be opened come last."""
        for file in self.files:
            known = self.manifest.lookup(file)
            title, shown = known.get("title"), text(file)
            yield Entry(
                name=(text(title) if isinstance(title, str) else "") or shown,
                file=shown,
                read=functools.partial(read_file, self.path / file),
                attributes=attributes_of(
                    {k: v for k, v in known.items() if k not in NOT_ATTRIBUTES}
                ),
            )
        for path, reason in self.problems:
            file = text(os.path.relpath(path, self.path))
            yield Entry(name=file, file=file, read=unreadable(reason))


class _Manifest:
    """A file of JSON lines, one a picture, of which only the places of the lines are kept."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.places: dict[str, int] = {}
        try:
            with open(path, "rb") as file:
                place = 0
                for line in iter(lambda: file.readline(MAX_MANIFEST_LINE), b""):
                    known = _json_object(line)
                    if isinstance(known.get("file"), str):
                        self.places[PurePosixPath(known["file"]).as_posix()] = place
                    place += len(line)
        except OSError:
            pass  # most folders have none

    def lookup(self, file: str) -> dict[str, Any]:
        """What the manifest says of a file; empty where it says nothing."""
        if file not in self.places:
            return {}
        with open(self.path, "rb") as manifest:
            manifest.seek(self.places[file])
            return _json_object(manifest.readline(MAX_MANIFEST_LINE))


def _json_object(line: bytes) -> dict[str, Any]:
    try:
        known = json.loads(line.decode("utf-8-sig", "replace"))
    except (ValueError, RecursionError):
        return {}
    return known if isinstance(known, dict) else {}
