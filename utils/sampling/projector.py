"""Searches for the latent vector whose image is nearest to a picture (projection, GAN inversion).

The search starts from the nearest of many random samples and goes down the gradient of a distance:
squared differences of pixels, of the picture as it is and of two smaller ones, which tell where
which colour is although edges do not meet; and the angle between pretrained features (Karras et al.
2020, arXiv:1912.04958, appendix D, compare features alone). Without the features' weights, pixels
decide alone.

Latent vectors keep a length that those of N(0, I) have, all of which is near sqrt(latent_dim). A
generator draws anything, and nothing well, from elsewhere, and neither walks nor ways lead there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from utils import backend  # before Keras: it keeps its start quiet
from utils.sampling import runs
from utils.scoring.imagenet import ImageNetNetwork
from utils.scoring.images import views

# isort: split
import keras
from keras import ops

SAMPLES = 1000
"""Random ones, of which the search starts from the nearest."""
STARTS = 4
STEPS = 150
LEARNING_RATE = 0.2
"""At first, in standard deviations of a latent number; it falls to 0 along half a cosine."""
LENGTHS = 1.4
"""How far a length may be from sqrt(latent_dim): two standard deviations of those of N(0, I)."""
POOLED = {1: 1.0, 4: 2.0, 8: 2.0}
"""Sides of the squares whose means are compared, in pixels, and the weight of each."""
COLOURS = 4.0
"""Weight of colours beside brightness: where a figure's edges do not meet, brightness differs most,
and a green robot that stands right would be nearer to a red one than a red one that does not."""
TUNING_STEPS = 300
TUNING_LEARNING_RATE = 1e-3
KEPT = 16
"""Random samples that tuning keeps as they are."""

IsStopped = Callable[[], object]


class Seen(NamedTuple):
    """Images, and what the search compares of them."""

    images: np.ndarray
    """uint8 (N, H, H, C)."""
    features: np.ndarray | None
    """float32 (N, D), of length 1; None without pretrained weights."""


class Distances(NamedTuple):
    """How far images are from a picture, (N,) each."""

    pixels: np.ndarray
    """Root of the mean squared difference, in shades of 255."""
    features: np.ndarray | None
    """1 - the cosine of the angle between pretrained features; None without these."""

    def nearest(self) -> int:
        """The number of the nearest image: by features, where there are some."""
        return int(np.argmin(self.pixels if self.features is None else self.features))


def distances(seen: Seen, target: Seen) -> Distances:
    """How far images are from a target, which is one picture."""
    (picture,) = target.images.astype(np.float32)
    # One by one: a thousand images as floats would take a gigabyte at 256 px.
    pixels = np.array([np.sqrt(np.square(image - picture).mean()) for image in seen.images])
    if seen.features is None:
        return Distances(pixels, None)
    return Distances(pixels, 1 - seen.features @ target.features[0])


class Projector:
    """Searches the latent vectors of one generator."""

    def __init__(self, generator: keras.Model, network: ImageNetNetwork | None) -> None:
        """Prepare the search, which is compiled at its first step.

        Args:
            generator: latent vectors (N, latent_dim), and class weights (N, K) where there are
                classes, to images (N, H, H, C) in [-1, 1], in float32.
            network: of the features; None compares pixels alone.
        """
        self.generator, self.network = generator, network
        self._size = runs.latent_dim(generator)
        self._latents = keras.Variable(np.zeros((STARTS, self._size), np.float32), name="latents")
        rate = keras.optimizers.schedules.CosineDecay(LEARNING_RATE, STEPS)
        self._optimizer = keras.optimizers.Adam(rate)
        self._optimizer.build([self._latents])
        state = [self._latents, *self._optimizer.variables, *generator.variables]
        self._step = backend.compile_step(self._search_step, state)

    def look(self, images: np.ndarray) -> Seen:
        """What the search compares of uint8 images (N, H, H, C)."""
        if self.network is None:
            return Seen(images, None)
        seen = views(images)
        parts = [self.network(seen[..., each : each + 3]) for each in range(0, seen.shape[3], 3)]
        features = np.concatenate(parts, axis=1)
        return Seen(images, features / features.shape[1] ** 0.5)

    def samples(self, seed: int) -> tuple[np.ndarray, Seen]:
        """Random vectors, float32 (SAMPLES, latent_dim + K) as of `runs.draw`, and their images."""
        drawn = self._inside(runs.draw(self.generator, SAMPLES, seed))
        batches = range(0, SAMPLES, runs.BATCH_SIZE)
        seen = [
            self.look(runs.generate(self.generator, drawn[start : start + runs.BATCH_SIZE]))
            for start in tqdm(batches, desc="sampling", unit="batches", leave=False)
        ]
        images, features = zip(*seen, strict=True)
        is_seen = self.network is not None
        return drawn, Seen(np.concatenate(images), np.concatenate(features) if is_seen else None)

    def search(
        self,
        target: Seen,
        drawn: np.ndarray,
        samples: Seen,
        is_stopped: IsStopped = lambda: False,
    ) -> np.ndarray:
        """Vectors from a start to the one found, float32 (steps + 1, latent_dim + K).

        Args:
            target: one picture, of the generator's size.
            drawn: vectors, of which the search starts from the nearest, (N, latent_dim + K); the
                class stays that of the start.
            samples: their images.
            is_stopped: asked after every step; what has been found until then is the result.
        """
        losses = _losses(samples, target)
        starts = np.argsort(losses, kind="stable")[:STARTS]
        losses, ways = losses[starts], [drawn[starts]]
        latents, classes = np.split(drawn[starts], [self._size], axis=1)
        self._latents.assign(latents)
        for variable in self._optimizer.variables:
            variable.assign(ops.zeros(variable.shape, variable.dtype))
        with tqdm(total=STEPS, desc="projecting", unit="steps", leave=False) as bar:
            while len(ways) <= STEPS and not is_stopped():
                losses = self._losses_of_step(target, classes)
                latents = ops.convert_to_numpy(self._latents)
                ways.append(self._inside(np.concatenate([latents, classes], axis=1)))
                bar.set_postfix_str(f"distance {losses.min():.3f}", refresh=False)
                bar.update()
        return np.stack(ways)[:, losses.argmin()]

    def _inside(self, vectors: np.ndarray) -> np.ndarray:
        """The vectors, with lengths that latent vectors of N(0, I) have."""
        latents = ops.convert_to_tensor(vectors[:, : self._size])
        found = ops.convert_to_numpy(_with_length(latents))
        return np.concatenate([found, vectors[:, self._size :]], axis=1)

    def _losses_of_step(self, target: Seen, classes: np.ndarray) -> np.ndarray:
        with backend.full_precision():
            return ops.convert_to_numpy(self._step(classes, *_arguments(target))["losses"])

    def _draw(self, latents: backend.Tensor, classes: backend.Tensor) -> backend.Tensor:
        """Images of latent vectors (N, latent_dim) and class weights (N, K), K = 0 without any."""
        inputs = [latents, classes] if classes.shape[1] else latents
        return self.generator(inputs, training=False)

    def _search_step(
        self, classes: backend.Tensor, *target: backend.Tensor
    ) -> dict[str, backend.Tensor]:
        def loss() -> tuple[backend.Tensor, backend.Tensor]:
            images = self._draw(_with_length(self._latents.value), classes)
            losses = self._loss(images, *target)
            return ops.sum(losses), losses

        (_, losses), gradients = backend.value_and_grad(loss, [self._latents])
        self._optimizer.apply(gradients, [self._latents])
        return {"losses": losses}

    def _loss(
        self,
        images: backend.Tensor,
        picture: backend.Tensor,
        features: backend.Tensor | None = None,
    ) -> backend.Tensor:
        """What the search makes small, of images (N, H, H, C): (N,)."""
        loss = _pixel_loss(images, picture)
        if self.network is None:
            return loss
        parts = [self.network.directions(each) for each in _views(images)]
        found = ops.concatenate(parts, axis=1) / len(parts) ** 0.5
        return loss + 1 - ops.sum(found * features, axis=1)

    def tune(
        self,
        target: Seen,
        vector: np.ndarray,
        seed: int = 0,
        is_stopped: IsStopped = lambda: False,
    ) -> None:
        """Train the generator until it draws the picture from a vector.

        Its images of random latent vectors are to stay as they are (Roich et al. 2021, Pivotal
        Tuning, arXiv:2106.05744). Batch normalisations keep their moving statistics.

        Args:
            target: one picture.
            vector: (latent_dim + K,), as `search` finds it.
            seed: of the random vectors.
            is_stopped: asked after every step.
        """
        variables = self.generator.trainable_variables
        rate = keras.optimizers.schedules.CosineDecay(TUNING_LEARNING_RATE, TUNING_STEPS)
        optimizer = keras.optimizers.Adam(rate)
        optimizer.build(variables)
        vectors = np.stack([vector, *runs.draw(self.generator, KEPT, seed)])
        inputs = np.split(vectors, [self._size], axis=1)
        before = ops.convert_to_numpy(self._draw(*map(ops.convert_to_tensor, inputs)))
        arguments = [*inputs, before, *_arguments(target)]

        def step(
            latents: backend.Tensor,
            classes: backend.Tensor,
            before: backend.Tensor,
            *target: backend.Tensor,
        ) -> dict[str, backend.Tensor]:
            def loss() -> tuple[backend.Tensor, None]:
                images = self._draw(latents, classes)
                changed = ops.mean(ops.square(images[1:] - before[1:]))
                return self._loss(images[:1], *target)[0] + changed, None

            (value, _), gradients = backend.value_and_grad(loss, variables)
            optimizer.apply(gradients, variables)
            return {"loss": value}

        step = backend.compile_step(step, [*self.generator.variables, *optimizer.variables])
        for _ in tqdm(range(TUNING_STEPS), desc="tuning", unit="steps", leave=False):
            if is_stopped():
                break
            with backend.full_precision():
                backend.fetch([step(*arguments)])


def _losses(samples: Seen, target: Seen) -> np.ndarray:
    """`Projector._loss` of samples, (N,), whose features are computed already."""
    picture = ops.convert_to_tensor(_as_float(target.images))
    batches = range(0, len(samples.images), runs.BATCH_SIZE)
    parts = (_as_float(samples.images[start : start + runs.BATCH_SIZE]) for start in batches)
    losses = [_pixel_loss(ops.convert_to_tensor(part), picture) for part in parts]
    losses = np.concatenate([ops.convert_to_numpy(loss) for loss in losses])
    return losses if target.features is None else losses + 1 - samples.features @ target.features[0]


def _arguments(target: Seen) -> list[np.ndarray]:
    """The arguments of `Projector._loss` after the images: the picture, and its features if any."""
    picture = _as_float(target.images)
    return [picture] if target.features is None else [picture, target.features]


def _with_length(vectors: backend.Tensor) -> backend.Tensor:
    """Vectors (N, latent_dim), those too short or long for N(0, I) with the nearest length."""
    usual = vectors.shape[1] ** 0.5
    lengths = ops.sqrt(ops.sum(ops.square(vectors), axis=1, keepdims=True) + 1e-12)
    return vectors * (ops.clip(lengths, usual - LENGTHS, usual + LENGTHS) / lengths)


def _pixel_loss(images: backend.Tensor, target: backend.Tensor) -> backend.Tensor:
    """Mean squared differences, with the weights above: (N, H, H, C) in [-1, 1] to (N,)."""
    difference = images - target
    _, height, width, channels = difference.shape
    loss = 0.0
    for side, weight in POOLED.items():
        shape = (-1, height // side, side, width // side, side, channels)
        means = ops.mean(ops.reshape(difference, shape), axis=(2, 4))
        greys = ops.mean(means[..., :3], axis=3, keepdims=True)
        colours = ops.square(means[..., :3] - greys)
        squares = ops.mean(ops.square(means), (1, 2, 3)) + COLOURS * ops.mean(colours, (1, 2, 3))
        loss += weight * squares
    return loss


def _views(images: backend.Tensor) -> list[backend.Tensor]:
    """What features see of images (N, H, H, C), (N, H, H, 3) each, as in `scoring.images.views`."""
    if images.shape[3] == 4:
        colours, alpha = ops.minimum(images[..., :3], images[..., 3:]), images[..., 3:]
        return [colours, colours + 1 - alpha]  # on black, on white
    return [images if images.shape[3] == 3 else ops.repeat(images, 3, axis=3)]


def _as_float(images: np.ndarray) -> np.ndarray:
    return images.astype(np.float32) / 127.5 - 1
