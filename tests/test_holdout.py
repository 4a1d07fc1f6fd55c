"""Pictures kept from training: which, that no step sees them, and that a resumed run keeps them."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import blobs
from tests.run_files import read_rows, read_state
from tests.stub import Hyperparameters, Stub, train
from utils.common.errors import UserError
from utils.data import order
from utils.data.dataset import Dataset
from utils.data.hdf5 import write_dataset
from utils.data.order import held_out
from utils.scoring import weights
from utils.training import best as best_networks
from utils.training.split import open_split


def test_the_choice_is_the_same_for_every_run():
    chosen = held_out(1000, 0.2)
    assert len(chosen) == 200 == len(set(chosen))
    assert np.array_equal(chosen, held_out(1000, 0.2))
    assert np.all(np.diff(chosen) > 0)
    # Spread over the whole set.
    assert all(
        np.sum((chosen >= start) & (chosen < start + 250)) > 30 for start in (0, 250, 500, 750)
    )
    assert len(held_out(1000, 0)) == 0
    assert set(held_out(1000, 0.1)) < set(chosen)


def test_there_is_a_most(monkeypatch):
    monkeypatch.setattr(order, "MOST_HELD_OUT", 7)
    assert len(held_out(1000, 0.2)) == 7


def test_a_picture_and_its_mirror_image_stay_together():
    files = np.array([f"{number:x}" for number in range(500)] * 2, object)
    chosen = held_out(1000, 0.2, files)
    assert len(chosen) == 200 == len(set(chosen))
    assert np.array_equal(chosen[:100] + 500, chosen[100:])
    # A file whose pictures would be torn apart is trained on.
    assert len(held_out(1000, 0.201, files)) == 200
    assert len(held_out(3, 0.5, np.array(["a", "a", "a"], object))) == 0


@pytest.mark.parametrize(
    ("count", "files", "least", "number"),
    [(99, 99, 50, 20), (100, 100, 50, 50), (248, 248, 50, 50), (400, 400, 50, 80),
     (200, 100, 51, 52), (120, 2, 50, 60), (130, 2, 66, 0)],
)  # fmt: skip
def test_a_few_pictures_are_held_out_in_any_case(count, files, least, number):
    """Where as many are left, and in whole files."""
    names = np.array([f"{row % files:x}" for row in range(count)], object)
    least = least if count >= 2 * least else 0
    assert len(held_out(count, 0.2, names, least)) == number


@pytest.mark.parametrize(
    ("count", "batches", "number", "hint"),
    [
        (99, 1, 20, "take 100 pictures or more"),
        (100, 1, 50, ""),
        (240, 1, 50, ""),
        (100, 20, 20, "take 130 pictures or more"),
        (130, 20, 50, ""),
    ],
)
def test_few_pictures_are_scored_where_they_can_be(place, count, batches, number, hint):
    write_dataset("few.h5", blobs(count), [""] * count)
    h = Hyperparameters(data="few.h5", holdout=0.2, batches=batches)
    split = open_split(h, None)
    assert len(split.held_out) == number
    if hint:
        assert split.hint(h) == hint
    # A resumed run keeps those that it held out.
    config = {"hyperparameters": asdict(h), "data_set": split.origin | {"held_out": [1, 2, 3]}}
    assert len(open_split(h, config).held_out) == 3


@pytest.mark.parametrize("unknown", [True, False])
def test_pictures_of_different_files_are_drawn_as_ever(unknown):
    files = np.array([""] * 1000 if unknown else [f"{n:x}" for n in range(1000)], object)
    assert np.array_equal(held_out(1000, 0.2, files), held_out(1000, 0.2))


def test_a_prepared_set_with_mirror_images_is_not_seen_in_the_mirror(place):
    images = blobs(10)
    both = np.concatenate([images, images[:, :, ::-1]])
    files = {"sha256": np.array([f"{number:064x}" for number in range(10)] * 2)}
    write_dataset("a.h5", both, [""] * 20, files)
    split = open_split(Hyperparameters(data="a.h5", holdout=0.3), None)
    kept = np.array(split.origin["held_out"])
    assert len(kept) == 6 == len(split.held_out)
    assert np.array_equal(kept[:3] + 10, kept[3:])


def test_the_same_picture_twice_in_a_folder_is_one_file():
    twice = Dataset(np.concatenate([blobs(5), blobs(5)]), [""] * 10)
    files = twice.files()
    assert len(set(files)) == 5
    assert np.array_equal(files[:5], files[5:])
    chosen = held_out(10, 0.4, files)
    assert np.array_equal(chosen[:2] + 5, chosen[2:])


def test_a_part_of_a_set():
    images = blobs(6)
    whole = Dataset(images, list("abcdef"), {"number": np.arange(6)}, "x", "y")
    part = whole.part(np.array([1, 4]))
    assert np.array_equal(part.images, images[[1, 4]])
    assert (part.names, part.attributes["number"].tolist()) == (["b", "e"], [1, 4])
    assert (part.source, part.made_by) == ("x", "y")


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("budget", [(), ("--memory-budget", "0.00002")])
def test_steps_see_all_the_others_and_none_of_them(place, monkeypatch, capsys, budget, mirror):
    seen: list[bytes] = []

    def train_step(self: Stub, real_batches: np.ndarray) -> dict[str, float]:
        seen.extend(image.tobytes() for image in np.asarray(real_batches)[0])
        return {"d_loss": 1.0, "g_loss": 1.0}

    images = blobs(20)
    write_dataset("a.h5", images, [""] * 20)
    monkeypatch.setattr(Stub, "train_step", train_step)
    arguments = ["--holdout", 0.3, *budget, "--data", "a.h5", "--epochs", 2, "--batch-size", 7]
    folders = train(*arguments, *["--mirror"] * mirror)
    output = capsys.readouterr().out
    assert "14 pictures and 6 held out, 32 px" in output
    assert "no scores, no best networks and fewer alarms: 6 pictures are held out" in output
    assert ("streamed" in output) == bool(budget)
    others = np.delete(images, held_out(20, 0.3), axis=0)
    if mirror:
        others = np.concatenate([others, others[:, :, ::-1]])
    assert sorted(seen) == sorted(2 * [image.tobytes() for image in others])
    config = json.loads(folders.config.read_text())
    assert config["data_set"]["held_out"] == held_out(20, 0.3).tolist()
    assert config["data_set"]["pictures"] == 20


def test_other_pictures_are_scored_anew_and_what_was_best_is_kept(place, monkeypatch, capsys):
    monkeypatch.setattr(best_networks, "FEWEST_SCORED", 8)
    for name, seed in (("a", 0), ("b", 7)):
        write_dataset(f"{name}.h5", blobs(30, seed=seed), [""] * 30)
    models = Path("saved_models/stub-1")
    best, reals = models / "best", Path("images/stub-1/reals.png")

    def resume(*arguments: object) -> str:
        train("--resume", "stub-1", *arguments)
        return capsys.readouterr().out

    def best_step(folder: Path) -> int:
        return json.loads((folder / "score.json").read_text())["step"]

    train("--holdout", 0.3, "--score", "kid", "--score-interval", 3, "--data", "a.h5", "--steps", 3)
    before, were = (best / "generator.keras").read_bytes(), reals.read_bytes()
    assert "other pictures than up to step 3: the search for the best networks" in resume(
        "--data", "b.h5", "--steps", 6
    )
    assert (models / "best-before-3" / "generator.keras").read_bytes() == before
    assert best_step(best) == 6
    assert were != (are := reals.read_bytes())
    reals.unlink()
    # Another spelling of the same file is no other set.
    assert "other pictures" not in resume("--data", "./b.h5", "--steps", 7)
    assert best_step(best) == 6
    config = json.loads((models / "config.json").read_text())
    assert config["data_set"]["pictures_since"] == 3
    assert reals.read_bytes() == are
    # What another score has chosen is not lost either.
    assert (
        "--score swd: the best networks so far, of step 6, were chosen by another score or other "
        "features, and stay as saved_models/stub-1/best-before-7"
    ) in resume("--score", "swd", "--steps", 9)
    folders = ("best-before-3", "best-before-7", "best")
    assert [best_step(models / name) for name in folders] == [3, 6, 9]
    # Nor if the run goes back behind it and is told so a second time.
    for step in (8, 9):
        (models / "checkpoints" / f"step_{step:07}.npz").unlink(missing_ok=True)
    assert "stay as saved_models/stub-1/best-before-7-2" in resume("--score", "kid", "--steps", 8)
    assert best_step(models / "best-before-7") == 6


def test_a_run_with_scores_of_before_goes_on(place, monkeypatch, capsys):
    monkeypatch.setattr(best_networks, "FEWEST_SCORED", 8)
    write_dataset("a.h5", blobs(30), [""] * 30)
    scored = ("--holdout", 0.3, "--score-interval", 3, "--data", "a.h5", "--history-interval", 3)
    folders = train(*scored, "--steps", 3)
    # As it was when scores had no features in their names.
    config = json.loads(folders.config.read_text())
    del config["scoring"], config["hyperparameters"]["features"]
    config["hyperparameters"]["score"] = "f_score"
    folders.config.write_text(json.dumps(config))
    (folders.best / "score.json").write_text('{"step": 3, "f_score": 0.9, "kid": -50}')
    for path in (folders.history, folders.health):
        path.write_text(path.read_text().replace("kid_random_32_39cfc6a3", "kid"))
    train("--resume", "stub-1", "--steps", 6)
    assert (
        "--score kid: the best networks so far, of step 3, were chosen by another score or other "
        "features, and stay as saved_models/stub-1/best-before-3"
    ) in capsys.readouterr().out
    assert json.loads((folders.best / "score.json").read_text())["step"] == 6
    for path in (folders.history, folders.health):
        before, after = read_rows(path)[-2:]
        names = ("kid", "kid_random_32_39cfc6a3")
        assert [before[name] == "nan" for name in names] == [False, True]
        assert [after[name] == "nan" for name in names] == [True, False]


def test_scores_change_nothing_in_the_training(place, monkeypatch):
    monkeypatch.setattr(best_networks, "FEWEST_SCORED", 8)
    write_dataset("a.h5", blobs(30), [""] * 30)
    runs = [
        train("--holdout", 0.3, "--score-interval", 2, "--data", "a.h5", "--steps", 5, *score)
        for score in (("--score", "none"), ("--features", "random"), ("--features", "imagenet"))
    ]
    first, *others = (
        read_state(folders.models / "checkpoints" / "step_0000005.npz") for folders in runs
    )
    for name in {*first} - {"loop/last_score", "loop/scored_by"}:
        for other in others:
            np.testing.assert_array_equal(first[name], other[name], err_msg=name)
    config = json.loads(runs[-1].config.read_text())
    assert config["scoring"] == {"features": "imagenet_128_57934424", "pictures": 9}


def test_a_resumed_run_keeps_its_own(place, data_file, capsys):
    path = train("--holdout", 0.3, "--data", data_file, "--steps", 2).config
    config = json.loads(path.read_text())
    config["data_set"]["held_out"] = [0, 1, 2]
    path.write_text(json.dumps(config))
    train("--resume", "stub-1", "--steps", 4)
    assert "17 pictures and 3 held out" in capsys.readouterr().out
    assert json.loads(path.read_text())["data_set"]["held_out"] == [0, 1, 2]
    with pytest.raises(UserError) as changed:
        train("--resume", "stub-1", "--holdout", 0, "--steps", 5)
    assert str(changed.value) == (
        "--holdout 0.0: run stub-1 has 0.3, which a resumed run keeps; leave the option out or "
        "start a new run"
    )
    path.write_text(json.dumps(config | {"data_set": config["data_set"] | {"held_out": [99]}}))
    with pytest.raises(UserError) as damaged:
        train("--resume", "stub-1", "--steps", 5)
    assert str(damaged.value) == (
        "--resume stub-1: its config.json is damaged: held_out names pictures beyond the 20 there "
        "are"
    )


def test_too_few_pictures_are_left(place, data_file):
    with pytest.raises(UserError) as refused:
        train("--holdout", 0.3, "--data", data_file, "--batch-size", 8, "--batches", 2)
    assert str(refused.value) == (
        f"--batch-size 8: a step takes 16 pictures, and {data_file} has 14 besides 6 held out; "
        "expected at most 7"
    )


def test_missing_weights_are_told_before_anything_is_made(place, monkeypatch):
    monkeypatch.setattr(weights, "weights_file", lambda: None)
    with pytest.raises(UserError, match=r"^--features imagenet: its weights are missing; pip inst"):
        train("--holdout", 0.3, "--features", "imagenet", "--data", "missing.h5")
    assert not Path("images").exists()
