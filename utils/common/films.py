"""Films of pictures: GIF and MP4."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image

from utils.common.errors import UserError
from utils.common.files import atomic_path
from utils.common.pictures import UnreadablePicture, read_picture

Frame = TypeVar("Frame")
Read = Callable[[Frame], Image.Image]
"""Makes a picture of a frame, or raises UnreadablePicture to leave it out."""


def save_gif(
    path: str | Path,
    frames: Sequence[Frame],
    max_frames: int = 200,
    seconds_per_frame: float = 0.1,
    max_side: int | None = 840,
    last_frame_seconds: float = 2.0,
    read: Read = read_picture,
) -> None:
    """Write an endless GIF of frames, whole or not at all.

    More than ``max_frames`` are thinned evenly; the first and the last always stay. All frames have
    the size of the last, reduced to ``max_side``; the last is shown longer. They share one palette,
    taken from frames along the whole film and used without dithering, so that areas which do not
    change do not flicker. A frame that cannot be read is left out.

    Args:
        path: the file.
        frames: picture files, or what ``read`` takes. They are read one by one, so that a film
            needs the memory of a few frames.
        max_frames: at least 2.
        seconds_per_frame: a multiple of 0.01; players refuse less than 0.02.
        max_side: in pixels, or None.
        last_frame_seconds: a multiple of 0.01.
        read: how a frame becomes a picture.

    Raises:
        ValueError: no frame, or none that can be read, or ``max_frames`` below 2.
        OSError: the folder cannot be written, or the disk is full.
    """
    chosen, size, last = _thinned(frames, max_frames, max_side, read)
    palette = _shared_palette(chosen, size, read)

    def quantized() -> Iterator[Image.Image]:
        for number, picture in _readable(enumerate(chosen), read):
            frame = _resized(picture, size).quantize(palette=palette, dither=Image.Dither.NONE)
            seconds = last_frame_seconds if number == last else seconds_per_frame
            # Pillow merges equal neighbours and adds up their times.
            frame.info["duration"] = 1000 * seconds
            yield frame

    film = quantized()
    with atomic_path(path) as temporary:
        next(film).save(temporary, format="GIF", save_all=True, append_images=film, loop=0)


def save_mp4(
    path: str | Path,
    frames: Sequence[Frame],
    max_frames: int = 1000,
    frames_per_second: int = 10,
    max_side: int | None = 1600,
    last_frame_seconds: float = 2.0,
    read: Read = read_picture,
) -> None:
    """Write an MP4 (H.264) of frames, whole or not at all, thinned and sized as in `save_gif`.

    Raises:
        UserError: the av package is not installed.
        ValueError: no frame, or none that can be read, or ``max_frames`` below 2.
        OSError: the folder cannot be written, or the disk is full.
    """
    try:
        import av
    except ImportError:
        raise UserError("--film mp4: the av package is not here: pip install av") from None
    chosen, size, last = _thinned(frames, max_frames, max_side, read)
    # Colours are stored for 2 x 2 pixels.
    size = tuple(max(2, side // 2 * 2) for side in size)
    with atomic_path(path) as temporary, av.open(str(temporary), "w", format="mp4") as film:
        stream = film.add_stream("libx264", rate=frames_per_second, options={"crf": "18"})
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"  # the only one that every player and browser knows
        for number, picture in _readable(enumerate(chosen), read):
            frame = av.VideoFrame.from_image(_resized(picture, size))
            times = round(last_frame_seconds * frames_per_second) if number == last else 1
            for _ in range(times):
                frame.pts = None
                film.mux(stream.encode(frame))
        film.mux(stream.encode())


def _thinned(
    frames: Sequence[Frame], max_frames: int, max_side: int | None, read: Read
) -> tuple[list[Frame], tuple[int, ...], int]:
    """The frames of a film, the size of them all, and the number of the last that can be read."""
    if not frames or max_frames < 2:
        raise ValueError(f"cannot make a film of {len(frames)} frames, at most {max_frames}")
    places = np.linspace(0, len(frames) - 1, min(len(frames), max_frames)).round()
    chosen = [frames[int(place)] for place in places]
    last = next(_readable(reversed(list(enumerate(chosen))), read), None)
    if last is None:
        raise ValueError(f"none of {len(chosen)} frames can be read")
    size = last[1].size
    if max_side is not None and max(size) > max_side:
        size = tuple(max(1, side * max_side // max(size)) for side in size)
    return chosen, size, last[0]


def _readable(frames: Iterable[tuple[int, Frame]], read: Read) -> Iterator[tuple[int, Image.Image]]:
    for number, frame in frames:
        try:
            yield number, read(frame)
        except UnreadablePicture:
            continue


def _resized(picture: Image.Image, size: tuple[int, ...]) -> Image.Image:
    return picture if picture.size == size else picture.resize(size, Image.Resampling.LANCZOS)


def _shared_palette(frames: list[Frame], size: tuple[int, ...], read: Read) -> Image.Image:
    """255 colours for all frames; the 256th is left to mark pixels that stay as they are."""
    sample = [frames[int(index)] for index in np.linspace(0, len(frames) - 1, 16)]
    # About 50,000 pixels of the film; an odd step does not run along the columns of a grid.
    step = 16 * size[0] * size[1] // 50_000 | 1
    pixels = np.concatenate(
        [
            np.asarray(_resized(picture, size)).reshape(1, -1, 3)[:, ::step]
            for _, picture in _readable(enumerate(sample), read)
        ],
        axis=1,
    )
    # Maximum coverage keeps rare colours; median cut would spend them on the background.
    return Image.fromarray(pixels).quantize(255, Image.Quantize.MAXCOVERAGE, kmeans=1)
