"""--devices all on two virtual CPU devices: one training, its batches split."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from tests.conftest import REPOSITORY, TINY, run_script
from tests.run_files import read_history, read_state

needs_jax = pytest.mark.skipif(
    importlib.util.find_spec("jax") is None, reason="jax is not installed"
)

BATCH = 14  # a number that no other axis of these networks has, nor its half
NOISY = [*TINY, "--augmentation", "--batch-size", str(BATCH), "--mirror", "--label-noise", "0.1",
         "--generator-dropout", "0.1", "--discriminator-dropout", "0.1",
         "--history-interval", "1", "--sample-interval", "4"]  # fmt: skip


def environment(devices: int, flags: str = "") -> dict[str, str]:
    flags = f"--xla_force_host_platform_device_count={devices} {flags}"
    return {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags.strip()}


def train(*arguments: object, folder: Path, devices: int, flags: str = "") -> str:
    result = run_script(
        "dcgan.py", *arguments, folder=folder, environment=environment(devices, flags)
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def dump_to(folder: Path) -> str:
    """Flags that keep what was compiled."""
    return f"--xla_dump_to={folder} --xla_dump_hlo_as_text --xla_dump_hlo_module_re=jit_pure"


def programs_in(folder: Path) -> list[str]:
    """What a device executes, of everything that was compiled, once each; the step comes last."""
    paths = folder.glob("*after_optimizations.txt")
    return sorted((path.read_text() for path in paths), key=len)


def assert_split(step: str) -> None:
    """Nowhere in the step, backward passes included, is there a map of the whole batch."""
    shapes = [shape.split(",") for shape in re.findall(r"f32\[([\d,]+)\]", step)]
    assert any(len(shape) == 4 and str(BATCH // 2) in shape for shape in shapes)
    assert not any(len(shape) > 1 and str(BATCH) in shape for shape in shapes)
    assert "all-reduce" in step


@pytest.fixture(scope="module")
def runs(tmp_path_factory, data_file) -> Path:
    """A folder with run ``one``, eight steps on one device, and run ``two``, on two devices.

    What the compiler made of the second is in ``compiled/``.
    """
    folder = tmp_path_factory.mktemp("devices")
    arguments = [*NOISY, "--data", data_file, "--steps", 8]
    assert "CPU cores" in train(*arguments, "--run-name", "one", folder=folder, devices=1)
    output = train(
        *arguments, "--run-name", "two", "--devices", "all",
        folder=folder, devices=2, flags=dump_to(folder / "compiled"),
    )  # fmt: skip
    assert re.match(r"jax \S+ on 2 CPU devices in float32; ", output)
    return folder


def assert_close(one: Path, other: Path, tolerance: float = 1e-5) -> None:
    left, right = read_state(one), read_state(other)
    assert left.keys() == right.keys()
    for name, value in left.items():
        if value.dtype.kind == "f":
            scale = max(1e-3, np.abs(value).max(initial=0.0))
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
    one, two = (read_history(runs / "images" / run) for run in ("one", "two"))
    assert len(one) == len(two) == 8
    for row, other in zip(one, two, strict=True):
        for name, value in row.items():
            assert float(other[name]) == pytest.approx(float(value), rel=1e-5), name


@needs_jax
def test_augmented_numbers_are_those_of_one_device(tmp_path, data_file):
    """Every device augments its share of the batch."""
    arguments = [*TINY, "--batch-size", BATCH, "--data", data_file, "--steps", 6,
                 "--history-interval", 1, "--score", "none"]  # fmt: skip
    train(*arguments, "--run-name", "one", folder=tmp_path, devices=1)
    train(
        *arguments, "--run-name", "two", "--devices", "all",
        folder=tmp_path, devices=2, flags=dump_to(tmp_path / "compiled"),
    )  # fmt: skip
    assert_split(programs_in(tmp_path / "compiled")[-1])
    one, two = (read_history(tmp_path / "images" / run) for run in ("one", "two"))
    assert len(one) == len(two) == 6
    for row, other in zip(one, two, strict=True):
        for name, value in row.items():
            assert float(other[name]) == pytest.approx(float(value), rel=1e-5), name


@needs_jax
def test_every_device_computes_its_share_of_the_batch(runs):
    # Sampling, the statistics of the averaged generator, the answers to real and to generated
    # images, and the step.
    programs = programs_in(runs / "compiled")
    assert len(programs) == 5
    share = BATCH // 2
    for program in programs:
        products = re.findall(r"\w+\[([\d,]+)\]\S* (?:convolution|dot)\(", program)
        assert any(product.startswith(f"{share},") for product in products)
        assert not any(str(BATCH) in product.split(",") for product in products)
    assert_split(programs[-1])


@needs_jax
def test_a_run_goes_on_with_another_number_of_devices(runs):
    on_two = train("--resume", "one", "--devices", "all", "--steps", 12, folder=runs, devices=2)
    assert "on 2 CPU devices" in on_two
    on_one = train("--resume", "two", "--steps", 12, folder=runs, devices=1)
    assert "CPU cores, the only device in" in on_one  # all devices, as before
    assert_close(checkpoint(runs, "one", 12), checkpoint(runs, "two", 12))
    generator = keras.models.load_model(runs / "saved_models" / "two" / "generator.keras")
    assert generator.predict(np.zeros((1, 5)), verbose=0).shape == (1, 32, 32, 3)


@needs_jax
def test_gradients_and_skipped_updates_on_two_devices(tmp_path):
    results = []
    for name, devices in (("one", 1), ("all", 2)):
        path = tmp_path / f"{name}.npz"
        subprocess.run(
            [sys.executable, "-m", "tests.backend_probe", tmp_path / "start.npz", path, name],
            cwd=REPOSITORY, check=True, env=os.environ | environment(devices),
        )  # fmt: skip
        with np.load(path) as archive:
            results.append(dict(archive.items()))
    one, two = results
    assert one.keys() == two.keys()
    for name, value in one.items():
        scale = max(1e-3, np.abs(value.astype(np.float64)).max())
        np.testing.assert_allclose(two[name] / scale, value / scale, atol=2e-5, err_msg=name)


@needs_jax
def test_a_dry_run_and_lower_precision_on_two_devices(tmp_path, data_file):
    output = train(
        *NOISY, "--data", data_file, "--devices", "all", "--dry-run", "--precision", "bfloat16",
        folder=tmp_path, devices=2,
    )  # fmt: skip
    assert "on 2 CPU devices in bfloat16" in output
    assert not list(tmp_path.iterdir())


def refused(*arguments: object, folder: Path, environment: dict[str, str]) -> str:
    result = run_script("dcgan.py", *arguments, folder=folder, environment=environment)
    assert result.returncode == 2
    assert not list(folder.iterdir())
    return result.stderr


@needs_jax
def test_a_batch_without_equal_shares(tmp_path):
    message = refused(
        "--batch-size", 5, "--devices", "all", folder=tmp_path, environment=environment(2)
    )
    assert message == (
        "dcgan.py: error: --batch-size 5: --devices all splits it among the 2 devices found; "
        "expected a multiple of 2\n"
    )


@pytest.mark.parametrize("backend", ["tensorflow", "torch"])
def test_a_backend_that_trains_on_one_device(tmp_path, backend):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    message = refused("--devices", "all", folder=tmp_path, environment={"KERAS_BACKEND": backend})
    assert message == (
        f"dcgan.py: error: --devices all: {backend} trains on one device here; set "
        "KERAS_BACKEND=jax, or give --devices one\n"
    )
