"""Walks along a latent dimension or between classes; which dimensions change the picture most."""

from __future__ import annotations

import keras
import numpy as np
from tqdm import tqdm

from utils.common import grids
from utils.common.pictures import Colour
from utils.data.classes import one_hot
from utils.sampling import latents, runs

WALK_TO = 3.0
"""Walks go from minus that to that: 0.3 % of what a generator has been trained on lies beyond."""
SEARCH_TO = 2.0
"""Pictures at minus that and that are compared."""
SEARCHED_LATENTS = 32


def draw_walks(
    generator: keras.Model,
    vectors: np.ndarray,
    dimension: int,
    columns: int,
    title: str,
    background: Colour | None = None,
) -> np.ndarray:
    """A captioned picture: a row for each latent vector, a column for each value."""
    values = np.linspace(-WALK_TO, WALK_TO, columns)
    images = runs.generate(generator, latents.walk(vectors, dimension, values))
    headings = [f"{value:.3g}" for value in values]
    headed = grids.caption(
        grids.grid(images, columns, background=background), headings, centred=True
    )
    return grids.caption(headed, [title])


def draw_class_walk(
    generator: keras.Model, vectors: np.ndarray, ends: tuple[int, int], names: tuple[str, str],
    columns: int, background: Colour | None = None,
) -> np.ndarray:  # fmt: skip
    """A captioned picture: a row for each latent vector, columns from one class to the other.

    Args:
        generator: takes classes.
        vectors: of `runs.draw`, whose class weights do not count.
        ends: the labels of both classes.
        names: theirs.
        columns: of the picture, at least 2.
        background: see `as_rgb`.
    """
    shares = np.linspace(0, 1, columns)
    first, last = one_hot(np.array(ends), runs.class_count(generator))
    weights = np.outer(1 - shares, first) + np.outer(shares, last)
    plain = vectors[:, : runs.latent_dim(generator)]
    walked = [plain.repeat(columns, axis=0), np.tile(weights, (len(vectors), 1))]
    images = runs.generate(generator, np.concatenate(walked, axis=1).astype(np.float32))
    headings = [names[0], *(f"{share:.0%}" for share in shares[1:-1]), names[1]]
    picture = grids.grid(images, columns, background=background)
    return grids.caption(picture, headings, centred=True)


def changes(generator: keras.Model, seed: int = 0, truncation: float = 0.0) -> np.ndarray:
    """How much each latent dimension changes the picture, in shades of 255.

    Returns:
        float64 (latent_dim,): the mean absolute difference of all pixels between -2 and 2 in this
        dimension, over 32 latent vectors.
    """
    latent_dim = runs.latent_dim(generator)
    vectors = runs.draw(generator, SEARCHED_LATENTS, seed, truncation)
    found = np.zeros(latent_dim)
    for dimension in tqdm(range(latent_dim), desc="searching", unit="dimensions", leave=False):
        walked = latents.walk(vectors, dimension, (-SEARCH_TO, SEARCH_TO))
        pairs = runs.generate(generator, walked).astype(np.int16)
        found[dimension] = np.abs(pairs[::2] - pairs[1::2]).mean()
    return found


def strongest(found: np.ndarray, count: int) -> list[tuple[int, float]]:
    """The dimensions that change the picture most, with their `changes`, in descending order."""
    order = np.argsort(-found, kind="stable")[:count]
    return [(int(dimension), float(found[dimension])) for dimension in order]
