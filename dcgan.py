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
al., 2014 (arXiv:1406.2661). Images summed up from every size, and the filter after each transposed
convolution, are from Karras et al., 2020 (arXiv:1912.04958); --preset radford is without.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Literal

from utils.common.errors import one_line_errors
from utils.common.fields import (
    Amount,
    Count,
    CountOrZero,
    Dropout,
    FilePath,
    Fixed,
    Momentum,
    Several,
    Share,
    Upscaling,
)
from utils.training.arguments import parse_command_line
from utils.training.options import ScoreName, TrickOptions
from utils.training.presets import DCGAN_PRESETS, Preset


@dataclass
class Hyperparameters(TrickOptions):
    """What there is to turn; each field is an option. Further ones: utils/training/options.py."""

    # Data
    data: FilePath = "mechas"
    """A built-in data set (mechas), a prepared .h5 file, or pictures: a folder, .zip, .tar,
    .parquet, .npz, .npy or .h5."""
    image_size: Fixed[int] = 0
    """Side in pixels: 32, 64, 128 or 256; 0 takes the data set's own, 64 for mechas and folders."""
    mirror: bool = False
    """Train on every picture's mirror image as well."""

    # Networks
    latent_dim: Fixed[Count] = 100
    """Length of the random vector that an image is generated from."""
    generator_filters: Fixed[tuple[Count, ...]] = (32,)
    """Channels of its maps, from 4x4 up; one number: of the largest map, doubled as maps halve."""
    discriminator_filters: Fixed[tuple[Count, ...]] = (32,)
    """Channels of its maps, the largest first; one number: of that map, doubled as maps halve."""
    generator_architecture: Fixed[Literal["skip", "plain"]] = "skip"
    """Sum up images of every size, each drawn from its own maps, or draw one from the last maps."""
    upscaling: Fixed[Upscaling] = "filtered"
    """Transposed convolution, filtered so that no chequered pattern is left, or as it is; or every
    pixel repeated 2x2 and a convolution."""
    generator_dropout: Fixed[Dropout] = 0.0
    """Share of activations dropped; a known remedy against mode collapse."""
    discriminator_dropout: Fixed[Dropout] = 0.0
    """Share of activations dropped; holds the discriminator back."""

    # Optimisation
    epochs: CountOrZero = 200
    """Passes over the data set, counted from the run's beginning; 0 goes on until stopped."""
    batch_size: Several = 16
    """Real images, and as many generated ones, in one update."""
    generator_learning_rate: Amount = 4e-4
    """Adam's learning rate for the generator."""
    generator_beta1: Momentum = 0.5
    """Adam's beta1 for the generator."""
    discriminator_learning_rate: Amount = 1e-4
    """Adam's learning rate for the discriminator; a quarter of the generator's holds it back."""
    discriminator_beta1: Momentum = 0.5
    """Adam's beta1 for the discriminator."""
    average_half_life: CountOrZero = 10_000
    """Images after which a weight counts half in the average that grids show; 0: no average."""

    # What the discriminator is shown
    augmentation: tuple[Literal["color", "translation", "cutout"], ...] = ("color", "translation")
    """Random changes of all that it sees, against overfitting (Zhao et al., arXiv:2006.10738)."""
    augmentation_probability: Share = 0.75
    """Probability of each of these, at first; below 1, some images are seen as they are."""
    augmentation_target: Share = 0.2
    """The probability rises while answers to held-out pictures are this near to generated ones."""
    augmentation_confidence: Share = 0.8
    """It rises also while the mean answer to real images is above that share of their label."""
    color_strength: Share = 0.3
    """How far color goes; 1 is as published, where the tint of a background is hardly seen."""

    # Output
    sample_interval: Count = 200
    """Steps from one sample grid to the next."""
    sample_rows: Fixed[Count] = 6
    """Rows of a sample grid."""
    sample_columns: Fixed[Count] = 8
    """Columns of a sample grid."""
    checkpoint_interval: Count = 1000
    """Steps from one checkpoint to the next; there is also one at every stop."""
    score: ScoreName = "kid"
    """What decides which networks are the best so far, in best/ (see docs/metrics.md)."""
    score_interval: Count = 1000
    """Steps from one score to the next."""

    METHOD: ClassVar[str] = "dcgan"
    PRESETS: ClassVar[dict[str, Preset]] = DCGAN_PRESETS
    # On a GPU or TPU in place of the defaults above; the first line of a run names them.
    ON_ACCELERATOR: ClassVar[dict[str, Any]] = {
        "batch_size": 64, "generator_filters": (64,), "discriminator_filters": (64,),
    }  # fmt: skip


if __name__ == "__main__":  # --help and mistakes come before Keras, which takes seconds to load
    one_line_errors(lambda: parse_command_line(Hyperparameters, __doc__))()

from utils import backend  # before Keras: it keeps its start quiet

# isort: split
import keras
from keras import layers, ops

from utils.backend.types import Tensor
from utils.models import blocks, recipes
from utils.models.adversarial import Combined, frozen, update_scalars
from utils.models.augmentation import Augmentation
from utils.models.average import AveragedNetwork
from utils.models.classes import add_class, beside, class_input, project
from utils.models.layers import InstanceNoise, SpectralNormalization
from utils.models.optimizers import built, decaying
from utils.models.recipes import Batch
from utils.training.run import run

# ------------------------------------------------------------------------------------------------
# Networks
# ------------------------------------------------------------------------------------------------


def build_generator(h: Hyperparameters) -> keras.Model:
    """Latent vectors (B, latent_dim) to images (B, image_size, image_size, channels) in [-1, 1]."""
    widths = h.widths("generator")
    # An offset before batch normalisation would be subtracted again.
    use_bias = h.normalization != "before-activation"
    normalize = partial(
        blocks.batch_normalization, h.normalization_momentum, h.normalization_stddev
    )
    double = partial(
        blocks.double, kernel_size=h.kernel_size, upscaling=h.upscaling, stddev=h.initial_stddev
    )

    latents = keras.Input((h.latent_dim,), name="latents")  # (B, latent_dim)
    classes = class_input(len(h.class_names))  # (B, K), or None
    size = h.image_size >> len(widths)
    x = blocks.start(latents, size, widths[0], h.generator_start, use_bias, h.initial_stddev)
    x = add_class(x, classes, h.initial_stddev * math.sqrt(h.latent_dim))  # (B, 4, 4, widths[0])
    x = blocks.activate(x, layers.ReLU(), normalize, h.normalization, h.generator_dropout)
    image, doubled = None, widths[1:]
    sums_up = h.generator_architecture == "skip"
    if sums_up:  # the last doubling makes maps as well, and no image
        doubled = (*doubled, max(1, widths[-1] // 2))
    for filters in doubled:
        x = double(x, filters, use_bias=use_bias)  # (B, 8, 8, widths[1]), then 16, 32, ...
        x = blocks.activate(x, layers.ReLU(), normalize, h.normalization, h.generator_dropout)
        if sums_up:
            image = blocks.add_details(image, x, h.channels, h.initial_stddev)
    x = image if sums_up else double(x, h.channels, use_bias=True)
    # (B, image_size, image_size, channels)
    # In bfloat16, 256 shades would become a few dozen.
    images = layers.Activation("tanh", dtype="float32", name="images")(x)
    return keras.Model(beside(latents, classes), images, name="generator")


def build_discriminator(h: Hyperparameters) -> keras.Model:
    """Images (B, image_size, image_size, channels) in [-1, 1] to logits (B, 1): above 0 is real."""
    widths = h.widths("discriminator")
    first, last = (0, -1) if h.spectral_normalization else h.discriminator_normalized
    normalize = partial(
        blocks.batch_normalization, h.normalization_momentum, h.normalization_stddev
    )
    compare_batch = partial(
        blocks.compare_batch, kind=h.minibatch, maps=h.minibatch_maps, side=h.minibatch_side,
        stddev=h.initial_stddev,
    )  # fmt: skip

    def normalized(layer: layers.Layer) -> layers.Layer:
        return SpectralNormalization(layer) if h.spectral_normalization else layer

    x = images = keras.Input((h.image_size, h.image_size, h.channels), name="images")
    if h.instance_noise:
        x = InstanceNoise(h.instance_noise, seed=random.randrange(2**31), name="noise")(x)
    for level, filters in enumerate(widths, start=1):
        place = h.normalization if first <= level <= last else "none"
        use_bias = place != "before-activation"
        halving = blocks.halving(filters, h.kernel_size, use_bias, h.initial_stddev)
        x = normalized(halving)(x)  # (B, H / 2, W / 2, widths[0]), ...
        activation = layers.LeakyReLU(h.leaky_relu_slope)
        x = blocks.activate(x, activation, normalize, place, h.discriminator_dropout)
        if h.feature_matching and level == (h.feature_matching_layer or len(widths)):
            x = layers.Identity(name="features")(x)
        if level == 1:
            x = compare_batch(x, "first")
    x = maps = compare_batch(x, "last")  # (B, 4, 4, widths[-1])
    x = layers.Flatten()(x)  # (B, 4 * 4 * widths[-1])
    initializer = blocks.initializer(h.initial_stddev)
    dense = layers.Dense(1, kernel_initializer=initializer, dtype="float32", name="logits")
    logits = normalized(dense)(x)  # (B, 1)
    classes = class_input(len(h.class_names))  # (B, K), or None
    logits = project(logits, maps, classes, h.initial_stddev, normalized)
    return keras.Model(beside(images, classes), logits, name="discriminator")


# ------------------------------------------------------------------------------------------------
# Losses and the alternation
# ------------------------------------------------------------------------------------------------


def binary_cross_entropy(labels: Tensor, logits: Tensor) -> Tensor:
    """Mean of -(label log D + (1 - label) log(1 - D)), D = sigmoid(logit); both (B, 1).

    With labels of 1, as the generator's: -log D, the loss that does not saturate.

    log D = -softplus(-logit) and log(1 - D) = -softplus(logit), and their difference is the logit,
    which leaves softplus(logit) - label * logit: exact where a sigmoid would round to 0 or 1.
    """
    return ops.mean(ops.softplus(logits) - labels * logits)


class DCGAN:
    """Both networks, their combined model, their optimizers, and one alternation between them."""

    def __init__(self, h: Hyperparameters) -> None:
        self.h = h
        self.generator = build_generator(h)
        self.discriminator = build_discriminator(h)
        self.seed_generator = keras.random.SeedGenerator(h.seed)
        self.augment = Augmentation(
            h.augmentation, self.seed_generator, h.color_strength, h.augmentation_probability,
            h.adapts_augmentation(),
        )  # fmt: skip
        self.combined = Combined(self.generator, self.augment, self.discriminator)
        rate = partial(decaying, factor=h.learning_rate_decay, steps=h.learning_rate_decay_steps)
        adam = keras.optimizers.Adam(rate(h.generator_learning_rate), beta_1=h.generator_beta1)
        self.generator_optimizer = built(adam, self.generator)
        counted = rate(h.discriminator_learning_rate, counter=self.generator_optimizer.iterations)
        adam = keras.optimizers.Adam(counted, beta_1=h.discriminator_beta1)
        self.discriminator_optimizer = built(adam, self.discriminator)
        self.average = AveragedNetwork(self.generator, h.average_half_life)
        self.networks = {
            "generator": self.average.network,
            "generator-current": self.generator,
            "discriminator": self.discriminator,
        }
        self.labels = recipes.Labels(
            h.batch_size, h.label_smoothing, h.smoothing_sides, h.label_noise, self.seed_generator
        )
        self.balance = recipes.Balance(
            h.balance, h.label_swap, h.BOOSTING_SWAPS_FROM, self.seed_generator
        )
        # --discriminator-updates separate and --feature-matching replace the updates below.
        recipes.replace_updates(self, binary_cross_entropy)

    def state(self) -> dict[str, list[keras.Variable]]:
        """Every variable that a step reads or changes: what a checkpoint must hold."""
        return {
            "generator": self.generator.variables,
            "average": self.average.network.variables,
            "discriminator": self.discriminator.variables,
            "generator_optimizer": self.generator_optimizer.variables,
            "discriminator_optimizer": self.discriminator_optimizer.variables,
            "random": [self.seed_generator.state],
            "balance": self.balance.variables,
        }

    def random_latents(self) -> Tensor:
        """N(0, I), (B, latent_dim)."""
        shape = (self.h.batch_size, self.h.latent_dim)
        return keras.random.normal(shape, seed=self.seed_generator)

    def update_discriminator(self, batch: Batch) -> dict[str, Tensor]:
        """(1) Update D: maximise log D(x) + log(1 - D(G(z))).

        Trains the discriminator's variables; its moving statistics follow its two passes.
        """
        real_labels, fake_labels = self.labels.draw(batch.turn.swaps_labels)
        real_images, fake_images = self.augment(batch.real), self.augment(batch.fake)

        def loss_function() -> tuple[Tensor, tuple[Tensor, Tensor]]:
            # Two passes: in one, batch normalisation would mix real with generated images.
            real = self.discriminator(beside(real_images, batch.classes), training=True)
            fake = self.discriminator(beside(fake_images, batch.classes), training=True)
            loss = binary_cross_entropy(real_labels, real) + binary_cross_entropy(fake_labels, fake)
            return loss, (real, fake)

        with frozen(self.generator):
            variables = self.combined.trainable_variables  # the discriminator's
            (loss, (real, fake)), gradients = backend.value_and_grad(loss_function, variables)
            learns = self.balance.trains_discriminator(batch.turn, loss)
            backend.apply_if(learns, self.discriminator_optimizer, gradients, variables)
        return {
            "d_loss": loss,
            "d_real": ops.mean(ops.sigmoid(real)),
            "d_fake": ops.mean(ops.sigmoid(fake)),
            **update_scalars("d", gradients, variables, self.discriminator_optimizer),
        }

    def update_generator(self, batch: Batch) -> dict[str, Tensor]:
        """(2) Update G: maximise log D(G(z)).

        Trains the generator's variables through the combined model. The discriminator's moving
        statistics follow its pass over generated images.
        """

        def loss_function(images: Tensor) -> tuple[Tensor, None]:
            logits = self.combined.from_images(images, batch.classes)
            return binary_cross_entropy(self.labels.target(), logits), None

        with frozen(self.discriminator):
            variables = self.combined.trainable_variables  # the generator's
            (loss, _), to_images = backend.value_and_input_grad(loss_function, batch.fake)
            gradients = batch.pull_back(to_images)  # the chain rule
            learns = self.balance.trains_generator(batch.turn, loss)
            backend.apply_if(learns, self.generator_optimizer, gradients, variables)
        return {
            "g_loss": loss,
            **update_scalars("g", gradients, variables, self.generator_optimizer),
        }

    def train_step(self, real_batches: Tensor, classes: Tensor | None = None) -> dict[str, Tensor]:
        """One alternation.

        Args:
            real_batches: uint8 (1, B, H, W, C).
            classes: their class weights (1, B, K), of generated images as well; or None.

        Returns:
            ``d_loss``: the sum of the discriminator's losses on real and on generated images;
            2 log 2 = 1.386 when it cannot tell them apart. ``g_loss``: log 2 = 0.693 then; without
            what feature matching adds. ``d_real``, ``d_fake``: its mean answer on real and on
            generated images, from 0 (generated) to 1 (real). The rest: see `update_scalars`.
        """
        h = self.h
        real_images = ops.cast(real_batches[0], "float32") / 127.5 - 1.0
        latents = self.random_latents()
        updates = self.generator_optimizer.iterations
        recipes.fade_noise(self.discriminator, h.instance_noise, updates, h.instance_noise_steps)
        turn = self.balance.begin()
        # The generator stays as it is until its own update: one pass of it serves both.
        classes = None if classes is None else classes[0]
        fake_images, pull_back = backend.forward(self.generator, beside(latents, classes))
        batch = Batch(real_images, fake_images, pull_back, turn, classes)
        results = self.update_discriminator(batch) | self.update_generator(batch)
        self.average.update(self.generator_optimizer.iterations * h.batch_size, h.batch_size)
        return results


@one_line_errors
def main() -> None:
    """Train, resume or dry-run what the command line says."""
    run(DCGAN, Hyperparameters, __doc__)


if __name__ == "__main__":
    main()
