"""The contestants of quality.py: our scripts with some options, and presets of known projects."""

from __future__ import annotations

import math

from benchmarks.race.contestants import Contestant
from utils.training.presets import DCGAN_PRESETS, WGAN_PRESETS

ALWAYS = "--augmentation-probability 1"
"""The probability cannot rise from there."""
CONSTANT = "--augmentation-target 0 --augmentation-confidence 1"
"""The augmentation's probability stays as it is."""
PUBLISHED = f"{ALWAYS} --color-strength 1 --discriminator-learning-rate 2e-4"
"""Augmentation and the discriminator's learning rate as their papers have them."""
RATE = "--discriminator-learning-rate"
OURS = (
    Contestant("default"),
    Contestant("constant", CONSTANT),
    Contestant("overfitting only", "--augmentation-confidence 1"),
    Contestant("probability 0.2", f"{CONSTANT} --augmentation-probability 0.2"),
    Contestant("probability 0.5", f"{CONSTANT} --augmentation-probability 0.5"),
    Contestant("probability 0.9", f"{CONSTANT} --augmentation-probability 0.9"),
    Contestant("constant, color strength 0.1", f"{CONSTANT} --color-strength 0.1"),
    Contestant(
        "constant, rate 2e-4, color strength 0.1", f"{CONSTANT} {RATE} 2e-4 --color-strength 0.1"
    ),
    Contestant("constant, generator's rate 2e-4", f"{CONSTANT} --generator-learning-rate 2e-4"),
    Contestant(
        "constant, both rates doubled", f"{CONSTANT} --generator-learning-rate 8e-4 {RATE} 2e-4"
    ),
    Contestant(
        "constant, 24 filters", f"{CONSTANT} --generator-filters 24 --discriminator-filters 24"
    ),
    Contestant("constant, batch 8", f"{CONSTANT} --batch-size 8"),
    Contestant("rate 2e-4", f"{RATE} 2e-4"),
    Contestant("24 filters", "--generator-filters 24 --discriminator-filters 24"),
    Contestant("48 filters", "--generator-filters 48 --discriminator-filters 48"),
    Contestant("batch 32", "--batch-size 32"),
    Contestant("always", ALWAYS),
    Contestant("always, rate 5e-5", f"{ALWAYS} {RATE} 5e-5"),
    Contestant("always, rate 2e-4", f"{ALWAYS} {RATE} 2e-4"),
    Contestant("always, color strength 0.1", f"{ALWAYS} --color-strength 0.1"),
    Contestant("always, color strength 1", f"{ALWAYS} --color-strength 1"),
    Contestant("always, deviation", f"{ALWAYS} --minibatch deviation"),
    Contestant(
        "always, rate 2e-4, color strength 0.1", f"{ALWAYS} {RATE} 2e-4 --color-strength 0.1"
    ),
    Contestant(
        "always, rate 2e-4, dropout 0.1", f"{ALWAYS} {RATE} 2e-4 --discriminator-dropout 0.1"
    ),
    Contestant("always, rate 2e-4, batch 32", f"{ALWAYS} {RATE} 2e-4 --batch-size 32"),
    Contestant("always, rate 2e-4, deviation", f"{ALWAYS} {RATE} 2e-4 --minibatch deviation"),
    Contestant("published", PUBLISHED),
    Contestant("published, cutout", f"{PUBLISHED} --augmentation color translation cutout"),
    Contestant("published, translation alone", f"{PUBLISHED} --augmentation translation"),
    Contestant("published, rate 4e-4", f"{PUBLISHED} {RATE} 4e-4"),
    Contestant("published, dropout 0.25", f"{PUBLISHED} --discriminator-dropout 0.25"),
    Contestant("published, batch 32", f"{PUBLISHED} --batch-size 32"),
    Contestant("published, deviation", f"{PUBLISHED} --minibatch deviation"),
    Contestant("published, mirror", f"{PUBLISHED} --mirror"),
    Contestant("published, upsampling", f"{PUBLISHED} --upscaling upsample"),
    Contestant("published, spectral norm", f"{PUBLISHED} --spectral-normalization"),
    Contestant("published, not normalised", f"{PUBLISHED} --discriminator-normalized 99 99"),
    Contestant("plain", "--preset plain"),
    Contestant(
        "plain, slow discriminator", f"--preset plain {RATE} 5e-5 --discriminator-dropout 0.4"
    ),
    Contestant("wgan penalty", script="wgan.py"),
    Contestant("r3gan", script="r3gan.py", schedule="--schedule-steps"),
    Contestant("r3gan, shared pass", "--shared-pass", "r3gan.py", schedule="--schedule-steps"),
    Contestant(
        "r3gan, shared pass, lazy",
        "--shared-pass --penalty-interval 4",
        "r3gan.py",
        schedule="--schedule-steps",
    ),
)
HISTORICAL = (
    ("dcgan.py", "radford", ""),
    ("dcgan.py", "keras-gan", ""),
    ("dcgan.py", "gandam-v1", ""),
    ("dcgan.py", "gandam-v2", ""),
    # Of a project with a preset for 64 px and another for 256 px, the former.
    ("dcgan.py", "edouard99-64", ""),
    ("dcgan.py", "edouard99-64", "--balance monitored"),
    ("dcgan.py", "edouard99-64", "--balance boosting --label-noise 0.1"),
    ("wgan.py", "arjovsky", ""),
    ("wgan.py", "gulrajani", ""),
    ("wgan.py", "keras-gan", ""),
    ("wgan.py", "edouard99-64", ""),
)
"""Script, preset, and options beyond it."""
OUR_WIDTH = {
    "dcgan.py": "--generator-filters 32 --discriminator-filters 32 --batch-size 16",
    "wgan.py": "--generator-filters 32 --critic-filters 32 --batch-size 16",
}
"""Filters and batch of the scripts' own defaults."""


def contestants(size: int) -> list[Contestant]:
    """All of them, for images of ``size`` pixels; the first is the default."""
    return [*OURS, *(form for line in HISTORICAL for form in historical(*line, size))]


def historical(script: str, preset: str, flags: str, size: int) -> list[Contestant]:
    """The two forms of a preset: as it is, but of that image size, and at our width.

    Where the preset is for larger images and lists its widths, those of the largest maps are left
    out, so that the smallest ones are what they were. At our width it also has our precision.
    """
    values = {"dcgan.py": DCGAN_PRESETS, "wgan.py": WGAN_PRESETS}[script][preset].values
    doublings = max(0, round(math.log2(values["image_size"] / size)))
    as_it_is = f" --precision {values['precision']}"
    for network in ("generator", "discriminator", "critic"):
        widths = values.get(f"{network}_filters", ())
        if len(widths) > 1 and doublings:
            kept = widths[:-doublings] if network == "generator" else widths[doublings:]
            as_it_is += f" --{network}-filters {' '.join(map(str, kept))}"
    recipe = f"{preset} {script.removesuffix('.py')}"
    if flags.startswith("--balance"):
        recipe += f" {flags.split()[1]}"
    flags = f"--preset {preset} {flags}"
    return [
        Contestant(recipe, flags + as_it_is, script, recipe),
        Contestant(f"{recipe}, our width", f"{flags} {OUR_WIDTH[script]}", script, recipe),
    ]
