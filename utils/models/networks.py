"""The blocks that convolutional generators, discriminators and critics are built of.

What a network looks like stands in the script of its method; here is what one block of it is made
of, and the options that shape blocks in every method.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import keras
from keras import layers

from utils.common.errors import UserError
from utils.data import IMAGE_SIZES
from utils.models.layers import MinibatchDiscrimination, MinibatchStandardDeviation
from utils.training.options import RunOptions

Tensor = Any
"""A tensor of the running Keras backend."""
Place = Literal["before-activation", "after-activation", "none"]


@dataclass
class ConvolutionalOptions(RunOptions):
    """The options of every method whose networks are pyramids of convolutions."""

    generator_filters: tuple[int, ...] = (32,)
    """Channels of the generator's maps, from the smallest map up. A single number is the width of
    the largest map, doubled each time the map halves."""
    generator_depth: int = 0
    """With a single width: how often the generator doubles its map; 0 starts from 4x4 pixels."""
    generator_start: Literal["dense", "convolutional"] = "dense"
    """Project the latent vector with a dense layer, or take it as a 1x1 map (no dense layer)."""
    upscaling: Literal["transposed", "upsample"] = "transposed"
    """Transposed convolution, or every pixel repeated 2x2 and a convolution."""
    generator_dropout: float = 0.0
    """Share of activations dropped after the generator's inner layers; with batch normalisation a
    known remedy against mode collapse."""
    max_filters: int = 512
    """Doubling stops at this width."""
    kernel_size: int = 4
    """Side of the convolution kernels; in transposed convolutions, an odd one leaves a chequered
    pattern."""
    normalization_momentum: float = 0.9
    """Inertia of batch normalisation's moving statistics, which only sampling uses."""
    normalization_stddev: float = 0.0
    """Batch normalisation's scales start as N(1, normalization-stddev)."""
    leaky_relu_slope: float = 0.2
    """What LeakyReLU lets through of negative values."""
    initial_stddev: float = 0.02
    """Weights start as N(0, initial-stddev); 0 takes Keras' own initialisation (Glorot)."""
    minibatch: Literal["none", "discrimination", "deviation"] = "none"
    """Let the network that judges see the other images of the batch, against mode collapse:
    minibatch discrimination after its first layer, or the batch's standard deviation before its
    last."""
    minibatch_maps: int = 2
    """Maps that minibatch discrimination adds."""
    minibatch_side: int = 8
    """Largest side of the maps that it compares; 0 sets no limit, and its weights grow with the
    fourth power."""
    learning_rate_decay: float = 1.0
    """Factor on both learning rates every learning-rate-decay-steps steps."""
    learning_rate_decay_steps: int = 20_000
    """Updates of the generator from one decay to the next."""

    FIXED_FIELDS: ClassVar[tuple[str, ...]] = (
        *RunOptions.FIXED_FIELDS, "generator_filters", "generator_depth", "generator_start",
        "upscaling", "generator_dropout", "max_filters", "kernel_size", "normalization_momentum",
        "leaky_relu_slope", "minibatch", "minibatch_maps", "minibatch_side",
    )  # fmt: skip
    JUDGE: ClassVar[str] = "discriminator"
    """What the method calls the network that judges."""

    def described(self) -> str:
        """What depends on the device, in a few words."""
        widths = {self.generator_filters, getattr(self, f"{self.JUDGE}_filters")}
        if len(widths) > 1 or len(self.generator_filters) > 1:
            return super().described()
        return f"{self.generator_filters[0]} filters, {super().described()}"

    def check(self) -> None:
        """Raise UserError for values that make no networks or no training."""
        super().check()
        deepest = int(math.log2(self.image_size or max(IMAGE_SIZES)))
        for network in ("generator", self.JUDGE):
            widths, depth = getattr(self, f"{network}_filters"), getattr(self, f"{network}_depth")
            if not 1 <= len(widths) <= deepest:
                raise UserError(f"--{network}-filters: {len(widths)} given, must be 1 to {deepest}")
            if len(widths) > 1 and depth:
                raise UserError(
                    f"--{network}-depth {depth}: must be 0 where --{network}-filters is a list, "
                    "whose length is the depth"
                )
            self.require_between(0, deepest, f"{network}_depth")
            self.require_between(1, math.inf, f"{network}_filters")
            self.require_between(0, 1e9, f"{network}_learning_rate")
            self.require_between(0, 0.9999, f"{network}_beta1")
        self.require_between(1, math.inf, "max_filters", "learning_rate_decay_steps")
        self.require_between(1, 256, "minibatch_maps")
        self.require_between(0, 256, "minibatch_side")
        if self.minibatch == "discrimination" and self.image_size:
            # The layer compares maps of half the image's size, made smaller by whole numbers.
            side, height = self.minibatch_side, self.image_size // 2
            if side and height > 4 * side and height % side:
                raise UserError(
                    f"--minibatch-side {side}: the maps it compares have {height} x {height} "
                    "pixels; wanted a divisor of that"
                )
        self.require_between(2, math.inf, "kernel_size")
        self.require_between(0, 0.99, "generator_dropout")
        self.require_between(0, 1, "normalization_momentum", "normalization_stddev")
        self.require_between(0, 1, "leaky_relu_slope", "initial_stddev", "learning_rate_decay")


def pyramid(filters: tuple[int, ...], depth: int, h: ConvolutionalOptions) -> tuple[int, ...]:
    """Channels of a network's maps, the largest map first where a single width doubles.

    A depth of 0 takes as many maps as lead to 4x4 pixels. A list of widths is taken as it is.
    """
    if len(filters) > 1:
        return filters
    depth = depth or int(math.log2(h.image_size)) - 2
    return tuple(min(filters[0] * 2**halvings, h.max_filters) for halvings in range(depth))


def initializer(h: ConvolutionalOptions) -> keras.initializers.Initializer:
    """A new one for every layer: the same object twice would draw the same numbers twice."""
    if h.initial_stddev == 0:
        return keras.initializers.GlorotUniform()
    return keras.initializers.RandomNormal(stddev=h.initial_stddev)


def normalization(h: ConvolutionalOptions, kind: Literal["batch", "layer"]) -> layers.Layer:
    """Over the images of a batch, or over all of one image's map (Ba et al. 2016)."""
    if kind == "layer":
        return layers.GroupNormalization(groups=1, epsilon=1e-5)
    scale = keras.initializers.RandomNormal(1.0, h.normalization_stddev)
    return layers.BatchNormalization(
        momentum=h.normalization_momentum,
        epsilon=1e-5,
        gamma_initializer=scale if h.normalization_stddev else "ones",
    )


def activate(
    x: Tensor,
    activation: layers.Layer,
    place: Place,
    dropout: float,
    h: ConvolutionalOptions,
    kind: Literal["batch", "layer"] = "batch",
) -> Tensor:
    """Normalisation before or after the activation, then dropout; the shape stays."""
    if place == "before-activation":
        x = normalization(h, kind)(x)
    x = activation(x)
    if place == "after-activation":
        x = normalization(h, kind)(x)
    if dropout:
        # With no seed of its own, PyTorch would draw from a state that no checkpoint holds.
        x = layers.Dropout(dropout, seed=random.randrange(2**31))(x)
    return x


def start(x: Tensor, size: int, filters: int, use_bias: bool, h: ConvolutionalOptions) -> Tensor:
    """Latent vectors (B, latent_dim) to the smallest maps (B, size, size, filters)."""
    if h.generator_start == "dense":
        x = layers.Dense(
            size * size * filters, use_bias=use_bias, kernel_initializer=initializer(h)
        )(x)  # (B, size * size * filters)
        return layers.Reshape((size, size, filters))(x)
    x = layers.Reshape((1, 1, h.latent_dim))(x)  # (B, 1, 1, latent_dim)
    return layers.Conv2DTranspose(
        filters, size, use_bias=use_bias, kernel_initializer=initializer(h)
    )(x)


def double(x: Tensor, filters: int, use_bias: bool, h: ConvolutionalOptions) -> Tensor:
    """Maps (B, H, W, C) to (B, 2H, 2W, filters)."""
    if h.upscaling == "upsample":
        x = layers.UpSampling2D(2, interpolation="nearest")(x)  # (B, 2H, 2W, C)
        convolution, strides = layers.Conv2D, 1
    else:
        convolution, strides = layers.Conv2DTranspose, 2
    return convolution(
        filters, h.kernel_size, strides=strides, padding="same",
        use_bias=use_bias, kernel_initializer=initializer(h),
    )(x)  # fmt: skip


def halving(filters: int, use_bias: bool, h: ConvolutionalOptions) -> layers.Layer:
    """The layer that takes maps (B, H, W, C) to (B, H / 2, W / 2, filters)."""
    return layers.Conv2D(
        filters, h.kernel_size, strides=2, padding="same",
        use_bias=use_bias, kernel_initializer=initializer(h),
    )  # fmt: skip


def compare_batch(x: Tensor, place: Literal["first", "last"], h: ConvolutionalOptions) -> Tensor:
    """What ``--minibatch`` adds after the first or the last layer: maps (B, H, W, C + some)."""
    if h.minibatch == "discrimination" and place == "first":
        x = MinibatchDiscrimination(
            h.minibatch_maps, largest_side=h.minibatch_side, initial_stddev=h.initial_stddev
        )(x)
    elif h.minibatch == "deviation" and place == "last":
        x = MinibatchStandardDeviation()(x)
    return x


class _OfAnotherCount(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule that goes by something else than its optimizer's own updates."""

    def __init__(
        self, schedule: keras.optimizers.schedules.LearningRateSchedule, counter: keras.Variable
    ) -> None:
        self.schedule, self.counter = schedule, counter

    def __call__(self, step: Tensor) -> Tensor:
        """The learning rate; ``step`` is not looked at."""
        return self.schedule(self.counter.value)


def build_optimizer(
    optimizer: type[keras.optimizers.Optimizer],
    learning_rate: float,
    network: keras.Model,
    h: ConvolutionalOptions,
    counter: keras.Variable | None = None,
    **options: float,
) -> keras.optimizers.Optimizer:
    """An optimizer with its state made at once, so that a checkpoint of step 0 is complete.

    Args:
        optimizer: its class.
        learning_rate: at first.
        network: whose weights it updates.
        h: how the learning rate decays.
        counter: what counts the steps by which it decays: the updates of the generator's optimizer,
            as a critic makes several in a step. None is this optimizer's own.
        **options: of its class.
    """
    # A schedule even where nothing decays: a plain number would become part of the checkpoint and
    # win over the command line when the run resumes.
    schedule: keras.optimizers.schedules.LearningRateSchedule = (
        keras.optimizers.schedules.ExponentialDecay(
            learning_rate, h.learning_rate_decay_steps, h.learning_rate_decay, staircase=True
        )
    )
    if counter is not None:
        schedule = _OfAnotherCount(schedule, counter)
    made = optimizer(schedule, **options)
    made.build(network.trainable_variables)
    return made
