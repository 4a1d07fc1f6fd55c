"""A folder of pictures, and what stands in it besides."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from pathlib import Path

from utils.common.errors import UserError
from utils.common.kinds import HEAD_BYTES
from utils.common.pictures import read_file
from utils.preparing.sources.archive import Zip, entry_of
from utils.preparing.sources.beside import Beside, is_table, parents
from utils.preparing.sources.entries import Entry, Source, text, unreadable
from utils.preparing.sources.finding import find_pictures, identity
from utils.preparing.sources.parquet import Parquet
from utils.preparing.sources.tar import Tar

# By suffix as well, so that a document, which is a zip archive too, is none of pictures.
INNER: dict[tuple[str, ...], type[Source]] = {
    (".zip",): Zip, (".tar", ".tar.gz", ".tgz"): Tar, (".parquet",): Parquet,
}  # fmt: skip


class Folder:
    """A folder and all those in it, with what tables and files of equal stems say.

    The archives and tables of pictures in it are read with it, as the shards of a published data
    set.
    """

    kind = "folder"

    def __init__(self, path: Path, shown: str, image_column: str = "") -> None:
        self.path = path
        found = find_pictures(path)
        self.problems, self.folders = found.problems, found.folders
        self.files = [each.relative_to(path).as_posix() for each in found.paths]
        self.beside = Beside()
        for each in found.beside:
            file = each.relative_to(path).as_posix()
            try:
                with open(each, "rb") as opened:
                    if is_table(each.name):
                        self.beside.add_table(file, opened)
                    else:
                        self.beside.add_side(file, opened)
            except OSError as error:
                reason = f"cannot be read: {error.strerror or error}"
                self.beside.left_out.append((text(file), reason))
        self.beside.check(self.files)
        self.left_out = self.beside.left_out
        self.inner: list[tuple[str, Source]] = []
        for other, kind in found.others:
            file = text(other.relative_to(path).as_posix())
            try:
                inner = _opened(other, file, kind, image_column)
            except UserError as error:
                self.left_out.append((file, str(error).removeprefix(f"{file}: ")))
                continue
            if inner is None:
                self.left_out.append((file, kind))
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
        for file, parent in zip(self.files, parents(self.files), strict=True):
            read = functools.partial(read_file, self.path / file)
            yield entry_of(file, text(file), read, parent, self.beside)
        for archive, inner in self.inner:
            for entry in inner.entries():
                entry.file = f"{archive}/{entry.file}"
                yield entry
        for path, reason in self.problems:
            file = text(os.path.relpath(path, self.path))
            yield Entry(name=file, file=file, read=unreadable(reason))


def _opened(path: Path, shown: str, kind: str, image_column: str) -> Source | None:
    """The archive or table of pictures that a file is; None where it is another file."""
    opens = next((opens for ends, opens in INNER.items() if path.name.lower().endswith(ends)), None)
    if opens is None or kind == "hidden" or not path.is_file():
        return None
    with open(path, "rb") as file:
        head = file.read(HEAD_BYTES)
    return opens(path, shown, image_column) if opens.recognises(path, head) else None
