import numpy as np
import pytest
from PIL import Image

from utils.data import mechas
from utils.preparing.orientation import LENGTH, descriptor, orient


@pytest.fixture(scope="module")
def robots():
    images, _, attributes = mechas.draw_dataset(100, 64, processes=1, progress=False)
    return images, attributes["facing"].astype(str) == "left"


@pytest.fixture(scope="module")
def descriptors(robots):
    return np.stack([descriptor(Image.fromarray(image)) for image in robots[0]])


@pytest.fixture(scope="module")
def found(descriptors):
    return orient(descriptors)


def test_the_built_in_robots_face_one_side(robots, found):
    right = np.mean(found.mirrored == robots[1])
    assert max(right, 1 - right) >= 0.95
    assert found.agreement > 0.8
    assert found.mirrored.sum() <= 50  # no more are mirrored than need be


def test_mirroring_pictures_beforehand_changes_only_what_is_mirrored(robots, found, monkeypatch):
    monkeypatch.setattr("utils.preparing.orientation.BLOCK", 37)  # nor does reading in pieces
    flipped = np.random.default_rng(3).random(100) < 0.5
    again = np.stack(
        [
            descriptor(Image.fromarray(image[:, ::-1] if flip else image))
            for image, flip in zip(robots[0], flipped, strict=True)
        ]
    )
    before, after = found.mirrored, orient(again).mirrored ^ flipped
    same = np.mean(before == after)
    assert max(same, 1 - same) >= 0.99


def test_the_descriptor_of_a_mirror_image_is_its_negative(robots):
    for image in robots[0][:10]:
        one = descriptor(Image.fromarray(image)).astype(float)
        other = descriptor(Image.fromarray(image[:, ::-1])).astype(float)
        assert one.shape == (LENGTH,)
        assert np.linalg.norm(one) == pytest.approx(1, abs=0.01)
        np.testing.assert_allclose(one, -other, atol=0.02)


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_few_and_featureless_pictures(count):
    grey = np.stack([descriptor(Image.new("RGB", (9, 7), "grey"))] * count or [np.zeros(LENGTH)])
    found = orient(grey[:count])
    assert found.mirrored.shape == found.certainty.shape == (count,)
    assert not found.mirrored.any()
    assert np.isfinite(found.agreement)


def test_one_picture_many_times_half_of_them_flipped(robots):
    image = robots[0][0]
    pair = [descriptor(Image.fromarray(each)) for each in (image, image[:, ::-1])]
    found = orient(np.stack(pair * 20))
    assert len(set(found.mirrored[::2])) == len(set(found.mirrored[1::2])) == 1
    assert found.mirrored.sum() == 20
    assert not found.mirrored[0]
