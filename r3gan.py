"""R3GAN: residual networks without normalisation, a loss that compares a real image with a generated
one, and a penalty on the discriminator's slope at both.

    python r3gan.py                                   # 1,666 drawn robots, 64 px
    python r3gan.py --data pictures/ --mirror         # a folder of your own pictures
    python r3gan.py --shared-pass                     # both networks learn from one pass: quicker
    python r3gan.py --resume r3gan-1 --epochs 2000    # go on where a run stopped
    python r3gan.py --dry-run                         # networks, memory, speed; trains nothing
    KERAS_BACKEND=jax python r3gan.py                 # or torch; tensorflow is the default

Look at images/RUN/ while it learns. Ctrl-C stops a run cleanly.

Huang, Gokaslan, Kuleshov, Tompkin: The GAN is dead; long live the GAN! A Modern Baseline GAN, NeurIPS
2024 (arXiv:2501.05441). The loss is that of Jolicoeur-Martineau, 2018 (arXiv:1807.00734) in pairs;
lazy penalties are those of Karras et al., 2020 (arXiv:1912.04958).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from utils import backend, training  # before Keras: they keep its start quiet

# isort: split
import keras
from keras import layers, ops

from utils import networks
from utils.adversarial import AveragedNetwork, frozen, gradient_norms
from utils.backend import Tensor
from utils.commandline import option_name
from utils.errors import UserError, one_line_errors
from utils.layers import Downsample
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
    latent_dim: int = 64
    """Length of the random vector that an image is generated from."""
    generator_filters: tuple[int, ...] = (16,)
    """Channels of the generator's maps, from 4x4 pixels up to the image's size. A single number is
    the width of the largest map, doubled each time the map halves."""
    discriminator_filters: tuple[int, ...] = (16,)
    """Channels of the discriminator's maps, from the image's size down to 4x4 pixels. A single
    number is the width of the largest map, doubled each time the map halves."""
    max_filters: int = 256
    """Doubling stops at this width."""
    blocks: int = 1
    """Residual blocks at each size of the maps, in both networks; the paper has 2."""
    expansion: int = 2
    """A block's inner maps have that many times its channels."""
    groups: int = 1
    """Groups of each 3x3 convolution, inside which channels are mixed; the paper has groups of 16
    channels. On a CPU, TensorFlow is many times slower with more than one."""

    # Optimisation.
    batch_size: int = 16
    """Real images, and as many generated ones, in one update."""
    epochs: int = 1000
    """Passes over the data set, counted from the run's beginning; 0 goes on until stopped. A step
    takes two batches, with --shared-pass one."""
    learning_rate: float = 2e-4
    """Adam's learning rate for both networks, at first; its beta1 is 0."""
    final_learning_rate: float = 5e-5
    """The same in the end."""
    beta2: float = 0.9
    """Adam's beta2 for both networks, at first."""
    final_beta2: float = 0.99
    """The same in the end."""
    gamma: float = 0.0
    """Weight of the penalties, at first; 0 goes by the image size: 2 at 64 px, 150 at 256 px."""
    final_gamma: float = 0.0
    """The same in the end; 0 takes a tenth of what it is at first."""
    schedule_steps: int = 20_000
    """Steps in which these three go from first to last, along half a cosine; then they stay."""
    penalty_interval: int = 1
    """Take the penalties in one step of that many, with as many times the weight."""
    shared_pass: bool = False
    """Both networks learn at the same moment from the same images: one batch and one pass of each
    network serve both. Otherwise the generator learns on a batch of its own, after the
    discriminator and against what that has become."""

    METHOD: ClassVar[str] = "r3gan"
    JUDGE: ClassVar[str] = "discriminator"
    # What decides about the shape or the meaning of a weight cannot change when a run resumes.
    FIXED_FIELDS: ClassVar[tuple[str, ...]] = (
        *RunOptions.FIXED_FIELDS, "generator_filters", "discriminator_filters", "max_filters",
        "blocks", "expansion", "groups",
    )  # fmt: skip

    @property
    def batches_per_step(self) -> int:
        """Batches of real images that one step takes."""
        return 1 if self.shared_pass else 2

    def check(self) -> None:
        """Raise UserError for values that make no networks or no training."""
        super().check()
        filters = ("generator_filters", "discriminator_filters")
        self.require_between(
            1, math.inf, *filters, "max_filters", "expansion", "groups", "schedule_steps",
            "penalty_interval",
        )  # fmt: skip
        self.require_between(1, 100, "blocks")
        self.require_between(0, 1e9, "gamma", "final_gamma", "final_learning_rate")
        self.require_between(1e-12, 1e9, "learning_rate")
        self.require_between(1e-6, 0.9999, "beta2", "final_beta2")
        for field in filters if self.image_size else ():
            given, sizes = len(getattr(self, field)), int(math.log2(self.image_size)) - 1
            if given not in (1, sizes):
                raise UserError(
                    f"{option_name(field)}: {given} given, must be 1, or {sizes} for maps from 4 "
                    f"to {self.image_size} px"
                )
            for width in self.widths(field):
                if width * self.expansion % self.groups:
                    raise UserError(
                        f"--groups {self.groups}: does not divide the {width * self.expansion} "
                        f"channels in a block of {option_name(field)}"
                    )

    def widths(self, field: str) -> tuple[int, ...]:
        """Channels of a network's maps, the largest map first where a single width doubles."""
        return networks.pyramid(getattr(self, field), int(math.log2(self.image_size)) - 1, self)

    def gammas(self) -> tuple[float, float]:
        """Weight of the penalties, at first and in the end.

        The paper has 2 at 64 px and 150 at 256 px: what lies between is on the straight line
        through both in logarithms, a power of 3.1 of the size.
        """
        power = math.log(150 / 2, 256 / 64)
        first = self.gamma or 2 * (self.image_size / 64) ** power
        return first, self.final_gamma or first / 10


# ------------------------------------------------------------------------------------------------
# Networks
# ------------------------------------------------------------------------------------------------


def he_normal(gain: float = 1.0) -> keras.initializers.Initializer:
    """N(0, gain / fan in): outputs have ``gain`` times the inputs' variance."""
    return keras.initializers.VarianceScaling(gain, "fan_in", "untruncated_normal")


def convolve(x: Tensor, filters: int, gain: float = 1.0) -> Tensor:
    """Maps (B, H, W, C) to (B, H, W, filters), pixel by pixel."""
    return layers.Conv2D(filters, 1, use_bias=False, kernel_initializer=he_normal(gain))(x)


def residual_block(x: Tensor, depth: int, h: Hyperparameters) -> Tensor:
    """Maps (B, H, W, C) to maps of the same shape, and at the start of training to themselves.

    Args:
        x: the maps.
        depth: residual blocks of the whole network. The more there are, the smaller they start
            (depth^-1/4 on both kernels: Zhang et al. 2019, arXiv:1901.09321), so that their sum
            does not grow with their number. This is what stands in for normalisation.
        h: width of the inner maps and groups.
    """
    filters = x.shape[-1]
    # What LeakyReLU takes from the variance (He et al. 2015), and the scale above, squared.
    gain = 2 / (1 + 0.2**2) / math.sqrt(depth)
    inner = layers.Conv2D(
        filters * h.expansion, 1, kernel_initializer=he_normal(gain)
    )(x)  # (B, H, W, C * expansion)  # fmt: skip
    inner = layers.LeakyReLU(0.2)(inner)
    inner = layers.Conv2D(
        filters * h.expansion, 3, padding="same", groups=h.groups,
        kernel_initializer=he_normal(gain),
    )(inner)  # fmt: skip
    inner = layers.LeakyReLU(0.2)(inner)
    inner = layers.Conv2D(
        filters, 1, use_bias=False, kernel_initializer="zeros"
    )(inner)  # (B, H, W, C)  # fmt: skip
    return layers.Add()([x, inner])


def build_generator(h: Hyperparameters) -> keras.Model:
    """Latent vectors (B, latent_dim) to images (B, image_size, image_size, 3).

    Images are meant to lie in [-1, 1], and nothing forces them there: a tanh would flatten the
    gradient of white and black. What is beyond is clipped where they are drawn or scored.
    """
    widths = h.widths("generator_filters")
    widths = widths[::-1] if len(h.generator_filters) == 1 else widths
    latents = keras.Input((h.latent_dim,), name="latents")  # (B, latent_dim)
    x = layers.Dense(widths[0], use_bias=False, kernel_initializer=he_normal())(latents)
    # One learned 4x4 map for each channel; the latent vector says how much of it there is.
    basis = keras.initializers.RandomNormal(stddev=1.0)
    x = layers.EinsumDense(
        "bc,chw->bhwc", (4, 4, widths[0]), kernel_initializer=basis
    )(x)  # (B, 4, 4, widths[0])  # fmt: skip
    for level, filters in enumerate(widths):
        if level:
            if filters != x.shape[-1]:
                x = convolve(x, filters)
            # Bilinear: every pixel repeated 2x2, then the filter [1, 2, 1] / 4 along both sides.
            x = layers.UpSampling2D(2, interpolation="bilinear")(x)  # (B, 8, 8, widths[1]), ...
        for _ in range(h.blocks):
            x = residual_block(x, h.blocks * len(widths), h)
    x = convolve(x, 3)  # (B, image_size, image_size, 3)
    # In bfloat16, 256 shades would become a few dozen.
    images = layers.Activation("linear", dtype="float32", name="images")(x)
    return keras.Model(latents, images, name="generator")


def build_discriminator(h: Hyperparameters) -> keras.Model:
    """Images (B, image_size, image_size, 3) to logits (B, 1): the larger the more real.

    Only differences of logits mean something: the loss knows nothing else.
    """
    widths = h.widths("discriminator_filters")
    images = keras.Input((h.image_size, h.image_size, 3), name="images")
    x = convolve(images, widths[0])  # (B, image_size, image_size, widths[0])
    for level, filters in enumerate(widths):
        if level:
            x = Downsample()(x)  # (B, H / 2, W / 2, widths[0]), ...
            if filters != x.shape[-1]:
                x = convolve(x, filters)  # (B, H / 2, W / 2, widths[1]), ...
        for _ in range(h.blocks):
            x = residual_block(x, h.blocks * len(widths), h)
    # The generator's start the other way round: how much of a learned 4x4 map is in each channel.
    basis = keras.initializers.RandomNormal(stddev=1 / 4)
    x = layers.EinsumDense(
        "bhwc,chw->bc", (widths[-1],), kernel_initializer=basis
    )(x)  # (B, widths[-1])  # fmt: skip
    # An offset would cancel in every difference.
    logits = layers.Dense(
        1, use_bias=False, kernel_initializer=he_normal(), dtype="float32", name="logits"
    )(x)  # (B, 1)
    return keras.Model(images, logits, name="discriminator")


def build_combined(generator: keras.Model, discriminator: keras.Model) -> keras.Model:
    """Latent vectors (B, latent_dim) to what the discriminator says of their images: logits (B, 1).

    It shares its layers with both networks; whom an update of it trains is decided by `frozen`.
    """
    latents = keras.Input(generator.input_shape[1:], name="latents")
    return keras.Model(latents, discriminator(generator(latents)), name="combined")


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
        self.combined = build_combined(self.generator, self.discriminator)
        self.schedules = {
            name: keras.optimizers.schedules.CosineDecay(first, h.schedule_steps, last / first)
            for name, (first, last) in {
                "learning_rate": (h.learning_rate, h.final_learning_rate),
                "gamma": h.gammas(),
                "beta2": (h.beta2, h.final_beta2),
            }.items()
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
        self.seed_generator = keras.random.SeedGenerator(h.seed)
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
        """What the discriminator says of images (B, H, W, 3): logits (B, 1).

        Every image that either update shows to the discriminator passes here, one by one: an
        image's logit does not depend on the others of its batch.
        """
        return self.discriminator(images, training=True)

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
            Named scalars; and of the discriminator before this update, ``real_logits`` and
            ``fake_logits``, (B, 1), and with --shared-pass ``fake_slopes``, (B, H, W, 3).
        """
        h = self.hyperparameters
        step = self.discriminator_optimizer.iterations.value
        schedules = {name: schedule(step) for name, schedule in self.schedules.items()}
        weight = h.penalty_interval * schedules["gamma"] / 2

        def differentiate(penalises: bool) -> tuple[dict[str, Tensor], list[Tensor]]:
            def loss_function() -> tuple[Tensor, dict[str, Tensor]]:
                answers = {}
                asked = {"real": penalises, "fake": penalises or h.shared_pass}
                for kind, images in (("real", real_images), ("fake", fake_images)):
                    if asked[kind]:
                        answers[f"{kind}_logits"], answers[f"{kind}_slopes"] = (
                            backend.input_gradient(self.judge, images)
                        )
                    else:
                        answers[f"{kind}_logits"] = self.judge(images)
                answers["loss"] = loss = relativistic_loss(
                    answers["real_logits"], answers["fake_logits"]
                )
                answers["penalties"] = self.penalties.value
                if penalises:
                    slopes = answers.pop("real_slopes"), answers["fake_slopes"]
                    answers["penalties"] = ops.stack([zero_centred_penalty(x) for x in slopes])
                    loss += weight * ops.sum(answers["penalties"])
                if not h.shared_pass:
                    answers.pop("fake_slopes", None)
                return loss, answers

            (_, answers), gradients = backend.value_and_grad(loss_function, variables)
            return answers, gradients

        with frozen(self.generator):
            variables = self.combined.trainable_variables  # the discriminator's
            if h.penalty_interval == 1:
                answers, gradients = differentiate(penalises=True)
            else:
                answers, gradients = backend.either(
                    step % h.penalty_interval == 0,
                    lambda: differentiate(penalises=True),
                    lambda: differentiate(penalises=False),
                )
            self._apply(self.discriminator_optimizer, gradients, variables)
        self.penalties.assign(answers["penalties"])
        difference = answers["real_logits"] - answers["fake_logits"]  # (B, 1)
        results = {
            "d_loss": answers["loss"],
            "d_difference": ops.mean(difference),
            "d_ordered": ops.mean(ops.cast(difference > 0, "float32")),
            "r1_penalty": answers["penalties"][0],
            "r2_penalty": answers["penalties"][1],
            **gradient_norms("d", gradients, variables),
            "d_updates": ops.copy(self.discriminator_optimizer.iterations),
        }
        return results | schedules, answers

    def update_generator(
        self, latents: Tensor, real_images: Tensor | None, answers: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        """(2) Update G: minimise softplus(-(D(G(z)) - D(x))).

        Trains the generator's variables through the combined model; with --shared-pass through the
        generator alone, for what the discriminator would add to the chain rule is known: it judges
        every image by itself, so that an image's slope, which the penalty took, times the loss'
        derivative by the logit is all of it.

        Args:
            latents: z, (B, latent_dim).
            real_images: x, (B, H, W, 3); None with --shared-pass.
            answers: of `update_discriminator`; used with --shared-pass.
        """
        h = self.hyperparameters
        if h.shared_pass:
            real_logits, fake_logits = answers["real_logits"], answers["fake_logits"]
            to_logits = -ops.sigmoid(real_logits - fake_logits) / h.batch_size  # (B, 1)
            to_images = ops.reshape(to_logits, (-1, 1, 1, 1)) * answers["fake_slopes"]
        else:
            real_logits = self.judge(real_images)

        def loss_function() -> tuple[Tensor, Tensor]:
            if not h.shared_pass:
                loss = relativistic_loss(self.combined(latents, training=True), real_logits)
                return loss, loss
            # No loss, but what has the loss' gradient.
            images = self.generator(latents, training=True)
            return ops.sum(images * to_images), relativistic_loss(fake_logits, real_logits)

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

        With that, the generator learns from the discriminator that its images have just been shown
        to, as in simultaneous gradient descent (for which the paper proves convergence; it trains
        by turns), and from the real images of that update instead of others.

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
                results |= self.update_generator(latents, None, answers)
        else:
            fake_images = self.generator(latents, training=True)
            results, _ = self.update_discriminator(real_images[0], fake_images)
            results |= self.update_generator(self.random_latents(), real_images[1], {})
        self.average.update(self.generator_optimizer.iterations * h.batch_size, h.batch_size)
        return results


@one_line_errors
def main() -> None:
    """Train, resume or dry-run what the command line says."""
    training.run(R3GAN, Hyperparameters, __doc__)


if __name__ == "__main__":
    main()
