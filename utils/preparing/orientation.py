"""Which pictures to mirror so that all figures of a set face the same side; learns without labels.

A picture and its mirror image differ in the antisymmetric part of what they show: here, histograms
of edge directions in a coarse and a fine grid over the figure. Mirroring a picture turns the sign
of that part and changes nothing else. So a set is oriented by finding a sign for each picture, in
two steps:

1. *Synchronisation of signs.* The signs that maximise the sum of s_i s_j <a_i, a_j> over all pairs
   are nearly those of the first eigenvector of the matrix of these products (Singer: Angular
   synchronization by eigenvectors and semidefinite programming, 2011, arXiv:0905.3174). What a
   picture shows apart from the side it faces, a weapon held left or right, has an eigenvector too,
   so several are tried.
2. *Refinement.* A ridge regression learns the signs from all pictures but a tenth and predicts
   those of that tenth; the predictions become the signs, until nothing changes. Details that many
   pictures share come to count for more than the outline, whatever they are.

The start that ends with the most agreement between signs and predictions wins: the set is then most
consistent with itself. Which side is "right" is unknown; the side that leaves most pictures as they
are is taken.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol

import numpy as np
from PIL import Image

from utils.common.pictures import figure_box

SIDE = 64  # pixels that a figure is brought to; its finest details are edges of 1/64 of its height
DIRECTIONS = 8
CELLS = (16, 8)  # sides of the grids' cells in pixels
LENGTH = sum((SIDE // cell) ** 2 // 2 * DIRECTIONS for cell in CELLS)

FOLDS = 10
# Of the mean variance of a feature. A few pictures fit each other whatever their signs, so they
# are held more tightly: with 60 pictures, every tenth answer was wrong without that.
RIDGE = 0.3
RIDGE_OF_ONE = 200
STARTS = 4  # eigenvectors tried of each grid
ROUNDS = 30
BLOCK = 1024


class Rows(Protocol):
    """An array, or what reads like one from a disk."""

    def __len__(self) -> int: ...
    def __getitem__(self, rows: slice) -> np.ndarray: ...


class Orientation(NamedTuple):
    """Which pictures of a set to mirror."""

    mirrored: np.ndarray
    """bool (N,): mirror these pictures."""
    certainty: np.ndarray
    """float32 (N,): how clearly the other pictures predict the side; 0 is a guess, below 0 it
    contradicts them, about 1 is usual."""
    agreement: float
    """Mean certainty, between 0 and about 1."""


def descriptor(image: Image.Image) -> np.ndarray:
    """The antisymmetric part of a picture, float16 (LENGTH,), of length 1.

    That of the mirror image is its negative (up to rounding while resizing).
    """
    box = figure_box(image)
    width, height = box[2] - box[0], box[3] - box[1]
    scale = SIDE / max(width, height)
    # An even width stands in the middle, mirrored or not.
    size = max(2, 2 * round(width * scale / 2)), max(1, round(height * scale))
    figure = image.convert("L").resize(size, Image.Resampling.BILINEAR, box, reducing_gap=2.0)
    # The figure stands on the lower edge, between left and right; the background is white.
    canvas = np.full((SIDE, SIDE), 255, np.float32)
    left = (SIDE - size[0]) // 2
    canvas[SIDE - size[1] :, left : left + size[0]] = np.asarray(figure)
    parts = []
    for cell in CELLS:
        edges = _edge_histograms(canvas, cell)
        mirrored = edges[:, ::-1, -np.arange(DIRECTIONS) % DIRECTIONS]
        half = (edges - mirrored)[:, : SIDE // cell // 2]  # the other half is its negative
        parts.append(half.ravel() / (np.linalg.norm(half) + 1e-6))
    return (np.concatenate(parts) / np.sqrt(len(CELLS))).astype(np.float16)


def _edge_histograms(grey: np.ndarray, cell: int) -> np.ndarray:
    """How strong edges of each direction are in each cell, (SIDE / cell, SIDE / cell, DIRECTIONS).

    Each cell is divided by its own strength, so that a dark machine counts like a light one.
    """
    vertical, horizontal = np.gradient(grey)
    strength = np.hypot(horizontal, vertical)
    turn = np.arctan2(vertical, horizontal) / np.pi % 1 * DIRECTIONS
    lower = np.floor(turn).astype(np.intp)
    upper_share = turn - lower
    cells = SIDE // cell
    place = np.arange(SIDE) // cell
    place = (place[:, None] * cells + place) * DIRECTIONS
    histograms = np.zeros(cells * cells * DIRECTIONS)
    for direction, share in ((lower, 1 - upper_share), (lower + 1, upper_share)):
        histograms += np.bincount(
            (place + direction % DIRECTIONS).ravel(), (strength * share).ravel(), len(histograms)
        )
    histograms = histograms.reshape(cells, cells, DIRECTIONS)
    strengths = np.linalg.norm(histograms, axis=2, keepdims=True)
    return np.sqrt(histograms / (strengths + strengths.mean() / 2 + 1e-6))


def orient(descriptors: Rows) -> Orientation:
    """Find the pictures to mirror so that the set is most consistent with itself.

    Args:
        descriptors: (N, LENGTH), of :func:`descriptor`; read a thousand rows at a time.
    """
    count = len(descriptors)
    if count < 3:  # two pictures agree either way
        return Orientation(np.zeros(count, bool), np.zeros(count, np.float32), 0.0)
    learner = _Learner(descriptors)
    best_signs, best_predicted, least_error = np.ones(count), np.zeros(count), np.inf
    tried: set[bytes] = set()
    for start in learner.starts():
        signs, predicted = learner.refine(start)
        if signs.tobytes() in tried:
            continue
        tried.add(signs.tobytes())
        error = float(np.mean((signs - predicted) ** 2))
        if error < least_error:
            best_signs, best_predicted, least_error = signs, predicted, error
    mirrored = best_signs < 0
    if mirrored.sum() * 2 > count or (mirrored.sum() * 2 == count and mirrored[0]):
        mirrored = ~mirrored
    certainty = (best_signs * best_predicted).astype(np.float32)
    return Orientation(mirrored, certainty, float(certainty.mean()))


class _Learner:
    """Predicts the sign of each picture from pictures it is not among."""

    def __init__(self, descriptors: Rows) -> None:
        self.descriptors = descriptors
        self.count = len(descriptors)
        self.folds = min(FOLDS, self.count)
        self.fold = np.random.default_rng(0).permutation(self.count) % self.folds
        self.products = np.zeros((self.folds, LENGTH, LENGTH))
        for rows, features in self._blocks():
            for fold in range(self.folds):
                part = features[self.fold[rows] == fold]
                self.products[fold] += part.T @ part
        whole = self.products.sum(axis=0)
        variance = np.trace(whole) / LENGTH
        ridge = (max(RIDGE, RIDGE_OF_ONE / self.count) * variance + 1e-9) * np.eye(LENGTH)
        self.inverses = [np.linalg.inv(whole - own + ridge) for own in self.products]
        self.whole = whole

    def _blocks(self) -> Iterator[tuple[slice, np.ndarray]]:
        for start in range(0, self.count, BLOCK):
            rows = slice(start, min(start + BLOCK, self.count))
            yield rows, self.descriptors[rows].astype(np.float64)

    def starts(self) -> Iterator[np.ndarray]:
        """Signs from the first eigenvectors, of each grid and of both together."""
        grids = [slice(0, LENGTH)]
        first = 0
        for cell in CELLS:
            last = first + (SIDE // cell) ** 2 // 2 * DIRECTIONS
            grids.append(slice(first, last))
            first = last
        for grid in grids:
            # An eigenvector of the products of all pairs of pictures is one of the much smaller
            # products of all pairs of features, projected.
            _, vectors = np.linalg.eigh(self.whole[grid, grid])
            vectors = vectors[:, : -STARTS - 1 : -1]
            projected = [features[:, grid] @ vectors for _, features in self._blocks()]
            yield from np.where(np.concatenate(projected) >= 0, 1.0, -1.0).T

    def refine(self, signs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Signs, float (N,), that no longer differ from their predictions, and the predictions."""
        for _ in range(ROUNDS):
            predicted = self._predict(signs)
            becomes = np.where(predicted >= 0, 1.0, -1.0)
            if np.array_equal(becomes, signs):
                break
            signs = becomes
        return signs * signs[0], predicted * signs[0]

    def _predict(self, signs: np.ndarray) -> np.ndarray:
        sums = np.zeros((self.folds, LENGTH))
        for rows, features in self._blocks():
            np.add.at(sums, self.fold[rows], features * signs[rows, None])
        whole = sums.sum(axis=0)
        weights = np.stack(
            [inverse @ (whole - own) for inverse, own in zip(self.inverses, sums, strict=True)]
        )
        predicted = [
            np.einsum("nf,nf->n", features, weights[self.fold[rows]])
            for rows, features in self._blocks()
        ]
        return np.concatenate(predicted)
