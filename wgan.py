"""WGAN: a critic that estimates how far apart generated and real images are, and a generator that
closes the distance.

    python wgan.py                                    # 1,666 drawn robots, 64 px
    python wgan.py --data pictures/ --mirror          # a folder of your own pictures
    python wgan.py --constraint clip                  # the first form: clipped weights
    python wgan.py --resume wgan-1 --epochs 2000      # go on where a run stopped
    python wgan.py --dry-run                          # networks, memory, speed; trains nothing
    KERAS_BACKEND=jax python wgan.py                  # or torch; tensorflow is the default

Look at images/RUN/ while it learns, and at `wasserstein` in its history.png: the one loss of a GAN
that says how far a training has come. Ctrl-C stops a run cleanly.

Arjovsky, Chintala, Bottou: Wasserstein GAN, 2017 (arXiv:1701.07875), whose critic is kept from
steep slopes by clipping its weights. Gulrajani, Ahmed, Arjovsky, Dumoulin, Courville: Improved
Training of Wasserstein GANs, 2017 (arXiv:1704.00028), where a penalty on its gradient does that.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, ClassVar, Literal

from utils.common.errors import UserError, one_line_errors
from utils.common.fields import (
    Amount,
    Between,
    Count,
    CountOrZero,
    Dropout,
    FilePath,
    Fixed,
    Momentum,
    Several,
    Share,
)
from utils.training.arguments import parse_command_line
from utils.training.options import ConvolutionalOptions, ScoreName
from utils.training.presets import WGAN_PRESETS, Preset


@dataclass
class Hyperparameters(ConvolutionalOptions):
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
    critic_filters: Fixed[tuple[Count, ...]] = (32,)
    """Channels of its maps, the largest first; one number: of that map, doubled as maps halve."""
    critic_depth: Fixed[CountOrZero] = 0
    """With a single width: how often the critic halves its map; 0 ends at 4x4 pixels."""
    critic_normalization: Fixed[Literal["none", "layer", "batch"]] = "none"
    """In the critic's inner layers; batch, which mixes images, goes with --constraint clip only."""
    generator_dropout: Fixed[Dropout] = 0.0
    """Share of activations dropped; a known remedy against mode collapse."""

    # Optimisation
    epochs: CountOrZero = 1000
    """Passes over the data set, n-critic batches a step; 0 goes on until stopped."""
    batch_size: Several = 16
    """Real images, and as many generated ones, in one update."""
    n_critic: Annotated[int, Between(1, 1000)] = 5
    """Updates of the critic for one of the generator, each on images of its own."""
    constraint: Literal["penalty", "clip"] = "penalty"
    """What keeps the critic's slope near or below 1: a penalty on it, or clipped weights."""
    penalty_weight: Amount = 10.0
    """Weight of the gradient penalty in the critic's loss."""
    clip_value: Annotated[float, Between(1e-9, 1e9)] = 0.01
    """Weights are clipped to [-clip-value, clip-value] after each update of the critic."""
    optimizer: Fixed[Literal["adam", "rmsprop"]] = "adam"
    """Of both networks."""
    generator_learning_rate: Amount = 2e-4
    """The optimizer's learning rate for the generator."""
    generator_beta1: Momentum = 0.0
    """Adam's beta1 for the generator; momentum does not go well with a critic (Arjovsky et al.)."""
    critic_learning_rate: Amount = 2e-4
    """The optimizer's learning rate for the critic."""
    critic_beta1: Momentum = 0.0
    """Adam's beta1 for the critic."""
    beta2: Momentum = 0.9
    """Adam's beta2 for both."""
    average_half_life: CountOrZero = 10_000
    """Images after which a weight counts half in the average that grids show; 0: no average."""

    # What the critic is shown
    augmentation: tuple[Literal["color", "translation", "cutout"], ...] = ()
    """Random changes of all that it sees, against overfitting (Zhao et al., arXiv:2006.10738)."""
    augmentation_probability: Share = 0.75
    """Probability of each of these, at first; below 1, some images are seen as they are."""
    augmentation_target: Share = 0.2
    """The probability rises while answers to held-out pictures are this near to generated ones."""
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

    METHOD: ClassVar[str] = "wgan"
    PRESETS: ClassVar[dict[str, Preset]] = WGAN_PRESETS
    # On a GPU or TPU in place of the defaults above; the first line of a run names them.
    ON_ACCELERATOR: ClassVar[dict[str, Any]] = {
        "batch_size": 64, "generator_filters": (64,), "critic_filters": (64,),
    }  # fmt: skip

    @property
    def batches_per_step(self) -> int:
        """Batches of real images that one step takes."""
        return self.n_critic

    def check(self) -> None:
        """Raise UserError for values that make no networks or no training."""
        super().check()
        if self.constraint == "penalty" and self.critic_normalization == "batch":
            raise UserError(
                "--critic-normalization batch: with --constraint penalty, which takes the gradient "
                "of each image by itself, it must be none or layer"
            )


if __name__ == "__main__":  # --help and mistakes come before Keras, which takes seconds to load
    one_line_errors(lambda: parse_command_line(Hyperparameters, __doc__))()

from utils import backend  # before Keras: it keeps its start quiet

# isort: split
import keras
from keras import layers, ops

from utils.backend.types import PullBack, Tensor
from utils.models import blocks
from utils.models.adversarial import Combined, frozen, update_scalars
from utils.models.augmentation import Augmentation
from utils.models.average import AveragedNetwork
from utils.models.classes import add_class, beside, class_input, project
from utils.models.optimizers import built, decaying
from utils.training.run import run

# ------------------------------------------------------------------------------------------------
# Networks
# ------------------------------------------------------------------------------------------------


def build_generator(h: Hyperparameters) -> keras.Model:
    """Latent vectors (B, latent_dim) to images (B, image_size, image_size, channels) in [-1, 1]."""
    widths = h.widths("generator")
    size, stddev = h.image_size >> len(widths), h.initial_stddev
    double = partial(blocks.double, kernel_size=h.kernel_size, upscaling=h.upscaling, stddev=stddev)
    normalize = partial(
        blocks.batch_normalization, h.normalization_momentum, h.normalization_stddev
    )

    latents = keras.Input((h.latent_dim,), name="latents")  # (B, latent_dim)
    # An offset before batch normalisation would be subtracted again.
    x = blocks.start(latents, size, widths[0], h.generator_start, False, stddev)
    classes = class_input(len(h.class_names))  # (B, K), or None
    x = add_class(x, classes, stddev * math.sqrt(h.latent_dim))
    x = layers.ReLU()(normalize()(x))  # (B, 4, 4, widths[0])
    x = blocks.drop(x, h.generator_dropout)
    for filters in widths[1:]:
        x = double(x, filters, use_bias=False)  # (B, 8, 8, widths[1]), then 16, 32, ...
        x = layers.ReLU()(normalize()(x))
        x = blocks.drop(x, h.generator_dropout)
    x = double(x, h.channels, use_bias=True)  # (B, image_size, image_size, channels)
    # In bfloat16, 256 shades would become a few dozen.
    images = layers.Activation("tanh", dtype="float32", name="images")(x)
    return keras.Model(beside(latents, classes), images, name="generator")


def build_critic(h: Hyperparameters) -> keras.Model:
    """Images (B, image_size, image_size, channels) in [-1, 1] to any number (B, 1).

    Larger is more real. Without a sigmoid: the numbers are no probabilities, and only their
    differences mean something.
    """
    normalize = blocks.layer_normalization
    if h.critic_normalization == "batch":
        normalize = partial(
            blocks.batch_normalization, h.normalization_momentum, h.normalization_stddev
        )
    compare_batch = partial(
        blocks.compare_batch, kind=h.minibatch, maps=h.minibatch_maps, side=h.minibatch_side,
        stddev=h.initial_stddev,
    )  # fmt: skip
    x = images = keras.Input((h.image_size, h.image_size, h.channels), name="images")
    for level, filters in enumerate(h.widths("critic")):
        # The first layer stays without normalisation: it sees colours as they are.
        normalizes = level > 0 and h.critic_normalization != "none"
        # (B, H / 2, W / 2, widths[0]), ...
        x = blocks.halving(filters, h.kernel_size, not normalizes, h.initial_stddev)(x)
        x = normalize()(x) if normalizes else x
        x = layers.LeakyReLU(h.leaky_relu_slope)(x)
        if level == 0:
            x = compare_batch(x, "first")
    x = maps = compare_batch(x, "last")  # (B, 4, 4, widths[-1])
    x = layers.Flatten()(x)  # (B, 4 * 4 * widths[-1])
    answers = layers.Dense(
        1, kernel_initializer=blocks.initializer(h.initial_stddev), dtype="float32", name="answers"
    )(x)  # (B, 1)
    classes = class_input(len(h.class_names))  # (B, K), or None
    answers = project(answers, maps, classes, h.initial_stddev)
    return keras.Model(beside(images, classes), answers, name="critic")


# ------------------------------------------------------------------------------------------------
# Losses, constraints and the alternation
# ------------------------------------------------------------------------------------------------


def wasserstein_estimate(real_answers: Tensor, fake_answers: Tensor) -> Tensor:
    """E f(x) - E f(G(z)), what the critic maximises; both (B, 1).

    Of all critics with a slope of at most 1, the best would reach the Wasserstein distance between
    real and generated images (Arjovsky et al., equation 2).
    """
    return ops.mean(real_answers) - ops.mean(fake_answers)


def gradient_penalty(gradient: Tensor) -> Tensor:
    """E (|grad f| - 1)^2 (Gulrajani et al., equation 3).

    Args:
        gradient: of the critic's answer with respect to each image, (B, H, W, C).
    """
    # The slope of a square root at 0 is infinite, and times 0 it would be NaN.
    norms = ops.sqrt(ops.sum(gradient**2, axis=(1, 2, 3)) + 1e-12)  # (B,)
    return ops.mean((norms - 1.0) ** 2)


def clip(critic: keras.Model, value: float) -> None:
    """Clip the critic's weights and offsets to [-value, value], but not its normalisation's.

    A scale clipped to 0.01 would take the signal away, and clipped moving statistics belong to no
    images at all; both have been done.
    """
    for variable in critic.trainable_variables:
        if variable.name not in ("gamma", "beta"):
            variable.assign(ops.clip(variable.value, -value, value))


class WGAN:
    """Both networks, their combined model, their optimizers, and one alternation between them."""

    def __init__(self, h: Hyperparameters) -> None:
        self.h = h
        self.generator = build_generator(h)
        self.critic = build_critic(h)
        self.seed_generator = keras.random.SeedGenerator(h.seed)
        self.augment = Augmentation(
            h.augmentation, self.seed_generator, h.color_strength, h.augmentation_probability,
            h.adapts_augmentation(),
        )  # fmt: skip
        self.combined = Combined(self.generator, self.augment, self.critic)
        self.generator_optimizer = self._optimizer(
            self.generator, h.generator_learning_rate, h.generator_beta1
        )
        self.critic_optimizer = self._optimizer(
            self.critic, h.critic_learning_rate, h.critic_beta1, self.generator_optimizer.iterations
        )
        self.average = AveragedNetwork(self.generator, h.average_half_life)
        self.networks = {
            "generator": self.average.network,
            "generator-current": self.generator,
            "critic": self.critic,
        }

    def _optimizer(
        self, network: keras.Model, learning_rate: float, beta1: float,
        counter: keras.Variable | None = None,
    ) -> keras.optimizers.Optimizer:  # fmt: skip
        h = self.h
        rate = decaying(learning_rate, h.learning_rate_decay, h.learning_rate_decay_steps, counter)
        if h.optimizer == "rmsprop":
            return built(keras.optimizers.RMSprop(rate), network)
        return built(keras.optimizers.Adam(rate, beta_1=beta1, beta_2=h.beta2), network)

    def state(self) -> dict[str, list[keras.Variable]]:
        """Every variable that a step reads or changes: what a checkpoint must hold."""
        return {
            "generator": self.generator.variables,
            "average": self.average.network.variables,
            "critic": self.critic.variables,
            "generator_optimizer": self.generator_optimizer.variables,
            "critic_optimizer": self.critic_optimizer.variables,
            "random": [self.seed_generator.state],
        }

    def random_latents(self) -> Tensor:
        """N(0, I), (B, latent_dim)."""
        shape = (self.h.batch_size, self.h.latent_dim)
        return keras.random.normal(shape, seed=self.seed_generator)

    def update_critic(
        self, real_images: Tensor, fake_images: Tensor, classes: Tensor | None = None
    ) -> dict[str, Tensor]:
        """(1) Update f: maximise E f(x) - E f(G(z)), under the constraint on its slope.

        Trains the critic's variables.

        Args:
            real_images: (B, H, W, C) in [-1, 1].
            fake_images: G(z), in the same shape and range.
            classes: class weights of both (B, K), or None.
        """
        h = self.h
        real_images, fake_images = self.augment(real_images), self.augment(fake_images)
        # One random point on the line between each real and a generated image, both augmented.
        share = keras.random.uniform((h.batch_size, 1, 1, 1), seed=self.seed_generator)
        between = real_images + share * (fake_images - real_images)

        def answer(images: Tensor) -> Tensor:
            return self.critic(beside(images, classes), training=True)

        def loss_function() -> tuple[Tensor, dict[str, Tensor]]:
            # Two passes: in one, batch normalisation would mix real with generated images.
            real_answers, fake_answers = answer(real_images), answer(fake_images)
            estimate = wasserstein_estimate(real_answers, fake_answers)
            results = {"critic_loss": -estimate, "wasserstein": estimate}
            if h.constraint == "penalty":
                _, slope = backend.input_gradient(answer, between)
                results["gradient_penalty"] = gradient_penalty(slope)
                results["critic_loss"] += h.penalty_weight * results["gradient_penalty"]
            return results["critic_loss"], results

        with frozen(self.generator):
            variables = self.combined.trainable_variables  # the critic's
            (_, results), gradients = backend.value_and_grad(loss_function, variables)
            self.critic_optimizer.apply(gradients, variables)
        if h.constraint == "clip":
            clip(self.critic, h.clip_value)
        return results | update_scalars("critic", gradients, variables, self.critic_optimizer)

    def update_generator(
        self, fake_images: Tensor, pull_back: PullBack, classes: Tensor | None = None
    ) -> dict[str, Tensor]:
        """(2) Update G: maximise E f(G(z)).

        Trains the generator's variables through the combined model.

        Args:
            fake_images: G(z), (B, H, W, C) in [-1, 1].
            pull_back: from a gradient with respect to them to that of the generator's variables.
            classes: class weights (B, K), or None.
        """

        def loss_function(images: Tensor) -> tuple[Tensor, None]:
            return -ops.mean(self.combined.from_images(images, classes)), None

        with frozen(self.critic):
            variables = self.combined.trainable_variables  # the generator's
            (loss, _), to_images = backend.value_and_input_grad(loss_function, fake_images)
            gradients = pull_back(to_images)  # the chain rule
            self.generator_optimizer.apply(gradients, variables)
        return {
            "g_loss": loss,
            **update_scalars("g", gradients, variables, self.generator_optimizer),
        }

    def train_step(self, real_batches: Tensor, classes: Tensor | None = None) -> dict[str, Tensor]:
        """One alternation: n_critic updates of the critic, one of the generator.

        Args:
            real_batches: uint8 (n_critic, B, H, W, C).
            classes: their class weights (n_critic, B, K), of generated images as well; or None.

        Returns:
            ``wasserstein``: the critic's estimate of the distance, in its last update; it falls as
            images get better, once the critic has caught up with the generator. ``critic_loss``:
            its negative and the weighted penalty. ``gradient_penalty``: without its weight.
            ``g_loss``: the negative of the critic's mean answer on generated images; it drifts.
            The rest: see `update_scalars`.
        """
        h = self.h
        for number in range(h.n_critic):
            real_images = ops.cast(real_batches[number], "float32") / 127.5 - 1.0
            latents = self.random_latents()
            # The generator stays as it is until its own update: its last pass serves both.
            of_batch = None if classes is None else classes[number]
            fake_images, pull_back = backend.forward(self.generator, beside(latents, of_batch))
            results = self.update_critic(real_images, fake_images, of_batch)
        results |= self.update_generator(fake_images, pull_back, of_batch)
        self.average.update(self.generator_optimizer.iterations * h.batch_size, h.batch_size)
        return results


@one_line_errors
def main() -> None:
    """Train, resume or dry-run what the command line says."""
    run(WGAN, Hyperparameters, __doc__)


if __name__ == "__main__":
    main()
