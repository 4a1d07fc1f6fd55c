"""Look at what a run has learned: samples, ways between them, a film of the training, an export.

    python sample.py dcgan-1                          # a grid of fresh samples
    python sample.py dcgan-1 --single --count 200     # and each as a file of its own
    python sample.py dcgan-1 --truncation 1.5         # without far-off latent vectors
    python sample.py dcgan-1 --best-worst             # the discriminator's favourites
    python sample.py dcgan-1 --interpolate            # from one sample to the next, as a GIF
    python sample.py dcgan-1 --search                 # which latent dimensions matter most
    python sample.py dcgan-1 --walk 25                # along one of them
    python sample.py dcgan-1 --class hero             # of one class, where there are classes
    python sample.py dcgan-1 --class-walk hero ace    # from one class to another
    python sample.py dcgan-1 --project robot.png      # your picture in the model: the nearest image
    python sample.py dcgan-1 --film mp4               # the sample grids of the training as a film
    python sample.py dcgan-1 --export                 # for plain Keras and for ONNX Runtime
    python sample.py dcgan-1 --explore                # a page that draws samples in the browser

Samples come from the averaged weights of the last checkpoint; --weights takes others. Pictures go
to images/RUN/samples/, the export to saved_models/RUN/export/, the explorer to images/RUN/. File
names contain the options, so that no result overwrites another. The same --seed gives the same
samples: sample 7 of 48 is sample 7 of 200.

--project also saves the latent vector that it finds. The grid, --interpolate, --walk and --search
take such files in place of random vectors, and --explore has them as favourites:

    python sample.py dcgan-1 --interpolate FROM.json TO.json
"""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

from utils.common.commandline import given_options, parse
from utils.common.errors import UserError, one_line_errors, printable
from utils.sampling.options import (
    CHEQUERED,
    TASKS,
    Options,
    chosen_task,
    path,
    task,
    with_film_format,
)


def read_options() -> Options:
    """What the command line asks for."""
    options = parse(Options, "sample.py", __doc__, with_film_format(sys.argv[1:]))
    if not options.run:
        raise UserError("RUN: which run? Give its name or its folder")
    for option, value, expected in (
        ("--project", options.project, "a picture"), ("--class", options.class_, "a class"),
    ):  # fmt: skip
        if not value and option in given_options():
            raise UserError(f"{option} '': expected {expected}")
    return options


if __name__ == "__main__":  # --help and mistakes come before Keras, which takes seconds to load
    one_line_errors(read_options)()

from utils import backend  # before Keras: it keeps its start quiet

# isort: split
import keras
import numpy as np
from PIL import Image

from utils.common import films, grids
from utils.common.channels import CHANNELS, as_rgb
from utils.common.files import files_by_step
from utils.common.pictures import Colour, named_colour, read_picture
from utils.sampling import dimensions, favourites, latents, runs, vectors
from utils.training.config import saved_channels
from utils.watching import outputs
from utils.watching.probe import best_and_worst

# ------------------------------------------------------------------------------------------------
# Tasks
# ------------------------------------------------------------------------------------------------


@task("", takes="latents class_ weights seed count columns truncation single background")
def make_grid(run: runs.Run, options: Options) -> None:
    """A grid of samples, rows of each class, and with --single each of them as a file."""
    generator, columns = runs.load_generator(run, options.weights), options.columns or 8
    names = () if options.class_ or options.latents else tuple(run.classes)
    count = options.count or (columns * len(names) if names else 48)
    images = runs.generate(generator, draw(run, generator, options, count))
    if names:
        picture = grids.in_rows(images, columns, names, behind(options))
    else:
        picture = grids.grid(images, columns, background=behind(options))
    save(path(run, "", options), picture)
    if options.single:
        # Without what does not change a sample: the same sample is the same file.
        alone = dataclasses.replace(options, count=0, columns=0, background=CHEQUERED)
        for number, image in enumerate(images):
            save(path(run, "", alone, f"-{number:05d}.png", "sample"), image)


@task("best_worst", takes="class_ weights seed count columns truncation candidates background")
def make_best_worst(run: runs.Run, options: Options) -> None:
    """The samples with the highest and the lowest answers of the discriminator, in two blocks."""
    count, candidates = options.count or 24, options.candidates
    if 2 * count > candidates:
        raise UserError(
            f"--candidates {candidates}: must be {2 * count} or more, for {count} best and "
            f"{count} worst"
        )
    generator = runs.load_generator(run, options.weights)
    discriminator, name = favourites.load_discriminator(run, options.weights)
    batch_size = run.hyperparameter("batch_size")
    drawn = draw(run, generator, options, candidates)
    images = runs.generate(generator, drawn)
    classes = None
    if run.classes:  # as far as the discriminator is told them
        classes = run.class_share(options.weights) * drawn[:, runs.latent_dim(generator) :]
    answers = favourites.mean_answers(
        discriminator, generator, batch_size, images, options.seed, classes
    )
    columns, background = options.columns or 8, behind(options)
    picture, texts = best_and_worst(images, answers, count, columns, name, background)
    print(*texts, sep="\n")
    save(path(run, "best_worst", options), picture)


@task(
    "interpolate", takes="latents class_ weights seed columns truncation points frames background"
)
def make_interpolation(run: runs.Run, options: Options) -> None:
    """A row for each way, and all of them as a film that ends where it begins."""
    generator = runs.load_generator(run, options.weights)
    points, columns = draw(run, generator, options, options.points), options.columns or 9
    size = runs.latent_dim(generator)
    images = runs.generate(generator, latents.loop(points, np.linspace(0, 1, columns), size))
    background = behind(options)
    save(path(run, "interpolate", options), grids.grid(images, columns, background=background))
    count = options.frames or 15
    frames = runs.generate(generator, latents.loop(points, np.arange(count) / count, size))
    frames = as_rgb(frames, background)
    film = path(run, "interpolate", options, ".gif")
    films.save_gif(
        film, list(frames), max_frames=len(frames), seconds_per_frame=0.08, last_frame_seconds=0.08,
        read=lambda frame: Image.fromarray(grids.enlarge(frame, len(frame), 256)),
    )  # fmt: skip
    print(film)


@task("walk", takes="latents class_ weights seed count columns truncation background")
def make_walk(run: runs.Run, options: Options) -> None:
    """Walks along one dimension."""
    generator, dimension = runs.load_generator(run, options.weights), options.walk
    last = runs.latent_dim(generator) - 1
    if not 0 <= dimension <= last:
        raise UserError(
            f"--walk {dimension}: must be from 0 to {last}, the latent dimensions of {run.name}"
        )
    drawn = draw(run, generator, options, options.count or 6)
    columns, title = options.columns or 7, f"latent dimension {dimension}"
    picture = dimensions.draw_walks(generator, drawn, dimension, columns, title, behind(options))
    save(path(run, "walk", options), picture)


@task("class_walk", takes="latents weights seed count columns truncation background")
def make_class_walk(run: runs.Run, options: Options) -> None:
    """Ways from one class to another."""
    generator = runs.load_generator(run, options.weights)
    ends = tuple(label_of(run, name, "--class-walk", options) for name in options.class_walk)
    drawn = draw(run, generator, options, options.count or 6)
    columns, names = options.columns or 7, options.class_walk
    picture = dimensions.draw_class_walk(generator, drawn, ends, names, columns, behind(options))
    save(path(run, "class_walk", options), picture)


@task("search", takes="latents class_ weights seed columns truncation background")
def make_search(run: runs.Run, options: Options) -> None:
    """A table of the dimensions that change the picture most, and walks along the first five."""
    generator, to = runs.load_generator(run, options.weights), dimensions.SEARCH_TO
    changes = dimensions.changes(generator, options.seed, options.truncation)
    strongest = dimensions.strongest(changes, 10)
    print(
        f"mean change of a pixel, of 255, when a latent dimension goes from {-to:g} to {to:g}\n\n"
        "rank  dimension  change"
    )
    for rank, (dimension, change) in enumerate(strongest, start=1):
        print(f"{rank:4}  {dimension:9}  {change:6.2f}")
    print(f"median of all {len(changes)}: {np.median(changes):.2f}, least: {changes.min():.2f}\n")
    drawn, columns, blocks = draw(run, generator, options, 3), options.columns or 7, []
    for dimension, change in strongest[:5]:
        title = f"latent dimension {dimension}: changes a pixel by {change:.1f} of 255"
        blocks.append(
            dimensions.draw_walks(generator, drawn, dimension, columns, title, behind(options))
        )
    save(path(run, "search", options), grids.stack(blocks))


@task("film", takes="frames")
def make_film(run: runs.Run, options: Options) -> None:
    """The sample grids of the training, each with its step, as a GIF or MP4."""
    files = files_by_step(run.images, ".png")
    if not files:
        raise UserError(f"--film: there is no sample grid, step_*.png, in {run.images}")

    def read(step: int) -> Image.Image:
        grid = np.asarray(read_picture(files[step]))
        return Image.fromarray(grids.caption(grid, [f"step {step:,} of {max(files):,}"]))

    film = path(run, "film", options, f".{options.film}")
    save_film = films.save_gif if options.film == "gif" else films.save_mp4
    try:
        save_film(film, list(files), max_frames=options.frames or 200, read=read)
    except ValueError as error:
        raise UserError(f"--film: {run.images}: {error}") from None
    print(film)


@task("project", takes="weights seed weights_too")
def make_projection(run: runs.Run, options: Options) -> None:
    """A strip from a start to the nearest image, its vector, and with --weights-too a tuned run."""
    from utils.sampling.projection import project

    file = path(run, "project", options)
    project(run, options.project, options.weights, options.seed, options.weights_too, file)


@task("export", takes="weights")
def make_export(run: runs.Run, options: Options) -> None:
    """``generator.keras`` and ``generator.onnx``."""
    from utils.sampling.export import export

    name = "generator" if options.weights == "average" else f"generator-{options.weights}"
    folder = run.models / "export"
    if options.output:
        folder, name = Path(options.output), f"{run.name}-{name}"
    paths = folder / f"{name}.keras", folder / f"{name}.onnx"
    export(runs.load_generator(run, options.weights), *paths)
    print(*paths, sep="\n")


@task("explore", takes="weights")
def make_explorer(run: runs.Run, options: Options) -> None:
    """``explorer.html``; the run's page, if there is one, links to it."""
    from utils.sampling.explorer import write_explorer
    from utils.watching.page import refresh_page

    name, what = outputs.EXPLORERS[options.weights]
    file = Path(options.output, f"{run.name}-{name}") if options.output else run.images / name
    if steps := runs.trained_steps(run.models, options.weights):
        what = f"{what}, step {steps:,}"
    generator = runs.load_generator(run, options.weights)
    saved = vectors.saved_vectors(run, options.weights, runs.width(generator))
    write_explorer(file, generator, run.name, what, tuple(run.classes), saved)
    print(f"{file} ({file.stat().st_size / 1e6:.1f} MB)")
    page = run.images / outputs.PAGE
    if not options.output and page.exists():
        refresh_page(page)


# ------------------------------------------------------------------------------------------------
# What tasks share
# ------------------------------------------------------------------------------------------------


def draw(run: runs.Run, generator: keras.Model, options: Options, count: int) -> np.ndarray:
    """Latent vectors, with class weights beside them, as the options say; see `runs.draw`."""
    if options.latents:
        return vectors.read_vectors(options.latents, runs.width(generator), run)
    labels = (
        np.full(count, label_of(run, options.class_, "--class", options))
        if options.class_
        else None
    )
    return runs.draw(generator, count, options.seed, options.truncation, labels)


def behind(options: Options) -> Colour | None:
    """The colour that transparent images are drawn on; None is a chequered background."""
    chosen = options.background
    return None if chosen == CHEQUERED else named_colour("--background", chosen)


def label_of(run: runs.Run, name: str, option: str, options: Options) -> int:
    """The place of a class among those of the run.

    Where its networks were not yet told of classes, a line says so.

    Raises:
        UserError: it has no such class.
    """
    names = list(run.classes)
    if name not in names:
        known = f"expected one of {printable(', '.join(names))}" if names else "it has no classes"
        raise UserError(f"{option} {name}: run {run.name} has no class of that name; {known}")
    if not run.class_share(options.weights):
        first = run.hyperparameter("class_steps")[0]
        print(
            f"{option} {name}: up to step {first:,} networks are not told of classes, and all look "
            "alike",
            file=sys.stderr,
        )
    return names.index(name)


def save(file: Path, image: np.ndarray) -> None:
    """Write a PNG and print its path."""
    grids.save_png(file, image)
    print(file)


# ------------------------------------------------------------------------------------------------
# The command line
# ------------------------------------------------------------------------------------------------


@one_line_errors
def main() -> None:
    """Make what the command line asks for."""
    options = read_options()
    name = chosen_task(options)
    if options.output and Path(options.output).exists() and not Path(options.output).is_dir():
        raise UserError(f"--output {options.output}: is not a folder")
    run = runs.open_run(options.run, options.images_dir, options.models_dir)
    if behind(options) and (channels := saved_channels(run.config)) != 4:
        raise UserError(
            f"--background {options.background}: the images of {run.name} are "
            f"{CHANNELS[channels]}, not transparent; expected no --background"
        )
    backend.seed_everything(options.seed, deterministic=True)
    TASKS[name](run, options)


if __name__ == "__main__":
    main()
