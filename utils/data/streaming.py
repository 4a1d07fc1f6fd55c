"""Pictures that stay in their file: sets larger than memory, read while training goes on."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections import OrderedDict
from collections.abc import Callable

import h5py
import numpy as np

from utils.common.channels import premultiplied
from utils.common.errors import RunError, printable

MOST_AHEAD_BYTES = 64 * 2**20  # of single pictures: more read ahead would smooth nothing


class ImagesOnDisk:
    """The `Dataset.images` that do not fit in memory; several threads may use it.

    A file that stores pictures one by one is read picture by picture. In one that stores many in a
    compressed chunk, a picture costs the whole chunk: a *window* of chunks is kept in memory, and
    `BatchOrder` shuffles within one window after the other.
    """

    dtype = np.dtype(np.uint8)

    def __init__(self, images: h5py.Dataset, shown: str, chosen: np.ndarray, budget: int) -> None:
        """Take over pictures of an open file, which stays open until `close`.

        Args:
            images: uint8 (M, H, W, C), checked: nothing outside its file is read.
            shown: how error messages name the file.
            chosen: which of them, ascending, (N,).
            budget: bytes of pictures that may be held in memory.

        Raises:
            ValueError: a compressed chunk is larger than the budget.
        """
        self.shown = shown
        self.shape = (len(chosen), *images.shape[1:])
        self._images = images
        self._chosen = chosen
        self._budget = budget
        self._lock = threading.Lock()
        self._held: OrderedDict[int, np.ndarray] = OrderedDict()  # by block, the latest last

        is_filtered = images.id.get_create_plist().get_nfilters() > 0
        rows = images.chunks[0] if images.chunks and is_filtered else 1
        self.blocks: np.ndarray | None = None
        """Number of each picture's block (chunk of the file), (N,); None if each is by itself."""
        self.window = 0
        """How many blocks are held; 0 without blocks."""
        self.bytes_ahead = min(budget // 4, MOST_AHEAD_BYTES)
        """How much may be read ahead."""
        if rows > 1:
            # A new window is read within a few steps: what was read ahead bridges them.
            self.bytes_ahead = budget // 4
            is_first = np.diff(chosen // rows, prepend=-1) != 0
            self.blocks = np.cumsum(is_first, dtype=np.int32) - np.int32(1)
            self._starts = np.append(np.flatnonzero(is_first), len(chosen))
            block_bytes = rows * self.picture_bytes
            self.window = min((budget - self.bytes_ahead) // block_bytes, len(self._starts) - 1)
            if self.window < 1:
                raise ValueError(f"{rows} pictures share a chunk of {block_bytes / 1e9:.3g} GB")

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def picture_bytes(self) -> int:
        """Size of one picture in memory."""
        return int(np.prod(self.shape[1:]))

    @property
    def nbytes(self) -> int:
        """Bytes that all pictures would take in memory."""
        return len(self) * self.picture_bytes

    @property
    def bytes_held(self) -> int:
        """The most bytes that streaming takes: what is read ahead, and the window."""
        block = 0 if self.blocks is None else int(np.diff(self._starts).max()) * self.picture_bytes
        return self.bytes_ahead + self.window * block

    def take(self, indices: np.ndarray) -> np.ndarray:
        """The pictures at ``indices`` (n,), in any order and repeated at will: uint8 (n, H, W, C).

        Raises:
            IndexError: there is no such picture.
            RunError: the file is damaged, or can no longer be read.
        """
        # In the order of the file, each once.
        asked, places = np.unique(indices, return_inverse=True)
        if len(asked) and not 0 <= asked[0] <= asked[-1] < len(self):
            raise IndexError(f"pictures {asked[0]} to {asked[-1]} of {len(self)}")
        with self._lock:
            try:
                if self.blocks is None:
                    found = self._by_rows(self._chosen[asked])
                else:
                    found = self._by_blocks(asked)
            except (OSError, RuntimeError, ValueError) as error:
                reason = printable(str(error))
                raise RunError(f"{self.shown}: cannot be read any more: {reason}") from None
        return found[places]

    def part(self, indices: np.ndarray) -> ImagesOnDisk:
        """The pictures at ``indices``, ascending, of the same open file."""
        return ImagesOnDisk(self._images, self.shown, self._chosen[indices], self._budget)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._images.file.close()

    def _by_rows(self, rows: np.ndarray) -> np.ndarray:
        """The pictures of these rows of the file, ascending; neighbours are read at once."""
        found = np.empty((len(rows), *self.shape[1:]), np.uint8)
        for part in np.split(np.arange(len(rows)), np.flatnonzero(np.diff(rows) != 1) + 1):
            if len(part):
                found[part[0] : part[-1] + 1] = self._read(rows[part[0]], rows[part[-1]] + 1)
        return found

    def _by_blocks(self, asked: np.ndarray) -> np.ndarray:
        found = np.empty((len(asked), *self.shape[1:]), np.uint8)
        blocks, starts = np.unique(self.blocks[asked], return_index=True)
        for block, start, end in zip(blocks, starts, [*starts[1:], len(asked)], strict=False):
            places = asked[start:end] - self._starts[block]
            found[start:end] = self._block(int(block))[places]
        return found

    def _block(self, block: int) -> np.ndarray:
        """The chosen pictures of a block, which is held in memory from then on."""
        if block in self._held:
            self._held.move_to_end(block)
        else:
            rows = self._chosen[self._starts[block] : self._starts[block + 1]]
            while len(self._held) >= self.window:
                self._held.popitem(last=False)
            self._held[block] = self._read(rows[0], rows[-1] + 1)[rows - rows[0]]
        return self._held[block]

    def _read(self, first: int, end: int) -> np.ndarray:
        return premultiplied(self._images[first:end])


class ReadAhead:
    """Batches that a thread reads before they are asked for.

    The thread begins with the first batch and ends with `close`, or where reading fails.
    """

    def __init__(
        self, read: Callable[[int], np.ndarray], length: int, batches: int, name: str = "reader"
    ) -> None:
        """Prepare to read.

        Args:
            read: makes the batch that begins at a place of the stream of pictures.
            length: pictures of the stream in a batch.
            batches: how many may wait, at least 1.
            name: of the thread.
        """
        self.read = read
        self.length = length
        self.batches = batches
        self.name = name
        self._thread: threading.Thread | None = None
        self._next = -1

    def batch(self, start: int) -> np.ndarray:
        """The batch that begins at ``start``; waits where it has not been read yet.

        Asking for anything but the next batch makes the thread begin anew.

        Raises:
            Exception: what ``read`` raised for this batch.
        """
        if self._thread is None or start != self._next:
            self.close()
            self._waiting: queue.Queue[np.ndarray | BaseException] = queue.Queue(self.batches)
            self._stop = threading.Event()
            self._thread = threading.Thread(
                target=self._work, args=(start, self._waiting, self._stop), name=self.name,
                daemon=True,  # a disk that never answers must not keep the process
            )  # fmt: skip
            self._thread.start()
        found = self._waiting.get()
        if isinstance(found, BaseException):
            self.close()
            raise found
        self._next = start + self.length
        return found

    def close(self, patience: float = 1.0) -> None:
        """End the thread; waits at most ``patience`` seconds for a reading under way."""
        if self._thread is None:
            return
        self._stop.set()
        deadline = time.monotonic() + patience
        while self._thread.is_alive() and time.monotonic() < deadline:
            with contextlib.suppress(queue.Empty):  # it may wait for room
                self._waiting.get_nowait()
            self._thread.join(0.01)
        self._thread = None

    def __enter__(self) -> ReadAhead:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _work(
        self, start: int, waiting: queue.Queue[np.ndarray | BaseException], stop: threading.Event
    ) -> None:
        while not stop.is_set():
            try:
                found: np.ndarray | BaseException = self.read(start)
            except BaseException as error:
                found = error
            waiting.put(found)
            if isinstance(found, BaseException):
                return
            start += self.length
