"""What sample.py can be asked for: its options, which task takes which, the names of its files."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import re
from collections.abc import Callable
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from utils.common.errors import UserError
from utils.common.fields import Between, FilePath, Seed, option_name
from utils.training.options import RunOptions

if TYPE_CHECKING:
    from utils.sampling.runs import Run

CHEQUERED = "chequered"


@dataclasses.dataclass
class Options:
    """What to look at."""

    run: Annotated[FilePath, tyro.conf.Positional] = ""
    """The run: its name, or the folder of its networks or pictures."""
    latents: Annotated[tuple[FilePath, ...], tyro.conf.Positional] = ()
    """Latent vectors that --project has saved, instead of random ones: for the grid, --interpolate,
    --walk and --search."""

    # The task, by default a grid of samples
    best_worst: bool = False
    """The samples that the discriminator (or critic) takes for the most and the least real."""
    interpolate: bool = False
    """Ways between random samples: a picture, and a GIF that loops without a seam."""
    walk: int | None = None
    """Walks along one latent dimension, counted from 0: rows are samples, columns are values from
    -3 to 3."""
    class_walk: tuple[str, str] | None = None
    """Ways from one class to another: rows are samples."""
    search: bool = False
    """Find the latent dimensions that change the picture most, and walk along the first five."""
    project: FilePath = ""
    """A picture: finds the latent vector whose image is nearest to it, and saves it."""
    film: Literal["gif", "mp4"] | None = None
    """A film of the sample grids that the training has drawn; gif if nothing follows."""
    export: bool = False
    """The generator in float32, for plain Keras and for ONNX Runtime."""
    explore: bool = False
    """A page in which the generator runs in the browser, without a server: sliders for the latent
    dimensions that change the picture most, favourites, and ways between them."""

    # How
    weights: Literal["average", "current", "best"] = "average"
    """Those averaged over the last steps, those of the last step, or averaged ones at the best
    score."""
    class_: Annotated[str, tyro.conf.arg(name="class")] = ""
    """Samples of this class alone; by default, one class after the other."""
    seed: Seed = 0
    """Of the latent vectors."""
    count: Annotated[int, Between(0, 100_000)] = 0
    """How many samples: in the grid (0 takes 48, or a row of each class), in each half of
    --best-worst (24), as rows of --walk and --class-walk (6)."""
    columns: Annotated[int, Between(0, 1000)] = 0
    """Columns of the picture: 8 in grids if 0, 9 of --interpolate, 7 of walks and --search."""
    truncation: float = 0.0
    """Numbers of latent vectors beyond it, in standard deviations, are drawn again (Brock et al.
    2018); 0 is off. Below about 1.5, batch normalisation's moving statistics no longer fit."""
    single: bool = False
    """Each sample of the grid as a PNG of its own as well, with its transparency."""
    background: str = CHEQUERED
    """What transparent images are drawn on in grids and the GIF of --interpolate: chequered, or a
    colour such as white or #f0f0f0."""
    candidates: Annotated[int, Between(0, 100_000)] = 512
    """Samples that --best-worst chooses from."""
    points: Annotated[int, Between(2, 1000)] = 4
    """Samples that --interpolate passes through."""
    frames: Annotated[int, Between(0, 1000)] = 0
    """Frames of the GIF from one sample to the next (0 takes 15), or at most in --film (200)."""
    weights_too: bool = False
    """With --project: tunes a copy of the generator as well, which becomes a run of its own."""

    # Where
    output: FilePath = ""
    """Folder for the results, instead of the run's own."""
    images_dir: FilePath = RunOptions.images_dir
    """Folder of the runs' pictures."""
    models_dir: FilePath = RunOptions.models_dir
    """Folder of the runs' networks."""


Task = Callable[["Run", Options], None]
TASKS: dict[str, Task] = {}
"""By the option that asks for it; empty for the grid."""
TAKES: dict[str, set[str]] = {}
"""The options that each task takes. File names contain those that are not default."""


def task(name: str, takes: str) -> Callable[[Task], Task]:
    """Register a task and the options that it takes."""

    def register(function: Task) -> Task:
        TASKS[name], TAKES[name] = function, set(takes.split())
        return function

    return register


def with_film_format(arguments: list[str]) -> list[str]:
    """The arguments; a ``--film`` that no format follows is ``--film gif``."""
    return [
        "--film=gif" if argument == "--film" and following not in ("gif", "mp4") else argument
        for argument, following in zip_longest(arguments, arguments[1:])
    ]


def chosen_task(options: Options) -> str:
    """The name of the task; empty for a grid.

    Raises:
        UserError: two tasks, an option that does not go with the task, or a useless value.
    """
    fields = dataclasses.fields(options)
    given = [field.name for field in fields if getattr(options, field.name) != field.default]
    chosen = [name for name in TASKS if name in given] or [""]
    if len(chosen) > 1:
        first, second = map(option_name, chosen[:2])
        raise UserError(f"{first}: and {second} as well; one at a time")
    name = chosen[0]
    spelled = {each: option_name(each) if each else "the grid of samples" for each in TASKS}
    random = {"class_", "seed", "count", "points", "truncation"}.intersection(given)
    if random and options.latents and "latents" in TAKES[name]:
        option = option_name(min(random))
        raise UserError(f"{option}: goes with random latent vectors, not LATENTS")
    if name == "interpolate" and len(options.latents) == 1:
        raise UserError("--interpolate: to which other vector? Give two or more, FROM TO")
    for option in given:
        if option not in {"run", "output", "images_dir", "models_dir", *TASKS, *TAKES[name]}:
            others = ", ".join(spelled[each] for each, takes in TAKES.items() if option in takes)
            shown = f"LATENTS {options.latents[0]}" if option == "latents" else option_name(option)
            raise UserError(f"{shown}: goes with {others}, not with {spelled[name]}")
    if options.truncation and not options.truncation >= 0.01:  # true for a NaN as well
        raise UserError(f"--truncation {options.truncation}: must be 0.01 or more")
    if options.frames == 1:
        raise UserError("--frames 1: must be 2 or more")
    if name in ("interpolate", "walk", "class_walk", "search") and options.columns == 1:
        raise UserError("--columns 1: must be 2 or more, for both ends")
    return name


def path(run: Run, task: str, options: Options, suffix: str = ".png", what: str = "") -> Path:
    """A file whose name contains the task and its options: ``dcgan-1-walk-25-seed-0.png``."""
    words = [run.name, what or task.replace("_", "-") or "grid"]
    if task == "walk":
        words.append(str(options.walk))
    if task == "class_walk":
        words += map(safe_name, options.class_walk)
    if task == "project":
        words.append(short_name(options.project))
    if options.latents:
        words.append(short_name(*options.latents))
    for field in dataclasses.fields(options):
        chosen = getattr(options, field.name)
        is_named = (field.name == "seed" and not options.latents) or chosen != field.default
        if field.name in TAKES[task] - {"single", "latents"} and is_named:
            words.append(field.name.rstrip("_").replace("_", "-"))
            if chosen is not True:
                words.append(f"{chosen:g}" if isinstance(chosen, float) else safe_name(str(chosen)))
    folder = Path(options.output) if options.output else run.images / "samples"
    return folder / ("-".join(words) + suffix)


def safe_name(text: str) -> str:
    """A text as a part of a file name: whatever could mean something else there is a ``_``.

    Four digits of a hash then tell it from others that would be written alike.
    """
    safe = re.sub(r"[^\w.+-]", "_", text)[:40]
    return safe if safe == text else f"{safe}-{hashlib.sha256(text.encode()).hexdigest()[:4]}"


def short_name(*paths: str) -> str:
    """A word for a file name: what files are called, and four digits of a hash of where they are.

    Files of one name in several folders do not overwrite each other's results. It has letters,
    digits, ``.``, ``_`` and ``-`` alone, as names of runs have: a tuned copy is named so.
    """
    stems = [re.sub(r"^.*-project-", "", Path(path).stem) for path in paths[:2]]
    stems = [re.sub(r"[^A-Za-z0-9._-]+", "-", stem)[-40:] for stem in stems]
    words = [stem.strip("-.") or "picture" for stem in stems]
    if len(paths) > 2:
        words.append(f"and-{len(paths) - 2}-more")
    places = "\n".join(map(os.path.abspath, paths)).encode("utf-8", "surrogateescape")
    return "-".join([*words, hashlib.sha256(places).hexdigest()[:4]])
