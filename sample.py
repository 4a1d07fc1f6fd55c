"""Look at what a run has learned: samples, ways between them, a film of the training, an export.

    python sample.py dcgan-1                          # a grid of fresh samples
    python sample.py dcgan-1 --single --count 200     # and each as a file of its own
    python sample.py dcgan-1 --truncation 1.5         # without far-off latent vectors
    python sample.py dcgan-1 --best-worst             # the discriminator's favourites
    python sample.py dcgan-1 --interpolate            # from one sample to the next, as a GIF
    python sample.py dcgan-1 --search                 # which latent dimensions matter most
    python sample.py dcgan-1 --walk 25                # along one of them
    python sample.py dcgan-1 --film mp4               # the sample grids of the training as a film
    python sample.py dcgan-1 --export                 # for plain Keras and for ONNX Runtime
    python sample.py dcgan-1 --explore                # a page that draws samples in the browser

All of it is made of the averaged weights of the last checkpoint; --weights takes others. Pictures
go to images/RUN/samples/, the export to saved_models/RUN/export/, the explorer to images/RUN/. The
names of files say what was asked for, so that another question does not write over them. The same
--seed gives the same samples: sample 7 of 48 is sample 7 of 200.
"""

from __future__ import annotations

import dataclasses
import math
import sys
from itertools import zip_longest
from pathlib import Path
from typing import Annotated, Any, Literal

from utils import backend  # before Keras: it keeps its start quiet

# isort: split
import numpy as np
import tyro
from PIL import Image
from tqdm import tqdm

from utils.common import films, grids, pictures
from utils.common.commandline import option_name, parse, require_between, with_hyphens
from utils.common.errors import UserError, one_line_errors
from utils.common.files import files_by_step
from utils.sampling import latents, runs
from utils.training.options import RunOptions


@dataclasses.dataclass
class Options:
    """What to look at."""

    run: Annotated[str, tyro.conf.Positional] = ""
    """The run: its name, or the folder of its networks or pictures."""

    # What to make; a grid of samples if none of these is given.
    best_worst: bool = False
    """The samples that the discriminator (or critic) takes for the most and the least real."""
    interpolate: bool = False
    """Ways between random samples: a picture, and a GIF that loops without a seam."""
    walk: int | None = None
    """Walks along one latent dimension, counted from 0: rows are samples, columns are values from
    -3 to 3."""
    search: bool = False
    """Find the latent dimensions that change the picture most, and walk along the first five."""
    film: Literal["gif", "mp4"] | None = None
    """A film of the sample grids that the training has drawn; gif if nothing follows."""
    export: bool = False
    """The generator in float32, for plain Keras and for ONNX Runtime."""
    explore: bool = False
    """A page in which the generator runs in the browser, without a server: sliders for the latent
    dimensions that change the picture most, favourites, and ways between them."""

    # How.
    weights: Literal["average", "current", "best"] = "average"
    """Those averaged over the last steps, those of the last step, or averaged ones at the best
    score."""
    seed: int = 0
    """Of the latent vectors."""
    count: int = 0
    """How many samples: in the grid (0 takes 48), in each half of --best-worst (24), as rows of
    --walk (6)."""
    columns: int = 0
    """Columns of the picture: 8 in grids if 0, 9 of --interpolate, 7 of --walk and --search."""
    truncation: float = 0.0
    """Numbers of latent vectors beyond it, in standard deviations, are drawn again (Brock et al.
    2018); 0 is off. Below about 1.5, batch normalisation's moving statistics no longer fit."""
    single: bool = False
    """Each sample of the grid as a PNG of its own as well."""
    candidates: int = 512
    """Samples that --best-worst chooses from."""
    points: int = 4
    """Samples that --interpolate passes through."""
    frames: int = 0
    """Frames of the GIF from one sample to the next (0 takes 15), or at most in --film (200)."""

    # Where.
    output: str = ""
    """Folder for what is made, instead of the run's own."""
    images_dir: str = RunOptions.images_dir
    """Where pictures of runs are."""
    models_dir: str = RunOptions.models_dir
    """Where networks of runs are."""


MAKES = ("best_worst", "interpolate", "walk", "search", "film", "export", "explore")
"""What can be made besides a grid, one at a time."""
TAKES = {
    "": {"weights", "seed", "count", "columns", "truncation", "single"},
    "best_worst": {"weights", "seed", "count", "columns", "truncation", "candidates"},
    "interpolate": {"weights", "seed", "columns", "truncation", "points", "frames"},
    "walk": {"weights", "seed", "count", "columns", "truncation"},
    "search": {"weights", "seed", "columns", "truncation"},
    "film": {"frames"},
    "export": {"weights"},
    "explore": {"weights"},
}
"""The options that each of them takes, and that its file names tell where they are not default."""
COMMON = {"run", "output", "images_dir", "models_dir", *MAKES}
FILES = {
    "average": "generator.keras",
    "current": "generator-current.keras",
    "best": "best/generator.keras",
}
WALK_TO = 3.0
"""Walks go from minus that to that: beyond lies 0.3 % of what a generator has been trained on."""
SEARCH_TO = 2.0
"""The search compares pictures at minus that and that."""
SEARCHED_LATENTS = 32
SHOWN_DIMENSIONS = 5
ASKED_TIMES = 4
"""How often the discriminator is asked about an image, each time in another batch."""


# ------------------------------------------------------------------------------------------------
# What is asked for
# ------------------------------------------------------------------------------------------------


def with_film_format(arguments: list[str]) -> list[str]:
    """A ``--film`` that no format follows is ``--film gif``."""
    arguments = [with_hyphens(argument) for argument in arguments]
    return [
        "--film=gif" if argument == "--film" and following not in ("gif", "mp4") else argument
        for argument, following in zip_longest(arguments, arguments[1:])
    ]


def chosen_make(options: Options) -> str:
    """Which of ``MAKES`` is asked for; empty for a grid.

    Raises:
        UserError: two of them, an option that does not go with it, or a value out of range.
    """
    made = [
        name
        for name in MAKES
        if getattr(options, name) is not None and getattr(options, name) is not False
    ]
    if len(made) > 1:
        raise UserError(
            f"{option_name(made[0])}: and {option_name(made[1])} as well; one at a time"
        )
    make = made[0] if made else ""
    for field in dataclasses.fields(options):
        is_given = getattr(options, field.name) != field.default
        if is_given and field.name not in TAKES[make] | COMMON:
            others = [
                option_name(name) for name, takes in TAKES.items() if name and field.name in takes
            ]
            if field.name in TAKES[""]:
                others = ["the grid of samples", *others]
            raise UserError(
                f"{option_name(field.name)}: goes with {', '.join(others)}, not with "
                f"{option_name(make) if make else 'the grid of samples'}"
            )
    require_between(options, 0, 2**32 - 1, "seed")
    require_between(options, 0, 100_000, "count", "candidates")
    require_between(options, 0, 1000, "columns", "frames")
    if options.truncation:
        require_between(options, 0.01, math.inf, "truncation")
    require_between(options, 2, 1000, "points")
    if options.frames == 1:
        raise UserError("--frames 1: must be 2 or more")
    if make in ("interpolate", "walk", "search") and options.columns == 1:
        raise UserError("--columns 1: must be 2 or more, for both ends")
    return make


def file_name(run: str, make: str, options: Options, what: str = "") -> str:
    """A name that tells what is in the file, without suffix: ``dcgan-1-walk-25-seed-0``."""
    value = options.walk if make == "walk" else None
    words = [
        run,
        what or make.replace("_", "-") or "grid",
        *([] if value is None else [str(value)]),
    ]
    for field in dataclasses.fields(options):
        chosen = getattr(options, field.name)
        is_told = field.name == "seed" or chosen != field.default
        if field.name in TAKES[make] - {"single"} and is_told:
            words += [field.name, f"{chosen:g}" if isinstance(chosen, float) else str(chosen)]
    return "-".join(words)


class Samples:
    """A run's generator, asked for pictures."""

    def __init__(self, run: runs.Run, make: str, options: Options) -> None:
        """Load the generator.

        Raises:
            UserError: it is not there or damaged.
        """
        self.run, self.make, self.options = run, make, options
        self.folder = Path(options.output) if options.output else run.images / "samples"
        path = run.models / FILES[options.weights]
        if not path.exists():
            reason = {
                "average": "the run has saved no network yet",
                "current": "the run has saved no network yet",
                "best": "the run has no best networks, which it keeps when it scores itself",
            }[options.weights]
            raise UserError(f"--weights {options.weights}: {path} does not exist; {reason}")
        self.generator = runs.to_float32(runs.load_network(path))
        self.latent_dim: int = self.generator.input_shape[1]

    def draw(self, count: int) -> np.ndarray:
        """Latent vectors of the seed, (count, latent_dim)."""
        return latents.draw(count, self.latent_dim, self.options.seed, self.options.truncation)

    def images(self, vectors: np.ndarray) -> np.ndarray:
        """Their pictures, uint8 (N, H, W, 3)."""
        return runs.generate(self.generator, vectors)

    def path(self, suffix: str, what: str = "") -> Path:
        """Where something is written."""
        return self.folder / (file_name(self.run.name, self.make, self.options, what) + suffix)


# ------------------------------------------------------------------------------------------------
# What is made
# ------------------------------------------------------------------------------------------------


def save_picture(path: Path, image: np.ndarray) -> None:
    """Write a PNG and say so."""
    grids.save_png(path, image)
    print(path)


def make_grid(samples: Samples) -> None:
    """A grid of samples, and each of them as a file where that is asked for."""
    options = samples.options
    images = samples.images(samples.draw(options.count or 48))
    save_picture(samples.path(".png"), grids.tile(images, options.columns or 8))
    if options.single:
        # Without what does not change a sample: the same sample is the same file.
        alone = dataclasses.replace(options, count=0, columns=0)
        name = file_name(samples.run.name, "", alone, "sample")
        for number, image in enumerate(images):
            save_picture(samples.folder / f"{name}-{number:05d}.png", image)


def open_judge(samples: Samples) -> tuple[Any, str]:
    """What answers how real a picture is, and what it is called.

    Raises:
        UserError: the run has saved none.
    """
    import utils.layers  # noqa: F401 - layers that only discriminators have
    from utils.watching.probe import Probe

    folder = (samples.run.models / FILES[samples.options.weights]).parent
    found = [name for name in runs.JUDGES if (folder / f"{name}.keras").exists()]
    if not found:
        raise UserError(
            f"--best-worst: neither {' nor '.join(f'{name}.keras' for name in runs.JUDGES)} is in "
            f"{folder}"
        )
    network = runs.load_network(folder / f"{found[0]}.keras")
    batch_size = samples.run.hyperparameter("batch_size")
    state = [*network.variables, *samples.generator.variables]
    return Probe(network, samples.generator, batch_size, state), found[0]


def make_best_worst(samples: Samples) -> None:
    """The samples with the highest and the lowest answers, in two blocks.

    The discriminator is asked about the pictures themselves, in batches of generated ones, as the
    training asks it. Such an answer depends on the rest of its batch, so that it is the mean over
    several batches of others.
    """
    from utils.watching.probe import best_and_worst

    options = samples.options
    count = options.count or 24
    if 2 * count > options.candidates:
        raise UserError(
            f"--candidates {options.candidates}: must be {2 * count} or more, for {count} best and "
            f"{count} worst"
        )
    judge, name = open_judge(samples)
    images = samples.images(samples.draw(options.candidates))
    answers = np.zeros(len(images))
    random = np.random.default_rng(options.seed)
    for _ in range(ASKED_TIMES):
        order = random.permutation(len(images))
        answers[order] += judge.answers_to_real(images[order]) / ASKED_TIMES
    picture, texts = best_and_worst(images, answers, count, options.columns or 8, name)
    print(*texts, sep="\n")
    save_picture(samples.path(".png"), picture)


def make_interpolation(samples: Samples) -> None:
    """A row for each way, and all of them as a film that ends where it begins."""
    options = samples.options
    points = samples.draw(options.points)
    columns = options.columns or 9
    ways = [
        latents.slerp(start, end, np.linspace(0, 1, columns))
        for start, end in zip(points, np.roll(points, -1, axis=0), strict=True)
    ]
    images = samples.images(np.concatenate(ways))
    save_picture(samples.path(".png"), grids.tile(images, columns))
    frames = samples.images(latents.loop(points, options.frames or 15))
    side = max(1, 256 // frames.shape[1])  # small pictures enlarged, pixel by pixel
    path = samples.path(".gif")
    films.save_gif(
        path, range(len(frames)), max_frames=len(frames), seconds_per_frame=0.08,
        last_frame_seconds=0.08,
        read=lambda number: Image.fromarray(frames[number].repeat(side, 0).repeat(side, 1)),
    )  # fmt: skip
    print(path)


def draw_walks(samples: Samples, vectors: np.ndarray, dimension: int, title: str) -> np.ndarray:
    """A captioned picture: a row for each latent vector, a column for each value."""
    columns = samples.options.columns or 7
    values = np.linspace(-WALK_TO, WALK_TO, columns)
    images = samples.images(latents.walk(vectors, dimension, values))
    grid = grids.tile(images, columns)
    headed = grids.caption(grid, [f"{value:.3g}" for value in values], centred=True)
    return grids.caption(headed, [title])


def make_walk(samples: Samples) -> None:
    """One picture of walks along one dimension."""
    dimension, last = samples.options.walk, samples.latent_dim - 1
    if dimension is None or not 0 <= dimension <= last:
        raise UserError(
            f"--walk {dimension}: must be from 0 to {last}, the latent dimensions of "
            f"{samples.run.name}"
        )
    vectors = samples.draw(samples.options.count or 6)
    title = f"latent dimension {dimension}"
    save_picture(samples.path(".png"), draw_walks(samples, vectors, dimension, title))


def changes(samples: Samples) -> np.ndarray:
    """How much each latent dimension changes the picture, (latent_dim,), in shades of 255.

    The mean absolute difference of all pixels between -2 and 2 in this dimension, over 32 latent
    vectors.
    """
    vectors = samples.draw(SEARCHED_LATENTS)
    found = np.zeros(samples.latent_dim)
    dimensions = range(samples.latent_dim)
    for dimension in tqdm(dimensions, desc="searching", unit="dimensions", leave=False):
        walked = latents.walk(vectors, dimension, (-SEARCH_TO, SEARCH_TO))
        pairs = samples.images(walked).astype(np.int16)
        found[dimension] = np.abs(pairs[::2] - pairs[1::2]).mean()
    return found


def make_search(samples: Samples) -> None:
    """A table of the dimensions that change most, and walks along the first five."""
    found = changes(samples)
    order = np.argsort(-found, kind="stable")
    print(
        f"mean change of a pixel, of 255, when a latent dimension goes from {-SEARCH_TO:g} to "
        f"{SEARCH_TO:g}\n\nrank  dimension  change"
    )
    for rank, dimension in enumerate(order[:10], start=1):
        print(f"{rank:4}  {dimension:9}  {found[dimension]:6.2f}")
    print(f"middle of all {len(found)}: {np.median(found):.2f}, least: {found.min():.2f}\n")
    vectors = samples.draw(3)
    blocks = [
        draw_walks(
            samples, vectors, dimension,
            f"latent dimension {dimension}: changes a pixel by {found[dimension]:.1f} of 255",
        )
        for dimension in map(int, order[:SHOWN_DIMENSIONS])
    ]  # fmt: skip
    save_picture(samples.path(".png"), grids.stack(blocks))


def make_film(run: runs.Run, options: Options) -> None:
    """The sample grids of the training, each with its step, as a GIF or MP4."""
    files = files_by_step(run.images, ".png")
    if not files:
        raise UserError(f"--film: there is no sample grid, step_*.png, in {run.images}")
    last = max(files)

    def read(step: int) -> Image.Image:
        grid = np.asarray(pictures.read_picture(files[step]))
        return Image.fromarray(grids.caption(grid, [f"step {step:,} of {last:,}"]))

    folder = Path(options.output) if options.output else run.images / "samples"
    path = folder / f"{file_name(run.name, 'film', options)}.{options.film}"
    save = films.save_gif if options.film == "gif" else films.save_mp4
    try:
        save(path, list(files), max_frames=options.frames or 200, read=read)
    except ValueError as error:
        raise UserError(f"--film: {run.images}: {error}") from None
    print(path)


def make_export(samples: Samples) -> None:
    """``generator.keras`` and ``generator.onnx``."""
    from utils.sampling.export import export

    folder = Path(samples.options.output or samples.run.models / "export")
    weights = samples.options.weights
    name = "generator" if weights == "average" else f"generator-{weights}"
    if samples.options.output:
        name = f"{samples.run.name}-{name}"
    paths = folder / f"{name}.keras", folder / f"{name}.onnx"
    export(samples.generator, *paths)
    for path in paths:
        print(path)


def make_explorer(samples: Samples) -> None:
    """``explorer.html``, and the run's page, if there is one, leads to it."""
    from utils.sampling import explorer
    from utils.watching import outputs
    from utils.watching.page import refresh_page

    model = explorer.export(samples.generator)  # first: the search takes a while
    run, options = samples.run, samples.options
    file, what = outputs.EXPLORERS[options.weights]
    path = Path(options.output, f"{run.name}-{file}") if options.output else run.images / file
    if steps := runs.trained_steps(run.models, options.weights):
        what = f"{what}, step {steps:,}"
    found = changes(samples)
    order = np.argsort(-found, kind="stable")[: explorer.DIMENSIONS]
    dimensions = [(int(dimension), float(found[dimension])) for dimension in order]
    explorer.write_explorer(path, samples.generator, model, dimensions, run.name, what)
    print(f"{path} ({path.stat().st_size / 1e6:.1f} MB)")
    page = run.images / outputs.PAGE
    if not options.output and page.exists():
        refresh_page(page)


@one_line_errors
def main() -> None:
    """Make what the command line says."""
    options = parse(Options, "sample.py", __doc__, with_film_format(sys.argv[1:]))
    if not options.run:
        raise UserError("RUN: which run? Give its name or its folder")
    make = chosen_make(options)
    if options.output and Path(options.output).exists() and not Path(options.output).is_dir():
        raise UserError(f"--output {options.output}: is not a folder")
    run = runs.open_run(options.run, options.images_dir, options.models_dir)
    if make == "film":
        make_film(run, options)
        return
    backend.seed_everything(options.seed, deterministic=True)
    made = {
        "": make_grid,
        "best_worst": make_best_worst,
        "interpolate": make_interpolation,
        "walk": make_walk,
        "search": make_search,
        "export": make_export,
        "explore": make_explorer,
    }
    made[make](Samples(run, make, options))


if __name__ == "__main__":
    main()
