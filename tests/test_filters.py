import hashlib

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageOps

from tests.test_pictures import encode
from utils.common.errors import UserError
from utils.common.pictures import background_colour, read_picture
from utils.data import mechas
from utils.preparing.duplicates import NearDuplicates, hashes
from utils.preparing.filters import MECHA, Thresholds, filter_score, rejection
from utils.preparing.measures import Measures, _median, measure
from utils.preparing.overrides import Identity, Overrides

GOOD = Measures(colour=0.5, plainness=1.0, lightness=0.9, photo=0.2, aspect=1.6)


@pytest.fixture(scope="module")
def robots():
    images, _, _ = mechas.draw_dataset(12, 256, processes=1, progress=False)
    return [Image.fromarray(image) for image in images]


def jpeg(image, quality=75):
    return read_picture(encode(image, "JPEG", quality=quality))


def verdict(image, thresholds=MECHA):
    found = rejection(measure(image, background_colour(image)), thresholds)
    return found[0] if found else None


def scene(seed, size=(300, 260)):
    """Something like a photograph: smooth light and soft bodies everywhere, and noise."""
    random = np.random.default_rng(seed)
    small = random.integers(0, 256, (9, 8, 3)).astype(np.uint8)
    image = Image.fromarray(small).resize(size, Image.Resampling.BICUBIC)
    pixels = np.asarray(image) + random.normal(0, 3, (*size[::-1], 3))
    return jpeg(Image.fromarray(pixels.clip(0, 255).astype(np.uint8)), 90)


def cut_out(image, content):
    """The content in the shape of the figure, on white."""
    figure = np.abs(np.subtract(image, background_colour(image))).max(axis=2) > 24
    pixels = np.asarray(content.resize(image.size)).copy()
    pixels[~figure] = 255
    return Image.fromarray(pixels)


def test_drawings_of_robots_pass(robots):
    for image in robots:
        assert verdict(image) is None
        assert verdict(jpeg(image)) is None
        assert verdict(jpeg(image.resize((400, 400)))) is None


def test_black_and_white(robots):
    for image in robots[:6]:
        grey = image.convert("L")
        assert verdict(grey.convert("RGB")) == "black and white"
        sepia = ImageOps.colorize(grey, (30, 15, 5), (245, 232, 205))
        assert verdict(jpeg(sepia)) == "black and white"
        assert verdict(sepia, Thresholds(min_plainness=0.5)) is None


def test_a_background_that_is_not_plain(robots):
    for seed, image in enumerate(robots[:6]):
        background = np.asarray(scene(seed).resize(image.size))
        pixels = np.asarray(image).copy()
        empty = np.abs(np.subtract(image, background_colour(image))).max(axis=2) <= 24
        pixels[empty] = background[empty]
        assert verdict(Image.fromarray(pixels)) == "background not plain"


def test_a_background_that_is_not_light(robots):
    for image in robots[:6]:
        pixels = np.asarray(image).copy()
        empty = np.abs(np.subtract(image, background_colour(image))).max(axis=2) <= 24
        pixels[empty] = (30, 35, 60)
        assert verdict(Image.fromarray(pixels)) == "background not light"


def test_the_median_is_that_of_nine_neighbours():
    planes = np.random.default_rng(0).integers(0, 256, (3, 12, 9)).astype(np.uint8)
    windows = np.lib.stride_tricks.sliding_window_view(planes, (3, 3), axis=(1, 2))
    np.testing.assert_array_equal(_median(planes), np.median(windows, axis=(3, 4)))


def test_photographs(robots):
    only = Thresholds(max_photo=MECHA.max_photo)
    for seed, image in enumerate(robots[:6]):
        assert verdict(scene(seed), only) == "photograph"
        assert verdict(jpeg(cut_out(image, scene(seed)), 90)) == "photograph"


@pytest.mark.parametrize(
    ("size", "expected"), [((200, 90), "shape of no biped"), ((30, 220), "shape of no biped"),
                         ((100, 180), None), ((120, 120), None)],
)  # fmt: skip
def test_the_shape(size, expected):
    image = Image.new("RGB", (240, 240), "white")
    draw = ImageDraw.Draw(image)
    left, top = (240 - size[0]) // 2, (240 - size[1]) // 2
    draw.rectangle((left, top, left + size[0] - 1, top + size[1] - 1), "red", "black", 3)
    assert verdict(image) == expected


def test_reasons_tell_value_and_threshold():
    assert rejection(GOOD, MECHA) is None
    assert rejection(GOOD._replace(lightness=0.2), MECHA) == (
        "background not light", "lightness 0.20, expected 0.70 or more",
    )  # fmt: skip
    assert rejection(GOOD._replace(lightness=0.2), Thresholds()) is None
    assert filter_score(GOOD, MECHA) < 0 < filter_score(GOOD._replace(colour=0.0), MECHA)
    assert filter_score(GOOD._replace(photo=0.6), MECHA) > filter_score(GOOD, MECHA)
    assert filter_score(GOOD._replace(aspect=3.9), MECHA) == pytest.approx(0.1)


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 1), (2, 2), (4, 4), (5, 5)])
def test_tiny_pictures_can_be_measured(size):
    for colour in ("white", "black", "red"):
        found = measure(Image.new("RGB", size, colour), (255, 255, 255))
        assert np.isfinite(found).all()
        hashes(Image.new("RGB", size, colour), (255, 255, 255))


def test_near_duplicates(robots):
    def hashed(image):
        return hashes(image, background_colour(image))

    known = NearDuplicates(40, MECHA.near_duplicates)
    for index, image in enumerate(robots):
        assert known.find(hashed(image)) is None
        known.add(index, hashed(image))
    for index, image in enumerate(robots[:6]):
        for again in (
            jpeg(image, 50),
            image.resize((128, 128)),
            ImageEnhance.Brightness(image).enhance(0.9),
            ImageOps.expand(image, 20, background_colour(image)),
            image.filter(ImageFilter.SMOOTH),
            jpeg(image.resize((180, 180)), 70),
            ImageEnhance.Color(image).enhance(0.8),
            image.convert("RGB", (1, 0, 0, 0, 0, 0.95, 0, 0, 0, 0, 0.85, 0)),
        ):
            found = known.find(hashed(again))
            assert found is not None
            assert found[0] == index
            assert not found[2]
        found = known.find(hashed(ImageOps.mirror(image)))
        assert found is not None
        assert (found[0], found[2]) == (index, True)
        recoloured = image.convert("RGB", (0, 1, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0))  # red to blue
        for variant in (recoloured, ImageOps.mirror(recoloured)):
            assert known.find(hashed(variant)) is None


def test_colour_variants_are_no_near_duplicates():
    def robot(body, arm):
        image = Image.new("RGB", (128, 128), "white")
        draw = ImageDraw.Draw(image)
        draw.rectangle((40, 30, 90, 110), body, "black", 3)
        draw.ellipse((50, 8, 80, 34), body, "black", 3)
        draw.rectangle((92, 40, 104, 90), arm, "black", 3)
        return hashes(image, (255, 255, 255))

    # Of one lightness, so that no hash tells them apart.
    red, green, pale, grey = (200, 40, 40), (40, 123, 40), (205, 60, 58), (90, 90, 90)
    known = NearDuplicates(9, 8)
    known.add(7, robot(red, grey))
    assert known.find(robot(red, grey)) == (7, 0, False)
    assert known.find(robot(pale, grey))[::2] == (7, False)
    assert known.find(robot(green, grey)) is None
    assert known.find(robot(grey, grey)) is None
    known.add(8, robot(green, grey))
    assert known.find(robot(green, grey)) == (8, 0, False)


def digest(text):
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize("option", ["--exclude", "--include"])
def test_overrides_by_name_file_and_hash(tmp_path, option):
    path = tmp_path / "exclude.txt"
    path.write_text(
        f"# the weird ones\n\nMSN-02 Zeong\nball.jpg\n{digest('a')}\n{digest('b').upper()}  "
        f"two/b.png\n{digest('c')}  gone.png\nnobody\n",
        encoding="utf-8-sig",
    )
    overrides = Overrides(option, str(path))
    pictures = {
        "by title": (Identity("MSN-02 Zeong", "x/msn-02.jpg", digest("z")), "name"),
        "by file": (Identity("RB-79 Ball", "gundam/ball.jpg", digest("y")), "name"),
        "by hash": (Identity("a", "a.png", digest("a")), "hash"),
        # Excluded, its copy would take its place.
        "a copy": (Identity("b", "one/b.png", digest("b")), "hash" * (option == "--exclude")),
        "this copy": (Identity("b", "two/b.png", digest("b")), "name"),
        "renamed": (Identity("c", "now.png", digest("c")), "hash"),
        "another": (Identity("other", "other.png", digest("o")), ""),
    }
    overrides.settle(identity for identity, _ in pictures.values())
    for identity, expected in pictures.values():
        assert overrides.match(identity) == expected, identity
    assert [overrides.lines[number] for number in overrides.unused] == ["nobody"]


def test_override_files_that_are_none(tmp_path):
    with pytest.raises(UserError, match=r"--include .*absent: no such file"):
        Overrides("--include", str(tmp_path / "absent"))
    with pytest.raises(UserError, match="is a directory"):
        Overrides("--include", str(tmp_path))
    (tmp_path / "picture").write_bytes(b"\x89PNG\0\0")
    with pytest.raises(UserError, match="not a text"):
        Overrides("--exclude", str(tmp_path / "picture"))
    (tmp_path / "old").write_bytes("Zaku\nGötz\n".encode("latin-1"))
    with pytest.raises(UserError, match=r"old: line 2 is damaged: byte 0xf6 is no UTF-8; expected"):
        Overrides("--exclude", str(tmp_path / "old"))
