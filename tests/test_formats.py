"""Every format that pictures come in: how many are read, what is known of them, what is refused."""

from __future__ import annotations

import csv
import io
import json
import sys
import tarfile
import warnings
import zipfile

import h5py
import numpy as np
import pytest
from PIL import Image

from tests.conftest import blobs
from tests.preparing import prepare, refused
from tests.test_pictures import encode
from utils.common.errors import UserError
from utils.preparing.opening import open_dataset
from utils.preparing.sources import open_source, tar

IMAGES = blobs(4)
FILES = [encode(Image.fromarray(image), "PNG") for image in IMAGES]
RGBA = np.concatenate([IMAGES, np.full((4, 32, 32, 1), 255, np.uint8)], axis=3)
GREY = IMAGES[..., 1]


def tree():
    """Four pictures in two folders, and what says something of them."""
    files = {f"all/{'cat' if i < 2 else 'dog'}/{i}.png": data for i, data in enumerate(FILES)}
    for index in range(4):
        stem = f"all/{'cat' if index < 2 else 'dog'}/{index}"
        files[f"{stem}.json"] = json.dumps({"legs": index, "of": {"who": "me"}}).encode()
        files[f"{stem}.cls"] = str(index % 2).encode()
        files[f"{stem}.txt"] = f"number {index}".encode()
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerows([["file_name", "price", "said"], *(
        [f"{'cat' if i < 2 else 'dog'}/{i}.png", i + 0.5, f'a, "{i}"\nb'] for i in range(4)
    )])  # fmt: skip
    files["all/metadata.csv"] = table.getvalue().encode()
    files["README.md"] = b"about it"
    files["all/alone.txt"] = b"of no picture"
    return files


KNOWN = {
    "folder": ["cat", "cat", "dog", "dog"], "legs": [0, 1, 2, 3], "of_who": ["me"] * 4,
    "cls": [0, 1, 0, 1], "txt": [f"number {index}" for index in range(4)],
    "price": [0.5, 1.5, 2.5, 3.5], "said": [f'a, "{index}" b' for index in range(4)],
}  # fmt: skip
ALONE = {"README.md": "a text file", "all/alone.txt": "a text file"}


def folder(path):
    for name, data in tree().items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)


def zipped(path):
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in tree().items():
            archive.writestr(name, data)


def tarred(path, files=None, mode="w"):
    with tarfile.open(path, mode) as archive:
        for name, data in (files or tree()).items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))


def parquet(path, **columns):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet

    pyarrow.parquet.write_table(pa.table(columns), path)


def published(path):
    """With the names of its classes, as Hugging Face's library writes them."""
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet

    features = {"label": {"names": ["cat", "dog"], "_type": "ClassLabel"}, "image": {}}
    table = pa.table({"image": [{"bytes": data} for data in FILES], "label": [0, 1, -1, None]})
    known = json.dumps({"info": {"features": features}})
    pyarrow.parquet.write_table(table.replace_schema_metadata({"huggingface": known}), path)


def lists(path):
    pictures = [[{"bytes": data, "path": None} for data in FILES[i : i + 2]] for i in (0, 2)]
    parquet(path, images=pictures, label=[3, 7])


def clone(path):
    """Shards, and pictures with a table, as Hugging Face has both."""
    (path / "data").mkdir(parents=True)
    parquet(path / "data/train-0.parquet", image=[{"bytes": FILES[2]}], label=[5])
    parquet(path / "data/train-1.parquet", image=[{"bytes": FILES[3]}], label=[6])
    for name, data in zip(("a.png", "b.png"), FILES, strict=False):
        (path / "data" / name).write_bytes(data)
    lines = [{"file_name": "a.png", "label": 3}, {"file_name": "./b.png", "label": 4}]
    text = "\n".join(map(json.dumps, lines))
    (path / "data/metadata.jsonl").write_text(text)


def hdf5(path, images=IMAGES, **options):
    with h5py.File(path, "w") as file:
        file.create_dataset("train/x", data=images, **options)
        file["train/y"] = np.arange(4)
        file["train/who"] = ["a", "b", "c", "d"]


COLUMNS = {"y": [0, 1, 2, 3], "who": ["a", "b", "c", "d"]}
AS_FLOATS = IMAGES.transpose(0, 3, 1, 2) / np.float32(127.5) - 1

# How a file is made, what is known of its pictures, what is left out, and what was found out.
FORMATS = {
    "folder": (folder, KNOWN, ALONE, "folder"),
    "a.zip": (zipped, KNOWN, ALONE, "zip"),
    "a.tar": (tarred, KNOWN, ALONE, "tar"),
    "a.tar.gz": (lambda path: tarred(path, mode="w:gz"), KNOWN, ALONE, "tar"),
    "lists.parquet": (lists, {"label": [3, 3, 7, 7]}, {}, "parquet"),
    "published.parquet": (published, {"label": ["cat", "dog", "-1", ""]}, {}, "parquet"),
    "clone": (clone, {"label": [3, 4, 5, 6]}, {}, "folder"),
    "bytes.npy": (lambda path: np.save(path, IMAGES), {}, {}, "npy of uint8 NHWC"),
    "floats.npy": (
        lambda path: np.save(path, AS_FLOATS), {}, {}, "npy of float32 NCHW, -1 to 1",
    ),
    "big-endian.npy": (
        lambda path: np.save(path, IMAGES.astype(">f8")), {}, {}, "npy of float64 NHWC, 0 to 255",
    ),
    "rgba.npz": (
        lambda path: np.savez_compressed(path, images=RGBA, y=np.arange(4)[:, None], more=GREY[0]),
        {"y": [0, 1, 2, 3]}, {"more": "an array of uint8 (32, 32)"}, "npz of uint8 NHWC",
    ),
    "foreign.h5": (hdf5, COLUMNS, {}, "h5 of uint8 NHWC"),
    "chunks.h5": (
        lambda path: hdf5(path, RGBA / 255 * 1.02, chunks=(3, 8, 8, 4), compression="gzip"),
        COLUMNS, {}, "h5 of float64 NHWC, 0 to 1",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_its_pictures_and_what_is_known_of_them(name, tmp_path):
    make, known, left_out, kind = FORMATS[name]
    make(tmp_path / name)
    source = open_source(str(tmp_path / name))
    assert (source.kind, dict(source.left_out)) == (kind, left_out)
    for limit in (None, 3):
        dataset = open_dataset(str(tmp_path / name), 32, limit)
        rows = [
            int(np.abs(IMAGES - image.astype(int)).mean(axis=(1, 2, 3)).argmin())
            for image in dataset.images
        ]
        assert rows == sorted(set(rows))
        assert len(rows) == (limit or 4)
        difference = np.abs(dataset.images.astype(int) - IMAGES[rows])
        assert difference.max() <= (5 if name == "chunks.h5" else 0)  # which overshoots by 2 %
        found = {name: values.tolist() for name, values in dataset.attributes.items()}
        if limit is None:
            assert found == known
            assert len(source) == len(list(source.entries())) == 4 or name == "lists.parquet"
    assert ("; 2 left out" in dataset.made_by) == (left_out is ALONE)


@pytest.mark.parametrize("images", [GREY, GREY[:, None], GREY[..., None]])
def test_grey_arrays(tmp_path, images):
    np.savez(tmp_path / "grey.npz", arr_0=images, names=np.array(["a", "b", "c", "d"]))
    dataset = open_dataset(str(tmp_path / "grey.npz"), 32)
    np.testing.assert_array_equal(dataset.images, np.repeat(GREY[..., None], 3, axis=3))
    assert dataset.names == ["a", "b", "c", "d"]


def test_sources_of_several_formats_are_prepared_together(tmp_path):
    np.save(tmp_path / "one.npy", AS_FLOATS[0].transpose(1, 2, 0))
    tarred(tmp_path / "a.tgz", mode="w:gz")
    np.savez(tmp_path / "two.npz", x_train=IMAGES, x_test=IMAGES)
    choice = "--output", "set.h5", "--size", 32
    message = refused(tmp_path, "two.npz", *choice)
    assert message == (
        "two.npz: expected one array of pictures, uint8 or float, N x H x W x C or N x C x H x W, "
        "found x_train, x_test; choose with prepare_dataset.py --image-column"
    )
    blank = np.full((32, 32, 3), 200, np.uint8)
    np.save(tmp_path / "blank.npy", blank)
    every = "one.npy", "a.tgz", "two.npz", "blank.npy"
    result = prepare(tmp_path, *every, *choice, "--image-column", "x_test")
    assert result.stdout.splitlines()[:7] == [
        "     1 pictures in one.npy (npy of float32 HWC, -1 to 1)",
        "     4 pictures in a.tgz (tar)",
        "           2 left out: a text file (README.md, all/alone.txt)",
        "     4 pictures in two.npz (npz of uint8 NHWC)",
        "           1 left out: an array of uint8 (4, 32, 32, 3) (x_train)",
        "     1 pictures in blank.npy (npy of uint8 HWC)",
        "    10 pictures in all",
    ]
    assert "     1 of them one-coloured (blank)" in result.stdout.splitlines()


def test_a_tar_of_odd_members(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for name in ("../../up.png", "/etc/root", ".hidden.png", "__MACOSX/a.png", "twice.png",
                     "twice.png", "notes", "alone.json"):  # fmt: skip
            data = b"no picture" if name in ("notes", "alone.json") else FILES[0]
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
        for name, kind in (("link.png", tarfile.SYMTYPE), ("pipe.png", tarfile.FIFOTYPE)):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "/etc/passwd"
            archive.addfile(member)
    source = open_source(str(tmp_path / "a.tar"))
    assert [entry.file for entry in source.entries()] == [
        "up.png", "etc/root", "twice.png", "twice.png (2)",
    ]  # fmt: skip
    assert [entry.read() for entry in source.entries()] == [FILES[0]] * 4
    assert sorted(source.left_out) == [
        (".hidden.png", "hidden"),
        ("__MACOSX/a.png", "metadata of macOS"),
        ("alone.json", "no JSON"),
        ("link.png", "a link"),
        ("notes", "a text file"),
        ("pipe.png", "no regular file"),
    ]


def test_tables_that_say_little(tmp_path):
    for name, data in zip(("a.png", "b.png"), FILES, strict=False):
        (tmp_path / name).write_bytes(data)
    rows = ['{"file_name": "a.png", "n": 1}', "[]", '{"n": 2}', '{"file_name": "sub\\\\c.png"}']
    (tmp_path / "metadata.jsonl").write_text("\n".join([*rows, '{"file_name": "gone.png"}\n']))
    (tmp_path / "metadata.csv").write_text("name,n\na.png,3\n")
    (tmp_path / "sub").mkdir()
    wide = "file_name" + ",n" * 1000
    (tmp_path / "sub/metadata.csv").write_text(f"{wide}\na.png\n")
    (tmp_path / "sub/c.png").write_bytes(FILES[2])
    (tmp_path / "b.json").write_text("{")
    source = open_source(str(tmp_path))
    known = [{"folder": "", "n": 1}, {"folder": ""}, {"folder": "sub"}]
    assert [entry.attributes for entry in source.entries()] == known
    assert sorted(source.left_out) == [
        ("b.json", "no JSON"),
        ("gone.png", "named in a table, but there is no such picture"),
        ("metadata.csv, line 1", "a table without a column file_name"),
        ("metadata.jsonl, line 2", "a line that is no JSON object"),
        ("sub/metadata.csv, line 1", "a table of 1,001 columns, more than 1,000"),
    ]


def test_arrays_beside_images_that_need_no_conversion(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["images"], file["labels"], file["who"] = IMAGES, [[3], [4], [3], [4]], list("abcd")
        file["boxes"], file["sum"], file["link"] = np.eye(4), 7, h5py.SoftLink("/labels")
    attributes = open_dataset(str(tmp_path / "a.h5")).attributes
    assert {name: values.tolist() for name, values in attributes.items()} == {
        "labels": [3, 4, 3, 4], "who": ["a", "b", "c", "d"],
    }  # fmt: skip


def test_numbers_that_are_missing(tmp_path):
    kinds = np.array([20200101, np.nan, 20200102, 0.5])
    np.savez(tmp_path / "a.npz", images=IMAGES, kind=kinds)
    attributes = open_dataset(str(tmp_path / "a.npz"), 32).attributes
    assert attributes["kind"].tolist() == ["20200101", "", "20200102", "0.5"]


def test_tables_are_read_once_there_is_pyarrow(tmp_path, monkeypatch, capsys):
    clone(tmp_path / "clone")
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "pyarrow", None)
        assert len(open_dataset(str(tmp_path / "clone"), 32)) == 2
    assert "pip install pyarrow (data/train-0.parquet, data/tr" in capsys.readouterr().err
    assert len(open_dataset(str(tmp_path / "clone"), 32)) == 4


def cut(make, keep):
    def cut_file(path):
        make(path)
        path.write_bytes(path.read_bytes()[:keep])

    return cut_file


def array(values, **options):
    return lambda path: np.save(path, values, **options)


def second_member(path):
    """Where the second member of the tar archive of `tree` begins."""
    with tarfile.open(path) as archive:
        return archive.getmembers()[1].offset


def half(path):
    tarred(path)
    path.write_bytes(path.read_bytes()[: second_member(path)])


def with_damage(path):
    tarred(path)
    data, place = bytearray(path.read_bytes()), second_member(path)
    data[place : place + 4] = b"none"
    path.write_bytes(data)


def with_more(path):
    tarred(path)
    path.write_bytes(path.read_bytes() * 2)


def other_checksum(path):
    tarred(path, mode="w:gz")
    data = path.read_bytes()
    path.write_bytes(data[:-8] + bytes(4) + data[-4:])


def odd_floats(path):
    np.save(path, np.linspace(-2.5, 2.5, 4 * 32 * 32, dtype=np.float32).reshape(4, 32, 32))


REFUSED = {
    "cut.tar": (cut(tarred, 2000), "a damaged tar archive: unexpected end of data"),
    "cut.tar.gz": (
        cut(lambda path: tarred(path, mode="w:gz"), 500),
        "a damaged tar archive: Compressed file ended before the end-of-stream marker was reached",
    ),
    "half.tar": (half, "a damaged tar archive: it has no end, as after a broken download"),
    "with-damage.tar": (with_damage, "a damaged tar archive: bad checksum at byte 1,"),
    "with-more.tar": (with_more, "a damaged tar archive: there is more behind its end"),
    "other-checksum.tar.gz": (other_checksum, "a damaged tar archive: CRC check failed "),
    "cut.npy": (cut(array(IMAGES), 9000), "a damaged npy file: cut short, as after a broken down"),
    "cut.npz": (
        cut(lambda path: np.savez(path, a=IMAGES), 9000),
        "a damaged npz file: File is not",
    ),
    "pickle.npy": (
        array(np.array([{}] * 3)),
        "Python objects (a pickle), which are not read",
    ),
    "fortran.npy": (
        array(np.asfortranarray(IMAGES)),
        "in Fortran's order, which is not read; save np.ascontiguousarray of it",
    ),
    "none.npy": (array(IMAGES[:0]), "none: uint8 (0, 32, 32, 3), no picture"),
    "wide.npy": (
        odd_floats,
        "wide: float32 from -2.5 to 2.5; expected uint8, or a range of 0 to 1, -1 to 1 or 0 to 255",
    ),
    "high.npy": (
        array(IMAGES.astype(np.int32) + 1),
        "high: int32 from 4 to 256; expected uint8, or a range of",
    ),
    "table.npy": (array(np.zeros(5)), "expected one array of pictures, uint8 or float, N x H x W"),
    "plain.gz": (lambda path: path.write_bytes(b"\x1f\x8b"), "a gzip file, which is not read"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_is_one_line(name, tmp_path):
    make, problem = REFUSED[name]
    make(tmp_path / name)
    with pytest.raises(UserError) as error:
        open_dataset(str(tmp_path / name), 32)
    assert str(error.value).startswith(f"{tmp_path / name}: {problem}")
    assert "\n" not in str(error.value)


def test_limits_on_archives_that_unpack_to_much(tmp_path, monkeypatch):
    monkeypatch.setattr(tar, "BOMB_BYTES", 100_000)
    tarred(tmp_path / "bomb.tar.gz", {"a.png": bytes(10**6)}, "w:gz")
    with pytest.raises(
        UserError, match=r"bomb.tar.gz: a damaged tar archive: it unpacks to more t"
    ):
        open_source(str(tmp_path / "bomb.tar.gz"))
    tarred(tmp_path / "name.tar", {"a" * 500: FILES[0]})
    monkeypatch.setattr(tar, "MAX_HEADER_BYTES", 400)
    with pytest.raises(UserError, match=r"name.tar: a damaged tar archive: a header of \d+ bytes"):
        open_source(str(tmp_path / "name.tar"))
    with warnings.catch_warnings(action="ignore"):
        np.savez_compressed(tmp_path / "bomb.npz", images=np.zeros((40, 1024, 1024), np.uint8))
    with pytest.raises(
        UserError, match=r"images.npy unpacks from [0-9,]+ to 41,943,168 bytes: a z"
    ):
        open_source(str(tmp_path / "bomb.npz"))
