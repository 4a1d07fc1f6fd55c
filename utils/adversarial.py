"""What adversarial training needs whatever the method: freezing a network, and labels."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import keras
from keras import ops

Tensor = Any
"""A tensor of the running Keras backend."""


@contextmanager
def frozen(network: keras.Model) -> Iterator[None]:
    """Inside the block, ``network`` has no trainable variables; afterwards it has them again.

    It is the **variables** that are switched, not ``network.trainable``: a layer that is frozen by
    its flag runs batch normalisation in inference mode, and the generator would then be judged by
    another function than the one the discriminator learned. Here the frozen network computes what
    it always computes. Its batch normalisation normalises with the statistics of the batch, and
    its *moving* statistics, which no gradient trains, still follow every pass.

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


def smooth_labels(
    labels: Tensor, amount: float, sides: Literal["one-sided", "two-sided"]
) -> Tensor:
    """Pull hard labels away from certainty (Salimans et al. 2016, section 3.4).

    Args:
        labels: ones for real, zeros for generated images, any shape.
        amount: 0 leaves the labels alone; 0.1 is usual.
        sides: one-sided makes 1 into ``1 - amount`` and keeps 0; two-sided makes 1 into
            ``1 - amount / 2`` and 0 into ``amount / 2``.
    """
    offset = amount / 2 if sides == "two-sided" else 0.0
    return labels * (1.0 - amount) + offset


def noisy_labels(labels: Tensor, alpha_max: float, seed: keras.random.SeedGenerator) -> Tensor:
    """Shift every label by its own draw from U(0, ``alpha_max``).

    A discriminator that can never be certain keeps giving the generator a gradient.

    Args:
        labels: any shape.
        alpha_max: largest shift; below 0 for the labels of real images, which shift down, above 0
            for those of generated ones; 0 leaves the labels alone and draws nothing.
        seed: where the draws come from; its state is part of a checkpoint.
    """
    if alpha_max == 0.0:
        return labels
    return labels + alpha_max * keras.random.uniform(ops.shape(labels), seed=seed)
