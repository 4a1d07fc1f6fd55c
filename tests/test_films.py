from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from utils.common.films import save_gif
from utils.common.grids import save_png

NOISE = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)


def frame_files(folder: Path, frames) -> list[Path]:
    paths = [folder / f"step_{number:04}.png" for number in range(len(frames))]
    for path, frame in zip(paths, frames, strict=True):
        save_png(path, frame)
    return paths


def gif_frames(path: Path) -> tuple[list[np.ndarray], list[int], dict]:
    with Image.open(path) as gif:
        frames, durations = [], []
        for number in range(gif.n_frames):
            gif.seek(number)
            frames.append(np.asarray(gif.convert("RGB")).astype(int))
            durations.append(gif.info["duration"])
        return frames, durations, gif.info


def test_gif_has_all_frames_loops_and_keeps_colours(tmp_path):
    ramp = np.asarray(Image.fromarray(NOISE).resize((8, 8)).resize((48, 48)))
    sources = [np.roll(ramp, 6 * number, axis=1) for number in range(5)]
    save_gif(tmp_path / "training.gif", frame_files(tmp_path, sources), seconds_per_frame=0.2)
    frames, durations, info = gif_frames(tmp_path / "training.gif")
    assert durations == [200, 200, 200, 200, 2000]
    assert info["loop"] == 0
    for frame, source in zip(frames, sources, strict=True):
        assert np.abs(frame - source).mean() < 4
        assert np.abs(frame - source).max() < 40
    assert not list(tmp_path.glob(".*"))


def test_gif_does_not_flicker(tmp_path):
    """Where the source stays the same, so does every frame."""
    sources = [NOISE.copy() for _ in range(4)]
    for number, source in enumerate(sources):
        source[:20] = number * 60
    save_gif(tmp_path / "a.gif", frame_files(tmp_path, sources))
    frames, _, _ = gif_frames(tmp_path / "a.gif")
    assert len(frames) == 4
    for frame in frames:
        assert np.array_equal(frame[20:], frames[0][20:])


def test_gif_is_thinned_evenly_with_first_and_last(tmp_path):
    sources = [np.full((8, 8, 3), 5 * number, np.uint8) for number in range(50)]
    save_gif(tmp_path / "a.gif", frame_files(tmp_path, sources), max_frames=8)
    frames, _, _ = gif_frames(tmp_path / "a.gif")
    assert [int(frame[0, 0, 0]) for frame in frames] == [0, 35, 70, 105, 140, 175, 210, 245]


@pytest.mark.parametrize("values", [[9, 9, 9, 80, 80], [9, 9, 9], [9]])
def test_gif_times_add_up_where_frames_are_equal(tmp_path, values):
    sources = [np.full((8, 8, 3), value, np.uint8) for value in values]
    save_gif(tmp_path / "a.gif", frame_files(tmp_path, sources), last_frame_seconds=1)
    frames, durations, info = gif_frames(tmp_path / "a.gif")
    assert len(frames) == len(set(values))
    assert sum(durations) == 100 * (len(values) - 1) + 1000
    assert info["loop"] == 0


def test_gif_sizes(tmp_path):
    sources = [np.zeros((10, 10, 3), np.uint8), np.full((30, 60, 3), 200, np.uint8)]
    save_gif(tmp_path / "a.gif", frame_files(tmp_path, sources), max_side=40)
    frames, _, _ = gif_frames(tmp_path / "a.gif")
    assert [frame.shape for frame in frames] == [(20, 40, 3), (20, 40, 3)]
    save_gif(tmp_path / "a.gif", frame_files(tmp_path, sources), max_side=None)
    assert gif_frames(tmp_path / "a.gif")[0][0].shape == (30, 60, 3)


def test_gif_leaves_out_what_cannot_be_read(tmp_path):
    paths = frame_files(tmp_path, [np.full((8, 8, 3), 80 * value, np.uint8) for value in range(4)])
    paths[0].write_bytes(b"")
    paths[3].unlink()
    save_gif(tmp_path / "a.gif", paths)
    frames, durations, _ = gif_frames(tmp_path / "a.gif")
    assert [int(frame[0, 0, 0]) for frame in frames] == [80, 160]
    assert durations == [100, 2000]
    with pytest.raises(ValueError, match="none of 1 frames can be read"):
        save_gif(tmp_path / "b.gif", paths[:1])
    with pytest.raises(ValueError, match="cannot make a film of 0 frames"):
        save_gif(tmp_path / "b.gif", [])
    assert not (tmp_path / "b.gif").exists()
