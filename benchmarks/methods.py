"""The contestants of quality.py: our scripts with some options, and presets of known projects."""

from __future__ import annotations

import math

from benchmarks.race.contestants import Contestant
from utils.training.presets import DCGAN_PRESETS, WGAN_PRESETS

ALWAYS = "--augmentation-probability 1"
"""The probability cannot rise from there."""
RATE = "--discriminator-learning-rate"
OURS = (
    Contestant("default"),
    Contestant("as before", "--generator-architecture plain --upscaling transposed"),
    Contestant("summed, not filtered", "--upscaling transposed"),
    Contestant("filtered, not summed", "--generator-architecture plain"),
    Contestant("upsampling", "--upscaling upsample"),
    Contestant("rate 2e-4", f"{RATE} 2e-4"),
    Contestant("both rates 2e-4", f"--generator-learning-rate 2e-4 {RATE} 2e-4"),
    Contestant("always", ALWAYS),
    Contestant("always, rate 2e-4", f"{ALWAYS} {RATE} 2e-4"),
    Contestant("color strength 1", "--color-strength 1"),
    Contestant("cutout", "--augmentation color translation cutout"),
    Contestant("batch 32", "--batch-size 32"),
    Contestant("deviation", "--minibatch deviation"),
    Contestant("spectral norm", f"--spectral-normalization {RATE} 4e-4"),
    Contestant("discriminator not normalised", "--discriminator-normalized 99 99"),
    Contestant("24 filters", "--generator-filters 24 --discriminator-filters 24"),
    Contestant("48 filters", "--generator-filters 48 --discriminator-filters 48"),
    Contestant("mirror", "--mirror"),
    Contestant("from robots", "--start-from saved_models/robots-64"),
    Contestant("plain", "--preset plain"),
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
