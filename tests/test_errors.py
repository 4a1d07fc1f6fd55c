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
import r3gan
from tests.conftest import REPOSITORY, TINY, blobs, run_script
from tests.run_files import assert_same_state
from tests.stub import Stub, train
from utils import backend
from utils.common.errors import RunError, UserError, one_line_errors
from utils.data.hdf5 import write_dataset
from utils.training import checkpoints
from utils.training.failures import lower_learning_rates
from utils.training.repeat import resume_command
from utils.training.report import Report


@pytest.fixture
def refused(tmp_path, monkeypatch, capsys):
    """Run the script in this process and return the one line it ends with."""

    def run(*arguments: object) -> str:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["dcgan.py", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            dcgan.main()
        assert stop.value.code == 2
        captured = capsys.readouterr()
        (line,) = [line for line in captured.err.splitlines() if "error:" in line]
        assert captured.out == ""
        return line.removeprefix("dcgan.py: error: ")

    return run


def nothing_was_written(folder: Path) -> bool:
    return not any((folder / name).exists() for name in ("images", "saved_models", "data"))


def test_an_unknown_option(refused, tmp_path):
    assert refused("--latent-dims", 3) == (
        "--latent-dims: no such option; did you mean --latent-dim?"
    )
    assert refused("--xyz") == "--xyz: no such option; --help lists the options"
    assert nothing_was_written(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--epochs", "many"], "--epochs many: must be a whole number"),
        (
            ["--upscaling", "bicubic"],
            "--upscaling bicubic: must be one of filtered, transposed, upsample",
        ),
        *(
            (
                ["--kernel-size", size],
                f"--kernel-size {size}: with --upscaling filtered it must be even and at least 4",
            )
            for size in ("2", "3", "5")
        ),
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
        (["--generator-filters", "8", "0"], "--generator-filters 8 0: must be 1 or more"),
        (["--sample-interval", "0"], "--sample-interval 0: must be 1 or more"),
        (
            ["--image-size", "256", "--sample-rows", "32", "--sample-columns", "32"],
            "--sample-rows 32 --sample-columns 32: a grid of 8258 x 8258 pixels; expected at most "
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
        f"--batch-size 21: a step takes 21 pictures, and {data_file} has 20; expected at most 20"
    )
    assert "has 7; expected at most 7" in refused(
        "--data", data_file, "--batch-size", 8, "--limit", 7, "--holdout", 0
    )
    assert refused("--data", data_file, "--limit", 1, "--holdout", 0).endswith(
        "has 1; expected 2 pictures at least"
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
    message = (
        "--images-dir {}: is in --data {}, and what a run draws would be trained on; expected a "
        "folder outside"
    )
    assert refused("--data", ".") == message.format("images", ".")
    (tmp_path / "mine").mkdir()
    assert refused("--data", tmp_path / "mine", "--images-dir", "mine") == (
        message.format("mine", tmp_path / "mine")
    )


def test_a_run_name_that_exists(refused, data_file, tmp_path):
    models = tmp_path / "saved_models" / "mine"
    (models / "best").mkdir(parents=True)
    taken = "--run-name mine: saved_models/mine exists already; choose another name"
    assert refused("--data", data_file, "--run-name", "mine") == taken
    config = {"method": "wgan", "hyperparameters": {}, "data_set": {}}
    (models / "config.json").write_text(json.dumps(config))
    assert refused("--data", data_file, "--run-name", "mine") == (
        f"{taken}, or go on with: python wgan.py --resume mine"
    )


def test_one_folder_for_everything_and_names_that_count_on(place, data_file):
    Path("out/stub-1").mkdir(parents=True)
    Path("out/stub-1/mine.txt").touch()
    train("--data", data_file, "--steps", 1, "--images-dir", "out", "--models-dir", "out")
    assert {path.name for path in Path("out/stub-2").iterdir()} >= {
        "answers.csv", "checkpoints", "config.json", "examiner.keras", "generator-current.keras",
        "generator.keras", "health.csv", "history.csv", "index.html", "reals.png",
        "step_0000000.png", "step_0000001.png", "training.gif",
    }  # fmt: skip
    assert [path.name for path in Path("out/stub-1").iterdir()] == ["mine.txt"]


# Runs that are resumed --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def three_steps(tmp_path_factory, data_file) -> Path:
    """A folder with three steps of a run called ``short``."""
    folder = tmp_path_factory.mktemp("short")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(backend, "compile_step", lambda step, state: step)
        train("--data", data_file, "--steps", 3, "--run-name", "short")
    return folder


@pytest.fixture
def short_run(place, three_steps) -> Path:
    """A copy of that run, where the test is; its networks and checkpoints."""
    shutil.copytree(three_steps, place, dirs_exist_ok=True)
    return Path("saved_models/short")


def not_resumed(*arguments: object, error: type[Exception] = UserError) -> str:
    with pytest.raises(error) as refused:
        train("--resume", *arguments)
    return str(refused.value)


def told(line: str) -> list[str]:
    """The options of the command that a line says the run goes on with."""
    python, script, *options = shlex.split(line.rpartition("go on with: ")[2])
    assert (python, script) == ("python", "stub.py")
    return options


def test_a_run_that_has_ended_goes_on_with_the_line_told(short_run, capsys):
    """For as long again, whether it counts steps or epochs, and whoever says so."""
    train(*told(not_resumed("saved_models/short/")))
    assert "done at step 6" in capsys.readouterr().out
    train("--resume", "images/short", "--epochs", 2)
    line = capsys.readouterr().out
    assert "done at step 10 (2.0 epochs)" in line
    assert told(line) == ["--resume", "short", "--epochs", "4"]
    train(*told(line))
    assert "done at step 20 (4.0 epochs)" in capsys.readouterr().out
    assert told(not_resumed("short", "--steps", 2)) == ["--resume", "short", "--steps", "40"]


def test_a_run_is_named_by_its_folders_and_by_no_other(short_run, place):
    Path("elsewhere").mkdir()
    for name in (
        "saved_models/../short",
        "saved_models/..",
        "elsewhere/short",
        "~no such person/short",
    ):
        assert not_resumed(name) == (
            f"--resume {name!r}: must be letters, digits, '.', '_' and '-', starting with a letter "
            "or digit, or its folder in images or saved_models"
        )
    shutil.copytree("saved_models", "elsewhere/saved")
    assert not_resumed("elsewhere/saved/short") == (
        "--resume elsewhere/saved/short: not in saved_models; expected --resume short --models-dir "
        "elsewhere/saved"
    )
    assert not_resumed("short", "--models-dir", "elsewhere/saved").startswith("--resume short: it")
    assert not_resumed("") == "--resume '': is empty; expected the name of a run"
    shutil.move("images", "pictures")
    config = short_run / "config.json"
    config.write_text(config.read_text().replace('"images"', '"pictures"'))
    assert not_resumed(place / "pictures" / "short").startswith("--resume short: it has made its 3")


@pytest.mark.parametrize("locked", ["images/short", "saved_models/short/checkpoints", "images"])
def test_a_resumed_run_writes_in_its_own_folders_and_nowhere_else(short_run, monkeypatch, locked):
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: str(path) != locked and access(path, mode))
    if locked == "images":
        train("--resume", "short", "--steps", 4)
    else:
        assert not_resumed("short", "--steps", 4) == f"--resume short: {locked} is not writable"


def test_a_run_that_is_not_there(short_run):
    assert not_resumed("long") == (
        "--resume long: saved_models/long/config.json does not exist; there are short"
    )
    assert not_resumed("x", "--models-dir", "no") == (
        "--resume x: no/x/config.json does not exist; there is no run in no"
    )


def test_a_file_where_a_runs_pictures_were(short_run):
    shutil.rmtree("images")
    Path("images").mkdir()
    Path("images/short").touch()
    assert not_resumed("short", "--steps", 4) == "--resume short: images/short is not a folder"


def test_resuming_with_other_networks(short_run):
    assert not_resumed("short", "--latent-dim", 6) == (
        "--latent-dim 6: run short has 5, which a resumed run keeps; leave the option out or start "
        "a new run"
    )
    assert not_resumed("short", "--sample_rows", 3).startswith("--sample-rows 3: run short")
    assert not_resumed("short", "--classes", "folder").startswith(
        "--classes folder: run short has '', which a resumed run keeps; "
    )
    assert not_resumed("short", "--run-name", "new").startswith("--run-name new: run short")
    path = short_run / "config.json"
    path.write_text(path.read_text().replace('"method": "stub"', '"method": "wgan"'))
    assert not_resumed("short") == "--resume short: was made by wgan.py, not by stub.py"


def test_resuming_what_is_done(short_run):
    assert not_resumed("short") == (
        "--resume short: it has made its 3 steps (0.6 epochs); go on with: python stub.py --resume "
        "short --steps 6"
    )


def test_resuming_on_pictures_that_changed(place):
    write_dataset("own.h5", blobs(8), [str(i) for i in range(8)])
    train("--data", "own.h5", "--steps", 2)
    Path("own.h5").unlink()
    write_dataset("own.h5", blobs(8, seed=1), [str(i) for i in range(8)])
    assert not_resumed("stub-1", "--steps", 4) == (
        "--data own.h5: its pictures are no longer those that run stub-1 began with; bring them "
        "back, or give another --data to go on with that"
    )


@pytest.mark.parametrize("steps", [3, 5])
def test_a_damaged_checkpoint_falls_back_on_the_one_before(short_run, capsys, steps):
    last = short_run / "checkpoints" / "step_0000003.npz"
    own_copy = last.with_name("step_0000003-good.npz")
    own_copy.write_bytes(last.read_bytes())
    content = bytearray(last.read_bytes())
    # A header between two arrays has bytes that nobody reads.
    with zipfile.ZipFile(last) as archive:
        largest = max(archive.infolist(), key=lambda member: member.compress_size)
    content[largest.header_offset + largest.compress_size // 2] ^= 0xFF
    last.write_bytes(content)
    train("--resume", "short", "--steps", steps, "--keep-checkpoints", 1)
    captured = capsys.readouterr()
    assert "step_0000003.npz is damaged" in captured.err
    assert f"done at step {steps}" in captured.out
    assert sorted(path.name for path in last.parent.iterdir()) == sorted(
        ["step_0000003-good.npz", "step_0000003.npz.damaged", f"step_{steps:07d}.npz"]
    )
    if steps == 3:
        assert_same_state(last, own_copy)


def test_no_checkpoint_is_whole(short_run):
    for path in (short_run / "checkpoints").iterdir():
        path.write_bytes(path.read_bytes()[:1000])
    assert "step_0000003.npz is damaged" in not_resumed("short", "--steps", 5)
    assert len(list((short_run / "checkpoints").iterdir())) == 2


def test_checkpoints_that_mean_harm_or_are_of_other_networks(short_run):
    def replace_weights(weights: np.ndarray) -> None:
        for path in (short_run / "checkpoints").iterdir():
            with np.load(path, allow_pickle=True) as archive:
                arrays = dict(archive.items())
            np.savez(path, **arrays | {"generator/0000": weights})

    replace_weights(np.array({"a": 1}, dtype=object))
    assert "Object arrays cannot be loaded" in not_resumed("short", "--steps", 5)
    replace_weights(np.zeros(3))
    assert not_resumed("short", "--steps", 5) == (
        "saved_models/short/checkpoints/step_0000003.npz holds other networks: generator/0000 is "
        "(3,) there and (5,) here"
    )


def test_a_damaged_config(short_run):
    path = short_run / "config.json"
    good = path.read_text()
    damaged = "--resume short: saved_models/short/config.json is damaged ("
    for text in ('{"method": "st', "[]", '{"hyperparameters": {}}', '{"hyperparameters": 3}'):
        path.write_text(text)
        assert not_resumed("short").startswith(damaged)
    for wrong in ('"batch_size": "4"', '"batch_size": null', '"batch_size": [4]'):
        path.write_text(good.replace('"batch_size": 4', wrong))
        assert not_resumed("short").startswith(
            "--resume short: its config.json is damaged or from another version: batch_size is"
        )


def test_a_copied_run_is_a_run_of_its_own(short_run, capsys):
    copy = short_run.with_name("copy")
    shutil.copytree(short_run, copy)
    before = {path: path.read_bytes() for path in short_run.rglob("*") if path.is_file()}
    train("--resume", "copy", "--steps", 4)
    assert "run copy: pictures in images/copy/" in capsys.readouterr().out
    assert (copy / "checkpoints" / "step_0000004.npz").exists()
    assert before == {path: path.read_bytes() for path in short_run.rglob("*") if path.is_file()}


# Numbers that are none --------------------------------------------------------------------------


def test_a_loss_that_becomes_nan(short_run, monkeypatch):
    config = (short_run / "config.json").read_text()
    step = Stub.train_step
    with monkeypatch.context() as broken:
        broken.setattr(
            Stub, "train_step", lambda self, given: step(self, given) | {"d_loss": np.nan}
        )
        message = not_resumed(
            "short", "--steps", 60, "--history-interval", 1, "--learning-rate", 0.2, error=RunError
        )
    assert message == (
        "d_loss became nan at step 4: lower --learning-rate; the checkpoint of step 3 is intact; "
        "go on with: python stub.py --resume short --steps 60 --history-interval 1 "
        "--learning-rate 0.1"
    )
    saved = checkpoints.Checkpoints(short_run / "checkpoints", keep=3)
    assert saved.steps()[-1] == 3
    # And the run is as it was, with the learning rate that was good.
    assert (short_run / "config.json").read_text() == config
    train(*told(message))
    assert saved.steps()[-1] == 60


@pytest.mark.parametrize(
    ("options", "given", "lower"),
    [
        (dcgan, {}, {"generator_learning_rate": 2e-4, "discriminator_learning_rate": 5e-5}),
        (dcgan, {"discriminator_learning_rate": 1.0}, {"discriminator_learning_rate": 1e-4}),
        (r3gan, {"learning_rate": (0.1, 1e-5)}, {"learning_rate": (2e-4, 1e-5)}),
    ],
)
def test_learning_rates_that_are_told_are_lower(options, given, lower):
    assert lower_learning_rates(options.Hyperparameters(**given)) == lower


def test_learning_rates_that_blow_everything_up(short_run, monkeypatch):
    """Losses can stay finite behind a normalisation that divides by infinity."""
    drawn = []
    monkeypatch.setattr(Report, "_curves", lambda self, history: drawn.append(history.rows[-1][0]))
    step = Stub.train_step

    def blow_up(self: Stub, given: np.ndarray) -> dict[str, object]:
        results = step(self, given)
        self.generator.trainable_variables[-1].assign_add(np.full(3072, np.inf, np.float32))
        return results | {"d_loss": 0.0, "d_real": 0.0, "g_loss": 0.0, "g_gradient_first": 0.0}

    monkeypatch.setattr(Stub, "train_step", blow_up)
    message = not_resumed(
        "short", "--steps", 60, "--checkpoint-interval", 5, "--history-interval", 5, error=RunError
    )
    assert re.fullmatch(
        r"\S+ is no longer finite at step 5: lower the learning rates; the checkpoint of step 3 is "
        r"intact; go on with: python stub\.py --resume short .*--learning-rate 0\.05",
        message,
    )
    assert checkpoints.Checkpoints(short_run / "checkpoints", keep=3).steps()[-1] == 3
    assert drawn == [5]  # the curves show how it came about


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
    assert resume_command(h) == "python dcgan.py --resume mine --models-dir 'my models'"


def test_nobody_need_listen_and_no_settings_change_what_is_trained(tmp_path, data_file):
    (tmp_path / "keras.json").write_text(
        json.dumps({"image_data_format": "channels_first", "floatx": "float16",
                    "backend": "tensorflow", "epsilon": 0.01, "nnx_enabled": True})
    )  # fmt: skip
    (tmp_path / "matplotlibrc").write_text("text.usetex: True\nfigure.dpi: 0.1\n")
    command = [sys.executable, REPOSITORY / "dcgan.py", *TINY, "--data", data_file, "--steps", "1"]
    command = f"{shlex.join(map(str, command))} >&- 2>&-"
    environment = os.environ | {
        "KERAS_HOME": str(tmp_path), "MPLBACKEND": "nonsense", "MPLCONFIGDIR": "/proc/none",
        "TQDM_MININTERVAL": "soon", "PYTHONWARNINGS": "error", "PYTHONOPTIMIZE": "2",
    }  # fmt: skip
    assert subprocess.run(["bash", "-c", command], cwd=tmp_path, env=environment).returncode == 0
    models = tmp_path / "saved_models/dcgan-1"
    assert (models / "checkpoints/step_0000001.npz").exists()
    discriminator = keras.models.load_model(models / "discriminator.keras")
    assert discriminator.input_shape == (None, 32, 32, 3)
    assert discriminator.layers[1].compute_dtype == "float32"
    for name in ("architecture.png", "answers.png", "training.gif", "index.html"):
        assert (tmp_path / "images/dcgan-1" / name).exists()


def test_a_reader_that_has_enough_is_no_error(tmp_path):
    command = f"{sys.executable} {REPOSITORY / 'prepare_dataset.py'} --help | head -1"
    result = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True)
    assert "Traceback" not in result.stderr
    assert "usage: python prepare_dataset.py SOURCES" in result.stdout


@pytest.mark.parametrize(
    ("environment", "end"),
    [
        ({"KERAS_BACKEND": "nothing"}, ""),
        ({"KERAS_HOME": "home"}, ", or mend home/keras.json"),
    ],
)
def test_a_keras_backend_that_is_not_there_and_a_keras_json_that_is_none(
    tmp_path, environment, end
):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "keras.json").write_text("[]")
    result = run_script("dcgan.py", folder=tmp_path, environment=environment)
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith("error: Keras and its backend cannot be loaded (")
    assert result.stderr.endswith(f"); set KERAS_BACKEND to tensorflow, jax or torch{end}\n")


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
