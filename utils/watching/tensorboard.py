"""``--tensorboard``: the curves and grids of a run as event files, which TensorBoard shows.

Written with the records and messages of tensorboardX (MIT licence), which needs neither TensorFlow
nor PyTorch. Its ``SummaryWriter`` writes from a thread of its own, where the error of a full disk
is lost, and names the files of two runs that start in the same second alike; here the run's own
background thread writes.
"""

from __future__ import annotations

import io
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from utils.common.errors import UserError, or_warning
from utils.common.files import atomic_path

if TYPE_CHECKING:
    from tensorboardX.record_writer import RecordWriter

GROUPS = {"loss": "loss", "gradient": "gradient", "updates": "updates"}
"""The heading of columns of history.csv that contain the word."""


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
    """A column of history.csv under its heading in TensorBoard: ``d_loss`` is ``loss/d_loss``."""
    for word, group in GROUPS.items():
        if word in column.split("_"):
            return f"{group}/{column}"
    return f"answer/{column}" if column in ("d_real", "d_fake") else f"run/{column}"


class EventLog:
    """The event files of a run, one for each time that it was started or resumed.

    TensorBoard reads them in the order of their names. Each file begins with the step from which it
    goes on, and TensorBoard drops later events of the files before: those that an interrupted run
    wrote after its last checkpoint. (Its fast data server drops each one when it is made again.)

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
        """Begin the next file, for what comes after ``step``; 0 is a run that begins.

        Without older files, because the run was made without ``--tensorboard``, its past is written
        first.

        Args:
            step: the last one that was made.
            rows: of history.csv, up to ``step``; each by its columns.
            grids: pictures by their names and steps, up to ``step``.

        Raises:
            OSError: the folder cannot be written, or a grid not be read.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        numbers = [path.suffix[1:] for path in self.folder.glob("events.out.tfevents.*")]
        last = max((int(number) for number in numbers if number.isdigit()), default=0)
        if step and not last:
            last = 1
            with atomic_path(self._path(1)) as temporary:  # all of the past, or none
                self._open(temporary, 0)
                self._write_past(rows, grids)
                self.close()
        self._open(self._path(last + 1), step + 1 if step else 0)

    def add_row(self, row: Mapping[str, float]) -> None:
        """Add a row of history.csv, by its columns; a NaN is no point."""
        self._write_row(row, time.time())
        self._records.flush()

    def add_grid(self, name: str, step: int, path: Path) -> None:
        """Add a picture that is on the disk already.

        Raises:
            OSError: it cannot be read.
        """
        self._write_grid(name, step, path, time.time())
        self._records.flush()

    def close(self) -> None:
        """End the file; nothing happens where none was begun."""
        if self._records is not None:
            self._records.close()

    def _path(self, number: int) -> Path:
        return self.folder / f"events.out.tfevents.{number:06d}"

    def _open(self, path: Path, first_step: int) -> None:
        from tensorboardX.proto.event_pb2 import SessionLog
        from tensorboardX.record_writer import RecordWriter

        self._records = RecordWriter(str(path))
        self._write(time.time(), file_version="brain.Event:2")
        self._write(time.time(), step=first_step, session_log={"status": SessionLog.START})
        self._records.flush()

    def _write_past(
        self, rows: Sequence[Mapping[str, float]], grids: Mapping[str, Mapping[int, Path]]
    ) -> None:
        # Rows know their seconds of training, not the time of day: the last is now.
        began = time.time() - max((row["seconds"] for row in rows), default=0.0)
        for row in rows:
            self._write_row(row, began + row["seconds"])
        for name, paths in grids.items():
            for step, path in paths.items():
                with or_warning(path):  # changed by somebody else
                    self._write_grid(name, step, path, path.stat().st_mtime)

    def _write_row(self, row: Mapping[str, float], wall_time: float) -> None:
        values = [
            {"tag": tag(column), "simple_value": value}
            for column, value in row.items()
            if column != "step" and not math.isnan(value)
        ]
        self._write(wall_time, step=int(row["step"]), summary={"value": values})

    def _write_grid(self, name: str, step: int, path: Path, wall_time: float) -> None:
        data = path.read_bytes()
        with Image.open(io.BytesIO(data)) as picture:
            width, height = picture.size
        image = {"width": width, "height": height, "colorspace": 3, "encoded_image_string": data}
        self._write(wall_time, step=step, summary={"value": [{"tag": name, "image": image}]})

    def _write(self, wall_time: float, **content: Any) -> None:
        from tensorboardX.proto.event_pb2 import Event

        self._records.write(Event(wall_time=wall_time, **content).SerializeToString())
