"""The small objects that the loop calls, each by itself and with a stub in place of a method."""

from __future__ import annotations

import dataclasses
import functools
import io
import math
import resource
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
from tqdm import tqdm

from tests.conftest import blobs
from tests.run_files import read_rows
from tests.stub import Hyperparameters, Stub, train
from utils import backend
from utils.common import grids
from utils.common.errors import RunError
from utils.data.dataset import Dataset
from utils.models.adversarial import kernel_size
from utils.scoring.similarity import alikeness
from utils.training.best import BestNetworks, Scoring
from utils.training.folders import Folders
from utils.training.health import HealthCheck
from utils.training.method import discriminator_name, trained_networks
from utils.training.probing import RunProbe
from utils.training.progress import Progress, ProgressBar
from utils.training.record import Record
from utils.training.report import Report
from utils.training.signals import StopRequest
from utils.training.snapshots import read_best
from utils.training.trainer import Trainer
from utils.training.writer import BackgroundWriter
from utils.watching.alarms import Alarm, Health
from utils.watching.answers import Answers

COMPILE = backend.compile_step


@pytest.fixture(autouse=True)
def _eager(monkeypatch):
    monkeypatch.setattr(backend, "compile_step", lambda step, state: step)


def trainer_of(images: np.ndarray, **options: object) -> Trainer:
    h = Hyperparameters(image_size=32, **options)
    return Trainer(Stub(h), h, Dataset(images, []))


# Steps ------------------------------------------------------------------------------------------


def test_every_picture_and_its_mirror_image_is_seen_once_an_epoch(monkeypatch):
    images = blobs(6)
    trainer = trainer_of(images, batch_size=3, batches=2, mirror=True)
    batches: list[np.ndarray] = []
    monkeypatch.setattr(
        trainer.method, "train_step", lambda given: {"x": batches.append(np.asarray(given))}
    )
    both = [image.tobytes() for image in images] + [x[:, ::-1].tobytes() for x in images]
    for _ in range(2):
        batches.clear()
        for _ in range(2):
            trainer.one_step()
        assert batches[0].shape == (2, 3, 32, 32, 3)
        assert batches[0].dtype == np.uint8
        seen = np.concatenate(batches).reshape(12, 32, 32, 3)
        assert sorted(image.tobytes() for image in seen) == sorted(both)
    assert (trainer.progress.step, trainer.progress.images_seen) == (4, 24)


def test_images_come_back_from_the_device_as_they_were():
    for shape in ((32, 32, 3), (64, 64, 3), (32, 32, 1), (32, 32, 4)):
        images = np.random.default_rng(0).integers(0, 256, (7, *shape), dtype=np.uint8)
        taken = backend.take_images(backend.images_to_device(images), np.array([6, 0, 6]), shape)
        np.testing.assert_array_equal(np.asarray(taken), images[[6, 0, 6]])


def test_samples_are_made_by_whole_batches_of_the_average():
    trainer = trainer_of(blobs(6))
    latents = np.random.default_rng(0).standard_normal((6, 5)).astype(np.float32)
    sampled, average = trainer.sample(latents), trainer.method.average.network
    normalization = average.layers[1]
    # Of what it is made ready with, 32 vectors of N(0, 1).
    assert 0 < np.abs(np.asarray(normalization.moving_mean)).max() < 0.7
    expected = np.clip(np.rint(np.asarray(average(latents)) * 127.5 + 127.5), 0, 255)
    assert np.abs(sampled - expected).max() <= 1
    assert len(trainer.first_indices(99)) == 6


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads memory from /proc")
def test_memory_does_not_grow_over_2000_steps(tmp_path, data_file, monkeypatch):
    memory: list[int] = []

    def measure(_: Path) -> None:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        memory.append(pages * resource.getpagesize())

    monkeypatch.setattr(backend, "compile_step", COMPILE)
    monkeypatch.setattr(Report, "now_and_then", lambda _: None)
    train(
        "--data", data_file, "--steps", 3500, "--sample-interval", 500, "--images-dir", tmp_path,
        "--checkpoint-interval", 500, "--models-dir", tmp_path, on_grid=measure,
    )  # fmt: skip
    # The first 1,500 steps fill caches.
    assert len(memory) == 8
    assert memory[7] - memory[3] < 4e6, memory


def test_the_network_that_answers_is_the_one_that_is_no_generator():
    trainer = trainer_of(blobs(9))
    networks = trainer.method.networks
    assert discriminator_name(networks) == "examiner"
    assert trained_networks(networks) == {
        "generator": trainer.method.generator, "examiner": trainer.method.examiner,
    }  # fmt: skip
    probe = RunProbe(trainer, Dataset(blobs(3, seed=1), []))
    answers = probe.ask()
    assert {kind: len(x) for kind, x in answers.items()} == {
        "training": 8, "held out": 3, "generated": 8,
    }  # fmt: skip
    expected = trainer.method.examiner(
        trainer.dataset.take(trainer.first_indices(8)) / np.float32(127.5) - 1
    )
    np.testing.assert_allclose(answers["training"], np.asarray(expected)[:, 0], rtol=1e-5)


# Progress ---------------------------------------------------------------------------------------


def test_where_a_run_ends():
    h = Hyperparameters(epochs=3)
    progress = Progress(count=9, window=0, images_per_step=8)
    assert progress.last_step(h) == 4  # 27 pictures, 8 a step
    h.epochs = 0
    assert progress.last_step(h) is None
    h.steps = 7
    assert progress.last_step(h) == 7


@pytest.mark.parametrize("changes", [{"count": 40}, {"window": 1}])
def test_epochs_count_from_the_runs_beginning_whatever_its_pictures_are(changes):
    h = Hyperparameters(epochs=3)
    progress = Progress(count=20, window=0, images_per_step=4)
    for _ in range(10):
        progress.advance()
    assert (progress.step, progress.epoch) == (10, 2.0)
    same = Progress(count=20, window=0, images_per_step=2)  # half the batch size
    same.resume(progress.saved())
    assert (same.images_seen, same.epoch, same.last_step(h)) == (40, 2.0, 20)
    other = Progress(**{"count": 20, "window": 0, "images_per_step": 4} | changes)
    other.resume(progress.saved())
    assert (other.step, other.images_seen, other.epoch) == (10, 0, 2.0)
    assert other.last_step(h) == 10 + other.count // 4


def test_the_bar_shows_losses_speed_and_what_is_waited_for(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stderr", io.StringIO())  # no terminal
    with ProgressBar(26, 0) as bar:
        bar.say("a line")
        bar.update(13)
        row = {"d_loss": 1.0, "wasserstein": 0.5, "d_gradient_first": 9.0, "g_updates": 13.0}
        bar.show(row, {"kid": "200 ± 10"}, 4, {"data": 0.25})
        bar.refresh()
    shown = sys.stderr.getvalue()
    assert capsys.readouterr().out == "a line\n"
    assert "13/26" in shown
    assert "d_loss=1.000, wasserstein=0.500, kid=200 ± 10, images/s=" in shown
    assert "data wait=25%" in shown
    assert "gradient" not in shown
    assert "updates" not in shown


def test_a_bar_that_nobody_wants_to_see(monkeypatch, capsys):
    # As TQDM_DISABLE=1 has it.
    monkeypatch.setattr(tqdm, "__init__", functools.partialmethod(tqdm.__init__, disable=True))
    with ProgressBar(26, 0) as bar:
        bar.say("a line")
        bar.update()
        bar.show({"d_loss": 1.0}, {}, 4, {})
    assert capsys.readouterr() == ("a line\n", "")


# Rows -------------------------------------------------------------------------------------------


def test_a_row_has_the_last_count_and_the_mean_of_the_rest(tmp_path):
    progress = Progress(count=20, window=0, images_per_step=4, step=3, images_seen=12, seconds=1.5)
    with BackgroundWriter() as writer:
        record = Record(tmp_path / "history.csv", writer, score="kid", adapted=["probability"])
        for count, loss in ((1, 1.0), (3, 4.0)):
            record.add(3, {"d_loss": loss, "d_updates": 2**24 + count})
        assert [row["d_loss"] for row in record.fetch(3)] == [1.0, 4.0]
        record.last_score = 7.0
        record.write(progress, {"probability": 0.75})
        record.add(4, {"d_loss": 2.0, "d_updates": 5})
        record.fetch(4)
        record.write(progress, {"probability": 0.8})
    assert (tmp_path / "history.csv").read_text().splitlines() == [
        "step,epoch,seconds,d_loss,d_updates,probability,kid",
        "3,0.6000,1.50,2.5,16777219,0.75,7",
        "3,0.6000,1.50,2,5,0.8,nan",
    ]


def test_steps_between_two_rows_are_not_lost_with_a_stop(tmp_path):
    """Also where the run is resumed with other scalars."""
    with BackgroundWriter() as writer:
        record = Record(tmp_path / "one.csv", writer, score="kid")
        record.add(1, {"old": 1.0, "d_loss": 3.0})
        record.fetch(1)
        record.last_score = 7.0
        again = Record(tmp_path / "two.csv", writer, score="kid")
        again.resume({name: np.asarray(x) for name, x in record.saved().items()})
        assert again.last_score == 7.0
        again.add(2, {"d_loss": 5.0, "new": 1.5})
        again.fetch(2)
        saved = again.saved()
        assert saved["pending_names"] == ["d_loss", "new", "old"]
        np.testing.assert_array_equal(saved["pending"], [[3, math.nan, 1], [5, 1.5, math.nan]])
        again.write(Progress(20, 0, 4, step=2), {})
    header, row = (tmp_path / "two.csv").read_text().splitlines()
    assert (header, row) == ("step,epoch,seconds,d_loss,new,kid", "2,0.0000,0.00,4,1.5,7")


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_scalar_that_is_not_finite_is_told_with_its_step(tmp_path, value):
    record = Record(tmp_path / "history.csv", BackgroundWriter())
    for step, loss in ((6, 1.0), (7, value), (8, value)):
        record.add(step, {"d_loss": loss})
    with pytest.raises(RunError, match=f"^d_loss became {value} at step 7$"):
        record.fetch(8)


# Scores -----------------------------------------------------------------------------------------


def test_there_is_a_score_where_enough_pictures_are_held_out():
    trainer = trainer_of(blobs(9), score="kid")
    held_out = Dataset(blobs(50, seed=1), [])
    assert Scoring(trainer, held_out).column == "kid_random_32_39cfc6a3"
    assert Scoring(trainer, held_out.part(np.arange(49))).column == ""
    assert Scoring(trainer, None).column == ""
    silent = Scoring(trainer_of(blobs(9), score="none"), held_out)
    assert (silent.column, silent.score()[1]) == ("", {})
    assert Scoring(trainer_of(blobs(9), score="swd"), held_out).column == "swd"


@pytest.mark.parametrize(("held_out", "originality"), [(3, 0), (0, None)])
def test_of_few_pictures_collapse_and_copies_are_measured(held_out, originality, monkeypatch):
    trainer = trainer_of(blobs(9), score="kid")
    others = Dataset(blobs(held_out, seed=1), []) if held_out else None
    scoring = Scoring(trainer, others)

    def sample(latents: np.ndarray, labels: None) -> np.ndarray:
        return np.resize(blobs(9)[:3], (len(latents), 32, 32, 3))

    monkeypatch.setattr(trainer, "sample", sample)
    images, scores = scoring.score()
    assert (scoring.column, len(images)) == ("", 64)
    assert alikeness(scores) == pytest.approx(1 / 3, abs=0.1)
    assert scores.get("originality") == originality


def test_a_set_of_one_picture_is_no_collapse():
    trainer = trainer_of(np.repeat(blobs(1), 9, axis=0), score="kid")
    _, scores = Scoring(trainer, Dataset(blobs(1), [])).score()
    assert math.isnan(alikeness(scores))
    assert "originality" not in scores  # what is held out is trained on


@pytest.mark.parametrize(
    ("score", "better", "worse"),
    [
        ("kid", {"kid": 1}, {"kid": 9}),
        ("coverage", {"coverage": 0.9, "kid": 9}, {"coverage": 0.8, "kid": 9}),
    ],
)
def test_a_better_network(score, better, worse, tmp_path):
    features = "imagenet_128_57934424"
    with BackgroundWriter() as writer:
        best = BestNetworks(tmp_path / "best", score, writer, features)
        for step, scores in enumerate((worse, worse, better, better, worse)):
            best.consider(step, scores, {})
    assert best.found == {"step": 2, **better}
    written = {f"{name}_{features}": value for name, value in better.items()}
    assert read_best(tmp_path / "best") == {"step": 2, **written}
    again = BestNetworks(tmp_path / "best", score, writer, features)
    again.resume(step=4, pictures_since=0)
    assert again.found == best.found


# Health -----------------------------------------------------------------------------------------


def test_health_is_of_the_time_since_the_row_before(tmp_path, monkeypatch):
    trainer = trainer_of(blobs(8), images_dir=str(tmp_path / "i"), models_dir=str(tmp_path / "m"))
    folders, said = Folders(trainer.h, is_new=True), []
    for step, shade in ((0, 100), (5, 110), (15, 125)):
        grids.save_png(folders.sample(step), np.full((8, 8, 3), shade, np.uint8))
    answers, health = Answers(folders.answers), Health(folders.health)
    with BackgroundWriter() as writer:
        record = Record(folders.history, writer)
        for table in (answers, health):
            table.resume(-1)
        check = HealthCheck(trainer, folders, writer, record, answers, health)
        check.check({})
        writer.flush()
        for step, d_real in ((2, 0.25), (4, 0.75), (6, 0.9)):
            record.add(step, {"d_real": d_real, "g_gradient_first": 2.0})
            record.fetch(step)
            record.write(Progress(8, 0, 4, step=step), {})
        trainer.progress.step = 5
        asked = {"training": 1.0, "held out": 0.75, "generated": 0.0}
        answers.add(5, {kind: np.array([x - 0.01, x + 0.01] * 9) for kind, x in asked.items()})
        alarm = Alarm("x", since=4, step=5, message="less x", advice="Try more x")
        over = dataclasses.replace(alarm, step=4, over=5)
        monkeypatch.setattr(
            health, "alarms", lambda: [dataclasses.replace(over, over=4), over, alarm]
        )
        check.check({"kid": 3.0, "likeness": 0.6, "likeness_reals": 0.2})
        writer.flush()
        check.tell(said.append)
    first, second = read_rows(folders.health)
    assert (first["step"], first["change"], first["d_real"]) == ("0", "nan", "nan")
    sizes = [kernel_size(trainer.method.generator), kernel_size(trainer.method.examiner)]
    for row in (first, second):
        found = [float(row["generator_weights"]), float(row["judge_weights"])]
        assert found == pytest.approx(sizes, rel=1e-5)
    measured = {
        "kid": 3, "alikeness": 0.5, "d_real": 0.5, "gradient_first": 2, "change": 10,
        "overfitting": 0.25,
    }  # fmt: skip
    assert {name: float(second[name]) for name in measured} == pytest.approx(measured)
    assert said == [
        "step 5: x, said at step 4, is over.",
        "ALARM at step 5: less x (since step 4). Try more x.",
    ]


def test_best_networks_without_a_score_are_not_written_over(tmp_path, capsys):
    best = BestNetworks(tmp_path / "best", "kid", BackgroundWriter())
    (tmp_path / "best").mkdir()
    (tmp_path / "best.new").mkdir()  # of a kill
    best.resume(7, 0)
    assert not best.found
    assert [path.name for path in tmp_path.iterdir()] == ["best-before-7"]
    assert "best: has no score.json; its networks stay as " in capsys.readouterr().out


# Stopping ---------------------------------------------------------------------------------------


def test_only_a_second_ctrl_c_stops_at_once(monkeypatch):
    before = signal.getsignal(signal.SIGTERM)
    with StopRequest() as stop:
        signal.raise_signal(signal.SIGHUP)  # the terminal was closed
        assert stop.requested == "SIGHUP"
    with StopRequest() as stop:
        assert stop.requested == ""
        for _ in range(2):
            signal.raise_signal(signal.SIGTERM)
        assert stop.requested == "SIGTERM"
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    with StopRequest() as stop:
        stop.request("SIGINT on process 1")
        signal.raise_signal(signal.SIGINT)  # the same Ctrl-C, which a terminal sends to both
        assert stop.requested == "SIGINT"
    assert signal.getsignal(signal.SIGTERM) == before
    monkeypatch.setattr(signal, "getsignal", {signal.SIGHUP: signal.SIG_IGN}.get)
    with StopRequest():
        assert signal.signal(signal.SIGHUP, signal.SIG_DFL) == signal.SIG_DFL  # nohup: it stays
