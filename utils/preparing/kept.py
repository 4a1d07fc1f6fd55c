"""Pictures as they are, decoded once for ``--data`` and kept as a data set file."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from utils.common.errors import RunError, UserError, printable
from utils.common.pictures import (
    UnreadablePicture,
    fit_square,
    is_elongated,
    is_one_coloured,
    read_picture,
)
from utils.common.processes import cores, ordered_map
from utils.data import DEFAULT_IMAGE_SIZE
from utils.data.dataset import Dataset
from utils.data.hdf5 import read_dataset, write_dataset
from utils.preparing.attributes import attribute_columns
from utils.preparing.scratch import Heap, RowsOnDisk, scratch_folder
from utils.preparing.sources import open_source
from utils.preparing.sources.entries import EXPECTED, Attribute, Entry, Source
from utils.preparing.sources.finding import AGAIN, by_reason, find_pictures, first_of

VERSION = 1
"""Of what decoding makes of a picture: another one makes all kept sets out of date."""
MOST_ENLARGED = 3  # times; smaller pictures are left out


def cache_folder() -> Path:
    """Where decoded pictures are kept: ``$GANDAM_HOME``, else ``gandam`` in the user's cache."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    try:
        return Path(os.environ.get("GANDAM_HOME") or cache / "gandam").expanduser()
    except RuntimeError as error:
        raise UserError(
            "no home folder to keep decoded pictures in; expected GANDAM_HOME to name a folder"
        ) from error


class Pictures:
    """A folder, archive, table or array of pictures: whatever `open_source` opens."""

    def is_named_by(self, data: str) -> bool:
        """Whether there is a file or folder of that name."""
        return bool(data) and os.path.exists(data)

    def open(
        self, data: str, image_size: int | None, limit: int | None, seed: int, memory_budget: int
    ) -> Dataset:
        """Its readable pictures, padded to squares; prints which ones are not when it decodes."""
        size, choice = image_size or DEFAULT_IMAGE_SIZE, None if limit is None else (limit, seed)
        kept, older = _places(data, size, choice)
        dataset, place = None, kept
        with contextlib.suppress(UserError):  # not there, or damaged
            dataset = read_dataset(kept, memory_budget=memory_budget)
        if dataset is None:
            source = open_source(data)
            with _to_write(kept) as place:
                _decode(source, printable(data), size, choice, place)
                dataset = read_dataset(place, memory_budget=memory_budget)
            for path in older:
                with contextlib.suppress(OSError):
                    path.unlink()
        where = f"; kept in {kept}" if place == kept else ""
        print(printable(f"{data}: {dataset.made_by}{where}"), file=sys.stderr)
        dataset.source = data
        return dataset


@contextlib.contextmanager
def _to_write(kept: Path) -> Iterator[Path]:
    """A kept set's place, or, where nothing can be written there, one that goes with the block.

    Raises:
        RunError: writing fails in the block, as on a full disk.
    """
    with contextlib.ExitStack() as closing:
        place = kept
        if problem := _why_unwritable(kept.parent):
            line = f"{kept.parent}: cannot be written: {problem}; decoded pictures are not kept, "
            print(printable(f"{line}unless GANDAM_HOME names another folder"), file=sys.stderr)
            # A file that is streamed stays readable; where it is open, Windows does not remove it.
            folder = tempfile.TemporaryDirectory(prefix="gandam-", ignore_cleanup_errors=True)
            place = Path(closing.enter_context(folder), kept.name)
        try:
            yield place
        except OSError as error:
            raise RunError(
                f"{place}: cannot be written: {error.strerror or error}; decoded pictures are "
                "kept there, or in the folder that GANDAM_HOME names"
            ) from error


def _why_unwritable(folder: Path) -> str:
    """Why no file can be made in a folder, itself made where it is missing; empty if one can."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        return error.strerror or str(error)
    return ""


def _places(data: str, size: int, choice: tuple[int, int] | None) -> tuple[Path, list[Path]]:
    """Where these very pictures are kept, and what is kept of others that were here before.

    Args:
        data: a file or folder.
        size: of the squares.
        choice: so many pictures by that seed; None for all.

    Returns:
        The file for them, and the files of any size and choice that are out of date.
    """
    path = Path(data)
    if path.is_dir():
        found = find_pictures(path)
        others = [each for each, kind in found.others if kind not in ("hidden", AGAIN)]
        files = [*filter(_can_be_read, found.paths + found.beside + others)]
    else:
        files = [path]
    state = hashlib.sha256(f"{VERSION}".encode())
    for file in files:
        with contextlib.suppress(OSError):  # gone by now
            status = file.stat()
            name = os.fsencode(file.relative_to(path))  # however one comes to it
            state.update(repr((name, status.st_size, status.st_mtime_ns)).encode())
    place = hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:12]
    stem = re.sub(r"[^\w.-]+", "-", path.resolve().name)[:40]
    of_state = f"-{place}-{state.hexdigest()[:12]}-"
    chosen = "" if choice is None else f"-{choice[0]}-{choice[1]}"  # the number, and the seed
    folder = cache_folder()
    older = [each for each in folder.glob(f"*-{place}-*.h5") if of_state not in each.name]
    return folder / f"{stem}{of_state}{size}{chosen}.h5", older


def _can_be_read(file: Path) -> bool:
    """Whether neither a permission nor a library is missing, without which it is left out."""
    is_table = file.suffix.lower() == ".parquet"
    return os.access(file, os.R_OK) and not (is_table and find_spec("pyarrow") is None)


class _Task(NamedTuple):
    index: int
    entry: Entry
    squares: RowsOnDisk


class _Read(NamedTuple):
    index: int
    file: str
    attributes: dict[str, Attribute]
    problem: str
    one_coloured: bool = False
    transparent: bool = False


@dataclass
class _Decoded:
    """What has been read of a source."""

    rows: dict[int, tuple[str, int]] = field(default_factory=dict)
    """Of the pictures, by their numbers: the file, and the place of the attributes in the heap."""
    unsuitable: list[tuple[str, str]] = field(default_factory=list)
    """The others, each with a reason."""
    one_coloured: list[str] = field(default_factory=list)
    """Files of pictures with nothing to see."""
    transparent: list[str] = field(default_factory=list)
    """Files of pictures that are transparent in places."""


def _decode(
    source: Source, shown: str, size: int, choice: tuple[int, int] | None, kept: Path
) -> None:
    """Read a source, say what is left out of it, and write what there is.

    Raises:
        UserError: no readable picture, or a damaged source.
        OSError: the disk is full or cannot be written.
    """
    with scratch_folder(kept) as folder, closing(Heap(folder / "attributes")) as heap:
        squares = RowsOnDisk(folder / "squares", (size, size, 3), np.uint8)
        decoded = _read(source, shown, squares, choice, heap)
        left_out = [*decoded.unsuitable, *source.left_out]
        for reason, names in by_reason(left_out).items():
            line = f"{len(names):,} left out: {reason} ({first_of(names)})"
            print(printable(line), file=sys.stderr)
        if blank := decoded.one_coloured:
            line = f"{len(blank):,} one-coloured, taken nonetheless ({first_of(blank)})"
            print(printable(line), file=sys.stderr)
        if files := decoded.transparent:
            line = f"{len(files):,} transparent in places, drawn on white ({first_of(files)}); "
            print(printable(f"{line}prepare_dataset.py --alpha keeps that"), file=sys.stderr)
        numbers = sorted(decoded.rows)
        count = len(numbers)
        if not count:
            raise UserError(
                f"--data {shown}: found no readable picture among {len(left_out)} files; {EXPECTED}"
            )
        made_by = f"{count} picture{'s' * (count != 1)} ({source.kind}), padded to squares and "
        made_by += f"resized to {size} px" + f"; {len(left_out)} left out" * bool(left_out)
        if decoded.transparent:
            made_by += f"; {len(decoded.transparent)} transparent in places, drawn on white"
        write_dataset(
            kept,
            (squares.row(number) for number in numbers),
            [decoded.rows[number][0] for number in numbers],
            attribute_columns(lambda number: heap.get(decoded.rows[number][1])[1], numbers),
            made_by,
            (count, *squares.shape),
        )


def _read(
    source: Source, shown: str, squares: RowsOnDisk, choice: tuple[int, int] | None, heap: Heap
) -> _Decoded:
    """All suitable pictures, or the first so many of a shuffle by seed."""
    decoded, order, most = _Decoded(), None, len(source)
    if choice is not None:
        limit, seed = choice
        order = np.arange(sum(1 for _ in source.entries()))  # of lists, no one else counts them
        if limit < len(order):
            order = np.random.default_rng(seed).permutation(order)
        most = min(limit, len(order))
    chosen: set[int] | None = None

    def tasks() -> Iterator[_Task]:
        for index, entry in enumerate(source.entries()):
            if chosen is None or index in chosen:
                yield _Task(index, entry, squares)

    with tqdm(total=most, desc=f"reading {shown}", unit="pictures") as progress:
        while order is None or (len(order) and len(decoded.rows) < most):
            if order is not None:
                batch, order = np.split(order, [most - len(decoded.rows)])
                chosen = set(batch.tolist())
            # Starting a process takes as long as two hundred pictures.
            processes = min(cores(), -(-(most if chosen is None else len(chosen)) // 200))
            with closing(ordered_map(_square, tasks(), processes, _died)) as results:
                for found in results:
                    if found.problem:
                        decoded.unsuitable.append((found.file, found.problem))
                        continue
                    if found.one_coloured:
                        decoded.one_coloured.append(found.file)
                    if found.transparent:
                        decoded.transparent.append(found.file)
                    decoded.rows[found.index] = found.file, heap.add(b"", found.attributes)
                    progress.update()
            if order is None:
                break
    return decoded


def _square(task: _Task) -> _Read:
    """Write a picture's square to disk."""
    size, found = task.squares.shape[0], _died(task)
    try:
        image = read_picture(task.entry.read())
    except UnreadablePicture as error:
        return found._replace(problem=str(error))
    if max(image.size) * MOST_ENLARGED < size:
        problem = f"too small, under {size / MOST_ENLARGED:.0f} pixels each way"
        return found._replace(problem=problem)
    if is_elongated(*image.size):
        return found._replace(problem="too narrow, over 5 times as long as wide")
    task.squares.write(task.index, np.asarray(fit_square(image, size)))
    return found._replace(
        problem="", one_coloured=is_one_coloured(image), transparent=image.info["transparent"]
    )


def _died(task: _Task) -> _Read:
    """What stands for a picture whose decoder took the whole process down."""
    problem = "the process that decoded it died"
    return _Read(task.index, task.entry.file, task.entry.attributes, problem)
