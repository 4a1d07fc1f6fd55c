"""The drawn data set: the same for everybody, plain behind and around, varied within."""

import dataclasses
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from utils.data import IMAGE_SIZES, mechas
from utils.data.mechas.catalogue import CATALOGUE, COMMON, POSES

COUNT = 160


@pytest.fixture(scope="module")
def drawn():
    """Pictures of 32 pixels, names and attributes of the first designs."""
    return mechas.draw_dataset(COUNT, size=32, processes=1, progress=False)


def border(picture):
    return np.concatenate((picture[0], picture[-1], picture[:, 0], picture[:, -1]))


def figure(picture):
    """Where the picture is clearly neither background nor the faint shadow on the floor."""
    return np.abs(picture.astype(int) - picture[0, 0]).max(axis=-1) > 40


def mirrored(design):
    """The design looking, and holding its weapon, to the other side of the picture."""
    other = {"left": "right", "right": "left", "none": "none"}
    return dataclasses.replace(
        design, facing=other[design.facing], weapon_side=other[design.weapon_side]
    )


def difference(one, other):
    return float(np.abs(one.astype(float) - other).mean())


# --- The same for everybody ---


def test_a_design_is_always_the_same():
    assert mechas.design(7, 3) == mechas.design(7, 3)
    assert mechas.design(7, 3) != dataclasses.replace(mechas.design(7, 4), seed=3)
    assert mechas.design(7, 3) != dataclasses.replace(mechas.design(8, 3), index=7)
    np.testing.assert_array_equal(
        mechas.draw(mechas.design(7), 32), mechas.draw(mechas.design(7), 32)
    )


# The first six designs, mean lightness of 4 x 4 parts each, as of version 1 of the drawing.
COARSE = bytes.fromhex(
    "f3c695eff3855deef3a86ef3f09e9ff3d6aad5efcf70aeedee90d1f0e6a5c2f0"
    "f7a0ebf7f4757ef7f7ba9ef7f7a99ef5f6c4c0fcf8757feefcb49ff8fcc4c1fc"
    "f3b2a3f3f3817cf3f3a3a1f3f3bcb7f3f3e6a6e2e89b6cd4f3d79cf3f3b6abf3"
)


def test_a_version_always_draws_the_same(drawn):
    assert mechas.VERSION == 1
    assert drawn[1][5] == "RGV-0005 Pylon"
    found = drawn[0][:6].reshape(6, 4, 8, 4, 8, 3).mean(axis=(2, 4, 5))
    expected = np.frombuffer(COARSE, np.uint8).reshape(6, 4, 4)
    assert np.abs(found - expected).max() < 1  # what another release of a library may change


def test_another_seed_draws_another_set(drawn):
    images, _, _ = mechas.draw_dataset(5, size=32, seed=1, processes=1, progress=False)
    assert not (images == drawn[0][:5]).all(axis=(1, 2, 3)).any()


def test_what_a_dead_worker_has_left_is_drawn_by_this_process(drawn, monkeypatch):
    def all_died(function, items, processes, died):
        yield from map(died, items)

    monkeypatch.setattr("utils.data.mechas.drawing.ordered_map", all_died)
    images, _, _ = mechas.draw_dataset(3, size=32, progress=False)
    np.testing.assert_array_equal(images, drawn[0][:3])


SCRIPT = """
import pickle, sys
from utils.data import mechas
pickle.dump(mechas.draw_dataset(40, size=32, processes=2, progress=False), sys.stdout.buffer)
"""


def test_several_processes_draw_the_same_and_do_not_run_the_script_again(drawn, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, script],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)},
        capture_output=True,
        timeout=600,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    images, names, attributes = pickle.loads(done.stdout)
    np.testing.assert_array_equal(images, drawn[0][:40])
    assert names == drawn[1][:40]
    for key, values in attributes.items():
        np.testing.assert_array_equal(values, drawn[2][key][:40])


# --- Pictures ---


@pytest.mark.parametrize("size", IMAGE_SIZES)
def test_a_picture_is_plain_and_light_around_a_large_figure_in_the_middle(size):
    for index in range(6):
        design = mechas.design(index)
        picture = mechas.draw(design, size)
        assert picture.shape == (size, size, 3)
        assert picture.dtype == np.uint8
        assert (border(picture) == design.background).all()
        assert min(design.background) > 230
        rows, columns = (figure(picture).any(axis=axis).nonzero()[0] for axis in (1, 0))
        height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
        # One pixel more or less on either side, as edges are soft.
        assert 0.87 * size - 2 <= max(height, width) <= 0.95 * size + 1
        for low, high in ((rows[0], rows[-1]), (columns[0], columns[-1])):
            assert abs(low + high - (size - 1)) <= 0.03 * size + 2


def test_every_picture_is_inside_its_frame(drawn):
    for picture in drawn[0]:
        assert (border(picture) == picture[0, 0]).all()


def test_most_figures_are_as_high_as_the_picture_allows(drawn):
    heights = [np.ptp(figure(picture).any(axis=1).nonzero()[0]) + 1 for picture in drawn[0]]
    assert np.mean(np.array(heights) >= 0.8 * 32) > 0.95


def test_no_two_pictures_are_alike(drawn):
    assert len({picture.tobytes() for picture in drawn[0]}) == COUNT


def test_a_small_picture_is_the_large_one_made_smaller():
    designs = [mechas.design(index) for index in range(8)]
    at_64 = [mechas.draw(design, 64) for design in designs]
    for design, small in zip(designs, at_64, strict=True):
        large = Image.fromarray(mechas.draw(design, 256))
        for size, allowed in ((128, 5), (32, 10)):
            reduced = np.asarray(large.resize((size, size), Image.Resampling.BOX))
            assert difference(mechas.draw(design, size), reduced) < allowed
        reduced = np.asarray(large.resize((64, 64), Image.Resampling.BOX))
        differences = [difference(picture, reduced) for picture in at_64]
        assert min(differences) == difference(small, reduced) < 7


# --- Facing and weapon ---


def test_a_design_that_faces_the_other_way_is_the_mirror_image():
    for index in range(8):
        design = mechas.design(index)
        picture, other = mechas.draw(design, 64), mechas.draw(mirrored(design), 64)
        assert difference(picture[:, ::-1], other) < 2.5
        assert difference(picture, other) > 5


def test_facing_can_be_told_from_pictures_of_other_designs(drawn):
    """What differs between a picture and its mirror image is alike in designs that face alike."""
    images, _, attributes = drawn
    light = images.astype(float).mean(axis=-1)
    uneven = (light - light[:, :, ::-1]).reshape(COUNT, -1)
    uneven /= np.linalg.norm(uneven, axis=1, keepdims=True)
    right = np.where(attributes["facing"] == b"right", 1.0, -1.0)
    template = (uneven[:100] * right[:100, None]).mean(axis=0)
    told = np.sign(uneven[100:] @ template)
    assert (told == right[100:]).mean() > 0.85


def test_the_weapon_is_on_its_side_of_the_picture_whatever_the_facing():
    unarmed = {"weapon": "none", "weapon_side": "none", "weapon_pose": "down"}
    for facing in ("left", "right"):
        for side in ("left", "right"):
            armed = dataclasses.replace(
                mechas.design(0),
                facing=facing,
                weapon="sabre",
                weapon_pose="low",
                weapon_side=side,
                free_arm="down",
                shield="none",
                wings="none",
                fill=0.5,
            )
            changed = np.abs(
                mechas.draw(armed, 64).astype(int)
                - mechas.draw(dataclasses.replace(armed, **unarmed), 64)
            ).sum(axis=(0, 2))
            beam = np.abs(mechas.draw(armed, 64).astype(int) - armed.beam).max(axis=-1) < 60
            assert changed.any()
            assert (beam.nonzero()[1].mean() < 32) == (side == "left")


def test_facing_and_weapon_side_are_drawn_independently():
    designs = [mechas.design(index) for index in range(600)]
    armed = [design for design in designs if design.weapon != "none"]
    facing = np.array([design.facing == "right" for design in armed])
    side = np.array([design.weapon_side == "right" for design in armed])
    # Four standard deviations of a fair coin.
    allowed = 4 * 0.5 / np.sqrt(len(armed))
    assert abs(facing.mean() - 0.5) < allowed
    assert abs(side.mean() - 0.5) < allowed
    assert abs((facing == side).mean() - 0.5) < allowed
    assert all((design.weapon_side == "none") == (design.weapon == "none") for design in designs)
    assert abs(np.mean([design.hero for design in designs]) - 0.05) < 0.025
    assert all(design.head == "v-fin" for design in designs if design.hero)


# --- Attributes ---


def test_attributes_tell_of_every_design_and_differ(drawn):
    _, names, attributes = drawn
    assert len(set(names)) == COUNT
    expected = (
        "faction head torso shoulders skirt legs feet weapon weapon_side shield backpack wings "
        "facing stance bulk height hero"
    )
    assert set(expected.split()) <= set(attributes)
    for name, values in attributes.items():
        assert len(values) == COUNT
        assert len(np.unique(values)) > 1, name
        design = mechas.design(5)
        if name == "hero":
            assert values.dtype == bool
        elif values.dtype.kind == "f":
            assert values.dtype == np.float32
            assert values[5] == np.float32(getattr(design, name))
        else:
            assert values.dtype.kind == "S"
            assert values[5].decode() == getattr(design, name)


def test_every_kind_of_every_part_can_be_drawn():
    base = mechas.design(0)
    plain = mechas.draw(base, 32)
    kinds = {
        (part, kind) for school in CATALOGUE.values() for part in school for kind in school[part]
    }
    kinds |= {(part, kind) for part in COMMON for kind in COMMON[part]}
    changed = 0
    for part, kind in sorted(kinds):
        options = {part: kind}
        if part == "weapon":
            options["weapon_pose"] = next(iter(POSES[kind]))
            options["weapon_side"] = "none" if kind == "none" else "left"
        picture = mechas.draw(dataclasses.replace(base, **options), 32)
        assert (border(picture) == base.background).all()
        changed += not np.array_equal(picture, plain)
    assert changed >= len(kinds) - 2 * len(CATALOGUE["mono"])


# --- Errors ---


def test_errors_name_what_was_found_and_what_was_expected():
    with pytest.raises(ValueError, match="size is 48, but must be 32, 64, 128 or 256"):
        mechas.draw(mechas.design(0), 48)
    with pytest.raises(ValueError, match="size is 48, but must be 32, 64, 128 or 256"):
        mechas.draw_dataset(1, size=48)
    with pytest.raises(ValueError, match="count is 0, but must be 1 or more"):
        mechas.draw_dataset(0)
    with pytest.raises(ValueError, match="processes is 0, but must be 1 or more"):
        mechas.draw_dataset(1, processes=0)
    with pytest.raises(ValueError, match="seed is -1, but must be 0 or more"):
        mechas.draw_dataset(1, seed=-1)
    with pytest.raises(ValueError, match="index and seed are -1 and 0, but must be 0 or more"):
        mechas.design(-1)


def test_the_progress_bar_is_on_stderr(capfd):
    mechas.draw_dataset(2, size=32, processes=1)
    out, err = capfd.readouterr()
    assert out == ""
    assert "drawing mechas" in err
