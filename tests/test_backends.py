"""The same script under TensorFlow, JAX and PyTorch: the same numbers, the same checkpoints."""

from __future__ import annotations

import gc
import importlib
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from tests.conftest import REPOSITORY, TINY, run_script
from tests.run_files import assert_same_state, read_answers, read_history
from tests.test_r3gan import TINY as TINY_R3GAN
from tests.test_wgan import TINY as TINY_WGAN
from utils.backend.quiet import quick_start

BACKENDS = [
    pytest.param(
        name,
        marks=pytest.mark.skipif(
            importlib.util.find_spec(name) is None, reason=f"{name} is not installed"
        ),
    )
    for name in ("tensorflow", "jax", "torch")
]
OTHERS = BACKENDS[1:]


FOR_OTHER_WORK = {
    "JAX_ENABLE_X64": "1", "JAX_NUMPY_DTYPE_PROMOTION": "strict",
    "JAX_NUMPY_RANK_PROMOTION": "raise", "JAX_DEFAULT_PRNG_IMPL": "rbg",
}  # fmt: skip
"""A person's settings that must not change a run."""


def probe(
    backend: str, start: Path, result: Path, module: str = "backend_probe"
) -> dict[str, np.ndarray]:
    subprocess.run(
        [sys.executable, "-m", f"tests.{module}", start, result],
        cwd=REPOSITORY, check=True, env=os.environ | {"KERAS_BACKEND": backend} | FOR_OTHER_WORK,
    )  # fmt: skip
    with np.load(result) as archive:
        return dict(archive.items())


@pytest.fixture(scope="module")
def on_tensorflow(tmp_path_factory) -> tuple[Path, dict[str, np.ndarray]]:
    folder = tmp_path_factory.mktemp("probe")
    start = folder / "start.npz"
    return start, probe("tensorflow", start, folder / "tensorflow.npz")


@pytest.fixture(scope="module")
def recipes_on_tensorflow(tmp_path_factory) -> tuple[Path, dict[str, np.ndarray]]:
    start = tmp_path_factory.mktemp("recipes") / "start.npz"
    return start, probe("tensorflow", start, start.with_name("tensorflow.npz"), "recipes_probe")


@pytest.mark.parametrize("backend", OTHERS)
def test_losses_gradients_and_weights_are_the_same(backend, on_tensorflow):
    start, expected = on_tensorflow
    found = probe(backend, start, start.with_name(f"{backend}.npz"))
    assert found["refused"]
    assert_same_results(found, expected)


@pytest.mark.parametrize("backend", OTHERS)
def test_critics_recipes_and_decisions_are_the_same(backend, recipes_on_tensorflow):
    start, expected = recipes_on_tensorflow
    result = start.with_name(f"{backend}.npz")
    found = probe(backend, start, result, "recipes_probe")
    assert {name for name in expected if name.startswith("decisions")} == {
        "decisions monitored", "decisions boosting",
    }  # fmt: skip
    assert_same_results(found, expected)


def assert_same_results(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        if name.startswith("after"):
            # Adam's first steps have the size of the learning rate whatever the gradient's, so
            # that where it is nearly zero, rounding decides about its sign.
            far = np.abs(found[name] - value) > 1e-5
            assert far.mean() < 0.02, name
            np.testing.assert_allclose(found[name], value, atol=2e-3, err_msg=name)
        else:
            # The longest sums are over all pixels of a batch, 4 * 16 * 16 numbers in an order that
            # each backend chooses. The second step has weights that Adam moved, see above.
            rounding = 1024 * 2**-24 * (10 if "step 1" in name else 1)
            scale = max(1e-3, np.abs(value.astype(np.float64)).max())
            np.testing.assert_allclose(
                found[name] / scale, value / scale, rtol=0, atol=rounding, err_msg=name
            )


@pytest.mark.parametrize("backend", OTHERS)
def test_layers_and_adam_that_are_quicker_give_the_same(backend, tmp_path):
    found = probe(backend, tmp_path / "start.npz", tmp_path / "result.npz", "faster_probe")
    pairs = {name: value for name, value in found.items() if name.endswith(" as it is")}
    assert len(pairs) > 60
    for name, expected in pairs.items():
        # Sums of at most 3 * 10 * 8 * 6 numbers, in another order.
        value = found[name.replace(" as it is", " faster")]
        tolerance = 1440 * 2**-24 * max(1.0, np.abs(expected).max())
        np.testing.assert_allclose(value, expected, rtol=0, atol=tolerance, err_msg=name)


def test_a_skipped_update_leaves_optimizer_and_weights_alone(on_tensorflow):
    _, results = on_tensorflow
    assert not results["changed if False"].any()
    assert results["changed if True"].all()


def run_on(backend: str, *arguments: object, folder: Path, script: str = "dcgan.py") -> None:
    result = run_script(script, *arguments, folder=folder, environment={"KERAS_BACKEND": backend})
    assert result.returncode == 0, result.stderr
    assert f"{backend} " in result.stdout


NOISY = [*TINY, "--checkpoint-interval", "4", "--history-interval", "3", "--label-noise", "0.1",
         "--generator-dropout", "0.1", "--discriminator-dropout", "0.1", "--mirror"]  # fmt: skip


@pytest.mark.parametrize("backend", OTHERS)
def test_a_resumed_run_is_exact(backend, tmp_path, sprite_file):
    arguments = [*NOISY, "--data", sprite_file]
    run_on(backend, *arguments, "--steps", 14, "--run-name", "whole", folder=tmp_path)
    run_on(backend, *arguments, "--steps", 7, "--run-name", "halves", folder=tmp_path)
    run_on(backend, "--resume", "halves", "--steps", 14, folder=tmp_path)
    last = Path("checkpoints", "step_0000014.npz")
    models, images = tmp_path / "saved_models", tmp_path / "images"
    assert_same_state(models / "whole" / last, models / "halves" / last)
    assert read_history(images / "whole") == read_history(images / "halves")
    # One of them has asked its discriminator once more on the way.
    whole, halves = (read_answers(images / name) for name in ("whole", "halves"))
    assert {step for step, _ in whole} == {"0", "14"}
    assert {key: row for key, row in halves.items() if key[0] != "7"} == whole


@pytest.mark.parametrize(
    ("script", "options", "data"),
    [
        ("wgan.py", [*TINY_WGAN, "--minibatch", "discrimination"], "grey_file"),
        ("r3gan.py", [*TINY_R3GAN, "--penalty-interval", "2"], "data_file"),
    ],
)
@pytest.mark.parametrize("backend", OTHERS)
def test_another_methods_resumed_run_is_exact(backend, script, options, data, tmp_path, request):
    arguments = [*options, "--data", request.getfixturevalue(data)]

    def run(*more: object) -> None:
        run_on(backend, *more, folder=tmp_path, script=script)

    run(*arguments, "--steps", 6, "--run-name", "whole")
    run(*arguments, "--steps", 3, "--run-name", "halves")
    run("--resume", "halves", "--steps", 6)
    last = Path("checkpoints", "step_0000006.npz")
    models = tmp_path / "saved_models"
    assert_same_state(models / "whole" / last, models / "halves" / last)


@pytest.mark.parametrize("backend", OTHERS)
def test_a_run_goes_on_under_another_backend_and_back(backend, tmp_path, data_file):
    run_on("tensorflow", *NOISY, "--data", data_file, "--steps", 5, folder=tmp_path)
    run_on(backend, "--resume", "dcgan-1", "--steps", 8, folder=tmp_path)
    run_on("tensorflow", "--resume", "dcgan-1", "--steps", 10, folder=tmp_path)
    rows = read_history(tmp_path / "images" / "dcgan-1")
    assert [row["step"] for row in rows] == ["3", "6", "9"]
    assert all(0 < float(row["g_loss"]) < 5 for row in rows)


@pytest.mark.parametrize("backend", OTHERS)
def test_streamed_or_in_memory_a_run_is_the_same(backend, tmp_path, data_file):
    arguments = [*NOISY, "--data", data_file, "--steps", 6]
    run_on(backend, *arguments, "--run-name", "memory", folder=tmp_path)
    run_on(backend, *arguments, "--memory-budget", 1e-5, "--run-name", "disk", folder=tmp_path)
    models = tmp_path / "saved_models"
    last = Path("checkpoints", "step_0000006.npz")
    assert_same_state(models / "memory" / last, models / "disk" / last)
    # The networks beside the state are of the same step. (Seeds of dropout are not weights.)
    with np.load(models / "disk" / last) as state:
        files = {"generator": "average", "generator-current": "generator"}
        for name, group in (files | {"discriminator": "discriminator"}).items():
            network = keras.models.load_model(models / "disk" / f"{name}.keras")
            expected = [state[key] for key in sorted(state.files) if key.startswith(f"{group}/")]
            expected = [array for array in expected if array.dtype.kind == "f"]
            for weight, array in zip(network.weights, expected, strict=True):
                np.testing.assert_array_equal(np.array(weight), array)


def test_the_import_of_keras_leaves_out_what_draws(monkeypatch):
    """It is slow, Keras does without, and whoever loads it later finds it."""
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    with quick_start():
        assert not gc.isenabled()
        with pytest.raises(ImportError):
            importlib.import_module("IPython")
    assert "IPython" not in sys.modules
    assert gc.isenabled()
