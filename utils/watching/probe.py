"""Asking a discriminator, or critic, in the middle of a training without leaving a trace.

With ``--augmentation`` it is asked about pictures as they are, although it learns from augmented
ones only. The answers to three kinds of pictures then compare, and need no random numbers, but
their level can differ from ``d_real`` and ``d_fake``, which are of augmented images: with cutout,
for instance, no picture of the training was ever whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from utils import backend
from utils.common import grids
from utils.common.pictures import Colour
from utils.hosts import everywhere
from utils.models.average import layer_options
from utils.models.classes import beside

# isort: split
import keras
from keras import layers, ops

MOST_ASKED = 64
"""Pictures of each kind. At the default intervals, asking about them takes 0.8 % of the time."""


def number_asked(available: int, batch_size: int) -> int:
    """How many pictures of a kind to ask about: whole batches, where there is one."""
    number = min(available, max(MOST_ASKED, batch_size))
    return number // batch_size * batch_size or number


class Probe:
    """Answers of a discriminator (or critic) in training mode but without dropout.

    In training mode batch normalisation takes the statistics of the batch, each kind of picture in
    batches of its own, as the losses do. The moving statistics of inference mode mix real and
    generated batches and fit neither. Dropout only adds noise: after 200 epochs of a DCGAN on 320
    pictures, the answers to training and to held-out pictures were 9 standard errors apart without
    dropout, 4 with it, and 7 in inference mode.

    A pass in training mode changes variables; here it does so in a scope that is thrown away, so
    that asking more often does not change the weights of a run.
    """

    def __init__(
        self,
        discriminator: keras.Model,
        generator: keras.Model,
        batch_size: int,
        state: Sequence[keras.Variable],
    ) -> None:
        """Compile the two questions.

        Args:
            discriminator: images (B, H, W, C) in [-1, 1] to answers (B, 1); more is more real.
            generator: latent vectors (B, latent_dim) to images, as it is trained. Both may take
                class weights (B, K) as well.
            batch_size: of the batches in which both are trained.
            state: every variable of both.
        """
        self.discriminator = discriminator
        self.generator = generator
        self._dropouts = [x for x in discriminator.layers if isinstance(x, layers.Dropout)]
        self.batch_size = batch_size
        self._compiled_real = everywhere(
            "answer to real", backend.compile_step(self._answer_real, state)
        )
        self._compiled_generated = everywhere(
            "answer to generated", backend.compile_step(self._answer_generated, state)
        )

    @contextmanager
    def _without_trace(self) -> Iterator[None]:
        rates = [layer.rate for layer in self._dropouts]
        variables = [*self.discriminator.variables, *self.generator.variables]
        with layer_options:
            try:
                for layer in self._dropouts:
                    layer.rate = 0.0
                # With their values: on JAX, those of the compiled function's arguments.
                with keras.StatelessScope([(variable, variable.value) for variable in variables]):
                    yield
            finally:
                for layer, rate in zip(self._dropouts, rates, strict=True):
                    layer.rate = rate

    def _answer_real(
        self, images: backend.Tensor, classes: backend.Tensor | None = None
    ) -> dict[str, backend.Tensor]:
        images = ops.cast(images, "float32") / 127.5 - 1.0
        with self._without_trace():
            return {"answers": self.discriminator(beside(images, classes), training=True)}

    def _answer_generated(
        self, latents: backend.Tensor, classes: backend.Tensor | None = None
    ) -> dict[str, backend.Tensor]:
        with self._without_trace():
            images = self.generator(beside(latents, classes), training=True)
            return {"answers": self.discriminator(beside(images, classes), training=True)}

    def answers_to_real(self, images: np.ndarray, classes: np.ndarray | None = None) -> np.ndarray:
        """Answers, float32 (N,), to pictures, uint8 (N, H, W, C), with class weights (N, K)."""
        return self._by_batches(self._compiled_real, images, classes)

    def answers_to_generated(
        self, latents: np.ndarray, classes: np.ndarray | None = None
    ) -> np.ndarray:
        """Answers, float32 (N,), to what is generated from (N, latent_dim) and (N, K)."""
        return self._by_batches(self._compiled_generated, latents, classes)

    def _by_batches(
        self, compiled: backend.Step, first: np.ndarray, classes: np.ndarray | None
    ) -> np.ndarray:
        inputs, found = [first] if classes is None else [first, classes], []
        for start in range(0, len(first), self.batch_size):
            # Always a whole batch: another shape would be compiled anew.
            padded = [
                np.resize(each[start : start + self.batch_size], (self.batch_size, *each.shape[1:]))
                for each in inputs
            ]
            found.append(compiled(*padded)["answers"])
        return np.concatenate([ops.convert_to_numpy(x)[:, 0] for x in found])[: len(first)]


def best_and_worst(
    images: np.ndarray,
    answers: np.ndarray,
    count: int,
    columns: int,
    discriminator: str,
    background: Colour | None = None,
) -> tuple[np.ndarray, list[str]]:
    """A picture of the images with the highest answers, and below of those with the lowest.

    Args:
        images: uint8 (N, H, W, C).
        answers: (N,).
        count: how many of each.
        columns: of the picture.
        discriminator: what the network that answered is called.
        background: see `as_rgb`.

    Returns:
        The picture, uint8 (height, width, 3), and a line of text for each half.
    """
    unit = "value" if discriminator == "critic" else "logit"
    order = np.argsort(-answers, kind="stable")
    blocks, texts = [], []
    for word, chosen in (("best", order[:count]), ("worst", order[::-1][:count])):
        text = (
            f"{word} {count} of {len(images)}: the {discriminator}'s answer ({unit}) "
            f"{answers[chosen[0]]:.2f} to {answers[chosen[-1]]:.2f} "
            f"(middle {np.median(answers):.2f})"
        )
        blocks.append(
            grids.caption(grids.grid(images[chosen], columns, background=background), [text])
        )
        texts.append(f"{text}; samples {' '.join(map(str, chosen))}")
    return grids.stack(blocks), texts
