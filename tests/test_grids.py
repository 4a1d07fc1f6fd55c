from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from utils.common import grids
from utils.common.grids import save_png, tile, to_uint8


def test_to_uint8_rounds_and_clips():
    values = np.array([-1, 1, 0, -2, 7, np.nan, -1 + 1.4 / 127.5, -1 + 1.6 / 127.5], np.float32)
    assert to_uint8(values).tolist() == [0, 255, 128, 0, 255, 128, 1, 2]
    every = np.arange(256, dtype=np.uint8)
    assert np.array_equal(to_uint8(every.astype(np.float32) / 127.5 - 1), every)


def test_tile_places_pictures_row_by_row():
    images = np.stack([np.full((2, 3, 3), value, np.uint8) for value in (1, 2, 3)])
    grid = tile(images, columns=2, padding=1, colour=(9, 8, 7))
    assert grid.shape == (7, 9, 3)
    assert grid.dtype == np.uint8
    expected = np.array(
        [
            [9, 9, 9, 9, 9, 9, 9, 9, 9],
            [9, 1, 1, 1, 9, 2, 2, 2, 9],
            [9, 1, 1, 1, 9, 2, 2, 2, 9],
            [9, 9, 9, 9, 9, 9, 9, 9, 9],
            [9, 3, 3, 3, 9, 9, 9, 9, 9],
            [9, 3, 3, 3, 9, 9, 9, 9, 9],
            [9, 9, 9, 9, 9, 9, 9, 9, 9],
        ]
    )
    assert np.array_equal(grid[..., 0], expected)
    assert grid[0, 0].tolist() == [9, 8, 7]
    assert np.array_equal(tile(images[:1], 1, padding=0), images[0])


@pytest.mark.parametrize(("side", "times"), [(32, 3), (64, 1), (256, 1)])
def test_small_pictures_are_enlarged_in_a_grid(side, times):
    images = np.random.default_rng(0).integers(0, 256, (3, side, side, 3), np.uint8)
    grid = grids.grid(images, 2)
    assert grid.shape == (times * (2 * side + 6), times * (2 * side + 6), 3)
    assert np.array_equal(grid[::times, ::times], tile(images, 2))


def test_tile_refuses_other_arrays():
    with pytest.raises(ValueError, match=r"expected uint8 \(N, H, W, C\), found float64"):
        tile(np.zeros((1, 2, 2, 3)), 1)
    with pytest.raises(ValueError, match="columns must be at least 1, found 0"):
        tile(np.zeros((1, 2, 2, 3), np.uint8), 0)


def test_save_png_round_trip(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (64, 48, 3), np.uint8)
    save_png(tmp_path / "deep" / "a.png", image)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "deep" / "a.png")), image)
    assert [file.name for file in (tmp_path / "deep").iterdir()] == ["a.png"]


def test_captions():
    image = np.zeros((10, 200, 3), np.uint8)
    captioned = grids.caption(image, ["left", ""], size=14)
    assert captioned.shape == (32, 200, 3)
    assert np.array_equal(captioned[22:], image)
    assert captioned[:22, :100].min() < 100
    assert (captioned[:22, 100:] == 255).all()
    centred = np.flatnonzero((grids.caption(image, ["I"], centred=True)[:22] < 128).any((0, 2)))
    assert 95 <= centred.min() <= centred.max() <= 105
    stacked = grids.stack([image, np.zeros((5, 100, 3), np.uint8)])
    assert stacked.shape == (15, 200, 3)
    assert (stacked[10:, 100:] == 255).all()
