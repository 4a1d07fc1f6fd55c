"""The pictures that a person excludes or includes, whatever the filters say."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from utils.common.errors import UserError, printable

MAX_BYTES = 64 * 2**20


class Identity(NamedTuple):
    """What identifies a picture to a person."""

    name: str
    file: str
    sha256: str
    """Of the file, hexadecimal; empty if it could not be read."""


class Overrides:
    """The pictures named by an ``exclude.txt`` or ``include.txt``.

    A line is the SHA-256 of a picture's file, or its name (its title, or its file with or without
    folders), or both, hash first. Both include this very picture, even if others are copies of it,
    but exclude all of its copies: one of them would take its place.
    Empty lines and those that start with ``#`` say nothing.

    Raises:
        UserError: the file cannot be read.
    """

    def __init__(self, option: str, path: str) -> None:
        self.option = option
        self.by_hash: dict[str, dict[str, int]] = {}  # hash -> name or "" -> line
        self.by_name: dict[str, int] = {}
        self.lines: dict[int, str] = {}
        if path:
            self._read(Path(path), f"{option} {printable(path)}")
        self.unused = set(self.lines)

    def _read(self, path: Path, shown: str) -> None:
        try:
            with open(path, "rb") as file:
                data = file.read(MAX_BYTES + 1)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise UserError(
                f"{shown}: {reason.lower()}; expected a file of names or hashes, one a line"
            ) from error
        if b"\0" in data:
            raise UserError(f"{shown}: not a text; expected names or hashes, one a line")
        if len(data) > MAX_BYTES:
            raise UserError(f"{shown}: larger than {MAX_BYTES // 2**20} MB")
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            number = data.count(b"\n", 0, error.start) + 1
            raise UserError(
                f"{shown}: line {number} is damaged: byte {data[error.start]:#04x} is no UTF-8; "
                "expected names or hashes, one a line, saved as UTF-8"
            ) from None
        for number, line in enumerate(text.splitlines(), 1):
            line = " ".join(line.split())
            if not line or line.startswith("#"):
                continue
            self.lines[number] = line
            found = re.fullmatch(r"([0-9a-fA-F]{64})(?: \*?(.+))?", line)
            if found:
                self.by_hash.setdefault(found[1].lower(), {})[found[2] or ""] = number
            else:
                self.by_name[line] = number

    def settle(self, pictures: Iterable[Identity]) -> None:
        """Let a line whose name no picture has any more mean every picture of its hash."""
        lonely = {
            (digest, name): line
            for digest, names in self.by_hash.items()
            for name, line in names.items()
            if name
        }
        for picture in pictures if lonely else ():
            for name in (picture.name, picture.file):
                lonely.pop((picture.sha256, " ".join(name.split())), None)
        for (digest, _), line in lonely.items():
            self.by_hash[digest][""] = line
        if self.option == "--exclude":
            for names in self.by_hash.values():
                names.setdefault("", next(iter(names.values())))

    def match(self, picture: Identity) -> str:
        """``name`` if this very picture is meant, ``hash`` if any of its bytes, or nothing."""
        names = (picture.name, picture.file, picture.file.rsplit("/", 1)[-1])
        names = [" ".join(name.split()) for name in names]
        of_hash = self.by_hash.get(picture.sha256, {})
        for name in names:
            line = of_hash.get(name, self.by_name.get(name))
            if line is not None:
                self.unused.discard(line)
                return "name"
        if "" in of_hash:
            self.unused.discard(of_hash[""])
            return "hash"
        return ""
