"""The tricks that people believe in: options, labels, who learns when, features.

Each is one thing that a DCGAN's alternation may do differently; what they are worth is measured in
docs/recipes.md. Those that are layers stand in `utils.models.layers`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import keras
from keras import ops

from utils.backend import Tensor
from utils.common.errors import UserError
from utils.models.networks import ConvolutionalOptions

BOOSTING_SWAPS_FROM = 0.93
"""Draws of U(0, 1) from here on swap the labels of a step with --balance boosting."""


@dataclass
class RecipeOptions(ConvolutionalOptions):
    """What `dcgan.py` has to turn beyond its networks and its optimizers; all of it off."""

    # Who learns when.
    discriminator_updates: Literal["joint", "separate"] = "joint"
    """One update on the sum of both losses, or one on real images and one on generated ones."""
    balance: Literal["always", "monitored", "boosting"] = "always"
    """Who learns in a step: both; the discriminator only while its loss is above 0.8 times the
    generator's; or, once in a while, one of them alone for 100 steps."""

    # What the discriminator is told and shown.
    label_noise: float = 0.0
    """alpha_max: a real image's label is 1 - U(0, alpha_max), a generated one's U(0, alpha_max);
    the generator's target is not touched."""
    label_smoothing: float = 0.0
    """How far labels are pulled from certainty; 0.1 is usual."""
    smoothing_sides: Literal["one-sided", "two-sided"] = "one-sided"
    """Smooth the real images' labels alone, or those of generated images and the generator's
    target as well."""
    label_swap: float = 0.0
    """Share of the steps in which the labels of real and generated images are swapped."""
    instance_noise: float = 0.0
    """Deviation of the noise on every image that the discriminator sees, at first (images go from
    -1 to 1); it falls to 0 in instance-noise-steps."""
    instance_noise_steps: int = 10_000
    """Updates of the generator in which the noise falls to 0."""
    feature_matching: float = 0.0
    """Weight of the distance between the discriminator's mean activations on real and on generated
    images in the generator's loss (Salimans et al. 2016, arXiv:1606.03498)."""
    feature_matching_layer: int = 0
    """Which of the discriminator's layers that is, counted from 1; 0 takes the last."""

    # What decides about the shape or the meaning of a weight cannot change when a run resumes.
    FIXED_FIELDS: ClassVar[tuple[str, ...]] = (
        *ConvolutionalOptions.FIXED_FIELDS, "balance", "instance_noise", "feature_matching",
        "feature_matching_layer",
    )  # fmt: skip

    def surest_answer(self) -> float:
        """The mean label of real images, which is what a discriminator without doubts answers."""
        sides = 2 if self.smoothing_sides == "two-sided" else 1
        real = 1.0 - self.label_smoothing / sides - self.label_noise / 2
        fake = self.label_smoothing * (1 - 1 / sides) + self.label_noise / 2
        never = 1.0 - self.label_swap
        if self.balance == "boosting":
            never *= BOOSTING_SWAPS_FROM
        swaps = 1.0 - never
        return (1.0 - swaps) * real + swaps * fake

    def check(self) -> None:
        """Raise UserError for values that make no training."""
        super().check()
        self.require_between(0, 0.5, "label_noise", "label_smoothing", "label_swap")
        self.require_between(0, 10, "instance_noise")
        self.require_between(1, math.inf, "instance_noise_steps")
        self.require_between(0, 1e9, "feature_matching")
        if self.discriminator_updates == "separate" and self.balance != "always":
            raise UserError(
                f"--discriminator-updates separate: with --balance {self.balance}, which decides "
                "by both losses of a step, it must be joint"
            )


# ------------------------------------------------------------------------------------------------
# What the discriminator is told and shown
# ------------------------------------------------------------------------------------------------


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


def discriminator_labels(
    h: RecipeOptions, swaps: Tensor | bool, seed: keras.random.SeedGenerator
) -> tuple[Tensor, Tensor]:
    """Labels (B, 1) of real images, 1, and of generated ones, 0, as the options have them.

    Args:
        h: smoothing and noise.
        swaps: whether each is given the other's.
        seed: where the draws come from; its state is part of a checkpoint.
    """
    ones, zeros = ops.ones((h.batch_size, 1)), ops.zeros((h.batch_size, 1))
    real = smooth_labels(ones, h.label_smoothing, h.smoothing_sides)
    fake = smooth_labels(zeros, h.label_smoothing, h.smoothing_sides)
    real = noisy_labels(real, -h.label_noise, seed)
    fake = noisy_labels(fake, h.label_noise, seed)
    if swaps is False:
        return real, fake
    return ops.where(swaps, fake, real), ops.where(swaps, real, fake)


def generator_target(h: RecipeOptions) -> Tensor:
    """What the generator wants its images to be taken for, (B, 1): real, 1."""
    target = ops.ones((h.batch_size, 1))
    if h.smoothing_sides == "two-sided":
        target = smooth_labels(target, h.label_smoothing, h.smoothing_sides)
    return target


def fade_noise(discriminator: keras.Model, steps: Tensor, h: RecipeOptions) -> None:
    """Set the level of the discriminator's `InstanceNoise` after so many steps."""
    left = ops.maximum(1.0 - ops.cast(steps, "float32") / h.instance_noise_steps, 0.0)
    discriminator.get_layer("noise").level.assign(h.instance_noise * left)


# ------------------------------------------------------------------------------------------------
# What the generator is told besides
# ------------------------------------------------------------------------------------------------


def with_features(discriminator: keras.Model, h: RecipeOptions) -> keras.Model:
    """The discriminator, which tells the activations of its layer ``features`` as well if these
    are matched: images to logits (B, 1), or to logits and features."""
    if not h.feature_matching:
        return discriminator
    outputs = [discriminator.output, discriminator.get_layer("features").output]
    return keras.Model(discriminator.inputs[0], outputs, name="judge")


def feature_distance(real_features: Tensor, fake_features: Tensor) -> Tensor:
    """|E f(x) - E f(G(z))|^2, the means over the batch (Salimans et al. 2016, section 3.1).

    Args:
        real_features: f(x), (B, ...).
        fake_features: f(G(z)), in the same shape.
    """
    difference = ops.mean(ops.cast(real_features, "float32"), axis=0) - ops.mean(
        ops.cast(fake_features, "float32"), axis=0
    )
    return ops.sum(difference**2)


# ------------------------------------------------------------------------------------------------
# Who learns when
# ------------------------------------------------------------------------------------------------


class Balance:
    """Who learns in this step: a rule against one network running away from the other.

    ``always``: both, in every step.

    ``monitored``: the discriminator only if its loss in this step (on real and on generated images
    together) is above 0.8 times the generator's last.

    ``boosting``: each step draws k from U(0, 1). 0.0001 < k < 0.001 begins a hundred steps, this
    one included, in which the discriminator learns alone; k < 0.0001 a hundred of the generator
    alone; during these no k counts. Otherwise the discriminator learns, from k = 0.93 on with the
    labels of real and generated images swapped, and the generator does if k > 0.001.

    The last two are the rules of github.com/Edouard99/GAN. All is decided inside the compiled step:
    counters and the last loss are variables, and part of a checkpoint.
    """

    def __init__(
        self,
        rule: Literal["always", "monitored", "boosting"],
        label_swap: float,
        seed: keras.random.SeedGenerator,
    ) -> None:
        """Begin outside any boost.

        Args:
            rule: see above.
            label_swap: share of the steps in which labels are swapped, whatever the rule.
            seed: where the draws come from; its state is part of a checkpoint.
        """
        self.rule = rule
        self.label_swap = label_swap
        self.seed = seed
        self.variables: list[keras.Variable] = []
        if rule == "monitored":
            self.generator_loss = self._variable("generator_loss", "float32")
        if rule == "boosting":
            self.boosts = {
                network: self._variable(f"{network}_boost", "int32")
                for network in ("discriminator", "generator")
            }
        self._trains: dict[str, Tensor | bool] = {"discriminator": True, "generator": True}

    def _variable(self, name: str, dtype: str) -> keras.Variable:
        variable = keras.Variable(0, dtype=dtype, trainable=False, name=name)
        self.variables.append(variable)
        return variable

    def begin(self) -> Tensor | bool:
        """Draw what this step is about.

        Returns:
            Whether the discriminator's labels are swapped in this step.
        """
        self._trains = {"discriminator": True, "generator": True}
        swaps: Tensor | bool = False
        if self.rule == "boosting":
            swaps = self._boost(keras.random.uniform((), seed=self.seed))
        if self.label_swap:
            drawn = keras.random.uniform((), seed=self.seed) < self.label_swap
            swaps = drawn if swaps is False else ops.logical_or(swaps, drawn)
        return swaps

    def _boost(self, k: Tensor) -> Tensor:
        left = {network: variable.value for network, variable in self.boosts.items()}
        is_free = ops.logical_and(left["discriminator"] == 0, left["generator"] == 0)
        begins = {
            "discriminator": ops.logical_and(k > 0.0001, k < 0.001),
            "generator": k < 0.0001,
        }
        boosted = {}
        for network, variable in self.boosts.items():
            steps = ops.where(ops.logical_and(is_free, begins[network]), 100, left[network])
            boosted[network] = steps > 0
            variable.assign(ops.maximum(steps - 1, 0))
        # In the middle of a boost, or in a step that begins one, k decides nothing more: the first
        # is no free step, and in the second k is below 0.001.
        is_asked = ops.logical_and(is_free, k > 0.001)
        self._trains = {
            "discriminator": ops.logical_not(boosted["generator"]),
            "generator": ops.logical_or(boosted["generator"], is_asked),
        }
        return ops.logical_and(is_free, k >= BOOSTING_SWAPS_FROM)

    def trains_discriminator(self, loss: Tensor) -> Tensor | bool:
        """Whether the discriminator learns, given its loss in this step."""
        if self.rule == "monitored":
            return loss > 0.8 * self.generator_loss
        return self._trains["discriminator"]

    def trains_generator(self, loss: Tensor) -> Tensor | bool:
        """Whether the generator learns; its loss is remembered for the next step."""
        if self.rule == "monitored":
            self.generator_loss.assign(loss)
        return self._trains["generator"]
