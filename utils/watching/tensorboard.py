"""``--tensorboard``: the curves and grids of a run as event files, which TensorBoard shows.

Written with tensorboardX (MIT licence), which needs neither TensorFlow nor PyTorch. Of it, the
records and messages are used and not its ``SummaryWriter``: that one writes from a thread of its
own, in which a full disk is lost and everything behind it waits for ever, and it gives the files of
two runs that start within a second the same name. Here the run's own background thread writes.
"""

from __future__ import annotations

import io
import math
import re
import struct
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from utils.common.errors import UserError
from utils.common.files import atomic_path

if TYPE_CHECKING:
    from tensorboardX.proto.event_pb2 import Event
    from tensorboardX.record_writer import RecordWriter

FILE_NAME = "events.out.tfevents.{:06d}"
"""TensorBoard reads every file with ``tfevents`` in its name, in the order of the names."""
GROUPS = {"loss": "loss", "gradient": "gradient", "updates": "updates"}
"""Columns of history.csv with such a word in them stand together."""


def require_tensorboard() -> None:
    """Raise UserError if the package that writes event files is not installed."""
    try:
        import tensorboardX.record_writer  # noqa: F401
    except ImportError as error:
        raise UserError(
            f"--tensorboard: tensorboardX cannot be imported ({error}); it comes with: "
            "pip install tensorboardX tensorboard"
        ) from None


def tag(column: str) -> str:
    """The name of a column of history.csv in TensorBoard: ``d_loss`` is ``loss/d_loss``.

    What is before the slash is the heading under which TensorBoard shows it.
    """
    for word, group in GROUPS.items():
        if word in column.split("_"):
            return f"{group}/{column}"
    return f"answer/{column}" if column in ("d_real", "d_fake") else f"run/{column}"


class EventLog:
    """The event files of a run: another one is begun whenever the run goes on.

    What an interrupted run wrote behind its checkpoint is made again, and is taken out of the older
    files first. A TensorBoard that has read it already is told, by the mark that the format has for
    it: the step at which a run went on. The mark alone is not enough, because TensorBoard's own
    fast reader takes no notice of it.

    The methods are for one thread, the writer's.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._records: RecordWriter | None = None

    def begin(
        self,
        step: int,
        rows: Sequence[Mapping[str, float]],
        grids: Mapping[str, Mapping[int, Path]],
    ) -> None:
        """Begin the next file, of a run that goes on behind ``step``; 0 is a run that begins.

        Where there is no event file yet, because the run was made without ``--tensorboard``, what
        it has written so far comes first.

        Args:
            step: the last one that was made; later events are taken out of older files.
            rows: of history.csv, up to ``step``; each by its columns.
            grids: pictures by their names and steps, up to ``step``.

        Raises:
            OSError: the folder cannot be written, or a grid not be read.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        for path in self._files().values():
            _drop_after(path, step)
        numbers = list(self._files())
        if step and not numbers:
            numbers = [1]
            with atomic_path(self._path(1)) as temporary:  # all of it, or it is done again
                self._open(temporary, 0)
                self._write_past(rows, grids)
                self._records.close()
        self._open(self._path(max(numbers, default=0) + 1), step + 1 if step else 0)

    def add_row(self, row: Mapping[str, float]) -> None:
        """Add a row of history.csv, by its columns; a NaN is no point."""
        self._write(_row_event(row), time.time())
        self._records.flush()

    def add_grid(self, name: str, step: int, path: Path) -> None:
        """Add a picture that is on the disk already, as it is there.

        Raises:
            OSError: it cannot be read.
        """
        self._write(_grid_event(name, step, path), time.time())
        self._records.flush()

    def close(self) -> None:
        """End the file; nothing happens where none was begun."""
        if self._records is not None:
            self._records.close()

    def _path(self, number: int) -> Path:
        return self.folder / FILE_NAME.format(number)

    def _files(self) -> dict[int, Path]:
        """The event files there are, by their numbers."""
        pattern = re.compile(r"events\.out\.tfevents\.(\d{6,})")
        found = [(pattern.fullmatch(path.name), path) for path in self.folder.iterdir()]
        return {int(name[1]): path for name, path in found if name}

    def _open(self, path: Path, purge_step: int) -> None:
        from tensorboardX.proto.event_pb2 import Event, SessionLog
        from tensorboardX.record_writer import RecordWriter

        self._records = RecordWriter(str(path))
        self._write(Event(file_version="brain.Event:2"), time.time())
        start = SessionLog(status=SessionLog.START)
        self._write(Event(step=purge_step, session_log=start), time.time())
        self._records.flush()

    def _write_past(
        self, rows: Sequence[Mapping[str, float]], grids: Mapping[str, Mapping[int, Path]]
    ) -> None:
        # When a row was written is not known, only how much training lay between two of them.
        ended = max((row["seconds"] for row in rows), default=0.0)
        now = time.time()
        for row in rows:
            self._write(_row_event(row), now - (ended - row["seconds"]))
        for name, paths in grids.items():
            for step, path in paths.items():
                self._write(_grid_event(name, step, path), path.stat().st_mtime)

    def _write(self, event: Event, wall_time: float) -> None:
        event.wall_time = wall_time
        self._records.write(event.SerializeToString())


def _read_records(path: Path) -> Iterator[tuple[int, bytes]]:
    """The events of a file up to the first that is damaged or cut short: step, and all its bytes.

    A record is the length of its data (8 bytes), a checksum of that, the data, and a checksum of
    the data (4 bytes each).
    """
    from google.protobuf.message import DecodeError
    from tensorboardX.proto.event_pb2 import Event
    from tensorboardX.record_writer import masked_crc32c

    with open(path, "rb") as file:
        while len(head := file.read(12)) == 12:
            length, checksum = struct.unpack("<QI", head)
            if checksum != masked_crc32c(head[:8]):
                return
            rest = file.read(length + 4)
            if len(rest) < length + 4:
                return
            try:
                event = Event.FromString(rest[:length])
            except DecodeError:
                return
            yield event.step, head + rest


def _drop_after(path: Path, step: int) -> None:
    """Take later events than ``step``, and what is damaged, out of a file; at step 0, all of it."""
    if not step:
        path.unlink()
        return
    kept = sum(len(record) for at, record in _read_records(path) if at <= step)
    if kept == path.stat().st_size:
        return
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        file.writelines(record for at, record in _read_records(path) if at <= step)


def _row_event(row: Mapping[str, float]) -> Event:
    from tensorboardX.proto.event_pb2 import Event
    from tensorboardX.proto.summary_pb2 import Summary

    values = [
        Summary.Value(tag=tag(column), simple_value=value)
        for column, value in row.items()
        if column != "step" and not math.isnan(value)
    ]
    return Event(step=int(row["step"]), summary=Summary(value=values))


def _grid_event(name: str, step: int, path: Path) -> Event:
    from tensorboardX.proto.event_pb2 import Event
    from tensorboardX.proto.summary_pb2 import Summary

    data = path.read_bytes()
    with Image.open(io.BytesIO(data)) as picture:
        width, height = picture.size
    image = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=data)
    return Event(step=step, summary=Summary(value=[Summary.Value(tag=name, image=image)]))
