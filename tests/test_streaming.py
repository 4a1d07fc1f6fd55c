"""Sets that stay on disk: the same training as in memory, bounded memory, errors of one line."""

from __future__ import annotations

import re
import sys
import threading
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

import dcgan
from tests.conftest import TINY, blobs
from tests.run_files import assert_same_state, read_history
from utils.common.errors import RunError, UserError
from utils.data.hdf5 import read_dataset, write_dataset
from utils.data.order import BatchOrder
from utils.data.streaming import ImagesOnDisk, ReadAhead
from utils.preparing.opening import open_dataset

PICTURE = 32 * 32 * 3
BUDGET = 3 * PICTURE  # 20 pictures are a good deal more


def stream(path: Path, budget: int = BUDGET, **options: object):
    dataset = read_dataset(path, memory_budget=budget, **options)
    assert isinstance(dataset.images, ImagesOnDisk)
    return dataset


def chunked(path: Path, count: int = 40, rows: int = 4, size: int = 32, **options: object):
    """A file of another program, with many pictures in a compressed chunk."""
    images = blobs(count, size)
    options = {"chunks": (rows, size, size, 3), "compression": "gzip"} | options
    with h5py.File(path, "w") as file:
        file.create_dataset("images", data=images, **options)
    return images


# Pictures on disk -------------------------------------------------------------------------------


def test_a_set_within_its_budget_is_read_whole(data_file):
    assert isinstance(read_dataset(data_file, memory_budget=20 * PICTURE).images, np.ndarray)
    assert isinstance(read_dataset(data_file, memory_budget=20 * PICTURE - 1).images, ImagesOnDisk)
    assert stream(data_file, limit=4).images.nbytes == 4 * PICTURE
    assert isinstance(
        read_dataset(data_file, limit=3, memory_budget=BUDGET).images, np.ndarray
    )  # what counts is what was chosen


@pytest.mark.parametrize("limit", [None, 9])
def test_on_disk_is_all_that_is_known_in_memory(data_file, tmp_path, limit):
    found, expected = stream(data_file, limit=limit), read_dataset(data_file, limit)
    assert (len(found), found.image_size) == (len(expected), expected.image_size)
    assert (found.images.shape, found.images.dtype) == (expected.images.shape, np.uint8)
    assert found.images.nbytes == expected.images.nbytes
    assert (found.names, found.made_by) == (expected.names, expected.made_by)
    assert found.fingerprint() == expected.fingerprint()


TAKEN = [[], [3], [8, 0, 8, 7, 6, 0, 1], list(range(8, -1, -1)), [0, 1, 2]]


@pytest.mark.parametrize("layout", ["a picture", "rows", "parts", "plain rows", "no chunks"])
@pytest.mark.parametrize("limit", [None, 9])
def test_pictures_come_in_whatever_order_they_are_asked_for(tmp_path, layout, limit):
    path = tmp_path / "a.h5"
    options = {
        "a picture": {"rows": 1},
        "rows": {"rows": 4},
        "parts": {"chunks": (4, 16, 32, 1)},
        "plain rows": {"rows": 4, "compression": None},
        "no chunks": {"chunks": None, "compression": None},
    }[layout]
    chunked(path, 21, **options)
    expected = read_dataset(path, limit).images
    images = stream(path, budget=8 * PICTURE, limit=limit).images
    assert (images.blocks is None) == (layout not in ("rows", "parts"))
    for indices in TAKEN:
        found = images.take(np.array(indices, np.int32))
        assert found.dtype == np.uint8
        np.testing.assert_array_equal(found, expected[np.array(indices, int)])
    for indices in ([len(images)], [0, -1]):
        with pytest.raises(IndexError):
            images.take(np.array(indices))


def test_neighbours_are_read_at_once_and_never_more_than_asked_for(data_file, monkeypatch):
    images = stream(data_file).images
    reads = []
    read = ImagesOnDisk._read
    monkeypatch.setattr(
        ImagesOnDisk, "_read", lambda self, *rows: reads.append(rows) or read(self, *rows)
    )
    images.take(np.array([7, 2, 9, 8, 3, 2, 12]))
    assert reads == [(2, 4), (7, 10), (12, 13)]


def test_blocks_are_read_once_a_window_and_held_within_the_budget(tmp_path, monkeypatch):
    chunked(tmp_path / "a.h5", 40, rows=4)
    budget = 20 * PICTURE  # a quarter to read ahead, three windows of three blocks, one of one
    dataset = stream(tmp_path / "a.h5", budget)
    images, order = dataset.images, dataset.order(mirror=False, seed=0)
    assert images.window == 3
    assert images.bytes_held <= budget
    reads, read = [], ImagesOnDisk._read
    monkeypatch.setattr(
        ImagesOnDisk, "_read", lambda self, *rows: reads.append(rows) or read(self, *rows)
    )
    for start in range(0, 40, 4):
        images.take(order.indices(start, 4))
        assert sum(block.nbytes for block in images._held.values()) <= budget - images.bytes_ahead
    assert sorted(reads) == [(first, first + 4) for first in range(0, 40, 4)]


def test_a_chunk_beyond_the_budget_is_refused(tmp_path):
    chunked(tmp_path / "a.h5", 40, rows=20)
    with pytest.raises(UserError, match=r"a.h5: 20 pictures share a chunk of 6.14e-05 GB, too mu"):
        stream(tmp_path / "a.h5")


def test_links_to_elsewhere_are_refused_on_disk_as_well(tmp_path):
    images = chunked(tmp_path / "other.h5")
    with h5py.File(tmp_path / "link.h5", "w") as file:
        file["images"] = h5py.ExternalLink("other.h5", "/images")
    layout = h5py.VirtualLayout(images.shape, np.uint8)
    layout[...] = h5py.VirtualSource(tmp_path / "other.h5", "images", images.shape)
    with h5py.File(tmp_path / "virtual.h5", "w") as file:
        file.create_virtual_dataset("images", layout)
    for name, problem in (("link", "a link to elsewhere"), ("virtual", "stored in other files")):
        with pytest.raises(UserError, match=problem):
            read_dataset(tmp_path / f"{name}.h5", memory_budget=BUDGET)


def test_the_built_in_set_can_stay_on_disk(tmp_path, monkeypatch):
    monkeypatch.setattr("utils.data.mechas.DEFAULT_COUNT", 4)
    monkeypatch.chdir(tmp_path)
    for _ in range(2):  # drawn, then found
        found = open_dataset("mechas", 32, memory_budget=BUDGET)
        assert found.is_streamed
    assert found.fingerprint() == open_dataset("mechas", 32).fingerprint()


def test_fingerprints_of_large_sets_are_of_4096_pictures(tmp_path, monkeypatch):
    monkeypatch.setattr("utils.data.dataset.FINGERPRINT_RUNS", 3)
    monkeypatch.setattr("utils.data.dataset.FINGERPRINT_RUN", 2)
    images = blobs(20)
    write_dataset(tmp_path / "a.h5", images, [""] * 20)
    dataset, on_disk = read_dataset(tmp_path / "a.h5"), stream(tmp_path / "a.h5")
    known = dataset.fingerprint()
    assert known == on_disk.fingerprint()
    for changed, matters in ((0, True), (1, True), (2, False), (9, True), (10, True), (19, True)):
        dataset.images = images.copy()
        dataset.images[changed, 0, 0, 0] ^= 1
        assert (dataset.fingerprint() != known) == matters, changed


# The order of blocks ----------------------------------------------------------------------------


def test_every_picture_comes_once_an_epoch_window_by_window():
    blocks = np.arange(50) // 4  # the last block is smaller
    order = BatchOrder(50, 3, blocks, window=5)
    epochs = order.indices(0, 200).reshape(4, 50)
    assert (np.sort(epochs, axis=1) == np.arange(50)).all()
    assert len({tuple(epoch) for epoch in epochs.tolist()}) == 4
    windows = []
    for epoch in epochs:
        seen = blocks[epoch]
        first = {block: np.flatnonzero(seen == block) for block in range(13)}
        spans = sorted((places.min(), places.max(), block) for block, places in first.items())
        # Thirteen blocks in windows of 5, 5 and 3: a block stays within its window.
        windows.append(frozenset(block for _, _, block in spans[:5]))
        ends = np.cumsum([len(np.flatnonzero(np.isin(seen, list(windows[-1]))))])
        assert max(end for _, end, _ in spans[:5]) < ends[0] <= min(s for s, _, _ in spans[5:])
    assert len(set(windows)) == 4


def test_one_window_is_no_window():
    blocks = np.arange(30) // 4
    assert np.array_equal(
        BatchOrder(30, 2, blocks, window=8).indices(0, 90), BatchOrder(30, 2).indices(0, 90)
    )


def test_mirror_images_are_in_blocks_of_their_own(tmp_path):
    chunked(tmp_path / "a.h5", 10, rows=4)
    order = stream(tmp_path / "a.h5", 8 * PICTURE).order(mirror=True, seed=0)
    assert order.blocks.tolist() == [0] * 4 + [1] * 4 + [2] * 2 + [3] * 4 + [4] * 4 + [5] * 2
    assert np.array_equal(np.sort(order.indices(20, 20)), np.arange(20))


# Reading ahead ----------------------------------------------------------------------------------


def test_batches_are_read_ahead_but_not_far():
    places = []

    def read(start: int) -> np.ndarray:
        places.append(start)
        return np.array([start])

    reader = ReadAhead(read, length=4, batches=3, name="test reader")
    with reader:
        assert [int(reader.batch(start)[0]) for start in (8, 12, 16)] == [8, 12, 16]
        deadline = time.monotonic() + 600
        while (len(places) < 7 or not reader._waiting.full()) and time.monotonic() < deadline:
            time.sleep(0.001)
        assert reader._waiting.full()
        assert places == [8, 12, 16, 20, 24, 28, 32]  # three wait, one is in the hand
        assert int(reader.batch(100)[0]) == 100  # elsewhere: from there on
        assert int(reader.batch(104)[0]) == 104
    assert not [thread for thread in threading.enumerate() if thread.name == "test reader"]


def test_what_goes_wrong_while_reading_is_raised_for_its_batch():
    def read(start: int) -> np.ndarray:
        if start == 8:
            raise RunError("no more")
        return np.array([start])

    with ReadAhead(read, length=4, batches=3) as reader:
        assert int(reader.batch(0)[0]) == 0
        assert int(reader.batch(4)[0]) == 4
        with pytest.raises(RunError, match="no more"):
            reader.batch(8)


# Runs -------------------------------------------------------------------------------------------

NOISY = [*TINY, "--history-interval", "3", "--sample-interval", "10", "--mirror", "--limit", "11",
         "--discriminator-dropout", "0.1", "--label-noise", "0.1"]  # fmt: skip
LITTLE = ["--memory-budget", BUDGET / 1e9]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def script(folder):
    """Run the script in this process, in a folder that the runs share."""

    def run(*arguments: object) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(folder)
            patch.setattr(sys, "argv", ["dcgan.py", *map(str, arguments)])
            dcgan.main()

    return run


@pytest.fixture(scope="module")
def in_memory(script, data_file):
    """The name of a run of twelve steps in memory."""
    script(*NOISY, "--data", data_file, "--steps", 12, "--run-name", "memory")
    return "memory"


def test_streamed_and_then_in_memory_a_run_is_that_in_memory(
    script, in_memory, data_file, folder, capsys
):
    # Stopped in the middle of the second epoch.
    script(*NOISY, "--data", data_file, *LITTLE, "--steps", 7, "--run-name", "turns")
    printed = "".join(capsys.readouterr())
    assert "px, streamed from disk\n" in printed
    assert re.search(r"data wait=\d+%, disk wait=\d+%", printed)
    script("--resume", "turns", "--steps", 12, "--memory-budget", 1)
    assert "streamed" not in capsys.readouterr().out
    models, images = folder / "saved_models", folder / "images"
    last = Path("checkpoints", "step_0000012.npz")
    assert_same_state(models / in_memory / last, models / "turns" / last)
    assert read_history(images / in_memory) == read_history(images / "turns")
    for grid in ("reals.png", "step_0000012.png"):
        expected = (images / in_memory / grid).read_bytes()
        assert expected == (images / "turns" / grid).read_bytes()


def test_another_window_begins_the_order_anew(script, in_memory, data_file, folder, capsys):
    chunked(folder / "a.h5", 20, rows=4)
    assert read_dataset(folder / "a.h5").fingerprint() == read_dataset(data_file).fingerprint()
    budget = ["--memory-budget", 8 * PICTURE / 1e9]
    script("--resume", in_memory, "--steps", 17, "--data", "a.h5", *budget)
    printed = capsys.readouterr().out
    assert "streamed from disk" in printed
    assert "done at step 17 (3.1 epochs)" in printed
    with np.load(folder / "saved_models/memory/checkpoints/step_0000017.npz") as archive:
        assert archive["loop/window"] == 1
        assert archive["loop/images_seen"] == 5 * 4
        assert archive["loop/epochs_before"] == pytest.approx(12 * 4 / 22)


def test_a_dry_run_says_what_streaming_takes(script, data_file, capsys):
    script(*TINY, *LITTLE, "--data", data_file, "--dry-run")
    printed = capsys.readouterr().out
    assert re.search(r"memory +.* 2.3 kB data streamed from disk \(61.4 kB\)$", printed, re.M)
    assert not [thread for thread in threading.enumerate() if thread.name == "reader"]


def test_a_budget_that_cannot_be_meant(script, capsys):
    with pytest.raises(SystemExit):
        script("--memory-budget", -1)
    assert "--memory-budget -1.0: must be from 0 to 1000000" in capsys.readouterr().err


def damage(path: Path, *chosen: int) -> None:
    with h5py.File(path) as file:
        places = [file["images"].id.get_chunk_info(picture) for picture in chosen]
    with open(path, "rb+") as file:
        for place in places:
            file.seek(place.byte_offset)
            file.write(b"x" * place.size)


def test_a_file_that_is_damaged_while_the_run_goes_on(script, folder, monkeypatch, capsys):
    path = folder / "own.h5"
    # More than the megabyte that the HDF5 library keeps of what it has read.
    write_dataset(path, blobs(1000), [""] * 1000)
    read, batches = ImagesOnDisk.take, []

    def take(self, indices):
        batches.append(indices)
        if len(batches) == 40:
            damage(path, *range(1000))
        return read(self, indices)

    monkeypatch.setattr(ImagesOnDisk, "take", take)
    with pytest.raises(SystemExit) as stop:
        script(*TINY, *LITTLE, "--data", path, "--epochs", 0, "--checkpoint-interval", 5)
    errors = capsys.readouterr().err
    assert stop.value.code == 1, errors
    assert "Traceback" not in errors
    found = re.fullmatch(
        rf"dcgan.py: error: {re.escape(str(path))}: cannot be read any more: .*; the checkpoint of "
        r"step (\d+) is intact; go on with: python dcgan.py --resume dcgan-1",
        errors.strip().splitlines()[-1],
    )
    assert found, errors
    saved = folder / "saved_models" / "dcgan-1" / "checkpoints"
    assert max(saved.iterdir()).name == f"step_{int(found[1]):07d}.npz"
    assert int(found[1]) >= 5
    assert (folder / "images" / "dcgan-1" / "history.png").exists()


def test_a_file_that_is_damaged_from_the_start(script, data_file, tmp_path, capsys):
    path = tmp_path / "own.h5"
    path.write_bytes(data_file.read_bytes())
    damage(path, 3)
    with pytest.raises(SystemExit) as stop:
        script(*TINY, *LITTLE, "--data", path)
    assert stop.value.code == 1
    assert capsys.readouterr().err.startswith(f"dcgan.py: error: {path}: cannot be read any more: ")
