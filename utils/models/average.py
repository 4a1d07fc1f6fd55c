"""The average of a generator's weights, which grids show and saved networks hold."""

from __future__ import annotations

import threading

import numpy as np

from utils import backend  # before Keras: it keeps its start quiet
from utils.backend.types import Step, Tensor
from utils.models.classes import beside

# isort: split
import keras
from keras import layers, ops

layer_options = threading.RLock()
"""Hold it while an option of a layer is set for a moment, and while networks are saved."""


class AveragedNetwork:
    """A copy of a network whose weights are an exponential moving average of the network's own.

    A generator circles around what it converges to; its average lies in the middle (Yazici et al.
    2019, arXiv:1806.04498). The average would drag the noise of a run's beginning along for long,
    so that the half-life begins short and grows with the images seen (Karras et al. 2020,
    arXiv:2006.06676: their ramp, too, is 0.05).

    The moving statistics of batch normalisation are no weights: those of the network belong to
    other weights, and their average to none. They are computed anew from the averaged weights by
    `recompute_statistics`, which has to be called before the average is used.
    """

    def __init__(self, network: keras.Model, half_life: float, ramp: float = 0.05) -> None:
        """Begin with the network as it is.

        Args:
            network: what is trained.
            half_life: images after which a weight counts half; 0 follows the network at once.
            ramp: the half-life is at most this share of the images seen.
        """
        self.original = network
        self.half_life = half_life
        self.ramp = ramp
        self.network: keras.Model = keras.models.clone_model(network)
        self.network.set_weights(network.get_weights())
        """The average; it takes and gives what the original does."""
        self._normalizations = [
            layer for layer in self.network.layers if isinstance(layer, layers.BatchNormalization)
        ]

    def update(self, images_seen: Tensor, batch_size: int) -> None:
        """Move the average towards the network; a part of the compiled step.

        Args:
            images_seen: generated images that the network has learned from, these included.
            batch_size: how many it has learned from since the last update.
        """
        half_life = ops.minimum(self.half_life, self.ramp * ops.cast(images_seen, "float32"))
        decay = 0.5 ** (batch_size / ops.maximum(half_life, 1e-6))
        for average, variable in zip(
            self.network.trainable_variables, self.original.trainable_variables, strict=True
        ):
            average.assign_add((variable.value - average.value) * (1.0 - decay))

    def recompute_statistics(
        self,
        latents: np.ndarray,
        classes: np.ndarray | None = None,
        statistics: Step | None = None,
    ) -> None:
        """Let batch normalisation's moving statistics be those of the averaged weights.

        They are a pure function of the weights, the latents and the state of dropout, which is left
        as it was: whoever looks at the average more often does not get another.

        Args:
            latents: (batches, B, ...), what training passes take, each as large as a batch.
            classes: class weights (batches, B, K), where there are classes.
            statistics: the method of that name, compiled; None takes it as it is.
        """
        if not self._normalizations:
            return
        variables = [v for v in self.network.non_trainable_variables if "seed" in v.path]
        values = [ops.convert_to_numpy(variable) for variable in variables]
        of_batches = [latents] if classes is None else [latents, classes]
        found = [(statistics or self.statistics)(*batch) for batch in zip(*of_batches, strict=True)]
        for place, layer in enumerate(self._normalizations):
            means, variances = (
                [ops.convert_to_numpy(each[f"{name} {place}"]) for each in found]
                for name in ("mean", "variance")
            )
            squares = [
                variance + mean * mean for mean, variance in zip(means, variances, strict=True)
            ]
            mean = sum(means) / len(means)
            # The variance of all batches together: within them, and from one to the next.
            variables += [layer.moving_mean, layer.moving_variance]
            values += [mean, sum(squares) / len(means) - mean * mean]
        backend.assign(variables, values)

    def statistics(self, latents: Tensor, classes: Tensor | None = None) -> dict[str, Tensor]:
        """Mean and variance of one batch in each normalisation; its moving ones become these.

        Args:
            latents: (B, ...), what training passes take.
            classes: class weights (B, K), where there are classes.
        """
        momenta = [layer.momentum for layer in self._normalizations]
        with layer_options:
            try:
                for layer in self._normalizations:
                    layer.momentum = 0.0  # the statistics become those of the pass
                self.network(beside(latents, classes), training=True)
            finally:
                for layer, momentum in zip(self._normalizations, momenta, strict=True):
                    layer.momentum = momentum
        return {
            f"{name} {place}": ops.copy(getattr(layer, f"moving_{name}").value)
            for place, layer in enumerate(self._normalizations)
            for name in ("mean", "variance")
        }
