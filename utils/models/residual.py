"""The blocks that residual generators and discriminators are built of, and their options.

No layer of them normalises anything: what keeps the sizes of maps in bounds is how weights start.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import keras
from keras import layers

from utils.backend import Tensor
from utils.common.commandline import option_name
from utils.common.errors import UserError
from utils.models.networks import pyramid
from utils.training.options import RunOptions

EXPANSION = 2
"""A residual block's inner maps have that many times its channels."""


@dataclass
class ResidualOptions(RunOptions):
    """The options of every method whose networks are residual."""

    generator_filters: tuple[int, ...] = (8,)
    """Channels of the generator's maps, from 4x4 pixels up to the image's size. A single number is
    the width of the largest map, doubled each time the map halves."""
    discriminator_filters: tuple[int, ...] = (8,)
    """Channels of the discriminator's maps, from the image's size down to 4x4 pixels. A single
    number is the width of the largest map, doubled each time the map halves."""
    max_filters: int = 512
    """Doubling stops at this width."""
    start_filters: int = 256
    """With a single number: channels of the 4x4 maps, where the generator starts and the
    discriminator ends. Most of the weights are there, and little of the time is spent there."""
    blocks: int = 1
    """Residual blocks at each size of the maps, in both networks; the paper has 2."""
    groups: int = 1
    """Groups of each 3x3 convolution, in which channels are mixed; the paper has groups of 16
    channels. On a CPU, TensorFlow is many times slower with more than one."""

    # What decides about the shape or the meaning of a weight cannot change when a run resumes.
    FIXED_FIELDS: ClassVar[tuple[str, ...]] = (
        *RunOptions.FIXED_FIELDS, "generator_filters", "discriminator_filters", "max_filters",
        "start_filters", "blocks", "groups",
    )  # fmt: skip

    def check(self) -> None:
        """Raise UserError for values that make no networks."""
        super().check()
        filters = ("generator_filters", "discriminator_filters")
        self.require_between(1, math.inf, *filters, "max_filters", "start_filters", "groups")
        self.require_between(1, 100, "blocks")
        for field in filters if self.image_size else ():
            given, sizes = len(getattr(self, field)), int(math.log2(self.image_size)) - 1
            if given not in (1, sizes):
                raise UserError(
                    f"{option_name(field)}: {given} given, must be 1, or {sizes} for maps from 4 "
                    f"to {self.image_size} px"
                )
            for width in self.widths(field):
                if EXPANSION * width % self.groups:
                    raise UserError(
                        f"--groups {self.groups}: does not divide {EXPANSION} x {width}, "
                        f"the width of a block of {option_name(field)}"
                    )

    def widths(self, field: str) -> tuple[int, ...]:
        """Channels of a network's maps, the largest map first where a single width doubles."""
        given = getattr(self, field)
        larger = pyramid(given, int(math.log2(self.image_size)) - 2, self)
        return (*larger, self.start_filters) if len(given) == 1 else given


def he_normal(gain: float = 1.0) -> keras.initializers.Initializer:
    """N(0, gain / fan in), which makes the outputs' variance ``gain`` times the inputs'."""
    return keras.initializers.VarianceScaling(gain, "fan_in", "untruncated_normal")


def mix_channels(x: Tensor, filters: int) -> Tensor:
    """Maps (B, H, W, C) to (B, H, W, filters), pixel by pixel; as they are if C is ``filters``."""
    if x.shape[-1] == filters:
        return x
    return layers.Conv2D(filters, 1, use_bias=False, kernel_initializer=he_normal())(x)


def block(x: Tensor, depth: int, groups: int = 1) -> Tensor:
    """Maps (B, H, W, C) to such maps, and at the start of training to the same.

    Without normalisation, what each block adds would make the sum grow with their number, and the
    steps of an update as well: so a block starts by adding nothing, and the more of them there are,
    the smaller its other kernels start, by depth^-1/4 each (Zhang et al. 2019, arXiv:1901.09321).

    Args:
        x: the maps.
        depth: residual blocks in the whole network.
        groups: of the 3x3 convolution.
    """
    filters = x.shape[-1]
    # A LeakyReLU of 0.2 takes (1 + 0.2^2) / 2 of the variance (He et al. 2015); and the scale above
    # as a variance.
    gain = 2 / (1 + 0.2**2) / math.sqrt(depth)
    inner = layers.Conv2D(EXPANSION * filters, 1, kernel_initializer=he_normal(gain))(x)
    inner = layers.LeakyReLU(0.2)(inner)  # (B, H, W, 2C)
    inner = layers.Conv2D(
        EXPANSION * filters, 3, padding="same", groups=groups, kernel_initializer=he_normal(gain)
    )(inner)
    inner = layers.LeakyReLU(0.2)(inner)  # (B, H, W, 2C)
    inner = layers.Conv2D(filters, 1, use_bias=False, kernel_initializer="zeros")(inner)
    return layers.Add()([x, inner])  # (B, H, W, C)
