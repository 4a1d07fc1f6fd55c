"""--devices all on two virtual CPU devices: one training, its batches split."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from tests import backend_probe
from tests.conftest import REPOSITORY, TINY, run_script
from tests.run_files import read_history, read_state
from tests.test_backends import assert_same_results
from utils import backend
from utils.common.errors import UserError

needs_jax = pytest.mark.skipif(
    importlib.util.find_spec("jax") is None, reason="jax is not installed"
)

BATCH = 14  # a number that no other axis of these networks has, nor its half
# Two blocks a network have every kind of layer.
NOISY = [*TINY, "--generator-depth", "2", "--discriminator-depth", "2", "--batch-size", str(BATCH),
         "--augmentation", "color", "translation", "cutout", "--mirror", "--label-noise", "0.1",
         "--generator-dropout", "0.1", "--discriminator-dropout", "0.1", "--history-interval", "1",
         "--sample-interval", "4"]  # fmt: skip
# Which device computes what is settled before XLA makes machine code, most of whose time this is.
UNOPTIMIZED = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"


def environment(devices: int, flags: str = "") -> dict[str, str]:
    flags = f"--xla_force_host_platform_device_count={devices} {UNOPTIMIZED} {flags}"
    return {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags.strip()}


def train(*arguments: object, folder: Path, devices: int, flags: str = "") -> str:
    result = run_script(
        "dcgan.py", *arguments, folder=folder, environment=environment(devices, flags)
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def runs(tmp_path_factory, data_file) -> Path:
    """A folder with run ``one``, eight steps on one device, and run ``two``, twelve on two.

    What the compiler made of the second is in ``compiled/``.
    """
    folder = tmp_path_factory.mktemp("devices")
    arguments = [*NOISY, "--data", data_file, "--checkpoint-interval", 4, "--keep-checkpoints", 4]
    train(*arguments, "--steps", 8, "--run-name", "one", folder=folder, devices=1)
    flags = f"--xla_dump_to={folder / 'compiled'} --xla_dump_hlo_as_text"
    output = train(
        *arguments, "--steps", 12, "--run-name", "two", "--devices", "all",
        folder=folder, devices=2, flags=f"{flags} --xla_dump_hlo_module_re=jit_pure",
    )  # fmt: skip
    assert re.match(r"jax \S+ on 2 CPU devices in float32; ", output)
    return folder


def assert_close(
    one: Path, other: Path, tolerance: float = 1e-5, least_scale: float = 1e-3
) -> None:
    left, right = read_state(one), read_state(other)
    assert left.keys() == right.keys()
    for name, value in left.items():
        if value.dtype.kind == "f":
            scale = max(least_scale, np.abs(value).max(initial=0.0))
            np.testing.assert_allclose(
                right[name] / scale, value / scale, atol=tolerance, err_msg=name
            )
        else:
            np.testing.assert_array_equal(right[name], value, err_msg=name)


def checkpoint(folder: Path, run: str, step: int) -> Path:
    return folder / "saved_models" / run / "checkpoints" / f"step_{step:07d}.npz"


@needs_jax
def test_the_numbers_are_those_of_one_device(runs):
    assert_close(checkpoint(runs, "one", 0), checkpoint(runs, "two", 0), 1e-6)
    assert_close(checkpoint(runs, "one", 8), checkpoint(runs, "two", 8))
    one, two = (read_history(runs / "images" / run)[:8] for run in ("one", "two"))
    assert len(one) == len(two) == 8
    for row, other in zip(one, two, strict=True):
        for name, value in row.items():
            assert float(other[name]) == pytest.approx(float(value), rel=1e-5), name


@needs_jax
def test_every_device_computes_its_share_of_the_batch(runs):
    # Sampling, the statistics of the averaged generator, the answers to real and to generated
    # images, and the step.
    paths = (runs / "compiled").glob("*after_optimizations.txt")
    programs = sorted((path.read_text() for path in paths), key=len)
    assert len(programs) == 5
    share = BATCH // 2
    for program in programs:
        products = re.findall(r"\w+\[([\d,]+)\]\S* (?:convolution|dot)\(", program)
        assert any(product.startswith(f"{share},") for product in products)
        assert not any(str(BATCH) in product.split(",") for product in products)
    # Nowhere in the step, backward passes included, is there a map of the whole batch.
    step = programs[-1]
    shapes = [shape.split(",") for shape in re.findall(r"f32\[([\d,]+)\]", step)]
    assert any(len(shape) == 4 and str(share) in shape for shape in shapes)
    assert not any(len(shape) > 1 and str(BATCH) in shape for shape in shapes)
    assert "all-reduce" in step


@needs_jax
def test_a_run_goes_on_with_another_number_of_devices(runs):
    output = train("--resume", "one", "--devices", "all", "--steps", 12, folder=runs, devices=2)
    assert "on 2 CPU devices" in output
    assert_close(checkpoint(runs, "one", 12), checkpoint(runs, "two", 12))
    generator = keras.models.load_model(runs / "saved_models" / "one" / "generator.keras")
    assert generator.predict(np.zeros((1, 5)), verbose=0).shape == (1, 32, 32, 3)


@needs_jax
def test_gradients_and_skipped_updates_on_two_devices(tmp_path):
    start, one, two = (tmp_path / f"{name}.npz" for name in ("start", "one", "two"))
    backend_probe.main(start, one)
    subprocess.run(
        [sys.executable, "-m", "tests.backend_probe", start, two, "all"],
        cwd=REPOSITORY, check=True, env=os.environ | environment(2),
    )  # fmt: skip
    with np.load(one) as expected, np.load(two) as found:
        assert_same_results(dict(found.items()), dict(expected.items()))


@needs_jax
def test_a_dry_run_and_lower_precision_on_two_devices(tmp_path, data_file):
    output = train(
        *NOISY, "--data", data_file, "--devices", "all", "--dry-run", "--precision", "bfloat16",
        folder=tmp_path, devices=2,
    )  # fmt: skip
    assert "on 2 CPU devices in bfloat16" in output
    assert not list(tmp_path.iterdir())


@needs_jax
def test_a_batch_without_equal_shares(tmp_path):
    result = run_script(
        "dcgan.py", "--batch-size", 5, "--devices", "all", folder=tmp_path,
        environment=environment(2),
    )  # fmt: skip
    assert result.returncode == 2
    assert result.stderr == (
        "dcgan.py: error: --batch-size 5: --devices all splits it among the 2 devices found; "
        "expected a multiple of 2\n"
    )
    assert not list(tmp_path.iterdir())


ONE_DEVICE = (
    "--devices all: {} trains on one device here; set KERAS_BACKEND=jax, or give --devices one"
)


def test_tensorflow_trains_on_one_device():
    with pytest.raises(UserError) as refused:
        backend.use_devices("all", 4)
    assert str(refused.value) == ONE_DEVICE.format("tensorflow")


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="torch is not installed")
def test_torch_trains_on_one_device(tmp_path):
    result = run_script(
        "dcgan.py", "--devices", "all", folder=tmp_path, environment={"KERAS_BACKEND": "torch"}
    )
    assert result.returncode == 2
    assert result.stderr == f"dcgan.py: error: {ONE_DEVICE.format('torch')}\n"
    assert not list(tmp_path.iterdir())


def test_processes_with_other_numbers_of_devices(monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    monkeypatch.setattr(keras.distribution, "list_devices", lambda: ["cpu:0"] * 4)
    counts = SimpleNamespace(devices_of_processes=lambda: {0: 1, 1: 1, 2: 2})
    monkeypatch.setattr(backend, "_backend", counts)
    with pytest.raises(UserError) as refused:
        backend.use_devices("all", 4)
    assert str(refused.value) == (
        "--devices all: process 0 has 1 and process 2 has 2; expected the same number of devices "
        "everywhere"
    )


def test_several_devices_of_which_there_is_one(monkeypatch):
    monkeypatch.setattr(keras.distribution, "list_devices", lambda: ["cpu:0"])
    described = backend.describe_device("all")
    assert re.fullmatch(r"tensorflow \S+ on \d+ CPU cores, the only device", described)
