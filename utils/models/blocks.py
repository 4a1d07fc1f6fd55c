"""The blocks that convolutional generators, discriminators and critics are built of.

What a network looks like stands in the script of its method; here is what one block of it is made
of. A deviation of 0 for initial weights takes Keras' own initialisation (Glorot).
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Literal

import keras
from keras import layers

from utils.backend import Tensor
from utils.common.fields import Upscaling
from utils.models.layers import MinibatchDiscrimination, MinibatchStandardDeviation

Place = Literal["before-activation", "after-activation", "none"]


def initializer(stddev: float) -> keras.initializers.Initializer:
    """A new one for every layer: the same object twice would draw the same numbers twice."""
    if stddev == 0:
        return keras.initializers.GlorotUniform()
    return keras.initializers.RandomNormal(stddev=stddev)


def batch_normalization(momentum: float, stddev: float) -> layers.Layer:
    """Over the images of a batch; its scales start as N(1, stddev)."""
    scale = keras.initializers.RandomNormal(1.0, stddev)
    return layers.BatchNormalization(
        momentum=momentum, epsilon=1e-5, gamma_initializer=scale if stddev else "ones"
    )


def layer_normalization() -> layers.Layer:
    """Over all of one image's map (Ba et al. 2016)."""
    return layers.GroupNormalization(groups=1, epsilon=1e-5)


def drop(x: Tensor, share: float) -> Tensor:
    """Dropout; the shape stays."""
    if not share:
        return x
    # With no seed of its own, PyTorch would draw from a state that no checkpoint holds.
    return layers.Dropout(share, seed=random.randrange(2**31))(x)


def start(
    latents: Tensor,
    size: int,
    filters: int,
    kind: Literal["dense", "convolutional"],
    use_bias: bool,
    stddev: float,
) -> Tensor:
    """Latent vectors (B, latent_dim) to the smallest maps (B, size, size, filters)."""
    options = {"use_bias": use_bias, "kernel_initializer": initializer(stddev)}
    if kind == "dense":
        x = layers.Dense(size * size * filters, **options)(latents)  # (B, size * size * filters)
        return layers.Reshape((size, size, filters))(x)
    x = layers.Reshape((1, 1, latents.shape[-1]))(latents)  # (B, 1, 1, latent_dim)
    return layers.Conv2DTranspose(filters, size, **options)(x)


def double(
    x: Tensor,
    filters: int,
    kernel_size: int,
    upscaling: Upscaling,
    use_bias: bool,
    stddev: float,
) -> Tensor:
    """Maps (B, H, W, C) to (B, 2H, 2W, filters)."""
    options = {"padding": "same", "use_bias": use_bias, "kernel_initializer": initializer(stddev)}
    if upscaling == "upsample":
        x = layers.UpSampling2D(2, interpolation="nearest")(x)  # (B, 2H, 2W, C)
        return layers.Conv2D(filters, kernel_size, **options)(x)
    if upscaling == "filtered":
        # Two means of 2x2 pixels are the filter [1, 2, 1] / 4 along both sides, which leaves
        # nothing of a pattern with a period of two pixels. What they need beyond the edges is kept.
        options["padding"] = "valid"
        x = layers.Conv2DTranspose(filters, kernel_size, strides=2, **options)(x)
        x = layers.Cropping2D((kernel_size - 4) // 2)(x) if kernel_size > 4 else x
        x = layers.AveragePooling2D(2, strides=1)(x)  # (B, 2H + 1, 2W + 1, filters)
        return layers.AveragePooling2D(2, strides=1)(x)
    return layers.Conv2DTranspose(filters, kernel_size, strides=2, **options)(x)


def add_details(image: Tensor | None, x: Tensor, channels: int, stddev: float) -> Tensor:
    """An image of half the size, doubled, plus what is drawn from maps of the full size.

    Args:
        image: (B, H / 2, W / 2, C), not yet in [-1, 1]; None where there is none yet.
        x: maps (B, H, W, any).
        channels: C, of the image.
        stddev: of the initial weights.

    Returns:
        (B, H, W, C), not yet in [-1, 1].
    """
    details = layers.Conv2D(channels, 3, padding="same", kernel_initializer=initializer(stddev))(x)
    if image is None:
        return details
    image = layers.UpSampling2D(2, interpolation="bilinear")(image)  # (B, H, W, C)
    return layers.Add()([image, details])


def halving(filters: int, kernel_size: int, use_bias: bool, stddev: float) -> layers.Layer:
    """The layer that takes maps (B, H, W, C) to (B, H / 2, W / 2, filters)."""
    return layers.Conv2D(
        filters, kernel_size, strides=2, padding="same",
        use_bias=use_bias, kernel_initializer=initializer(stddev),
    )  # fmt: skip


def activate(
    x: Tensor,
    activation: layers.Layer,
    normalize: Callable[[], layers.Layer],
    place: Place,
    dropout: float,
) -> Tensor:
    """Normalisation before or after the activation, then dropout; the shape stays.

    Args:
        x: maps (B, H, W, C).
        activation: the layer in the middle.
        normalize: makes a normalisation layer.
        place: where it stands.
        dropout: share of activations dropped.
    """
    if place == "before-activation":
        x = normalize()(x)
    x = activation(x)
    if place == "after-activation":
        x = normalize()(x)
    return drop(x, dropout)


def compare_batch(
    x: Tensor,
    place: Literal["first", "last"],
    kind: Literal["none", "discrimination", "deviation"],
    maps: int,
    side: int,
    stddev: float,
) -> Tensor:
    """What ``--minibatch`` adds after the first or the last layer: maps (B, H, W, C + some)."""
    if kind == "discrimination" and place == "first":
        return MinibatchDiscrimination(maps, largest_side=side, initial_stddev=stddev)(x)
    if kind == "deviation" and place == "last":
        return MinibatchStandardDeviation()(x)
    return x
