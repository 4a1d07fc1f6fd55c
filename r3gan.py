"""R3GAN: residual networks without normalisation, a loss that compares each real image with a
generated one, and a penalty on the discriminator's slope at both.

    python r3gan.py                                   # 1,666 drawn robots, 64 px
    python r3gan.py --data pictures/ --mirror         # a folder of your own pictures
    python r3gan.py --shared-pass                     # both networks learn from one pass: quicker
    python r3gan.py --resume r3gan-1 --epochs 2000    # go on where a run stopped
    python r3gan.py --dry-run                         # networks, memory, speed; trains nothing
    KERAS_BACKEND=jax python r3gan.py                 # or torch; tensorflow is the default

Look at images/RUN/ while it learns. Ctrl-C stops a run cleanly.

Huang, Gokaslan, Kuleshov, Tompkin: The GAN is dead; long live the GAN! A Modern GAN Baseline, 2024
(arXiv:2501.05441). The loss is that of Jolicoeur-Martineau, 2018 (arXiv:1807.00734), by pairs;
--penalty-interval is from Karras et al., 2020 (arXiv:1912.04958).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Annotated, ClassVar, Literal

from utils.common.errors import one_line_errors
from utils.common.fields import Amount, Between, Count, CountOrZero, FilePath, Fixed, Several, Share
from utils.training.arguments import parse_command_line
from utils.training.options import ResidualOptions, ScoreName

LearningRate = Annotated[float, Between(1e-12, 1e9)]
Beta2 = Annotated[float, Between(1e-6, 0.9999)]


@dataclass
class Hyperparameters(ResidualOptions):
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
    latent_dim: Fixed[Count] = 64
    """Length of the random vector that an image is generated from."""
    generator_filters: Fixed[tuple[Count, ...]] = (8,)
    """Channels of its maps, from 4x4 up; one number: of the largest map, doubled as maps halve."""
    discriminator_filters: Fixed[tuple[Count, ...]] = (8,)
    """Channels of its maps, the largest first; one number: of that map, doubled as maps halve."""

    # Optimisation
    epochs: CountOrZero = 1000
    """Passes over the data set, two batches a step (one with --shared-pass); 0: until stopped."""
    batch_size: Several = 16
    """Real images, and as many generated ones, in one update."""
    learning_rate: tuple[LearningRate, LearningRate] = (2e-4, 5e-5)
    """Adam's learning rate for both networks, at first and in the end; its beta1 is 0."""
    beta2: tuple[Beta2, Beta2] = (0.9, 0.99)
    """Adam's beta2 for both networks, at first and in the end."""
    gamma: tuple[Amount, Amount] = (0.0, 0.0)
    """Weight of the penalties; 0: 2 at 64 px, 150 at 256 px, and a tenth of that in the end."""
    schedule_steps: Count = 20_000
    """Steps in which these three go from first to last, along half a cosine; then they stay."""
    penalty_interval: Count = 1
    """Take the penalties in one step of that many, with as many times the weight."""
    shared_pass: bool = False
    """Both networks learn at once from the same images, in one pass of each: quicker."""
    average_half_life: CountOrZero = 10_000
    """Images after which a weight counts half in the average that grids show; 0: no average."""

    # What the discriminator is shown
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

    METHOD: ClassVar[str] = "r3gan"

    @property
    def batches_per_step(self) -> int:
        """Batches of real images that one step takes."""
        return 1 if self.shared_pass else 2

    def gammas(self) -> tuple[float, float]:
        """Weight of the penalties, at first and in the end.

        The paper has 2 at 64 px and 150 at 256 px. Other sizes lie on the straight line through
        both in logarithms: gamma grows with a power of 3.1 of the size.
        """
        power = math.log(150 / 2, 256 / 64)
        first = self.gamma[0] or 2 * (self.image_size / 64) ** power
        return first, self.gamma[1] or first / 10


if __name__ == "__main__":  # --help and mistakes come before Keras, which takes seconds to load
    one_line_errors(lambda: parse_command_line(Hyperparameters, __doc__))()

from utils import backend  # before Keras: it keeps its start quiet

# isort: split
import keras
from keras import layers, ops

from utils.backend.types import PullBack, Tensor
from utils.models import residual
from utils.models.adversarial import Combined, frozen, update_scalars
from utils.models.augmentation import Augmentation
from utils.models.average import AveragedNetwork
from utils.models.classes import add_class, beside, class_input, project
from utils.models.layers import Downsample
from utils.models.optimizers import built
from utils.training.run import run

# ------------------------------------------------------------------------------------------------
# Networks
# ------------------------------------------------------------------------------------------------


def build_generator(h: Hyperparameters) -> keras.Model:
    """Latent vectors (B, latent_dim) to images (B, image_size, image_size, channels).

    Images are meant to lie in [-1, 1], but nothing holds them there: a tanh would take the gradient
    from black and white. What is beyond is clipped where images are drawn or scored.
    """
    widths = h.widths("generator")
    latents = keras.Input((h.latent_dim,), name="latents")  # (B, latent_dim)
    x = layers.Dense(widths[0], use_bias=False, kernel_initializer=residual.he_normal())(latents)
    classes = class_input(len(h.class_names))  # (B, K), or None
    x = add_class(x, classes, 1.0)
    # A learned 4x4 map for each channel; the latent vector says how much of it there is.
    basis = keras.initializers.RandomNormal(stddev=1.0)
    x = layers.EinsumDense("bc,chw->bhwc", (4, 4, widths[0]), kernel_initializer=basis)(x)
    for level, filters in enumerate(widths):  # (B, 4, 4, widths[0]), then 8, 16, ...
        if level:
            x = residual.mix_channels(x, filters)
            # Bilinear: every pixel repeated 2x2, then the filter [1, 2, 1] / 4 along both sides.
            x = layers.UpSampling2D(2, interpolation="bilinear")(x)
        for _ in range(h.blocks):
            x = residual.block(x, h.blocks * len(widths), h.EXPANSION, h.groups)
    # In float32: neighbours in bfloat16 are up to half a shade apart.
    images = layers.Conv2D(
        h.channels, 1, use_bias=False, kernel_initializer=residual.he_normal(), dtype="float32",
        name="images",
    )(x)  # (B, image_size, image_size, channels)  # fmt: skip
    return keras.Model(beside(latents, classes), images, name="generator")


def build_discriminator(h: Hyperparameters) -> keras.Model:
    """Images (B, image_size, image_size, channels) to logits (B, 1): the larger the more real.

    Only differences of logits mean something: the loss knows nothing else.
    """
    widths = h.widths("discriminator")
    images = keras.Input((h.image_size, h.image_size, h.channels), name="images")
    x = residual.mix_channels(images, widths[0])  # (B, image_size, image_size, widths[0])
    for level, filters in enumerate(widths):
        if level:
            x = Downsample()(x)  # (B, H / 2, W / 2, widths[0]), ...
            x = residual.mix_channels(x, filters)  # (B, H / 2, W / 2, widths[1]), ...
        for _ in range(h.blocks):
            x = residual.block(x, h.blocks * len(widths), h.EXPANSION, h.groups)
    # The generator's start the other way round: how much of a learned 4x4 map is in each channel.
    basis = keras.initializers.RandomNormal(stddev=1 / 4)
    x = layers.EinsumDense("bhwc,chw->bc", (widths[-1],), kernel_initializer=basis)(x)
    # x is (B, widths[-1]). An offset would cancel in every difference.
    logits = layers.Dense(
        1, use_bias=False, kernel_initializer=residual.he_normal(), dtype="float32", name="logits"
    )(x)  # (B, 1)
    classes = class_input(len(h.class_names))  # (B, K), or None
    logits = project(logits, x, classes, 1 / math.sqrt(widths[-1]))
    return keras.Model(beside(images, classes), logits, name="discriminator")


# ------------------------------------------------------------------------------------------------
# Losses and the alternation
# ------------------------------------------------------------------------------------------------


def relativistic_loss(better: Tensor, worse: Tensor) -> Tensor:
    """E softplus(-(better - worse)), by pairs of logits (B, 1): log 2 where they are equal.

    The discriminator wants a real image above a generated one, the generator the reverse.
    """
    return ops.mean(ops.softplus(worse - better))


def zero_centred_penalty(slopes: Tensor) -> Tensor:
    """E |grad D|^2 (Mescheder et al. 2018, arXiv:1801.04406): R1 on real, R2 on generated images.

    Args:
        slopes: gradient of the discriminator's logit with respect to each image, (B, H, W, C).
    """
    return ops.mean(ops.sum(slopes**2, axis=(1, 2, 3)))


class R3GAN:
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
        ends = {"learning_rate": h.learning_rate, "gamma": h.gammas(), "beta2": h.beta2}
        # Functions of the step that is made.
        self.schedules = {
            name: keras.optimizers.schedules.CosineDecay(first, h.schedule_steps, last / first)
            for name, (first, last) in ends.items()
        }
        self.generator_optimizer = self._optimizer(self.generator)
        self.discriminator_optimizer = self._optimizer(self.discriminator)
        self.average = AveragedNetwork(self.generator, h.average_half_life)
        self.networks = {
            "generator": self.average.network,
            "generator-current": self.generator,
            "discriminator": self.discriminator,
        }
        # Most recent penalty values.
        self.penalties = keras.Variable([0.0, 0.0], trainable=False, name="penalties")

    def _optimizer(self, network: keras.Model) -> keras.optimizers.Optimizer:
        adam = keras.optimizers.Adam(self.schedules["learning_rate"], beta_1=0.0)
        return built(adam, network)

    def _apply(
        self,
        optimizer: keras.optimizers.Adam,
        gradients: list[Tensor],
        variables: list[keras.Variable],
    ) -> None:
        """Update with the beta2 of this step, for which Keras has no schedule."""
        optimizer.beta_2, before = self.schedules["beta2"](optimizer.iterations), optimizer.beta_2
        optimizer.apply(gradients, variables)
        optimizer.beta_2 = before

    def state(self) -> dict[str, list[keras.Variable]]:
        """Every variable that a step reads or changes: what a checkpoint must hold."""
        return {
            "generator": self.generator.variables,
            "average": self.average.network.variables,
            "discriminator": self.discriminator.variables,
            "generator_optimizer": self.generator_optimizer.variables,
            "discriminator_optimizer": self.discriminator_optimizer.variables,
            "random": [self.seed_generator.state],
            "penalties": [self.penalties],
        }

    def random_latents(self) -> Tensor:
        """N(0, I), (B, latent_dim)."""
        shape = (self.h.batch_size, self.h.latent_dim)
        return keras.random.normal(shape, seed=self.seed_generator)

    def answer(self, images: Tensor, classes: Tensor | None = None) -> Tensor:
        """Logits (B, 1) of images (B, H, W, C), each augmented and answered by itself.

        Slopes are those at the images before augmentation.
        """
        return self.discriminator(beside(self.augment(images), classes), training=True)

    def update_discriminator(
        self, real_images: Tensor, fake_images: Tensor, classes: Tensor | None = None
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """(1) Update D: minimise softplus(-(D(x) - D(G(z)))) + gamma / 2 (|grad D(x)|^2 + |grad
        D(G(z))|^2).

        Trains the discriminator's variables.

        Args:
            real_images: x, (B, H, W, C).
            fake_images: G(z), in the same shape.
            classes: class weights of both (B, K), or None.

        Returns:
            Named scalars; and what the discriminator answered before this update: ``real_logits``
            and ``fake_logits``, (B, 1), with --shared-pass also ``fake_slopes``, (B, H, W, C).
        """
        h = self.h
        step = self.discriminator_optimizer.iterations.value
        schedules = {name: schedule(step) for name, schedule in self.schedules.items()}
        weight = h.penalty_interval * schedules["gamma"] / 2

        def differentiate(penalises: bool) -> tuple[dict[str, Tensor], list[Tensor]]:
            def loss_function() -> tuple[Tensor, dict[str, Tensor]]:
                # Slopes that are not used are not computed, except on PyTorch.
                answer = partial(self.answer, classes=classes)
                real_logits, real_slopes = backend.input_gradient(answer, real_images)
                fake_logits, fake_slopes = backend.input_gradient(answer, fake_images)
                loss, penalties = relativistic_loss(real_logits, fake_logits), self.penalties.value
                answers = {"loss": loss, "real_logits": real_logits, "fake_logits": fake_logits}
                if h.shared_pass:
                    answers["fake_slopes"] = fake_slopes
                total = loss
                if penalises:
                    r1, r2 = zero_centred_penalty(real_slopes), zero_centred_penalty(fake_slopes)
                    penalties = ops.stack([r1, r2])
                    total = loss + weight * ops.sum(penalties)
                return total, answers | {"penalties": penalties}

            (_, answers), gradients = backend.value_and_grad(loss_function, variables)
            return answers, gradients

        with frozen(self.generator):
            variables = self.combined.trainable_variables  # the discriminator's
            if h.penalty_interval == 1:
                answers, gradients = differentiate(True)
            else:
                is_due = step % h.penalty_interval == 0
                answers, gradients = backend.either(
                    is_due, lambda: differentiate(True), lambda: differentiate(False)
                )
            self._apply(self.discriminator_optimizer, gradients, variables)
        # A copy: on PyTorch, results would follow the variable, which changes in later steps.
        penalties = ops.copy(answers["penalties"])
        self.penalties.assign(penalties)
        differences = answers["real_logits"] - answers["fake_logits"]  # (B, 1)
        results = {
            "d_loss": answers["loss"],
            "d_difference": ops.mean(differences),
            "d_ordered": ops.mean(ops.cast(differences > 0, "float32")),
            "r1_penalty": penalties[0],
            "r2_penalty": penalties[1],
            **update_scalars("d", gradients, variables, self.discriminator_optimizer),
        }
        return results | schedules, answers

    def update_generator(
        self,
        fake_images: Tensor,
        pull_back: PullBack,
        real_images: Tensor,
        classes: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """(2) Update G: minimise softplus(-(D(G(z)) - D(x))).

        Trains the generator's variables through the combined model.

        Args:
            fake_images: G(z), (B, H, W, C).
            pull_back: from a gradient with respect to them to that of the generator's variables.
            real_images: x, in the same shape.
            classes: class weights of both (B, K), or None.
        """
        real_logits = self.answer(real_images, classes)

        def loss_function(images: Tensor) -> tuple[Tensor, None]:
            return relativistic_loss(self.combined.from_images(images, classes), real_logits), None

        with frozen(self.discriminator):
            variables = self.combined.trainable_variables  # the generator's
            (loss, _), to_images = backend.value_and_input_grad(loss_function, fake_images)
            gradients = pull_back(to_images)  # the chain rule
            self._apply(self.generator_optimizer, gradients, variables)
        return {"g_loss": loss} | update_scalars(
            "g", gradients, variables, self.generator_optimizer
        )

    def update_generator_at_once(
        self, pull_back: PullBack, answers: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        """(2) as above, from what the discriminator answered before its own update.

        By the chain rule, the loss' gradient with respect to a generated image is its derivative
        by the image's logit times the slope there, as every image is answered by itself.

        Args:
            pull_back: see `update_generator`.
            answers: see `update_discriminator`.
        """
        real_logits, fake_logits = answers["real_logits"], answers["fake_logits"]
        to_logits = -ops.sigmoid(real_logits - fake_logits) / self.h.batch_size
        to_images = ops.reshape(to_logits, (-1, 1, 1, 1)) * answers["fake_slopes"]
        with frozen(self.discriminator):
            variables = self.combined.trainable_variables  # the generator's
            gradients = pull_back(to_images)
            self._apply(self.generator_optimizer, gradients, variables)
        loss = relativistic_loss(fake_logits, real_logits)
        return {"g_loss": loss} | update_scalars(
            "g", gradients, variables, self.generator_optimizer
        )

    def train_step(self, real_batches: Tensor, classes: Tensor | None = None) -> dict[str, Tensor]:
        """One alternation, or with --shared-pass one update of both at once.

        What --shared-pass changes: the generator learns from the discriminator as it was before its
        update, on the images of that update. This is simultaneous gradient descent, for which the
        paper proves that it converges; it trains in turns.

        Args:
            real_batches: uint8 (2, B, H, W, C), or (1, B, H, W, C) with --shared-pass.
            classes: their class weights (2 or 1, B, K), of generated images as well; or None. Each
                real image is compared with a generated one of its class.

        Returns:
            ``d_loss``, ``g_loss``: without penalties; log 2 = 0.693 where real and generated images
            get the same logits. ``d_difference``: mean of D(x) - D(G(z)). ``d_ordered``: share of
            the pairs whose real image gets the larger logit, 0.5 by chance. ``r1_penalty``,
            ``r2_penalty``: E |grad D|^2 on real and on generated images, without their weight, in
            the last step that took them. ``learning_rate``, ``gamma``, ``beta2``: of this step. The
            rest: see `update_scalars`.
        """
        h = self.h
        real_images = ops.cast(real_batches, "float32") / 127.5 - 1.0
        first = None if classes is None else classes[0]
        latents = beside(self.random_latents(), first)
        if h.shared_pass:
            fake_images, pull_back = backend.forward(self.generator, latents)
            results, answers = self.update_discriminator(real_images[0], fake_images, first)
            results |= self.update_generator_at_once(pull_back, answers)
        else:
            fake_images = self.generator(latents, training=True)
            results, _ = self.update_discriminator(real_images[0], fake_images, first)
            second = None if classes is None else classes[1]
            latents = beside(self.random_latents(), second)
            fake_images, pull_back = backend.forward(self.generator, latents)
            results |= self.update_generator(fake_images, pull_back, real_images[1], second)
        self.average.update(self.generator_optimizer.iterations * h.batch_size, h.batch_size)
        return results


@one_line_errors
def main() -> None:
    """Train, resume or dry-run what the command line says."""
    run(R3GAN, Hyperparameters, __doc__)


if __name__ == "__main__":
    main()
