"""evaluate.py as a person runs it, and the scores that a training takes by itself."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

import evaluate
from tests.conftest import TINY, blobs, run_script
from tests.test_runs import read_history
from utils.common.pictures import read_picture
from utils.data.hdf5 import write_dataset
from utils.training.snapshots import read_best

ARGUMENTS = [*TINY, "--holdout", "0.3", "--score-interval", "4", "--history-interval", "2"]


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two runs on 200 pictures, 60 of them held out."""
    folder = tmp_path_factory.mktemp("scored")
    write_dataset(folder / "blobs.h5", blobs(200), [""] * 200)
    for name in ("one", "two"):
        result = run_script(
            "dcgan.py", *ARGUMENTS, "--data", "blobs.h5", "--steps", 12, "--run-name", name,
            "--seed", len(name) + (name == "two"), folder=folder,
        )  # fmt: skip
        assert result.returncode == 0, result.stderr
        assert "140 pictures and 60 held out" in result.stdout
    return folder


def test_a_training_scores_itself_and_keeps_the_best(scored):
    rows = read_history(scored / "images" / "one")
    scores = {int(row["step"]): float(row["f_score"]) for row in rows}
    assert [step for step, score in scores.items() if not math.isnan(score)] == [4, 8, 12]
    folder = scored / "saved_models" / "one" / "best"
    best = json.loads((folder / "score.json").read_text())
    assert best.keys() == {"step", "f_score", "kid"}
    assert best["f_score"] == pytest.approx(max(scores[step] for step in (4, 8, 12)), rel=1e-6)
    assert scores[best["step"]] == pytest.approx(best["f_score"], rel=1e-6)
    for name in ("generator", "generator-current", "discriminator"):
        keras.models.load_model(folder / f"{name}.keras")
    assert not folder.with_name("best.new").exists()
    assert not folder.with_name("best.old").exists()


def test_scores_of_a_resumed_run_are_exact(scored):
    for steps, run in ((6, ["--run-name", "halves"]), (12, ["--resume", "halves"])):
        options = [*ARGUMENTS, "--data", "blobs.h5", "--seed", 3] if steps == 6 else []
        result = run_script("dcgan.py", *options, *run, "--steps", steps, folder=scored)
        assert result.returncode == 0, result.stderr
    whole, halves = (read_history(scored / "images" / name) for name in ("one", "halves"))
    assert [row["f_score"] for row in whole] == [row["f_score"] for row in halves]
    best = [
        (scored / "saved_models" / name / "best" / "score.json").read_text()
        for name in ("one", "halves")
    ]
    assert best[0] == best[1]


def test_the_table(scored):
    result = run_script("evaluate.py", "one", folder=scored)
    assert result.returncode == 0, result.stderr
    head, _, columns, *lines = result.stdout.splitlines()
    assert head == (
        "run one: 60 generated images against as many real ones, random features; in brackets, "
        "steps"
    )
    for name in ("floor", "last, averaged (12)", "last, current (12)", "best, averaged ("):
        assert name in columns
    names = [line.split()[0] for line in lines if line and not line.startswith("generated")]
    assert names == [
        "kid", "f_score", "precision", "recall", "density", "coverage", "swd", "swd_32", "swd_16",
        "diversity", "diversity_reals", "sharpness", "copies", "closeness",
    ]  # fmt: skip
    picture = np.asarray(read_picture(scored / "images" / "one" / "nearest.png"))
    assert picture.shape == (10 * 34 + 2, 6 * 34 + 2, 3)


def test_json_is_alone_on_standard_output(scored):
    result = run_script("evaluate.py", "one", "--json", folder=scored)
    assert result.returncode == 0, result.stderr
    (evaluation,) = json.loads(result.stdout)
    assert (evaluation["run"], evaluation["pictures"]) == ("one", 60)
    assert evaluation["steps"]["last, averaged"] == 12
    assert (
        evaluation["floor"]["coverage"] > 0.5 > evaluation["scores"]["last, averaged"]["coverage"]
    )
    again = json.loads(run_script("evaluate.py", "one", "--json", folder=scored).stdout)
    assert again == [evaluation]


def test_runs_side_by_side(scored):
    result = run_script("evaluate.py", "--compare", "one", "two", folder=scored)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[0].split()[:3] == ["floor", "one", "two"]
    assert result.stdout.endswith("chart: images/comparison.png\n")
    assert read_picture(scored / "images" / "comparison.png").width > 1000


def test_runs_on_different_pictures(monkeypatch, capsys, tmp_path):
    def evaluated(run: str, options: evaluate.Options) -> evaluate.Evaluation:
        floor = {"kid": float(len(run))}
        return evaluate.Evaluation(run, 60, floor, {"last, averaged": {"kid": 9.0}}, {}, run[0])

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(evaluate, "evaluate", evaluated)
    monkeypatch.setattr(evaluate, "open_run", lambda run, options: None)
    monkeypatch.setattr(sys, "argv", ["evaluate.py", "--compare", "one", "other", "two", "one"])
    evaluate.main()
    printed = capsys.readouterr()
    assert printed.err.startswith("--compare: these runs are scored against different pictures, ")
    assert printed.out.splitlines()[:2] == [
        "     floor  one  other  floor of two  two",
        "kid      3    9      9             3    9  distance of the distributions, x 1000; less is "
        "better",
    ]
    monkeypatch.setattr(sys, "argv", ["evaluate.py", "--compare", "one", "other"])
    evaluate.main()
    assert capsys.readouterr().err == ""


def test_pictures_that_the_run_never_saw(scored):
    write_dataset(scored / "others.h5", blobs(55, seed=9), [""] * 55)
    result = run_script("evaluate.py", "one", "--data", "others.h5", "--json", folder=scored)
    assert result.returncode == 0, result.stderr
    (evaluation,) = json.loads(result.stdout)
    assert (evaluation["pictures"], evaluation["floor"]) == (55, {})


def refused(*arguments: object, folder: Path) -> str:
    result = run_script("evaluate.py", *arguments, folder=folder)
    assert result.returncode == 2
    assert "Traceback" not in result.stderr
    return result.stderr.splitlines()[-1].removeprefix("evaluate.py: error: ")


def test_mistakes(scored, tmp_path):
    assert refused(folder=scored) == "RUN: which run? Give its name, or --compare and several"
    assert refused("three", folder=scored).startswith(
        "RUN three: saved_models/three/config.json does not exist; there are "
    )
    unscored = run_script("evaluate.py", "--compare", "one", "three", folder=scored)
    assert unscored.stderr.startswith("evaluate.py: error: RUN three: ")
    assert refused("../one", folder=scored).startswith("RUN '../one': must be letters, digits")
    assert refused("one", "--images", 20, folder=scored) == (
        "--images 20: wanted at least 50, or 0 for all held out"
    )
    assert refused("one", "--seed", -1, folder=scored).startswith("--seed -1: must be from 0 to ")
    write_dataset(scored / "few.h5", blobs(20), [""] * 20)
    assert refused("one", "--data", "few.h5", folder=scored) == (
        "one: 20 pictures to score against, wanted at least 50; give --data with pictures that it "
        "was not trained on"
    )
    write_dataset(scored / "larger.h5", blobs(60, size=64), [""] * 60)
    assert refused("one", "--data", "larger.h5", folder=scored) == (
        "--data larger.h5: holds pictures of 64 px, wanted 32 px as of the run"
    )


def test_pictures_of_one_colour_each(scored):
    plain = np.empty((60, 32, 32, 3), np.uint8)
    plain[:] = np.arange(60)[:, None, None, None]
    write_dataset(scored / "plain.h5", plain, [""] * 60)
    result = run_script("evaluate.py", "one", "--data", "plain.h5", "--json", folder=scored)
    assert result.returncode == 0, result.stderr
    (scores,) = [each["scores"]["last, averaged"] for each in json.loads(result.stdout)]
    assert {"kid", "swd", "f_score"} <= scores.keys()
    assert "sharpness" not in scores  # there is nothing to compare it with


def test_scores_outlive_a_folder_that_cannot_be_written(scored):
    (scored / "file").touch()
    result = run_script("evaluate.py", "one", "--images-dir", "file", folder=scored)
    assert result.returncode == 0, result.stderr
    assert "file/one/nearest.png: cannot be written: Not a directory" in result.stderr
    assert "f_score" in result.stdout


def test_a_network_that_is_damaged(scored):
    path = scored / "saved_models" / "two" / "generator.keras"
    good = path.read_bytes()
    path.write_bytes(good[:1000])
    try:
        message = refused("two", folder=scored)
    finally:
        path.write_bytes(good)
    assert message.startswith("saved_models/two/generator.keras: is damaged or no Keras network: ")


def test_a_config_without_what_is_needed(scored):
    path = scored / "saved_models" / "two" / "config.json"
    good = path.read_text()
    path.write_text('{"method": "dcgan", "hyperparameters": {}, "data_set": {}}')
    try:
        message = refused("two", folder=scored)
    finally:
        path.write_text(good)
    assert message == "RUN two: its config.json is damaged: no 'data'"


def test_pictures_that_have_changed(scored):
    path = scored / "blobs.h5"
    good = path.read_bytes()
    write_dataset(path, blobs(200, seed=5), [""] * 200)
    try:
        message = refused("one", folder=scored)
    finally:
        path.write_bytes(good)
    assert message.startswith("--data blobs.h5: its pictures are no longer those of the run;")


def test_the_best_networks_survive_a_kill_between_two_renames(tmp_path):
    old = tmp_path / "best.old"
    old.mkdir()
    (old / "score.json").write_text('{"step": 4, "kid": 2.5}')
    assert read_best(tmp_path / "best", ["kid"]) == {"step": 4.0, "kid": 2.5}
    assert (tmp_path / "best").exists()
    assert not old.exists()
    assert read_best(tmp_path / "best") == {"step": 4.0, "kid": 2.5}
    assert read_best(tmp_path / "best", ["swd"]) == {}
    assert read_best(tmp_path / "nothing", ["kid"]) == {}
