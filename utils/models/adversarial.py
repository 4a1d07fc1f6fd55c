"""What the updates of every method are made of: the combined model, freezing, what is noted."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import keras
from keras import ops

from utils.backend.types import Tensor
from utils.common.errors import UserError
from utils.models.augmentation import Augmentation
from utils.models.classes import beside, is_of_classes


@contextmanager
def frozen(network: keras.Model) -> Iterator[None]:
    """Inside the block, ``network`` has no trainable variables; afterwards it has them again.

    The **variables** are switched, not ``network.trainable``: a layer that is frozen by its flag
    runs batch normalisation in inference mode, and the generator would learn from another function
    than the one the discriminator has learned. Here the frozen network computes what it always
    computes. Its batch normalisation uses the statistics of the batch, and its *moving* statistics,
    which no gradient trains, still follow every pass.

    Nothing is compiled beforehand and nothing must be: what an update trains is whatever
    ``model.trainable_variables`` says inside the block.
    """
    variables = network.trainable_variables
    for variable in variables:
        variable.trainable = False
    try:
        yield
    finally:
        for variable in variables:
            variable.trainable = True


def blocks_of(discriminator: keras.Model) -> list[list[keras.layers.Layer]]:
    """The layers with weights, one list for each size of their maps, the largest first."""
    blocks: dict[int, list[keras.layers.Layer]] = {}
    for layer in discriminator.layers:
        if layer.trainable_variables and len(layer.output.shape) == 4:
            blocks.setdefault(layer.output.shape[1], []).append(layer)
    return [blocks[side] for side in sorted(blocks, reverse=True)]


def freeze_first(discriminator: keras.Model, number: int) -> None:
    """Let no update train the first ``number`` blocks (FreezeD, Mo et al. 2020, arXiv:2002.10964).

    As in `frozen`, the variables are switched: moving statistics follow. `frozen` switches only
    what is trainable where it begins, and so leaves these as they are.

    Raises:
        UserError: there are fewer blocks.
    """
    blocks = blocks_of(discriminator)
    if number > len(blocks):
        raise UserError(
            f"--freeze-discriminator {number}: the {discriminator.name} has {len(blocks)} such "
            f"layers; expected from 0 to {len(blocks)}"
        )
    for layer in itertools.chain(*blocks[:number]):
        for variable in layer.trainable_variables:
            variable.trainable = False


class Combined(keras.Model):
    """Generator, augmentation and discriminator in a row: what the generator's update runs through.

    It shares its layers with both networks; `frozen` decides which of them an update trains: those
    in ``trainable_variables``. The images are mostly there already, and an update enters halfway,
    by `from_images`.
    """

    def __init__(
        self, generator: keras.Model, augment: Augmentation, discriminator: keras.Model
    ) -> None:
        super().__init__(name="combined")
        self.generator, self.augment, self.discriminator = generator, augment, discriminator

    def call(self, latents: Tensor, classes: Tensor | None = None) -> Tensor:
        """Latent vectors (B, latent_dim) to the discriminator's answers (B, 1)."""
        return self.from_images(self.generator(beside(latents, classes), training=True), classes)

    def from_images(self, images: Tensor, classes: Tensor | None = None) -> Tensor:
        """The second half: generated images (B, H, W, C) to the discriminator's answers (B, 1)."""
        return self.discriminator(beside(self.augment(images), classes), training=True)


def update_scalars(
    prefix: str,
    gradients: Sequence[Tensor],
    variables: Sequence[keras.Variable],
    optimizer: keras.optimizers.Optimizer,
) -> dict[str, Tensor]:
    """What is noted of every update: its number, and the gradients of the first and last kernel.

    Where a network's first layer gets a gradient orders of magnitude smaller than its last, what
    is learned at one end does not arrive at the other.

    Args:
        prefix: what the names begin with, such as ``d`` or ``g``.
        gradients: one for each variable.
        variables: in the order of the layers; at least one is named as a kernel.
        optimizer: what has made the update.

    Returns:
        ``PREFIX_gradient_first`` and ``PREFIX_gradient_last``, Euclidean norms, and
        ``PREFIX_updates``, how many there have been.
    """
    pairs = zip(gradients, variables, strict=True)
    kernels = [
        gradient
        for gradient, variable in pairs
        if variable.name.endswith("kernel") and not is_of_classes(variable)
    ]
    return {
        f"{prefix}_gradient_first": ops.norm(ops.reshape(kernels[0], (-1,))),
        f"{prefix}_gradient_last": ops.norm(ops.reshape(kernels[-1], (-1,))),
        f"{prefix}_updates": ops.copy(optimizer.iterations),
    }


def kernel_size(network: keras.Model) -> float:
    """Root mean square of all numbers in the network's kernels."""
    kernels = [each for each in network.trainable_variables if each.name.endswith("kernel")]
    squares = sum(ops.sum(ops.square(ops.cast(each, "float32"))) for each in kernels)
    return math.sqrt(float(squares) / sum(math.prod(each.shape) for each in kernels))
