"""The pictures of a collection: which file each goes to, and what lies there."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path

from utils.common.files import atomic_path
from utils.scraping.journal import Entry, Journal, disk
from utils.scraping.names import picture_name
from utils.scraping.transport import FetchError


class PictureFiles:
    """The pictures below a folder. None is written over another, nor over what a person changed.

    Args:
        folder: of the collection; files are named from there.
        aside: the folder for pictures that are no longer selected.
        journal: knows the files.
    """

    def __init__(self, folder: Path, aside: Path, journal: Journal) -> None:
        self._folder = folder
        self._aside = aside
        self._journal = journal
        self._owners: dict[str, str] = {}  # file -> the address that it was named after
        self._hashes: dict[str, set[str]] = {}  # file -> of all that was ever written to it
        self._taken: set[str] = set()  # files as file systems compare them that ignore letter case
        self._file_of_hash: dict[str, str] = {}
        self._on_disk: dict[str, str] = {}  # file -> hash; read once a run
        for entry in journal.pictures:
            self._learn(entry)

    def _learn(self, entry: Entry) -> None:
        self._owners.setdefault(entry.file, entry.image_url)
        self._hashes.setdefault(entry.file, set()).add(entry.sha256)
        self._taken.add(entry.file.casefold())
        self._file_of_hash[entry.sha256] = entry.file

    def owns(self, file: str) -> bool:
        """Whether the journal knows of this file."""
        return file.casefold() in self._taken

    def keep(self, request: str, entry: Entry, body: bytes, show: str) -> None:
        """Write a picture to its file, in the folder of the show if it is new, and record it."""
        entry.file = self._file_for(entry, show)
        if self._hash_on_disk(entry.file) == entry.sha256:
            self._journal.record(request, entry)
        else:
            with disk(self._folder), atomic_path(self._folder / entry.file) as temporary:
                temporary.write_bytes(body)
                # The journal first: a file that it does not know would be taken for another's.
                self._journal.record(request, entry)
            self._on_disk[entry.file] = entry.sha256
        self._learn(entry)

    def has(self, entry: Entry) -> bool:
        """Whether the picture is in its file; one that had been set aside comes back."""
        if not entry.file:
            return False
        if self._hash_on_disk(entry.file) == entry.sha256:
            return True
        target, aside = self._folder / entry.file, self._aside / entry.file
        if target.exists() or _hash_of(aside) != entry.sha256:
            return False
        with disk(self._folder):
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(aside, target)
        self._on_disk[entry.file] = entry.sha256
        return True

    def set_aside(self, file: str) -> None:
        """Take a picture that is no longer selected out of the way, where `has` finds it."""
        aside = self._aside / file
        with disk(self._folder):
            aside.parent.mkdir(parents=True, exist_ok=True)
            if (self._folder / file).exists():
                os.replace(self._folder / file, aside)
        self._on_disk.pop(file, None)

    def _file_for(self, entry: Entry, show: str) -> str:
        """The file for a picture: never one that holds another picture."""
        twin = self._file_of_hash.get(entry.sha256)
        if twin and self._hash_on_disk(twin) == entry.sha256:
            return twin
        # The picture at this address has changed: its file is written anew, unless it now is
        # another address's or a person has worked on it.
        in_use = {good.file for good in self._journal.good.values()}
        for file, owner in self._owners.items():
            is_ours = owner == entry.image_url and file in in_use
            if is_ours and self._hash_on_disk(file) in self._hashes[file] | {None}:
                return file
        stem, suffix = os.path.splitext(picture_name(entry.image_url, entry.format))
        number = 1
        while True:
            file = f"{show}/{stem}{'' if number == 1 else f'~{number}'}{suffix}"
            if not self.owns(file) and self._hash_on_disk(file) in (None, entry.sha256):
                return file
            number += 1

    def _hash_on_disk(self, file: str) -> str | None:
        """The hash of a file below the folder; None where there is none."""
        if file not in self._on_disk:
            found = _hash_of(self._folder / file)
            if found is None:
                return None
            self._on_disk[file] = found
        return self._on_disk[file]


def inspect_picture(data: bytes) -> tuple[int, int, str]:
    """Width and height in pixels and the format of a picture, which is decoded to the end.

    Raises:
        FetchError: these bytes are no picture, a broken one or too large a one (final).
    """
    from utils.common import pictures

    try:
        picture = pictures.read_picture(data)
        return picture.width, picture.height, str(picture.format)
    except pictures.UnreadablePicture as error:
        raise FetchError(str(error), final=True) from error


def _hash_of(path: Path) -> str | None:
    absent = suppress(FileNotFoundError, NotADirectoryError)
    with disk(path), absent, open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
    return None
