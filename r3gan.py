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
from typing import ClassVar

from utils import backend
from utils.training.run import run  # before Keras: they keep its start quiet

# isort: split
import keras
from keras import layers, ops

from utils.backend import Tensor
from utils.common.errors import one_line_errors
from utils.models import residual
from utils.models.adversarial import AveragedNetwork, frozen, gradient_norms
from utils.models.augmentation import Augmentation
from utils.models.layers import Downsample
from utils.models.residual import ResidualOptions

# ------------------------------------------------------------------------------------------------
# Hyperparameters
# ------------------------------------------------------------------------------------------------


@dataclass
class Hyperparameters(ResidualOptions):
    """What there is to turn. Each field is an option: latent_dim is --latent-dim.

    What every method has (data, epochs, seed, intervals, folders) stands in `RunOptions`, what
    shapes residual networks in `ResidualOptions`; a field of theirs that is written here as well
    has the default given here.
    """

    # Architecture.
    latent_dim: int = 64
    """Length of the random vector that an image is generated from."""
    generator_filters: tuple[int, ...] = (8,)
    """Channels of the generator's maps, from 4x4 pixels up to the image's size. A single number is
    the width of the largest map, doubled each time the map halves."""
    discriminator_filters: tuple[int, ...] = (8,)
    """Channels of the discriminator's maps, from the image's size down to 4x4 pixels. A single
    number is the width of the largest map, doubled each time the map halves."""

    # Optimisation. Where there are two numbers, the second is that of the end.
    batch_size: int = 16
    """Real images, and as many generated ones, in one update."""
    epochs: int = 1000
    """Passes over the data set, counted from the run's beginning; 0 goes on until stopped. A step
    takes two batches, with --shared-pass one."""
    learning_rate: tuple[float, float] = (2e-4, 5e-5)
    """Adam's learning rate for both networks, at first and in the end; its beta1 is 0."""
    beta2: tuple[float, float] = (0.9, 0.99)
    """Adam's beta2 for both networks, at first and in the end."""
    gamma: tuple[float, float] = (0.0, 0.0)
    """Weight of the penalties, at first and in the end; 0 goes by the image size: 2 at 64 px, 150
    at 256 px, and in the end a tenth of what it was."""
    schedule_steps: int = 20_000
    """Steps in which these three go from first to last, along half a cosine; then they stay."""
    penalty_interval: int = 1
    """Take the penalties in one step of that many, with as many times the weight."""
    shared_pass: bool = False
    """Both networks learn at once from the same images: one batch and one pass of each network
    serve both. Otherwise the generator learns after the discriminator, on a batch of its own."""

    METHOD: ClassVar[str] = "r3gan"
    JUDGE: ClassVar[str] = "discriminator"

    @property
    def batches_per_step(self) -> int:
        """Batches of real images that one step takes."""
        return 1 if self.shared_pass else 2

    def check(self) -> None:
        """Raise UserError for values that make no networks or no training."""
        super().check()
        self.require_between(1, math.inf, "schedule_steps", "penalty_interval")
        self.require_between(1e-12, 1e9, "learning_rate")
        self.require_between(1e-6, 0.9999, "beta2")
        self.require_between(0, 1e9, "gamma")

    def gammas(self) -> tuple[float, float]:
        """Weight of the penalties, at first and in the end.

        The paper has 2 at 64 px and 150 at 256 px. Other sizes lie on the straight line through
        both in logarithms: gamma grows with a power of 3.1 of the size.
        """
        power = math.log(150 / 2, 256 / 64)
        first = self.gamma[0] or 2 * (self.image_size / 64) ** power
        return first, self.gamma[1] or first / 10


# ------------------------------------------------------------------------------------------------
# Networks
# ------------------------------------------------------------------------------------------------


def build_generator(h: Hyperparameters) -> keras.Model:
    """Latent vectors (B, latent_dim) to images (B, image_size, image_size, 3).

    Images are meant to lie in [-1, 1], but nothing holds them there: a tanh would take the gradient
    from black and white. What is beyond is clipped where images are drawn or scored.
    """
    widths = h.widths("generator_filters")
    widths = widths[::-1] if len(h.generator_filters) == 1 else widths
    latents = keras.Input((h.latent_dim,), name="latents")  # (B, latent_dim)
    x = layers.Dense(widths[0], use_bias=False, kernel_initializer=residual.he_normal())(latents)
    # A learned 4x4 map for each channel; the latent vector says how much of it there is.
    basis = keras.initializers.RandomNormal(stddev=1.0)
    x = layers.EinsumDense("bc,chw->bhwc", (4, 4, widths[0]), kernel_initializer=basis)(x)
    for level, filters in enumerate(widths):  # (B, 4, 4, widths[0]), then 8, 16, ...
        if level:
            x = residual.mix_channels(x, filters)
            # Bilinear: every pixel repeated 2x2, then the filter [1, 2, 1] / 4 along both sides.
            x = layers.UpSampling2D(2, interpolation="bilinear")(x)
        for _ in range(h.blocks):
            x = residual.block(x, h.blocks * len(widths), h.groups)
    # In float32: neighbours in bfloat16 are up to half a shade apart.
    images = layers.Conv2D(
        3, 1, use_bias=False, kernel_initializer=residual.he_normal(), dtype="float32",
        name="images",
    )(x)  # (B, image_size, image_size, 3)  # fmt: skip
    return keras.Model(latents, images, name="generator")


def build_discriminator(h: Hyperparameters) -> keras.Model:
    """Images (B, image_size, image_size, 3) to logits (B, 1): the larger the more real.

    Only differences of logits mean something: the loss knows nothing else.
    """
    widths = h.widths("discriminator_filters")
    images = keras.Input((h.image_size, h.image_size, 3), name="images")
    x = residual.mix_channels(images, widths[0])  # (B, image_size, image_size, widths[0])
    for level, filters in enumerate(widths):
        if level:
            x = Downsample()(x)  # (B, H / 2, W / 2, widths[0]), ...
            x = residual.mix_channels(x, filters)  # (B, H / 2, W / 2, widths[1]), ...
        for _ in range(h.blocks):
            x = residual.block(x, h.blocks * len(widths), h.groups)
    # The generator's start the other way round: how much of a learned 4x4 map is in each channel.
    basis = keras.initializers.RandomNormal(stddev=1 / 4)
    x = layers.EinsumDense("bhwc,chw->bc", (widths[-1],), kernel_initializer=basis)(x)
    # x is (B, widths[-1]). An offset would cancel in every difference.
    logits = layers.Dense(
        1, use_bias=False, kernel_initializer=residual.he_normal(), dtype="float32", name="logits"
    )(x)  # (B, 1)
    return keras.Model(images, logits, name="discriminator")


def build_combined(
    generator: keras.Model, discriminator: keras.Model, augment: Augmentation
) -> keras.Model:
    """Latent vectors (B, latent_dim) to what the discriminator says of their images: logits (B, 1).

    Between both stands ``augment``, as in front of the real images. It shares its layers with both
    networks; whom an update of it trains is decided by `frozen`.
    """
    latents = keras.Input(generator.input_shape[1:], name="latents")
    return keras.Model(latents, discriminator(augment(generator(latents))), name="combined")


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
        slopes: gradient of the discriminator's logit with respect to each image, (B, H, W, 3).
    """
    return ops.mean(ops.sum(slopes**2, axis=(1, 2, 3)))


class R3GAN:
    """Both networks, their combined model, their optimizers, and one alternation between them."""

    def __init__(self, h: Hyperparameters) -> None:
        self.hyperparameters = h
        self.generator = build_generator(h)
        self.discriminator = build_discriminator(h)
        self.seed_generator = keras.random.SeedGenerator(h.seed)
        self.augment = Augmentation(
            h.augmentation, self.seed_generator, h.color_strength, h.augmentation_probability,
            h.adapts_augmentation(),
        )  # fmt: skip
        self.combined = build_combined(self.generator, self.discriminator, self.augment)
        ends = {"learning_rate": h.learning_rate, "gamma": h.gammas(), "beta2": h.beta2}
        self.schedules = {
            name: keras.optimizers.schedules.CosineDecay(first, h.schedule_steps, last / first)
            for name, (first, last) in ends.items()
        }
        """Functions of the step that is made."""
        self.generator_optimizer = self._build_optimizer(self.generator)
        self.discriminator_optimizer = self._build_optimizer(self.discriminator)
        self.average = AveragedNetwork(self.generator, h.average_half_life)
        self.networks = {
            "generator": self.average.network,
            "generator-current": self.generator,
            "discriminator": self.discriminator,
        }
        # As they were when they were last taken.
        self.penalties = keras.Variable([0.0, 0.0], trainable=False, name="penalties")

    def _build_optimizer(self, network: keras.Model) -> keras.optimizers.Optimizer:
        made = keras.optimizers.Adam(self.schedules["learning_rate"], beta_1=0.0)
        made.build(network.trainable_variables)  # a checkpoint of step 0 is complete
        return made

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
        h = self.hyperparameters
        return keras.random.normal((h.batch_size, h.latent_dim), seed=self.seed_generator)

    def judge(self, images: Tensor) -> Tensor:
        """What the discriminator says of images (B, H, W, 3), augmented: logits (B, 1).

        An image's logit does not depend on the others of its batch. Slopes are those at the images
        before augmentation.
        """
        return self.discriminator(self.augment(images), training=True)

    def update_discriminator(
        self, real_images: Tensor, fake_images: Tensor
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """(1) Update D: minimise softplus(-(D(x) - D(G(z)))) + gamma / 2 (|grad D(x)|^2 + |grad
        D(G(z))|^2).

        Trains the discriminator's variables.

        Args:
            real_images: x, (B, H, W, 3).
            fake_images: G(z), in the same shape.

        Returns:
            Named scalars; and what the discriminator said before this update: ``real_logits`` and
            ``fake_logits``, (B, 1), with --shared-pass also ``fake_slopes``, (B, H, W, 3).
        """
        h = self.hyperparameters
        step = self.discriminator_optimizer.iterations.value
        schedules = {name: schedule(step) for name, schedule in self.schedules.items()}
        weight = h.penalty_interval * schedules["gamma"] / 2

        def differentiate(penalises: bool) -> tuple[dict[str, Tensor], list[Tensor]]:
            def loss_function() -> tuple[Tensor, dict[str, Tensor]]:
                # Slopes that are not used are not computed, but by PyTorch.
                real_logits, real_slopes = backend.input_gradient(self.judge, real_images)
                fake_logits, fake_slopes = backend.input_gradient(self.judge, fake_images)
                loss, penalties = relativistic_loss(real_logits, fake_logits), self.penalties.value
                answers = {"loss": loss, "real_logits": real_logits, "fake_logits": fake_logits}
                if h.shared_pass:
                    answers["fake_slopes"] = fake_slopes
                total = loss
                if penalises:
                    penalties = ops.stack([*map(zero_centred_penalty, (real_slopes, fake_slopes))])
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
            **gradient_norms("d", gradients, variables),
            "d_updates": ops.copy(self.discriminator_optimizer.iterations),
        }
        return results | schedules, answers

    def update_generator(self, latents: Tensor, real_images: Tensor) -> dict[str, Tensor]:
        """(2) Update G: minimise softplus(-(D(G(z)) - D(x))).

        Trains the generator's variables through the combined model.

        Args:
            latents: z, (B, latent_dim).
            real_images: x, (B, H, W, 3).
        """
        real_logits = self.judge(real_images)

        def loss_function() -> tuple[Tensor, Tensor]:
            loss = relativistic_loss(self.combined(latents, training=True), real_logits)
            return loss, loss

        return self._learn_to_generate(loss_function)

    def update_generator_at_once(
        self, latents: Tensor, answers: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        """(2) as above, with what the discriminator said before its own update.

        By the chain rule, the loss' gradient with respect to a generated image is its derivative
        by the image's logit times the slope there, for every image is judged by itself.

        Args:
            latents: z, (B, latent_dim).
            answers: see `update_discriminator`.
        """
        real_logits, fake_logits = answers["real_logits"], answers["fake_logits"]
        to_logits = -ops.sigmoid(real_logits - fake_logits) / self.hyperparameters.batch_size
        to_images = ops.reshape(to_logits, (-1, 1, 1, 1)) * answers["fake_slopes"]

        def loss_function() -> tuple[Tensor, Tensor]:
            # Not the loss, but it has the loss' gradient.
            images = self.generator(latents, training=True)
            return ops.sum(images * to_images), relativistic_loss(fake_logits, real_logits)

        return self._learn_to_generate(loss_function)

    def _learn_to_generate(self, loss_function: backend.LossFunction) -> dict[str, Tensor]:
        with frozen(self.discriminator):
            variables = self.combined.trainable_variables  # the generator's
            (_, loss), gradients = backend.value_and_grad(loss_function, variables)
            self._apply(self.generator_optimizer, gradients, variables)
        return {
            "g_loss": loss,
            **gradient_norms("g", gradients, variables),
            "g_updates": ops.copy(self.generator_optimizer.iterations),
        }

    def train_step(self, real_batches: Tensor) -> dict[str, Tensor]:
        """One alternation, or with --shared-pass one update of both at once.

        What --shared-pass changes: the generator learns from the discriminator as it was before its
        update, on the images of that update. This is simultaneous gradient descent, for which the
        paper proves that it converges; it trains in turns.

        Args:
            real_batches: uint8 (2, B, H, W, 3), or (1, B, H, W, 3) with --shared-pass.

        Returns:
            ``d_loss``, ``g_loss``: without penalties; log 2 = 0.693 where real and generated images
            are judged alike. ``d_difference``: mean of D(x) - D(G(z)). ``d_ordered``: share of the
            pairs whose real image is judged the more real, 0.5 by chance. ``r1_penalty``,
            ``r2_penalty``: E |grad D|^2 on real and on generated images, without their weight, in
            the last step that took them. ``d_gradient_first``, ``d_gradient_last``, and the same of
            the generator: see `gradient_norms`. ``d_updates``, ``g_updates``: how often either has
            learned. ``learning_rate``, ``gamma``, ``beta2``: of this step.
        """
        h = self.hyperparameters
        real_images = ops.cast(real_batches, "float32") / 127.5 - 1.0
        latents = self.random_latents()
        if h.shared_pass:
            with backend.one_pass(self.generator, latents) as fake_images:
                results, answers = self.update_discriminator(real_images[0], fake_images)
                results |= self.update_generator_at_once(latents, answers)
        else:
            fake_images = self.generator(latents, training=True)
            results, _ = self.update_discriminator(real_images[0], fake_images)
            results |= self.update_generator(self.random_latents(), real_images[1])
        self.average.update(self.generator_optimizer.iterations * h.batch_size, h.batch_size)
        return results


@one_line_errors
def main() -> None:
    """Train, resume or dry-run what the command line says."""
    run(R3GAN, Hyperparameters, __doc__)


if __name__ == "__main__":
    main()
