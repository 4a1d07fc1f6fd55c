"""``--tensorboard``: the curves and grids of a run as event files, which TensorBoard shows.

Written with tensorboardX (MIT licence), which needs neither TensorFlow nor PyTorch. Of it, the
records and messages are used and not its ``SummaryWriter``: that one writes from a thread of its
own, in which a full disk is lost and everything behind it waits for ever, and it gives the files of
two runs that start within a second the same name. Here the run's own background thread writes.
"""

from __future__ import annotations

import io
import math
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from utils.errors import UserError
from utils.files import atomic_path

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

    An event file is only ever appended to. Each begins by saying at which step the run went on, and
    TensorBoard hides what older files have from that step on, so that a step which is made twice
    shows once. A record that a kill cut short is the last of its file, and readers stop before it.

    The methods are for one thread, the writer's.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._records: RecordWriter | None = None

    def begin(
        self, step: int, rows: Iterable[Mapping[str, float]], grids: Mapping[int, Path]
    ) -> None:
        """Begin the next file, of a run that goes on behind ``step``; 0 is a run that begins.

        Where there is no event file yet, because the run was made without ``--tensorboard``, what
        it has written so far comes first.

        Args:
            step: the last one that was made; later events of older files are hidden.
            rows: of history.csv, up to ``step``; each by its columns.
            grids: sample grids by their steps, up to ``step``.

        Raises:
            OSError: the folder cannot be written, or a grid not be read.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        names = (path.suffix[1:] for path in self.folder.glob(FILE_NAME.format(0)[:-6] + "*"))
        numbers = [int(name) for name in names if name.isdigit()]
        if step and not numbers:
            numbers = [1]
            with atomic_path(self._path(1)) as temporary:  # all of it, or it is done again
                self._open(temporary, 0)
                self._write_past(list(rows), grids)
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

    def _open(self, path: Path, purge_step: int) -> None:
        from tensorboardX.proto.event_pb2 import Event, SessionLog
        from tensorboardX.record_writer import RecordWriter

        self._records = RecordWriter(str(path))
        self._write(Event(file_version="brain.Event:2"), time.time())
        start = SessionLog(status=SessionLog.START)
        self._write(Event(step=purge_step, session_log=start), time.time())
        self._records.flush()

    def _write_past(self, rows: Sequence[Mapping[str, float]], grids: Mapping[int, Path]) -> None:
        # When a row was written is not known, only how much training lay between two of them.
        ended = max((row["seconds"] for row in rows), default=0.0)
        now = time.time()
        for row in rows:
            self._write(_row_event(row), now - (ended - row["seconds"]))
        for step, path in grids.items():
            self._write(_grid_event("samples", step, path), path.stat().st_mtime)

    def _write(self, event: Event, wall_time: float) -> None:
        event.wall_time = wall_time
        self._records.write(event.SerializeToString())


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
