"""The real pictures of every step: gathered on the device, or read ahead from the disk."""

from __future__ import annotations

import numpy as np

from utils import backend
from utils.data.dataset import Dataset
from utils.data.order import BatchOrder
from utils.data.streaming import ReadAhead
from utils.training.waiting import Waiting

# isort: split
from keras import ops


class DeviceFeed:
    """Pictures that are on the device as a whole; the compiled step gathers its own by index."""

    def __init__(self, dataset: Dataset, order: BatchOrder, length: int) -> None:
        """Copy the pictures to the device.

        Args:
            dataset: the pictures, in memory.
            order: in which they are fed.
            length: pictures of a step.
        """
        self._order, self._length = order, length
        self._number, self._shape = len(dataset), dataset.images.shape[1:]
        self._images = backend.images_to_device(dataset.images)

    def inputs(self, start: int) -> tuple[backend.Tensor, np.ndarray]:
        """What the compiled step gets for the pictures from ``start`` on in the order."""
        return self._images, self._order.indices(start, self._length)

    def pictures(self, images: backend.Tensor, indices: backend.Tensor) -> backend.Tensor:
        """What `inputs` stands for, uint8 (length, H, W, C); called in the compiled step."""
        batch = backend.take_images(images, indices % self._number, self._shape)
        if self._order.count > self._number:
            is_mirrored = ops.reshape(indices >= self._number, (-1, 1, 1, 1))
            batch = ops.where(is_mirrored, ops.flip(batch, axis=2), batch)
        return batch

    def close(self) -> None:
        """Nothing is open."""


class StreamedFeed:
    """Pictures that a thread reads from the disk before the steps ask for them.

    Of several processes, each reads its share.
    """

    def __init__(
        self,
        dataset: Dataset,
        order: BatchOrder,
        length: int,
        batch_size: int,
        waiting: Waiting,
    ) -> None:
        """Prepare to read.

        Args:
            dataset: the pictures, on disk.
            order: in which they are fed.
            length: pictures of a step.
            batch_size: pictures of each of its batches.
            waiting: measures how long steps wait for their pictures, as "data".
        """
        self._dataset, self._order, self._length = dataset, order, length
        self._waiting, self._batch_size = waiting, batch_size
        self._share = backend.batch_share(batch_size)
        batches = dataset.images.bytes_ahead // (length * dataset.images.picture_bytes)
        self._reader = ReadAhead(self._read, length, max(2, batches))

    def _read(self, start: int) -> np.ndarray:
        indices = self._order.indices(start, self._length)
        indices = indices.reshape(-1, self._batch_size)[:, self._share].ravel()
        batch = self._dataset.take(indices % len(self._dataset))
        is_mirrored = indices >= len(self._dataset)
        batch[is_mirrored] = batch[is_mirrored, :, ::-1]
        return batch

    def inputs(self, start: int) -> tuple[backend.Tensor]:
        """What the compiled step gets for the pictures from ``start`` on in the order.

        Raises:
            RunError: they cannot be read.
        """
        with self._waiting.on("data"):
            batch = self._reader.batch(start)
        batches = batch.reshape(-1, len(self._share), *batch.shape[1:])
        return (backend.from_shares(batches, self._batch_size),)

    def pictures(self, batches: backend.Tensor) -> backend.Tensor:
        """What `inputs` stands for, uint8 (batches, B, H, W, C); called in the compiled step."""
        return batches

    def close(self) -> None:
        """End the thread."""
        self._reader.close()
