"""Class-conditional networks, and how classes are let in.

Both networks take class weights (B, K) as a second input: one-hot rows times a share, and rows of
zeros for pictures of no class. The generator adds a learned map a class to its first maps, which is
the same as the one-hot vector beside the latent vector. The discriminator adds a projection to its
answer (Miyato and Koyama 2018, arXiv:1802.05637, equation 3).

On few pictures, classes from the start make GANs collapse. So the share is 0 at first and rises to
1 (Shahbazi et al. 2022, arXiv:2201.06578): it scales what the generator is told of the class, and
the class term of the discriminator's answer. They add up two losses, of an unconditional answer and
of the conditional one times the share; here the two terms are added up in one answer, as in a
projection discriminator. For a critic, whose loss is linear in its answers, both are the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import keras
from keras import layers, ops

from utils.backend import Tensor
from utils.models.blocks import initializer

PREFIX = "class_"
"""What the names of layers begin with whose weights belong to classes."""


def share_at(step: int, first: int, last: int) -> float:
    """lambda of the step: 0 up to ``first``, 1 from ``last`` on, on a straight line between."""
    if step >= last:
        return 1.0
    return (step - first) / (last - first) if step > first else 0.0


def is_of_classes(weight: keras.Variable) -> bool:
    """Whether a weight belongs to classes: a network without classes has no such weight."""
    return PREFIX in weight.path


def let_in(generator: keras.Model, share: float) -> None:
    """Let one-hot class weights do what ``share`` (0 to 1) times as much did before."""
    for weight in filter(is_of_classes, generator.weights):
        weight.assign(share * weight)


def class_input(count: int) -> Tensor | None:
    """A network's input of class weights (B, count); None without classes."""
    return keras.Input((count,), name="classes") if count else None


def beside(inputs: Tensor, classes: Tensor | None) -> Any:
    """What a network takes: latents or images, and class weights where there are classes."""
    if classes is None:
        return inputs
    # Keras takes arrays or tensors, but not both in a list.
    both = (inputs, classes)
    return [x if isinstance(x, keras.KerasTensor) else ops.convert_to_tensor(x) for x in both]


def add_class(x: Tensor, classes: Tensor | None, stddev: float) -> Tensor:
    """x plus a learned map (or vector) for each class; as it is without classes.

    Args:
        x: a generator's first maps, (B, H, W, C) or (B, C), a linear function of its latents.
        classes: class weights (B, K).
        stddev: of the initial maps; as large as that of x, a class weighs as much as a latent
            vector. 0 takes Keras' own initialisation.

    Returns:
        The shape of x.
    """
    if classes is None:
        return x
    added = layers.Dense(
        math.prod(x.shape[1:]), use_bias=False, kernel_initializer=initializer(stddev),
        name="class_maps",
    )(classes)  # fmt: skip
    added = layers.Reshape(x.shape[1:])(added) if len(x.shape) > 2 else added
    return layers.Add()([x, added])


def project(
    answers: Tensor,
    features: Tensor,
    classes: Tensor | None,
    stddev: float,
    wrap: Callable[[layers.Layer], layers.Layer] = lambda layer: layer,
) -> Tensor:
    """Answers (B, 1) plus y' V phi, with y the class weights; as they are without classes.

    Args:
        answers: (B, 1).
        features: phi, (B, C); or maps (B, H, W, C), of which phi is the sum over the pixels.
        classes: y, (B, K).
        stddev: of the initial V; 0 takes Keras' own initialisation.
        wrap: what the layer that has V goes through, such as spectral normalisation.
    """
    if classes is None:
        return answers
    if len(features.shape) == 4:
        height, width = features.shape[1:3]
        features = layers.GlobalAveragePooling2D()(features)
        features = layers.Rescaling(height * width, dtype="float32")(features)  # (B, C)
    dense = layers.Dense(
        classes.shape[1], use_bias=False, kernel_initializer=initializer(stddev), dtype="float32",
        name="class_projection",
    )  # fmt: skip
    by_class = wrap(dense)(features)  # (B, K)
    term = layers.Dot(1, dtype="float32")([by_class, classes])  # (B, 1)
    return layers.Add(dtype="float32")([answers, term])
