"""The networks and trainings of published projects, as sets of options.

``--preset NAME`` takes these in place of the defaults; every option that is given besides wins.
Values stand here as their sources have them. What is known to be an error there, or cannot be said
with our options, is named in ``differs``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Preset:
    """Options by the names of their fields, where they come from, and what is not as it is there.

    What a preset leaves out is as it is by default.
    """

    source: str
    values: dict[str, Any] = field(default_factory=dict)
    differs: str = ""

    def described(self) -> str:
        """Where it comes from and what differs, in a sentence each."""
        return f"{self.source}." + (f" Differs: {self.differs}." if self.differs else "")


# No dropout, no augmentation, float32; the weights are averaged all the same.
_NO_EXTRAS = {"discriminator_dropout": 0.0, "augmentation": (), "precision": "float32"}
_PLAIN = {"generator_architecture": "plain", "upscaling": "transposed"}
_EDOUARD99 = {
    "latent_dim": 16, "batch_size": 32, "epochs": 150,
    "generator_start": "convolutional", "max_filters": 1024, "kernel_size": 4,
    "initial_stddev": 0.02, "normalization_stddev": 0.02,
    "minibatch": "discrimination",
}  # fmt: skip
_EDOUARD99_DCGAN = {
    **_NO_EXTRAS, **_PLAIN, **_EDOUARD99,
    "generator_learning_rate": 1.5e-4, "discriminator_learning_rate": 1.5e-4,
    "label_smoothing": 0.1, "smoothing_sides": "two-sided",
}  # fmt: skip
_EDOUARD99_WGAN = {
    **_EDOUARD99, "precision": "float32", "critic_normalization": "batch",
    "constraint": "clip", "clip_value": 0.01, "n_critic": 3, "optimizer": "rmsprop",
    "generator_learning_rate": 5e-5, "critic_learning_rate": 5e-5,
}  # fmt: skip
_AT_64 = {"image_size": 64, "generator_filters": (128,), "minibatch_maps": 2}
_AT_256 = {
    "image_size": 256, "generator_filters": (32,), "minibatch_maps": 4, "minibatch_side": 0,
}  # fmt: skip
_EDOUARD99_SOURCE = "github.com/Edouard99/GAN"
_EDOUARD99_DIFFERS = (
    "the first layer of the discriminator and the last of the generator have an offset"
)
_GANDAM_DIFFERS = (
    "batch normalisation stays in training mode while the discriminator is frozen (Keras 2 "
    "switched it to inference, hence the momentum of 0.3); the combined model's gradient trains "
    "the generator alone"
)

DCGAN_PRESETS: dict[str, Preset] = {
    "plain": Preset(
        "the first defaults: a plain generator, no augmentation, and a faster discriminator, held "
        "back by dropout",
        {
            **_PLAIN, "augmentation": (), "discriminator_dropout": 0.25,
            "discriminator_learning_rate": 2e-4,
        },
    ),
    "gandam-v1": Preset(
        "the first GANdam, 2018: 128 px, half a day on a GTX 1060; its pictures were mirrored: "
        "add --mirror",
        {
            "image_size": 128, "latent_dim": 300, "batch_size": 32, "epochs": 0,
            "generator_filters": (2048, 1024, 1024, 512, 256),
            "discriminator_filters": (256, 512, 512, 1024),
            "kernel_size": 3, "initial_stddev": 0.0,
            "normalization": "after-activation", "discriminator_normalized": (1, 3),
            "normalization_momentum": 0.3, "discriminator_dropout": 0.25,
            "generator_learning_rate": 1e-4, "generator_beta1": 0.9,
            "discriminator_learning_rate": 3e-5, "discriminator_beta1": 0.9,
            "discriminator_updates": "separate", "label_noise": 0.1, "sample_interval": 10,
            "precision": "float32", "augmentation": (), **_PLAIN,
        },
        _GANDAM_DIFFERS,
    ),
    "gandam-v2": Preset(
        "the second GANdam: 256 px, fully convolutional",
        {
            "image_size": 256, "latent_dim": 2048, "batch_size": 16, "epochs": 0,
            "generator_start": "convolutional",
            "generator_filters": (2048, 2048, 1024, 512, 256, 128, 64),
            "discriminator_filters": (32, 64, 128, 256, 512, 1024, 2048, 2048),
            "kernel_size": 3, "initial_stddev": 0.0,
            "normalization": "after-activation", "discriminator_normalized": (1, 4),
            "normalization_momentum": 0.3, "discriminator_dropout": 0.25,
            "generator_learning_rate": 5e-4, "generator_beta1": 0.9,
            "discriminator_learning_rate": 5e-5, "discriminator_beta1": 0.9,
            "learning_rate_decay": 0.2, "learning_rate_decay_steps": 20_000,
            "discriminator_updates": "separate", "label_noise": 0.01,
            "sample_rows": 4, "sample_columns": 8, "precision": "float32", "augmentation": (),
            **_PLAIN,
        },
        _GANDAM_DIFFERS + "; the kernel over the 1x1 latent map has only the 2x2 weights that can "
        "meet it; dropout and momentum, which its report leaves out, are those of the first",
    ),
    "edouard99-64": Preset(
        f"{_EDOUARD99_SOURCE}, 64 px; its two other trainings: --balance monitored, and "
        "--balance boosting --label-noise 0.1",
        _EDOUARD99_DCGAN | _AT_64 | {"discriminator_filters": (128,)},
        _EDOUARD99_DIFFERS,
    ),
    "edouard99-256": Preset(
        f"{_EDOUARD99_SOURCE}, 256 px; its minibatch discrimination alone has 201 million weights "
        "(--minibatch-side 8 takes 0.8 million)",
        _EDOUARD99_DCGAN | _AT_256 | {"discriminator_filters": (32,)},
        _EDOUARD99_DIFFERS,
    ),
    "radford": Preset(
        "Radford et al. 2015 (arXiv:1511.06434): the DCGAN of the paper, 64 px",
        {
            **_NO_EXTRAS, **_PLAIN, "image_size": 64, "latent_dim": 100, "batch_size": 128,
            "generator_filters": (128,), "discriminator_filters": (128,), "max_filters": 1024,
            "kernel_size": 5, "normalization_momentum": 0.9, "normalization_stddev": 0.0,
            "generator_learning_rate": 2e-4, "discriminator_learning_rate": 2e-4,
        },
        "latent vectors are normal instead of uniform; one sum of both losses for the "
        "discriminator",
    ),
    "keras-gan": Preset(
        "github.com/eriklindernoren/Keras-GAN, dcgan.py, carried over from 28 to 64 px",
        {
            "image_size": 64, "latent_dim": 100, "batch_size": 32, "precision": "float32",
            "generator_filters": (128, 128, 64), "discriminator_filters": (32, 64, 128, 256),
            "kernel_size": 3, **_PLAIN, "upscaling": "upsample", "initial_stddev": 0.0,
            "normalization": "after-activation", "discriminator_normalized": (2, 3),
            "normalization_momentum": 0.8, "discriminator_dropout": 0.25,
            "generator_learning_rate": 2e-4, "discriminator_learning_rate": 2e-4,
            "discriminator_updates": "separate", "sample_interval": 50, "augmentation": (),
        },
        "the discriminator learns (with Keras 3 it would not); its last layer halves the map like "
        "the others, and the generator doubles it once more; dropout comes after normalisation",
    ),
}  # fmt: skip

WGAN_PRESETS: dict[str, Preset] = {
    "arjovsky": Preset(
        "Arjovsky et al. 2017 (arXiv:1701.07875), 64 px: weights clipped, RMSprop",
        {
            "image_size": 64, "batch_size": 64, "latent_dim": 100, "precision": "float32",
            "generator_filters": (64,), "critic_filters": (64,), "critic_normalization": "batch",
            "constraint": "clip", "clip_value": 0.01, "n_critic": 5, "optimizer": "rmsprop",
            "generator_learning_rate": 5e-5, "critic_learning_rate": 5e-5,
        },
        "scales and offsets of batch normalisation are not clipped",
    ),
    "gulrajani": Preset(
        "Gulrajani et al. 2017 (arXiv:1704.00028), 64 px: gradient penalty, Adam",
        {
            "image_size": 64, "batch_size": 64, "latent_dim": 128, "precision": "float32",
            "generator_filters": (64,), "critic_filters": (64,), "critic_normalization": "layer",
            "constraint": "penalty", "penalty_weight": 10.0, "n_critic": 5, "optimizer": "adam",
            "generator_learning_rate": 1e-4, "generator_beta1": 0.0, "critic_beta1": 0.0,
            "beta2": 0.9, "critic_learning_rate": 1e-4,
        },
        "the networks are their DCGAN ones",
    ),
    "edouard99-64": Preset(
        f"{_EDOUARD99_SOURCE}, its WGAN at 64 px",
        _EDOUARD99_WGAN | _AT_64 | {"critic_filters": (128,)},
        "scales and offsets of batch normalisation are not clipped; " + _EDOUARD99_DIFFERS,
    ),
    "edouard99-256": Preset(
        f"{_EDOUARD99_SOURCE}, its WGAN at 256 px (--minibatch-side 8 makes it small)",
        _EDOUARD99_WGAN | _AT_256 | {"critic_filters": (32,)},
        "scales and offsets of batch normalisation are not clipped; " + _EDOUARD99_DIFFERS,
    ),
    "keras-gan": Preset(
        "github.com/eriklindernoren/Keras-GAN, wgan_gp.py, carried over from 28 to 64 px; "
        "--constraint clip for its wgan.py",
        {
            "image_size": 64, "batch_size": 32, "latent_dim": 100, "precision": "float32",
            "generator_filters": (128, 128, 64), "upscaling": "upsample", "kernel_size": 4,
            "critic_filters": (16, 32, 64, 128), "critic_normalization": "none",
            "initial_stddev": 0.0, "normalization_momentum": 0.8, "constraint": "penalty",
            "penalty_weight": 10.0, "n_critic": 5, "optimizer": "rmsprop",
            "generator_learning_rate": 5e-5, "critic_learning_rate": 5e-5, "sample_interval": 100,
        },
        "no batch normalisation in the critic, where the penalty is of one image at a time, and no "
        "dropout; its last layer halves the map like the others, with kernels of 4; with "
        "--constraint clip, batch normalisation's moving statistics are not clipped",
    ),
}  # fmt: skip
