"""What goes wrong while a data set is prepared: mistakes, stops, kills, full disks."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import signal
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from tests.conftest import blobs, run_script, start_script
from tests.preparing import prepare, refused, report_of, save
from tests.test_pictures import encode
from utils.common.errors import UserError
from utils.data.hdf5 import write_dataset
from utils.preparing.opening import open_dataset


@pytest.fixture
def robots(tmp_path):
    """A folder of 8 pictures as PNG."""
    save(tmp_path / "robots", blobs(8, 64))
    return tmp_path / "robots"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            [],
            "no source: expected a folder, .zip, .tar, .tar.gz, .parquet, .npz, .npy or .h5 file",
        ),
        (["robots"], "--output '': expected the name of a file ending in .h5"),
        (["robots", "x.h5"], "x.h5: did you mean --output x.h5?"),
        (["robots", "--output", "x.zip"], "--output 'x.zip': expected the name of a file"),
        (["absent", "--output", "x.h5"], "absent: no such file or directory; expected a folder"),
        (["robots", "--output", "x.h5", "--size", "100"], "--size 100: must be one of 32"),
        (["robots", "--output", "x.h5", "--margin", "0.6"], "--margin 0.6: must be from 0 to 0.45"),
        (
            ["robots", "--output", "x.h5", "--max-pixels", "1000000000"],
            "--max-pixels 1000000000: must be from 1 to 178956970",
        ),
        (["robots", "--output", "x.h5", "--background", "paper"], "--background paper: expected a"),
        (["robots", "--output", "x.h5", "--orient", "--mirror"], "--orient --mirror: expected one"),
        (["robots", "--output", "x.h5", "--orientt"], "--orientt: no such option; did you mean"),
        (["robots", "--output", "robots/x.h5"], "--output robots/x.h5: lies in the source robots"),
        (["robots/00.png", "--output", "x.h5"], "robots/00.png: a picture; expected a folder"),
        (["empty", "--output", "x.h5"], "no picture in empty; expected a folder"),
        (["robots", "--output", "x.h5", "--min-side", "500"], "no picture is left"),
        (["robots", "--output", "x.h5", "--exclude", "nothing"], "--exclude nothing: no such file"),
    ],
)
def test_mistakes_are_one_line(tmp_path, robots, arguments, message):
    (tmp_path / "empty").mkdir()
    assert message in refused(tmp_path, *arguments)


def test_a_set_that_is_prepared_already_is_trained_on(tmp_path, robots):
    prepare(tmp_path, "robots", "--output", "my robots.hdf5", "--size", 64)
    assert refused(tmp_path, "my robots.hdf5", "--output", "x.h5") == (
        "my robots.hdf5: an HDF5 file that a training reads as it is; train on it with: "
        "python dcgan.py --data 'my robots.hdf5'"
    )


def test_a_file_of_other_software_without_pictures(tmp_path):
    with h5py.File(tmp_path / "other.hdf5", "w") as file:
        file["temperatures"] = np.zeros(3)
    expected = (
        "other.hdf5: expected one array of pictures, uint8 or float, N x H x W x C or "
        "N x C x H x W, found temperatures (float64 (3,))"
    )
    assert refused(tmp_path, "other.hdf5", "--output", "x.h5") == expected
    with pytest.raises(UserError, match=re.escape(expected)):
        open_dataset(str(tmp_path / "other.hdf5"))


@pytest.mark.parametrize("name", ["set.report.json", "set.review.png"])
def test_a_folder_in_the_way_is_seen_before_the_work(tmp_path, robots, name):
    (tmp_path / name).mkdir()
    message = refused(tmp_path, "robots", "--output", "set.h5", "--review")
    assert message == (
        f"--output set.h5: {name} in the same folder is a folder; "
        "expected a place for a file of that name"
    )
    assert not (tmp_path / "set.h5").exists()


def test_a_folder_whose_name_is_no_text(tmp_path, robots):
    os.rename(robots, os.fsencode(robots) + b"\xff")
    source = os.fsdecode(b"robots\xff")
    result = run_script("prepare_dataset.py", source, "--output", "set.h5", folder=tmp_path)
    assert result.returncode == 0, result.stderr
    assert report_of(tmp_path)["sources"][0]["kind"] == "folder"


def test_a_file_of_somebody_else_is_not_overwritten(tmp_path, robots, data_file):
    (tmp_path / "set.h5").write_bytes(data_file.read_bytes())
    result = prepare(tmp_path, "robots", "--output", "set.h5", code=2)
    assert "exists and is not of prepare_dataset.py" in result.stderr
    assert (tmp_path / "set.h5").read_bytes() == data_file.read_bytes()


def test_a_set_is_replaced_by_its_next_version_only(tmp_path, robots):
    save(tmp_path / "others", blobs(3, 64, seed=1))
    prepare(tmp_path, "robots", "--output", "set.h5", "--size", 64)
    prepare(tmp_path, "./robots", "others", "--output", "set.h5", "--size", 32)
    before = {path.name: path.read_bytes() for path in tmp_path.glob("set.*")}
    again = ("others", "--output", "set.h5", "--review")
    assert prepare(tmp_path, *again, code=2).stderr == (
        "prepare_dataset.py: error: --output set.h5: exists, prepared from ./robots, others; "
        "expected another name, or that file removed first\n"
    )
    message = prepare(tmp_path, "others", "--output", "set.hdf5", code=2).stderr
    assert "set.hdf5: set.report.json is that of set.h5; expected another name" in message
    # Where nothing is left, what there was stays.
    strict = ("robots", "others", "--output", "set.h5", "--min-side", 99)
    result = prepare(tmp_path, *strict, code=2)
    example = "64 x 64 pixels, --size would be made of 64, expected 99 or more"
    lines = ["   -11 too small", f"             such as 00.png: {example}", "     0 pictures kept"]
    assert result.stdout.splitlines()[-3:] == lines
    assert result.stderr.endswith("error: no picture is left; set.h5 stays as it was\n")
    assert {path.name: path.read_bytes() for path in tmp_path.glob("set.*")} == before
    (tmp_path / "set.report.json").unlink()
    assert "set.h5: exists, its report is gone" in (prepare(tmp_path, *again, code=2).stderr)
    (tmp_path / "set.h5").unlink()
    prepare(tmp_path, *again)
    (tmp_path / "mine.report.json").write_text("{}")
    message = prepare(tmp_path, "others", "--output", "mine.h5", code=2).stderr
    assert "mine.h5: mine.report.json exists and is not of prepare_dataset.py" in message


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """A folder of pictures that take longer to read than a test waits."""
    folder = tmp_path_factory.mktemp("many")
    data = encode(Image.fromarray(blobs(1)[0]).resize((1500, 1500)), "PNG")
    (folder / "0.png").write_bytes(data)
    for index in range(1, 150):
        os.link(folder / "0.png", folder / f"{index}.png")
    return folder


def wait_until(happened):
    deadline = time.monotonic() + 600
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def has_written(folder):
    """Whether a preparation is at work there."""
    return any(path.stat().st_size for path in folder.glob(".*.part/squares"))


@pytest.mark.parametrize(("sent", "processes"), [(signal.SIGINT, 2), (signal.SIGTERM, 1)])
def test_stopping_leaves_nothing_behind(tmp_path, many, sent, processes):
    process = start_script(
        "prepare_dataset.py", many, "--output", "set.h5", "--processes", processes, folder=tmp_path
    )
    wait_until(lambda: has_written(tmp_path))
    process.send_signal(sent)
    _, errors = process.communicate(timeout=600)
    assert process.returncode == 130
    assert errors.splitlines()[-1] == "prepare_dataset.py: stopped; nothing was written"
    assert "Traceback" not in errors
    assert not list(tmp_path.iterdir())


def test_a_kill_leaves_no_process_and_the_next_run_clears_up(tmp_path, many, robots):
    process = start_script(
        "prepare_dataset.py", many, "--output", "set.h5", "--processes", 2, folder=tmp_path
    )
    wait_until(lambda: has_written(tmp_path))
    pools = [*children(process.pid, at_least=3)]
    (left,) = tmp_path.glob(".set-*.part")
    process.kill()
    process.wait()
    wait_until(lambda: not any(map(is_alive, pools)))
    process.communicate()
    prepare(tmp_path, "robots", "--output", "set.h5", "--size", 64)
    assert not left.exists()


def children(parent: int, at_least: int) -> list[int]:
    """Wait until a process has that many others below it, the tracker of resources included."""
    deadline = time.monotonic() + 600
    while time.monotonic() < deadline:
        found = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        if len(found) >= at_least:
            return [int(each) for each in found]
        time.sleep(0.05)
    raise AssertionError("no workers")


def is_alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@contextlib.contextmanager
def full_disk(room):
    """To a program, a limit on the size of files looks as a full disk does."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("room", [1_000, 40_000, 60_000])
def test_a_data_set_on_a_full_disk(tmp_path, capfd, room):
    images = np.random.default_rng(0).integers(0, 255, (20, 32, 32, 3), np.uint8)
    with full_disk(room), pytest.raises(OSError) as caught:  # noqa: PT011 - the number is what counts
        write_dataset(tmp_path / "set.h5", images, [""] * 20)
    assert caught.value.errno == errno.EFBIG
    assert capfd.readouterr() == ("", "")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("room", [10_000, 90_000])
def test_a_full_disk_is_one_line(tmp_path, robots, room):
    # Too little for the first square, or for the last.
    with full_disk(room):
        result = prepare(tmp_path, "robots", "--output", "out/set.h5", "--size", 64, code=1)
    assert result.stderr.splitlines()[-1].startswith(
        "prepare_dataset.py: error: out/set.h5: cannot be written: "
    )
    assert not list((tmp_path / "out").iterdir())
