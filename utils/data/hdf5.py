"""Data set files: HDF5, read whole or left on disk, written whole or not at all."""

from __future__ import annotations

import collections
import contextlib
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import h5py
import numpy as np

from utils.common.channels import CHANNELS, premultiplied
from utils.common.errors import UserError, printable
from utils.common.files import atomic_path
from utils.common.kinds import HEAD_BYTES, kind_of
from utils.common.pictures import is_picture_signature
from utils.common.processes import cores
from utils.data import ANY_SIZE, IMAGE_SIZES
from utils.data.dataset import Dataset, check_memory, picture_bytes
from utils.data.streaming import ImagesOnDisk

FORMAT_VERSION = 1
GZIP_LEVEL = 1

# Far above anything prepared here: a file that claims more would only fill the memory.
MAX_PICTURES = 10_000_000
MAX_ATTRIBUTES = 256
MAX_COLUMN_BYTES = 256 * 2**20

# By the numbers that the HDF Group has given them; a file need not name them.
FILTERS = {
    4: "szip", 305: "LZO", 307: "bzip2", 32001: "Blosc", 32004: "LZ4", 32008: "Bitshuffle",
    32013: "ZFP", 32015: "Zstandard", 32017: "SZ", 32026: "Blosc2",
}  # fmt: skip

EXPECTED = "expected a prepared .h5 file"
EXPECTED_IMAGES = (
    f"uint8 (N, H, W, C) with at least one picture, C = 1, 3 or 4, and H = W = {ANY_SIZE}"
)


def write_dataset(
    path: str | Path,
    images: np.ndarray | Iterable[np.ndarray],
    names: Sequence[str],
    attributes: Mapping[str, np.ndarray] | None = None,
    made_by: str = "",
    shape: tuple[int, ...] = (),
) -> None:
    """Write a data set file, whole or not at all.

    The file is HDF5: ``images``, a chunk for each picture; ``names``, UTF-8; one data set for each
    attribute under ``attributes/``; the file attributes ``format_version``, ``image_size`` and
    ``made_by``. The same arguments give the same bytes.

    Args:
        path: the file, ``.h5`` by custom.
        images: uint8 (N, H, W, C), N at least 1, H = W in 32, 64, 128, 256, C of 1 (grey), 3 (RGB)
            or 4 (RGBA, straight colours); or N times (H, W, C), of which only a few are in memory
            at a time.
        names: N names.
        attributes: numbers, booleans or strings, an array of N rows for each attribute.
        made_by: how the pictures were made, in one line.
        shape: (N, H, W, C), of images that come one by one.

    Raises:
        ValueError: the arguments are not as described.
        OSError: the folder cannot be written, or the disk is full.
    """
    shape = shape or images.shape
    problem = _images_problem(shape, getattr(images, "dtype", np.dtype(np.uint8)))
    if problem:
        raise ValueError(f"images: {problem}")
    attributes = {name: np.asarray(values) for name, values in (attributes or {}).items()}
    if len(names) != shape[0]:
        raise ValueError(f"names: found {len(names)} for {shape[0]} images")
    for name, values in attributes.items():
        if not name or "/" in name or name == ".":
            raise ValueError(f"attributes: {name!r} cannot be a name")
        if values.dtype.kind not in "biufUSO":
            raise ValueError(f"attributes: {name} is of type {values.dtype}")
        if values.shape[:1] != shape[:1]:
            raise ValueError(f"attributes: {name} has shape {values.shape}, not {shape[0]} rows")
    text = h5py.string_dtype("utf-8")
    with atomic_path(path) as temporary, _new_file(temporary) as file:
        file.attrs.update(format_version=FORMAT_VERSION, image_size=shape[1], made_by=made_by)
        data = file.create_dataset(
            "images", shape, np.uint8, chunks=(1, *shape[1:]), compression="gzip",
            compression_opts=GZIP_LEVEL,
        )  # fmt: skip
        count = 0
        for compressed in _compressed(images, shape[1:]):
            if count < shape[0]:
                data.id.write_direct_chunk((count, 0, 0, 0), compressed)
            count += 1
        if count != shape[0]:
            raise ValueError(f"images: found {count}, expected {shape[0]}")
        file.create_dataset("names", data=[str(name) for name in names], dtype=text)
        group = file.create_group("attributes")
        for name, values in attributes.items():
            if values.dtype.kind in "USO":
                group.create_dataset(name, data=values.astype(object), dtype=text)
            else:
                group.create_dataset(name, data=values)


@contextlib.contextmanager
def _new_file(path: Path) -> Iterator[h5py.File]:
    """A new HDF5 file; raises OSError also where a full disk is noticed on closing."""
    file = h5py.File(path, "w")
    try:
        yield file
    except BaseException:
        with contextlib.suppress(RuntimeError):
            file.close()
        raise
    try:
        file.close()
    except RuntimeError as error:
        raise OSError(str(error)) from error


def _compressed(images: Iterable[np.ndarray], shape: tuple[int, ...]) -> Iterator[bytes]:
    """The pictures as HDF5's gzip filter leaves them, made by a few threads, in order."""

    def compress(picture: np.ndarray) -> bytes:
        if picture.dtype != np.uint8 or picture.shape != shape:
            raise ValueError(
                f"images: found {picture.dtype} {picture.shape}, expected uint8 {shape}"
            )
        return zlib.compress(np.ascontiguousarray(picture), GZIP_LEVEL)

    waiting: collections.deque[Future[bytes]] = collections.deque()
    with ThreadPoolExecutor(min(8, cores())) as executor:
        for image in images:
            waiting.append(executor.submit(compress, image))
            if len(waiting) == 32:
                yield waiting.popleft().result()
        for future in waiting:
            yield future.result()


def is_foreign(path: str | Path) -> bool:
    """Whether an HDF5 file is of another program, and of pictures that have to be converted."""
    try:
        with h5py.File(path, "r") as file:
            if "format_version" in file.attrs:
                return False
            images = own(file, "images", h5py.Dataset, "")
            return images is None or bool(_images_problem(images.shape, images.dtype))
    except (OSError, KeyError, RuntimeError, ValueError, TypeError, AttributeError, UserError):
        return False  # `read_dataset` says what is wrong


class File:
    """A file that `write_dataset` has written, or another HDF5 file of pictures like these."""

    def is_named_by(self, data: str) -> bool:
        """Whether there is such a file of that name."""
        return bool(data) and os.path.isfile(data) and h5py.is_hdf5(data) and not is_foreign(data)

    def open(
        self, data: str, image_size: int | None, limit: int | None, seed: int, memory_budget: int
    ) -> Dataset:
        """Its pictures, in memory if they fit in the budget; ``image_size`` must be theirs."""
        dataset = read_dataset(data, limit, seed, memory_budget)
        if image_size not in (None, dataset.image_size):
            raise UserError(
                f"--image-size {image_size}: {printable(data)} holds pictures of "
                f"{dataset.image_size} px; leave --image-size out or prepare the set again at "
                f"{image_size} px"
            )
        dataset.source = data
        return dataset


def read_dataset(
    path: str | Path, limit: int | None = None, seed: int = 0, memory_budget: int | None = None
) -> Dataset:
    """The data set in a file; its pictures stay on disk where they need more than the budget.

    Files of other programs will do if they hold ``images`` of the right kind; without ``names`` the
    pictures are numbered. Nothing outside the file is read: links to other files, virtual data sets
    and external storage are refused.

    Args:
        path: the file.
        limit: read only this many pictures, the first of a shuffle by ``seed``, in file order.
        seed: of the shuffle.
        memory_budget: bytes of pictures that may be in memory; None: as many as there are.

    Raises:
        UserError: no such file, not HDF5, damaged, or not a data set of pictures.
    """
    path = Path(path)
    shown = printable(str(path))
    _check_is_hdf5(path, shown)
    try:
        with contextlib.ExitStack() as closing:
            file = closing.enter_context(h5py.File(path, "r"))
            dataset = _read_hdf5(file, shown, limit, seed, memory_budget)
            if dataset.is_streamed:
                closing.pop_all()
            return dataset
    except (OSError, KeyError, RuntimeError, ValueError, TypeError, AttributeError) as error:
        reason = printable(" ".join(str(error).split()))
        raise UserError(f"{shown}: damaged or cut short: {reason}") from error


def _check_is_hdf5(path: Path, shown: str) -> None:
    if not os.path.exists(path):
        raise UserError(f"{shown}: no such file")
    if not path.is_file():
        raise UserError(f"{shown}: not a file; {EXPECTED}")
    try:
        with open(path, "rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError as error:
        raise UserError(f"{shown}: cannot be opened: {error.strerror}") from error
    if head.startswith(b"\x89HDF\r\n\x1a\n") or h5py.is_hdf5(path):
        return
    kind = kind_of(head) or "not an HDF5 file"
    if is_picture_signature(head[:12]):
        kind = "a picture"
    raise UserError(f"{shown}: {kind}; {EXPECTED}")


def _check_filters(data: h5py.Dataset, shown: str) -> None:
    """Raise UserError where a data set is compressed by what is not installed here."""
    made = data.id.get_create_plist()
    for index in range(made.get_nfilters()):
        code, _, _, name = made.get_filter(index)
        if not h5py.h5z.filter_avail(code):
            known = FILTERS.get(code) or printable(name.decode("utf-8", "replace"))[:40]
            raise UserError(
                f"{shown}: compressed by the HDF5 filter {known or 'without a name'} ({code}), "
                "which is not installed here; write the file again with gzip"
            )


def _images_problem(shape: tuple[int, ...] | None, dtype: np.dtype) -> str | None:
    known = {(size, size, channels) for size in IMAGE_SIZES for channels in CHANNELS}
    if dtype == np.uint8 and shape and shape[0] and shape[1:] in known:
        return None
    return f"found {dtype} {shape}, expected {EXPECTED_IMAGES}"


def _read_hdf5(
    file: h5py.File, shown: str, limit: int | None, seed: int, memory_budget: int | None
) -> Dataset:
    version = int(file.attrs.get("format_version", FORMAT_VERSION))
    if version > FORMAT_VERSION:
        raise UserError(
            f"{shown}: format version {version}, and this program reads up to {FORMAT_VERSION}; "
            "update it or prepare the set again"
        )
    images = own(file, "images", h5py.Dataset, shown)
    if images is None:
        held = printable(", ".join(sorted(file)[:10])) or "nothing"
        raise UserError(
            f"{shown}: an HDF5 file without the data set 'images'; found {held}; expected images, "
            f"{EXPECTED_IMAGES}; or write its pictures into a folder"
        )
    problem = _images_problem(images.shape, images.dtype)
    if problem:
        raise UserError(f"{shown}: images: {problem}")
    count = len(images)
    if count > MAX_PICTURES:
        raise UserError(f"{shown}: images: {count} pictures, more than {MAX_PICTURES:,}")
    chosen = _choose(count, limit, seed)
    names = read_column(file, "names", shown, count)
    names = chosen if names is None else names[chosen]
    group = own(file, "attributes", h5py.Group, shown) or {}
    if len(group) > MAX_ATTRIBUTES:
        raise UserError(f"{shown}: {len(group)} attributes, more than {MAX_ATTRIBUTES}")
    attributes = {name: read_column(group, name, shown, count) for name in group}
    if "format_version" not in file.attrs:
        attributes |= _columns_beside(file, shown, count)
    made_by = file.attrs.get("made_by", "")
    return Dataset(
        images=_pixels(images, chosen, memory_budget, shown),
        names=[str(name) for name in names],
        attributes={name: column[chosen] for name, column in attributes.items()},
        source=shown,
        made_by=made_by if isinstance(made_by, str) else "",
    )


def _pixels(
    images: h5py.Dataset, chosen: np.ndarray, memory_budget: int | None, shown: str
) -> np.ndarray | ImagesOnDisk:
    _, size, _, channels = images.shape
    if memory_budget is not None and picture_bytes(len(chosen), size, channels) > memory_budget:
        try:
            return ImagesOnDisk(images, shown, chosen, memory_budget)
        except ValueError as error:
            raise UserError(
                f"{shown}: {error}, too much for a budget of {memory_budget / 1e9:.3g} GB; raise "
                "--memory-budget, or prepare the set again with a chunk for each picture"
            ) from None
    check_memory(len(chosen), size, shown, channels=channels)
    if len(chosen) == len(images) and channels != 4:
        return images[...]
    # Picture by picture: h5py takes ten times as long for a list of indices.
    pixels = np.empty((len(chosen), *images.shape[1:]), np.uint8)
    for row, index in enumerate(chosen):
        pixels[row] = premultiplied(images[index])
    return pixels


def own(
    group: h5py.Group, name: str, kind: type[h5py.Dataset | h5py.Group], shown: str
) -> h5py.Dataset | h5py.Group | None:
    """What lies under ``name`` in this very file: a file must not make us read another.

    It has to be of one of the kinds. None if there is nothing. The low-level calls are those that
    look at a link and not behind it.
    """
    links, key = group.id.links, name.encode("utf-8", "surrogateescape")
    if not links.exists(key):
        return None
    if links.get_info(key).type != h5py.h5l.TYPE_HARD:
        raise UserError(f"{shown}: {printable(name)}: a link to elsewhere, which is not followed")
    found = group[name]
    if not isinstance(found, kind):
        expected = "group" if kind is h5py.Group else "dataset"
        raise UserError(f"{shown}: {printable(name)}: expected an HDF5 {expected}")
    if isinstance(found, h5py.Dataset) and (found.is_virtual or found.external):
        raise UserError(f"{shown}: {printable(name)}: stored in other files, which are not read")
    if isinstance(found, h5py.Dataset):
        _check_filters(found, f"{shown}: {printable(name)}")
    return found


def read_column(group: h5py.Group, name: str, shown: str, count: int) -> np.ndarray | None:
    """An array of ``count`` rows of numbers or strings; None if there is none of that name.

    Raises:
        UserError: it is of another kind, or too large.
    """
    column = own(group, name, h5py.Dataset, shown)
    if column is None:
        return None
    shown = f"{shown}: {printable(name)}"
    is_text = h5py.check_string_dtype(column.dtype) is not None
    if not is_text and column.dtype.kind not in "biuf":
        raise UserError(f"{shown}: expected numbers or strings, found {column.dtype}")
    if not column.shape or column.shape[0] != count:
        raise UserError(
            f"{shown}: expected {count} rows, one a picture, found shape {column.shape}"
        )
    values = None
    if column.size * column.dtype.itemsize <= MAX_COLUMN_BYTES:
        values = column.asstr(errors="replace")[...] if is_text else column[...]
        # As an array, every string takes as much room as the longest.
        if is_text and 4 * values.size * max(map(len, values.flat), default=0) > MAX_COLUMN_BYTES:
            values = None
    if values is None:
        raise UserError(f"{shown}: more than {MAX_COLUMN_BYTES // 2**20} MB")
    return values.astype(str) if is_text else values


def _columns_beside(file: h5py.File, shown: str, count: int) -> dict[str, np.ndarray]:
    """The arrays of one value a picture that a file of another program has beside its images."""
    columns: dict[str, np.ndarray] = {}
    for name in sorted({*file} - {"images", "names"}):
        with contextlib.suppress(UserError):  # no such array
            held = own(file, name, (h5py.Dataset, h5py.Group), shown)
            is_column = isinstance(held, h5py.Dataset) and held.shape in ((count,), (count, 1))
            if is_column and len(columns) < MAX_ATTRIBUTES:
                columns[name] = read_column(file, name, shown, count).reshape(-1)
    return columns


def _choose(count: int, limit: int | None, seed: int) -> np.ndarray:
    """The first ``limit`` of a seeded shuffle of ``range(count)``, in ascending order."""
    if limit is None or limit >= count:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).permutation(count)[:limit])
