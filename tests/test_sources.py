"""Pictures from folders, zip archives and tables, whatever is wrong with them."""

from __future__ import annotations

import io
import json
import zipfile

import numpy as np
import pytest
from PIL import Image

from tests.preparing import prepare, refused, report_of, verdicts
from tests.test_pictures import chunk, encode, png
from utils.data import mechas
from utils.data.hdf5 import read_dataset
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
    assert report["sources"][0]["other_files"] == 1
    assert "23 pictures in nasty (folder), and 1 other files" in result.stdout
    dataset = read_dataset(tmp_path / "set.h5")
    assert dataset.images.shape == (13, 64, 64, 3)
    alpha = dataset.images[dataset.names.index("alpha.png")]
    assert (alpha[0, 0] == 255).all()  # the colour hidden under it is black


def test_a_zip_with_names_that_lead_out_and_a_bomb(tmp_path, drawn):
    data = [encode(Image.fromarray(image), "PNG") for image in drawn[:6]]
    with zipfile.ZipFile(tmp_path / "robots.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("good/b.png", data[1])
        archive.writestr("good/a.png", data[0])
        archive.writestr("../../outside.png", data[2])
        archive.writestr("/etc/absolute.png", data[3])
        archive.writestr("C:\\windows.png", data[4])
        archive.writestr("bomb.png", b"\0" * 40 * 2**20)
        archive.writestr(".", data[2])
        archive.writestr("notes.txt", "no picture")
        archive.writestr("__MACOSX/good/._a.png", b"resource fork")
        archive.writestr("__MACOSX/b.png", data[1])
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
    data = [encode(Image.fromarray(image), "PNG") for image in drawn[:3]]
    texts = ["a red robot", "a blue robot", None, "nothing", "no picture"]
    parquet(
        tmp_path / "captioned.parquet",
        [*data, None, b"junk"],
        text=texts,
        label=range(5),
        masks=[b"1"] * 5,
    )
    prepare(tmp_path, "captioned.parquet", "--output", "set.h5", "--size", 64)
    assert list(verdicts(tmp_path).values()) == ["kept"] * 3 + ["unreadable"] * 2
    dataset = read_dataset(tmp_path / "set.h5")
    assert dataset.names == ["0.png", "1.png", "2.png"]
    assert dataset.attributes["text"].tolist() == ["a red robot", "a blue robot", ""]
    assert dataset.attributes["label"].tolist() == [0, 1, 2]


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
    (folder / "manifest.jsonl").write_text("\n".join(lines) + "\n{cut")
    prepare(tmp_path, "mahq", "--output", "set.h5", "--size", 64)
    dataset = read_dataset(tmp_path / "set.h5")
    assert dataset.names == ["unlisted.png", *(f"XXXG-0{i} Gundam" for i in range(3))]
    assert dataset.attributes["show"].tolist() == ["", "wing", "wing", "zeta"]
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
