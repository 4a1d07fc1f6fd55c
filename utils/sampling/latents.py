"""Latent vectors, and ways between them, in NumPy.

A generator is trained on z ~ N(0, I). In many dimensions nearly all of these vectors have a length
near sqrt(latent_dim), and hardly any is as short as the middle of a straight line between two of
them. That is why ways between samples are arcs (White 2016, arXiv:1609.04468).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_PARALLEL = 1e-7
"""Sine of the angle below which two directions count as the same, or as opposite."""


def draw(count: int, latent_dim: int, seed: int, truncation: float = 0.0) -> np.ndarray:
    """Random latent vectors; the first ten of a hundred are the same as ten.

    Args:
        count: how many.
        latent_dim: their length.
        seed: the same seed, the same vectors.
        truncation: numbers beyond it, in standard deviations, are drawn again until none is (Brock
            et al. 2018, arXiv:1809.11096, section 3.1): better images with less variety. 0 is off.

    Returns:
        float32 (count, latent_dim), N(0, 1), or N(0, 1) cut off at +-truncation.
    """
    random = np.random.default_rng(seed)
    latents = random.standard_normal((count, latent_dim), dtype=np.float32)
    if truncation:
        for number, latent in enumerate(latents):
            # A generator for each vector, whose numbers do not depend on the others.
            random = np.random.default_rng((seed, number))
            while (beyond := np.abs(latent) > truncation).any():
                latent[beyond] = random.standard_normal(beyond.sum(), dtype=np.float32)
    return latents


def slerp(start: np.ndarray, end: np.ndarray, shares: Sequence[float] | np.ndarray) -> np.ndarray:
    """Spherical linear interpolation (Shoemake 1985) between vectors of any two lengths.

    The direction turns at constant speed along the shorter arc, and the length changes evenly:

        direction(t) = cos(t w) u + sin(t w) v,

    with u the direction of the start, w its angle to the direction of the end, and v orthogonal to
    u in the plane of both. It equals Shoemake's sin((1 - t) w) / sin(w) u + sin(t w) / sin(w)
    (direction of the end), without a division by the sine of a small angle.

    Vectors of one direction are joined by a straight line. Between opposite ones all arcs are
    equally short; this one turns first towards the axis that the start has least of. A vector of
    length 0 has the other's direction.

    Args:
        start: (latent_dim,).
        end: (latent_dim,).
        shares: t, of the way from the start (0) to the end (1), (N,).

    Returns:
        float32 (N, latent_dim). At 0 and 1, exactly the start and the end.
    """
    first, last = (np.asarray(vector, np.float64) for vector in (start, end))
    t = np.asarray(shares, np.float64)[:, np.newaxis]
    lengths = np.linalg.norm(first), np.linalg.norm(last)
    u = first / lengths[0] if lengths[0] else last / (lengths[1] or 1.0)
    target = last / lengths[1] if lengths[1] else u
    along = float(u @ target)
    across = target - along * u
    sine = float(np.linalg.norm(across))
    if sine < _PARALLEL and along < 0:
        axis = np.zeros_like(u)
        axis[np.argmin(np.abs(u))] = 1.0
        across = axis - (axis @ u) * u
        # A single dimension has only the way through zero.
        v = across / np.linalg.norm(across) if len(u) > 1 else np.zeros_like(u)
    else:
        v = across / sine if sine >= _PARALLEL else np.zeros_like(u)
    angle = np.arctan2(sine, along)
    directions = np.cos(t * angle) * u + np.sin(t * angle) * v
    found = ((1 - t) * lengths[0] + t * lengths[1]) * directions
    if not v.any():
        found = (1 - t) * first + t * last
    found = np.where(t == 0, first, np.where(t == 1, last, found))
    return found.astype(np.float32)


def arc(
    start: np.ndarray, end: np.ndarray, shares: Sequence[float] | np.ndarray, latent_dim: int
) -> np.ndarray:
    """`slerp` of latent vectors; what is beyond ``latent_dim``, class weights, is mixed evenly."""
    t = np.asarray(shares, np.float32)[:, np.newaxis]
    mixed = (1 - t) * start[latent_dim:] + t * end[latent_dim:]
    return np.concatenate([slerp(start[:latent_dim], end[:latent_dim], shares), mixed], axis=1)


def loop(
    points: np.ndarray, shares: Sequence[float] | np.ndarray, latent_dim: int | None = None
) -> np.ndarray:
    """A closed way through points: an arc from each to the next, and from the last to the first.

    Args:
        points: (P, latent_dim), at least two; or with class weights beside, see `arc`.
        shares: t on each arc, as in `slerp`, (N,). For a film without a seam, without 1: the end of
            an arc begins the next one.
        latent_dim: all numbers of a point if not given.

    Returns:
        float32 (P * N, latent_dim), arc by arc.
    """
    following = np.roll(points, -1, axis=0)
    size = latent_dim or points.shape[1]
    arcs = [arc(start, end, shares, size) for start, end in zip(points, following, strict=True)]
    return np.concatenate(arcs)


def walk(latents: np.ndarray, dimension: int, values: Sequence[float] | np.ndarray) -> np.ndarray:
    """Latent vectors with one of their numbers replaced by each of these values.

    Args:
        latents: (N, latent_dim).
        dimension: the place of the number, from 0.
        values: (V,).

    Returns:
        float32 (N * V, latent_dim): all values of the first vector, then of the second.
    """
    walked = np.repeat(np.asarray(latents, np.float32), len(values), axis=0)
    walked[:, dimension] = np.tile(np.asarray(values, np.float32), len(latents))
    return walked
