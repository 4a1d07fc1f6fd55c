"""Files written in the background: in order, of the right moment, and never silently not."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import keras
import numpy as np
import pytest

from tests.conftest import blobs
from tests.run_files import assert_same_state, read_state
from tests.stub import Hyperparameters, Stub, train
from utils.common.errors import RunError
from utils.data.dataset import Dataset
from utils.training import clock as clock_module
from utils.training.checkpoints import Checkpoints
from utils.training.clock import LONGEST, Clock
from utils.training.folders import Folders
from utils.training.loop import Loop
from utils.training.split import Split
from utils.training.trainer import Trainer
from utils.training.waiting import Waiting
from utils.training.writer import BackgroundWriter


def until(condition) -> None:
    deadline = time.monotonic() + 600
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_jobs_are_done_in_order_by_one_thread():
    done = []
    with BackgroundWriter() as writer:
        for number in range(50):
            writer.submit(lambda number=number: done.append((number, threading.get_ident())))
        writer.flush()
        assert [number for number, _ in done] == list(range(50))
        writer.submit(lambda: done.append((50, threading.get_ident())))
    assert [number for number, _ in done] == list(range(51))
    assert len({thread for _, thread in done}) == 1
    assert done[0][1] != threading.get_ident()


def fail() -> None:
    raise OSError(28, "No space left on device")


def test_a_failed_job_is_raised_from_then_on_and_the_rest_is_not_done():
    done = []
    writer = BackgroundWriter()
    go = threading.Event()
    writer.submit(go.wait)
    writer.submit(fail)
    writer.submit(lambda: done.append(1))
    go.set()
    for _ in range(2):
        with pytest.raises(OSError, match="No space left"):
            writer.flush()
        with pytest.raises(OSError, match="No space left"):
            writer.submit(lambda: done.append(2))
    writer.close()
    assert done == []


def test_leaving_the_block_raises_what_failed():
    with pytest.raises(OSError, match="No space left"), BackgroundWriter() as writer:
        writer.submit(fail)


def test_another_error_is_told_after_what_was_submitted_is_done():
    done = []

    def submit_and_raise() -> None:
        with BackgroundWriter() as writer:
            writer.submit(lambda: time.sleep(0.05))
            writer.submit(lambda: done.append(1))
            writer.submit(fail)
            raise RunError("a loss became nan")

    with pytest.raises(RunError, match="became nan"):
        submit_and_raise()
    assert done == [1]


def test_a_second_ctrl_c_drops_what_waits():
    done, go = [], threading.Event()

    def interrupt() -> None:
        with BackgroundWriter() as writer:
            writer.submit(go.wait)
            writer.submit(lambda: done.append(1))
            threading.Timer(0.1, go.set).start()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupt()
    assert done == []
    until(lambda: not [thread for thread in threading.enumerate() if thread.name == "writer"])


def test_no_more_than_so_many_bytes_wait():
    go = threading.Event()
    with BackgroundWriter(most_waiting=10 * 2**20) as writer:
        writer.submit(go.wait, 6 * 2**20)
        writer.submit(lambda: None, 4 * 2**20)
        submitted = []
        for size in (2**20, 100 * 2**20):  # one too many, and one that has to be alone
            thread = threading.Thread(
                target=lambda size=size: submitted.append(writer.submit(lambda: None, size))
            )
            thread.start()
        time.sleep(0.05)
        assert submitted == []
        go.set()
        until(lambda: len(submitted) == 2)


def test_waiting_is_a_share_of_the_last_seconds(monkeypatch):
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    waiting = Waiting("data", "disk", over=10.0)
    for _ in range(8):
        with waiting.on("data"):
            now += 1.0
        now += 3.0
        shares = waiting.shares()
    assert shares == {"data": 0.25, "disk": 0.0}
    for _ in range(4):
        now += 3.0
        with waiting.on("disk"):
            now += 1.0
        shares = waiting.shares()
    assert shares == {"data": 0.0, "disk": 0.25}


def test_time_in_which_the_process_stood_still_is_not_time_trained(monkeypatch):
    now, worked = [0.0], [0.0]
    monkeypatch.setattr(clock_module, "BEAT", 1e6)  # here, the test beats
    clock = Clock(lambda: now[0], lambda: worked[0])
    waiting = Waiting("data", clock=clock)

    def passes(seconds: float, at_work: float = 0.0) -> float:
        before = clock()
        now[0] += seconds
        worked[0] += at_work
        return clock() - before

    assert passes(3600) == 3600  # nobody looks yet
    with clock:
        assert passes(0.75) == 0.75  # what waits for a device or a disk
        assert passes(3600) == LONGEST  # stopped
        assert passes(90, at_work=120) == 90  # a library that keeps all threads waiting
        began = clock()
        with waiting.on("data"):
            now[0] += 0.5
            clock()  # as the thread does
            now[0] += 3600.0
        assert waiting.seconds["data"] == clock() - began == 0.5 + LONGEST
    assert passes(5) == 5


@pytest.fixture
def loop(tmp_path) -> Loop:
    """A stub on a few pictures, with folders to write to."""
    h = Hyperparameters(
        image_size=32, images_dir=str(tmp_path / "images"), models_dir=str(tmp_path / "models")
    )
    split = Split(Dataset(blobs(8), []), None, {})
    return Loop(Trainer(Stub(h), h, split.trained_on), split, Folders(h, is_new=True))


def test_what_is_written_is_of_the_moment_it_was_submitted(loop):
    go = threading.Event()
    trainer, method = loop.trainer, loop.trainer.method
    trainer.one_step()
    loop.writer.submit(go.wait)
    loop.saving.save(loop.config)
    loop.samples.draw()
    expected = loop.saving.checkpoints.collect(1, trainer.state)
    sample = trainer.sample(loop.samples.latents)
    weights = {
        name: [np.array(v) for v in network.weights] for name, network in method.networks.items()
    }
    for _ in range(3):
        trainer.one_step()
    go.set()
    for _ in range(20):  # while it is being written
        trainer.one_step()
    loop.writer.flush()
    state = read_state(loop.saving.checkpoints.path(1))
    for name, values in expected.items():
        np.testing.assert_array_equal(state[name], values, err_msg=name)
    assert (state["loop/step"], state["loop/images_seen"]) == (1, 4)
    for name, values in weights.items():
        network = keras.models.load_model(loop.folders.models / f"{name}.keras")
        for variable, value in zip(network.weights, values, strict=True):
            np.testing.assert_array_equal(np.array(variable), value, err_msg=variable.path)
        moved = [np.array(v) for v in method.networks[name].weights]
        assert not all(np.array_equal(a, b) for a, b in zip(values, moved, strict=True))
    assert loop.folders.sample(1).exists()
    assert not np.array_equal(trainer.sample(loop.samples.latents), sample)
    loop.writer.close()


def test_weights_that_are_not_finite_are_told_after_the_last_checkpoint_is_whole(loop):
    go, save = threading.Event(), loop.saving.checkpoints.save
    loop.saving.checkpoints.save = lambda *arguments: (go.wait(30), save(*arguments))
    loop.trainer.one_step()
    loop.saving.save(loop.config)
    kernel = loop.trainer.method.generator.trainable_variables[0]
    kernel.assign(np.full(kernel.shape, np.nan, np.float32))
    loop.progress.step = 2
    threading.Timer(0.1, go.set).start()
    with pytest.raises(
        RunError, match=r"at step 2: .*; the checkpoint of step 1 is intact; go on with: "
    ):
        loop.saving.save(loop.config)
    assert loop.saving.checkpoints.steps() == [1]
    loop.writer.close()


@pytest.mark.parametrize("interrupts", [1, 2])
def test_ctrl_c_during_a_slow_write(place, monkeypatch, capsys, data_file, interrupts):
    """The first lets it be finished; a second drops what waits behind it."""
    writing, go = threading.Event(), threading.Event()
    save, one_step = Checkpoints.save, Trainer.one_step

    def slow_save(self: Checkpoints, step: int, *rest: object) -> None:
        if step == 5:
            writing.set()
            go.wait(30)
        save(self, step, *rest)

    def interrupted_step(self: Trainer) -> dict[str, object]:
        scalars = one_step(self)
        if self.progress.step == 6:
            assert writing.wait(30)
            signal.raise_signal(signal.SIGINT)
            then = go.set if interrupts == 1 else lambda: os.kill(os.getpid(), signal.SIGINT)
            threading.Timer(0.1, then).start()
        return scalars

    monkeypatch.setattr(Checkpoints, "save", slow_save)
    monkeypatch.setattr(Trainer, "one_step", interrupted_step)
    options = ["--data", data_file, "--epochs", 0, "--checkpoint-interval", 5]
    models = Path("saved_models/stub-1")
    if interrupts == 1:
        train(*options)
        assert "stopped by SIGINT at step 6 " in capsys.readouterr().out
        assert Checkpoints(models / "checkpoints", 3).steps() == [0, 5, 6]
        network = keras.models.load_model(models / "generator.keras")
        state = read_state(models / "checkpoints" / "step_0000006.npz")
        np.testing.assert_array_equal(state["average/0000"], np.array(network.variables[0]))
    else:
        with pytest.raises(RunError) as stopped:
            train(*options)
        assert str(stopped.value) == (
            "stopped at once; the checkpoint of step 0 is intact; go on with: python stub.py "
            "--resume stub-1"
        )
        go.set()
        until(lambda: not [each for each in threading.enumerate() if each.name == "writer"])
        assert Checkpoints(models / "checkpoints", 3).steps() == [0, 5]
    assert not list(models.rglob(".*"))


def test_a_slow_disk_changes_nothing(place, monkeypatch, data_file):
    options = ["--data", data_file, "--steps", 12, "--checkpoint-interval", 5]
    train(*options, "--run-name", "quick")
    save = Checkpoints.save
    monkeypatch.setattr(Checkpoints, "save", lambda *given: (time.sleep(0.05), save(*given)))
    train(*options, "--run-name", "slow")
    last = Path("checkpoints", "step_0000012.npz")
    assert_same_state(Path("saved_models/quick", last), Path("saved_models/slow", last))
