"""Data sets: files, folders, the built-in one, and the order of their pictures."""

import json
import os
import subprocess
import sys

import h5py
import numpy as np
import pytest
from PIL import Image

from tests.conftest import blobs, sprites
from utils.common.errors import RunError, UserError
from utils.common.pictures import read_picture
from utils.data import mechas
from utils.data.dataset import Dataset
from utils.data.hdf5 import read_dataset, write_dataset
from utils.data.order import BatchOrder
from utils.preparing.kept import _died
from utils.preparing.opening import open_dataset


def random_images(count=5, size=32, seed=0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, 3), np.uint8)


def write(path, count=5, size=32, **options):
    images = random_images(count, size)
    write_dataset(path, images, [f"picture {index}" for index in range(count)], **options)
    return images


# Files


def test_a_written_set_is_read_back(tmp_path):
    path = tmp_path / "new folder" / "robots.h5"
    attributes = {
        "legs": np.array([2, 2, 4, 6, 2], np.int16),
        "height": np.linspace(0, 1, 5, dtype=np.float32),
        "armed": np.array([True, False, True, False, True]),
        "colour": np.array(["red", "grün", "", "日本", "red"]),
        "position": np.zeros((5, 2)),
    }
    images = random_images()
    names = ["a.png", "ü.png", "ロボット.png", "", "b c.png"]
    write_dataset(path, images, names, attributes, made_by="by hand")
    found = read_dataset(path)
    assert np.array_equal(found.images, images)
    assert found.images.dtype == np.uint8
    assert found.names == names
    assert found.attributes.keys() == attributes.keys()
    for name, values in attributes.items():
        assert np.array_equal(found.attributes[name], values)
        assert found.attributes[name].dtype.kind == values.dtype.kind
    assert (found.made_by, found.source) == ("by hand", str(path))
    assert (len(found), found.image_size) == (5, 32)
    assert [file.name for file in path.parent.iterdir()] == ["robots.h5"]


def test_the_file_is_plain_hdf5_chunked_by_pictures(tmp_path):
    images = write(tmp_path / "a.h5", made_by="someone")
    with h5py.File(tmp_path / "a.h5") as file:
        assert file["images"].chunks == (1, 32, 32, 3)
        assert np.array_equal(file["images"][2], images[2])
        assert file["names"].asstr()[1] == "picture 1"
        assert dict(file.attrs) == {"format_version": 1, "image_size": 32, "made_by": "someone"}


@pytest.mark.parametrize(
    ("images", "names", "attributes", "problem"),
    [
        (np.zeros((2, 32, 32, 3)), "ab", {}, r"images: found float64 \(2, 32, 32, 3\), expected"),
        (np.zeros((2, 32, 64, 3), np.uint8), "ab", {}, "images: found uint8"),
        (np.zeros((2, 48, 48, 3), np.uint8), "ab", {}, "H = W = 32, 64, 128 or 256$"),
        (np.zeros((0, 32, 32, 3), np.uint8), "", {}, "with at least one picture"),
        (random_images(2), "a", {}, "names: found 1 for 2 images"),
        (random_images(2), ["a\0", "b"], {}, "NULL"),
        (random_images(2), "ab", {"legs": [1]}, r"attributes: legs has shape \(1,\), not 2 rows"),
        (random_images(2), "ab", {"a/b": [1, 2]}, "attributes: 'a/b' cannot be a name"),
        (random_images(2), "ab", {"legs": [1j, 2]}, "attributes: legs is of type complex128"),
    ],
)
def test_writing_validates_and_leaves_nothing_behind(tmp_path, images, names, attributes, problem):
    write(tmp_path / "a.h5", count=1)
    before = (tmp_path / "a.h5").read_bytes()
    with pytest.raises(ValueError, match=problem):
        write_dataset(tmp_path / "a.h5", images, names, attributes)
    assert (tmp_path / "a.h5").read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


def test_a_foreign_file_needs_only_images(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["images"] = random_images()
    found = read_dataset(tmp_path / "a.h5")
    assert found.names == ["0", "1", "2", "3", "4"]
    assert (found.attributes, found.made_by) == ({}, "")
    with h5py.File(tmp_path / "a.h5", "a") as file:
        file["names"] = np.array([b"a", b"b", b"\xff", b"d", b"e"])
    assert read_dataset(tmp_path / "a.h5").names == ["a", "b", "\ufffd", "d", "e"]


def hdf5(path, images="good", **others):
    with h5py.File(path, "w") as file:
        if images is not None:
            file["images"] = random_images() if isinstance(images, str) else images
        for name, values in others.items():
            file[name] = values


def cut_file(path):
    write(path)
    path.write_bytes(path.read_bytes()[:-3000])


def newer_file(path):
    write(path)
    with h5py.File(path, "a") as file:
        file.attrs["format_version"] = 2


def damaged_chunk(path):
    write(path)
    with h5py.File(path) as file:
        place = file["images"].id.get_chunk_info(3)
    data = bytearray(path.read_bytes())
    data[place.byte_offset : place.byte_offset + place.size] = b"x" * place.size
    path.write_bytes(data)


def external_link(path):
    write(path.with_name("other.h5"))
    with h5py.File(path, "w") as file:
        file["images"] = h5py.ExternalLink("other.h5", "/images")


def soft_link(path):
    hdf5(path)
    with h5py.File(path, "a") as file:
        file["names"] = h5py.SoftLink("/images")


def linked_attributes(path):
    write(path.with_name("other.h5"))
    hdf5(path)
    with h5py.File(path, "a") as file:
        file["attributes"] = h5py.ExternalLink("other.h5", "/attributes")


def external_storage(path):
    secret = path.with_name("secret")
    secret.write_bytes(bytes(3 * 32 * 32))
    with h5py.File(path, "w") as file:
        storage = [(str(secret), 0, 3 * 32 * 32)]
        file.create_dataset("images", (1, 32, 32, 3), np.uint8, external=storage)


def virtual(path):
    write(path.with_name("other.h5"))
    layout = h5py.VirtualLayout((5, 32, 32, 3), np.uint8)
    layout[...] = h5py.VirtualSource(path.with_name("other.h5"), "images", (5, 32, 32, 3))
    with h5py.File(path, "w") as file:
        file.create_virtual_dataset("images", layout)


def vast(path, count=10**7):
    with h5py.File(path, "w") as file:
        shape = (count, 256, 256, 3)
        file.create_dataset("images", shape, np.uint8, chunks=(1, 256, 256, 3))


def strings_for_images(path):
    with h5py.File(path, "w") as file:
        file.create_dataset("images", (5, 32, 32, 3), h5py.string_dtype())


def many_attributes(path):
    write(path, count=1, attributes={f"a{number}": [1] for number in range(300)})


def missing_filter(path):
    with h5py.File(path, "w") as file:
        made = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        made.set_chunk((1, 32, 32, 3))
        made.set_filter(32015, h5py.h5z.FLAG_OPTIONAL)
        space = h5py.h5s.create_simple((5, 32, 32, 3))
        h5py.h5d.create(file.id, b"images", h5py.h5t.NATIVE_UINT8, space, made)


BAD_FILES = {
    "empty": (
        lambda path: path.touch(),
        "an empty file; expected a prepared .h5 file$",
    ),
    "text": (lambda path: path.write_text("no HDF5"), "a text file; expected a prepared"),
    "unknown": (lambda path: path.write_bytes(b"\1\2\3\xff"), "not an HDF5 file; expected"),
    "zip": (
        lambda path: path.write_bytes(b"PK\3\4" + bytes(99)),
        "a zip archive; expected a prepared",
    ),
    "parquet": (
        lambda path: path.write_bytes(b"PAR1" + bytes(99)),
        "a parquet file; expected a prepared",
    ),
    "tar": (
        lambda path: path.write_bytes(bytes(257) + b"ustar"),
        "a tar archive; expected a prepared",
    ),
    "picture": (
        lambda path: Image.new("RGB", (8, 8)).save(path, "PNG"),
        "a picture; expected a prepared",
    ),
    "folder": (lambda path: path.mkdir(), "not a file; expected"),
    "missing": (lambda path: None, "no such file$"),
    "cut short": (cut_file, "damaged or cut short: .*truncated"),
    "damaged": (damaged_chunk, "damaged or cut short: "),
    "newer": (newer_file, "format version 2, and this program reads up to 1; update it"),
    "no images": (lambda path: hdf5(path, None), "an HDF5 file without the data set 'images'"),
    "floats": (lambda path: hdf5(path, np.zeros((2, 32, 32, 3))), "images: found float64"),
    "grey": (lambda path: hdf5(path, np.zeros((2, 32, 32), np.uint8)), r"uint8 \(2, 32, 32\)"),
    "not square": (lambda path: hdf5(path, np.zeros((2, 32, 64, 3), np.uint8)), "H = W = 32, 64"),
    "odd size": (lambda path: hdf5(path, np.zeros((2, 48, 48, 3), np.uint8)), "128 or 256$"),
    "no picture": (lambda path: hdf5(path, np.zeros((0, 32, 32, 3), np.uint8)), "at least one"),
    "scalar": (lambda path: hdf5(path, np.uint8(3)), r"images: found uint8 \(\)"),
    "null": (lambda path: hdf5(path, h5py.Empty(np.uint8)), "images: found uint8 None"),
    "strings": (strings_for_images, "images: found object"),
    "few names": (lambda path: hdf5(path, names=[b"a"]), "names: expected 5 rows, one a picture"),
    "odd names": (lambda path: hdf5(path, names=np.zeros(5, "c8")), "names: expected numbers or"),
    "group": (lambda path: hdf5(path, **{"names/x": 1}), "names: expected an HDF5 dataset"),
    "no group": (lambda path: hdf5(path, attributes=1), "attributes: expected an HDF5 group"),
    "wide": (lambda path: hdf5(path, names=np.zeros(5, "S60000000")), "names: more than 256 MB"),
    "many": (many_attributes, "300 attributes, more than 256"),
    "external link": (external_link, "images: a link to elsewhere, which is not followed"),
    "soft link": (soft_link, "names: a link to elsewhere"),
    "linked attributes": (linked_attributes, "attributes: a link to elsewhere"),
    "external storage": (external_storage, "images: stored in other files, which are not read"),
    "missing filter": (
        missing_filter,
        r"by the HDF5 filter Zstandard \(32015\), which",
    ),
    "virtual": (virtual, "images: stored in other files"),
    "vast": (vast, "10000000 pictures of 256 px need 1831.1 GB .* take fewer with --limit$"),
    "countless": (lambda path: vast(path, 10**9), "1000000000 pictures, more than 10,000,000$"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_files_give_one_line_that_names_them(name, tmp_path):
    make, problem = BAD_FILES[name]
    path = tmp_path / "bad.h5"
    make(path)
    with pytest.raises(UserError, match=problem) as error:
        read_dataset(path)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)


def test_limit_takes_a_sample_in_file_order_with_its_names(tmp_path):
    images = write(tmp_path / "a.h5", 40, attributes={"number": np.arange(40)})
    found = read_dataset(tmp_path / "a.h5", limit=10, seed=3)
    chosen = found.attributes["number"]
    assert len(set(chosen)) == 10
    assert (np.diff(chosen) > 0).all()
    assert chosen.tolist() != list(range(10))
    assert np.array_equal(found.images, images[chosen])
    assert found.names == [f"picture {index}" for index in chosen]
    again, other = (read_dataset(tmp_path / "a.h5", limit=10, seed=seed) for seed in (3, 4))
    assert again.fingerprint() == found.fingerprint() != other.fingerprint()
    larger = read_dataset(tmp_path / "a.h5", limit=20, seed=3)
    assert set(found.names) < set(larger.names)
    assert np.array_equal(read_dataset(tmp_path / "a.h5", limit=99).images, images)


def test_fingerprint_depends_on_shape_and_pixels():
    images = random_images(4)
    original = Dataset(images, list("abcd")).fingerprint()
    assert original == Dataset(images[::-1][::-1].copy(), list("efgh")).fingerprint()
    assert original == Dataset(np.flip(np.flip(images, 1).copy(), 1), []).fingerprint()
    changed = images.copy()
    changed[3, 31, 31, 2] ^= 1
    shapes = Dataset(images.reshape(1, 64, 64, 3), [])
    assert len({original, Dataset(changed, []).fingerprint(), shapes.fingerprint()}) == 3
    assert len(original) == 64


# What --data means


def test_open_file_checks_the_size(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    images = write(tmp_path / "x.dat")  # the bytes decide, not the suffix
    for size in (None, 32):
        found = open_dataset("x.dat", image_size=size)
        assert np.array_equal(found.images, images)
        assert found.source == "x.dat"
    problem = (
        r"^--image-size 128: x.dat holds pictures of 32 px; leave --image-size out or prepare the "
        r"set again at 128 px$"
    )
    with pytest.raises(UserError, match=problem):
        open_dataset("x.dat", image_size=128)


def test_options_are_checked_first():
    with pytest.raises(UserError, match=r"^--limit 0: expected at least 1 picture$"):
        open_dataset("nothing", limit=0)
    with pytest.raises(UserError, match=r"^--image-size 48: expected 32, 64, 128 or 256$"):
        open_dataset("nothing", image_size=48)


@pytest.mark.parametrize("data", ["foo", "", "f\0o", "no/such.h5"])
def test_what_does_not_exist(data):
    with pytest.raises(UserError) as error:
        open_dataset(data)
    shown = data.replace("\0", "?")
    expected = f"--data {shown}: no built-in data set (mechas), file or folder of that name"
    assert str(error.value) == expected


def picture_folder(folder):
    """Make five readable pictures, three broken ones, and files that are none."""
    for name, colour in {
        "b.png": (200, 0, 0), "a.jpg": (0, 0, 200), "sub/c.webp": (0, 200, 0),
        "sub/deep/D.PNG": (9, 9, 9), "no suffix": (99, 99, 99),
    }.items():  # fmt: skip
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (30, 20), colour).save(folder / name, format="PNG")
    (folder / "broken.png").write_bytes(b"")
    (folder / "text.jpg").write_text("no picture")
    (folder / "evil\x1b[31m.gif").write_text("no picture")
    (folder / "README.txt").write_text("BM is not always a bitmap")
    (folder / "a.json").write_text("{}")
    (folder / ".hidden.png").write_bytes(b"")
    (folder / ".cache").mkdir()
    (folder / ".cache" / "e.png").write_bytes(b"")
    os.symlink(folder, folder / "sub" / "loop")


def test_transparent_pictures_are_told_each_time(tmp_path, capsys):
    for number, image in enumerate([*sprites(2), *blobs(1)]):
        Image.fromarray(image).save(tmp_path / f"{number}.png")
    for _ in range(2):
        open_dataset(str(tmp_path), 32)
        told = capsys.readouterr().err
        assert "resized to 32 px; 2 transparent in places, drawn on white; kept in " in told


def test_open_folder(tmp_path, capsys):
    picture_folder(tmp_path / "pictures")
    found = open_dataset(str(tmp_path / "pictures"))
    assert found.names == ["a.jpg", "b.png", "no suffix", "sub/c.webp", "sub/deep/D.PNG"]
    assert found.attributes["folder"].tolist() == ["", "", "", "sub", "deep"]
    assert found.images.shape == (5, 64, 64, 3)
    assert found.images[:, 30, 30].tolist() == [
        [0, 0, 200], [200, 0, 0], [99, 99, 99], [0, 200, 0], [9, 9, 9],
    ]  # fmt: skip
    assert found.source == str(tmp_path / "pictures")
    made_by = "5 pictures (folder), padded to squares and resized to 64 px; 7 left out"
    assert found.made_by == made_by
    errors = capsys.readouterr().err
    *told, kept = errors.splitlines()[-6:]
    assert kept.startswith(
        f"{tmp_path / 'pictures'}: {made_by}; kept in {os.environ['GANDAM_HOME']}/"
    )
    assert told == [
        "3 left out: a text file (evil?[31m.gif, text.jpg, README.txt)",
        "2 left out: hidden (.cache, .hidden.png)",
        "1 left out: an empty file (broken.png)",
        "1 left out: a link to a folder that is read already, or around it (sub/loop)",
        "5 one-coloured, taken nonetheless (a.jpg, b.png, no suffix and 2 more)",
    ]
    assert "\x1b[31m" not in errors
    write_dataset(tmp_path / "a.h5", found.images, found.names)
    (tmp_path / "pictures/sub/deep/D.PNG").unlink()
    flat = open_dataset(str(tmp_path / "pictures/sub"), image_size=32)
    assert (flat.image_size, flat.attributes) == (32, {})  # all in one folder


def test_folder_with_limit_fills_up_with_readable_pictures(tmp_path, capsys, monkeypatch):
    picture_folder(tmp_path)
    for limit in (1, 3, 5, 8, 100):
        found = open_dataset(str(tmp_path), limit=limit, seed=1)
        assert len(found) == len(set(found.names)) == min(limit, 5)
        assert found.names == sorted(found.names)
    read = []
    monkeypatch.setattr(
        "utils.preparing.kept._square", lambda task: read.append(task.index) or _died(task)
    )
    with pytest.raises(UserError):
        open_dataset(str(tmp_path), limit=2)
    assert len(read) == len(set(read)) == 8  # each file once


def test_many_unreadable_pictures_are_counted(tmp_path, capsys):
    for number in range(14):
        (tmp_path / f"{number:02}.png").write_bytes(b"")
    (tmp_path / "notes.txt").touch()
    problem = "^--data .*: found no readable picture among 15 files; expected a folder, .zip"
    with pytest.raises(UserError, match=problem):
        open_dataset(str(tmp_path))
    errors = capsys.readouterr().err
    assert errors.endswith("15 left out: an empty file (00.png, 01.png, 02.png and 12 more)\n")


def test_small_pictures_and_banners_are_left_out_and_links_followed(tmp_path, capsys):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name, size in {"a": (22, 5), "b": (21, 21), "c": (400, 79)}.items():
        Image.new("RGB", size).save(folder / f"{name}.png")
    (tmp_path / "elsewhere").mkdir()
    Image.new("RGB", (40, 40)).save(tmp_path / "elsewhere" / "d.PNG")
    os.symlink(tmp_path / "elsewhere", tmp_path / "elsewhere" / "loop")
    os.symlink(tmp_path / "elsewhere", folder / "first")
    os.symlink(tmp_path / "elsewhere", folder / "second")
    os.symlink(tmp_path, folder / "third")
    (folder / "shard.parquet").write_bytes(b"PK")
    assert open_dataset(str(folder)).names == ["a.png", "first/d.PNG"]
    assert capsys.readouterr().err.splitlines()[-6:-2] == [
        "3 left out: a link to a folder that is read already, or around it "
        "(second, third, first/loop)",
        "1 left out: too small, under 21 pixels each way (b.png)",
        "1 left out: too narrow, over 5 times as long as wide (c.png)",
        "1 left out: a text file (shard.parquet)",
    ]


def test_a_folder_is_decoded_once_until_it_changes(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("GANDAM_HOME", str(tmp_path / "kept"))
    folder = tmp_path / "pictures"
    picture_folder(folder)
    read = []
    monkeypatch.setattr(
        "utils.preparing.kept.read_picture", lambda data: read.append(data) or read_picture(data)
    )

    def opened(**options):
        """The fingerprint, and how many files were decoded."""
        read.clear()
        return open_dataset(str(folder), **options).fingerprint(), len(read)

    first, count = opened()
    assert count == 8
    assert opened() == (first, 0)
    monkeypatch.chdir(folder)
    assert open_dataset("../pictures", memory_budget=1).is_streamed
    (kept,) = (tmp_path / "kept").iterdir()
    cut_file(kept)
    assert opened() == (first, 8)  # it is damaged
    others = {"image_size": 32}, {"limit": 2}, {"limit": 2, "seed": 1}
    assert [opened(**options)[1] > 0 for options in others] == [True] * 3
    assert [opened(**options)[1] for options in others] == [0] * 3
    with open(folder / "b.png", "ab") as file:
        file.write(b"more")
    assert opened() == (first, 8)
    (folder / "b.png").unlink()
    assert opened()[1] == 7
    assert len(list((tmp_path / "kept").iterdir())) == 1  # nothing out of date, of any size


def full_disk(*_):
    raise OSError(28, "No space left on device")


def test_pictures_are_read_where_nothing_can_be_kept(tmp_path, monkeypatch, capsys):
    picture_folder(tmp_path / "pictures")
    cache, scratch = tmp_path / "x", tmp_path / "scratch"
    cache.touch()
    scratch.mkdir()
    monkeypatch.setenv("GANDAM_HOME", str(cache))
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    data = str(tmp_path / "pictures")
    in_memory, streamed = open_dataset(data), open_dataset(data, memory_budget=1)
    assert streamed.is_streamed
    np.testing.assert_array_equal(streamed.take(np.arange(5)), in_memory.images)
    assert list(scratch.iterdir()) == []
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == (
        f"{cache}: cannot be written: File exists; decoded pictures are not kept, unless "
        "GANDAM_HOME names another folder"
    )
    assert lines[-1] == f"{data}: {in_memory.made_by}"
    monkeypatch.setattr("utils.preparing.kept.write_dataset", full_disk)
    monkeypatch.setenv("GANDAM_HOME", str(scratch))
    with pytest.raises(RunError, match=r"/pictures-\w+-\w+-64\.h5: cannot be written: No space"):
        open_dataset(data)
    monkeypatch.setenv("GANDAM_HOME", "~nobody of that name/kept")
    with pytest.raises(UserError, match=r"^no home folder to keep decoded pictures in; expecte"):
        open_dataset(data)


# Built in


@pytest.fixture
def drawings(monkeypatch, tmp_path):
    """A stand-in for ``utils.data.mechas`` that notes its calls; the working folder is empty."""
    calls = []

    def draw_dataset(count, size, seed, processes=None, progress=True):
        calls.append((count, size, seed))
        names = [f"mecha {number}" for number in range(count)]
        return random_images(count, size), names, {"legs": np.arange(count)}

    monkeypatch.setattr(mechas, "VERSION", 7)
    monkeypatch.setattr(mechas, "DEFAULT_COUNT", 12)
    monkeypatch.setattr(mechas, "draw_dataset", draw_dataset)
    monkeypatch.chdir(tmp_path)
    return calls


def test_mechas_are_drawn_once(drawings, tmp_path, capsys):
    first = open_dataset("mechas")
    assert drawings == [(12, 64, 0)]
    assert (tmp_path / "data" / "mechas-64.h5").exists()
    second = open_dataset("mechas", 64, seed=5)
    assert len(drawings) == 1
    assert first.fingerprint() == second.fingerprint()
    assert first.source == second.source == "mechas"
    assert first.made_by == second.made_by == "mechas version 7, count 12, seed 0, 64 px"
    assert len(open_dataset("mechas", limit=4)) == 4
    assert open_dataset("mechas", 32).image_size == 32
    assert (tmp_path / "data" / "mechas-32.h5").exists()
    assert capsys.readouterr().err == ""


def test_mechas_of_another_version_are_drawn_again(drawings, monkeypatch, capsys):
    open_dataset("mechas")
    monkeypatch.setattr(mechas, "VERSION", 8)
    assert "version 8" in open_dataset("mechas").made_by
    assert len(drawings) == 2
    expected = "data/mechas-64.h5: of another version; drawing the mechas again\n"
    assert capsys.readouterr().err == expected


def test_a_prepared_set_is_not_written_over_by_drawn_mechas(drawings, tmp_path):
    (tmp_path / "data").mkdir()
    path = tmp_path / "data" / "mechas-64.h5"
    write_dataset(
        path, np.zeros((3, 64, 64, 3), np.uint8), [""] * 3, made_by="prepare_dataset.py 1"
    )
    before = path.read_bytes()
    with pytest.raises(UserError, match=r"mechas-64\.h5: made by prepare_dataset\.py 1; expected"):
        open_dataset("mechas")
    assert path.read_bytes() == before
    assert not drawings


def test_a_damaged_cache_is_drawn_again(drawings, tmp_path, capsys):
    open_dataset("mechas")
    cut_file(tmp_path / "data" / "mechas-64.h5")
    assert len(open_dataset("mechas")) == 12
    assert len(drawings) == 2
    errors = capsys.readouterr().err
    assert errors.startswith("data/mechas-64.h5: damaged or cut short: ")
    assert errors.endswith("; drawing the mechas again\n")
    assert errors.count("\n") == 1


def test_a_cache_that_cannot_be_written(drawings, tmp_path, monkeypatch):
    (tmp_path / "data").touch()
    with pytest.raises(UserError, match=r"^data: cannot be written; expected a folder"):
        open_dataset("mechas")
    assert drawings == []
    (tmp_path / "data").unlink()

    monkeypatch.setattr("utils.data.built_in.write_dataset", full_disk)
    with pytest.raises(RunError, match=r"^data/mechas-64.h5: cannot be written: .*No space left"):
        open_dataset("mechas")


def test_the_built_in_name_wins_over_a_folder(drawings, tmp_path):
    picture_folder(tmp_path / "mechas")
    assert len(open_dataset("mechas")) == 12
    assert len(open_dataset("./mechas")) == 5


# Order


def test_every_picture_comes_once_an_epoch():
    order = BatchOrder(7, seed=1)
    stream = order.indices(0, 7 * 5)
    assert stream.dtype == np.int32
    epochs = stream.reshape(5, 7)
    assert (np.sort(epochs, axis=1) == np.arange(7)).all()
    assert len({tuple(epoch) for epoch in epochs.tolist()}) == 5


@pytest.mark.parametrize("blocks", [(), (np.arange(30) // 4, 3)])
def test_order_is_a_pure_function_of_the_place(blocks):
    whole = BatchOrder(30, 2, *blocks).indices(0, 400)
    order = BatchOrder(30, 2, *blocks)
    for start, length in [(133, 4), (0, 25), (399, 1), (57, 60), (12, 0), (8, 8), (16, 8)]:
        assert np.array_equal(order.indices(start, length), whole[start : start + length])
    assert not np.array_equal(whole, BatchOrder(30, 3, *blocks).indices(0, 400))


def test_order_is_that_of_numpy_by_seed_and_epoch():
    expected = np.random.default_rng([4, 2]).permutation(6)
    assert np.array_equal(BatchOrder(6, seed=4).indices(12, 6), expected)


def test_order_of_one_picture_and_of_none():
    assert BatchOrder(1, seed=0).indices(5, 3).tolist() == [0, 0, 0]
    with pytest.raises(ValueError, match="count must be at least 1, found 0"):
        BatchOrder(0, seed=0)


def test_no_deep_learning_library_is_imported():
    code = "import json, sys, utils.preparing.opening; print(json.dumps(sorted(sys.modules)))"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout
    assert not {"keras", "tensorflow", "torch", "jax"} & set(json.loads(output))
