"""Whether generated images are copies of training pictures.

Looked for in small pictures rather than in features: a generator that memorises draws its training
pictures with noise or smudges of its own, and small pictures lose these.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from utils.scoring.distances import Nearest, nearest
from utils.scoring.images import check_images
from utils.scoring.registry import NothingToCompareError, Score, metric

SIDE = 16
"""Of the small pictures, in pixels."""
SHARE = 0.5
"""Of the usual distance of reals, below which an image is suspicious."""


class Known(NamedTuple):
    """What depends on the reals and the training pictures alone."""

    small: np.ndarray
    """The training pictures, see `small_pictures`."""
    usual_distance: float
    """Median distance of a real picture to the nearest of them."""


def small_pictures(images: np.ndarray) -> np.ndarray:
    """uint8 (N, H, H, 3), H a multiple of 16, as means of squares: float32 (N, 16 * 16 * 3)."""
    check_images(images=images)
    count, height, width, channels = images.shape
    if height % SIDE or width % SIDE:
        raise ValueError(f"expected sides that {SIDE} divides, found {height}x{width}")
    squares = images.reshape(count, SIDE, height // SIDE, SIDE, width // SIDE, channels)
    return squares.mean((2, 4), dtype=np.float32).reshape(count, -1)


def nearest_pictures(images: np.ndarray, small: np.ndarray) -> Nearest:
    """The training picture nearest to each image, as it is or mirrored.

    Args:
        images: uint8 (N, H, H, 3).
        small: the training pictures, see `small_pictures`.
    """
    straight = nearest(small_pictures(images), small)
    mirrored = nearest(small_pictures(images[:, :, ::-1]), small)
    closer = mirrored.distances < straight.distances
    return Nearest(*(np.where(closer, *pair) for pair in zip(mirrored, straight, strict=True)))


def known_of(reals: np.ndarray, training: np.ndarray) -> Known:
    """What `copies` needs of the reals, uint8 (K, H, H, 3), and the training pictures."""
    small = small_pictures(training)
    return Known(small, float(np.median(nearest_pictures(reals, small).distances)))


@metric(
    Score("copies", "share of images suspiciously near a training picture"),
    Score("originality", "distance to training pictures, of reals 1; 0 is a copy"),
    needs=("images", "training"),
    of_reals=known_of,
)
def copies(
    fakes: np.ndarray,
    reals: np.ndarray,
    known: Known | None = None,
    *,
    training: np.ndarray,
) -> dict[str, float]:
    """Whether fakes are copies of training images.

    A fake is suspicious if its nearest training image is nearer than half of the usual distance of
    a real picture outside the training. A threshold by the median rather than by the nearest pairs
    does not mind that a data set holds a few pictures twice. Look at the pairs before believing it:
    a copy that is shifted or tinted is not seen.

    Args:
        fakes: uint8 (N, H, H, 3), generated.
        reals: uint8 (K, H, H, 3), which the generator has not learned from.
        known: of these, if it is known already.
        training: uint8 (M, H, H, 3), which it has learned from.

    Returns:
        ``copies``, the share of suspicious fakes, in [0, 1]; ``originality``, the median distance
        of fakes over that of reals: 1 is like fresh reals, 0 a copy.

    Raises:
        ValueError: shapes that do not fit.
        NothingToCompareError: most of the reals are training images themselves.
    """
    known = known_of(reals, training) if known is None else known
    if known.usual_distance <= 0:
        raise NothingToCompareError("reals: most of them are in the training set")
    distances = nearest_pictures(fakes, known.small).distances / known.usual_distance
    return {
        "copies": float((distances < SHARE).mean()),
        "originality": float(np.median(distances)),
    }
