"""The blocks that residual generators and discriminators are built of.

No layer of them normalises anything: what keeps the sizes of maps in bounds is how weights start.
"""

from __future__ import annotations

import math

import keras
from keras import layers

from utils.backend import Tensor


def he_normal(gain: float = 1.0) -> keras.initializers.Initializer:
    """N(0, gain / fan in), which makes the outputs' variance ``gain`` times the inputs'."""
    return keras.initializers.VarianceScaling(gain, "fan_in", "untruncated_normal")


def mix_channels(x: Tensor, filters: int) -> Tensor:
    """Maps (B, H, W, C) to (B, H, W, filters), pixel by pixel; as they are if C is ``filters``."""
    if x.shape[-1] == filters:
        return x
    return layers.Conv2D(filters, 1, use_bias=False, kernel_initializer=he_normal())(x)


def block(x: Tensor, depth: int, expansion: int, groups: int = 1) -> Tensor:
    """Maps (B, H, W, C) to such maps, and at the start of training to the same.

    Without normalisation, what each block adds would make the sum grow with their number, and the
    steps of an update as well: so a block starts by adding nothing, and the more of them there are,
    the smaller its other kernels start, by depth^-1/4 each (Zhang et al. 2019, arXiv:1901.09321).

    Args:
        x: the maps.
        depth: residual blocks in the whole network.
        expansion: its inner maps have that many times the channels.
        groups: of the 3x3 convolution.
    """
    filters = x.shape[-1]
    inner_filters = expansion * filters
    # A LeakyReLU of 0.2 takes (1 + 0.2^2) / 2 of the variance (He et al. 2015); and the scale above
    # as a variance.
    gain = 2 / (1 + 0.2**2) / math.sqrt(depth)
    inner = layers.Conv2D(inner_filters, 1, kernel_initializer=he_normal(gain))(x)
    inner = layers.LeakyReLU(0.2)(inner)  # (B, H, W, 2C)
    inner = layers.Conv2D(
        inner_filters, 3, padding="same", groups=groups, kernel_initializer=he_normal(gain)
    )(inner)
    inner = layers.LeakyReLU(0.2)(inner)  # (B, H, W, 2C)
    inner = layers.Conv2D(filters, 1, use_bias=False, kernel_initializer="zeros")(inner)
    return layers.Add()([x, inner])  # (B, H, W, C)
