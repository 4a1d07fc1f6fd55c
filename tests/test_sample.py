"""sample.py: ways through the latent space, what is drawn of them, films, and the export."""

from __future__ import annotations

import functools
import json
import re
import shutil
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import blobs
from tests.saved_run import generated, load, of_keras, run_sample, write_run
from utils import backend  # noqa: F401 - before Keras: it keeps its start quiet

# isort: split
from keras import layers

import dcgan
from utils.common import grids
from utils.sampling import latents, runs
from utils.sampling.options import safe_name
from utils.watching.probe import Probe

SIZE, LATENT_DIM = 32, 5


def pixels(path: str | Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of two runs. Those of ``two`` are copies, but for the discriminator's name."""
    folder = tmp_path_factory.mktemp("sample")
    h = dcgan.Hyperparameters(
        image_size=SIZE, latent_dim=LATENT_DIM, generator_filters=(4,), discriminator_filters=(4,),
        batch_size=4, spectral_normalization=True, minibatch="discrimination", instance_noise=0.1,
    )  # fmt: skip
    write_run(folder, "one", h)
    two = folder / "saved_models" / "two"
    shutil.copytree(two.with_name("one"), two)
    (two / "discriminator.keras").rename(two / "critic.keras")
    shutil.copytree(folder / "images" / "one", folder / "images" / "two")
    return folder


@pytest.fixture(scope="module")
def _loaded_once() -> Iterator[None]:
    """A network is loaded, and what it computes is compiled, once for all tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "load_network", functools.cache(runs.load_network))
        yield


@pytest.fixture(name="run_sample")
def _run_sample(folder, monkeypatch, _loaded_once):
    """Runs sample.py in the folder of the runs: exit code, lines of output, last line of errors."""
    monkeypatch.chdir(folder)

    def run(*arguments: object) -> tuple[int, list[str], str]:
        code, output, errors = run_sample(folder, *arguments)
        last = errors.splitlines()[-1] if errors else ""
        return code, output.splitlines(), last.removeprefix("sample.py: error: ")

    return run


# ------------------------------------------------------------------------------------------------
# What is drawn
# ------------------------------------------------------------------------------------------------


def test_a_grid(run_sample, folder):
    assert run_sample("one") == (0, ["images/one/samples/one-grid-seed-0.png"], "")
    path = folder / "images" / "one" / "samples" / "one-grid-seed-0.png"
    vectors = np.random.default_rng(0).standard_normal((48, LATENT_DIM), dtype=np.float32)
    expected = grids.grid(generated(folder, vectors), 8)
    assert expected.std() > 20
    assert np.abs(pixels(path).astype(int) - expected).max() <= 1
    before = path.read_bytes()
    assert run_sample("saved_models/one/")[0] == 0  # the same run by its folder
    assert path.read_bytes() == before


def test_other_grids_have_other_names(run_sample, folder, tmp_path):
    names = {
        "": "one-grid-seed-0.png",
        "--count 3 --columns 2": "one-grid-seed-0-count-3-columns-2.png",
        "--truncation 0.5": "one-grid-seed-0-truncation-0.5.png",
        "--weights current --seed 7": "one-grid-weights-current-seed-7.png",
        "--weights best": "one-grid-weights-best-seed-0.png",
    }
    for arguments, name in names.items():
        code, lines, _ = run_sample("images/one", *arguments.split(), "--output", tmp_path)
        assert (code, lines) == (0, [str(tmp_path / name)])
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names.values())
    found = {name: pixels(tmp_path / name) for name in names.values()}
    assert found["one-grid-seed-0-count-3-columns-2.png"].shape == (210, 210, 3)
    expected = grids.grid(generated(folder, latents.draw(48, 5, 0), "best/generator.keras"), 8)
    difference = found["one-grid-weights-best-seed-0.png"].astype(int) - expected
    assert np.abs(difference).max() <= 1


def test_single_samples(run_sample, folder, tmp_path):
    code, lines, _ = run_sample("one", "--single", "--count", 3, "--output", tmp_path)
    assert (code, len(lines)) == (0, 4)
    images = generated(folder, latents.draw(3, LATENT_DIM, 0))
    for number, image in enumerate(images):
        found = pixels(tmp_path / f"one-sample-seed-0-{number:05d}.png")
        assert np.abs(found.astype(int) - image).max() <= 1


@pytest.mark.parametrize(("run", "name"), [("one", "discriminator"), ("two", "critic")])
def test_best_and_worst(run_sample, run, name, tmp_path, monkeypatch):
    asked = []

    def brightness(probe: Probe, images: np.ndarray, classes: None) -> np.ndarray:
        """Takes bright pictures for real ones."""
        if run == "one" and not asked:  # the real one, with all its layers, answers
            answers = answers_to_real(probe, images)
            assert answers.shape == (20,)
            assert np.isfinite(answers).all()
        asked.append(images)
        return images.mean(axis=(1, 2, 3)).astype(np.float32)

    answers_to_real = Probe.answers_to_real
    monkeypatch.setattr(Probe, "answers_to_real", brightness)
    code, lines, _ = run_sample(
        run, "--best-worst", "--candidates", 20, "--count", 3, "--columns", 3, "--output", tmp_path
    )
    assert code == 0
    # Four times, each time in another order.
    assert len({images.tobytes() for images in asked}) == 4
    assert len({np.sort(images, axis=0).tobytes() for images in asked}) == 1
    assert lines[0].startswith(f"best 3 of 20: the {name}'s answer (")
    chosen = [list(map(int, line.split("samples ")[1].split())) for line in lines[:2]]
    run_sample(run, "--single", "--count", 20, "--output", tmp_path)
    samples = [pixels(tmp_path / f"{run}-sample-seed-0-{n:05d}.png") for n in range(20)]
    order = list(np.argsort([image.mean() for image in samples]))
    assert chosen == [order[::-1][:3], order[:3]]
    shown = pixels(lines[2])
    assert shown.shape == (2 * (22 + 3 * 36), 3 * (3 * 34 + 2), 3)
    assert np.array_equal(shown[22::3, ::3][2:34, 2:34], samples[order[-1]])


def test_an_interpolation(run_sample, folder, tmp_path):
    code, lines, _ = run_sample(
        "one", "--interpolate", "--points", 3, "--frames", 4, "--columns", 5, "--output", tmp_path
    )
    assert code == 0
    strip = pixels(lines[0])[::3, ::3]
    assert strip.shape == (3 * 34 + 2, 5 * 34 + 2, 3)
    points = generated(folder, latents.draw(3, LATENT_DIM, 0)).astype(int)
    for row in range(3):
        for column, point in ((0, row), (4, (row + 1) % 3)):
            cell = strip[2 + 34 * row :, 2 + 34 * column :][:32, :32]
            assert np.abs(cell - points[point]).max() <= 1
    with Image.open(lines[1]) as film:
        assert film.size == (256, 256)
        assert film.info["loop"] == 0
        seconds = []
        for number in range(film.n_frames):
            film.seek(number)
            seconds.append(film.info["duration"])
            if number % 4 == 0:
                frame = np.asarray(film.convert("RGB"))[4::8, 4::8]
                assert np.abs(frame - points[number // 4]).mean() < 12
    assert seconds == [80] * 12


def test_pictures_are_where_the_run_had_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("saved_models/far", "drawn/far"):
        Path(folder).mkdir(parents=True)
    config = {"hyperparameters": {"images_dir": "drawn"}, "data_set": {}}
    Path("saved_models/far/config.json").write_text(json.dumps(config))
    for name in ("far", "saved_models/far"):
        assert runs.open_run(name).images == Path("drawn/far")
    Path("images/far").mkdir(parents=True)
    assert runs.open_run("far").images == Path("images/far")


def test_an_output_that_is_no_folder(run_sample, tmp_path):
    (tmp_path / "mine.png").touch()
    code, _, error = run_sample("one", "--output", tmp_path / "mine.png")
    assert (code, error) == (2, f"--output {tmp_path}/mine.png: is not a folder")


@pytest.mark.parametrize("dimension", [0, 2])
def test_a_walk(run_sample, folder, tmp_path, dimension):
    code, lines, _ = run_sample("one", "--walk", dimension, "--count", 2, "--output", tmp_path)
    assert (code, lines) == (0, [str(tmp_path / f"one-walk-{dimension}-seed-0-count-2.png")])
    shown = pixels(lines[0])
    assert shown.shape == (44 + 3 * (2 * 34 + 2), 3 * (7 * 34 + 2), 3)
    shown = shown[44::3, ::3]
    for row, latent in enumerate(latents.draw(2, LATENT_DIM, 0)):
        vectors = np.tile(latent, (7, 1))
        vectors[:, dimension] = range(-3, 4)
        for column, image in enumerate(generated(folder, vectors)):
            cell = shown[2 + 34 * row :, 2 + 34 * column :][:32, :32]
            assert np.abs(cell.astype(int) - image).max() <= 1


def test_the_search_finds_what_changes_the_picture(run_sample, folder, tmp_path):
    run = runs.open_run(str(folder / "saved_models" / "two"))
    generator = load(run.models / "generator-current.keras")
    dense = next(layer for layer in generator.layers if isinstance(layer, layers.Dense))
    kernel = np.zeros(dense.kernel.shape, np.float32)
    kernel[3], kernel[1] = 0.5, 0.1
    dense.kernel.assign(kernel)
    generator.save(run.models / "generator-current.keras")
    code, lines, _ = run_sample("two", "--search", "--weights", "current", "--output", tmp_path)
    assert code == 0
    table = [line.split() for line in lines[3:8]]
    assert [row[1] for row in table] == ["3", "1", "0", "2", "4"]
    assert float(table[0][2]) > float(table[1][2]) > 0
    assert [row[2] for row in table[2:]] == ["0.00"] * 3
    ends = [latents.draw(32, LATENT_DIM, 0) for _ in range(2)]
    ends[0][:, 3], ends[1][:, 3] = -2, 2
    images = [of_keras(generator, each) for each in ends]
    change = np.abs(images[1] - images[0]).mean() * 127.5
    assert float(table[0][2]) == pytest.approx(change, abs=0.05)
    assert pixels(lines[-1]).shape == (5 * (44 + 3 * (3 * 34 + 2)), 3 * (7 * 34 + 2), 3)


def test_a_film_as_gif(run_sample, folder):
    code, lines, _ = run_sample("one", "--film")
    assert (code, lines) == (0, ["images/one/samples/one-film.gif"])
    with Image.open(lines[0]) as film:
        assert (film.n_frames, film.size) == (5, (64, 86))
        labels = []
        for number, image in enumerate(blobs(5, 64)):
            film.seek(number)
            frame = np.asarray(film.convert("RGB")).astype(int)
            assert np.abs(frame[22:] - image).mean() < 3
            labels.append(frame[:22])
    assert all(label.min() < 100 for label in labels)
    assert not np.array_equal(labels[1], labels[2])


def test_a_film_as_mp4(run_sample):
    av = pytest.importorskip("av")
    code, lines, _ = run_sample("--film", "mp4", "one", "--frames", 3)
    assert (code, lines) == (0, ["images/one/samples/one-film-frames-3.mp4"])
    with av.open(lines[0]) as film:
        assert film.streams.video[0].codec_context.name == "h264"
        frames = [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]
    assert len(frames) == 2 + 20  # the last is held for two seconds
    for frame, image in zip(frames, blobs(5, 64)[[0, 2, 4]], strict=False):
        assert frame.shape == (86, 64, 3)
        assert np.abs(frame[22:].astype(int) - image).mean() < 12


# ------------------------------------------------------------------------------------------------
# Export
# ------------------------------------------------------------------------------------------------


def packages_in(network: Path) -> set[str]:
    """Packages that loading a network imports its classes from."""
    with zipfile.ZipFile(network) as archive:
        config = archive.read("config.json").decode()
    return set(re.findall(r'"module": "(\w+)', config))


def test_the_export_needs_nothing_of_this_project(run_sample, folder, tmp_path):
    code, lines, _ = run_sample("one", "--export")
    exported = folder / "saved_models" / "one" / "export"
    assert code == 0
    assert lines == [f"saved_models/one/export/generator.{each}" for each in ("keras", "onnx")]
    assert sorted(path.name for path in exported.iterdir()) == ["generator.keras", "generator.onnx"]
    assert packages_in(exported / "generator.keras") == {"keras"}
    assert "utils" in packages_in(exported.parent / "discriminator.keras")
    vectors = latents.draw(2, LATENT_DIM, 0)
    images = grids.to_uint8(of_keras(load(exported / "generator.keras"), vectors))
    assert np.abs(images.astype(int) - generated(folder, vectors)).max() <= 1
    # The weights of another export have names of their own.
    assert run_sample("one", "--export", "--weights", "best")[1] == [
        f"saved_models/one/export/generator-best.{each}" for each in ("keras", "onnx")
    ]


# ------------------------------------------------------------------------------------------------
# Mistakes
# ------------------------------------------------------------------------------------------------


def test_texts_in_file_names():
    words = [safe_name(each) for each in ("hero", "a/b", "a_b", "a b", "x" * 40, "x" * 41)]
    assert words[0] == "hero"
    assert words[1].startswith("a_b-")
    assert len({*words}) == len(words)


MISTAKES = {
    "": "RUN: which run? Give its name or its folder",
    "three": (
        "RUN three: saved_models/three/config.json does not exist; there are one, two"
    ),
    "saved_models/three": (
        "RUN three: saved_models/three/config.json does not exist; there are one, two"
    ),
    "images/three": (
        "RUN three: saved_models/three/config.json does not exist; there are one, two"
    ),
    "one --walk 5": "--walk 5: must be from 0 to 4, the latent dimensions of one",
    "one --walk -1": "--walk -1: must be from 0 to 4, the latent dimensions of one",
    "one --film --export": "--film: and --export as well; one at a time",
    "one --film --seed 3": (
        "--seed: goes with the grid of samples, --best-worst, --interpolate, --walk, --class-walk, "
        "--search, --project, not with --film"
    ),
    "one --explore --seed 3": (
        "--seed: goes with the grid of samples, --best-worst, --interpolate, --walk, --class-walk, "
        "--search, --project, not with --explore"
    ),
    "one --points 3": "--points: goes with --interpolate, not with the grid of samples",
    "one --single --walk 1": "--single: goes with the grid of samples, not with --walk",
    "one --interpolate --points 1": "--points 1: must be from 2 to 1000",
    "one --interpolate --columns 1": "--columns 1: must be 2 or more, for both ends",
    "one --film --frames 1": "--frames 1: must be 2 or more",
    "one --truncation -1": "--truncation -1.0: must be 0.01 or more",
    "one --seed -1": "--seed -1: must be from 0 to 4294967295",
    "one --best-worst --candidates 47": (
        "--candidates 47: must be 48 or more, for 24 best and 24 worst"
    ),
    "one --sed 3": "--sed: no such option; did you mean --seed?",
    "one --class=": "--class '': expected a class",
    "one --project=": "--project '': expected a picture",
    "one --class-walk a": "--class-walk a: must be 2 values, each text in quotes",
}  # fmt: skip


@pytest.mark.parametrize("arguments", MISTAKES)
def test_mistakes(run_sample, folder, arguments):
    before = sorted(folder.rglob("*"))
    assert run_sample(*arguments.split()) == (2, [], MISTAKES[arguments])
    assert sorted(folder.rglob("*")) == before


def test_what_a_run_lacks(run_sample, folder, tmp_path):
    models = tmp_path / "saved_models" / "bare"
    models.mkdir(parents=True)
    (models / "config.json").write_text('{"hyperparameters": {}, "data_set": {}}')
    _, _, message = run_sample(models)
    path = runs.open_run(str(models)).models
    assert message == (
        f"--weights average: {path}/generator.keras does not exist; the run has saved no network "
        "yet"
    )
    _, _, message = run_sample(models, "--weights", "best")
    assert message.endswith("the run has no best networks, which it keeps when it scores itself")
    assert run_sample(models, "--film")[2].startswith("--film: there is no sample grid, step_*.png")
    generator = folder / "saved_models" / "one" / "generator.keras"
    (models / "generator.keras").write_bytes(generator.read_bytes())
    (models / ".critic-1a2b.part.keras").touch()  # half-written
    assert run_sample(models, "--best-worst")[2] == (
        f"--best-worst: no discriminator (or critic) is in {path}"
    )
    (models / "generator-current.keras").write_bytes(generator.read_bytes()[:1000])
    assert run_sample(models, "--weights", "current")[2].startswith(
        f"{path}/generator-current.keras: is damaged or no Keras network: "
    )
    assert not (tmp_path / "images").exists()


@pytest.mark.parametrize(
    ("package", "arguments", "message"),
    [
        ("onnx", "--export", "--export: the onnx package is not here: pip install onnx"),
        ("onnx", "--explore", "--explore: the onnx package is not here: pip install onnx"),
        (
            "av",
            "--film mp4 --frames 2",
            "--film mp4: the av package is not here: pip install av",
        ),
    ],
)
def test_packages_that_are_not_there(run_sample, folder, monkeypatch, package, arguments, message):
    before = sorted(folder.rglob("*"))
    monkeypatch.setitem(sys.modules, package, None)
    assert run_sample("two", *arguments.split()) == (2, [], message)
    assert sorted(folder.rglob("*")) == before
