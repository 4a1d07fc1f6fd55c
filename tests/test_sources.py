"""Pictures from folders, zip archives and tables, whatever is wrong with them."""

from __future__ import annotations

import datetime
import decimal
import io
import json
import os
import re
import uuid
import warnings
import zipfile

import numpy as np
import pytest
from PIL import Image

from tests.conftest import deadline
from tests.preparing import prepare, refused, report_of, verdicts
from tests.test_pictures import chunk, encode, png
from utils.common.pictures import UnreadablePicture
from utils.data import mechas
from utils.data.hdf5 import read_dataset
from utils.preparing.sources import open_source
from utils.preparing.sources.entries import text


@pytest.fixture(scope="module")
def drawn():
    images, _, _ = mechas.draw_dataset(6, 64, processes=1, progress=False)
    return images


def nasty_files():
    """Name -> (bytes, the filter that has to answer or None)."""
    random = np.random.default_rng(0)

    def image(seed=0):
        pixels = np.random.default_rng(seed).integers(0, 256, (8, 8, 3)).astype(np.uint8)
        return Image.fromarray(pixels).resize((96, 96))

    good = encode(image(1), "PNG")
    rgba = np.zeros((96, 96, 4), np.uint8)
    rgba[20:70, 30:60] = (200, 30, 30, 255)
    upright = image(2)
    exif = upright.getexif()
    exif[0x0112] = 6
    frames = [image(seed) for seed in (3, 4)]
    animated = io.BytesIO()
    frames[0].save(animated, "GIF", save_all=True, append_images=frames[1:])
    sixteen = Image.fromarray(random.integers(0, 65536, (96, 96)).astype(np.uint16))
    bomb = png(60_000, 60_000, 8, 2, b"")
    return {
        "alpha.png": (encode(Image.fromarray(rgba), "PNG"), None),
        "cmyk.jpg": (encode(image(5).convert("CMYK"), "JPEG"), None),
        "grey.jpg": (encode(image(6).convert("L"), "JPEG"), None),
        "palette.gif": (encode(image(7).quantize(16), "GIF"), None),
        "sixteen.png": (encode(sixteen, "PNG"), None),
        "float.tiff": (encode(image(8).convert("F"), "TIFF"), None),
        "one-bit.bmp": (encode(image(9).convert("1"), "BMP"), None),
        "turned.jpg": (encode(upright, "JPEG", exif=exif), None),
        "animated.gif": (animated.getvalue(), None),
        "no suffix": (good, None),
        "wrong.jpg": (encode(image(10), "PNG"), None),
        "cut.png": (good[: len(good) // 2], "unreadable"),
        "cut.jpg": (encode(image(11), "JPEG")[:500], "unreadable"),
        "empty.png": (b"", "unreadable"),
        "text.jpg": (b"<html>not found</html>", "unreadable"),
        "drawing.png": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "unreadable"),
        "bomb.png": (bomb, "unreadable"),
        "text-bomb.png": (
            png(96, 96, 8, 2, b"", chunk(b"zTXt", b"k\0\0" + b"\x78\x9c" + b"0" * 50)),
            "unreadable",
        ),
        "tiny.png": (encode(image(12).resize((31, 20)), "PNG"), "too small"),
        "narrow.png": (encode(image(14).resize((20, 64)), "PNG"), None),
        "same bytes.png": (good, "exact duplicate"),
        "same pixels.bmp": (encode(image(1), "BMP"), "exact duplicate"),
        "new\nline <b>.png": (encode(image(13), "PNG"), None),
    }


def test_nasty_pictures_end_as_a_picture_or_a_line(tmp_path):
    (tmp_path / "nasty").mkdir()
    files = nasty_files()
    for name, (data, _) in files.items():
        (tmp_path / "nasty" / name).write_bytes(data)
    (tmp_path / "nasty" / "readme.txt").write_text("no picture")
    (tmp_path / "nasty" / "loop").symlink_to(tmp_path)
    result = prepare(tmp_path, "nasty", "--output", "set.h5", "--size", 64, processes=2)
    found = verdicts(tmp_path)
    assert found == {
        " ".join(name.split()): expected or "kept" for name, (_, expected) in files.items()
    }
    report = report_of(tmp_path)
    loop = "a link to a folder that is read already, or around it"
    assert report["sources"][0]["left_out"] == {
        "a text file": {"count": 1, "names": ["readme.txt"]},
        loop: {"count": 1, "names": ["loop"]},
    }
    for line in (
        "    23 pictures in nasty (folder)",
        f"           1 left out: {loop} (loop)",
        "    -7 unreadable",
        "           1 a web page (HTML) instead of the file (text.jpg)",
    ):
        assert line in result.stdout.splitlines()
    assert "cut short, as after a broken download (cut.jpg, cut.png" in result.stdout
    dataset = read_dataset(tmp_path / "set.h5")
    assert dataset.images.shape == (13, 64, 64, 3)
    alpha = dataset.images[dataset.names.index("alpha.png")]
    assert "folder" not in dataset.attributes
    assert (alpha[0, 0] == 255).all()  # the colour hidden under it is black


def test_a_folder_of_odd_files_that_promise_tables_and_archives(tmp_path, drawn):
    """No pipe is waited for, and what cannot be opened is a line."""
    folder = tmp_path / "odd"
    folder.mkdir()
    for number, image in enumerate(drawn):
        (folder / f"{number}.png").write_bytes(encode(Image.fromarray(image), "PNG"))
    for name in ("metadata.csv", "shard.zip", "0.txt"):
        os.mkfifo(folder / name)
    (folder / "again.zip").symlink_to(".")
    (folder / "1.json").symlink_to("nowhere")
    (folder / "1.CLS").write_text("7")
    with deadline(20):
        source = open_source(str(folder))
    assert [entry.attributes for entry in source.entries()] == [{}, {"cls": 7}, *[{}] * 5]
    assert dict(source.left_out) == {
        "0.txt": "no regular file",
        "metadata.csv": "no regular file",
        "shard.zip": "no regular file",
        "again.zip": "a link to a folder that is read already, or around it",
    }
    *_, last = source.entries()
    with pytest.raises(UnreadablePicture, match="No such file or directory"):
        last.read()


def test_a_zip_of_odd_names_keeps_every_picture(tmp_path, drawn):
    """Nothing is written under these names, so that they only need to be made safe."""
    data = [encode(Image.fromarray(image), "PNG") for image in drawn]
    names = {
        "good/a.png": "good/a.png",
        "../../outside.png": "outside.png",
        "/etc/absolute.PNG": "etc/absolute.PNG",
        "C:\\windows.png": "windows.png",
        ".": "robots-000004",
        "sub\\.png": "sub/.png",
    }
    with zipfile.ZipFile(tmp_path / "robots.zip", "w") as archive:
        for name, each in zip(names, data, strict=True):
            archive.writestr(name, each)
    prepare(tmp_path, "robots.zip", "--output", "set.h5", "--size", 64)
    dataset = read_dataset(tmp_path / "set.h5")
    order = [dataset.names.index(name) for name in names.values()]
    assert dataset.attributes["folder"][order].tolist() == ["good", "", "etc", "", "", "sub"]
    np.testing.assert_array_equal(dataset.images[order], drawn)
    assert {path.name for path in tmp_path.iterdir()} == {
        "robots.zip", "set.h5", "set.report.json",
    }  # fmt: skip
    assert not (tmp_path.parent.parent / "outside.png").exists()


def test_a_zip_with_members_of_one_name_and_japanese_ones(tmp_path, drawn):
    data = [encode(Image.fromarray(image), "PNG") for image in drawn]
    with zipfile.ZipFile(tmp_path / "robots.zip", "w") as archive:
        for name, each in zip(("a.png", "SO-NOU.png", "a.png", "a.png"), data, strict=False):
            with warnings.catch_warnings(action="ignore"):
                archive.writestr(name, each)
    raw = (tmp_path / "robots.zip").read_bytes()
    japanese = "ソ能表.png".encode("cp932")  # each of the letters ends in the byte of a backslash
    assert len(japanese) == len("SO-NOU.png")
    assert japanese[1] == ord("\\")
    (tmp_path / "robots.zip").write_bytes(raw.replace(b"SO-NOU.png", japanese))
    prepare(tmp_path, "robots.zip", "--output", "set.h5", "--size", 64)
    dataset = read_dataset(tmp_path / "set.h5")
    assert dataset.names == ["a.png", "a.png (2)", "a.png (3)", "ソ能表.png"]
    np.testing.assert_array_equal(dataset.images, drawn[[0, 2, 3, 1]])


def test_a_zip_with_what_cannot_be_read(tmp_path, drawn):
    data = [encode(Image.fromarray(image), "PNG") for image in drawn]
    with zipfile.ZipFile(tmp_path / "robots.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.png", b"\0" * 40 * 2**20)
        archive.writestr("inner.zip", b"PK\3\4")
        archive.writestr("notes.txt", "no picture")
        archive.writestr("__MACOSX/good/._a.png", b"resource fork")
        archive.writestr(".hidden/a.png", data[1])
        archive.writestr("damaged.png", data[2], zipfile.ZIP_STORED)
        for name, method in (("locked", 8), ("odd", 14)):
            archive.writestr(f"{name}.png", data[3], method)
            archive.writestr(f"{name} without suffix", data[3], method)
        link = zipfile.ZipInfo("link.png")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "a.png")
    broken = bytearray((tmp_path / "robots.zip").read_bytes())
    at = broken.index(data[2]) + 40
    broken[at : at + 9] = b"x" * 9
    for name in (b"locked.png", b"locked without"):
        broken[broken.rindex(name) - 38] |= 1  # the flags of a central entry, 46 bytes long
        broken[broken.index(name) - 24] |= 1
    for name in (b"odd.png", b"odd without"):
        broken[broken.rindex(name) - 36] = broken[broken.index(name) - 22] = 9
    (tmp_path / "robots.zip").write_bytes(broken)
    result = prepare(tmp_path, "robots.zip", "--output", "set.h5", "--review", code=2)
    assert {path.name for path in tmp_path.iterdir()} == {
        "robots.zip", "set.report.json", "set.review.html", "set.review.png",
    }  # fmt: skip
    assert result.stderr.endswith("error: no picture is left; set.report.json says why\n")
    encrypted = "encrypted; unpack it with its password and name the folder"
    odd = "compressed by deflate64, which Python's zipfile does not read; pack it with deflate"
    assert re.sub("from [0-9,]+", "from little", result.stdout).splitlines() == [
        "     4 pictures in robots.zip (zip)",
        "           1 left out: a zip archive (inner.zip)",
        "           1 left out: a text file (notes.txt)",
        "           1 left out: metadata of macOS (__MACOSX/good/._a.png)",
        "           1 left out: hidden (.hidden/a.png)",
        f"           1 left out: {encrypted} (locked without suffix)",
        f"           1 left out: {odd} (odd without suffix)",
        "           1 left out: a link (link.png)",
        "    -4 unreadable",
        "           1 unpacks from little to 41,943,040 bytes: a zip bomb (bomb.png)",
        "           1 damaged in the archive: Bad CRC-32 (damaged.png)",
        f"           1 {encrypted} (locked.png)",
        f"           1 {odd} (odd.png)",
        "     0 pictures kept",
    ]
    assert len(report_of(tmp_path)["pictures"]) == 4


def parquet(path, pictures, **columns):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet

    files = [{"bytes": data, "path": f"{index}.png"} for index, data in enumerate(pictures)]
    pyarrow.parquet.write_table(pa.table({"image": files, **columns}), path)


def test_a_parquet_file_and_its_columns(tmp_path, drawn):
    pa = pytest.importorskip("pyarrow")
    data = [encode(Image.fromarray(image), "PNG") for image in drawn[:3]]
    day = datetime.date(2020, 1, 2)
    identity = uuid.UUID(int=7)
    parquet(
        tmp_path / "captioned.parquet",
        [*data, None, b"junk"],
        text=["a red robot", "a blue robot", None, "nothing", "no picture"],
        label=range(5),
        price=[decimal.Decimal("1.50")] * 5,
        day=[day] * 5,
        moment=pa.array([1_577_934_240_123_456_789] * 5, pa.timestamp("ns")),
        known=pa.array(['{"a": 1}'] * 5, pa.json_()),
        identity=pa.array([identity.bytes] * 5, pa.uuid()),
        tags=[["red", "tall"], [], None, None, None],
        maker=[{"name": "x", "place": {"year": 79}}] * 5,
        **{"file": ["theirs"] * 5, "a.dot": [1.5] * 5},
        masks=[b"1"] * 5,
        crops=[[b"1"]] * 5,
    )
    result = prepare(tmp_path, "captioned.parquet", "--output", "set.h5", "--size", 64)
    assert list(verdicts(tmp_path).values()) == ["kept"] * 3 + ["unreadable"] * 2
    dataset = read_dataset(tmp_path / "set.h5")
    assert dataset.names == ["0.png", "1.png", "2.png"]
    assert dataset.attributes["text"].tolist() == ["a red robot", "a blue robot", ""]
    assert dataset.attributes["tags"].tolist() == ["red; tall", "", ""]
    assert dataset.attributes["label"].tolist() == [0, 1, 2]
    first = {name: column.tolist()[0] for name, column in dataset.attributes.items()}
    expected = {
        "price": 1.5, "day": "2020-01-02", "moment": "2020-01-02 03:04:00.123456789",
        "known": '{"a": 1}', "identity": str(identity), "maker_name": "x",
        "maker_place": "year: 79", "file": "0.png", "file_2": "theirs", "a_dot": 1.5,
    }  # fmt: skip
    assert {name: first.get(name) for name in expected} == expected
    assert "left out: a column of binary (masks)" in result.stdout
    assert "left out: a column of list<element: binary> (crops)" in result.stdout
    assert "a row without the bytes of its picture, only its place (3.png)" in result.stdout


def test_tables_in_a_folder_and_lists_of_pictures(tmp_path, drawn):
    """As a published data set is cloned: shards, one of them a pointer, and what is no picture."""
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet

    data = [encode(Image.fromarray(image), "PNG") for image in drawn]
    (tmp_path / "clone" / "data").mkdir(parents=True)
    parquet(tmp_path / "clone/data/0.parquet", data[:2])
    lists = pa.table({"images": [[{"bytes": data[2], "path": None}] * 2, [], None], "n": [7, 8, 9]})
    pyarrow.parquet.write_table(lists, tmp_path / "clone/data/1.parquet")
    (tmp_path / "clone/data/2.parquet").write_text("version https://git-lfs.github.com/spec/v1\n")
    pyarrow.parquet.write_table(pa.table({"n": [1]}), tmp_path / "clone/data/3.parquet")
    with zipfile.ZipFile(tmp_path / "clone/more.zip", "w") as archive:
        archive.writestr("a.png", data[4])
    with zipfile.ZipFile(tmp_path / "clone/paper.docx", "w") as archive:
        archive.writestr("b.png", data[5])
    result = prepare(tmp_path, "clone", "--output", "set.h5", "--size", 64)
    assert verdicts(tmp_path) == {
        "data/0.parquet/0.png": "kept",
        "data/0.parquet/1.png": "kept",
        "data/1.parquet/1-000000-0": "kept",
        "data/1.parquet/1-000000-1": "exact duplicate",
        "data/1.parquet/1-000002": "unreadable",
        "more.zip/a.png": "kept",
    }
    for reason in (
        'a Git LFS pointer instead of the file; run "git lfs pull" (data/2.parquet)',
        "a zip archive (paper.docx)",
        "expected one column of picture files (bytes, or a struct with a field 'bytes'), found "
        "n (int64) (data/3.parquet)",
    ):
        assert f"           1 left out: {reason}" in result.stdout.splitlines()


def test_parquet_files_of_lies(tmp_path, drawn):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet

    data = [encode(Image.fromarray(image), "PNG") for image in drawn[:3]]
    parquet(tmp_path / "good.parquet", data)
    good = (tmp_path / "good.parquet").read_bytes()
    (tmp_path / "cut.parquet").write_bytes(good[:-100])
    (tmp_path / "noise.parquet").write_bytes(good[:40] + b"\xff" * 3000 + good[3040:])
    assert "cut.parquet: a damaged parquet file" in refused(
        tmp_path, "cut.parquet", "--output", "x.h5"
    )
    assert "a damaged parquet file" in refused(tmp_path, "noise.parquet", "--output", "x.h5")
    table = pa.table({"image": ["a.png", "b.png"], "one": [b"1", b"2"], "two": [b"1", b"2"]})
    pyarrow.parquet.write_table(table, tmp_path / "columns.parquet")
    message = refused(tmp_path, "columns.parquet", "--output", "x.h5")
    assert "found one, two; choose with prepare_dataset.py --image-column" in message
    message = refused(tmp_path, "columns.parquet", "--output", "x.h5", "--image-column", "image")
    assert "--image-column image: columns.parquet has no such column" in message
    bomb = pa.table({"image": pa.array([b"\0" * 2**20] * 40)})
    pyarrow.parquet.write_table(
        bomb, tmp_path / "bomb.parquet", use_dictionary=False, compression="zstd"
    )
    assert "row group 0 unpacks to" in refused(tmp_path, "bomb.parquet", "--output", "x.h5")


def test_a_scrapers_folder_with_its_manifest(tmp_path, drawn):
    folder = tmp_path / "mahq"
    lines = ["not json", "[1, 2]", json.dumps({"file": "../../etc/passwd", "title": "x"})]
    for index, show in enumerate(["wing", "wing", "zeta"]):
        file = f"{show}/{index} robot.png"
        (folder / show).mkdir(parents=True, exist_ok=True)
        Image.fromarray(drawn[index]).save(folder / file)
        known = {
            "file": file,
            "sha256": "0",
            "width": 1,
            "title": f"XXXG-0{index} Gundam",
            "show": show,
            "shows": [show, "other"],
            "Model number": f"XXXG-0{index}",
        }
        lines.append(json.dumps(known))
    Image.fromarray(drawn[5]).save(folder / "unlisted.png")
    data = "\n".join(lines).encode() + b'\n{"file": "unlisted.png", "title": "\xff"}\n{cut'
    (folder / "manifest.jsonl").write_bytes(data)
    result = prepare(tmp_path, "mahq", "--output", "set.h5", "--size", 64)
    assert "manifest.jsonl, line 7" in result.stdout
    dataset = read_dataset(tmp_path / "set.h5")
    assert dataset.names == ["unlisted.png", *(f"XXXG-0{i} Gundam" for i in range(3))]
    assert dataset.attributes["show"].tolist() == ["", "wing", "wing", "zeta"]
    assert dataset.attributes["folder"].tolist() == ["", "wing", "wing", "zeta"]
    assert dataset.attributes["shows"].tolist()[1] == "wing; other"
    assert dataset.attributes["model_number"].tolist()[3] == "XXXG-02"
    assert dataset.attributes["file"].tolist()[1] == "wing/0 robot.png"
    assert "width" not in dataset.attributes


def test_a_value_of_a_manifest_is_a_short_line_however_deep_it_is():
    assert text(["a", ["b", ["c", ["d"]]]]) == "a; b; c; …"
    value: list = []
    for _ in range(100_000):
        value = [value]
    assert text(value) == "…"
