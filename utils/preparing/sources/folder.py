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
from utils.data.folders import PARENT, find_pictures, identity, parents
from utils.preparing.sources.archive import Zip
from utils.preparing.sources.entries import Entry, attributes_of, text, unreadable
from utils.preparing.sources.parquet import Parquet

MANIFEST = "manifest.jsonl"
MAX_MANIFEST_LINE = 2**20
# What a manifest says that the picture itself says better.
NOT_ATTRIBUTES = ("file", "sha256", "width", "height", "format")


# By suffix, so that a document, which is a zip archive as well, is none of pictures.
INNER = {(".zip", "a zip archive"): Zip, (".parquet", "a parquet file"): Parquet}


class Folder:
    """A folder and all those in it; titles and attributes from a manifest where there is one.

    The archives and tables in it are read with it, as the shards of a published data set.
    """

    kind = "folder"

    def __init__(self, path: Path, shown: str, image_column: str = "") -> None:
        self.path = path
        found = find_pictures(path)
        self.problems, self.folders = found.problems, found.folders
        self.files = [each.relative_to(path).as_posix() for each in found.paths]
        self.manifest = _Manifest(path / MANIFEST)
        self.left_out = [
            (f"{MANIFEST}, line {number}", "a line that is no JSON object")
            for number in self.manifest.broken
        ]
        self.inner: list[tuple[str, Zip | Parquet]] = []
        for other, kind in found.others:
            file = text(other.relative_to(path).as_posix())
            opens = INNER.get((other.suffix.lower(), kind))
            if opens is None:
                self.left_out += [(file, kind)] if file != MANIFEST else []
                continue
            try:
                inner = opens(other, file, image_column)
            except UserError as error:
                self.left_out.append((file, str(error).removeprefix(f"{file}: ")))
            else:
                self.inner.append((file, inner))
                self.left_out += [(f"{file}/{name}", reason) for name, reason in inner.left_out]

    @staticmethod
    def recognises(path: Path, head: bytes) -> bool:
        """Any folder will do."""
        return path.is_dir()

    def holds(self, path: Path) -> bool:
        """Whether a file at this path would lie in it, or where a link in it leads."""
        around = [each for each in path.resolve().parents if each.exists()]
        return any(identity(folder) in self.folders for folder in around)

    def __len__(self) -> int:
        return len(self.files) + len(self.problems) + sum(len(inner) for _, inner in self.inner)

    def entries(self) -> Iterator[Entry]:
        """The pictures by path, those in archives, and last the folders that cannot be opened."""
        holds = parents(self.files) or [None] * len(self.files)
        for file, parent in zip(self.files, holds, strict=True):
            known = {PARENT: parent} | self.manifest.lookup(file)
            title, shown = known.get("title"), text(file)
            yield Entry(
                name=(text(title) if isinstance(title, str) else "") or shown,
                file=shown,
                read=functools.partial(read_file, self.path / file),
                attributes=attributes_of(
                    {k: v for k, v in known.items() if k not in NOT_ATTRIBUTES}
                ),
            )
        for archive, inner in self.inner:
            for entry in inner.entries():
                entry.file = f"{archive}/{entry.file}"
                yield entry
        for path, reason in self.problems:
            file = text(os.path.relpath(path, self.path))
            yield Entry(name=file, file=file, read=unreadable(reason))


class _Manifest:
    """A file of JSON lines, one a picture, of which only the places of the lines are kept."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.places: dict[str, int] = {}
        self.broken: list[int] = []
        try:
            with open(path, "rb") as file:
                place = 0
                lines = iter(lambda: file.readline(MAX_MANIFEST_LINE), b"")
                for number, line in enumerate(lines, 1):
                    known = _json_object(line)
                    if known is None and line.strip():
                        self.broken.append(number)
                    elif known and isinstance(known.get("file"), str):
                        self.places[PurePosixPath(known["file"]).as_posix()] = place
                    place += len(line)
        except FileNotFoundError:
            pass  # most folders have none
        except OSError as error:
            raise UserError(f"{path}: cannot be read: {error.strerror or error}") from None

    def lookup(self, file: str) -> dict[str, Any]:
        """What the manifest says of a file; empty where it says nothing."""
        if file not in self.places:
            return {}
        with open(self.path, "rb") as manifest:
            manifest.seek(self.places[file])
            return _json_object(manifest.readline(MAX_MANIFEST_LINE)) or {}


def _json_object(line: bytes) -> dict[str, Any] | None:
    try:
        known = json.loads(line.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return None
    return known if isinstance(known, dict) else None
