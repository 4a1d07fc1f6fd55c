"""What a person does wrong is answered with one line that says what to change."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

import dcgan
from tests.conftest import REPOSITORY, TINY, blobs, run_script
from utils.common.errors import RunError, one_line_errors
from utils.data.hdf5 import write_dataset
from utils.training import checkpoints


@pytest.fixture
def refused(tmp_path, monkeypatch, capsys):
    """Run the script in this process and return the one line it ends with."""

    def run(*arguments: object, code: int = 2) -> str:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["dcgan.py", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            dcgan.main()
        assert stop.value.code == code
        lines = [line for line in capsys.readouterr().err.splitlines() if "error:" in line]
        assert len(lines) == 1
        return lines[0].removeprefix("dcgan.py: error: ")

    return run


def nothing_was_written(folder: Path) -> bool:
    return not any((folder / name).exists() for name in ("images", "saved_models", "data"))


def test_an_unknown_option(refused, tmp_path):
    assert refused("--latent-dims", 3) == (
        "--latent-dims: no such option; did you mean --latent-dim?"
    )
    assert refused("--xyz") == "--xyz: no such option; --help lists the options"
    assert nothing_was_written(tmp_path)


def test_an_unknown_option_through_the_shell(tmp_path):
    result = run_script("dcgan.py", "--epoch", "3", folder=tmp_path)
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr == ("dcgan.py: error: --epoch: no such option; did you mean --epochs?\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--epochs", "many"], "--epochs: invalid literal for int() with base 10"),
        (["--upscaling", "bicubic"], "invalid choice 'bicubic' for argument '--upscaling'"),
        (["--batch-size", "1"], "--batch-size 1: must be 2 or more"),
        (["--latent-dim", "0"], "--latent-dim 0: must be 1 or more"),
        (["--image-size", "100"], "--image-size 100: must be 32, 64, 128 or 256"),
        (["--label-noise", "0.7"], "--label-noise 0.7: must be from 0 to 0.5"),
        (["--generator-dropout", "1"], "--generator-dropout 1.0: must be from 0 to 0.99"),
        (["--generator-learning-rate", "nan"], "--generator-learning-rate nan: must be from"),
        (["--seed", "5000000000"], "--seed 5000000000: must be from 0 to 4"),
        (["--resume"], "Missing value for argument '--resume'"),
        (["--resume", "../x"], "--resume '../x': must be letters, digits"),
        (["--generator-filters"], "--generator-filters: 0 given, must be 1 to 8"),
        (
            ["--generator-filters", "8", "4", "--generator-depth", "2"],
            "--generator-depth 2: must be 0 where --generator-filters is a list",
        ),
        (["--generator-filters", "8", "0"], "--generator-filters 0: must be 1 or more"),
        (["--sample-interval", "0"], "--sample-interval 0: must be 1 or more"),
        (
            ["--image-size", "256", "--sample-rows", "32", "--sample-columns", "32"],
            "--sample-rows 32 --sample-columns 32: a grid of 8258 x 8258 pixels; wanted at most "
            "64,000,000 in all",
        ),
        (["--run-name", "../x"], "--run-name '../x': must be letters, digits"),
        (["--generator-depth", "9"], "--generator-depth 9: must be from 0 to 8"),
    ],
)
def test_values_that_cannot_be_meant(refused, tmp_path, arguments, message):
    assert refused(*arguments).startswith(message)
    assert nothing_was_written(tmp_path)


def test_too_many_maps_for_the_images(refused, data_file):
    assert refused("--data", data_file, "--generator-filters", *[4] * 6) == (
        "--generator-filters: 6 given, must be 1 to 5"
    )


def test_data_that_is_not_there(refused, tmp_path):
    assert refused("--data", "nowhere.h5").startswith("--data nowhere.h5: ")
    assert nothing_was_written(tmp_path)


def test_h5_files_that_are_no_data_sets(refused, tmp_path, data_file):
    (tmp_path / "foreign.h5").write_bytes(b"no HDF5 at all, whatever its name says" * 100)
    (tmp_path / "cut.h5").write_bytes(data_file.read_bytes()[:-5000])
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["temperatures"] = np.zeros(3)
    for name in ("foreign.h5", "cut.h5", "other.h5"):
        assert name in refused("--data", name)


def test_a_size_that_the_file_does_not_have(refused, data_file):
    message = refused("--data", data_file, "--image-size", 64)
    assert message.startswith("--image-size 64: ")
    assert "32 px" in message


def test_a_folder_without_pictures(refused, tmp_path):
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "robot.txt").write_text("RX")
    assert refused("--data", "texts").startswith("--data texts: ")


def test_a_batch_larger_than_the_data_set(refused, data_file):
    assert refused("--data", data_file, "--batch-size", 21, "--holdout", 0) == (
        f"--batch-size 21: a step takes 21 pictures, and {data_file} has 20; wanted is at most 20"
    )
    assert "has 7; wanted is at most 7" in refused(
        "--data", data_file, "--batch-size", 8, "--limit", 7, "--holdout", 0
    )
    assert refused("--data", data_file, "--limit", 1, "--holdout", 0).endswith(
        "has 1; wanted are 2 pictures at least"
    )


def test_an_output_folder_that_cannot_be_written(refused, data_file, tmp_path):
    (tmp_path / "a_file").write_text("")
    assert refused("--data", data_file, "--images-dir", "a_file/images") == (
        f"--images-dir a_file/images: {tmp_path}/a_file is not a folder"
    )
    assert refused("--data", data_file, "--models-dir", "a_file") == (
        "--models-dir a_file: a_file is not a folder"
    )
    (tmp_path / "disk").symlink_to("/not/mounted")
    assert refused("--data", data_file, "--images-dir", "disk/mine") == (
        f"--images-dir disk/mine: {tmp_path}/disk is a link to /not/mounted, which is not there"
    )


def test_a_run_does_not_draw_into_what_it_learns_from(refused, tmp_path):
    message = "--images-dir {}: is in --data {}, and what a run draws would be trained on; wanted "
    assert refused("--data", ".") == message.format("images", ".") + "is a folder outside"
    (tmp_path / "mine").mkdir()
    assert refused("--data", tmp_path / "mine", "--images-dir", "mine").startswith(
        message.format("mine", tmp_path / "mine")
    )


def test_a_run_name_that_exists(refused, data_file, tmp_path):
    (tmp_path / "saved_models" / "mine" / "best").mkdir(parents=True)
    assert refused("--data", data_file, "--run-name", "mine") == (
        "--run-name mine: saved_models/mine exists already; choose another name, or go on with "
        "--resume mine"
    )


def test_one_folder_for_everything_and_names_that_count_on(tmp_path, monkeypatch, data_file):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out" / "dcgan-1").mkdir(parents=True)
    (tmp_path / "out" / "dcgan-1" / "mine.txt").touch()
    arguments = ["--data", str(data_file), "--steps", "2", "--history-interval", "1"]
    monkeypatch.setattr(
        sys, "argv",
        ["dcgan.py", *TINY, *arguments, "--images-dir", "out", "--models-dir", "out"],
    )  # fmt: skip
    dcgan.main()
    assert {path.name for path in (tmp_path / "out" / "dcgan-2").iterdir()} == {
        "answers.csv", "answers.png", "architecture.png", "augmented.png", "checkpoints",
        "config.json",
        "discriminator.keras", "generator-current.keras", "generator.keras", "health.csv",
        "history.csv", "history.png", "index.html", "reals.png", "step_0000000.png",
        "step_0000002.png", "training.gif",
    }  # fmt: skip
    assert [path.name for path in (tmp_path / "out" / "dcgan-1").iterdir()] == ["mine.txt"]


@pytest.fixture
def short_run(tmp_path, monkeypatch, data_file):
    """Three steps of a run called ``short``, in this process."""
    monkeypatch.chdir(tmp_path)
    arguments = ["dcgan.py", *TINY, "--data", str(data_file), "--steps", "3"]
    monkeypatch.setattr(sys, "argv", [*arguments, "--run-name", "short"])
    dcgan.main()
    return tmp_path / "saved_models" / "short"


def test_a_run_that_is_not_there(refused, short_run):
    assert refused("--resume", "long") == (
        "--resume long: saved_models/long/config.json does not exist; there are short"
    )
    assert refused("--resume", "x", "--models-dir", "no") == (
        "--resume x: no/x/config.json does not exist; there is no run in no"
    )


def test_a_file_where_a_runs_pictures_were(refused, short_run, tmp_path):
    shutil.rmtree(tmp_path / "images")
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "short").touch()
    assert refused("--resume", "short", "--steps", 4) == (
        "--resume short: images/short is not a folder"
    )


def test_resuming_with_other_networks(refused, short_run):
    assert refused("--resume", "short", "--latent-dim", 6) == (
        "--latent-dim 6: run short has 5, which a resumed run keeps; leave the option out or start "
        "a new run"
    )
    assert refused("--resume", "short", "--sample_rows", 3).startswith("--sample-rows 3: run short")
    assert refused("--resume", "short", "--run-name", "new").startswith("--run-name new: run short")


def test_resuming_what_is_done(refused, short_run):
    assert refused("--resume", "short") == (
        "--resume short: it has made its 3 steps (0.6 epochs); give more --epochs or --steps"
    )


def test_resuming_on_pictures_that_changed(refused, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_dataset("own.h5", blobs(8), [str(i) for i in range(8)])
    monkeypatch.setattr(sys, "argv", ["dcgan.py", *TINY, "--data", "own.h5", "--steps", "2"])
    dcgan.main()
    Path("own.h5").unlink()
    write_dataset("own.h5", blobs(8, seed=1), [str(i) for i in range(8)])
    capsys.readouterr()
    assert refused("--resume", "dcgan-1", "--steps", 4) == (
        "--data own.h5: its pictures are no longer those that run dcgan-1 began with; bring them "
        "back, or give another --data to go on with that"
    )


@pytest.mark.parametrize("steps", [3, 5])
def test_a_damaged_checkpoint_falls_back_on_the_one_before(short_run, monkeypatch, capsys, steps):
    last = short_run / "checkpoints" / "step_0000003.npz"
    own_copy = last.with_name("step_0000003-good.npz")
    own_copy.write_bytes(last.read_bytes())
    content = bytearray(last.read_bytes())
    # A header between two arrays has bytes that nobody reads.
    with zipfile.ZipFile(last) as archive:
        largest = max(archive.infolist(), key=lambda member: member.compress_size)
    content[largest.header_offset + largest.compress_size // 2] ^= 0xFF
    last.write_bytes(content)
    monkeypatch.setattr(
        sys, "argv",
        ["dcgan.py", "--resume", "short", "--steps", str(steps), "--keep-checkpoints", "1"],
    )  # fmt: skip
    dcgan.main()
    captured = capsys.readouterr()
    assert "step_0000003.npz is damaged" in captured.err
    assert f"done at step {steps}" in captured.out
    assert sorted(path.name for path in last.parent.iterdir()) == sorted(
        ["step_0000003-good.npz", "step_0000003.npz.damaged", f"step_{steps:07d}.npz"]
    )
    if steps == 3:
        np.testing.assert_array_equal(np.load(last)["generator/0000"],
                                      np.load(own_copy)["generator/0000"])  # fmt: skip


def test_no_checkpoint_is_whole(refused, short_run):
    for path in (short_run / "checkpoints").iterdir():
        path.write_bytes(path.read_bytes()[:1000])
    assert "step_0000003.npz is damaged" in refused("--resume", "short", "--steps", 5)
    assert len(list((short_run / "checkpoints").iterdir())) == 2


def test_a_checkpoint_that_means_harm(refused, short_run):
    for path in (short_run / "checkpoints").iterdir():
        with np.load(path) as archive:
            arrays = dict(archive.items())
        np.savez(path, **arrays | {"generator/0000": np.array({"a": 1}, dtype=object)})
    assert "Object arrays cannot be loaded" in refused("--resume", "short", "--steps", 5)


def test_a_checkpoint_of_other_networks(refused, short_run):
    for path in (short_run / "checkpoints").iterdir():
        with np.load(path) as archive:
            arrays = dict(archive.items())
        np.savez(path, **arrays | {"generator/0000": np.zeros(3)})
    assert refused("--resume", "short", "--steps", 5) == (
        "saved_models/short/checkpoints/step_0000003.npz holds other networks: generator/0000 is "
        "(3,) there and (5, 192) here"
    )


def test_a_damaged_config(refused, short_run):
    path = short_run / "config.json"
    good = path.read_text()
    damaged = "--resume short: saved_models/short/config.json is damaged ("
    for text in ('{"method": "dc', "[]", '{"hyperparameters": {}}', '{"hyperparameters": 3}'):
        path.write_text(text)
        assert refused("--resume", "short").startswith(damaged)
    for wrong in ('"batch_size": "4"', '"batch_size": null', '"batch_size": [4]'):
        path.write_text(good.replace('"batch_size": 4', wrong))
        assert refused("--resume", "short").startswith(
            "--resume short: its config.json is damaged or from another version: batch_size is"
        )
    path.write_text(good.replace('"method": "dcgan"', '"method": "wgan"'))
    assert refused("--resume", "short") == ("--resume short: was made by wgan.py, not by dcgan.py")


def test_a_copied_run_is_a_run_of_its_own(short_run, monkeypatch, capsys):
    shutil.copytree(short_run, short_run.with_name("copy"))
    before = {path: path.read_bytes() for path in short_run.rglob("*") if path.is_file()}
    monkeypatch.setattr(sys, "argv", ["dcgan.py", "--resume", "copy", "--steps", "4"])
    dcgan.main()
    assert "run copy: pictures in images/copy/" in capsys.readouterr().out
    assert (short_run.with_name("copy") / "checkpoints" / "step_0000004.npz").exists()
    assert before == {path: path.read_bytes() for path in short_run.rglob("*") if path.is_file()}


def test_a_loss_that_becomes_nan(refused, short_run, monkeypatch):
    config = (short_run / "config.json").read_text()
    with monkeypatch.context() as broken:
        loss = dcgan.binary_cross_entropy
        broken.setattr(dcgan, "binary_cross_entropy", lambda *given: loss(*given) * np.nan)
        message = refused("--resume", "short", "--steps", 60, "--history-interval", 1, code=1)
    assert message == (
        "d_loss became nan at step 4: lower --generator-learning-rate or "
        "--discriminator-learning-rate; the checkpoint of step 3 is intact; go on with: "
        "python dcgan.py --resume short --generator-learning-rate ..."
    )
    saved = checkpoints.Checkpoints(short_run / "checkpoints", keep=3)
    assert saved.steps()[-1] == 3
    # And the run is as it was, with the learning rates that were good.
    assert (short_run / "config.json").read_text() == config
    monkeypatch.setattr(sys, "argv", ["dcgan.py", "--resume", "short", "--steps", "4"])
    dcgan.main()
    assert saved.steps()[-1] == 4


def test_learning_rates_that_blow_everything_up(refused, short_run):
    """Losses can stay finite behind a normalisation that divides by infinity."""
    message = refused(
        "--resume", "short", "--steps", 60, "--generator-learning-rate", 1e8,
        "--discriminator-learning-rate", 1e8, "--history-interval", 1, code=1,
    )  # fmt: skip
    assert re.match(r"[dg]_\w+ became \S+ at step \d+: lower |\S+ is no longer finite at ", message)
    assert "; the checkpoint of step 3 is intact" in message
    assert checkpoints.Checkpoints(short_run / "checkpoints", keep=3).steps()[-1] == 3
    # The curves show how it came about.
    assert (short_run.parent.parent / "images" / "short" / "history.png").exists()


def test_weights_that_are_not_finite_are_not_saved(tmp_path):
    saved = checkpoints.Checkpoints(tmp_path, keep=3)
    bad = keras.Variable([1.0, np.inf], name="bad")
    with pytest.raises(RunError, match="bad is no longer finite at step 7: lower the learning"):
        saved.collect(7, {"generator": [bad]})


def test_too_little_memory_is_one_line(capsys):
    @one_line_errors
    def main() -> None:
        np.empty(2**55)

    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 1
    assert "error: not enough memory: Unable to allocate 256. PiB" in capsys.readouterr().err


def test_the_command_that_goes_on_can_be_pasted():
    h = dcgan.Hyperparameters(run_name="mine", models_dir="my models")
    assert h.resume_command() == "python dcgan.py --resume mine --models-dir 'my models'"


def test_nobody_need_listen(tmp_path, data_file):
    script = REPOSITORY / "dcgan.py"
    command = [sys.executable, script, *TINY, "--data", data_file, "--steps", "1"]
    command = f"{shlex.join(map(str, command))} >&- 2>&-"
    assert subprocess.run(["bash", "-c", command], cwd=tmp_path).returncode == 0
    assert (tmp_path / "saved_models/dcgan-1/checkpoints/step_0000001.npz").exists()


def test_a_reader_that_has_enough_is_no_error(tmp_path):
    command = f"{sys.executable} {REPOSITORY / 'dcgan.py'} --help | head -1"
    result = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True)
    assert "Traceback" not in result.stderr
    assert result.stdout.startswith("usage: dcgan.py")


def test_a_persons_keras_json_does_not_change_what_is_trained(tmp_path, data_file):
    (tmp_path / "keras.json").write_text(
        json.dumps({"image_data_format": "channels_first", "floatx": "float16",
                    "backend": "tensorflow", "epsilon": 1e-7})
    )  # fmt: skip
    result = run_script(
        "dcgan.py", *TINY, "--data", data_file, "--dry-run", folder=tmp_path,
        environment={"KERAS_HOME": str(tmp_path)},
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert "(None, 32, 32, 3)" in result.stdout


def test_a_keras_backend_that_is_not_there(tmp_path):
    result = run_script("dcgan.py", folder=tmp_path, environment={"KERAS_BACKEND": "nothing"})
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith("error: Keras and its backend cannot be loaded (")
    assert result.stderr.endswith("); set KERAS_BACKEND to tensorflow, jax or torch\n")


@pytest.mark.parametrize("script", sorted(path.name for path in REPOSITORY.glob("*.py")))
def test_without_the_environment_a_script_says_so(script):
    # -S leaves out installed packages, as a Python has none that is not the environment's.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    result = subprocess.run(
        [sys.executable, "-S", REPOSITORY / script, "--help"],
        capture_output=True, text=True, env=environment,
    )  # fmt: skip
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == (
        "error: numpy, h5py, PIL, matplotlib, tqdm, tyro, keras: not installed for "
        f"{sys.executable}; activate the environment (. .venv/bin/activate) or pip install -r "
        "requirements.txt\n"
    )
