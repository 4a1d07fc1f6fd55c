"""evaluate.py as a person runs it, and the scores that a training takes by itself."""

from __future__ import annotations

import json
import math
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest

import evaluate
from tests.conftest import TINY, blobs, run_script
from tests.run_files import read_history
from utils.common.errors import UserError
from utils.common.pictures import read_picture
from utils.data.hdf5 import write_dataset
from utils.training.snapshots import read_best

ARGUMENTS = [
    *TINY, "--holdout", "0.3", "--score-interval", "4", "--history-interval", "2", "--augmentation",
]  # fmt: skip


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with runs on 200 pictures, 60 of them held out.

    ``two`` is ``one``, but stopped and resumed; ``small-one`` and ``small-two`` are as well, with
    nothing but the averaged generator.
    """
    folder = tmp_path_factory.mktemp("scored")
    write_dataset(folder / "blobs.h5", blobs(200), [""] * 200)
    begin = [*ARGUMENTS, "--data", "blobs.h5", "--seed", 3]
    for arguments in (
        [*begin, "--run-name", "one", "--steps", 12],
        [*begin, "--run-name", "two", "--steps", 6],
        ["--resume", "two", "--steps", 12],
    ):
        result = run_script("dcgan.py", *arguments, folder=folder)
        assert result.returncode == 0, result.stderr
        assert "140 pictures and 60 held out" in result.stdout
        assert "scores: imagenet_128_57934424 features of 60 pictures" in result.stdout
    for name in ("one", "two"):
        small = folder / "saved_models" / f"small-{name}"
        small.mkdir()
        for file in ("config.json", "generator.keras"):
            shutil.copy(small.with_name(name) / file, small)
        (folder / "images" / small.name).mkdir()
    return folder


@pytest.fixture
def run(scored, monkeypatch, capsys) -> Callable[..., tuple[str, str]]:
    """Runs evaluate.py in this process; gives what it printed."""

    def run(*arguments: object) -> tuple[str, str]:
        monkeypatch.chdir(scored)
        monkeypatch.setattr(sys, "argv", ["evaluate.py", *map(str, arguments)])
        capsys.readouterr()
        evaluate.main()
        return capsys.readouterr()

    return run


@pytest.fixture
def refused(scored, monkeypatch, capsys) -> Callable[..., str]:
    """Runs evaluate.py in this process; gives its error."""

    def refused(*arguments: object) -> str:
        monkeypatch.chdir(scored)
        monkeypatch.setattr(sys, "argv", ["evaluate.py", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            evaluate.main()
        assert stop.value.code == 2
        errors = capsys.readouterr().err
        assert "Traceback" not in errors
        return errors.splitlines()[-1].removeprefix("evaluate.py: error: ")

    return refused


def test_a_training_scores_itself_and_keeps_the_best(scored):
    rows = read_history(scored / "images" / "one")
    column = "kid_imagenet_128_57934424"
    scores = {int(row["step"]): float(row[column]) for row in rows}
    assert [step for step, score in scores.items() if not math.isnan(score)] == [4, 8, 12]
    folder = scored / "saved_models" / "one" / "best"
    best = json.loads((folder / "score.json").read_text())
    assert best.keys() == {"step", column}
    assert best[column] == pytest.approx(min(scores[step] for step in (4, 8, 12)), rel=1e-6)
    assert scores[best["step"]] == pytest.approx(best[column], rel=1e-6)
    page = (scored / "images" / "one" / "index.html").read_text()
    assert "imagenet_128_57934424 features of 60 pictures" in page
    for name in ("generator", "generator-current", "discriminator"):
        keras.models.load_model(folder / f"{name}.keras")
    assert not folder.with_name("best.new").exists()
    assert not folder.with_name("best.old").exists()


def test_scores_of_a_resumed_run_are_exact(scored):
    whole, halves = (read_history(scored / "images" / name) for name in ("one", "two"))
    column = "kid_imagenet_128_57934424"
    assert [row[column] for row in whole] == [row[column] for row in halves]
    best = [
        (scored / "saved_models" / name / "best" / "score.json").read_text()
        for name in ("one", "two")
    ]
    assert best[0] == best[1]


def test_the_table(scored):
    result = run_script("evaluate.py", "one", folder=scored)
    assert result.returncode == 0, result.stderr
    head, _, columns, *lines = result.stdout.splitlines()
    assert head == (
        "run one: 60 generated images against as many real ones, imagenet_128_57934424 features; "
        "in brackets, steps"
    )
    assert lines.pop(-2) == (
        "60 pictures are too few for a verdict: small differences are chance; expected at least "
        "100, better 200"
    )
    for name in ("floor", "last, averaged (12)", "last, current (12)", "best, averaged ("):
        assert name in columns
    names = [line.split()[0] for line in lines if line and not line.startswith("generated")]
    assert names == [
        "kid", "f_score", "precision", "recall", "density", "coverage", "swd", "swd_32", "swd_16",
        "sharpness", "likeness", "likeness_reals", "copies", "originality",
    ]  # fmt: skip
    assert lines[0].endswith("distance of the distributions, x 1000; less is better")
    floor, averaged, current = lines[0].split()[1:8:3]
    assert float(floor) < float(averaged) != float(current)
    picture = np.asarray(read_picture(scored / "images" / "one" / "nearest.png"))
    assert picture.shape == (2 * (2 * 22 + 3 * (5 * 34 + 2)), 3 * (6 * 34 + 2), 3)


def test_json_is_alone_on_standard_output(run, scored):
    one, two = json.loads(run("--compare", "small-one", "small-two", "--json").out)
    assert (one["run"], one["pictures"], two["run"]) == ("small-one", 60, "small-two")
    assert one["floor"]["coverage"] > 0.5 > one["scores"]["last, averaged"]["coverage"]
    # The same networks, scored again.
    assert {**two, "run": "small-one"} == one
    assert read_picture(scored / "images" / "comparison.png").width > 1000


def test_runs_side_by_side(monkeypatch, capsys, tmp_path):
    def evaluated(run: str, options: evaluate.Options) -> evaluate.Evaluation:
        floor = {"kid": float(len(run))}
        scores = {"last, averaged": {"kid": 9.0}}
        features = f"random_{64 if run == 'large' else 32}_0123abcd"
        return evaluate.Evaluation(run, 60, floor, scores, {}, run[0], features, ["Small."])

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(evaluate, "look_at", lambda run, options: evaluated(run, options))
    monkeypatch.setattr(evaluate, "evaluate", lambda subject, options: subject)
    monkeypatch.setattr(sys, "argv", ["evaluate.py", "--compare", "one", "other", "two", "one"])
    evaluate.main()
    printed = capsys.readouterr()
    assert printed.err.startswith("--compare: these runs are scored against different pictures, ")
    assert printed.out.splitlines() == [
        "random_32_0123abcd features",
        "",
        "     floor  one  other  floor of two  two",
        "kid      3    9      9             3    9  distance of the distributions, x 1000; less is "
        "better",
        "Small.",
        "",
        "chart: images/comparison.png",
    ]
    assert read_picture(tmp_path / "images" / "comparison.png").width > 1000
    monkeypatch.setattr(sys, "argv", ["evaluate.py", "--compare", "one", "other"])
    evaluate.main()
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys, "argv", ["evaluate.py", "--compare", "one", "large"])
    with pytest.raises(SystemExit):
        evaluate.main()
    assert capsys.readouterr().err.splitlines()[-1] == (
        "evaluate.py: error: --compare: scores of random_32_0123abcd and random_64_0123abcd do "
        "not compare; expected runs of one image size, or --features imagenet"
    )


def test_plain_pictures_that_the_run_never_saw(run, scored):
    plain = np.empty((55, 32, 32, 3), np.uint8)
    plain[:] = np.arange(55)[:, None, None, None]
    write_dataset(scored / "plain.h5", plain, [""] * 55)
    (evaluation,) = json.loads(run("small-one", "--data", "plain.h5", "--json").out)
    assert (evaluation["pictures"], evaluation["floor"]) == (55, {})
    scores = evaluation["scores"]["last, averaged"]
    assert {"kid", "swd", "f_score"} <= scores.keys()
    assert "sharpness" not in scores  # there is nothing to compare it with
    assert "copies" not in scores


@pytest.mark.parametrize(
    ("held_out", "scores"),
    [(60, ["likeness", "likeness_reals", "copies", "originality"]),
     (0, ["likeness", "likeness_reals"])],
)  # fmt: skip
def test_of_few_held_out_copies_are_looked_for(run, scored, monkeypatch, held_out, scores):
    monkeypatch.setattr(evaluate, "FEWEST_IMAGES", 61)
    monkeypatch.setattr(evaluate, "IMAGES_OF_FEW", 8)
    name = f"few-{held_out}"
    models = shutil.copytree(scored / "saved_models/small-one", scored / "saved_models" / name)
    config = json.loads((models / "config.json").read_text())
    config["data_set"]["held_out"] = config["data_set"]["held_out"][:held_out]
    (models / "config.json").write_text(json.dumps(config))
    (scored / "images" / name).mkdir()
    head, _, columns, *lines = run(name).out.splitlines()
    assert head == f"run {name}: generated images against the training pictures; in brackets, steps"
    assert columns.split() == ["last,", "averaged", "(0)"]  # no floor
    assert [line.split()[0] for line in lines[: lines.index("")]] == scores
    assert lines[-2] == (
        f"{held_out} pictures are held out, expected 61 for scores; --data takes others that it "
        "was not trained on"
    )
    picture = read_picture(scored / "images" / name / "nearest.png")
    assert picture.width == 3 * (6 * 34 + 2)


def test_scores_outlive_a_folder_that_cannot_be_written(run, scored, monkeypatch):
    monkeypatch.setattr(evaluate.Scorer, "score", lambda *arguments: {"f_score": 0.5})
    (scored / "file").touch()
    printed = run("small-one", "--images-dir", "file")
    assert "warning: file/small-one/nearest.png cannot be drawn: Not a directory" in printed.err
    assert "f_score" in printed.out


def test_mistakes(refused, scored):
    assert refused() == "RUN: which run? Give its name, or --compare and several"
    assert refused("one", "two", "three") == (
        "two three: belongs to no option; did you mean --compare one two three?"
    )
    assert refused("one", "--compare", "two") == (
        "--compare: and one as well; did you mean --compare one two?"
    )
    for runs in (["images/three"], ["--compare", "one", "saved_models/three/"]):
        assert refused(*runs).startswith(
            "RUN three: saved_models/three/config.json does not exist; there are "
        )
    assert refused("../one").startswith("RUN '../one': must be letters, digits")
    assert refused("one", "--images", 20) == (
        "--images 20: expected at least 50, or 0 for all held out"
    )
    assert refused("one", "--seed", -1).startswith("--seed -1: must be from 0 to ")
    write_dataset(scored / "few.h5", blobs(20), [""] * 20)
    assert refused("one", "--data", "few.h5") == (
        "--data few.h5: 20 pictures to score against, expected at least 50"
    )
    write_dataset(scored / "larger.h5", blobs(60, size=64), [""] * 60)
    assert refused("one", "--data", "larger.h5") == (
        "--data larger.h5: holds pictures of 64 px, expected 32 px as of the run"
    )
    write_dataset(scored / "grey.h5", blobs(60)[..., :1], [""] * 60)
    assert refused("one", "--data", "grey.h5") == (
        "--data grey.h5: holds grey images, expected RGB as of the run"
    )


def test_all_runs_are_looked_at_before_the_first_is_scored(refused, scored, monkeypatch):
    monkeypatch.setattr(evaluate, "evaluate", lambda *_: pytest.fail("it scores already"))
    path = scored / "saved_models" / "small-two" / "generator.keras"
    good = path.read_bytes()
    path.write_bytes(good[:1000])
    try:
        message = refused("--compare", "images/one", "saved_models/small-two/")
    finally:
        path.write_bytes(good)
    assert message.startswith("saved_models/small-two/generator.keras: is damaged")


@pytest.mark.parametrize(
    ("path", "damaged", "message"),
    [
        (
            "saved_models/small-one/generator.keras",
            lambda path: path.write_bytes(path.read_bytes()[:1000]),
            "saved_models/small-one/generator.keras: is damaged or no Keras network: ",
        ),
        (
            "saved_models/small-one/generator.keras",
            lambda path: path.write_bytes(path.read_bytes().replace(b"config.", b"config_")),
            "saved_models/small-one/generator.keras: is damaged or no Keras network: ",
        ),
        (
            "saved_models/small-one/generator.keras",
            lambda path: path.write_bytes(path.read_bytes().replace(b"PK\1\2", b"PK\1\3")),
            "saved_models/small-one/generator.keras: is damaged or no Keras network: ",
        ),
        (
            "saved_models/small-one/generator.keras",
            Path.unlink,
            "small-one: saved_models/small-one/generator.keras does not exist",
        ),
        (
            "saved_models/small-one/config.json",
            lambda path: path.write_text('{"method": "", "hyperparameters": {}, "data_set": {}}'),
            "RUN small-one: its config.json is damaged: no 'data'",
        ),
        (
            "blobs.h5",
            lambda path: write_dataset(path, blobs(200, seed=5), [""] * 200),
            "--data blobs.h5: its pictures are no longer those of the run;",
        ),
    ],
)
def test_files_that_have_changed(refused, scored, monkeypatch, path, damaged, message):
    monkeypatch.setattr(evaluate.Scorer, "floor", lambda scorer: {})
    good = (scored / path).read_bytes()
    damaged(scored / path)
    try:
        assert refused("small-one").startswith(message)
    finally:
        (scored / path).write_bytes(good)


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


@pytest.mark.parametrize("text", ["", "[]", '{"step": 4, "kid": "x"}', '{"kid": 2}', "\xff"])
def test_best_networks_of_which_the_score_is_lost_are_not_written_over(tmp_path, text):
    (tmp_path / "best").mkdir()
    (tmp_path / "best" / "score.json").write_text(text, encoding="latin-1")
    with pytest.raises(UserError, match=r"best/score\.json: is damaged .*, or rename "):
        read_best(tmp_path / "best", ["kid"])
