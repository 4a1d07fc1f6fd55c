"""The options behind those at the top of a script: what few people turn.

Each class is what its name says; a script's ``Hyperparameters`` adds the options of its method and
gives the defaults of those that are declared here without one. `Fixed` marks what a resumed run
keeps.
"""

from __future__ import annotations

import math
import re
import shlex
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from utils.common.errors import UserError
from utils.common.fields import (
    Amount,
    Between,
    Count,
    CountOrZero,
    Dropout,
    FilePath,
    Fixed,
    Seed,
    Several,
    Share,
    Upscaling,
    check_fields,
    option_name,
    spell,
)
from utils.common.grids import PADDING
from utils.common.pictures import MAX_PIXELS
from utils.data import IMAGE_SIZES
from utils.scoring.registry import FeatureKind, choices
from utils.training.presets import Preset


def doubled(first: int, depth: int, most: int) -> tuple[int, ...]:
    """Channels of maps, the largest first, that double each time the map halves."""
    return tuple(min(first * 2**halvings, most) for halvings in range(depth))


Augmentations = tuple[Literal["color", "translation", "cutout"], ...]
ScoreName = Literal[(*choices(), "none")]
"""What can choose the best networks."""


@dataclass(kw_only=True)
class RunOptions:
    """Further options of a run."""

    # Every script declares these with a default of its own.
    data: FilePath
    image_size: Fixed[int]
    mirror: bool
    epochs: CountOrZero
    latent_dim: Fixed[Count]
    batch_size: Several
    average_half_life: CountOrZero
    augmentation: Augmentations
    augmentation_probability: Share
    augmentation_target: Share
    color_strength: Share
    sample_interval: Count
    sample_rows: Fixed[Count]
    sample_columns: Fixed[Count]
    checkpoint_interval: Count
    score: ScoreName
    score_interval: Count

    classes: Fixed[str] = ""
    """An attribute of the data set, such as faction of the built-in robots or folder: both networks
    are told its value, and samples are of the class that is asked for."""
    class_steps: tuple[CountOrZero, CountOrZero] = (1000, 3000)
    """Steps between which classes are let in, from not at all to wholly: from the start, they make
    the generator collapse on few pictures (Shahbazi et al. 2022, arXiv:2201.06578)."""
    features: FeatureKind = "imagenet"
    """What scores see: shapes and objects (imagenet), colours and textures alone (random), or what
    Keras' Inception does, whose weights have to be there."""
    steps: CountOrZero = 0
    """End when that many steps have been made in all; if given, epochs do not count."""
    limit: CountOrZero = 0
    """Take that many pictures only, those held out included; 0 takes all."""
    holdout: Fixed[Annotated[float, Between(0, 0.5)]] = 0.2
    """Share of the pictures held out from training, to score with: a generator that has only
    memorised its training pictures must not win. Of 100 pictures or more, 50 at least; 0: none."""
    memory_budget: Annotated[float, Between(0, 1e6)] = 0.0
    """Gigabytes of pictures to hold in memory; of a set with more, pictures are read while the
    training goes on. 0 takes a quarter of the machine's memory."""
    seed: Seed = 0
    """The same seed gives the same run on the same machine."""
    deterministic: bool = True
    """Keep to GPU kernels that give the same bits every time; they can be slower."""
    precision: Literal["float32", "bfloat16", "auto"] = "auto"
    """Numbers that the networks compute with; auto takes bfloat16 where this device multiplies
    matrices clearly faster in it. Weights, losses, optimizers and images stay float32."""
    devices: Literal["one", "all"] = "one"
    """Split every batch among all GPUs (or TPUs) there are; all needs the JAX backend."""
    hosts: str = ""
    """Train in several processes with --devices all: ADDRESS:PORT,NUMBER,THIS, where the first one
    listens, how many there are, and which one this is, from 0; or auto, under SLURM or Open MPI."""
    keep_checkpoints: Count = 3
    """How many of the last checkpoints are kept."""
    history_interval: Count = 10
    """Steps that a row of history.csv averages."""
    tensorboard: bool = False
    """Write event files for TensorBoard as well; needs the package tensorboardX."""
    run_name: str = ""
    """Name of the run; the method and the next free number if not given."""
    resume: FilePath = ""
    """A run to go on with, its name or folder; it keeps its hyperparameters but for the options
    given."""
    start_from: FilePath = ""
    """A run whose networks a new one begins with, its name or a folder of networks, of the same
    image size or half of it; what shapes networks is that run's but for the options given."""
    freeze_discriminator: Fixed[CountOrZero] = 0
    """So many of the discriminator's (critic's) layers, counted from the images, are not trained
    after --start-from (Mo et al. 2020, arXiv:2002.10964)."""
    images_dir: FilePath = "images"
    """Where the pictures of a run go, in a folder of its name."""
    models_dir: FilePath = "saved_models"
    """Where the networks and checkpoints of a run go, in a folder of its name."""
    dry_run: bool = False
    """Build everything, measure a step, say what it takes, and exit."""
    preset: Fixed[str] = "none"
    """The networks and training of a known project (see below) in place of the defaults; every
    option given besides wins."""

    METHOD: ClassVar[str] = ""
    """The name of the script without .py."""
    PRESETS: ClassVar[dict[str, Preset]] = {}
    """What --preset can be."""
    ON_ACCELERATOR: ClassVar[dict[str, Any]] = {}
    """Defaults on a GPU or TPU that differ from those on a CPU."""
    channels: ClassVar[int] = 3
    """Of an image: those of the data set, once it is open."""
    class_names: ClassVar[tuple[str, ...]] = ()
    """Of ``classes``, most pictures first; `open_split` finds them in the data set."""
    augmentation_confidence: ClassVar[float] = 1.0
    """Only the answers of dcgan.py are probabilities; elsewhere this is off."""

    def __init_subclass__(cls) -> None:
        """Take a default that somebody has written as a list for the tuple it stands for."""
        for name, value in list(vars(cls).items()):
            if isinstance(value, list):
                setattr(cls, name, tuple(value))

    @property
    def batches_per_step(self) -> int:
        """Batches of real images that one step takes."""
        return 1

    def adapts_augmentation(self) -> bool:
        """Whether the training moves the augmentation's probability."""
        can_rise = bool(self.augmentation) and self.augmentation_probability < 1
        can_ask = self.augmentation_target > 0 and self.holdout > 0
        return can_rise and (can_ask or self.augmentation_confidence < 1)

    def most_confident_answer(self) -> float:
        """The mean answer to real images, a probability, of a discriminator without doubts."""
        return 1.0

    def described(self, has_accelerator: bool) -> str:
        """The batch size, and the defaults that a GPU or TPU has changed, if there is one."""
        words = f"batches of {self.batch_size}"
        if not has_accelerator:
            return words
        by_preset = self.PRESETS[self.preset].values if self.preset in self.PRESETS else {}
        changed = [
            f"{option_name(name)} {spell(value)}"
            for name, value in self.ON_ACCELERATOR.items()
            if getattr(self, name) == value and name not in by_preset
        ]
        return f"{words}; defaults of a GPU or TPU: {' '.join(changed)}" if changed else words

    def check(self) -> None:
        """Raise UserError for values that cannot be meant."""
        check_fields(self)
        for field in ("data", "images_dir", "models_dir"):
            if not getattr(self, field):
                raise UserError(f"{option_name(field)} '': is empty; expected a name")
        if self.freeze_discriminator and not self.start_from:
            raise UserError(
                f"--freeze-discriminator {self.freeze_discriminator}: without --start-from, these "
                "layers would stay random; expected 0"
            )
        first, last = self.class_steps
        if first > last:
            raise UserError(f"--class-steps {first} {last}: expected the smaller number first")
        if self.image_size not in (0, *IMAGE_SIZES):
            raise UserError(f"--image-size {self.image_size}: must be 32, 64, 128 or 256")
        height, width = (
            number * (self.image_size + PADDING) + PADDING
            for number in (self.sample_rows, self.sample_columns)
        )
        if height * width > MAX_PIXELS:
            raise UserError(
                f"--sample-rows {self.sample_rows} --sample-columns {self.sample_columns}: a grid "
                f"of {width} x {height} pixels; expected at most {MAX_PIXELS:,} in all"
            )

    def meant_by(self, words: list[str]) -> str:
        """The options that words without one were meant as; empty for a number."""
        if re.fullmatch(r"[-+.\de]+", words[0]):
            return ""
        is_run = (Path(self.models_dir) / words[0] / "config.json").is_file()
        return shlex.join(["--resume" if is_run else "--data", words[0]])


Options = TypeVar("Options", bound=RunOptions)


@dataclass(kw_only=True)
class ConvolutionalOptions(RunOptions):
    """Further options of networks made of strided convolutions."""

    generator_filters: Fixed[tuple[Count, ...]]
    generator_dropout: Fixed[Dropout]

    generator_depth: Fixed[CountOrZero] = 0
    """With a single width: how often the generator doubles its map; 0 starts from 4x4 pixels."""
    generator_start: Fixed[Literal["dense", "convolutional"]] = "dense"
    """Project the latent vector with a dense layer, or take it as a 1x1 map (no dense layer)."""
    upscaling: Fixed[Upscaling] = "transposed"
    """Transposed convolution, filtered so that no chequered pattern is left, or as it is; or every
    pixel repeated 2x2 and a convolution."""
    max_filters: Fixed[Count] = 512
    """Doubling stops at this width."""
    kernel_size: Fixed[Several] = 4
    """Side of the convolution kernels; in transposed convolutions, an odd one leaves a chequered
    pattern, and filtered ones need an even one from 4 on."""
    normalization_momentum: Fixed[Share] = 0.9
    """Inertia of batch normalisation's moving statistics; the average's own are computed anew."""
    normalization_stddev: Share = 0.0
    """Batch normalisation's scales start as N(1, normalization-stddev)."""
    leaky_relu_slope: Fixed[Share] = 0.2
    """What LeakyReLU lets through of negative values."""
    initial_stddev: Share = 0.02
    """Weights start as N(0, initial-stddev); 0 takes Keras' own initialisation (Glorot)."""
    minibatch: Fixed[Literal["none", "discrimination", "deviation"]] = "none"
    """Let the discriminator (critic) see the other images of the batch, against mode collapse:
    minibatch discrimination after its first layer, or the batch's standard deviation before its
    last."""
    minibatch_maps: Fixed[Annotated[int, Between(1, 256)]] = 2
    """Maps that minibatch discrimination adds."""
    minibatch_side: Fixed[Annotated[int, Between(0, 256)]] = 8
    """Largest side of the maps that it compares; 0 sets no limit, and its weights grow with the
    fourth power."""
    learning_rate_decay: Share = 1.0
    """Factor on both learning rates every learning-rate-decay-steps steps."""
    learning_rate_decay_steps: Count = 20_000
    """Updates of the generator from one decay to the next."""

    def check(self) -> None:
        """Raise UserError for values that make no networks or no training."""
        super().check()
        for field in fields(self):
            if field.name.endswith("_depth"):
                self._check_pyramid(field.name.removesuffix("_depth"))
        if self.upscaling == "filtered" and (self.kernel_size < 4 or self.kernel_size % 2):
            raise UserError(
                f"--kernel-size {self.kernel_size}: with --upscaling filtered it must be even and "
                "at least 4"
            )
        if self.minibatch == "discrimination" and self.image_size:
            # The layer compares maps of half the image's size, made smaller by whole numbers.
            side, height = self.minibatch_side, self.image_size // 2
            if side and height > 4 * side and height % side:
                raise UserError(
                    f"--minibatch-side {side}: the maps it compares have {height} x {height} "
                    "pixels; expected a divisor of that"
                )

    def widths(self, network: str) -> tuple[int, ...]:
        """Channels of a network's maps, in the order in which it has them.

        Args:
            network: its name in the options: ``generator`` has ``generator_filters``.
        """
        filters, depth = getattr(self, f"{network}_filters"), getattr(self, f"{network}_depth")
        if len(filters) > 1:
            return filters
        # A depth of 0 takes as many maps as lead to 4x4 pixels.
        depth = depth or int(math.log2(self.image_size)) - 2
        widths = doubled(filters[0], depth, self.max_filters)
        return widths[::-1] if network == "generator" else widths

    def _check_pyramid(self, network: str) -> None:
        deepest = int(math.log2(self.image_size or max(IMAGE_SIZES)))
        widths, depth = getattr(self, f"{network}_filters"), getattr(self, f"{network}_depth")
        if not 1 <= len(widths) <= deepest:
            raise UserError(f"--{network}-filters: {len(widths)} given, must be 1 to {deepest}")
        if len(widths) > 1 and depth:
            raise UserError(
                f"--{network}-depth {depth}: must be 0 where --{network}-filters is a list, "
                "whose length is the depth"
            )
        if depth > deepest:
            raise UserError(f"--{network}-depth {depth}: must be from 0 to {deepest}")


UpToHalf = Annotated[float, Between(0, 0.5)]


@dataclass(kw_only=True)
class TrickOptions(ConvolutionalOptions):
    """Further options of the discriminator, and tricks of the field."""

    discriminator_filters: Fixed[tuple[Count, ...]]
    discriminator_dropout: Fixed[Dropout]

    discriminator_depth: Fixed[CountOrZero] = 0
    """With a single width: how often the discriminator halves its map; 0 ends at 4x4 pixels."""
    normalization: Fixed[Literal["before-activation", "after-activation", "none"]] = (
        "before-activation"
    )
    """Where batch normalisation stands in the inner layers."""
    discriminator_normalized: Fixed[
        tuple[Annotated[int, Between(1, 99)], Annotated[int, Between(1, 99)]]
    ] = (2, 99)
    """First and last of the discriminator's layers that are normalised, counted from 1: the first
    layer is left out (Radford et al.), and sees colours as they are."""
    spectral_normalization: Fixed[bool] = False
    """Divide each of the discriminator's weights by its spectral norm (Miyato et al. 2018,
    arXiv:1802.05957), in place of batch normalisation there."""
    discriminator_updates: Literal["joint", "separate"] = "joint"
    """One update on the sum of both losses, or one on real images and one on generated ones."""
    balance: Fixed[Literal["always", "monitored", "boosting"]] = "always"
    """Who learns in a step: both; the discriminator only while its loss is above 0.8 times the
    generator's; or, once in a while, one of them alone for 100 steps."""
    label_noise: UpToHalf = 0.0
    """alpha_max: a real image's label is 1 - U(0, alpha_max), a generated one's U(0, alpha_max);
    the generator's target is not touched."""
    label_smoothing: UpToHalf = 0.0
    """How far labels are pulled from certainty; 0.1 is usual."""
    smoothing_sides: Literal["one-sided", "two-sided"] = "one-sided"
    """Smooth the real images' labels alone, or those of generated images and the generator's
    target as well."""
    label_swap: UpToHalf = 0.0
    """Share of the steps in which the labels of real and generated images are swapped."""
    instance_noise: Fixed[Annotated[float, Between(0, 10)]] = 0.0
    """Deviation of the noise on every image that the discriminator sees, at first (images go from
    -1 to 1); it falls to 0 in instance-noise-steps."""
    instance_noise_steps: Count = 10_000
    """Updates of the generator in which the noise falls to 0."""
    feature_matching: Fixed[Amount] = 0.0
    """Weight of the distance between the discriminator's mean activations on real and on generated
    images in the generator's loss (Salimans et al. 2016, arXiv:1606.03498)."""
    feature_matching_layer: Fixed[CountOrZero] = 0
    """Which of the discriminator's layers that is, counted from 1; 0 takes the last."""

    BOOSTING_SWAPS_FROM: ClassVar[float] = 0.93
    """Draws of U(0, 1) from here on swap the labels of a step with --balance boosting."""

    def most_confident_answer(self) -> float:
        """The mean label of real images, which is what a discriminator without doubts answers."""
        sides = 2 if self.smoothing_sides == "two-sided" else 1
        real = 1.0 - self.label_smoothing / sides - self.label_noise / 2
        fake = self.label_smoothing * (1 - 1 / sides) + self.label_noise / 2
        never = 1.0 - self.label_swap
        if self.balance == "boosting":
            never *= self.BOOSTING_SWAPS_FROM
        swaps = 1.0 - never
        return (1.0 - swaps) * real + swaps * fake

    def check(self) -> None:
        """Raise UserError for values that make no training."""
        super().check()
        deepest = len(self.widths("discriminator")) if self.image_size else 9
        if self.feature_matching_layer > deepest:
            raise UserError(
                f"--feature-matching-layer {self.feature_matching_layer}: must be from 0 to "
                f"{deepest}"
            )
        if self.discriminator_updates == "separate" and self.balance != "always":
            raise UserError(
                f"--discriminator-updates separate: with --balance {self.balance}, which decides "
                "by both losses of a step, it must be joint"
            )


@dataclass(kw_only=True)
class ResidualOptions(RunOptions):
    """Further options of residual networks."""

    generator_filters: Fixed[tuple[Count, ...]]
    discriminator_filters: Fixed[tuple[Count, ...]]

    max_filters: Fixed[Count] = 512
    """Doubling stops at this width."""
    start_filters: Fixed[Count] = 256
    """With a single number: channels of the 4x4 maps, where the generator starts and the
    discriminator ends. Most of the weights are there, and little of the time is spent there."""
    blocks: Fixed[Annotated[int, Between(1, 100)]] = 1
    """Residual blocks at each size of the maps, in both networks; the paper has 2."""
    groups: Fixed[Count] = 1
    """Groups of each 3x3 convolution, in which channels are mixed; the paper has groups of 16
    channels. On a CPU, TensorFlow is many times slower with more than one."""

    EXPANSION: ClassVar[int] = 2
    """A residual block's inner maps have that many times its channels."""

    def check(self) -> None:
        """Raise UserError for values that make no networks."""
        super().check()
        for field in ("generator_filters", "discriminator_filters") if self.image_size else ():
            given, sizes = len(getattr(self, field)), int(math.log2(self.image_size)) - 1
            if given not in (1, sizes):
                raise UserError(
                    f"{option_name(field)}: {given} given, must be 1, or {sizes} for maps from 4 "
                    f"to {self.image_size} px"
                )
            for width in sorted(self.widths(field.removesuffix("_filters"))):
                if self.EXPANSION * width % self.groups:
                    raise UserError(
                        f"--groups {self.groups}: does not divide {self.EXPANSION} x {width}, "
                        f"the width of a block of {option_name(field)}"
                    )

    def widths(self, network: Literal["generator", "discriminator"]) -> tuple[int, ...]:
        """Channels of a network's maps, in the order in which it has them."""
        filters = getattr(self, f"{network}_filters")
        if len(filters) > 1:
            return filters
        depth = int(math.log2(self.image_size)) - 2
        widths = (*doubled(filters[0], depth, self.max_filters), self.start_filters)
        return widths[::-1] if network == "generator" else widths
