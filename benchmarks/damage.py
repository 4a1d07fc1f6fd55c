"""What each score says of real pictures that have been damaged: a table for docs/metrics.md.

    python benchmarks/damage.py                          # 200 of the built-in robots, 64 px
    python benchmarks/damage.py --data data/robots-64.h5 --size 64 --pictures 240

Three parts of the pictures are the reals, the training pictures and, damaged, the fakes. A score is
good for something if it gets worse with the strength of a damage, and if it sees what a person
sees: a swap of two colours is another picture of the same robot, a robot in pieces is none.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageFilter

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.race.tables import markdown
from utils.common.commandline import positive

Damaging = Callable[[np.ndarray, float, np.random.Generator], np.ndarray]


class Damage(NamedTuple):
    """A way to damage pictures, uint8 (N, H, H, 3), and how strongly, from little to much."""

    function: Damaging
    strengths: tuple[float, ...]
    words: str
    """With the strength in braces."""


def mirrored(images: np.ndarray, strength: float, random: np.random.Generator) -> np.ndarray:
    """Left is right."""
    return images[:, :, ::-1]


def shifted(images: np.ndarray, strength: float, random: np.random.Generator) -> np.ndarray:
    """To the right, by a share of the width; what is missing repeats the edge."""
    columns = np.arange(images.shape[2]) - round(strength * images.shape[2])
    return images[:, :, np.maximum(columns, 0)]


def tinted(images: np.ndarray, strength: float, random: np.random.Generator) -> np.ndarray:
    """Less green and blue, by that share."""
    return (images * np.array([1, 1 - strength, 1 - strength])).astype(np.uint8)


def swapped(images: np.ndarray, strength: float, random: np.random.Generator) -> np.ndarray:
    """Red is blue."""
    return images[..., ::-1]


def blurred(images: np.ndarray, strength: float, random: np.random.Generator) -> np.ndarray:
    """By a Gaussian of that radius in pixels."""
    blur = ImageFilter.GaussianBlur(strength)
    return np.stack([np.asarray(Image.fromarray(image).filter(blur)) for image in images])


def noised(images: np.ndarray, strength: float, random: np.random.Generator) -> np.ndarray:
    """By normal noise of that deviation, in shades of 255."""
    return np.clip(images + random.normal(0, strength, images.shape), 0, 255).astype(np.uint8)


def torn(images: np.ndarray, strength: float, random: np.random.Generator) -> np.ndarray:
    """Bands of two rows, each moved sideways by up to that share of the width."""
    height, width = images.shape[1:3]
    most = strength * width
    moved = random.integers(-most, most + 1, (len(images), height // 2)).repeat(2, axis=1)
    columns = np.clip(np.arange(width) - moved[..., None], 0, width - 1)
    return np.take_along_axis(images, columns[..., None], axis=2)


def warped(images: np.ndarray, strength: float, random: np.random.Generator) -> np.ndarray:
    """Every pixel from elsewhere, by up to that share of the width, neighbours from nearby."""
    size = images.shape[1]
    places = np.arange(size)
    result = np.empty_like(images)
    for image, target in zip(images, result, strict=True):
        fields = [
            np.asarray(Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC))
            for coarse in random.uniform(-1, 1, (2, 6, 6)).astype(np.float32)
        ]
        rows, columns = (np.rint(strength * size * field).astype(int) for field in fields)
        rows, columns = rows + places[:, None], columns + places
        target[:] = image[np.clip(rows, 0, size - 1), np.clip(columns, 0, size - 1)]
    return result


def scrambled(images: np.ndarray, strength: float, random: np.random.Generator) -> np.ndarray:
    """Cut into that many blocks a side, which are shuffled."""
    count, size = int(strength), images.shape[1] // int(strength)
    blocks = images.reshape(len(images), count, size, count, size, 3).swapaxes(2, 3)
    blocks = blocks.reshape(len(images), count**2, size, size, 3)
    blocks = np.stack([each[random.permutation(count**2)] for each in blocks])
    blocks = blocks.reshape(len(images), count, count, size, size, 3).swapaxes(2, 3)
    return blocks.reshape(images.shape)


def collapsed(images: np.ndarray, strength: float, random: np.random.Generator) -> np.ndarray:
    """All but one in so many are repetitions of the rest."""
    return images[np.arange(len(images)) % max(1, round(len(images) / strength))]


DAMAGES = {
    "mirrored": Damage(mirrored, (1,), ""),
    "shifted": Damage(shifted, (1 / 16, 1 / 8, 1 / 4), "by {:.0%} of the width"),
    "tinted": Damage(tinted, (0.1, 0.25, 0.5), "{:.0%} less green and blue"),
    "red and blue swapped": Damage(swapped, (1,), ""),
    "blurred": Damage(blurred, (0.5, 1, 2), "radius {:g} px"),
    "noised": Damage(noised, (5, 20, 60), "deviation {:g} of 255"),
    "torn": Damage(torn, (1 / 32, 1 / 16, 1 / 8), "bands moved by up to {:.0%}"),
    "warped": Damage(warped, (1 / 32, 1 / 16, 1 / 8), "pixels moved by up to {:.0%}"),
    "scrambled": Damage(scrambled, (2, 4, 8), "{0:g} x {0:g} blocks"),
    "collapsed": Damage(collapsed, (2, 10, 40), "one in {:g} left"),
}


def damaged(
    fakes: np.ndarray, training: np.ndarray, seed: int = 0
) -> dict[str, list[tuple[str, np.ndarray]]]:
    """By the name of a damage, words and pictures for each of its strengths.

    Args:
        fakes: uint8 (N, H, H, 3).
        training: at least as many; copies are made of these.
        seed: of what is random.
    """
    random = np.random.default_rng(seed)
    rows = {
        name: [
            (each.words.format(strength), each.function(fakes, strength, random))
            for strength in each.strengths
        ]
        for name, each in DAMAGES.items()
    }
    rows["copied from training"] = [
        (f"{share:.0%}", np.concatenate([training[: round(share * len(fakes))],
                                         fakes[round(share * len(fakes)) :]]))
        for share in (0.25, 1)
    ]  # fmt: skip
    copies = training[: len(fakes)]
    rows["copies, mirrored"] = [("", mirrored(copies, 1, random))]
    rows["copies, noised"] = [("deviation 20 of 255", noised(copies, 20, random))]
    rows["copies, blurred"] = [("radius 1 px", blurred(copies, 1, random))]
    return rows


COLUMNS = {
    "imagenet": ("kid", "precision", "recall", "density", "coverage"),
    "random": ("kid", "precision", "recall", "coverage"),
    "": ("swd", "sharpness", "likeness", "copies", "originality"),
}
"""What is shown, by the features that it sees."""


def table(reals: np.ndarray, training: np.ndarray, fakes: np.ndarray) -> str:
    """Every score of every damage, in Markdown."""
    from utils.scoring.scorer import Scorer

    scorers = {kind: Scorer(reals, training, kind) for kind in ("imagenet", "random")}

    def row(name: str, words: str, images: np.ndarray) -> list[str]:
        scores = {
            "imagenet": scorers["imagenet"].score(images),
            "random": scorers["random"].score(images, ("kid", "neighbours")),
        }
        scores[""] = scores["imagenet"]
        found = [cell(scores[kind], each) for kind, names in COLUMNS.items() for each in names]
        return [f"{name}, {words}" if words else name, *found]

    names = [f"{kind} {each}".strip() for kind, names in COLUMNS.items() for each in names]
    lines = [["", *names], row("as they are", "", fakes)]
    for name, strengths in damaged(fakes, training).items():
        for words, images in strengths:
            lines.append(row(name, words, images))
            print(" | ".join(lines[-1]), file=sys.stderr, flush=True)
    return markdown(lines)


def cell(scores: Mapping[str, float], name: str) -> str:
    """A score, and KID's spread."""
    if name == "kid":
        return f"{scores[name]:,.0f} ± {scores['kid_spread']:.0f}"
    return f"{scores[name]:.1f}" if name == "swd" else f"{scores[name]:.2f}"


def pictures(data: str, size: int, count: int) -> list[np.ndarray]:
    """Reals, training pictures and fakes, uint8 (count, size, size, 3) each."""
    from utils.preparing.opening import open_dataset

    dataset = open_dataset(data, size, 3 * count, seed=0)
    order = np.random.default_rng(0).permutation(len(dataset))[: 3 * count]
    if len(order) < 3 * count:
        raise SystemExit(f"--data {data}: {len(dataset)} pictures, expected {3 * count}")
    return [dataset.take(np.sort(part)) for part in np.split(order, 3)]


def main() -> None:
    """Print the table of what the command line says."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default="mechas")
    parser.add_argument("--size", type=positive, default=64)
    parser.add_argument("--pictures", type=positive, default=200)
    options = parser.parse_args()
    reals, training, fakes = pictures(options.data, options.size, options.pictures)
    print(table(reals, training, fakes))


if __name__ == "__main__":
    main()
