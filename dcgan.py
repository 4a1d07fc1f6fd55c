"""DCGAN: a generator and a discriminator made of strided convolutions, trained against each other.

    python dcgan.py                                   # 1,666 drawn robots, 64 px
    python dcgan.py --data pictures/ --mirror         # a folder of your own pictures
    python dcgan.py --data data/mahq-128.h5           # a prepared data set, at its own size
    python dcgan.py --resume dcgan-1 --epochs 400     # go on where a run stopped
    python dcgan.py --dry-run                         # networks, memory, speed; trains nothing
    KERAS_BACKEND=jax python dcgan.py                 # or torch; tensorflow is the default

Look at images/RUN/ while it learns. Ctrl-C stops a run cleanly.

Radford, Metz, Chintala: Unsupervised Representation Learning with Deep Convolutional Generative
Adversarial Networks, 2015 (arXiv:1511.06434). The loss is the non-saturating one of Goodfellow et
al., 2014 (arXiv:1406.2661).
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Literal

from utils import backend, training  # before Keras: they keep its start quiet

# isort: split
import keras
from keras import layers, ops

from utils.adversarial import (
    AveragedNetwork,
    frozen,
    gradient_norms,
    noisy_labels,
    smooth_labels,
)
from utils.backend import Tensor
from utils.datasets import IMAGE_SIZES
from utils.errors import UserError, one_line_errors
from utils.options import RunOptions

# ------------------------------------------------------------------------------------------------
# Hyperparameters
# ------------------------------------------------------------------------------------------------


@dataclass
class Hyperparameters(RunOptions):
    """What there is to turn. Each field is an option: latent_dim is --latent-dim.

    What every method has (data, epochs, seed, intervals, folders) stands in `RunOptions`; a field
    of it that is written here as well has the default given here.
    """

    # Architecture.
    latent_dim: int = 100
    """Length of the random vector that an image is generated from."""
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
    discriminator_filters: tuple[int, ...] = (32,)
    """Channels of the discriminator's maps, from the largest map down. A single number is the
    width of the largest map, doubled each time the map halves."""
    discriminator_depth: int = 0
    """With a single width: how often the discriminator halves its map; 0 ends at 4x4 pixels."""
    discriminator_dropout: float = 0.25
    """Share of activations dropped after the discriminator's layers; holds it back."""
    max_filters: int = 512
    """Doubling stops at this width."""
    kernel_size: int = 4
    """Side of the convolution kernels; in transposed convolutions, an odd one leaves a chequered
    pattern."""
    normalization: Literal["before-activation", "after-activation", "none"] = "before-activation"
    """Where batch normalisation stands in the inner layers."""
    normalization_momentum: float = 0.9
    """Inertia of the moving statistics, which only sampling uses."""
    leaky_relu_slope: float = 0.2
    """What the discriminator's LeakyReLU lets through of negative values."""
    initial_stddev: float = 0.02
    """Weights start as N(0, initial-stddev); 0 takes Keras' own initialisation (Glorot)."""

    # Optimisation.
    batch_size: int = 16
    """Real images, and as many generated ones, in one update."""
    generator_learning_rate: float = 4e-4
    """Adam's learning rate for the generator."""
    generator_beta1: float = 0.5
    """Adam's beta1 for the generator."""
    discriminator_learning_rate: float = 2e-4
    """Adam's learning rate for the discriminator."""
    discriminator_beta1: float = 0.5
    """Adam's beta1 for the discriminator."""
    learning_rate_decay: float = 1.0
    """Factor on both learning rates every learning-rate-decay-steps steps."""
    learning_rate_decay_steps: int = 20_000
    """Steps from one decay to the next."""
    label_noise: float = 0.0
    """alpha_max: a real image's label is 1 - U(0, alpha_max), a generated one's U(0, alpha_max);
    the generator's target is not touched."""
    label_smoothing: float = 0.0
    """How far labels are pulled from certainty; 0.1 is usual."""
    smoothing_sides: Literal["one-sided", "two-sided"] = "one-sided"
    """Smooth the real images' labels alone, or those of generated images and the generator's
    target as well."""

    METHOD: ClassVar[str] = "dcgan"
    # What decides about the shape or the meaning of a weight cannot change when a run resumes.
    FIXED_FIELDS: ClassVar[tuple[str, ...]] = (
        *RunOptions.FIXED_FIELDS, "max_filters", "kernel_size",
        "generator_filters", "generator_depth", "generator_start", "generator_dropout",
        "discriminator_filters", "discriminator_depth", "discriminator_dropout",
        "upscaling", "normalization", "normalization_momentum", "leaky_relu_slope",
    )  # fmt: skip

    def check(self) -> None:
        """Raise UserError for values that make no networks or no training."""
        super().check()
        deepest = int(math.log2(self.image_size or max(IMAGE_SIZES)))
        for network in ("generator", "discriminator"):
            widths, depth = getattr(self, f"{network}_filters"), getattr(self, f"{network}_depth")
            if not 1 <= len(widths) <= deepest:
                raise UserError(f"--{network}-filters: {len(widths)} given, must be 1 to {deepest}")
            if len(widths) > 1 and depth:
                raise UserError(
                    f"--{network}-depth {depth}: must be 0 where --{network}-filters is a list, "
                    "whose length is the depth"
                )
        self.require_between(0, deepest, "generator_depth", "discriminator_depth")
        self.require_between(1, math.inf, "generator_filters", "discriminator_filters")
        self.require_between(1, math.inf, "max_filters", "learning_rate_decay_steps")
        self.require_between(2, math.inf, "kernel_size")
        self.require_between(0, 0.99, "generator_dropout", "discriminator_dropout")
        self.require_between(0, 1, "normalization_momentum", "leaky_relu_slope", "initial_stddev")
        self.require_between(0, 1e9, "generator_learning_rate", "discriminator_learning_rate")
        self.require_between(0, 0.9999, "generator_beta1", "discriminator_beta1")
        self.require_between(0, 1, "learning_rate_decay")
        self.require_between(0, 0.5, "label_noise", "label_smoothing")


# ------------------------------------------------------------------------------------------------
# Networks
# ------------------------------------------------------------------------------------------------


def doubled(width: int, depth: int, h: Hyperparameters) -> list[int]:
    """Channels of ``depth`` maps, the largest map first: each half as large and twice as wide.

    A depth of 0 takes as many maps as lead to 4x4 pixels.
    """
    depth = depth or int(math.log2(h.image_size)) - 2
    return [min(width * 2**halvings, h.max_filters) for halvings in range(depth)]


def initializer(h: Hyperparameters) -> keras.initializers.Initializer:
    """A new one for every layer: the same object twice would draw the same numbers twice."""
    if h.initial_stddev == 0:
        return keras.initializers.GlorotUniform()
    return keras.initializers.RandomNormal(stddev=h.initial_stddev)


def activate(
    x: Tensor, activation: layers.Layer, dropout: float, h: Hyperparameters, normalize: bool = True
) -> Tensor:
    """Batch normalisation before or after the activation, then dropout; the shape stays."""
    normalization = layers.BatchNormalization(momentum=h.normalization_momentum, epsilon=1e-5)
    if normalize and h.normalization == "before-activation":
        x = normalization(x)
    x = activation(x)
    if normalize and h.normalization == "after-activation":
        x = normalization(x)
    if dropout:
        # With no seed of its own, PyTorch would draw from a state that no checkpoint holds.
        x = layers.Dropout(dropout, seed=random.randrange(2**31))(x)
    return x


def build_generator(h: Hyperparameters) -> keras.Model:
    """Latent vectors (B, latent_dim) to images (B, image_size, image_size, 3) in [-1, 1]."""
    widths = list(h.generator_filters)
    if len(widths) == 1:
        widths = doubled(widths[0], h.generator_depth, h)[::-1]
    size = h.image_size >> len(widths)
    # An offset before batch normalisation would be subtracted again.
    use_bias = h.normalization != "before-activation"

    def double(x: Tensor, filters: int, use_bias: bool) -> Tensor:
        if h.upscaling == "upsample":
            x = layers.UpSampling2D(2, interpolation="nearest")(x)
            convolution, strides = layers.Conv2D, 1
        else:
            convolution, strides = layers.Conv2DTranspose, 2
        return convolution(
            filters, h.kernel_size, strides=strides, padding="same",
            use_bias=use_bias, kernel_initializer=initializer(h),
        )(x)  # fmt: skip

    latents = keras.Input((h.latent_dim,), name="latents")  # (B, latent_dim)
    if h.generator_start == "dense":
        x = layers.Dense(
            size * size * widths[0], use_bias=use_bias, kernel_initializer=initializer(h)
        )(latents)  # (B, 4 * 4 * widths[0])
        x = layers.Reshape((size, size, widths[0]))(x)  # (B, 4, 4, widths[0])
    else:
        x = layers.Reshape((1, 1, h.latent_dim))(latents)  # (B, 1, 1, latent_dim)
        x = layers.Conv2DTranspose(
            widths[0], size, use_bias=use_bias, kernel_initializer=initializer(h)
        )(x)  # (B, 4, 4, widths[0])
    x = activate(x, layers.ReLU(), h.generator_dropout, h)

    for filters in widths[1:]:
        x = double(x, filters, use_bias)  # (B, 8, 8, widths[1]), then 16, 32, ...
        x = activate(x, layers.ReLU(), h.generator_dropout, h)

    x = double(x, 3, use_bias=True)  # (B, image_size, image_size, 3)
    # In bfloat16, 256 shades would become a few dozen.
    images = layers.Activation("tanh", dtype="float32", name="images")(x)
    return keras.Model(latents, images, name="generator")


def build_discriminator(h: Hyperparameters) -> keras.Model:
    """Images (B, image_size, image_size, 3) in [-1, 1] to logits (B, 1): positive means real."""
    widths = list(h.discriminator_filters)
    if len(widths) == 1:
        widths = doubled(widths[0], h.discriminator_depth, h)

    x = images = keras.Input((h.image_size, h.image_size, 3), name="images")
    for level, filters in enumerate(widths):
        # The first layer stays without normalisation (Radford et al.): it sees colours as they are.
        normalize = level > 0 and h.normalization != "none"
        x = layers.Conv2D(
            filters, h.kernel_size, strides=2, padding="same",
            use_bias=not normalize or h.normalization == "after-activation",
            kernel_initializer=initializer(h),
        )(x)  # (B, H / 2, W / 2, widths[0]), then H / 4, ..., (B, 4, 4, widths[-1])  # fmt: skip
        x = activate(x, layers.LeakyReLU(h.leaky_relu_slope), h.discriminator_dropout, h, normalize)

    x = layers.Flatten()(x)  # (B, 4 * 4 * widths[-1])
    logits = layers.Dense(1, kernel_initializer=initializer(h), dtype="float32", name="logits")(
        x
    )  # (B, 1)
    return keras.Model(images, logits, name="discriminator")


def build_combined(generator: keras.Model, discriminator: keras.Model) -> keras.Model:
    """Latent vectors (B, latent_dim) to the discriminator's logits (B, 1) on what they generate.

    It shares its layers with both networks; whom an update of it trains is decided by `frozen`.
    """
    latents = keras.Input(generator.input_shape[1:], name="latents")
    return keras.Model(latents, discriminator(generator(latents)), name="combined")


# ------------------------------------------------------------------------------------------------
# Losses and the alternation
# ------------------------------------------------------------------------------------------------


def binary_cross_entropy(labels: Tensor, logits: Tensor) -> Tensor:
    """Mean of -(label log D + (1 - label) log(1 - D)), D = sigmoid(logit); both (B, 1).

    log D = -softplus(-logit) and log(1 - D) = -softplus(logit), and their difference is the logit,
    which leaves softplus(logit) - label * logit: exact where a sigmoid would round to 0 or 1.
    """
    return ops.mean(ops.softplus(logits) - labels * logits)


def build_optimizer(
    learning_rate: float, beta1: float, variables: Iterable[keras.Variable], h: Hyperparameters
) -> keras.optimizers.Optimizer:
    """Adam with its state made at once, so that a checkpoint of step 0 is complete."""
    # A schedule even where nothing decays: a plain number would become part of the checkpoint and
    # win over the command line when the run resumes.
    schedule = keras.optimizers.schedules.ExponentialDecay(
        learning_rate, h.learning_rate_decay_steps, h.learning_rate_decay, staircase=True
    )
    optimizer = keras.optimizers.Adam(schedule, beta_1=beta1)
    optimizer.build(list(variables))
    return optimizer


class DCGAN:
    """Both networks, their combined model, their optimizers, and one alternation between them."""

    batches_per_step = 1

    def __init__(self, h: Hyperparameters) -> None:
        self.hyperparameters = h
        self.generator = build_generator(h)
        self.discriminator = build_discriminator(h)
        self.combined = build_combined(self.generator, self.discriminator)
        self.generator_optimizer = build_optimizer(
            h.generator_learning_rate, h.generator_beta1, self.generator.trainable_variables, h
        )
        self.discriminator_optimizer = build_optimizer(
            h.discriminator_learning_rate,
            h.discriminator_beta1,
            self.discriminator.trainable_variables,
            h,
        )
        self.average = AveragedNetwork(self.generator, h.average_half_life)
        self.networks = {
            "generator": self.average.network,
            "generator-current": self.generator,
            "discriminator": self.discriminator,
        }
        self.seed_generator = keras.random.SeedGenerator(h.seed)

    def state(self) -> dict[str, list[keras.Variable]]:
        """Every variable that a step reads or changes: what a checkpoint must hold."""
        return {
            "generator": self.generator.variables,
            "average": self.average.network.variables,
            "discriminator": self.discriminator.variables,
            "generator_optimizer": self.generator_optimizer.variables,
            "discriminator_optimizer": self.discriminator_optimizer.variables,
            "random": [self.seed_generator.state],
        }

    def random_latents(self) -> Tensor:
        """N(0, I), (B, latent_dim)."""
        h = self.hyperparameters
        return keras.random.normal((h.batch_size, h.latent_dim), seed=self.seed_generator)

    def update_discriminator(self, real_images: Tensor, fake_images: Tensor) -> dict[str, Tensor]:
        """(1) Update D: maximise log D(x) + log(1 - D(G(z))).

        Trains the discriminator's variables; its moving statistics follow its two passes.

        Args:
            real_images: (B, H, W, 3) in [-1, 1].
            fake_images: G(z), in the same shape and range.
        """
        h = self.hyperparameters
        ones = ops.ones((h.batch_size, 1))
        zeros = ops.zeros((h.batch_size, 1))
        real_labels = smooth_labels(ones, h.label_smoothing, h.smoothing_sides)
        fake_labels = smooth_labels(zeros, h.label_smoothing, h.smoothing_sides)
        real_labels = noisy_labels(real_labels, -h.label_noise, self.seed_generator)
        fake_labels = noisy_labels(fake_labels, h.label_noise, self.seed_generator)

        def loss_function() -> tuple[Tensor, tuple[Tensor, Tensor]]:
            # Two passes: in one, batch normalisation would mix real with generated images.
            real_logits = self.discriminator(real_images, training=True)
            fake_logits = self.discriminator(fake_images, training=True)
            loss = binary_cross_entropy(real_labels, real_logits) + binary_cross_entropy(
                fake_labels, fake_logits
            )
            return loss, (real_logits, fake_logits)

        with frozen(self.generator):
            variables = self.combined.trainable_variables  # the discriminator's
            (loss, (real_logits, fake_logits)), gradients = backend.value_and_grad(
                loss_function, variables
            )
            self.discriminator_optimizer.apply(gradients, variables)
        return {
            "d_loss": loss,
            "d_real": ops.mean(ops.sigmoid(real_logits)),
            "d_fake": ops.mean(ops.sigmoid(fake_logits)),
            **gradient_norms("d", gradients, variables),
            "d_updates": ops.copy(self.discriminator_optimizer.iterations),
        }

    def update_generator(self, latents: Tensor) -> dict[str, Tensor]:
        """(2) Update G: maximise log D(G(z)).

        Trains the generator's variables through the combined model. Moving statistics of both
        networks follow their one pass over generated images.

        Args:
            latents: z, (B, latent_dim).
        """
        h = self.hyperparameters
        target = ops.ones((h.batch_size, 1))
        if h.smoothing_sides == "two-sided":
            target = smooth_labels(target, h.label_smoothing, h.smoothing_sides)

        def loss_function() -> tuple[Tensor, None]:
            return binary_cross_entropy(target, self.combined(latents, training=True)), None

        with frozen(self.discriminator):
            variables = self.combined.trainable_variables  # the generator's
            (loss, _), gradients = backend.value_and_grad(loss_function, variables)
            self.generator_optimizer.apply(gradients, variables)
        return {
            "g_loss": loss,
            **gradient_norms("g", gradients, variables),
            "g_updates": ops.copy(self.generator_optimizer.iterations),
        }

    def train_step(self, real_batches: Tensor) -> dict[str, Tensor]:
        """One alternation.

        Args:
            real_batches: uint8 (1, B, H, W, 3).

        Returns:
            ``d_loss``: the sum of the discriminator's losses on real and on generated images;
            2 log 2 = 1.386 when it cannot tell them apart. ``g_loss``: log 2 = 0.693 then.
            ``d_real``, ``d_fake``: its mean answer on real and on generated images, from 0
            (generated) to 1 (real). ``d_gradient_first``, ``d_gradient_last``, and the same of the
            generator: see `gradient_norms`. ``d_updates``, ``g_updates``: updates so far.
        """
        real_images = ops.cast(real_batches[0], "float32") / 127.5 - 1.0
        latents = self.random_latents()
        # The generator stays as it is until its own update: one pass of it serves both.
        with backend.one_pass(self.generator, latents) as fake_images:
            results = self.update_discriminator(real_images, fake_images)
            results |= self.update_generator(latents)
        batch_size = self.hyperparameters.batch_size
        self.average.update(self.generator_optimizer.iterations * batch_size, batch_size)
        return results


@one_line_errors
def main() -> None:
    """Train, resume or dry-run what the command line says."""
    training.run(DCGAN, Hyperparameters, __doc__)


if __name__ == "__main__":
    main()
