"""What the loop asks of a method."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, TypeVar

from utils import backend
from utils.models.augmentation import Augmentation
from utils.models.average import AveragedNetwork

# isort: split
import keras

Network = TypeVar("Network")


class Method(Protocol):
    """Networks, and one alternation between them: what a script such as ``dcgan.py`` hands over."""

    networks: dict[str, keras.Model]
    """By the names under which they are saved. ``generator`` is the average, and
    ``generator-current`` what an optimizer updates: latent vectors (B, latent_dim) to images in
    [-1, 1]; `grids.to_uint8` clips what is beyond. There is one more, whose name the method
    chooses: images to answers (B, 1), the larger the more real. With ``h.class_names``, each takes
    class weights (B, K) as well."""
    average: AveragedNetwork
    """Of ``generator-current``."""
    augment: Augmentation
    """Between the images and the network that answers."""

    def state(self) -> dict[str, list[keras.Variable]]:
        """Every variable that a step reads or changes, for a checkpoint; but for the probability of
        ``augment``, which the loop moves."""

    def train_step(
        self, real_batches: backend.Tensor, classes: backend.Tensor | None = None
    ) -> dict[str, backend.Tensor]:
        """Make one alternation; returns named scalars, the same names in every step.

        Some names mean something to who reads them. ``d_real`` and ``d_fake`` are mean answers as
        probabilities; the former is needed where ``h.augmentation_confidence`` is below 1. Alarms
        go by these and by ``g_gradient_first`` and ``g_gradient_last``. What ends in ``_updates``
        counts; what ends in ``loss`` shares a panel of history.png.

        Args:
            real_batches: uint8 (h.batches_per_step, B, H, W, C).
            classes: their class weights (h.batches_per_step, B, K), where there are classes.
        """


def discriminator_name(networks: Mapping[str, Network]) -> str:
    """The name of the network that is no generator, such as ``discriminator`` or ``critic``."""
    (name,) = set(networks) - {"generator", "generator-current"}
    return name


def trained_networks(networks: Mapping[str, Network]) -> dict[str, Network]:
    """The networks that an optimizer updates: ``generator``, and the other one by its name."""
    name = discriminator_name(networks)
    return {"generator": networks["generator-current"], name: networks[name]}
