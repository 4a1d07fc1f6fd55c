"""Runs: what lies on the disk afterwards, what a stop or a kill leaves, and how they go on.

Most train a stub, in the process of the tests. What only a real process can show, one of each
method does.
"""

from __future__ import annotations

import json
import math
import re
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import ops
from PIL import Image

import dcgan
from tests.conftest import TINY, fork_script, run_script, start_script, wait_for
from tests.run_files import assert_same_state, read_answers, read_history, read_rows, read_state
from tests.stub import Hyperparameters, Stub, train
from tests.test_alternation import tiny_method
from utils import backend
from utils.common import grids
from utils.common.errors import RunError, UserError
from utils.training import report
from utils.training.arguments import parse_command_line
from utils.training.checkpoints import Checkpoints
from utils.training.report import Report
from utils.training.saving import Saving
from utils.training.snapshots import Snapshot
from utils.training.trainer import Trainer

CHECKPOINTS = Path("saved_models/stub-1/checkpoints")


def at_step(monkeypatch: pytest.MonkeyPatch, step: int, action) -> None:
    """Do something in the main thread when a step has been made."""
    made = Trainer.one_step

    def one_step(self: Trainer):
        scalars = made(self)
        if self.progress.step == step:
            action()
        return scalars

    monkeypatch.setattr(Trainer, "one_step", one_step)


# What is there in the end ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def finished(tmp_path_factory, data_file) -> Path:
    """A folder in which a run of 26 steps has come to its end, compiled and with all its pictures.

    Its intervals have no step in common.
    """
    folder = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        folders = train(
            "--data", data_file, "--steps", 26, "--sample-interval", 10, "--mirror",
            "--checkpoint-interval", 8, "--history-interval", 5, "--augmentation", "color",
        )  # fmt: skip
    assert folders.images == Path("images/stub-1")
    return folder


def test_a_run_leaves_its_pictures(finished):
    images = finished / "images" / "stub-1"
    assert sorted(path.name for path in images.iterdir()) == [
        "answers.csv", "answers.png", "architecture.png", "augmented.png", "health.csv",
        "history.csv", "history.png", "index.html", "reals.png", "step_0000000.png",
        "step_0000010.png", "step_0000020.png", "step_0000026.png", "training.gif",
    ]  # fmt: skip
    for name in ("reals.png", "step_0000020.png"):
        with Image.open(images / name) as grid:
            assert grid.size == (3 * (3 * 32 + 4 * 2), 3 * (2 * 32 + 3 * 2))
    samples = [(images / f"step_{step:07d}.png").read_bytes() for step in (0, 10, 20, 26)]
    assert len(set(samples)) == 4
    with Image.open(images / "training.gif") as film:
        assert film.n_frames == 4
    steps = [step for step, kind in read_answers(images) if kind == "generated"]
    assert steps == ["0", "10", "20", "26"]
    assert [row["step"] for row in read_rows(images / "health.csv")] == ["0"]


def test_history_has_a_row_for_every_interval(finished):
    rows = read_history(finished / "images" / "stub-1")
    assert [row["step"] for row in rows] == ["5", "10", "15", "20", "25"]
    # 4 pictures a step, 20 pictures and their mirror images.
    assert [float(row["epoch"]) for row in rows] == [0.5, 1, 1.5, 2, 2.5]
    assert [row["g_updates"] for row in rows] == ["5", "10", "15", "20", "25"]  # counts, no means
    losses = [float(row["g_loss"]) for row in rows]
    assert 0 < losses[-1] < 0.5 * losses[0]


def test_a_run_leaves_its_networks_and_the_last_checkpoints(finished):
    models = finished / "saved_models" / "stub-1"
    assert sorted(path.name for path in models.iterdir()) == [
        "checkpoints", "config.json", "examiner.keras", "generator-current.keras",
        "generator.keras",
    ]  # fmt: skip
    assert sorted(path.name for path in (models / "checkpoints").iterdir()) == [
        "step_0000016.npz", "step_0000024.npz", "step_0000026.npz",
    ]  # fmt: skip
    config = json.loads((models / "config.json").read_text())
    assert config["method"] == "stub"
    assert config["data_set"]["pictures"] == 20
    for name, value in (("steps", 26), ("image_size", 32), ("run_name", "stub-1"), ("resume", "")):
        assert config["hyperparameters"][name] == value


def test_the_saved_generator_is_the_average_and_draws_the_last_sample(finished):
    """Pixel for pixel what it makes of the fixed latent vectors."""
    models = finished / "saved_models" / "stub-1"
    state = read_state(models / "checkpoints" / "step_0000026.npz")
    for name, group in (
        ("generator", "average"), ("generator-current", "generator"), ("examiner", "examiner"),
    ):  # fmt: skip
        network = keras.models.load_model(models / f"{name}.keras")
        kept = [value for key, value in sorted(state.items()) if key.startswith(f"{group}/")]
        for variable, value in zip(network.variables, kept, strict=True):
            np.testing.assert_array_equal(ops.convert_to_numpy(variable), value)
    assert not np.allclose(state["average/0002"], state["generator/0002"], atol=1e-3)
    generator = keras.models.load_model(models / "generator.keras")
    images = grids.to_uint8(np.asarray(generator(state["loop/fixed_latents"], training=False)))
    with Image.open(finished / "images" / "stub-1" / "step_0000026.png") as grid:
        difference = np.asarray(grid.convert("RGB"), int) - grids.grid(images, 3).astype(int)
    assert np.abs(difference).max() <= 1


def test_a_run_says_what_it_is_and_shows_how_far_it_is(place, data_file, capsys):
    train("--data", data_file, "--steps", 2, "--history-interval", 1, "--holdout", 0.3)
    captured = capsys.readouterr()
    first, second, third, *_, last = captured.out.splitlines()
    assert re.fullmatch(
        r"\S+ \S+ on .* in float32; batches of 4; 14 pictures and 6 held out, 32 px", first
    )
    assert second == "run stub-1: pictures in images/stub-1/, networks in saved_models/stub-1/"
    assert third.startswith("no scores, no best networks and fewer alarms: 6 pictures are held out")
    goes_on = "go on with: python stub.py --resume stub-1 --steps 4"
    assert last == f"done at step 2 (0.6 epochs); {goes_on}"
    assert "2/2" in captured.err
    assert "g_loss=" in captured.err
    # Nothing but the progress bar: no library talks in between.
    lines = [line for line in captured.err.splitlines() if line.strip()]
    assert all(re.match(r"(saving: +)? *\d+%\|", line) for line in lines), lines


def test_dry_run_says_what_a_run_takes_and_leaves_nothing(place, data_file, capsys):
    assert train("--data", data_file, "--dry-run", "--mirror", "--holdout", 0.3) is None
    output = capsys.readouterr().out
    generator, examiner = 5 * 4 + 6 * 3072, 3073
    assert (
        f"networks    generator {generator:,} parameters, examiner {examiner:,} parameters "
        f"({examiner / generator:.2f} of the generator's)\n"
    ) in output
    assert 'Model: "generator"' in output
    assert 'Model: "examiner"' in output
    assert "14 pictures and 6 held out, 32 px, 28 with mirror images\n" in output
    # Of both networks weights, gradients and two moments, of the average weights alone, and pixels.
    weights = 16 * (generator + examiner) + 4 * generator
    activations = 3 * 4 * 4 * (5 + 5 + 3072 + 3072 + 3072 + 3072 + 1)
    total = weights + activations + 14 * 3072
    assert f"memory      about {total / 1e6:.3g} MB: {weights / 1e3:.3g} kB weights" in output
    for line in ("device ", "disk ", "speed .* images/s; 14 steps take "):
        assert re.search(f"^{line}", output, re.MULTILINE), line
    assert list(place.iterdir()) == []


# Going on ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole(tmp_path_factory, data_file) -> Path:
    """A folder in which 20 steps were made in one go; intervals without a common step."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(backend, "compile_step", lambda step, state: step)
        patch.setattr(Report, "_curves", lambda *_: None)
        train(*RESUMABLE, "--data", data_file)
    return folder


RESUMABLE = ["--steps", 20, "--checkpoint-interval", 4, "--history-interval", 3,
             "--sample-interval", 5, "--augmentation", "color"]  # fmt: skip


def assert_ended_alike(folder: Path, whole: Path) -> None:
    """As if it had not been stopped, but for what was drawn there."""
    images = Path("images/stub-1")
    last = CHECKPOINTS / "step_0000020.npz"
    assert_same_state(whole / last, folder / last)
    assert read_history(whole / images) == read_history(folder / images)
    answers = read_answers(whole / images)
    assert [step for step, kind in answers if kind == "training"] == ["0", "5", "10", "15", "20"]
    found = read_answers(folder / images)
    assert {key: row for key, row in found.items() if int(key[0]) % 5 == 0} == answers
    for step in (0, 5, 10, 15, 20):
        name = f"step_{step:07d}.png"
        assert (whole / images / name).read_bytes() == (folder / images / name).read_bytes()
    assert list(folder.rglob(".*")) == []


def test_the_next_run_takes_the_next_name_and_a_seed_makes_it_the_same(
    whole, data_file, monkeypatch, quick
):
    """However often it is saved and looked at."""
    monkeypatch.chdir(whole)
    options = ["--data", data_file, "--steps", 20, "--history-interval", 3, "--augmentation",
               "color"]  # fmt: skip
    assert train(*options).images.name == "stub-2"
    last, other = (CHECKPOINTS.parents[1] / run / "checkpoints" for run in ("stub-1", "stub-2"))
    assert_same_state(last / "step_0000020.npz", other / "step_0000020.npz")
    assert read_history(Path("images/stub-1")) == read_history(Path("images/stub-2"))
    train(*options, "--seed", 1, "--run-name", "other")
    assert read_history(Path("images/stub-1")) != read_history(Path("images/other"))


@pytest.mark.parametrize(("kind", "step"), [(signal.SIGINT, 7), (signal.SIGHUP, 8)])
def test_a_stopped_run_saves_itself_and_goes_on(
    place, monkeypatch, capsys, data_file, whole, kind, step
):
    handlers = signal.getsignal(signal.SIGINT), signal.getsignal(kind)
    with monkeypatch.context() as patch:
        at_step(patch, step, lambda: signal.raise_signal(kind))
        train(*RESUMABLE, "--data", data_file)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(kind)) == handlers
    assert f"stopped by {kind.name} at step {step} (" in capsys.readouterr().out
    assert max(CHECKPOINTS.iterdir()).name == f"step_{step:07d}.npz"
    assert Path(f"images/stub-1/step_{step:07d}.png").exists()
    assert Path("images/stub-1/training.gif").exists()
    train("--resume", "stub-1")
    assert "done at step 20" in capsys.readouterr().out
    assert_ended_alike(place, whole)


class KilledError(BaseException):
    """Nothing of the loop catches it."""


def test_what_a_kill_leaves_half_done_is_made_again(place, monkeypatch, data_file, whole):
    def kill() -> None:
        raise KilledError

    with monkeypatch.context() as patch:
        at_step(patch, 18, kill)
        with pytest.raises(KilledError):
            train(*RESUMABLE, "--data", data_file)
    assert max(CHECKPOINTS.iterdir()).name == "step_0000016.npz"
    # A row beyond the checkpoint and half a row, a picture and half a file.
    images = place / "images" / "stub-1"
    with open(images / "history.csv", "a") as file:
        file.write(f"99,79.8{',1' * 6}\n40")
    with open(images / "answers.csv", "a") as file:
        file.write(f"99,training{',1' * 8}\n99,gen")
    (images / "step_0000099.png").write_bytes(b"")
    (place / CHECKPOINTS / ".step_0000099-00000000.part.npz").write_bytes(b"")
    train("--resume", "stub-1")
    assert_ended_alike(place, whole)
    assert not (images / "step_0000099.png").exists()
    assert not any(step == "99" for step, _ in read_answers(images))


METHODS = {
    # Dropout and label noise have random state of their own.
    "dcgan.py": [
        *TINY, "--generator-dropout", 0.1, "--discriminator-dropout", 0.1, "--label-noise", 0.1,
        "--learning-rate-decay", 0.5, "--learning-rate-decay-steps", 9,
    ],
    "wgan.py": [
        *[x.replace("discriminator", "critic") for x in TINY], "--n-critic", 2,
        "--augmentation", "color",
    ],
    "r3gan.py": [*TINY, "--start-filters", 4, "--schedule-steps", 8],
}  # fmt: skip


@pytest.mark.parametrize(
    ("script", "data"),
    [("dcgan.py", "data_file"), ("wgan.py", "sprite_file"), ("r3gan.py", "grey_file")],
)
def test_a_killed_process_goes_on_to_the_same_bits(script, data, tmp_path, request):
    """What it had made beyond its checkpoint is made again, digit by digit."""
    name = script.replace(".py", "-1")
    images, saved = tmp_path / "images" / name, tmp_path / "saved_models" / name / "checkpoints"
    grid = images / "step_0000015.png"
    process = fork_script(
        script, *METHODS[script], "--data", request.getfixturevalue(data), "--epochs", 0,
        "--history-interval", 1, "--sample-interval", 5, "--checkpoint-interval", 8,
        folder=tmp_path,
    )  # fmt: skip
    wait_for(grid, process.is_alive)
    process.kill()
    process.join()
    for path in saved.iterdir():
        if path.name > "step_0000008.npz":
            path.unlink()
    killed, drawn = read_history(images)[:15], grid.read_bytes()
    assert [row["step"] for row in killed] == [str(step) for step in range(1, 16)]
    result = run_script(script, "--resume", name, "--steps", 15, folder=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "done at step 15 (" in result.stdout
    assert read_history(images) == killed
    assert grid.read_bytes() == drawn


def test_ctrl_c_ends_a_process_cleanly(tmp_path, data_file):
    process = start_script(
        "dcgan.py", *TINY, "--data", data_file, "--epochs", 0, "--sample-interval", 1,
        folder=tmp_path,
    )  # fmt: skip
    wait_for(tmp_path / "images" / "dcgan-1" / "step_0000003.png", lambda: process.poll() is None)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors
    assert "Traceback" not in errors
    step = int(re.search(r"stopped by SIGINT at step (\d+) ", output)[1])
    models = tmp_path / "saved_models" / "dcgan-1"
    assert max((models / "checkpoints").iterdir()).name == f"step_{step:07d}.npz"
    for name in ("generator.keras", "discriminator.keras"):
        shutil.move(models / name, tmp_path)
    subprocess.run([sys.executable, "-c", PLAIN_KERAS], cwd=tmp_path, check=True)


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
"""What was saved loads without this project."""


def test_killed_before_the_first_checkpoint_a_run_begins_again(place, capsys, data_file):
    train("--data", data_file, "--steps", 3, "--models-dir", "models")
    last = Path("models/stub-1/checkpoints/step_0000003.npz")
    kept = last.rename("kept.npz")
    (last.parent / "step_0000000.npz").unlink()
    images, models = Path("images/stub-1"), Path("models/stub-1")
    for later in (images / "history.csv", images / "step_0000003.png", *models.glob("*.keras")):
        later.unlink()
    train("--resume", "stub-1", "--models-dir", "models")
    assert_same_state(last, kept)
    assert "go on with: python stub.py --resume stub-1 --steps 6 --models-dir models" in (
        capsys.readouterr().out
    )
    assert [row["step"] for row in read_rows(Path("images/stub-1/health.csv"))] == ["0"]
    assert {step for step, _ in read_answers(Path("images/stub-1"))} == {"0", "3"}


@pytest.mark.parametrize("left", ["grids", "history", "best", "networks"])
def test_a_run_whose_checkpoints_are_gone_does_not_begin_again(place, monkeypatch, finished, left):
    shutil.copytree(finished, "copy")
    monkeypatch.chdir("copy")
    shutil.rmtree(CHECKPOINTS)
    if left != "grids":
        for grid in Path("images/stub-1").glob("step_*"):
            grid.unlink()
    if left in ("best", "networks"):
        Path("images/stub-1/history.csv").unlink()
        for network in Path("saved_models/stub-1").glob("*.keras"):
            if left == "best":
                network.unlink()
    if left == "best":
        Path("saved_models/stub-1/best").mkdir()
    trained = f"has trained to step {26 if left == 'grids' else 25} at least"
    other = "or begin another run with --start-from stub-1"
    if left == "best":
        other = "or go on with a run that has both networks; a tuned copy has one"
    before = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
    with pytest.raises(UserError) as refused:
        train("--resume", "stub-1", "--steps", 30)
    assert str(refused.value) == (
        "--resume stub-1: there is no checkpoint in saved_models/stub-1/checkpoints, and the run "
        f"{trained if left in ('grids', 'history') else 'has networks'}; bring its checkpoints "
        f"back, {other}"
    )
    assert before == {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}


def test_another_mirror_goes_on_counting_epochs(place, data_file, capsys):
    train("--data", data_file, "--epochs", 2, "--history-interval", 5)
    train("--resume", "stub-1", "--epochs", 3, "--mirror", "--batch-size", 8)
    rows = read_history(Path("images/stub-1"))
    assert [(row["step"], float(row["epoch"])) for row in rows] == [
        ("5", 1.0), ("10", 2.0), ("15", 3.0),
    ]  # fmt: skip
    output = capsys.readouterr().out
    assert "done at step 15 (3.0 epochs)" in output
    hint = "2 epochs of so few pictures are only 10 steps; try --steps 4000 and --start-from "
    assert output.count(hint) == 1  # 3 were asked for
    assert output.count("of so few pictures") == 1


# Names and folders ------------------------------------------------------------------------------


def test_both_folders_may_be_one_under_two_names(place, data_file):
    Path("runs").mkdir()
    for name in ("images", "saved_models"):
        Path(name).symlink_to("runs")
    train("--data", data_file, "--steps", 1)
    (made,) = Path("runs").iterdir()
    assert made.name == "stub-1"
    assert {"generator.keras", "index.html", "config.json"} <= {x.name for x in made.iterdir()}


def test_empty_folders_of_a_run_that_was_killed_at_once_are_nobodys(place, data_file):
    for name in ("images", "saved_models"):
        Path(name, "mine").mkdir(parents=True)
    train("--data", data_file, "--steps", 1, "--run-name", "mine")
    assert Path("saved_models/mine/generator.keras").exists()
    with pytest.raises(UserError, match="mine exists already"):
        train("--data", data_file, "--steps", 1, "--run-name", "mine")


def test_a_run_in_training_is_not_resumed(place, data_file):
    def resume(_: Path) -> None:
        with pytest.raises(UserError) as refused:
            train("--resume", "stub-1", "--data", data_file)
        messages.append(str(refused.value))

    messages: list[str] = []
    train("--data", data_file, "--steps", 1, "--sample-interval", 5, on_grid=resume)
    assert messages == 2 * [
        "--resume stub-1: another process is training it; two would write over each other's files"
    ]


@pytest.mark.parametrize("when", [(Trainer, "__init__"), (Saving, "restore")])
def test_stopped_before_there_is_anything_a_run_gives_its_name_back(
    place, monkeypatch, data_file, when
):
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(*when, stop)
    with pytest.raises(KeyboardInterrupt):
        train("--data", data_file, "--steps", 3, "--run-name", "some")
    assert not any((place / folder / "some").exists() for folder in ("images", "saved_models"))


# What goes wrong --------------------------------------------------------------------------------


def test_a_full_disk_leaves_the_checkpoint_before_it(place, data_file):
    train("--data", data_file, "--steps", 3)
    models = Path("saved_models/stub-1")
    before = {path.name: path.read_bytes() for path in models.rglob("*.*") if path.is_file()}
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    # To a program, a limit on the size of files looks as a full disk does.
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, most))
    try:
        with pytest.raises(RunError) as failed:
            train("--resume", "stub-1", "--steps", 6)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    assert str(failed.value) == (
        "run stub-1 could not be written: File too large; the checkpoint of step 3 is intact; "
        "make room and go on with: python stub.py --resume stub-1"
    )
    after = {path.name: path.read_bytes() for path in models.rglob("*.*") if path.is_file()}
    # The networks' files are small enough for this disk; the state and all else is as it was.
    for name in ("generator.keras", "generator-current.keras", "examiner.keras"):
        assert before.pop(name) != after.pop(name)
    assert before.pop("config.json") != after.pop("config.json")
    assert before == after
    train("--resume", "stub-1", "--steps", 6)
    assert (CHECKPOINTS / "step_0000006.npz").exists()


def test_a_picture_that_cannot_be_drawn_is_a_warning(place, data_file, monkeypatch, capsys):
    def fails(*_: object) -> None:
        raise RuntimeError("no\nlatex")

    monkeypatch.setattr(grids, "save_png", fails)
    monkeypatch.setattr(report, "write_page", fails)
    train("--data", data_file, "--steps", 3, "--sample-interval", 1)
    assert (CHECKPOINTS / "step_0000003.npz").exists()
    warnings = [line for line in capsys.readouterr().err.splitlines() if "warning" in line]
    kinds = {
        "reals.png": "no latex", "step_0000000.png": "no latex", "index.html": "no latex",
        "training.gif": "cannot make a film of 0 frames, at most 200",
    }  # fmt: skip
    assert sorted(warnings) == sorted(
        f"warning: images/stub-1/{name} cannot be drawn: {reason}" for name, reason in kinds.items()
    )


def test_no_memory_is_one_line(place, monkeypatch, data_file):
    monkeypatch.setattr(Stub, "state", lambda self: ops.zeros((2**50,)))
    with pytest.raises(RunError) as failed:
        train("--data", data_file)
    assert str(failed.value) == (
        "out of memory at --batch-size 4 and 32 px: lower --batch-size or the numbers of filters; "
        "--dry-run estimates what a run takes"
    )


# Devices and precision --------------------------------------------------------------------------


def test_a_run_takes_the_defaults_of_its_device(place, monkeypatch, data_file, capsys):
    monkeypatch.setattr(Hyperparameters, "ON_ACCELERATOR", {"batch_size": 10})
    for has_accelerator, expected in (
        (False, "batches of 4; "),
        (True, "batches of 10; defaults of a GPU or TPU: --batch-size 10; "),
    ):
        monkeypatch.setattr(backend, "has_accelerator", lambda found=has_accelerator: found)
        train("--data", data_file, "--steps", 1)
        assert f" in float32; {expected}20 pictures, " in capsys.readouterr().out


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
    assert (h.generator_architecture, h.upscaling) == ("plain", "transposed")


def test_bfloat16_computes_in_it_and_keeps_float32_where_it_matters(tmp_path, precision):
    def method_in(name: str) -> dcgan.DCGAN:
        assert precision(name) == name
        return tiny_method(image_size=32)

    half = method_in("bfloat16")
    half.train_step(np.zeros((1, 4, 32, 32, 3), np.uint8))
    Snapshot(half.networks).save(tmp_path)
    for name, last in (("generator", "images"), ("discriminator", "logits")):
        network = keras.models.load_model(tmp_path / f"{name}.keras")
        precisions = {layer.name: layer.compute_dtype for layer in network.layers}
        assert precisions.pop(last) == "float32"
        weighty = [layer for layer in network.layers if layer.weights and layer.name != last]
        assert {layer.compute_dtype for layer in weighty} == {"bfloat16"}
        assert network.output.dtype == "float32"
    checkpoints = Checkpoints(tmp_path, keep=1)
    arrays = checkpoints.collect(1, half.state())
    assert {x.dtype.name for x in arrays.values() if x.dtype.kind == "f"} == {"float32"}
    # The state is the same in both, so that a run may change.
    checkpoints.save(1, arrays, {"step": 1})
    whole = method_in("float32")
    checkpoints.load_newest(whole.state())
    for name, array in checkpoints.collect(1, whole.state()).items():
        np.testing.assert_array_equal(array, arrays[name])


@pytest.fixture
def precision():
    """`set_precision`, which ends with the test."""
    yield backend.set_precision
    backend.set_precision("float32")


@pytest.mark.parametrize(
    ("seconds", "chosen"), [(0.5, "bfloat16"), (0.9, "float32"), (3.0, "float32")]
)
def test_auto_takes_bfloat16_where_it_is_faster(monkeypatch, precision, seconds, chosen):
    measured = {"float32": 1.0, "bfloat16": seconds}
    monkeypatch.setattr(backend, "_product_seconds", measured.get)
    assert precision("auto") == chosen
    policy = "mixed_bfloat16" if chosen == "bfloat16" else "float32"
    assert keras.config.dtype_policy().name == policy


def test_a_device_is_asked_and_answers():
    assert 0 < backend._product_seconds("bfloat16", side=64) < math.inf
