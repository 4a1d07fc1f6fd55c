"""prepare_dataset.py as a person runs it: what goes in, what comes out."""

from __future__ import annotations

import hashlib
import os
import stat
import subprocess
import sys
import time
import zipfile

import h5py
import numpy as np
import pytest
from PIL import Image

from tests.conftest import REPOSITORY
from tests.preparing import prepare, report_of, save, verdicts
from tests.test_filters import scene
from tests.test_pictures import encode
from utils.data import mechas
from utils.data.hdf5 import read_dataset
from utils.preparing import attributes, columns
from utils.preparing.decisions import Picture
from utils.preparing.examine import Examined
from utils.preparing.scratch import Heap

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
# Transparency and grey
# ------------------------------------------------------------------------------------------------


def test_transparency_is_kept_where_it_is_asked_for(tmp_path):
    """A disc with soft edges: what hides around it leaves no trace, at no size and in no frame."""
    rows, columns = np.mgrid[:128, :128] - 63.5
    alpha = np.clip(40.5 - np.hypot(rows, columns - 20), 0, 1)[..., None]
    folder = tmp_path / "sprites"
    folder.mkdir()
    for name, hidden in (("a", (255, 0, 255)), ("b", (0, 255, 0))):
        colours = np.where(alpha > 0, (200, 100, 50), hidden)
        disc = np.concatenate([colours, 255 * alpha], axis=2).astype(np.uint8)
        Image.fromarray(disc).save(folder / f"{name}.png")
    Image.new("RGB", (64, 48), (10, 20, 30)).save(folder / "c.png")

    options = ["sprites", "--output", "set.h5", "--size", 32, "--review"]
    said = prepare(tmp_path, *options, "--alpha").stdout
    assert "     1 of them transparent in places\n" in said
    assert verdicts(tmp_path) == {"a.png": "kept", "b.png": "exact duplicate", "c.png": "kept"}
    with h5py.File(tmp_path / "set.h5") as file:
        disc, opaque = file["images"][...].astype(int)
    assert disc.shape == (32, 32, 4)
    assert {*disc[..., 3].flat} > {0, 255}
    assert not disc[disc[..., 3] == 0].any()
    # A soft edge has the colour of the disc. (At low alphas, few shades are left of it.)
    assert np.abs(disc[disc[..., 3] > 128][:, :3] - (200, 100, 50)).max() <= 2
    assert (opaque == (10, 20, 30, 255)).all()  # padded with its own border, which is opaque
    sheet = np.asarray(Image.open(tmp_path / "set.review.png"))
    assert (sheet == 204).all(-1).any()  # the dark squares behind the disc

    prepare(tmp_path, *options, "--alpha", "--fit", "figure", "--margin", 0)
    with h5py.File(tmp_path / "set.h5") as file:
        opaque_at = np.argwhere(file["images"][0, ..., 3] > 128)
    assert opaque_at.min(0).tolist() == [0, 0]
    assert opaque_at.max(0).tolist() == [31, 31]

    said = prepare(tmp_path, *options).stdout
    assert "     1 of them transparent in places, drawn on white; --alpha keeps that\n" in said


def test_grey_is_one_channel_where_it_is_asked_for(tmp_path, robots):
    options = ["robots", "--output", "set.h5", "--size", 32]
    prepare(tmp_path, *options)
    colours = read_dataset(tmp_path / "set.h5").images
    prepare(tmp_path, *options, "--grey", "--review")
    grey = read_dataset(tmp_path / "set.h5").images
    assert grey.shape == (8, 32, 32, 1)
    luma = colours @ (0.299, 0.587, 0.114)
    assert np.abs(grey[..., 0] - luma).max() <= 1
    assert "leave out --alpha" in prepare(tmp_path, *options, "--alpha").stdout
    assert prepare(tmp_path, *options, "--alpha", "--grey", code=2).stderr.endswith(
        "--alpha --grey: expected one of them; transparent images have colours\n"
    )


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
    # Both copies, if a person names both.
    (tmp_path / "include.txt").write_text(f"{sha256}  copy.png\n{sha256}  00.png\n")
    prepare(tmp_path, "robots", "--output", "set.h5", "--include", "include.txt")
    assert report_of(tmp_path)["kept"] == 10
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


def test_the_background_shows_through(tmp_path):
    (tmp_path / "in").mkdir()
    pixels = np.zeros((80, 80, 4), np.uint8)
    pixels[30:50, 30:50] = (255, 0, 0, 255)
    Image.fromarray(pixels).save(tmp_path / "in" / "a.png")
    prepare(tmp_path, "in", "--output", "set.h5", "--background", "#0000ff", "--size", 64)
    image = read_dataset(tmp_path / "set.h5").images[0]
    assert image[0, 0].tolist() == [0, 0, 255]
    assert image[32, 32].tolist() == [255, 0, 0]


def test_framings(tmp_path):
    (tmp_path / "in").mkdir()
    pixels = np.full((200, 300, 3), 230, np.uint8)
    pixels[60:160, 40:90] = (200, 0, 0)  # 100 px tall, off the centre
    Image.fromarray(pixels).save(tmp_path / "in" / "a.png")
    # Made smaller before it is framed, and yet made of 40 pixels where it is cropped.
    Image.new("RGB", (2100, 40), "red").save(tmp_path / "in" / "long.png")
    rows = {}
    for fit in ("pad", "crop", "figure"):
        prepare(tmp_path, "in", "--output", f"{fit}.h5", "--fit", fit, "--size", 64)
        found = verdicts(tmp_path, fit)
        assert found == {"a.png": "kept", "long.png": "kept" if fit == "crop" else "too narrow"}
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
    names = ("set.h5", "set.report.json", "set.review.html", "set.review.png")
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
    monkeypatch.setattr(attributes, "MAX_COLUMN_BYTES", 8 * 10 * 40)
    heap = Heap(tmp_path / "heap")
    place = heap.add(b"", {})
    pictures = [
        Picture(Examined("n" * 400 * (row == 3), "f" * 400, 0, None), details=place)
        for row in range(10)
    ]
    names, known = columns.columns(pictures, np.arange(10), 1, mirror, heap)
    heap.close()
    stored = len(names) * 4 * max(map(len, names))  # as an array, each as long as the longest
    assert stored <= attributes.MAX_COLUMN_BYTES
    assert max(map(len, known["file"])) == 40
    assert names[3] == "n" * 29
    assert names[13:14] == ["n" * 29 + " (mirrored)"] * mirror


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
