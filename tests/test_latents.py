"""Latent vectors, and ways between them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from utils.sampling import latents


def test_the_first_latents_are_the_same_however_many():
    for truncation in (0.0, 0.6):
        few, many = (latents.draw(count, 7, 3, truncation) for count in (4, 50))
        assert few.dtype == np.float32
        assert np.array_equal(few, many[:4])
        assert not np.array_equal(few, latents.draw(4, 7, 4, truncation))


def test_truncation_draws_again_what_is_beyond():
    plain, truncated = latents.draw(500, 20, 0), latents.draw(500, 20, 0, 1.0)
    assert np.abs(plain).max() > 3
    inside = np.abs(plain) <= 1
    assert np.array_equal(plain[inside], truncated[inside])
    assert np.abs(truncated).max() <= 1
    # Of N(0, 1) cut off at 1, the variance is 1 - 2 phi(1) / (2 Phi(1) - 1).
    assert truncated.var() == pytest.approx(0.29112, abs=0.01)


def test_slerp_of_known_vectors():
    found = latents.slerp(np.array([1.0, 0]), np.array([0, 3.0]), [0, 1 / 3, 0.5, 1])
    root = math.sqrt(2)
    expected = [[1, 0], [5 / 3 * math.cos(math.pi / 6), 5 / 3 / 2], [root, root], [0, 3]]
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7)


def test_slerp_is_shoemakes_between_vectors_of_one_length():
    start, end = latents.draw(2, 40, 5).astype(np.float64)
    end *= np.linalg.norm(start) / np.linalg.norm(end)
    angle = math.acos(start @ end / (start @ start))
    t = np.linspace(0, 1, 11)[:, np.newaxis]
    expected = (np.sin((1 - t) * angle) * start + np.sin(t * angle) * end) / math.sin(angle)
    np.testing.assert_allclose(latents.slerp(start, end, t[:, 0]), expected, rtol=1e-5, atol=1e-6)


def test_slerp_has_exact_ends_constant_speed_and_even_lengths():
    start, end = latents.draw(2, 100, 1)
    end = 2 * end
    way = latents.slerp(start, end, np.linspace(0, 1, 21))
    assert way.dtype == np.float32
    assert np.array_equal(way[0], start)
    assert np.array_equal(way[-1], end)
    lengths = np.linalg.norm(way.astype(np.float64), axis=1)
    np.testing.assert_allclose(np.diff(lengths), (lengths[-1] - lengths[0]) / 20, rtol=1e-4)
    directions = way / lengths[:, np.newaxis]
    angles = np.arccos((directions[1:] * directions[:-1]).sum(axis=1))
    np.testing.assert_allclose(angles, angles.mean(), rtol=1e-4)


def test_slerp_of_parallel_opposite_and_zero_vectors():
    vector = np.array([3.0, 0, 4.0])
    quarter = [0, 0.25, 0.5, 1]
    np.testing.assert_allclose(
        latents.slerp(vector, 3 * vector, quarter), np.outer([1, 1.5, 2, 3], vector), rtol=1e-6
    )
    assert np.array_equal(latents.slerp(vector, vector, quarter), np.tile(vector, (4, 1)))
    # A half circle, by way of the axis that the vector has nothing of.
    np.testing.assert_allclose(
        latents.slerp(vector, -vector, [0, 0.5, 1]), [vector, [0, 5, 0], -vector], atol=1e-6
    )
    np.testing.assert_allclose(
        latents.slerp(np.zeros(3), vector, quarter), np.outer(quarter, vector), rtol=1e-6
    )
    assert np.array_equal(latents.slerp(np.zeros(3), np.zeros(3), quarter), np.zeros((4, 3)))
    line = latents.slerp(np.array([2.0]), np.array([-2.0]), quarter)
    np.testing.assert_allclose(line, [[2], [1], [0], [-2]], atol=1e-6)


def test_a_loop_passes_through_its_points_without_a_seam():
    points = latents.draw(3, 30, 2)
    way = latents.loop(points, np.arange(10) / 10)
    assert way.shape == (30, 30)
    assert np.array_equal(way[::10], points)
    jumps = np.linalg.norm(np.roll(way, -1, axis=0) - way, axis=1)
    assert jumps.max() < 1.5 * jumps.min()


def test_a_walk_replaces_one_number():
    walked = latents.walk(np.array([[1, 2, 3], [4, 5, 6]]), 1, [-3, 0.5])
    expected = [[1, -3, 3], [1, 0.5, 3], [4, -3, 6], [4, 0.5, 6]]
    assert np.array_equal(walked, np.array(expected, np.float32))
