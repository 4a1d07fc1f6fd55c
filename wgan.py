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

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from utils import backend
from utils.training.run import run  # before Keras: they keep its start quiet

# isort: split
import keras
from keras import layers, ops

from utils.backend import Tensor
from utils.common.errors import UserError, one_line_errors
from utils.models import networks
from utils.models.adversarial import AveragedNetwork, frozen, gradient_norms
from utils.models.augmentation import Augmentation
from utils.models.networks import ConvolutionalOptions, activate
from utils.training.presets import WGAN_PRESETS, Preset

# ------------------------------------------------------------------------------------------------
# Hyperparameters
# ------------------------------------------------------------------------------------------------


@dataclass
class Hyperparameters(ConvolutionalOptions):
    """What there is to turn. Each field is an option: latent_dim is --latent-dim.

    What every method has (data, epochs, seed, intervals, folders) stands in `RunOptions`, what
    shapes every pyramid of convolutions in `ConvolutionalOptions`; a field of theirs that is
    written here as well has the default given here.
    """

    # Architecture.
    latent_dim: int = 100
    """Length of the random vector that an image is generated from."""
    generator_filters: tuple[int, ...] = (32,)
    """Channels of the generator's maps, from the smallest map up. A single number is the width of
    the largest map, doubled each time the map halves. On a GPU 64."""
    critic_filters: tuple[int, ...] = (32,)
    """Channels of the critic's maps, from the largest map down. A single number is the width of
    the largest map, doubled each time the map halves. On a GPU 64."""
    critic_depth: int = 0
    """With a single width: how often the critic halves its map; 0 ends at 4x4 pixels."""
    critic_normalization: Literal["none", "layer", "batch"] = "none"
    """In the critic's inner layers. Batch normalisation mixes the images of a batch, whose
    gradients the penalty takes one by one: it goes with --constraint clip only."""

    # Optimisation.
    constraint: Literal["penalty", "clip"] = "penalty"
    """What keeps the critic's slope near or below 1: a penalty on its gradient, or clipped
    weights."""
    penalty_weight: float = 10.0
    """Weight of the gradient penalty in the critic's loss."""
    clip_value: float = 0.01
    """Weights are clipped to [-clip-value, clip-value] after each update of the critic."""
    n_critic: int = 5
    """Updates of the critic for one of the generator, each on images of its own."""
    batch_size: int = 16
    """Real images, and as many generated ones, in one update. On a GPU 64."""
    epochs: int = 1000
    """Passes over the data set, counted from the run's beginning; 0 goes on until stopped. A step
    takes n-critic batches."""
    optimizer: Literal["adam", "rmsprop"] = "adam"
    """Of both networks."""
    generator_learning_rate: float = 2e-4
    """The optimizer's learning rate for the generator."""
    generator_beta1: float = 0.0
    """Adam's beta1 for the generator; momentum does not go well with a critic (Arjovsky et al.)."""
    critic_learning_rate: float = 2e-4
    """The optimizer's learning rate for the critic."""
    critic_beta1: float = 0.0
    """Adam's beta1 for the critic."""
    beta2: float = 0.9
    """Adam's beta2 for both."""

    METHOD: ClassVar[str] = "wgan"
    JUDGE: ClassVar[str] = "critic"
    PRESETS: ClassVar[dict[str, Preset]] = WGAN_PRESETS
    # On a GPU or TPU in place of the defaults above: edit them here.
    ON_ACCELERATOR: ClassVar[dict[str, Any]] = {
        "batch_size": 64, "generator_filters": (64,), "critic_filters": (64,),
    }  # fmt: skip
    # What decides about the shape or the meaning of a weight cannot change when a run resumes.
    FIXED_FIELDS: ClassVar[tuple[str, ...]] = (
        *ConvolutionalOptions.FIXED_FIELDS, "critic_filters", "critic_depth",
        "critic_normalization", "optimizer",
    )  # fmt: skip

    @property
    def batches_per_step(self) -> int:
        """Batches of real images that one step takes."""
        return self.n_critic

    def check(self) -> None:
        """Raise UserError for values that make no networks or no training."""
        super().check()
        self.require_between(0, 1e9, "penalty_weight")
        self.require_between(1e-9, 1e9, "clip_value")
        self.require_between(1, 1000, "n_critic")
        self.require_between(0, 0.9999, "beta2")
        if self.constraint == "penalty" and self.critic_normalization == "batch":
            raise UserError(
                "--critic-normalization batch: with --constraint penalty, which takes the gradient "
                "of each image by itself, it must be none or layer"
            )


# ------------------------------------------------------------------------------------------------
# Networks
# ------------------------------------------------------------------------------------------------


def build_generator(h: Hyperparameters) -> keras.Model:
    """Latent vectors (B, latent_dim) to images (B, image_size, image_size, 3) in [-1, 1]."""
    widths = networks.pyramid(h.generator_filters, h.generator_depth, h)
    if len(h.generator_filters) == 1:
        widths = widths[::-1]
    size = h.image_size >> len(widths)

    latents = keras.Input((h.latent_dim,), name="latents")  # (B, latent_dim)
    # An offset before batch normalisation would be subtracted again.
    x = networks.start(latents, size, widths[0], False, h)  # (B, 4, 4, widths[0])
    x = activate(x, layers.ReLU(), "before-activation", h.generator_dropout, h)
    for filters in widths[1:]:
        x = networks.double(x, filters, False, h)  # (B, 8, 8, widths[1]), then 16, 32, ...
        x = activate(x, layers.ReLU(), "before-activation", h.generator_dropout, h)
    x = networks.double(x, 3, True, h)  # (B, image_size, image_size, 3)
    # In bfloat16, 256 shades would become a few dozen.
    images = layers.Activation("tanh", dtype="float32", name="images")(x)
    return keras.Model(latents, images, name="generator")


def build_critic(h: Hyperparameters) -> keras.Model:
    """Images (B, image_size, image_size, 3) in [-1, 1] to any number (B, 1): larger is more real.

    Without a sigmoid: the numbers are no probabilities, and only their differences mean something.
    """
    x = images = keras.Input((h.image_size, h.image_size, 3), name="images")
    for level, filters in enumerate(networks.pyramid(h.critic_filters, h.critic_depth, h)):
        # The first layer stays without normalisation: it sees colours as they are.
        normalizes = level > 0 and h.critic_normalization != "none"
        x = networks.halving(filters, not normalizes, h)(x)  # (B, H / 2, W / 2, widths[0]), ...
        x = activate(
            x, layers.LeakyReLU(h.leaky_relu_slope), "before-activation" if normalizes else "none",
            0.0, h, "layer" if h.critic_normalization == "layer" else "batch",
        )  # fmt: skip
        if level == 0:
            x = networks.compare_batch(x, "first", h)
    x = networks.compare_batch(x, "last", h)  # (B, 4, 4, widths[-1])
    x = layers.Flatten()(x)  # (B, 4 * 4 * widths[-1])
    answers = layers.Dense(
        1, kernel_initializer=networks.initializer(h), dtype="float32", name="answers"
    )(x)  # (B, 1)
    return keras.Model(images, answers, name="critic")


def build_combined(
    generator: keras.Model, critic: keras.Model, augment: Augmentation
) -> keras.Model:
    """Latent vectors (B, latent_dim) to the critic's answers (B, 1) on what they generate.

    Between both stands ``augment``, as in front of the real images.
    It shares its layers with both networks; whom an update of it trains is decided by `frozen`.
    """
    latents = keras.Input(generator.input_shape[1:], name="latents")
    return keras.Model(latents, critic(augment(generator(latents))), name="combined")


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
        gradient: of the critic's answer with respect to each image, (B, H, W, 3).
    """
    # The slope of a square root at 0 is infinite, and times 0 it would be NaN.
    norms = ops.sqrt(ops.sum(gradient**2, axis=(1, 2, 3)) + 1e-12)  # (B,)
    return ops.mean((norms - 1.0) ** 2)


def clipped_variables(critic: keras.Model) -> list[keras.Variable]:
    """What clipping clips: trained weights and offsets, without normalisation's scale and offset.

    A scale clipped to 0.01 would take the signal away, and clipped moving statistics belong to no
    images at all; both have been done.
    """
    return [v for v in critic.trainable_variables if v.name not in ("gamma", "beta")]


class WGAN:
    """Both networks, their combined model, their optimizers, and one alternation between them."""

    def __init__(self, h: Hyperparameters) -> None:
        self.hyperparameters = h
        self.generator = build_generator(h)
        self.critic = build_critic(h)
        self.seed_generator = keras.random.SeedGenerator(h.seed)
        self.augment = Augmentation(
            h.augmentation, self.seed_generator, h.color_strength, h.augmentation_probability,
            h.adapts_augmentation(),
        )  # fmt: skip
        self.combined = build_combined(self.generator, self.critic, self.augment)
        self.generator_optimizer = self._build_optimizer(
            self.generator, h.generator_learning_rate, h.generator_beta1
        )
        self.critic_optimizer = self._build_optimizer(
            self.critic, h.critic_learning_rate, h.critic_beta1, self.generator_optimizer.iterations
        )
        self.average = AveragedNetwork(self.generator, h.average_half_life)
        self.networks = {
            "generator": self.average.network,
            "generator-current": self.generator,
            "critic": self.critic,
        }

    def _build_optimizer(
        self,
        network: keras.Model,
        learning_rate: float,
        beta1: float,
        counter: keras.Variable | None = None,
    ) -> keras.optimizers.Optimizer:
        h = self.hyperparameters
        if h.optimizer == "rmsprop":
            return networks.build_optimizer(
                keras.optimizers.RMSprop, learning_rate, network, h, counter
            )
        return networks.build_optimizer(
            keras.optimizers.Adam, learning_rate, network, h, counter, beta_1=beta1, beta_2=h.beta2
        )

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
        h = self.hyperparameters
        return keras.random.normal((h.batch_size, h.latent_dim), seed=self.seed_generator)

    def update_critic(self, real_images: Tensor, fake_images: Tensor) -> dict[str, Tensor]:
        """(1) Update f: maximise E f(x) - E f(G(z)), under the constraint on its slope.

        Trains the critic's variables.

        Args:
            real_images: (B, H, W, 3) in [-1, 1].
            fake_images: G(z), in the same shape and range.
        """
        h = self.hyperparameters
        real_images, fake_images = self.augment(real_images), self.augment(fake_images)
        # One random point on the line between each real and a generated image, both augmented.
        share = keras.random.uniform((h.batch_size, 1, 1, 1), seed=self.seed_generator)
        between = real_images + share * (fake_images - real_images)

        def loss_function() -> tuple[Tensor, dict[str, Tensor]]:
            # Two passes: in one, batch normalisation would mix real with generated images.
            estimate = wasserstein_estimate(
                self.critic(real_images, training=True), self.critic(fake_images, training=True)
            )
            results = {"critic_loss": -estimate, "wasserstein": estimate}
            if h.constraint == "penalty":
                _, gradient = backend.input_gradient(
                    lambda images: self.critic(images, training=True), between
                )
                penalty = gradient_penalty(gradient)
                results["critic_loss"] += h.penalty_weight * penalty
                results["gradient_penalty"] = penalty
            return results["critic_loss"], results

        with frozen(self.generator):
            variables = self.combined.trainable_variables  # the critic's
            (_, results), gradients = backend.value_and_grad(loss_function, variables)
            self.critic_optimizer.apply(gradients, variables)
        if h.constraint == "clip":
            for variable in clipped_variables(self.critic):
                variable.assign(ops.clip(variable.value, -h.clip_value, h.clip_value))
        results |= gradient_norms("critic", gradients, variables)
        return results | {"critic_updates": ops.copy(self.critic_optimizer.iterations)}

    def update_generator(self, latents: Tensor) -> dict[str, Tensor]:
        """(2) Update G: maximise E f(G(z)).

        Trains the generator's variables through the combined model.

        Args:
            latents: z, (B, latent_dim).
        """

        def loss_function() -> tuple[Tensor, None]:
            return -ops.mean(self.combined(latents, training=True)), None

        with frozen(self.critic):
            variables = self.combined.trainable_variables  # the generator's
            (loss, _), gradients = backend.value_and_grad(loss_function, variables)
            self.generator_optimizer.apply(gradients, variables)
        return {
            "g_loss": loss,
            **gradient_norms("g", gradients, variables),
            "g_updates": ops.copy(self.generator_optimizer.iterations),
        }

    def train_step(self, real_batches: Tensor) -> dict[str, Tensor]:
        """One alternation: n_critic updates of the critic, one of the generator.

        Args:
            real_batches: uint8 (n_critic, B, H, W, 3).

        Returns:
            ``wasserstein``: the critic's estimate of the distance, in its last update; it falls as
            images get better, once the critic has caught up with the generator. ``critic_loss``:
            its negative and the weighted penalty. ``gradient_penalty``: without its weight.
            ``g_loss``: the negative of the critic's mean answer on generated images; it drifts.
            ``critic_gradient_first``, ``critic_gradient_last``, and the same of the generator: see
            `gradient_norms`. ``critic_updates``, ``g_updates``: how often either has learned.
        """
        h = self.hyperparameters
        for number in range(h.n_critic):
            real_images = ops.cast(real_batches[number], "float32") / 127.5 - 1.0
            latents = self.random_latents()
            if number < h.n_critic - 1:
                self.update_critic(real_images, self.generator(latents, training=True))
                continue
            # From the critic's last update on the generator stays as it is until its own: one pass
            # of it serves both.
            with backend.one_pass(self.generator, latents) as fake_images:
                results = self.update_critic(real_images, fake_images)
                results |= self.update_generator(latents)
        self.average.update(self.generator_optimizer.iterations * h.batch_size, h.batch_size)
        return results


@one_line_errors
def main() -> None:
    """Train, resume or dry-run what the command line says."""
    run(WGAN, Hyperparameters, __doc__)


if __name__ == "__main__":
    main()
