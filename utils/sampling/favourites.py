"""How real the discriminator takes samples for."""

from __future__ import annotations

import keras
import numpy as np

from utils.common.errors import UserError
from utils.sampling import runs
from utils.watching.probe import Probe

ASKED_TIMES = 4
"""How often the discriminator is asked about an image, each time in another batch."""


def load_discriminator(run: runs.Run, weights: str) -> tuple[keras.Model, str]:
    """The discriminator (or critic) saved with a generator, and what the method calls it.

    Raises:
        UserError: it is not there or damaged.
    """
    folder = runs.generator_path(run, weights).parent
    # Named as the method names it. A name with a dot in front is a file half-written.
    found = [path for path in folder.glob("[a-z]*.keras") if "generator" not in path.stem]
    if not found:
        raise UserError(f"--best-worst: no discriminator (or critic) is in {folder}")
    return runs.load_network(found[0]), found[0].stem


def mean_answers(
    discriminator: keras.Model,
    generator: keras.Model,
    batch_size: int,
    images: np.ndarray,
    seed: int,
    classes: np.ndarray | None = None,
) -> np.ndarray:
    """Answers of a discriminator to generated images, in batches of them, as in training.

    An answer depends on the rest of its batch, so that several batches are averaged.

    Args:
        discriminator: images (B, H, W, C) in [-1, 1] to answers (B, 1).
        generator: what made the images.
        batch_size: of the training.
        images: uint8 (N, H, W, C).
        seed: of the batches.
        classes: class weights (N, K), where there are classes.

    Returns:
        float64 (N,); more is more real.
    """
    state = [*discriminator.variables, *generator.variables]
    probe = Probe(discriminator, generator, batch_size, state)
    answers = np.zeros(len(images))
    random = np.random.default_rng(seed)
    for _ in range(ASKED_TIMES):
        order = random.permutation(len(images))
        weights = None if classes is None else classes[order]
        answers[order] += probe.answers_to_real(images[order], weights) / ASKED_TIMES
    return answers
