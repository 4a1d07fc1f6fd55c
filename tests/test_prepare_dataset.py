"""prepare_dataset.py as a person runs it: what goes in, what comes out, what is told."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import json
import os
import signal
import stat
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
from PIL import Image

import prepare_dataset
from tests.conftest import REPOSITORY, run_script, start_script
from tests.test_filters import scene
from tests.test_pictures import chunk, encode, png
from utils.data import mechas
from utils.data.hdf5 import read_dataset, write_dataset
from utils.preparing import columns
from utils.preparing.decisions import Picture
from utils.preparing.examine import Examined
from utils.preparing.scratch import Heap
from utils.preparing.sources.entries import text

NO_KERAS = (
    "import runpy, sys\n"
    "sys.argv = ['prepare_dataset.py', *sys.argv[1:]]\n"
    "try:\n"
    f"    runpy.run_path({str(REPOSITORY / 'prepare_dataset.py')!r}, run_name='__main__')\n"
    "except SystemExit as stop:\n"
    "    assert not stop.code, stop.code\n"
    "heavy = {'keras', 'tensorflow', 'jax', 'torch', 'matplotlib'} & set(sys.modules)\n"
    "assert not heavy, heavy\n"
)


@pytest.fixture(scope="module")
def drawn():
    """40 robots, and which of them face left."""
    images, _, attributes = mechas.draw_dataset(40, 64, processes=1, progress=False)
    return images, attributes["facing"].astype(str) == "left"


def save(folder, images):
    folder.mkdir()
    for index, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{index:02d}.png")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory, drawn):
    """A folder with 40 robots as PNG, prepared with all that can be written."""
    folder = tmp_path_factory.mktemp("prepared")
    save(folder / "robots", drawn[0])
    prepare(folder, "robots", "--output", "data/set.h5", "--orient", "--review", "--size", 64)
    return folder


@pytest.fixture
def robots(tmp_path, drawn):
    """A folder of 8 robots as PNG."""
    save(tmp_path / "robots", drawn[0][:8])
    return tmp_path / "robots"


def prepare(folder, *arguments, code=0, processes=1):
    """Run the script in this process, as a person does in ``folder``."""
    output, errors = io.StringIO(), io.StringIO()
    arguments = [*map(str, arguments), "--processes", str(processes)]
    at_sigterm = signal.getsignal(signal.SIGTERM)
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(output),
        contextlib.redirect_stderr(errors),
    ):
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["prepare_dataset.py", *arguments])
        patch.setenv("COLUMNS", "200")
        try:
            prepare_dataset.main()
            found = 0
        except SystemExit as stop:
            found = stop.code or 0
        finally:
            signal.signal(signal.SIGTERM, at_sigterm)
    assert found == code, errors.getvalue()
    return SimpleNamespace(stdout=output.getvalue(), stderr=errors.getvalue())


def report_of(folder, name="set"):
    report = json.loads((folder / f"{name}.report.json").read_text())
    assert report["found"] == len(report["pictures"])
    assert report["kept"] + sum(report["rejected"].values()) == report["found"]
    assert sum(source["pictures"] for source in report["sources"]) == report["found"]
    for picture in report["pictures"]:
        kept = picture["verdict"] == "kept"
        assert kept == (picture["row"] is not None)
        assert kept or picture["reason"] or picture["decision"] == "excluded", picture
    return report


def verdicts(folder, name="set"):
    return {
        picture["file"]: picture["filter"] or picture["decision"] or picture["verdict"]
        for picture in report_of(folder, name)["pictures"]
    }


def refused(folder, *arguments):
    result = prepare(folder, *arguments, code=2)
    lines = [line for line in result.stderr.splitlines() if "error:" in line]
    assert len(lines) == 1
    assert not list(folder.glob("*.h5"))
    assert not list(folder.glob(".*.part*"))
    return lines[0].removeprefix("prepare_dataset.py: error: ")


# ------------------------------------------------------------------------------------------------
# Starting
# ------------------------------------------------------------------------------------------------


def run_without_keras(folder, *arguments):
    return subprocess.run(
        [sys.executable, "-c", NO_KERAS, *arguments], cwd=folder, capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)}, check=False,
    )  # fmt: skip


def test_help_comes_without_keras(tmp_path):
    result = run_without_keras(tmp_path, "--help")
    assert result.returncode == 0, result.stderr
    assert "--near-duplicates" in result.stdout


def test_a_whole_preparation_imports_no_keras(tmp_path, robots):
    result = run_without_keras(
        tmp_path, "robots", "--output", "set.h5", "--orient", "--review", "--filters", "mecha",
        "--size", "32",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert "8 pictures kept" in result.stdout


# ------------------------------------------------------------------------------------------------
# Reading
# ------------------------------------------------------------------------------------------------


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
        "tiny.png": (encode(image(12).resize((9, 5)), "PNG"), "too small"),
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
    assert report["sources"][0]["other_files"] == 1
    assert "22 pictures in nasty (folder), and 1 other files" in result.stdout
    dataset = read_dataset(tmp_path / "set.h5")
    assert dataset.images.shape == (12, 64, 64, 3)
    alpha = dataset.images[dataset.names.index("alpha.png")]
    assert (alpha[0, 0] == 255).all()  # the colour hidden under it is black


def test_the_background_shows_through(tmp_path):
    (tmp_path / "in").mkdir()
    pixels = np.zeros((80, 80, 4), np.uint8)
    pixels[30:50, 30:50] = (255, 0, 0, 255)
    Image.fromarray(pixels).save(tmp_path / "in" / "a.png")
    prepare(tmp_path, "in", "--output", "set.h5", "--background", "#0000ff", "--size", 64)
    image = read_dataset(tmp_path / "set.h5").images[0]
    assert image[0, 0].tolist() == [0, 0, 255]
    assert image[32, 32].tolist() == [255, 0, 0]


def test_a_zip_with_names_that_lead_out_and_a_bomb(tmp_path, drawn):
    data = [encode(Image.fromarray(image), "PNG") for image in drawn[0][:6]]
    with zipfile.ZipFile(tmp_path / "robots.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("good/a.png", data[0])
        archive.writestr("good/b.png", data[1])
        archive.writestr("../../outside.png", data[2])
        archive.writestr("/etc/absolute.png", data[3])
        archive.writestr("C:\\windows.png", data[4])
        archive.writestr("bomb.png", b"\0" * 40 * 2**20)
        archive.writestr(".", data[2])
        archive.writestr("notes.txt", "no picture")
        archive.writestr("__MACOSX/good/._a.png", b"resource fork")
        archive.writestr("damaged.png", data[5])
    archive = (tmp_path / "robots.zip").read_bytes()
    at = archive.index(data[5][40:80]) if data[5][40:80] in archive else archive.index(b"damaged")
    broken = bytearray(archive)
    broken[at + 60 : at + 90] = b"x" * 30
    (tmp_path / "robots.zip").write_bytes(bytes(broken))
    prepare(tmp_path, "robots.zip", "--output", "set.h5", "--size", 64)
    pictures = {p["file"]: p for p in report_of(tmp_path)["pictures"]}
    assert [f for f, p in pictures.items() if p["verdict"] == "kept"] == [
        "good/a.png",
        "good/b.png",
    ]
    for name in ("../../outside.png", "/etc/absolute.png", "."):
        assert "leads out of the archive" in pictures[name]["reason"]
    assert "zip bomb" in pictures["bomb.png"]["reason"]
    assert "damaged" in pictures["damaged.png"]["reason"]
    assert len(pictures) == 8
    written = {path.name for path in tmp_path.iterdir()}
    assert written == {"robots.zip", "set.h5", "set.report.json"}
    assert not (tmp_path.parent.parent / "outside.png").exists()


def parquet(path, pictures, **columns):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet

    files = [{"bytes": data, "path": f"{index}.png"} for index, data in enumerate(pictures)]
    pyarrow.parquet.write_table(pa.table({"image": files, **columns}), path)


def test_a_parquet_file(tmp_path, drawn):
    data = [encode(Image.fromarray(image), "PNG") for image in drawn[0][:3]]
    texts = ["a red robot", "a blue robot", None, "nothing", "no picture"]
    parquet(tmp_path / "captioned.parquet", [*data, None, b"junk"], text=texts, label=range(5))
    prepare(tmp_path, "captioned.parquet", "--output", "set.h5", "--size", 64)
    assert list(verdicts(tmp_path).values()) == ["kept"] * 3 + ["unreadable"] * 2
    dataset = read_dataset(tmp_path / "set.h5")
    assert dataset.names == ["0.png", "1.png", "2.png"]
    assert dataset.attributes["text"].tolist() == ["a red robot", "a blue robot", ""]
    assert dataset.attributes["label"].tolist() == [0, 1, 2]


def test_parquet_files_of_lies(tmp_path, drawn):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet

    data = [encode(Image.fromarray(image), "PNG") for image in drawn[0][:3]]
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
    assert "found one, two; choose with --image-column" in message
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
        Image.fromarray(drawn[0][index]).save(folder / file)
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
    Image.fromarray(drawn[0][5]).save(folder / "unlisted.png")
    (folder / "manifest.jsonl").write_text("\n".join(lines) + "\n{cut")
    prepare(tmp_path, "mahq", "--output", "set.h5", "--size", 64)
    dataset = read_dataset(tmp_path / "set.h5")
    assert dataset.names == ["unlisted.png", *(f"XXXG-0{i} Gundam" for i in range(3))]
    assert dataset.attributes["show"].tolist() == ["", "wing", "wing", "zeta"]
    assert dataset.attributes["shows"].tolist()[1] == "wing; other"
    assert dataset.attributes["model_number"].tolist()[3] == "XXXG-02"
    assert dataset.attributes["file"].tolist()[1] == "wing/0 robot.png"
    assert "width" not in dataset.attributes


# ------------------------------------------------------------------------------------------------
# Filters and decisions
# ------------------------------------------------------------------------------------------------


def test_photographs_pass_untouched_without_the_mecha_filters(tmp_path, robots):
    scene(1).save(robots / "photo.png")
    Image.fromarray(255 - np.asarray(Image.open(robots / "03.png"))).save(robots / "dark.png")
    Image.open(robots / "04.png").convert("L").save(robots / "grey.png")
    Image.open(robots / "05.png").resize((58, 58)).save(robots / "smaller.png")
    prepare(tmp_path, "robots", "--output", "basic.h5", "--size", 64)
    assert set(verdicts(tmp_path, "basic").values()) == {"kept"}
    prepare(tmp_path, "robots", "--output", "mecha.h5", "--size", 64, "--filters", "mecha")
    found = verdicts(tmp_path, "mecha")
    assert {name: found.pop(name) for name in ("photo.png", "dark.png", "grey.png")} == {
        "photo.png": "background not plain",
        "dark.png": "background not light",
        "grey.png": "black and white",
    }
    assert found.pop("smaller.png") == "near duplicate"
    assert set(found.values()) == {"kept"}
    prepare(tmp_path, "robots", "--output", "one.h5", "--size", 64, "--min-lightness", 0.5)
    assert verdicts(tmp_path, "one").pop("dark.png") == "background not light"
    assert verdicts(tmp_path, "one").pop("grey.png") == "kept"


def test_a_person_overrules(tmp_path, robots):
    Image.open(robots / "04.png").convert("L").save(robots / "grey.png")
    (robots / "copy.png").write_bytes((robots / "00.png").read_bytes())
    (tmp_path / "exclude.txt").write_text("01.png\nnobody.png\n")
    sha256 = hashlib.sha256((robots / "00.png").read_bytes()).hexdigest()
    (tmp_path / "include.txt").write_text(f"grey.png\n{sha256}  copy.png\n")
    result = prepare(
        tmp_path, "robots", "--output", "set.h5", "--filters", "mecha",
        "--exclude", "exclude.txt", "--include", "include.txt",
    )  # fmt: skip
    pictures = {p["file"]: p for p in report_of(tmp_path)["pictures"]}
    assert pictures["01.png"]["verdict"] == "rejected"
    assert pictures["01.png"]["decision"] == "excluded"
    assert pictures["grey.png"]["verdict"] == "kept"
    assert pictures["grey.png"]["filter"] == "black and white"
    assert pictures["copy.png"]["verdict"] == "kept"  # this one, not the first
    assert pictures["00.png"]["filter"] == "exact duplicate"
    assert "--exclude, line 2: no picture is called nobody.png" in result.stdout
    (tmp_path / "include.txt").write_text("01.png\n")
    message = prepare(
        tmp_path, "robots", "--output", "set.h5", "--exclude", "exclude.txt",
        "--include", "include.txt", code=2,
    ).stderr  # fmt: skip
    assert "--exclude and --include both name 01.png" in message


def test_excluding_a_picture_does_not_let_its_copy_in(tmp_path, robots):
    (robots / "copy.png").write_bytes((robots / "00.png").read_bytes())
    sha256 = hashlib.sha256((robots / "00.png").read_bytes()).hexdigest()
    # As the review page writes it.
    (tmp_path / "exclude.txt").write_text(f"{sha256}  00.png\n")
    prepare(tmp_path, "robots", "--output", "set.h5", "--exclude", "exclude.txt")
    pictures = {p["file"]: p for p in report_of(tmp_path)["pictures"]}
    assert pictures["00.png"]["decision"] == pictures["copy.png"]["decision"] == "excluded"
    # Unless somebody wants the copy in its place.
    (tmp_path / "include.txt").write_text(f"{sha256}  copy.png\n")
    prepare(
        tmp_path, "robots", "--output", "set.h5", "--exclude", "exclude.txt",
        "--include", "include.txt",
    )  # fmt: skip
    pictures = {p["file"]: p for p in report_of(tmp_path)["pictures"]}
    assert pictures["00.png"]["decision"] == "excluded"
    assert pictures["copy.png"]["verdict"] == "kept"


# ------------------------------------------------------------------------------------------------
# Framing, orientation, output
# ------------------------------------------------------------------------------------------------


def test_framings(tmp_path):
    (tmp_path / "in").mkdir()
    pixels = np.full((200, 300, 3), 230, np.uint8)
    pixels[60:160, 40:90] = (200, 0, 0)  # 100 px tall, off the centre
    Image.fromarray(pixels).save(tmp_path / "in" / "a.png")
    rows = {}
    for fit in ("pad", "crop", "figure"):
        prepare(tmp_path, "in", "--output", f"{fit}.h5", "--fit", fit, "--size", 64)
        image = read_dataset(tmp_path / f"{fit}.h5").images[0]
        assert image[0, 0].tolist() == [230, 230, 230]
        red = image[..., 1] < 100
        rows[fit] = (*np.flatnonzero(red.any(1))[[0, -1]], *np.flatnonzero(red.any(0))[[0, -1]])
    assert rows["pad"] == pytest.approx((23, 44, 9, 18), abs=1)
    assert rows["crop"] == pytest.approx((19, 50, 0, 12), abs=1)
    assert rows["figure"] == pytest.approx((3, 60, 17, 46), abs=1)


def test_all_face_one_side_and_what_is_mirrored_is_the_mirror_image(prepared, drawn):
    dataset = read_dataset(prepared / "data/set.h5")
    mirrored = dataset.attributes["mirrored"].astype(bool)
    right = np.mean(mirrored == drawn[1])
    assert max(right, 1 - right) >= 0.95
    assert 0 < mirrored.sum() < 40
    np.testing.assert_array_equal(dataset.images[mirrored], drawn[0][mirrored][:, :, ::-1])
    np.testing.assert_array_equal(dataset.images[~mirrored], drawn[0][~mirrored])


def test_the_same_bytes_again_from_any_number_of_processes(prepared):
    names = ("set.h5", "set.report.json", "review.html", "review.png")
    before = {name: (prepared / "data" / name).read_bytes() for name in names}
    made = (prepared / "data/set.h5").stat().st_mtime
    time.sleep(max(0.0, made + 1.1 - time.time()))  # no file may hold the time of day
    result = prepare(
        prepared, "robots", "--output", "data/set.h5", "--orient", "--review", "--size", 64,
        processes=2,
    )  # fmt: skip
    assert "mirrored to face the same side" in result.stdout
    assert {name: (prepared / "data" / name).read_bytes() for name in names} == before


def test_mirror_stores_both(tmp_path, robots):
    prepare(tmp_path, "robots", "--output", "set.h5", "--mirror", "--size", 32)
    dataset = read_dataset(tmp_path / "set.h5")
    assert len(dataset) == 16
    np.testing.assert_array_equal(dataset.images[8:], dataset.images[:8, :, ::-1])
    assert dataset.names[9] == "01.png (mirrored)"
    assert dataset.attributes["mirrored"].tolist() == [False] * 8 + [True] * 8
    assert report_of(tmp_path)["stored"] == 16


def test_the_file_is_as_the_training_wants_it(prepared):
    with h5py.File(prepared / "data/set.h5") as file:
        assert file["images"].chunks == (1, 64, 64, 3)
        assert file["images"].dtype == np.uint8
        assert file.attrs["image_size"] == 64
        assert file.attrs["format_version"] == 1
        assert file.attrs["made_by"] == "prepare_dataset.py --size 64 --orient: 40 of 40 pictures"
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE((prepared / "data/set.h5").stat().st_mode) == 0o666 & ~umask


@pytest.mark.parametrize("mirror", [False, True])
def test_long_names_of_many_pictures_stay_readable(tmp_path, monkeypatch, mirror):
    monkeypatch.setattr(columns, "MAX_COLUMN_BYTES", 8 * 10 * 40)
    heap = Heap(tmp_path / "heap")
    place = heap.add(b"", {})
    pictures = [
        Picture(Examined("n" * 400 * (row == 3), "f" * 400, 0, None), details=place)
        for row in range(10)
    ]
    names, attributes = columns.columns(pictures, np.arange(10), 1, mirror, heap)
    heap.close()
    stored = len(names) * 4 * max(map(len, names))  # as an array, each as long as the longest
    assert stored <= columns.MAX_COLUMN_BYTES
    assert max(map(len, attributes["file"])) == 40
    assert names[3] == "n" * 29
    assert names[13:14] == ["n" * 29 + " (mirrored)"] * mirror


def test_a_value_of_a_manifest_is_a_short_line_however_deep_it_is():
    assert text(["a", ["b", ["c", ["d"]]]]) == "a; b; c; …"
    value: list = []
    for _ in range(100_000):
        value = [value]
    assert text(value) == "…"


def test_several_sources_and_the_report_repeats_itself(tmp_path, robots, drawn):
    with zipfile.ZipFile(tmp_path / "more.zip", "w") as archive:
        for index in (0, 1):
            archive.writestr(f"{index}.png", encode(Image.fromarray(drawn[0][index, ::-1]), "PNG"))
    prepare(tmp_path, "robots", "more.zip", "--output", "set.h5", "--size", 32, "--fit", "crop")
    report = report_of(tmp_path)
    assert [s["pictures"] for s in report["sources"]] == [8, 2]
    assert report["command"] == (
        "python prepare_dataset.py robots more.zip --output set.h5 --size 32 --fit crop"
    )
    assert read_dataset(tmp_path / "set.h5").attributes["source"].tolist() == [0] * 8 + [1] * 2


# ------------------------------------------------------------------------------------------------
# What goes wrong
# ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no source: expected a folder, a .zip or a .parquet file of pictures"),
        (["robots"], "--output '': expected the name of a file ending in .h5"),
        (["robots", "--output", "x.zip"], "--output 'x.zip': expected the name of a file"),
        (["absent", "--output", "x.h5"], "absent: no such file or directory; expected a folder"),
        (["robots", "--output", "x.h5", "--size", "100"], "invalid choice"),
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
        (["empty", "--output", "x.h5"], "empty: no picture among 0 files; expected a folder"),
        (["robots", "--output", "x.h5", "--min-side", "500"], "no picture is left"),
        (["robots", "--output", "x.h5", "--exclude", "nothing"], "--exclude nothing: no such file"),
    ],
)
def test_mistakes_are_one_line(tmp_path, robots, arguments, message):
    (tmp_path / "empty").mkdir()
    assert message in refused(tmp_path, *arguments)


@pytest.mark.parametrize("name", ["set.report.json", "review.png"])
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


@pytest.fixture(scope="module")
def many(tmp_path_factory, drawn):
    """A folder of pictures that take longer to read than a test waits."""
    folder = tmp_path_factory.mktemp("many")
    data = encode(Image.fromarray(drawn[0][0]).resize((1500, 1500)), "PNG")
    (folder / "0.png").write_bytes(data)
    for index in range(1, 150):
        os.link(folder / "0.png", folder / f"{index}.png")
    return folder


def wait_until(happened):
    deadline = time.monotonic() + 60
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
    _, errors = process.communicate(timeout=60)
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
    deadline = time.monotonic() + 60
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
