"""--hosts on the loopback address: two processes train what one does, stop together and resume."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import REPOSITORY, TINY, blobs, deadline, start_script, wait_for
from tests.run_files import read_history
from tests.test_devices import assert_close, checkpoint, environment, needs_jax
from tests.test_hosts import free_port
from tests.test_r3gan import TINY as TINY_R3GAN
from tests.test_wgan import TINY as TINY_WGAN
from utils.data.hdf5 import write_dataset

pytestmark = needs_jax

# As many pictures held out as scores need.
OPTIONS = [
    *TINY, "--generator-depth", "2", "--discriminator-depth", "2", "--mirror",
    "--label-noise", "0.1", "--generator-dropout", "0.1", "--discriminator-dropout", "0.1",
    "--augmentation-confidence", "0.1", "--augmentation-target", "0.3", "--holdout", "0.45",
    "--features", "random", "--score-interval", "3", "--classes", "kind", "--class-steps", "1", "5",
    "--history-interval", "1", "--checkpoint-interval", "3",
]  # fmt: skip
ENDLESS = ["--steps", "0", "--epochs", "0", "--keep-checkpoints", "100000"]
STREAMED = ["--memory-budget", "1e-5"]
OTHER = "other"
"""The folder that the second process is in."""


@contextmanager
def started(
    count: int, *arguments: object, folder: Path, script: str = "dcgan.py"
) -> Iterator[list[subprocess.Popen[str]]]:
    """One process without --hosts, or several of one training, the first one first."""
    port, processes = free_port(), []
    (folder / OTHER).mkdir(exist_ok=True)
    for number in range(count):
        hosts = ["--devices", "all", "--hosts", f"127.0.0.1:{port},{count},{number}"]
        hosts = hosts if count > 1 else []
        process = start_script(
            "tests/hosts_probe.py", REPOSITORY / script, *arguments, *hosts,
            folder=folder / OTHER if number else folder,
            environment=environment(1) | {"PYTHONPATH": str(REPOSITORY)},
        )  # fmt: skip
        processes.append(process)
    try:
        with deadline(900):
            yield processes
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def ended(process: subprocess.Popen[str], code: int) -> tuple[str, str]:
    output, errors = process.communicate()
    assert process.returncode == code, errors
    return output, errors


def train_alone(*arguments: object, folder: Path, script: str = "dcgan.py") -> None:
    with started(1, *arguments, folder=folder, script=script) as (process,):
        ended(process, 0)


def copy_run(run: str, folder: Path, to: Path) -> None:
    """As it was at step 3."""
    for place in ("images", "saved_models"):
        shutil.copytree(folder / place / run, to / place / run)
    checkpoint(to, run, 6).unlink()


def wait_for_checkpoint(path: Path, processes: list[subprocess.Popen[str]]) -> None:
    wait_for(path, lambda: all(process.poll() is None for process in processes))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("pictures") / "blobs-32.h5"
    kinds = np.array(["red", "green", "blue"])[np.arange(120) % 3]
    write_dataset(path, blobs(120), [f"blob {number}" for number in range(120)], {"kind": kinds})
    return path


@pytest.fixture(scope="module")
def runs(tmp_path_factory, pictures) -> Path:
    """A folder with run ``one``, six steps in one process, and run ``two``, in two."""
    folder = tmp_path_factory.mktemp("several")
    arguments = [*OPTIONS, "--data", pictures, "--steps", 6]
    train_alone(*arguments, "--run-name", "one", folder=folder)
    # Streamed: each reads its share of a batch.
    with started(2, *arguments, *STREAMED, "--run-name", "two", folder=folder) as processes:
        output, _ = ended(processes[0], 0)
        ended(processes[1], 0)
    assert re.search(r"^jax \S+ on 2 CPU devices in 2 processes in float32; ", output, re.MULTILINE)
    return folder


def test_two_processes_train_what_one_does(runs):
    assert_close(checkpoint(runs, "one", 6), checkpoint(runs, "two", 6))
    one, two = (read_history(runs / "images" / run) for run in ("one", "two"))
    assert float(two[-1]["augmentation_probability"]) > 0.75
    for row, other in zip(one, two, strict=True):
        for name in row.keys() - {"seconds"}:
            assert float(other[name]) == pytest.approx(float(row[name]), rel=1e-4, nan_ok=True)
    assert (runs / "saved_models" / "two" / "best" / "score.json").exists()
    config = json.loads((runs / "saved_models" / "two" / "config.json").read_text())
    assert config["hyperparameters"]["hosts"] == ""
    assert not list((runs / OTHER).iterdir())


def test_a_run_of_two_processes_goes_on_in_one(runs, tmp_path):
    copy_run("two", runs, tmp_path)
    train_alone("--resume", "two", "--memory-budget", 0, folder=tmp_path)
    assert_close(checkpoint(runs, "one", 6), checkpoint(tmp_path, "two", 6))


def test_a_run_of_one_process_goes_on_in_two_and_a_signal_stops_both(runs, tmp_path):
    copy_run("one", runs, tmp_path)
    with started(2, "--resume", "one", *ENDLESS, *STREAMED, folder=tmp_path) as processes:
        wait_for_checkpoint(checkpoint(tmp_path, "one", 6), processes)
        processes[1].send_signal(signal.SIGTERM)
        output, _ = ended(processes[0], 0)
        ended(processes[1], 0)
    assert_close(checkpoint(runs, "one", 6), checkpoint(tmp_path, "one", 6))
    stopped = re.search(r"^stopped by SIGTERM on process 1 at step (\d+) ", output, re.MULTILINE)
    assert checkpoint(tmp_path, "one", int(stopped[1])).exists()
    assert not list((tmp_path / OTHER).iterdir())


@pytest.mark.parametrize(
    ("script", "options", "killed"),
    [
        ("wgan.py", [*TINY_WGAN, "--n-critic", "2"], 1),
        ("r3gan.py", TINY_R3GAN, 0),
    ],
)  # fmt: skip
def test_other_methods_and_a_process_that_is_killed(script, options, killed, tmp_path, pictures):
    options = [*options, "--data", pictures, "--checkpoint-interval", 3]
    train_alone(*options, "--steps", 3, "--run-name", "one", folder=tmp_path, script=script)
    with started(
        2, *options, *ENDLESS, "--run-name", "two", folder=tmp_path, script=script
    ) as processes:
        wait_for_checkpoint(checkpoint(tmp_path, "two", 3), processes)
        processes[killed].kill()
        _, errors = ended(processes[1 - killed], 1)
    # Weights that begin at zero have gone three steps of Adam, whose size rounding decides where a
    # gradient is nearly zero.
    assert_close(checkpoint(tmp_path, "one", 3), checkpoint(tmp_path, "two", 3), least_scale=0.01)
    who, then = (
        (r"process 1 \(127\.0\.0\.1\)", "; go on with: KERAS_BACKEND=jax python .* --resume two ")
        if killed
        else (r"process 0 \(127\.0\.0\.1:\d+\)", " there$")
    )
    line = rf"^{script}: error: {who} is gone; the checkpoint of step (\d+) is intact{then}"
    named = re.search(line, errors, re.MULTILINE)
    assert checkpoint(tmp_path, "two", int(named[1])).exists()


def test_other_pictures_in_one_process(tmp_path, pictures):
    (tmp_path / OTHER).mkdir()
    shutil.copy(pictures, tmp_path / "a.h5")
    write_dataset(tmp_path / OTHER / "a.h5", blobs(120, seed=1), [""] * 120)
    with started(2, *TINY, "--data", "a.h5", folder=tmp_path) as processes:
        for process, who in zip(processes, ("process 1 (127.0.0.1): ", ""), strict=True):
            assert ended(process, 2)[1].splitlines()[-1] == (
                f"dcgan.py: error: {who}--data a.h5: has other pictures than that of process 0, or "
                "other attributes; expected the same everywhere"
            )
    assert not (tmp_path / "images").exists()
