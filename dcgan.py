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

import random
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from utils import backend
from utils.training.run import run  # before Keras: they keep its start quiet

# isort: split
import keras
from keras import layers, ops

from utils.backend import Tensor
from utils.common.errors import one_line_errors
from utils.models import networks
from utils.models.adversarial import AveragedNetwork, frozen, gradient_norms
from utils.models.augmentation import Augmentation
from utils.models.layers import InstanceNoise, SpectralNormalization
from utils.models.networks import activate
from utils.models.recipes import (
    Balance,
    RecipeOptions,
    discriminator_labels,
    fade_noise,
    feature_distance,
    generator_target,
    with_features,
)
from utils.training.presets import DCGAN_PRESETS, Preset

# ------------------------------------------------------------------------------------------------
# Hyperparameters
# ------------------------------------------------------------------------------------------------


@dataclass
class Hyperparameters(RecipeOptions):
    """What there is to turn. Each field is an option: latent_dim is --latent-dim.

    What every method has (data, epochs, seed, intervals, folders) stands in `RunOptions`, what
    shapes every pyramid of convolutions in `ConvolutionalOptions`, the tricks of the field, all of
    them off, in `RecipeOptions`; a field of theirs that is written here as well has the default
    given here.
    """

    # Architecture.
    latent_dim: int = 100
    """Length of the random vector that an image is generated from."""
    generator_filters: tuple[int, ...] = (32,)
    """Channels of the generator's maps, from the smallest map up. A single number is the width of
    the largest map, doubled each time the map halves. On a GPU 64."""
    discriminator_filters: tuple[int, ...] = (32,)
    """Channels of the discriminator's maps, from the largest map down. A single number is the
    width of the largest map, doubled each time the map halves. On a GPU 64."""
    discriminator_depth: int = 0
    """With a single width: how often the discriminator halves its map; 0 ends at 4x4 pixels."""
    discriminator_dropout: float = 0.0
    """Share of activations dropped after the discriminator's layers; holds it back."""
    normalization: Literal["before-activation", "after-activation", "none"] = "before-activation"
    """Where batch normalisation stands in the inner layers."""
    discriminator_normalized: tuple[int, int] = (2, 99)
    """First and last of the discriminator's layers that are normalised, counted from 1: the first
    layer is left out (Radford et al.), and sees colours as they are."""
    spectral_normalization: bool = False
    """Divide each of the discriminator's weights by its spectral norm (Miyato et al. 2018,
    arXiv:1802.05957), in place of batch normalisation there."""

    # What the discriminator is shown.
    augmentation: tuple[Literal["color", "translation", "cutout"], ...] = ("color", "translation")
    """What is done at random to every image, real or generated, before the discriminator sees it
    (Zhao et al. 2020, arXiv:2006.10738): against learning few pictures by heart. Any of the three;
    without a value, none."""
    augmentation_sureness: float = 0.8
    """Raise that probability also while the mean ``d_real`` since it was last moved (4,000 images)
    is above this share of what labels let it be: then the discriminator's task is too easy, even if
    it knows no picture by heart; 1: not for that."""

    # Optimisation.
    batch_size: int = 16
    """Real images, and as many generated ones, in one update. On a GPU 64."""
    generator_learning_rate: float = 4e-4
    """Adam's learning rate for the generator."""
    generator_beta1: float = 0.5
    """Adam's beta1 for the generator."""
    discriminator_learning_rate: float = 1e-4
    """Adam's learning rate for the discriminator; a quarter of the generator's holds it back."""
    discriminator_beta1: float = 0.5
    """Adam's beta1 for the discriminator."""
    METHOD: ClassVar[str] = "dcgan"
    PRESETS: ClassVar[dict[str, Preset]] = DCGAN_PRESETS
    BEFORE: ClassVar[dict[str, Any]] = RecipeOptions.BEFORE | {"augmentation_sureness": 1.0}
    # On a GPU or TPU in place of the defaults above: edit them here.
    ON_ACCELERATOR: ClassVar[dict[str, Any]] = {
        "batch_size": 64, "generator_filters": (64,), "discriminator_filters": (64,),
    }  # fmt: skip
    # What decides about the shape or the meaning of a weight cannot change when a run resumes.
    FIXED_FIELDS: ClassVar[tuple[str, ...]] = (
        *RecipeOptions.FIXED_FIELDS, "discriminator_filters", "discriminator_depth",
        "discriminator_dropout", "normalization", "discriminator_normalized",
        "spectral_normalization",
    )  # fmt: skip

    def check(self) -> None:
        """Raise UserError for values that make no networks or no training."""
        super().check()
        self.require_between(1, 99, "discriminator_normalized")
        self.require_between(0, 0.99, "discriminator_dropout")
        deepest = len(self.discriminator_widths()) if self.image_size else 9
        self.require_between(0, deepest, "feature_matching_layer")

    def discriminator_widths(self) -> tuple[int, ...]:
        """Channels of the discriminator's maps, the largest first."""
        return networks.pyramid(self.discriminator_filters, self.discriminator_depth, self)


# ------------------------------------------------------------------------------------------------
# Networks
# ------------------------------------------------------------------------------------------------


def build_generator(h: Hyperparameters) -> keras.Model:
    """Latent vectors (B, latent_dim) to images (B, image_size, image_size, 3) in [-1, 1]."""
    widths = networks.pyramid(h.generator_filters, h.generator_depth, h)
    if len(h.generator_filters) == 1:
        widths = widths[::-1]
    size = h.image_size >> len(widths)
    # An offset before batch normalisation would be subtracted again.
    use_bias = h.normalization != "before-activation"

    latents = keras.Input((h.latent_dim,), name="latents")  # (B, latent_dim)
    x = networks.start(latents, size, widths[0], use_bias, h)  # (B, 4, 4, widths[0])
    x = activate(x, layers.ReLU(), h.normalization, h.generator_dropout, h)
    for filters in widths[1:]:
        x = networks.double(x, filters, use_bias, h)  # (B, 8, 8, widths[1]), then 16, 32, ...
        x = activate(x, layers.ReLU(), h.normalization, h.generator_dropout, h)
    x = networks.double(x, 3, True, h)  # (B, image_size, image_size, 3)
    # In bfloat16, 256 shades would become a few dozen.
    images = layers.Activation("tanh", dtype="float32", name="images")(x)
    return keras.Model(latents, images, name="generator")


def build_discriminator(h: Hyperparameters) -> keras.Model:
    """Images (B, image_size, image_size, 3) in [-1, 1] to logits (B, 1): positive means real."""
    widths = h.discriminator_widths()
    first, last = (0, -1) if h.spectral_normalization else h.discriminator_normalized

    def trained(layer: layers.Layer) -> layers.Layer:
        return SpectralNormalization(layer) if h.spectral_normalization else layer

    x = images = keras.Input((h.image_size, h.image_size, 3), name="images")
    if h.instance_noise:
        x = InstanceNoise(h.instance_noise, seed=random.randrange(2**31), name="noise")(x)
    for level, filters in enumerate(widths, start=1):
        place = h.normalization if first <= level <= last else "none"
        use_bias = place != "before-activation"
        x = trained(networks.halving(filters, use_bias, h))(x)  # (B, H / 2, W / 2, widths[0]), ...
        x = activate(x, layers.LeakyReLU(h.leaky_relu_slope), place, h.discriminator_dropout, h)
        if h.feature_matching and level == (h.feature_matching_layer or len(widths)):
            x = layers.Identity(name="features")(x)
        if level == 1:
            x = networks.compare_batch(x, "first", h)
    x = networks.compare_batch(x, "last", h)  # (B, 4, 4, widths[-1])
    x = layers.Flatten()(x)  # (B, 4 * 4 * widths[-1])
    logits = trained(
        layers.Dense(1, kernel_initializer=networks.initializer(h), dtype="float32", name="logits")
    )(x)  # (B, 1)
    return keras.Model(images, logits, name="discriminator")


def build_combined(
    generator: keras.Model, discriminator: keras.Model, augment: Augmentation
) -> keras.Model:
    """Latent vectors (B, latent_dim) to what the discriminator says of their images: logits (B, 1).

    Between both stands ``augment``, as in front of the real images.
    It shares its layers with both networks; whom an update of it trains is decided by `frozen`.
    """
    latents = keras.Input(generator.input_shape[1:], name="latents")
    return keras.Model(latents, discriminator(augment(generator(latents))), name="combined")


# ------------------------------------------------------------------------------------------------
# Losses and the alternation
# ------------------------------------------------------------------------------------------------


def binary_cross_entropy(labels: Tensor, logits: Tensor) -> Tensor:
    """Mean of -(label log D + (1 - label) log(1 - D)), D = sigmoid(logit); both (B, 1).

    log D = -softplus(-logit) and log(1 - D) = -softplus(logit), and their difference is the logit,
    which leaves softplus(logit) - label * logit: exact where a sigmoid would round to 0 or 1.
    """
    return ops.mean(ops.softplus(logits) - labels * logits)


class DCGAN:
    """Both networks, their combined model, their optimizers, and one alternation between them."""

    def __init__(self, h: Hyperparameters) -> None:
        self.hyperparameters = h
        self.generator = build_generator(h)
        self.discriminator = build_discriminator(h)
        # What judges images; where features are matched, it tells them as well.
        self.judge = with_features(self.discriminator, h)
        self.seed_generator = keras.random.SeedGenerator(h.seed)
        self.augment = Augmentation(
            h.augmentation, self.seed_generator, h.color_strength, h.augmentation_probability,
            h.adapts_augmentation(),
        )  # fmt: skip
        self.combined = build_combined(self.generator, self.judge, self.augment)
        self.generator_optimizer = networks.build_optimizer(
            keras.optimizers.Adam, h.generator_learning_rate, self.generator, h,
            beta_1=h.generator_beta1,
        )  # fmt: skip
        self.discriminator_optimizer = networks.build_optimizer(
            keras.optimizers.Adam, h.discriminator_learning_rate, self.discriminator, h,
            self.generator_optimizer.iterations, beta_1=h.discriminator_beta1,
        )  # fmt: skip
        self.average = AveragedNetwork(self.generator, h.average_half_life)
        self.networks = {
            "generator": self.average.network,
            "generator-current": self.generator,
            "discriminator": self.discriminator,
        }
        self.balance = Balance(h.balance, h.label_swap, self.seed_generator)

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
        h = self.hyperparameters
        return keras.random.normal((h.batch_size, h.latent_dim), seed=self.seed_generator)

    def update_discriminator(
        self, real_images: Tensor, fake_images: Tensor, swaps_labels: Tensor | bool = False
    ) -> dict[str, Tensor]:
        """(1) Update D: maximise log D(x) + log(1 - D(G(z))).

        Trains the discriminator's variables; its moving statistics follow its two passes.

        Args:
            real_images: (B, H, W, 3) in [-1, 1].
            fake_images: G(z), in the same shape and range.
            swaps_labels: whether each is given the other's labels.
        """
        h = self.hyperparameters
        real_labels, fake_labels = discriminator_labels(h, swaps_labels, self.seed_generator)
        real_images, fake_images = self.augment(real_images), self.augment(fake_images)
        # Two passes: in one, batch normalisation would mix real with generated images.
        passes = [(real_images, real_labels), (fake_images, fake_labels)]
        updates = [passes] if h.discriminator_updates == "joint" else [[each] for each in passes]
        total, logits = 0.0, []
        with frozen(self.generator):
            variables = self.combined.trainable_variables  # the discriminator's
            for passes in updates:

                def loss_function(passes: list = passes) -> tuple[Tensor, list[Tensor]]:
                    answers = [self.discriminator(images, training=True) for images, _ in passes]
                    losses = [
                        binary_cross_entropy(labels, answer)
                        for (_, labels), answer in zip(passes, answers, strict=True)
                    ]
                    return sum(losses), answers

                (loss, answers), gradients = backend.value_and_grad(loss_function, variables)
                backend.apply_if(
                    self.balance.trains_discriminator(loss),
                    self.discriminator_optimizer, gradients, variables,
                )  # fmt: skip
                total, logits = total + loss, logits + answers
        return {
            "d_loss": total,
            "d_real": ops.mean(ops.sigmoid(logits[0])),
            "d_fake": ops.mean(ops.sigmoid(logits[1])),
            **gradient_norms("d", gradients, variables),
            "d_updates": ops.copy(self.discriminator_optimizer.iterations),
        }

    def update_generator(
        self, latents: Tensor, real_images: Tensor | None = None
    ) -> dict[str, Tensor]:
        """(2) Update G: maximise log D(G(z)).

        Trains the generator's variables through the combined model. Moving statistics of both
        networks follow their one pass over generated images, and the discriminator's one over real
        images where features are matched.

        Args:
            latents: z, (B, latent_dim).
            real_images: (B, H, W, 3) in [-1, 1], whose features are to be matched.
        """
        h = self.hyperparameters
        target = generator_target(h)
        if h.feature_matching:
            _, real_features = self.judge(self.augment(real_images), training=True)

        def loss_function() -> tuple[Tensor, Tensor]:
            if not h.feature_matching:
                loss = binary_cross_entropy(target, self.combined(latents, training=True))
                return loss, loss
            logits, fake_features = self.combined(latents, training=True)
            loss = binary_cross_entropy(target, logits)
            distance = feature_distance(ops.stop_gradient(real_features), fake_features)
            return loss + h.feature_matching * distance, loss

        with frozen(self.discriminator):
            variables = self.combined.trainable_variables  # the generator's
            (_, loss), gradients = backend.value_and_grad(loss_function, variables)
            backend.apply_if(
                self.balance.trains_generator(loss), self.generator_optimizer, gradients, variables
            )
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
            2 log 2 = 1.386 when it cannot tell them apart. ``g_loss``: log 2 = 0.693 then; without
            what feature matching adds. ``d_real``, ``d_fake``: its mean answer on real and on
            generated images, from 0 (generated) to 1 (real). ``d_gradient_first``,
            ``d_gradient_last``, and the same of the generator: see `gradient_norms`.
            ``d_updates``, ``g_updates``: how often either has learned.
        """
        h = self.hyperparameters
        real_images = ops.cast(real_batches[0], "float32") / 127.5 - 1.0
        latents = self.random_latents()
        if h.instance_noise:
            fade_noise(self.discriminator, self.generator_optimizer.iterations, h)
        swaps_labels = self.balance.begin()
        # The generator stays as it is until its own update: one pass of it serves both.
        with backend.one_pass(self.generator, latents) as fake_images:
            results = self.update_discriminator(real_images, fake_images, swaps_labels)
            results |= self.update_generator(latents, real_images)
        self.average.update(self.generator_optimizer.iterations * h.batch_size, h.batch_size)
        return results


@one_line_errors
def main() -> None:
    """Train, resume or dry-run what the command line says."""
    run(DCGAN, Hyperparameters, __doc__)


if __name__ == "__main__":
    main()
