"""Labels, files, errors, history: small things of several rooms."""

from __future__ import annotations

import csv
import errno
import io
import math
import os
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest
from PIL import Image

from tests.conftest import REPOSITORY
from utils.common.errors import RunError, UserError, one_line_errors
from utils.common.files import FolderLock, atomic_path, remove_leftovers
from utils.models.recipes import noisy_labels, smooth_labels
from utils.watching.alarms import Health
from utils.watching.answers import Answers
from utils.watching.history import History
from utils.watching.table import MOST_POINTS, read_rows, thin

# Labels -----------------------------------------------------------------------------------------


def test_smoothing_has_known_answers():
    hard = np.array([1.0, 0.0], np.float32)
    for sides, soft in (("one-sided", [0.9, 0.0]), ("two-sided", [0.95, 0.05])):
        np.testing.assert_allclose(smooth_labels(hard, 0.1, sides), soft, rtol=1e-6)
        np.testing.assert_array_equal(smooth_labels(hard, 0.0, sides), hard)


def test_noise_shifts_each_label_by_its_own_draw():
    seed = keras.random.SeedGenerator(5)
    ones = np.ones((20_000, 1), np.float32)
    down, up = noisy_labels(ones, -0.2, seed), noisy_labels(0 * ones, 0.2, seed)
    for shift in (1 - np.asarray(down), np.asarray(up)):
        assert shift.min() >= 0
        assert shift.max() <= 0.2 + 1e-6
        assert shift.mean() == pytest.approx(0.1, abs=0.002)
        assert shift.std() == pytest.approx(0.2 / np.sqrt(12), abs=0.002)
    assert abs(np.corrcoef(np.ravel(down), np.ravel(up))[0, 1]) < 0.03
    again = noisy_labels(ones, -0.2, keras.random.SeedGenerator(5))
    np.testing.assert_array_equal(again, down)


# Files and errors -------------------------------------------------------------------------------


def test_a_file_is_whole_or_as_it_was(tmp_path):
    path = tmp_path / "deep" / "weights.npz"
    with atomic_path(path) as temporary:
        assert temporary.suffix == ".npz"
        temporary.write_text("whole")

    def fail_half_way() -> None:
        with atomic_path(path) as temporary:
            temporary.write_text("ha")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_half_way()
    assert path.read_text() == "whole"
    assert list(path.parent.iterdir()) == [path]


def test_what_killed_processes_left_goes_and_what_others_work_on_stays(tmp_path):
    old, new = tmp_path / ".weights-1a.part.npz", tmp_path / ".weights-2b.part.npz"  # as they were
    others, below = tmp_path / ".notes.part.txt", tmp_path / "deep" / ".film-12345678.part"
    killed, at_work = tmp_path / ".set-00000000.part", tmp_path / ".set-11111111.part"
    for path in (old, new, others):
        path.touch()
    for folder in (below, killed, at_work):
        folder.mkdir(parents=True)
        (folder / "half").touch()
    os.utime(old, (0, time.time() - 4000))
    with FolderLock(at_work):
        # The first file that a process writes into the folder, of whatever name.
        with atomic_path(tmp_path / ("x" * 255)) as temporary:
            temporary.touch()
        assert {at_work, new, others, below} == {
            path for path in (old, new, others, below, killed, at_work) if path.exists()
        }
        remove_leftovers(tmp_path, is_locked=True)
        assert sorted(tmp_path.glob("**/.*")) == sorted([others, at_work])
    remove_leftovers(tmp_path)
    assert not at_work.exists()


def test_half_a_line_at_the_end_is_left_out(tmp_path):
    path = tmp_path / "history.csv"
    assert read_rows(path, 99) == []
    path.write_text("step,d_loss\n10,0.5\n20,1e-")  # a kill in the middle of a number
    assert read_rows(path, 99) == [{"step": 10.0, "d_loss": 0.5}]
    path.write_bytes(b"\xef\xbb\xbfstep,d_loss\r\n10,nan\r\n20,many\r\n")  # a spreadsheet
    (row,) = read_rows(path, 10)  # those beyond the step do not matter
    assert math.isnan(row["d_loss"])


@pytest.mark.parametrize(
    ("name", "damage", "message"),
    [
        ("history", (b"1.25", b"many"), "line 3 is damaged: could not convert string to float: 'm"),
        ("history", (b"1.25", b"1.\xff5"), "line 3 is damaged: byte 0xff is no UTF-8; mend or d"),
        ("history", (b"1.25", b'"1.25'), "line 3 is damaged: could not convert string to float"),
        ("history", (b",1.25", b""), "line 3 is damaged: 4 cells, expected 5"),
        ("history", (b"20,", b"nan,"), "line 3 is damaged: nan is no step from 10 up"),
        ("history", (b"10,", b"90,"), "line 3 is damaged: 20 is no step from 90 up"),
        ("history", (b"step,", b"stop,"), "line 1 is damaged: expected names of columns, first s"),
        ("history", (b"step", b"s\xfftep"), "line 1 is damaged: byte 0xff is no UTF-8; mend it or"),
        ("history", (b",seconds", b""), "line 1 is damaged: expected names of columns, first step"),
        ("history", (b"d_loss", b"epoch"), "line 1 is damaged: expected names of columns, first"),
        ("history", (b"d_loss", b'"d_loss'), "line 1 is damaged: '\"d_loss' is no name of a col"),
        ("history", (b",", b";"), "line 1 is damaged: expected names of columns"),  # a spreadsheet
        ("history", (None, b""), "line 1 is damaged: expected names of columns, first step,epoch"),
        ("history", (None, None), "cannot be read: Is a directory; expected a table"),
        ("answers", (b"held out", b"held"), "line 2 is damaged: 'held' is no kind, expected trai"),
        ("health", (b"0.25", b"\xff"), "line 2 is damaged: byte 0xff is no UTF-8; mend or delete"),
    ],
)  # fmt: skip
def test_a_damaged_table_stays_as_it_is(tmp_path, name, damage, message):
    path = tmp_path / f"{name}.csv"
    table = {
        "history": History(path, ["d_loss", "d_real"]), "answers": Answers(path),
        "health": Health(path),
    }[name]  # fmt: skip
    table.resume(0)
    table.append({
        "history": [(10, 0.5, 1, 1.5, 0.5), (20, 1, 2, 1.25, 0.25)],
        "answers": [(10, "held out", 9, *[0.5] * 7)], "health": [(10, 0.25)],
    }[name])  # fmt: skip
    old, new = damage
    if new is None:
        path.unlink()
        path.mkdir()
    else:
        path.write_bytes(path.read_bytes().replace(old, new) if old else new)
        before = path.read_bytes()
    with pytest.raises(UserError) as error:
        table.resume(20)
    assert str(error.value).startswith(f"{path}: {message}")
    assert new is None or path.read_bytes() == before


@pytest.mark.parametrize(("error", "code"), [(UserError, 2), (RunError, 1), (OSError, 1)])
def test_errors_are_one_line_and_a_code(error, code, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/some/where/dcgan.py"])

    @one_line_errors
    def main() -> None:
        raise error("this\n  and that")

    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == code
    assert capsys.readouterr().err == "dcgan.py: error: this and that\n"


def test_a_disks_errors_name_the_file(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["sample.py"])
    (tmp_path / "file").touch()

    @one_line_errors
    def main() -> None:
        (tmp_path / "file" / "folder").mkdir()

    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 1
    place = tmp_path / "file" / "folder"
    assert capsys.readouterr().err == f"sample.py: error: {place}: Not a directory\n"


class Broken(io.TextIOBase):
    """A stream that cannot be written, from its third line on."""

    lines: list[str]

    def __init__(self, number: int) -> None:
        self.number, self.lines, self.tries = number, [], 0

    def write(self, text: str) -> int:
        self.tries += 1
        if self.number and len(self.lines) == 2:
            raise OSError(self.number, os.strerror(self.number))
        self.lines.append(text)
        return len(text)


@pytest.mark.parametrize(
    "number", [errno.EPIPE, errno.EIO, errno.EBADF, errno.ENOSPC, errno.EDQUOT, errno.EAGAIN]
)
def test_printing_never_ends_work(number, monkeypatch):
    output, errors = Broken(number), Broken(0)
    monkeypatch.setattr(sys, "stdout", output)
    monkeypatch.setattr(sys, "stderr", errors)
    done = []

    @one_line_errors
    def main() -> None:
        for line in "abcd":
            sys.stdout.write(line)
            sys.stdout.flush()
        sys.stdout.writelines(["e", "f"])
        done.append(1)

    main()
    assert done == [1]
    assert output.lines == ["a", "b"]
    is_gone = number in (errno.EPIPE, errno.EIO, errno.EBADF)
    # Where there is somebody to read it, what comes later may find room.
    assert output.tries == (3 if is_gone else 6)
    expected = "" if is_gone else f"standard output: {os.strerror(number)}; the work goes on\n"
    assert "".join(errors.lines) == expected


LISTENED_TO = """
import logging, sys, warnings
from tqdm import tqdm
from utils.common.errors import one_line_errors

@one_line_errors
def main():
    print("first", flush=True)
    for _ in tqdm(range(3), mininterval=0):
        sys.stdin.read(1)  # the reader is gone by now
        print("x" * 9999)
        warnings.warn("y")
        logging.warning("z")
        tqdm.write("w", file=sys.stderr)
    open("done", "w").close()

main()
"""


@pytest.mark.parametrize("outlet", ["pipe", "terminal", "full", "closed"])
def test_a_process_outlives_whoever_listens(tmp_path, outlet):
    reader, writer = os.pipe() if outlet != "terminal" else os.openpty()
    if outlet == "full":
        os.close(writer)
        writer = os.open("/dev/full", os.O_WRONLY)
    script = [sys.executable, "-c", LISTENED_TO]
    process = subprocess.Popen(
        ["sh", "-c", 'exec "$@" >&- 2>&-', "sh", *script] if outlet == "closed" else script,
        cwd=tmp_path, stdin=subprocess.PIPE, stdout=writer, stderr=writer,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
    )  # fmt: skip
    os.close(writer)
    if outlet in ("pipe", "terminal"):
        assert os.read(reader, 5) == b"first"
    os.close(reader)
    process.communicate(b"123", timeout=600)
    assert process.returncode == 0
    assert (tmp_path / "done").exists()


@pytest.mark.parametrize("kind", ["SIGTERM", "SIGHUP"])
def test_a_signal_to_stop_is_one_line_however_often_it_comes(capsys, monkeypatch, kind):
    monkeypatch.setattr(sys, "argv", ["sample.py"])
    before = signal.getsignal(signal.Signals[kind])

    @one_line_errors
    def main() -> None:
        try:
            signal.raise_signal(signal.Signals[kind])
        finally:
            signal.raise_signal(signal.Signals[kind])  # while it clears up

    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 130
    assert capsys.readouterr().err == "sample.py: stopped\n"
    assert signal.getsignal(signal.Signals[kind]) == before


def test_ctrl_c_before_the_training_is_one_line(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["dcgan.py"])

    @one_line_errors
    def main() -> None:
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 130
    assert capsys.readouterr().err == "dcgan.py: stopped\n"


# History ----------------------------------------------------------------------------------------


def test_history_goes_on_after_the_step_it_resumes_from(tmp_path):
    path = tmp_path / "history.csv"
    history = History(path, ["d_loss", "d_real"])
    history.resume(0)
    history.append([(10, 0.5, 1.234, 1.25, 0.5), (20, 1, 2, 1 / 3, 0.25), (30, 1.5, 3, 9, 9)])
    with open(path, "a") as file:
        file.write("40,2")
    again = History(path, ["d_loss", "d_real"])
    again.resume(20)
    # The same numbers to compute on with as without the kill, to the last digit.
    assert again.rows == history.rows[:2]
    again.append([(30, 1.5, 4, 0.125, 1)])
    with open(path, newline="") as file:
        rows = list(csv.reader(file))
    assert rows == [
        ["step", "epoch", "seconds", "d_loss", "d_real"],
        ["10", "0.5000", "1.23", "1.25", "0.5"],
        ["20", "1.0000", "2.00", "0.333333333", "0.25"],
        ["30", "1.5000", "4.00", "0.125", "1"],
    ]
    again.plot(tmp_path / "history.png", "a run")
    with Image.open(tmp_path / "history.png") as plot:
        assert plot.size == (1300, 320)


def test_history_of_other_columns_keeps_its_rows_and_columns(tmp_path):
    path = tmp_path / "history.csv"
    path.write_text("step,epoch,seconds,d_loss,old\n10,0.5,1,1.25,7\n20,1,2,1.5,8\n")
    history = History(path, ["new", "d_loss"])
    history.resume(20)
    history.append([(30, 1.5, 3, 0.5, 1.75)])
    assert path.read_text().splitlines() == [
        "step,epoch,seconds,new,d_loss,old", "10,0.5000,1.00,nan,1.25,7",
        "20,1.0000,2.00,nan,1.5,8", "30,1.5000,3.00,0.5,1.75,nan",
    ]  # fmt: skip
    history.plot(tmp_path / "history.png", "a run")


def test_long_curves_are_thinned_by_means():
    steps = np.arange(2 * MOST_POINTS, dtype=float)
    thinned = thin(np.stack([steps, steps**0], 1))
    np.testing.assert_array_equal(thinned[:2], [[0.5, 1], [2.5, 1]])
    assert len(thinned) == MOST_POINTS
    assert len(thin(np.zeros((5, 2)))) == 5
