"""Opens a data set: built in, prepared or a folder. Says which picture comes when."""

from __future__ import annotations

import collections
import contextlib
import hashlib
import os
import sys
import warnings
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np
from tqdm import tqdm

from utils.common import pictures
from utils.common.errors import RunError, UserError, printable
from utils.common.files import atomic_path, remove_leftovers
from utils.data import mechas
from utils.data.streaming import ImagesOnDisk

FORMAT_VERSION = 1
IMAGE_SIZES = (32, 64, 128, 256)
DEFAULT_IMAGE_SIZE = 64
GZIP_LEVEL = 1
BUILT_IN = ("mechas",)

# Far above anything prepared here; a file that claims more wants memory, not to be read.
MAX_PICTURES = 10_000_000
MAX_ATTRIBUTES = 256
MAX_COLUMN_BYTES = 256 * 2**20

# Of a larger set, the fingerprint is that of so many runs of so many neighbouring pictures.
FINGERPRINT_RUNS = 64
FINGERPRINT_RUN = 64

MOST_HELD_OUT = 10_000

WANTED = "wanted a folder of pictures or a prepared .h5 file"


@dataclass
class Dataset:
    """Pictures, in memory or on disk, and what is known of them."""

    images: np.ndarray | ImagesOnDisk
    """uint8 (N, H, W, 3), RGB, H = W."""
    names: list[str]
    """N names, of files or as drawn."""
    attributes: dict[str, np.ndarray] = field(default_factory=dict)
    """What is known of each picture, by attribute: arrays whose first axis is N."""
    source: str = ""
    """What the person asked for: a built-in name, a file or a folder."""
    made_by: str = ""
    """How the pictures were made."""

    def __len__(self) -> int:
        return len(self.images)

    @property
    def image_size(self) -> int:
        """Height and width in pixels."""
        return self.images.shape[1]

    @property
    def is_streamed(self) -> bool:
        """Whether the pictures stay on disk."""
        return isinstance(self.images, ImagesOnDisk)

    def take(self, indices: np.ndarray) -> np.ndarray:
        """The pictures at ``indices`` (n,), uint8 (n, H, W, 3), wherever they are.

        Raises:
            RunError: they are on disk and cannot be read.
        """
        return self.images.take(indices) if self.is_streamed else self.images[indices]

    def part(self, indices: np.ndarray) -> Dataset:
        """A data set of the pictures at ``indices``, ascending."""
        return Dataset(
            images=self.images.part(indices) if self.is_streamed else self.images[indices],
            names=[self.names[index] for index in indices] if self.names else [],
            attributes={name: values[indices] for name, values in self.attributes.items()},
            source=self.source,
            made_by=self.made_by,
        )

    def files(self) -> np.ndarray | None:
        """What names the file that each picture was made of, (N,); None where nobody knows.

        A prepared set says it, and both a picture and its mirror image are of one file. Otherwise
        it is a hash of the pixels, unless the pictures are on disk.
        """
        if "sha256" in self.attributes or self.is_streamed:
            return self.attributes.get("sha256")
        return np.array([hashlib.sha256(image.tobytes()).hexdigest() for image in self.images])

    def order(self, mirror: bool, seed: int) -> BatchOrder:
        """In which order training sees them; with ``mirror``, N + i is picture i mirrored."""
        blocks, window = (self.images.blocks, self.images.window) if self.is_streamed else (None, 0)
        if blocks is not None and mirror:
            blocks = np.concatenate([blocks, blocks + blocks[-1] + 1])
        return BatchOrder(len(self) * (2 if mirror else 1), seed, blocks, window)

    def fingerprint(self) -> str:
        """SHA-256 (hex) of the pictures, so that a resumed run notices that they changed.

        Of a set of more than 4,096, it is that of the shape and of 4,096 pictures, in runs that are
        spread evenly: reading millions would take longer than many a training.

        Raises:
            RunError: they are on disk and cannot be read.
        """
        count, run = len(self), FINGERPRINT_RUN
        if count <= FINGERPRINT_RUNS * run:
            starts = np.arange(0, count, run)
        else:
            starts = np.linspace(0, count - run, FINGERPRINT_RUNS).astype(int)
        digest = hashlib.sha256(repr(self.images.shape).encode())
        for start in starts:
            digest.update(self.take(np.arange(start, min(start + run, count))).data)
        return digest.hexdigest()


class BatchOrder:
    """Which pictures come when: a pure function of the seed and of how many have been seen.

    The stream of pictures is one fresh permutation of ``range(count)`` for each epoch, one after
    the other, without end. Nothing but the place in it needs saving for a run to go on exactly.

    With blocks, pictures that are stored together, a permutation keeps to windows: the blocks are
    shuffled and dealt out to windows, and within each the pictures are shuffled. So no more than a
    window of blocks is needed at a time.
    """

    def __init__(
        self, count: int, seed: int, blocks: np.ndarray | None = None, window: int = 0
    ) -> None:
        """Make the order.

        Args:
            count: how many pictures there are, at least 1.
            seed: of the shuffling.
            blocks: the number of each picture's block, (count,), if they are to stay together.
            window: blocks in a window.
        """
        if count < 1:
            raise ValueError(f"count must be at least 1, found {count}")
        self.count = count
        self.seed = seed
        self.blocks = blocks
        self.window = window
        self._permutations: dict[int, np.ndarray] = {}

    def indices(self, start: int, length: int) -> np.ndarray:
        """The pictures number ``start`` to ``start + length - 1`` of the stream, int32 (length,).

        Every picture comes exactly once an epoch; a batch may straddle epochs.
        """
        result = np.empty(length, np.int32)
        filled = 0
        while filled < length:
            epoch, offset = divmod(start + filled, self.count)
            part = self._permutation(epoch)[offset : offset + length - filled]
            result[filled : filled + len(part)] = part
            filled += len(part)
        return result

    def _permutation(self, epoch: int) -> np.ndarray:
        if epoch not in self._permutations:
            while len(self._permutations) >= 2:
                del self._permutations[next(iter(self._permutations))]
            generator = np.random.default_rng([self.seed, epoch])
            permutation = generator.permutation(self.count).astype(np.int32)
            if self.blocks is not None:
                windows = generator.permutation(self.blocks.max() + 1) // self.window
                by_window = np.argsort(windows[self.blocks[permutation]], kind="stable")
                permutation = permutation[by_window]
            self._permutations[epoch] = permutation
        return self._permutations[epoch]


def held_out(count: int, share: float, files: np.ndarray | None = None) -> np.ndarray:
    """Which pictures of ``count`` are kept from training to score with, ascending.

    The same ones whatever the run and its seed, so that the scores of two runs can be compared.
    Pictures of one file (twice the same, or an image and its mirror image) are kept or trained on
    together.

    Args:
        count: pictures in the data set.
        share: how many of them, from 0 to 0.5; never more than MOST_HELD_OUT, since more would not
            make a score better.
        files: what names the file that each was made of, (count,); "" is not known. None: each
            picture is a file.
    """
    number = min(round(share * count), MOST_HELD_OUT)
    order = np.random.default_rng(count).permutation(count)
    if files is not None:
        known = np.array([str(name) or str(row) for row, name in enumerate(files)])
        _, first, file_of = np.unique(known[order], return_index=True, return_inverse=True)
        # All pictures of a file come where the first of them was drawn.
        places = first[file_of]
        by_file = np.argsort(places, kind="stable")
        order, places = order[by_file], places[by_file]
        while 0 < number < count and places[number] == places[number - 1]:
            number -= 1
    return np.sort(order[:number])


def open_dataset(
    data: str,
    image_size: int | None = None,
    limit: int | None = None,
    seed: int = 0,
    cache_dir: str | Path = "data",
    memory_budget: int | None = None,
) -> Dataset:
    """Open what ``--data`` names: a built-in data set, an HDF5 file or a folder of pictures.

    Args:
        data: a built-in name (it wins over a folder of that name; write ``./mechas`` for the
            folder), a file written by :func:`write_dataset`, or a folder that is read recursively.
        image_size: 32, 64, 128 or 256; by default the file's own, otherwise 64.
        limit: take only this many pictures, chosen by ``seed``.
        seed: of the choice.
        cache_dir: where drawn data sets are kept.
        memory_budget: bytes of pictures that may be in memory; of a file with more, they stay on
            disk. None: no bound. Folders are always read whole.

    Raises:
        UserError: there is no such data set, or it does not fit what was asked for.
        RunError: the drawn data set cannot be kept because writing fails.
    """
    if image_size is not None and image_size not in IMAGE_SIZES:
        raise UserError(f"--image-size {image_size}: wanted {_any_of(IMAGE_SIZES)}")
    if limit is not None and limit < 1:
        raise UserError(f"--limit {limit}: wanted at least 1 picture")
    if data in BUILT_IN:
        return _open_mechas(
            image_size or DEFAULT_IMAGE_SIZE, limit, seed, Path(cache_dir), memory_budget
        )
    path = Path(os.path.expanduser(data))
    if data and os.path.isdir(path):
        return _read_folder(path, data, image_size or DEFAULT_IMAGE_SIZE, limit, seed)
    if not data or not os.path.exists(path):
        raise UserError(
            f"--data {printable(data)}: no built-in data set ({', '.join(BUILT_IN)}), "
            "file or folder of that name"
        )
    dataset = read_dataset(path, limit, seed, memory_budget)
    if image_size not in (None, dataset.image_size):
        raise UserError(
            f"--image-size {image_size}: {printable(data)} holds pictures of "
            f"{dataset.image_size} px; leave --image-size out or prepare the set again at "
            f"{image_size} px"
        )
    dataset.source = data
    return dataset


def write_dataset(
    path: str | Path,
    images: np.ndarray,
    names: Sequence[str],
    attributes: Mapping[str, np.ndarray] | None = None,
    made_by: str = "",
) -> None:
    """Write a data set file, whole or not at all.

    The file is HDF5: ``images``, a chunk for each picture; ``names``, UTF-8; one data set for each
    attribute under ``attributes/``; the file attributes ``format_version``, ``image_size`` and
    ``made_by``.

    Args:
        path: the file, ``.h5`` by custom.
        images: uint8 (N, H, W, 3) RGB, H = W in 32, 64, 128, 256, N at least 1.
        names: N names.
        attributes: numbers, booleans or strings, an array of N rows for each attribute.
        made_by: how the pictures were made, in one line.

    Raises:
        ValueError: the arguments are not as described.
        OSError: the folder cannot be written, or the disk is full.
    """
    problem = _images_problem(images.shape, images.dtype)
    if problem:
        raise ValueError(f"images: {problem}")
    write_pictures(path, images, images.shape, names, attributes, made_by)


def write_pictures(
    path: str | Path,
    pictures_in_order: Iterable[np.ndarray],
    shape: tuple[int, ...],
    names: Sequence[str],
    attributes: Mapping[str, np.ndarray] | None = None,
    made_by: str = "",
) -> None:
    """As :func:`write_dataset`, with pictures that come one by one and are never all in memory.

    The same arguments give the same bytes.

    Args:
        path: the file, ``.h5`` by custom.
        pictures_in_order: N times uint8 (H, W, 3).
        shape: (N, H, W, 3).
        names: N names.
        attributes: an array of N rows for each attribute.
        made_by: how the pictures were made, in one line.

    Raises:
        ValueError: the arguments are not as described.
        OSError: the folder cannot be written, or the disk is full.
    """
    problem = _images_problem(shape, np.dtype(np.uint8))
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
        images = file.create_dataset(
            "images", shape, np.uint8, chunks=(1, *shape[1:]), compression="gzip",
            compression_opts=GZIP_LEVEL,
        )  # fmt: skip
        count = 0
        for compressed in _compressed(pictures_in_order, shape[1:]):
            if count < shape[0]:
                images.id.write_direct_chunk((count, 0, 0, 0), compressed)
            count += 1
        if count != shape[0]:
            raise ValueError(f"images: found {count}, wanted {shape[0]}")
        file.create_dataset("names", data=[str(name) for name in names], dtype=text)
        group = file.create_group("attributes")
        for name, values in attributes.items():
            if values.dtype.kind in "USO":
                group.create_dataset(name, data=values.astype(object), dtype=text)
            else:
                group.create_dataset(name, data=values)


@contextlib.contextmanager
def _new_file(path: Path) -> Iterator[h5py.File]:
    """An HDF5 file to write; OSError also where a full disk is noticed when it is closed."""
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


def _compressed(pictures_in_order: Iterable[np.ndarray], shape: tuple[int, ...]) -> Iterator[bytes]:
    """The pictures as HDF5's gzip filter leaves them, made by a few threads, in order."""

    def compress(picture: np.ndarray) -> bytes:
        if picture.dtype != np.uint8 or picture.shape != shape:
            raise ValueError(f"images: found {picture.dtype} {picture.shape}, wanted uint8 {shape}")
        return zlib.compress(np.ascontiguousarray(picture), GZIP_LEVEL)

    waiting: collections.deque[Future[bytes]] = collections.deque()
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as executor:
        for picture in pictures_in_order:
            waiting.append(executor.submit(compress, picture))
            if len(waiting) == 32:
                yield waiting.popleft().result()
        for future in waiting:
            yield future.result()


def automatic_budget() -> int:
    """Bytes of pictures that are held in memory where nobody says how many.

    A quarter of the machine's: without a GPU, a set in memory is there twice, as it was read and
    as the backend has it.
    """
    memory = _machine_memory()
    return 4 * 10**9 if memory is None else memory // 4


def read_dataset(
    path: str | Path, limit: int | None = None, seed: int = 0, memory_budget: int | None = None
) -> Dataset:
    """Read a data set file into memory, or open it where its pictures need more than the budget.

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


def _any_of(values: Sequence[int]) -> str:
    return f"{', '.join(map(str, values[:-1]))} or {values[-1]}"


def _check_is_hdf5(path: Path, shown: str) -> None:
    if not os.path.exists(path):
        raise UserError(f"{shown}: no such file")
    if not path.is_file():
        raise UserError(f"{shown}: not a file; {WANTED}")
    try:
        with open(path, "rb") as file:
            head = file.read(8)
    except OSError as error:
        raise UserError(f"{shown}: cannot be opened: {error.strerror}") from error
    if head.startswith(b"\x89HDF\r\n\x1a\n") or h5py.is_hdf5(path):
        return
    kinds = {b"PK\x03\x04": "a zip archive", b"PAR1": "a parquet file"}
    kind = kinds.get(head[:4], "not an HDF5 file" if head else "an empty file")
    raise UserError(f"{shown}: {kind}; {WANTED}")


def _images_problem(shape: tuple[int, ...] | None, dtype: np.dtype) -> str | None:
    if dtype == np.uint8 and shape and shape[0] and shape[1:] in {(s, s, 3) for s in IMAGE_SIZES}:
        return None
    return (
        f"found {dtype} {shape}, wanted uint8 (N, H, W, 3) with at least one picture and H = W = "
        f"{_any_of(IMAGE_SIZES)}"
    )


def _read_hdf5(
    file: h5py.File, shown: str, limit: int | None, seed: int, memory_budget: int | None
) -> Dataset:
    version = int(file.attrs.get("format_version", FORMAT_VERSION))
    if version > FORMAT_VERSION:
        raise UserError(
            f"{shown}: format version {version}, and this program reads up to {FORMAT_VERSION}; "
            "update it or prepare the set again"
        )
    images = _own(file, "images", h5py.Dataset, shown)
    if images is None:
        raise UserError(f"{shown}: an HDF5 file without the data set 'images'; {WANTED}")
    problem = _images_problem(images.shape, images.dtype)
    if problem:
        raise UserError(f"{shown}: images: {problem}")
    count = len(images)
    if count > MAX_PICTURES:
        raise UserError(f"{shown}: images: {count} pictures, more than {MAX_PICTURES:,}")
    chosen = _choose(count, limit, seed)
    pixels: np.ndarray | ImagesOnDisk
    if memory_budget is not None and _memory(len(chosen), images.shape[1]) > memory_budget:
        try:
            pixels = ImagesOnDisk(images, shown, chosen, memory_budget)
        except ValueError as error:
            raise UserError(
                f"{shown}: {error}, too much for a budget of {memory_budget / 1e9:.3g} GB; raise "
                "--memory-budget, or prepare the set again with a chunk for each picture"
            ) from None
    elif len(chosen) == count:
        _check_memory(count, images.shape[1], shown)
        pixels = images[...]
    else:
        _check_memory(len(chosen), images.shape[1], shown)
        # Picture by picture: h5py takes ten times as long for a list of indices.
        pixels = np.empty((len(chosen), *images.shape[1:]), np.uint8)
        for row, index in enumerate(chosen):
            pixels[row] = images[index]
    names = _read_column(file, "names", shown, count)
    names = chosen if names is None else names[chosen]
    group = _own(file, "attributes", h5py.Group, shown) or {}
    if len(group) > MAX_ATTRIBUTES:
        raise UserError(f"{shown}: {len(group)} attributes, more than {MAX_ATTRIBUTES}")
    made_by = file.attrs.get("made_by", "")
    return Dataset(
        images=pixels,
        names=[str(name) for name in names],
        attributes={name: _read_column(group, name, shown, count)[chosen] for name in group},
        source=shown,
        made_by=made_by if isinstance(made_by, str) else "",
    )


def _own(
    group: h5py.Group, name: str, kind: type[h5py.Dataset | h5py.Group], shown: str
) -> h5py.Dataset | h5py.Group | None:
    """What lies under ``name`` in this very file: a file must not make us read another.

    None if there is nothing. The low-level calls are those that look at a link and not behind it.
    """
    links, key = group.id.links, name.encode("utf-8", "surrogateescape")
    if not links.exists(key):
        return None
    if links.get_info(key).type != h5py.h5l.TYPE_HARD:
        raise UserError(f"{shown}: {printable(name)}: a link to elsewhere, which is not followed")
    found = group[name]
    if not isinstance(found, kind):
        raise UserError(f"{shown}: {printable(name)}: wanted an HDF5 {kind.__name__.lower()}")
    if kind is h5py.Dataset and (found.is_virtual or found.external):
        raise UserError(f"{shown}: {printable(name)}: stored in other files, which are not read")
    return found


def _read_column(group: h5py.Group, name: str, shown: str, count: int) -> np.ndarray | None:
    column = _own(group, name, h5py.Dataset, shown)
    if column is None:
        return None
    shown = f"{shown}: {printable(name)}"
    is_text = h5py.check_string_dtype(column.dtype) is not None
    if not is_text and column.dtype.kind not in "biuf":
        raise UserError(f"{shown}: wanted numbers or strings, found {column.dtype}")
    if not column.shape or column.shape[0] != count:
        raise UserError(f"{shown}: wanted {count} rows, one a picture, found shape {column.shape}")
    values = None
    if column.size * column.dtype.itemsize <= MAX_COLUMN_BYTES:
        values = column.asstr(errors="replace")[...] if is_text else column[...]
        # As an array, every string takes as much room as the longest.
        if is_text and 4 * values.size * max(map(len, values.flat), default=0) > MAX_COLUMN_BYTES:
            values = None
    if values is None:
        raise UserError(f"{shown}: more than {MAX_COLUMN_BYTES // 2**20} MB")
    return values.astype(str) if is_text else values


def _choose(count: int, limit: int | None, seed: int) -> np.ndarray:
    """The first ``limit`` of a seeded shuffle of ``range(count)``, in ascending order."""
    if limit is None or limit >= count:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).permutation(count)[:limit])


def _machine_memory() -> int | None:
    """Bytes of memory of this machine; None on a system that does not say."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None


def _memory(count: int, size: int) -> int:
    """Bytes that so many pictures take."""
    return count * size * size * 3


def _check_memory(count: int, size: int, shown: str, remedy: str = "") -> None:
    """Refuse pictures that cannot be held in memory before the machine starts to swap."""
    memory, needed = _machine_memory(), _memory(count, size)
    if memory is not None and needed > 0.7 * memory:
        raise UserError(
            f"{shown}: {count} pictures of {size} px need {needed / 2**30:.1f} GB and this machine "
            f"has {memory / 2**30:.1f} GB; take fewer with --limit{remedy}"
        )


def _open_mechas(
    size: int, limit: int | None, seed: int, cache_dir: Path, memory_budget: int | None
) -> Dataset:
    if size not in mechas.SIZES:
        raise UserError(f"--image-size {size}: mechas are drawn at {_any_of(mechas.SIZES)}")
    made_by = f"mechas version {mechas.VERSION}, count {mechas.DEFAULT_COUNT}, seed 0, {size} px"
    cache = cache_dir / f"mechas-{size}.h5"
    dataset = _read_cache(cache, made_by, limit, seed, memory_budget)
    if dataset is None:
        try:
            cache_dir.mkdir(parents=True, exist_ok=True)
            writable = os.access(cache_dir, os.W_OK)
        except OSError:
            writable = False
        if not writable:
            raise UserError(
                f"{printable(str(cache_dir))}: cannot be written; wanted a folder to keep the "
                "drawn data set in"
            )
        remove_leftovers(cache.parent, cache.stem)
        drawn = mechas.draw_dataset(count=mechas.DEFAULT_COUNT, size=size, seed=0)
        try:
            write_dataset(cache, *drawn, made_by)
        except OSError as error:
            raise RunError(f"{printable(str(cache))}: cannot be written: {error}") from error
        dataset = read_dataset(cache, limit, seed, memory_budget)
    dataset.source = "mechas"
    return dataset


def _read_cache(
    cache: Path, made_by: str, limit: int | None, seed: int, memory_budget: int | None
) -> Dataset | None:
    """What the cache holds if that is what would be drawn; says so where it is not."""
    if not os.path.exists(cache):
        return None
    try:
        dataset = read_dataset(cache, limit, seed, memory_budget)
    except UserError as error:
        print(f"{error}; drawing the mechas again", file=sys.stderr)
        return None
    if dataset.made_by != made_by:
        if dataset.is_streamed:
            dataset.images.close()
        print(
            f"{printable(str(cache))}: of another version; drawing the mechas again",
            file=sys.stderr,
        )
        return None
    return dataset


def _read_folder(folder: Path, data: str, size: int, limit: int | None, seed: int) -> Dataset:
    found, paths, problems = find_pictures(folder)
    shown = f"--data {printable(data)}"
    wanted = len(paths) if limit is None else min(limit, len(paths))
    _check_memory(wanted, size, shown, ", or prepare an .h5 file, which is read as it is needed")
    order = np.arange(len(paths))
    if wanted < len(paths):
        order = np.random.default_rng(seed).permutation(len(paths))
    read: dict[int, np.ndarray] = {}
    with (
        # Each reading sets the warnings of the whole process for a moment, and those of several
        # threads are not undone in order: what stood before them is brought back here.
        warnings.catch_warnings(),
        ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as executor,
        tqdm(total=wanted, desc=f"reading {printable(data)}", unit="pictures") as progress,
    ):
        warnings.simplefilter("ignore")
        # An unreadable picture makes place for the next, so that a limit is reached if it can be.
        while len(read) < wanted and len(order):
            batch, order = np.split(order, [wanted - len(read)])
            results = executor.map(lambda index: _read_square(paths[index], size), batch)
            for index, result in zip(batch, results, strict=True):
                if isinstance(result, str):
                    problems.append((paths[index], result))
                else:
                    read[int(index)] = result
                    progress.update()
    _report(problems)
    if not read:
        raise UserError(
            f"{shown}: found no readable picture among {found} files; wanted a folder of PNG, "
            "JPEG, WebP, GIF or other pictures"
        )
    chosen = sorted(read)
    images = np.empty((len(chosen), size, size, 3), np.uint8)
    for row, index in enumerate(chosen):
        images[row] = read.pop(index)
    return Dataset(
        images=images,
        names=[printable(paths[index].relative_to(folder).as_posix()) for index in chosen],
        source=data,
        made_by=f"{len(chosen)} pictures of a folder, padded to squares and resized to {size} px",
    )


def find_pictures(folder: Path) -> tuple[int, list[Path], list[tuple[Path, str]]]:
    """How many files a folder holds, which promise to be pictures, and which cannot be looked at.

    Hidden files and folders are skipped, and links to folders, which may lead round in circles.
    """
    found = 0
    paths: list[Path] = []
    problems: list[tuple[Path, str]] = []

    def note(error: OSError) -> None:
        problems.append((Path(error.filename), error.strerror or "cannot be opened"))

    for parent, folders, files in os.walk(folder, onerror=note):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if name.startswith("."):
                continue
            found += 1
            try:
                if pictures.looks_like_picture(Path(parent, name)):
                    paths.append(Path(parent, name))
            except OSError as error:
                note(error)
    return found, paths, problems


def _read_square(path: Path, size: int) -> np.ndarray | str:
    """The picture, uint8 (size, size, 3), or the reason why there is none."""
    try:
        return np.asarray(pictures.fit_square(pictures.read_picture(path), size))
    except pictures.UnreadablePicture as error:
        return str(error)


def _report(problems: Sequence[tuple[Path, str]], shown: int = 10) -> None:
    for path, reason in problems[:shown]:
        print(printable(f"{path}: left out: {reason}"), file=sys.stderr)
    if len(problems) > shown:
        print(f"and {len(problems) - shown} more", file=sys.stderr)
