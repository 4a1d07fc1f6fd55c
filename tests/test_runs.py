"""The script as a person runs it: what lies on the disk afterwards, stops, kills and resumes."""

from __future__ import annotations

import csv
import json
import math
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

import dcgan
from tests.conftest import TINY, run_script, start_script
from utils import backend
from utils.common import grids
from utils.training.arguments import parse_command_line
from utils.training.run import run
from utils.training.saving import Saving
from utils.training.trainer import Trainer


def read_history(run: Path) -> list[dict[str, str]]:
    """Rows of history.csv without the timing column."""
    with open(run / "history.csv", newline="") as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


def read_answers(run: Path) -> dict[tuple[str, str], dict[str, str]]:
    """Rows of answers.csv by step and kind, each of them once."""
    with open(run / "answers.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    by_key = {(row["step"], row["kind"]): row for row in rows}
    assert len(by_key) == len(rows)
    return by_key


def read_state(checkpoint: Path) -> dict[str, np.ndarray]:
    """Everything in a checkpoint that is not a time."""
    with np.load(checkpoint, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files if name != "loop/seconds"}


def assert_same_state(one: Path, other: Path) -> None:
    left, right = read_state(one), read_state(other)
    assert left.keys() == right.keys()
    for name in left:
        np.testing.assert_array_equal(left[name], right[name], err_msg=name)


def wait_for(path: Path, process) -> None:
    deadline = time.monotonic() + 600
    while not path.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, f"{path} did not appear"
        time.sleep(0.005)


@pytest.fixture(scope="module")
def finished(tmp_path_factory, data_file) -> Path:
    """A folder in which a run of 26 steps has come to its end."""
    folder = tmp_path_factory.mktemp("finished")
    result = run_script(
        "dcgan.py", *TINY, "--data", data_file, "--steps", 26, "--sample-interval", 10,
        "--checkpoint-interval", 8, "--history-interval", 5, "--mirror", folder=folder,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert "26/26" in result.stderr
    assert "d_loss=" in result.stderr
    assert "gradient" not in result.stderr
    assert "updates" not in result.stderr
    assert re.search(r"images/s=[1-9]", result.stderr)
    assert "images/s=0," not in result.stderr
    # Nothing but the progress bar: no library talks in between.
    assert all(
        re.match(r"(saving: +)? *\d+%\|", x) for x in result.stderr.splitlines() if x.strip()
    )
    assert "go on with: python dcgan.py --resume dcgan-1" in result.stdout
    return folder


def test_a_run_leaves_its_pictures(finished):
    run = finished / "images" / "dcgan-1"
    assert sorted(path.name for path in run.iterdir()) == [
        "answers.csv", "answers.png", "architecture.png", "augmented.png", "health.csv",
        "history.csv",
        "history.png", "index.html", "reals.png", "step_0000000.png", "step_0000010.png",
        "step_0000020.png", "step_0000026.png", "training.gif",
    ]  # fmt: skip
    for name in ("reals.png", "step_0000020.png"):
        with Image.open(run / name) as grid:
            assert grid.size == (3 * 32 + 4 * 2, 2 * 32 + 3 * 2)
    grids = [(run / f"step_{step:07d}.png").read_bytes() for step in (0, 10, 20, 26)]
    assert len(set(grids)) == 4
    with Image.open(run / "training.gif") as film:
        assert film.n_frames == 4


def test_history_has_a_row_for_every_interval(finished):
    rows = read_history(finished / "images" / "dcgan-1")
    assert [row["step"] for row in rows] == ["5", "10", "15", "20", "25"]
    # 4 pictures a step, 20 pictures and their mirror images.
    assert [float(row["epoch"]) for row in rows] == [0.5, 1, 1.5, 2, 2.5]
    assert list(rows[0]) == [
        "step", "epoch", "d_loss", "d_real", "d_fake", "d_gradient_first", "d_gradient_last",
        "d_updates", "g_loss", "g_gradient_first", "g_gradient_last", "g_updates",
        "augmentation_probability",
    ]  # fmt: skip
    for row in rows:
        assert row["d_updates"] == row["g_updates"] == row["step"]  # counts, not means
        assert float(row["g_gradient_first"]) > 0
        assert 0 < float(row["d_real"]) < 1
        assert 0 < float(row["d_loss"]) < 20


def test_a_run_leaves_its_networks_and_the_last_checkpoints(finished):
    run = finished / "saved_models" / "dcgan-1"
    assert sorted(path.name for path in run.iterdir()) == [
        "checkpoints", "config.json", "discriminator.keras", "generator-current.keras",
        "generator.keras",
    ]  # fmt: skip
    assert sorted(path.name for path in (run / "checkpoints").iterdir()) == [
        "step_0000016.npz", "step_0000024.npz", "step_0000026.npz",
    ]  # fmt: skip
    config = json.loads((run / "config.json").read_text())
    assert config["method"] == "dcgan"
    assert config["hyperparameters"]["steps"] == 26
    assert config["hyperparameters"]["image_size"] == 32
    assert config["hyperparameters"]["run_name"] == "dcgan-1"


PLAIN_KERAS = """
import sys
import keras, numpy
generator = keras.models.load_model("generator.keras", safe_mode=True)
discriminator = keras.models.load_model("discriminator.keras", safe_mode=True)
images = generator.predict(numpy.zeros((2, 5), "float32"), verbose=0)
logits = discriminator.predict(images, verbose=0)
assert images.shape == (2, 32, 32, 3) and logits.shape == (2, 1), (images.shape, logits.shape)
assert abs(images).max() <= 1
assert not any(name.split(".")[0] in ("utils", "dcgan") for name in sys.modules)
"""


def test_networks_load_in_plain_keras_without_this_project(finished, tmp_path):
    for name in ("generator.keras", "discriminator.keras"):
        source = finished / "saved_models" / "dcgan-1" / name
        (tmp_path / name).write_bytes(source.read_bytes())
    subprocess.run([sys.executable, "-c", PLAIN_KERAS], cwd=tmp_path, check=True)


def test_the_saved_generator_draws_the_last_sample(finished):
    """What generator.keras makes of the run's fixed latents is the last grid, pixel for pixel."""
    run = finished / "saved_models" / "dcgan-1"
    state = read_state(run / "checkpoints" / "step_0000026.npz")
    generator = keras.models.load_model(run / "generator.keras")
    images = grids.to_uint8(np.asarray(generator(state["loop/fixed_latents"], training=False)))
    with Image.open(finished / "images" / "dcgan-1" / "step_0000026.png") as grid:
        difference = np.asarray(grid.convert("RGB"), int) - grids.tile(images, 3).astype(int)
    assert np.abs(difference).max() <= 1


def test_the_next_run_takes_the_next_name_and_a_seed_makes_it_the_same(finished, data_file):
    arguments = [*TINY, "--data", data_file, "--steps", 26, "--checkpoint-interval", 100,
                 "--sample-interval", 100, "--history-interval", 5, "--mirror"]  # fmt: skip
    assert run_script("dcgan.py", *arguments, folder=finished).returncode == 0
    models, images = finished / "saved_models", finished / "images"
    last = Path("checkpoints", "step_0000026.npz")
    assert_same_state(models / "dcgan-1" / last, models / "dcgan-2" / last)
    assert read_history(images / "dcgan-1") == read_history(images / "dcgan-2")
    other = run_script("dcgan.py", *arguments, "--seed", 1, "--run-name", "other", folder=finished)
    assert other.returncode == 0
    assert read_history(images / "dcgan-1") != read_history(images / "other")


# Dropout and label noise have random state of their own; the intervals share no common step.
RESUMABLE = [*TINY, "--steps", "400", "--checkpoint-interval", "30", "--history-interval", "7",
             "--sample-interval", "50", "--generator-dropout", "0.1",
             "--discriminator-dropout", "0.1", "--label-noise", "0.1",
             "--learning-rate-decay", "0.5", "--learning-rate-decay-steps", "150"]  # fmt: skip


@pytest.fixture(scope="module")
def never_stopped(tmp_path_factory, data_file) -> Path:
    """A folder in which 400 steps were made in one go."""
    folder = tmp_path_factory.mktemp("never_stopped")
    result = run_script("dcgan.py", *RESUMABLE, "--data", data_file, folder=folder)
    assert result.returncode == 0, result.stderr
    return folder


@pytest.mark.parametrize("kind", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_stopped_and_resumed_run_ends_like_one_that_never_stopped(
    kind, tmp_path, data_file, never_stopped
):
    folder = tmp_path
    models, images = folder / "saved_models" / "dcgan-1", folder / "images" / "dcgan-1"
    process = start_script("dcgan.py", *RESUMABLE, "--data", data_file, folder=folder)
    wait_for(models / "checkpoints" / "step_0000060.npz", process)
    process.send_signal(kind)
    output, errors = process.communicate(timeout=600)
    saved = sorted((models / "checkpoints").glob("step_*.npz"))
    if kind is signal.SIGKILL:
        assert process.returncode == -signal.SIGKILL
        # A row beyond the checkpoint and half a row, a picture and half a file.
        with open(images / "history.csv", "a") as file:
            file.write(f"399,79.8{',1' * 11}\n40")
        with open(images / "answers.csv", "a") as file:
            file.write(f"399,training{',1' * 8}\n399,gen")
        (images / "step_0000399.png").write_bytes(b"")
        (models / "checkpoints" / ".step_0000399-0.part.npz").write_bytes(b"")
    else:
        assert process.returncode == 0, errors
        assert "Traceback" not in errors
        step = int(re.search(rf"stopped by {kind.name} at step (\d+)", output)[1])
        assert 60 <= step < 400
        assert saved[-1].name == f"step_{step:07d}.npz"
        assert (images / f"step_{step:07d}.png").exists()
        assert (images / "training.gif").exists()
    assert int(saved[-1].stem[5:]) < 400, "it was stopped too late to say anything"

    result = run_script("dcgan.py", "--resume", "dcgan-1", folder=folder)
    assert result.returncode == 0, result.stderr

    last = Path("saved_models", "dcgan-1", "checkpoints", "step_0000400.npz")
    assert_same_state(never_stopped / last, folder / last)
    history = read_history(never_stopped / "images" / "dcgan-1")
    assert history == read_history(images)
    answers = read_answers(never_stopped / "images" / "dcgan-1")
    assert list(answers) == [
        (str(step), kind) for step in range(0, 401, 50) for kind in ("training", "generated")
    ]
    # Where it stopped there is one sample more.
    found = {key: row for key, row in read_answers(images).items() if int(key[0]) % 50 == 0}
    assert found == answers
    assert not any(step == "399" for step, _ in read_answers(images))
    assert len(history) == 57
    assert not (images / "step_0000399.png").exists()
    assert list(folder.rglob(".*")) == []
    for step in (0, 50, 400):
        name = f"step_{step:07d}.png"
        expected = never_stopped / "images" / "dcgan-1" / name
        assert (images / name).read_bytes() == expected.read_bytes()


def test_a_full_disk_leaves_the_checkpoint_before_it(tmp_path, data_file):
    arguments = [*TINY, "--data", data_file, "--discriminator-filters", "40"]
    assert run_script("dcgan.py", *arguments, "--steps", 3, folder=tmp_path).returncode == 0
    models = tmp_path / "saved_models" / "dcgan-1"
    before = {path.name: path.read_bytes() for path in models.rglob("*.*") if path.is_file()}

    def only_small_files() -> None:
        # To a program, a limit on the size of files looks as a full disk does.
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))

    result = run_script(
        "dcgan.py", "--resume", "dcgan-1", "--steps", 6, folder=tmp_path,
        preexec_fn=only_small_files,
    )  # fmt: skip
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1] == (
        "dcgan.py: error: run dcgan-1 could not be written: File too large; the checkpoint of "
        "step 3 is intact; make room and go on with: python dcgan.py --resume dcgan-1"
    )
    assert "Traceback" not in result.stderr
    after = {path.name: path.read_bytes() for path in models.rglob("*.*") if path.is_file()}
    # The generators' files are small enough for this disk; the state and all else is as it was.
    for name in ("generator.keras", "generator-current.keras"):
        assert before.pop(name) != after.pop(name)
    assert before == after
    assert run_script(
        "dcgan.py", "--resume", "dcgan-1", "--steps", 6, folder=tmp_path
    ).returncode == 0  # fmt: skip
    assert (models / "checkpoints" / "step_0000006.npz").exists()


def test_no_memory_is_one_line(tmp_path, data_file):
    result = run_script(
        "dcgan.py", *TINY, "--data", data_file, "--generator-filters", 2_000_000,
        "--max-filters", 2_000_000, folder=tmp_path,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (12 << 30, 12 << 30)),
    )  # fmt: skip
    assert result.returncode == 1, result.stderr
    assert result.stderr.splitlines()[-1] == (
        "dcgan.py: error: out of memory at --batch-size 4 and 32 px: lower --batch-size, the "
        "numbers of filters or --image-size; --dry-run estimates what a run takes"
    )


def test_a_run_from_before_there_was_augmentation_goes_on_without(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "saved_models" / "old"
    folder.mkdir(parents=True)
    config = {"method": "dcgan", "hyperparameters": {"latent_dim": 7}, "data_set": {}}
    (folder / "config.json").write_text(json.dumps(config))
    h, _ = parse_command_line(dcgan.Hyperparameters, "", ["--resume", "old"])
    assert (h.latent_dim, h.augmentation, h.color_strength) == (7, (), 1.0)
    assert h.augmentation_probability == 1
    assert h.augmentation_target == 0
    assert h.augmentation_confidence == 1


def test_a_run_takes_the_defaults_of_its_device(monkeypatch, tmp_path, data_file, capsys):
    monkeypatch.chdir(tmp_path)
    arguments = ["--data", str(data_file), "--dry-run", "--batch-size", "2", "--holdout", "0"]
    for has_accelerator, filters in ((False, 32), (True, 64)):
        monkeypatch.setattr(backend, "has_accelerator", lambda found=has_accelerator: found)
        run(dcgan.DCGAN, dcgan.Hyperparameters, "", arguments)
        assert f"; {filters} filters, batches of 2\n" in capsys.readouterr().out


def test_dry_run_says_what_a_run_takes_and_leaves_nothing(tmp_path, data_file):
    result = run_script("dcgan.py", *TINY, "--data", data_file, "--dry-run", folder=tmp_path)
    assert result.returncode == 0, result.stderr
    h = dcgan.Hyperparameters(
        image_size=32, latent_dim=5, generator_filters=(3,), discriminator_filters=(3,)
    )
    generator = dcgan.build_generator(h).count_params()
    discriminator = dcgan.build_discriminator(h).count_params()
    assert (
        f"generator {generator:,} parameters, discriminator {discriminator:,} parameters "
        f"({discriminator / generator:.2f} of the generator's)"
    ) in result.stdout
    assert 'Model: "generator"' in result.stdout
    assert 'Model: "discriminator"' in result.stdout
    for line in ("device ", "data set ", "memory ", "disk ", "speed "):
        assert re.search(f"^{line}", result.stdout, re.MULTILINE), line
    assert "20 pictures, 32 px" in result.stdout
    assert list(tmp_path.iterdir()) == []


def test_both_folders_may_be_one_under_two_names(tmp_path, data_file):
    for name in ("images", "saved_models"):
        (tmp_path / name).symlink_to("runs")
    (tmp_path / "runs").mkdir()
    result = run_script("dcgan.py", *TINY, "--data", data_file, "--steps", 1, folder=tmp_path)
    assert result.returncode == 0, result.stderr
    (run,) = (tmp_path / "runs").iterdir()
    assert run.name == "dcgan-1"
    assert {"generator.keras", "index.html", "config.json"} <= {path.name for path in run.iterdir()}


def test_empty_folders_of_a_run_that_was_killed_at_once_are_nobodys(tmp_path, data_file):
    for name in ("images", "saved_models"):
        (tmp_path / name / "mine").mkdir(parents=True)
    arguments = [*TINY, "--data", data_file, "--steps", 1, "--run-name", "mine"]
    result = run_script("dcgan.py", *arguments, folder=tmp_path)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "saved_models" / "mine" / "generator.keras").exists()
    result = run_script("dcgan.py", *arguments, folder=tmp_path)
    assert result.returncode == 2
    assert "mine exists already" in result.stderr


def test_a_run_in_training_is_not_resumed_and_a_second_ctrl_c_stops_it_at_once(tmp_path, data_file):
    process = start_script(
        "dcgan.py", *TINY, "--data", data_file, "--epochs", 0, "--sample-interval", 1,
        folder=tmp_path,
    )  # fmt: skip
    wait_for(tmp_path / "images" / "dcgan-1" / "step_0000060.png", process)
    second = run_script("dcgan.py", "--resume", "dcgan-1", "--data", data_file, folder=tmp_path)
    assert second.returncode == 2
    assert second.stderr == (
        "dcgan.py: error: --resume dcgan-1: another process is training it; two would write over "
        "each other's files\n"
    )
    process.send_signal(signal.SIGINT)
    time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=600)
    # The first is sometimes through before the second arrives.
    assert process.returncode in (0, 1), errors
    assert "Traceback" not in errors
    if process.returncode:
        assert re.search(
            r"dcgan.py: error: stopped at once; the checkpoint of step \d+ is intact; go on with: "
            r"python dcgan.py --resume dcgan-1$",
            errors.strip(),
        )


def test_killed_before_the_first_checkpoint_a_run_begins_again(tmp_path, data_file):
    arguments = [*TINY, "--data", data_file, "--steps", 3, "--models-dir", "models"]
    assert run_script("dcgan.py", *arguments, folder=tmp_path).returncode == 0
    models = tmp_path / "models" / "dcgan-1"
    last = models / "checkpoints" / "step_0000003.npz"
    kept = last.rename(tmp_path / "kept.npz")
    (models / "checkpoints" / "step_0000000.npz").unlink()
    for later in ("history.csv", "step_0000003.png"):
        (tmp_path / "images" / "dcgan-1" / later).unlink()
    result = run_script(
        "dcgan.py", "--resume", "dcgan-1", "--models-dir", "models", folder=tmp_path
    )
    assert result.returncode == 0, result.stderr
    assert_same_state(last, kept)
    assert "go on with: python dcgan.py --resume dcgan-1 --models-dir models" in result.stdout
    with open(tmp_path / "images" / "dcgan-1" / "health.csv", newline="") as file:
        assert [row["step"] for row in csv.DictReader(file)] == ["0"]


def test_a_run_whose_checkpoints_are_gone_does_not_begin_again(tmp_path, finished):
    shutil.copytree(finished, tmp_path / "copy")
    run = tmp_path / "copy" / "saved_models" / "dcgan-1"
    shutil.rmtree(run / "checkpoints")

    def everything() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in run.parents[1].rglob("*") if path.is_file()}

    before = everything()
    result = run_script("dcgan.py", "--resume", "dcgan-1", "--steps", 30, folder=tmp_path / "copy")
    assert result.returncode == 2
    assert result.stderr.splitlines()[-1] == (
        "dcgan.py: error: --resume dcgan-1: there is no checkpoint in "
        "saved_models/dcgan-1/checkpoints, and the run has trained to step 26 at least; bring its "
        "checkpoints back, or start another run (its networks are still there)"
    )
    assert everything() == before


@pytest.mark.parametrize("when", [(Trainer, "__init__"), (Saving, "restore")])
def test_stopped_before_there_is_anything_a_run_gives_its_name_back(
    tmp_path, monkeypatch, data_file, when
):
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(*when, stop)
    arguments = [*TINY, "--data", data_file, "--steps", 3, "--run-name", "some"]
    monkeypatch.setattr(sys, "argv", ["dcgan.py", *map(str, arguments)])
    with pytest.raises(SystemExit):
        dcgan.main()
    assert not any((tmp_path / folder / "some").exists() for folder in ("images", "saved_models"))


def test_another_mirror_or_limit_goes_on_counting_epochs(tmp_path, data_file):
    arguments = [*TINY, "--data", data_file, "--epochs", 2, "--history-interval", 5]
    assert run_script("dcgan.py", *arguments, folder=tmp_path).returncode == 0
    result = run_script(
        "dcgan.py", "--resume", "dcgan-1", "--epochs", 3, "--mirror", folder=tmp_path
    )
    assert result.returncode == 0, result.stderr
    rows = read_history(tmp_path / "images" / "dcgan-1")
    assert [(row["step"], float(row["epoch"])) for row in rows] == [
        ("5", 1.0), ("10", 2.0), ("15", 2.5), ("20", 3.0),
    ]  # fmt: skip


def test_epochs_count_from_the_runs_beginning(tmp_path, data_file):
    arguments = [*TINY, "--data", data_file, "--epochs", 2, "--run-name", "some"]
    assert run_script("dcgan.py", *arguments, folder=tmp_path).returncode == 0
    checkpoints = tmp_path / "saved_models" / "some" / "checkpoints"
    assert (checkpoints / "step_0000010.npz").exists()
    # Half the batch size, so twice the steps for the third epoch.
    result = run_script(
        "dcgan.py", "--resume", "some", "--epochs", 3, "--batch-size", 2, folder=tmp_path
    )
    assert result.returncode == 0, result.stderr
    assert (checkpoints / "step_0000020.npz").exists()
    assert "done at step 20 (3.0 epochs)" in result.stdout


def test_bfloat16_computes_in_it_and_keeps_float32_where_it_matters(tmp_path, data_file):
    arguments = [*TINY, "--data", data_file, "--run-name", "half", "--steps", 5]
    result = run_script("dcgan.py", *arguments, "--precision", "bfloat16", folder=tmp_path)
    assert result.returncode == 0, result.stderr
    assert " in bfloat16;" in result.stdout
    run = tmp_path / "saved_models" / "half"
    for name, last in (("generator", "images"), ("discriminator", "logits")):
        network = keras.models.load_model(run / f"{name}.keras")
        precisions = {layer.name: layer.compute_dtype for layer in network.layers}
        assert precisions.pop(last) == "float32"
        weighty = [layer for layer in network.layers if layer.weights and layer.name != last]
        assert {layer.compute_dtype for layer in weighty} == {"bfloat16"}
        assert network.output.dtype == "float32"
    state = read_state(run / "checkpoints" / "step_0000005.npz")
    assert {value.dtype.name for value in state.values() if value.dtype.kind == "f"} <= {
        "float32", "float64",
    }  # fmt: skip
    # The state is the same in both, so that a run may change.
    result = run_script(
        "dcgan.py", "--resume", "half", "--steps", 8, "--precision", "float32", folder=tmp_path
    )
    assert result.returncode == 0, result.stderr
    assert " in float32;" in result.stdout


@pytest.mark.parametrize(
    ("seconds", "chosen"),
    [((1.0, 0.5), "bfloat16"), ((1.0, 0.9), "float32"), ((1.0, 3.0), "float32")],
)
def test_auto_takes_bfloat16_where_it_is_faster(monkeypatch, seconds, chosen):
    measured = dict(zip(("float32", "bfloat16"), seconds, strict=True))
    monkeypatch.setattr(backend, "_product_seconds", measured.get)
    try:
        assert backend.set_precision("auto") == chosen
        policy = "mixed_bfloat16" if chosen == "bfloat16" else "float32"
        assert keras.config.dtype_policy().name == policy
    finally:
        backend.set_precision("float32")


def test_a_device_is_asked_and_answers():
    assert 0 < backend._product_seconds("bfloat16", side=64) < math.inf
    assert backend.set_precision("float32") == "float32"
