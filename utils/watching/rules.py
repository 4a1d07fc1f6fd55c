"""The table of alarms: what is measured, where an alarm begins, what it says and advises."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

Row = Mapping[str, float]
"""Measurements at a step, by the names of `MEASURED`; NaN where there is none."""

MEASURED = {
    "alikeness": "how much more alike generated images are than reals: 0 as reals, 1 all the same",
    "kid": "distance of generated images to held-out reals",
    "kid_spread": "its standard deviation, by the jackknife",
    "coverage": "share of the held-out reals with a generated image nearby",
    "originality": "distance of generated images to training images, divided by that of held-out "
    "reals",
    "overfitting": "how far held-out pictures are, in the discriminator's answers, on the way from "
    "training pictures to generated ones",
    "d_real": "mean answer of the discriminator to real images since the row before",
    "d_fake": "the same to generated images",
    "gradient_first": "norm of the gradient of the generator's first kernel, mean since the row "
    "before",
    "gradient_last": "the same of its last kernel",
    "change": "mean change of the sample grid since the row before, in shades of 255; NaN without "
    "a newer grid",
    "generator_weights": "root mean square of the generator's kernels",
    "judge_weights": "root mean square of the discriminator's (or critic's) kernels",
}
"""Columns of ``health.csv``, after ``step``. The row of step 0 has the weights before training."""


@dataclass(frozen=True)
class Limits:
    """Where an alarm begins."""

    patience: int = 2
    """Rows in a row in which a condition must hold."""
    first_step: int = 2000
    """Before that, every generator draws the same blob and every discriminator wins."""
    alikeness: float = 0.25
    """As alike as if there were only 1 / alikeness different images."""
    certain: float = 0.97
    """The discriminator's mean answer to real images, and 1 minus that to generated ones."""
    blind: float = 0.03
    """Difference of its mean answers."""
    vanishing: float = 1e-3
    """The gradient's norm, divided by its median so far."""
    exploding: float = 100.0
    """The same, upwards."""
    dead: float = 0.05
    """Change of the grid from row to row, in shades of 255."""
    drift: float = 0.1
    """Distance of weights from where they began, divided by their size there and the square root of
    the number of steps, with which a random walk grows. With Adam it is about the learning rate
    divided by the size of the weights."""
    originality: float = 0.6
    """Distance to training images in small pictures, divided by that of held-out reals."""
    overfitting: float = 0.7
    """Of the way from training pictures to generated ones."""
    worse: float = 5.0
    """How far KID is above the best so far, in standard deviations of the difference."""
    worse_patience: int = 4
    """Instead of ``patience``, for KID and coverage."""
    lost: float = 0.5
    """Coverage, divided by the best so far."""
    least_coverage: float = 0.2
    """Below that, coverage is low because images are bad, whatever modes there are."""


@dataclass(frozen=True)
class Rule:
    """An entry of the table of alarms."""

    name: str
    holds: Callable[[Row, Limits], bool]
    """Whether a row of `alarms.with_past` is bad. A comparison with NaN, which was not measured, is
    false."""
    message: str
    """What was measured; takes the values of the row, and ``{discriminator}``."""
    advice: tuple[str, ...]
    """Things to try; options that the script lacks are left out."""
    patience: str = "patience"
    """Field of `Limits`."""


AUGMENT = "--augmentation color translation cutout --augmentation-probability 1"
SLOWER_DISCRIMINATOR = "a lower --{discriminator}-learning-rate"
SLOWER_GENERATOR = "a lower --generator-learning-rate"
SLOWER_BOTH = "a lower --learning-rate"  # a method with one rate for both

RULES = (
    Rule(
        "collapse",
        lambda row, limits: row["alikeness"] > limits.alikeness,
        "collapse: generated images are as alike as if there were only {different:.1f} different "
        "ones",
        (
            "--minibatch discrimination",
            SLOWER_GENERATOR,
            "a higher --{discriminator}-learning-rate",
            "a larger --batch-size",
        ),
    ),
    Rule(
        "discriminator wins",
        lambda row, limits: row["d_real"] > limits.certain and row["d_fake"] < 1 - limits.certain,
        "the {discriminator} wins: its mean answers are {d_real:.3f} to real and {d_fake:.3f} to "
        "generated images, and the generator learns little from it",
        (
            AUGMENT,
            SLOWER_DISCRIMINATOR,
            "a higher --{discriminator}-dropout",
            "--label-noise 0.1",
        ),
    ),
    Rule(
        "discriminator sees nothing",
        lambda row, limits: abs(row["d_real"] - row["d_fake"]) < limits.blind,
        "the {discriminator} cannot tell real from generated images: its mean answers are "
        "{d_real:.3f} and {d_fake:.3f}",
        (
            "a higher --{discriminator}-learning-rate",
            "wider --{discriminator}-filters",
            "less --{discriminator}-dropout, --label-noise and --instance-noise",
        ),
    ),
    Rule(
        "vanishing gradients",
        lambda row, limits: row["first_to_usual"] < limits.vanishing,
        "vanishing gradients: the generator's first layer gets {first_to_usual:.1g} of its usual "
        "gradient",
        (SLOWER_DISCRIMINATOR, SLOWER_BOTH, "--normalization before-activation"),
    ),
    Rule(
        "exploding gradients",
        lambda row, limits: (
            row["first_to_usual"] > limits.exploding or row["last_to_usual"] > limits.exploding
        ),
        "exploding gradients: the generator's are {largest_to_usual:.0f} times as large as usual",
        (SLOWER_GENERATOR, SLOWER_DISCRIMINATOR, SLOWER_BOTH),
    ),
    Rule(
        "runaway generator",
        lambda row, limits: row["generator_drift"] > limits.drift,
        "the generator's weights run away: their distance from where they began is "
        "{generator_distance:.0f} times their size there",
        (SLOWER_GENERATOR, SLOWER_BOTH),
    ),
    Rule(
        "runaway discriminator",
        lambda row, limits: row["judge_drift"] > limits.drift,
        "the {discriminator}'s weights run away: their distance from where they began is "
        "{judge_distance:.0f} times their size there",
        (SLOWER_DISCRIMINATOR, SLOWER_BOTH),
    ),
    Rule(
        "dead generator",
        lambda row, limits: row["change"] < limits.dead,
        "dead generator: its samples change by {change:.2g} of 255 shades on average",
        (
            "another --generator-learning-rate",
            "another --learning-rate",
            "--normalization before-activation",
            "a new run, as a network of dead units does not recover",
        ),
    ),
    Rule(
        "copies",
        lambda row, limits: row["originality"] < limits.originality,
        "copies: generated images are {originality:.2f} times as far from training images as other "
        "real pictures are",
        (
            "more pictures",
            "--mirror",
            "networks of an earlier step (evaluate.py shows the nearest training pictures)",
        ),
    ),
    Rule(
        "memorised",
        lambda row, limits: row["overfitting"] > limits.overfitting,
        "the {discriminator} overfits: its answers to held-out pictures are {overfitting:.0%} of "
        "the way from training pictures to generated ones",
        (
            AUGMENT,
            "--mirror",
            "more pictures",
            "a higher --{discriminator}-dropout",
            "an earlier end",
        ),
    ),
    Rule(
        "getting worse",
        lambda row, limits: (
            row["kid"] - row["best_kid"]
            > limits.worse * math.hypot(row["kid_spread"], row["best_kid_spread"])
        ),
        "scores are getting worse: KID is {kid:.0f} ± {kid_spread:.0f}, and was {best_kid:.0f} at "
        "step {best_step:.0f}",
        (
            "the best networks, which are in best/",
            "--augmentation color translation --augmentation-probability 1",
            "lower learning rates",
        ),
        "worse_patience",
    ),
    Rule(
        "lost modes",
        lambda row, limits: (
            row["best_coverage"] > limits.least_coverage
            and row["coverage"] < limits.lost * row["best_coverage"]
        ),
        "the generator loses kinds of pictures: images are near {coverage:.0%} of the held-out "
        "ones, and were near {best_coverage:.0%}",
        (
            "the best networks, which are in best/",
            "--minibatch discrimination",
            SLOWER_GENERATOR,
            "a larger --batch-size",
        ),
        "worse_patience",
    ),
)
