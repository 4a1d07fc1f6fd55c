"""Latent dimensions: which of them change the picture most, and walks along one."""

from __future__ import annotations

import keras
import numpy as np
from tqdm import tqdm

from utils.common import grids
from utils.sampling import latents, runs

WALK_TO = 3.0
"""Walks go from minus that to that: 0.3 % of what a generator has been trained on lies beyond."""
SEARCH_TO = 2.0
"""Pictures at minus that and that are compared."""
SEARCHED_LATENTS = 32


def draw_walks(
    generator: keras.Model, vectors: np.ndarray, dimension: int, columns: int, title: str
) -> np.ndarray:
    """A captioned picture: a row for each latent vector, a column for each value."""
    values = np.linspace(-WALK_TO, WALK_TO, columns)
    images = runs.generate(generator, latents.walk(vectors, dimension, values))
    headings = [f"{value:.3g}" for value in values]
    headed = grids.caption(grids.grid(images, columns), headings, centred=True)
    return grids.caption(headed, [title])


def changes(generator: keras.Model, seed: int = 0, truncation: float = 0.0) -> np.ndarray:
    """How much each latent dimension changes the picture, in shades of 255.

    Returns:
        float64 (latent_dim,): the mean absolute difference of all pixels between -2 and 2 in this
        dimension, over 32 latent vectors.
    """
    latent_dim = generator.input_shape[1]
    vectors = latents.draw(SEARCHED_LATENTS, latent_dim, seed, truncation)
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
