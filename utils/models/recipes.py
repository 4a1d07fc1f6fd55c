"""Tricks of the field: labels, noise, features, and which network learns in which step.

Each is one thing that a DCGAN's alternation may do differently; docs/recipes.md measures them.
Those that are layers stand in `utils.models.layers`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Literal, NamedTuple

import keras
from keras import ops

from utils import backend
from utils.backend.types import PullBack, Tensor
from utils.models.adversarial import frozen, update_scalars
from utils.models.classes import beside

Loss = Callable[[Tensor, Tensor], Tensor]

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


class Labels:
    """What the discriminator is told, and what the generator aims at: labels (B, 1)."""

    def __init__(
        self,
        batch_size: int,
        smoothing: float,
        sides: Literal["one-sided", "two-sided"],
        noise: float,
        seed: keras.random.SeedGenerator,
    ) -> None:
        """Choose them.

        Args:
            batch_size: B.
            smoothing: see `smooth_labels`.
            sides: see `smooth_labels`.
            noise: ``alpha_max`` of `noisy_labels`.
            seed: where the draws come from; its state is part of a checkpoint.
        """
        self.shape = (batch_size, 1)
        self.smoothing, self.sides, self.noise, self.seed = smoothing, sides, noise, seed

    def draw(self, swaps: Tensor | bool) -> tuple[Tensor, Tensor]:
        """Labels of real images, 1, and of generated ones, 0; each other's if ``swaps`` holds."""
        real = smooth_labels(ops.ones(self.shape), self.smoothing, self.sides)
        fake = smooth_labels(ops.zeros(self.shape), self.smoothing, self.sides)
        real = noisy_labels(real, -self.noise, self.seed)
        fake = noisy_labels(fake, self.noise, self.seed)
        if swaps is False:  # known while the step is traced
            return real, fake
        return ops.where(swaps, fake, real), ops.where(swaps, real, fake)

    def target(self) -> Tensor:
        """What the generator wants its images to be taken for: real, 1."""
        target = ops.ones(self.shape)
        is_smooth = self.sides == "two-sided"
        return smooth_labels(target, self.smoothing, self.sides) if is_smooth else target


def fade_noise(discriminator: keras.Model, deviation: float, steps: Tensor, last: int) -> None:
    """Let the noise on what the discriminator sees, if any, fall to 0 at step ``last``."""
    if deviation:
        left = ops.maximum(1.0 - ops.cast(steps, "float32") / last, 0.0)
        discriminator.get_layer("noise").level.assign(deviation * left)


# ------------------------------------------------------------------------------------------------
# Who learns when
# ------------------------------------------------------------------------------------------------


class Turn(NamedTuple):
    """Who learns in a step, as scalars of the compiled step or known while it is traced."""

    discriminator: Tensor | bool
    generator: Tensor | bool
    swaps_labels: Tensor | bool


class Batch(NamedTuple):
    """What both updates of a step see."""

    real: Tensor
    """Images (B, H, W, C) in [-1, 1]."""
    fake: Tensor
    """G(z), in the same shape and range."""
    pull_back: PullBack
    """From a gradient with respect to ``fake`` to that of the generator's variables."""
    turn: Turn
    classes: Tensor | None = None
    """Class weights of both (B, K), where there are classes."""


class Balance:
    """Who learns in this step: a rule against one network running away from the other.

    ``always``: both, in every step.

    ``monitored``: the discriminator only if its loss in this step (on real and on generated images
    together) is above 0.8 times the generator's last.

    ``boosting``: each step draws k from U(0, 1). 0.0001 < k < 0.001 begins a hundred steps, this
    one included, in which the discriminator learns alone; k < 0.0001 a hundred of the generator
    alone; until they end, k is ignored. Otherwise the discriminator learns, from k = 0.93 on with
    the labels of real and generated images swapped, and the generator does if k > 0.001.

    The last two are the rules of github.com/Edouard99/GAN. All is decided inside the compiled step:
    counters and the last loss are variables, and part of a checkpoint.
    """

    def __init__(
        self,
        rule: Literal["always", "monitored", "boosting"],
        label_swap: float,
        swaps_from: float,
        seed: keras.random.SeedGenerator,
    ) -> None:
        """Begin outside any boost.

        Args:
            rule: see above.
            label_swap: share of the steps in which labels are swapped, whatever the rule.
            swaps_from: with boosting, draws from here on swap labels; 0.93 as published.
            seed: where the draws come from; its state is part of a checkpoint.
        """
        self.rule = rule
        self.label_swap = label_swap
        self.swaps_from = swaps_from
        self.seed = seed
        self.variables: list[keras.Variable] = []
        if rule == "monitored":
            self.generator_loss = self._variable("generator_loss", "float32")
        if rule == "boosting":
            self.discriminator_boost = self._variable("discriminator_boost", "int32")
            self.generator_boost = self._variable("generator_boost", "int32")

    def _variable(self, name: str, dtype: str) -> keras.Variable:
        variable = keras.Variable(0, dtype=dtype, trainable=False, name=name)
        self.variables.append(variable)
        return variable

    def begin(self) -> Turn:
        """Draw what this step is about."""
        turn = Turn(discriminator=True, generator=True, swaps_labels=False)
        if self.rule == "boosting":
            turn = self._boost(keras.random.uniform((), seed=self.seed))
        if self.label_swap:
            drawn = keras.random.uniform((), seed=self.seed) < self.label_swap
            before = turn.swaps_labels
            swaps = drawn if before is False else ops.logical_or(before, drawn)
            turn = turn._replace(swaps_labels=swaps)
        return turn

    def _boost(self, k: Tensor) -> Turn:
        discriminator, generator = self.discriminator_boost.value, self.generator_boost.value
        is_free = ops.logical_and(discriminator == 0, generator == 0)
        begins_discriminator = ops.logical_and(k > 0.0001, k < 0.001)
        begins_generator = k < 0.0001
        # Steps left of each boost, this one included.
        discriminator = ops.where(
            ops.logical_and(is_free, begins_discriminator), 100, discriminator
        )
        generator = ops.where(ops.logical_and(is_free, begins_generator), 100, generator)
        self.discriminator_boost.assign(ops.maximum(discriminator - 1, 0))
        self.generator_boost.assign(ops.maximum(generator - 1, 0))
        # In the middle of a boost, or in a step that begins one, k decides nothing more: the first
        # is no free step, and in the second k is below 0.001.
        is_asked = ops.logical_and(is_free, k > 0.001)
        return Turn(
            discriminator=ops.logical_not(generator > 0),
            generator=ops.logical_or(generator > 0, is_asked),
            swaps_labels=ops.logical_and(is_free, k >= self.swaps_from),
        )

    def trains_discriminator(self, turn: Turn, loss: Tensor) -> Tensor | bool:
        """Whether the discriminator learns, given its loss in this step."""
        return loss > 0.8 * self.generator_loss if self.rule == "monitored" else turn.discriminator

    def trains_generator(self, turn: Turn, loss: Tensor) -> Tensor | bool:
        """Whether the generator learns; its loss is remembered for the next step."""
        if self.rule == "monitored":
            self.generator_loss.assign(loss)
        return turn.generator


# ------------------------------------------------------------------------------------------------
# Updates that take the place of the plain ones
# ------------------------------------------------------------------------------------------------


def replace_updates(method: Any, loss: Loss) -> None:
    """Give a ``dcgan.DCGAN`` the updates that its options ask for in place of its own.

    Args:
        method: what to change.
        loss: of labels and logits (B, 1), a scalar.
    """
    if method.h.discriminator_updates == "separate":
        method.update_discriminator = partial(update_discriminator_separately, method, loss)
    if method.h.feature_matching:
        method.discriminator_with_features = with_features(method.discriminator)
        method.update_generator = partial(update_generator_by_features, method, loss)


def update_discriminator_separately(method: Any, loss: Loss, batch: Batch) -> dict[str, Tensor]:
    """(1) Update D twice: maximise log D(x), then log(1 - D(G(z))).

    Args:
        method: a ``dcgan.DCGAN``.
        loss: of labels and logits (B, 1), a scalar.
        batch: what the step sees.
    """
    real_labels, fake_labels = method.labels.draw(batch.turn.swaps_labels)
    real_images, fake_images = method.augment(batch.real), method.augment(batch.fake)

    def update(labels: Tensor, images: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
        def loss_function() -> tuple[Tensor, Tensor]:
            logits = method.discriminator(beside(images, batch.classes), training=True)
            return loss(labels, logits), logits

        (value, logits), gradients = backend.value_and_grad(loss_function, variables)
        method.discriminator_optimizer.apply(gradients, variables)
        return value, logits, gradients

    with frozen(method.generator):
        variables = method.combined.trainable_variables  # the discriminator's
        real_loss, real, _ = update(real_labels, real_images)
        fake_loss, fake, gradients = update(fake_labels, fake_images)
    return {
        "d_loss": real_loss + fake_loss,
        "d_real": ops.mean(ops.sigmoid(real)),
        "d_fake": ops.mean(ops.sigmoid(fake)),
        **update_scalars("d", gradients, variables, method.discriminator_optimizer),
    }


def update_generator_by_features(method: Any, loss: Loss, batch: Batch) -> dict[str, Tensor]:
    """(2) Update G: maximise log D(G(z)), and match D's mean activations on real images.

    The arguments are those of `update_discriminator_separately`. The discriminator's moving
    statistics follow one more pass, over real images.
    """
    network = method.discriminator_with_features
    _, real_features = network(beside(method.augment(batch.real), batch.classes), training=True)
    real_features = ops.stop_gradient(real_features)

    def loss_function(images: Tensor) -> tuple[Tensor, Tensor]:
        logits, features = network(beside(method.augment(images), batch.classes), training=True)
        value = loss(method.labels.target(), logits)
        distance = feature_distance(real_features, features)
        return value + method.h.feature_matching * distance, value

    with frozen(method.discriminator):
        variables = method.combined.trainable_variables  # the generator's
        (_, value), to_images = backend.value_and_input_grad(loss_function, batch.fake)
        gradients = batch.pull_back(to_images)
        learns = method.balance.trains_generator(batch.turn, value)
        backend.apply_if(learns, method.generator_optimizer, gradients, variables)
    return {
        "g_loss": value,
        **update_scalars("g", gradients, variables, method.generator_optimizer),
    }


def with_features(discriminator: keras.Model) -> keras.Model:
    """The discriminator with two outputs: logits (B, 1) and what its layer ``features`` says."""
    outputs = [discriminator.output, discriminator.get_layer("features").output]
    return keras.Model(discriminator.input, outputs, name="with_features")


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
