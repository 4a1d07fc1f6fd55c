"""What stands beside pictures and says something of them: tables, and files of equal stems."""

from __future__ import annotations

import csv
import json
import re
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath
from typing import IO, Any

from utils.common.pictures import SUFFIXES
from utils.preparing.sources.entries import MAX_ENTRIES, Attribute, attributes_of, text

PARENT = "folder"
"""The attribute with the name of the folder that a picture lies in."""

TABLES = ("manifest.jsonl", "metadata.jsonl", "metadata.csv")  # a scraper's, Hugging Face's
SIDES = (".json", ".cls", ".txt")  # beside pictures of the same stem, as in WebDataset
FILE = ("file", "file_name")  # the column that names the picture, from the table's folder
# What a table says that the picture itself says better.
NOT_ATTRIBUTES = (*FILE, "sha256", "width", "height", "format")

MAX_LINE = 2**20
MAX_COLUMNS = 1000  # of a table, each of whose lines costs as much as a full one
MAX_SIDE_BYTES = 2**20
MAX_KEPT_BYTES = 2**30
IN_MEMORY = 2**20  # more waits on disk


def is_table(name: str) -> bool:
    """Whether a file without its folder is one that says something of many pictures."""
    return name in TABLES


def stems(files: Iterable[str]) -> set[str]:
    """Paths without suffix, and up to the first dot of the name, of those that are pictures."""
    found = set()
    for file in files:
        if file.lower().endswith(SUFFIXES):
            found.update(_stems(file))
    return found


def stands_beside(file: str, pictured: set[str]) -> bool:
    """Whether a file says something of a picture of one of these stems."""
    stem, dot, suffix = file.rpartition(".")
    return (dot + suffix).lower() in SIDES and stem in pictured


def parents(files: Iterable[str]) -> list[str | None]:
    """The name of the folder that each file lies in; None for each where all lie in one."""
    found: list[str | None] = [file.rpartition("/")[0].rpartition("/")[2] for file in files]
    return found if len(set(found)) > 1 else [None] * len(found)


class Beside:
    """What is said of the pictures of a folder or archive; much of it waits on disk."""

    def __init__(self) -> None:
        self.left_out: list[tuple[str, str]] = []
        """Lines and files that say nothing, each with a reason."""
        self._file = tempfile.SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115 - as long as this
        self._end = 0
        self._of_picture: dict[str, int] = {}
        self._of_side: dict[str, int] = {}  # by its path, the suffix in small letters

    def add_table(self, path: str, file: IO[bytes]) -> None:
        """Keep what a table says.

        Args:
            path: of the table, in the folder or archive.
            file: what it holds.
        """
        lines = iter(lambda: file.readline(MAX_LINE), b"")
        rows = _csv_rows(lines) if path.endswith(".csv") else _json_rows(lines)
        for line, row in rows:
            lines_kept = max(len(self._of_picture), len(self.left_out))
            if self._end > MAX_KEPT_BYTES or lines_kept >= MAX_ENTRIES:
                self.left_out.append((f"{text(path)}, line {line}", "more lines than are kept"))
                return
            if isinstance(row, str):
                self.left_out.append((f"{text(path)}, line {line}", row))
                continue
            named = next((row[key] for key in FILE if isinstance(row.get(key), str)), None)
            if named is not None:
                known = {key: value for key, value in row.items() if key not in NOT_ATTRIBUTES}
                place = PurePosixPath(path).parent / named.replace("\\", "/")
                self._of_picture[place.as_posix()] = self._keep(attributes_of(known))

    def add_side(self, path: str, file: IO[bytes]) -> None:
        """Keep what a file of the stem of a picture says."""
        data = file.read(MAX_SIDE_BYTES + 1)
        stem, dot, suffix = path.rpartition(".")
        suffix = suffix.lower()
        if len(data) > MAX_SIDE_BYTES or self._end > MAX_KEPT_BYTES:
            self.left_out.append((text(path), f"more than {MAX_SIDE_BYTES // 2**20} MB of text"))
            return
        words = data.decode("utf-8-sig", "replace").strip()
        said: Any = _number(words) if suffix == "cls" else words
        if suffix == "json":
            try:
                said = json.loads(words)
            except (ValueError, RecursionError):
                self.left_out.append((text(path), "no JSON"))
                return
        known = said if isinstance(said, dict) else {suffix: said}
        known = {key: value for key, value in known.items() if key not in NOT_ATTRIBUTES}
        self._of_side[stem + dot + suffix] = self._keep(attributes_of(known))

    def of(self, picture: str) -> dict[str, Attribute]:
        """What is known of a picture, by its path."""
        sides = (stem + suffix for stem in dict.fromkeys(_stems(picture)) for suffix in SIDES)
        known: dict[str, Attribute] = {}
        for place in (*map(self._of_side.get, sides), self._of_picture.get(picture)):
            if place is not None:
                self._file.seek(place)
                known |= json.loads(self._file.readline())
        return known

    def check(self, pictures: Iterable[str]) -> None:
        """Name what the tables say of files that are no picture here."""
        unknown = self._of_picture.keys() - set(pictures)
        self.left_out += [
            (text(name), "named in a table, but there is no such picture")
            for name in sorted(unknown)
        ]

    def _keep(self, known: dict[str, Attribute]) -> int:
        place = self._end
        self._file.seek(place)
        self._end += self._file.write(json.dumps(known).encode() + b"\n")
        return place


def _stems(file: str) -> tuple[str, str]:
    folder, slash, name = file.rpartition("/")
    return file.rpartition(".")[0], folder + slash + name.partition(".")[0]


def _json_rows(lines: Iterator[bytes]) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """Numbers of lines, with what each says, or what is wrong with it."""
    for number, line in enumerate(lines, 1):
        try:
            known = json.loads(line.decode("utf-8-sig"))
        except (ValueError, RecursionError):
            known = None
        if isinstance(known, dict):
            yield number, known
        elif line.strip():
            yield number, "a line that is no JSON object"


def _csv_rows(lines: Iterator[bytes]) -> Iterator[tuple[int, dict[str, Any] | str]]:
    reader = csv.DictReader(line.decode("utf-8-sig", "replace") for line in lines)
    try:
        columns = reader.fieldnames or ()
        if not set(columns) & set(FILE):
            yield 1, "a table without a column file_name"
            return
        if len(columns) > MAX_COLUMNS:
            yield 1, f"a table of {len(columns):,} columns, more than {MAX_COLUMNS:,}"
            return
        for row in reader:
            known = {key: value for key, value in row.items() if key and isinstance(value, str)}
            yield (
                reader.line_num,
                {k: v if k in FILE else _number(v) for k, v in known.items() if v != ""},
            )
    except csv.Error as error:
        yield reader.line_num, f"no CSV from here on: {error}"


def _number(words: str) -> Attribute:
    """The number that a text is, if it is written as Python would write it."""
    if re.fullmatch(r"-?\d{1,18}", words) and str(int(words)) == words:
        return int(words)
    if re.fullmatch(r"-?\d{1,15}\.\d{1,15}", words) and repr(float(words)) == words:
        return float(words)
    return words
