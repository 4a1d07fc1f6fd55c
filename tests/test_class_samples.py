"""What sample.py, the export and the explorer make of a run with classes."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import blobs
from tests.saved_run import load, run_sample, write_run
from tests.test_explorer import canvas, drawn, latent, open_page
from tests.test_page import data_in
from utils import backend  # noqa: F401 - before Keras: it keeps its start quiet

# isort: split
import keras

import dcgan
import evaluate
from utils.data.hdf5 import read_dataset, write_dataset
from utils.sampling import latents, runs

SIZE, LATENT_DIM = 32, 5
NAMES = ("blue/1", "red", "grey")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs of three classes; ``half`` has let them in by half."""
    folder = tmp_path_factory.mktemp("classes")
    for name, steps in (("one", (0, 0)), ("half", (0, 1000))):
        h = dcgan.Hyperparameters(
            image_size=SIZE, latent_dim=LATENT_DIM, generator_filters=(4,), batch_size=4,
            discriminator_filters=(4,), classes="colour", class_steps=steps,
        )  # fmt: skip
        h.class_names = NAMES
        write_run(folder, name, h)
        checkpoints = folder / "saved_models" / name / "checkpoints"
        checkpoints.mkdir()
        (checkpoints / "step_0000500.npz").touch()
    return folder


def of_keras(folder: Path, vectors: np.ndarray, weights: np.ndarray, name: str = "one"):
    """uint8 images, by Keras alone."""
    network = load(folder / "saved_models" / name / "generator.keras")
    images = network([vectors, weights.astype(np.float32)], training=False)
    return np.rint((keras.ops.convert_to_numpy(images) + 1) * 127.5).astype(np.uint8)


def cells(path: Path, columns: int, rows: int) -> np.ndarray:
    """The pictures of a grid that is enlarged three times, int (rows, columns, SIZE, SIZE, 3)."""
    height, width = (3 * (34 * number + 2) for number in (rows, columns))
    grid = np.asarray(Image.open(path).convert("RGB"))[-height::3, -width::3].astype(int)[2:, 2:]
    places = [(34 * row, 34 * column) for row in range(rows) for column in range(columns)]
    found = np.stack([grid[row : row + SIZE, column : column + SIZE] for row, column in places])
    return found.reshape(rows, columns, SIZE, SIZE, 3)


@pytest.mark.parametrize(("name", "share"), [("one", 1.0), ("half", 0.5)])
def test_a_grid_has_a_row_of_each_class_as_far_as_they_are_let_in(folder, name, share):
    code, printed, _ = run_sample(folder, name, "--columns", 2)
    assert (code, printed) == (0, f"images/{name}/samples/{name}-grid-seed-0-columns-2.png\n")
    found = cells(folder / printed.strip(), 2, 3)
    vectors = latents.draw(6, LATENT_DIM, 0)
    expected = of_keras(folder, vectors, share * np.eye(3)[np.arange(6) % 3], name)
    # Sample i is of class i modulo 3.
    assert np.abs(found - expected.reshape(2, 3, SIZE, SIZE, 3).swapaxes(0, 1)).max() <= 1
    assert np.abs(found[0] - found[1]).max() > 20


def test_samples_of_one_class(folder, tmp_path):
    code, printed, errors = run_sample(
        folder, "one", "--class", "blue/1", "--count", 2, "--single", "--output", tmp_path
    )
    assert code == 0, errors
    assert [Path(line).name for line in printed.splitlines()] == [
        "one-grid-class-blue_1-4358-seed-0-count-2.png",
        "one-sample-class-blue_1-4358-seed-0-00000.png",
        "one-sample-class-blue_1-4358-seed-0-00001.png",
    ]
    expected = of_keras(folder, latents.draw(2, LATENT_DIM, 0), np.eye(3)[[0, 0]])
    found = np.asarray(Image.open(tmp_path / "one-sample-class-blue_1-4358-seed-0-00001.png"), int)
    assert np.abs(found - expected[1]).max() <= 1


def test_a_walk_from_a_class_to_another(folder, tmp_path):
    code, printed, _ = run_sample(
        folder, "one", "--class-walk", "red", "grey", "--count", 2, "--columns", 3,
        "--output", tmp_path,
    )  # fmt: skip
    name = "one-class-walk-red-grey-seed-0-count-2-columns-3.png"
    assert (code, printed) == (0, f"{tmp_path / name}\n")
    vectors = latents.draw(2, LATENT_DIM, 0).repeat(3, axis=0)
    weights = np.array([[0, 1, 0], [0, 0.5, 0.5], [0, 0, 1]] * 2)
    expected = of_keras(folder, vectors, weights).reshape(2, 3, SIZE, SIZE, 3)
    assert np.abs(cells(tmp_path / name, 3, 2) - expected).max() <= 1


TASKS = ["--best-worst --candidates 8 --count 2", "--interpolate", "--walk 1"]


@pytest.mark.parametrize("task", TASKS)
def test_other_tasks_take_a_class(folder, tmp_path, task, monkeypatch):
    generate, asked = runs.generate, []

    def kept(generator, vectors):
        asked.extend(vectors[:, LATENT_DIM:].tolist())
        return generate(generator, vectors)

    monkeypatch.setattr(runs, "generate", kept)
    words = [*task.split(), "--class", "red", "--output", tmp_path]
    code, printed, errors = run_sample(folder, "one", *words)
    assert code == 0, errors
    assert "class-red" in printed
    assert asked
    assert all(weights == [0, 1, 0] for weights in asked)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--class", "pink"],
         "--class pink: run one has no class of that name; expected one of blue/1, red, grey"),
        (["--class-walk", "red", "pink"],
         "--class-walk pink: run one has no class of that name; expected one of blue/1, red, grey"),
        (["--class-walk", "red", "grey", "--class", "red"],
         "--class: goes with the grid of samples, --best-worst, --interpolate, --walk, --search, "
         "not with --class-walk"),
    ],
)  # fmt: skip
def test_mistakes(folder, arguments, message):
    code, _, errors = run_sample(folder, "one", *arguments)
    assert (code, errors.splitlines()[-1]) == (2, f"sample.py: error: {message}")


def test_the_export_takes_a_class(folder):
    onnxruntime = pytest.importorskip("onnxruntime")
    code, printed, errors = run_sample(folder, "half", "--export")
    assert code == 0, errors
    files = [folder / line for line in printed.splitlines()]
    vectors, weights = latents.draw(4, LATENT_DIM, 1), np.eye(3, dtype=np.float32)[[0, 1, 2, 1]]
    weights[3] = 0.5
    session = onnxruntime.InferenceSession(files[1])
    assert [each.name for each in session.get_inputs()] == ["latents", "classes"]
    (found,) = session.run(["images"], {"latents": vectors, "classes": weights})
    expected = of_keras(folder, vectors, 0.5 * weights, "half").astype(int)
    assert np.abs((found + 1) * 127.5 - expected).max() <= 1
    plain = keras.models.load_model(files[0], compile=False)([vectors, weights], training=False)
    assert np.abs(keras.ops.convert_to_numpy(plain) - found).max() < 1e-4


def test_classes_in_the_explorer(folder, browser):
    assert run_sample(folder, "one", "--explore")[0] == 0
    path = folder / "images" / "one" / "explorer.html"
    assert data_in(path)["classes"] == list(NAMES)
    open_page(browser, path, "#seed=3&class=red")
    drawn(browser)

    def check(weights: list[float]) -> np.ndarray:
        vector = latent(browser)
        np.testing.assert_allclose(vector[LATENT_DIM:], weights)
        images = of_keras(folder, vector[None, :LATENT_DIM], vector[None, LATENT_DIM:])
        assert np.abs(canvas(browser) - images[0].astype(int)).max() <= 1
        return vector[:LATENT_DIM]

    before = check([0, 1, 0])
    browser.execute_script("keep()")
    browser.execute_script(
        "element('class').selectedIndex = 2; element('class').dispatchEvent(new Event('change'))"
    )
    drawn(browser)
    np.testing.assert_array_equal(check([0, 0, 1]), before)
    browser.execute_script("keep()")
    browser.execute_script("element('share').value = 0.25; go()")
    drawn(browser)
    check([0, 0.75, 0.25])


def test_networks_of_another_number_of_classes(folder, tmp_path):
    run = runs.open_run("one", str(folder / "images"), str(folder / "saved_models"))
    run.config["data_set"]["classes"].pop("grey")
    with pytest.raises(runs.UserError) as error:
        runs.load_generator(run, "average")
    assert str(error.value) == (
        "RUN one: its networks have 3 classes, and its config.json names 2; bring back the files "
        "of one training"
    )


def test_evaluate_scores_each_class(folder, tmp_path, monkeypatch, capsys):
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    values = np.array([*NAMES, ""] * 30)
    write_dataset(tmp_path / "a.h5", blobs(120), [""] * 120, {"colour": values})
    path = tmp_path / "saved_models" / "one" / "config.json"
    config = json.loads(path.read_text())
    config["hyperparameters"]["data"] = "a.h5"
    fingerprint = read_dataset(tmp_path / "a.h5").fingerprint()
    config["data_set"] |= {"fingerprint": fingerprint, "held_out": list(range(50))}
    path.write_text(json.dumps(config))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(evaluate, "GENERATED", 4)
    drawn = []
    draw = runs.draw

    def kept(*arguments, **options):
        drawn.append(options["labels"])
        return draw(*arguments, **options)

    monkeypatch.setattr(runs, "draw", kept)
    monkeypatch.setattr(sys, "argv", ["evaluate.py", "one", "--features", "random", "--json"])
    evaluate.main()
    (found,) = json.loads(capsys.readouterr().out)
    labels = [0, 1, 2, -1] * 12 + [0, 1]
    assert [each.tolist() for each in drawn] == [labels] * 4 + [[0] * 4 + [1] * 4 + [2] * 4]
    assert {name: row["pictures"] for name, row in found["classes"].items()} == {
        "blue/1": 13, "red": 13, "grey": 12, "all": 38,
    }  # fmt: skip
    sys.argv += ["--data", "a.h5"]
    evaluate.main()
    (found,) = json.loads(capsys.readouterr().out)
    missing = "no scores by class: they take the pictures that the run was trained on"
    assert (found["classes"], found["caution"][-1]) == ({}, missing)


@pytest.mark.parametrize("has_checkpoints", [True, False])
def test_networks_that_know_no_class_yet_are_told(folder, tmp_path, has_checkpoints):
    """Those that are handed out without checkpoints know them."""
    early = shutil.copytree(folder / "saved_models" / "half", tmp_path / "saved_models" / "early")
    config = json.loads((early / "config.json").read_text())
    config["hyperparameters"]["class_steps"] = [500, 1000]
    (early / "config.json").write_text(json.dumps(config))
    if not has_checkpoints:
        shutil.rmtree(early / "checkpoints")
    code, printed, errors = run_sample(tmp_path, "early", "--columns", 1)
    assert (code, errors) == (0, "")
    of_class = cells(tmp_path / printed.strip(), 1, 3)
    expected = of_keras(
        tmp_path, latents.draw(3, LATENT_DIM, 0), np.eye(3) * (not has_checkpoints), "early"
    )
    assert np.abs(of_class[:, 0] - expected).max() <= 1
    told = "--class red: up to step 500 networks are not told of classes, and all look alike\n"
    _, _, errors = run_sample(tmp_path, "early", "--class", "red", "--count", 1)
    assert errors == (told if has_checkpoints else "")
