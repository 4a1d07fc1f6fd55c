"""What was asked for and what came, in the order it happened.

A line is written, and flushed to the disk, as soon as an answer is there. Where the machine stops
before that, the answer counts as not received, and is asked for again.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from utils.common.errors import RunError, UserError


@dataclass
class Entry:
    """What is known of one address: a line of the journal.

    ``status`` is 200 where there is a body, whose SHA-256 is ``sha256``; otherwise the HTTP status
    or 0, and ``reason`` says why there is none. ``address`` is where redirects led to,
    ``fetched_at`` when the body came (not when it was last found unchanged). Pictures have the
    rest: width and height in pixels, format as Pillow calls it, and the file below the folder.
    """

    round: int
    status: int
    address: str = ""
    sha256: str = ""
    content_type: str = ""
    etag: str = ""
    last_modified: str = ""
    fetched_at: str = ""
    reason: str = ""
    limits: str = ""
    image_url: str = ""
    width: int = 0
    height: int = 0
    format: str = ""
    file: str = ""


class Journal:
    """The file, and what it says.

    Answers belong to a round. Within a round nothing is asked for twice; in the next one everything
    is asked for again, on the condition that it has changed.

    Attributes:
        entries: the last answer to each request.
        good: the last answer to each request that had a body.
        pictures: every answer that became a file, in order.
        round: the number of the current round.

    Raises:
        OSError: the file cannot be opened.
        UserError: it is damaged, elsewhere than at its end.
    """

    def __init__(self, path: Path) -> None:
        self.entries: dict[str, Entry] = {}
        self.good: dict[str, Entry] = {}
        self.pictures: list[Entry] = []
        self.round = 0
        self._last_round = 0
        self._rounds: dict[str, tuple[int, set[str]]] = {}  # of a source, and what ended in it
        self._path = path
        self._file = open(path, "ab+")  # noqa: SIM115 - until close
        self._replay()

    def close(self) -> None:
        """Close the file."""
        # What a full disk has not taken is still waiting in the file, and was reported already.
        with contextlib.suppress(OSError):
            self._file.close()

    def begin(self, key: str, selection: str, refresh: bool, look_only: bool = False) -> bool:
        """Go on with the round of this source, or begin the next one.

        Args:
            key: the source.
            selection: what is collected of it. A round that ended goes on for another selection,
                so that changing one's mind does not fetch everything again.
            refresh: begin the next round in any case.
            look_only: never begin another than the first.

        Returns:
            Whether everything has been asked for before, in this round or an earlier one.
        """
        known = self._rounds.get(key)
        ended = known is not None and selection in known[1]
        if known is None or ((ended or refresh) and not look_only):
            self._last_round += 1
            self._rounds[key] = (self._last_round, set())
            self._write({"what": "round", "key": key, "round": self._last_round})
        self.round = self._rounds[key][0]
        return ended

    def end(self, key: str, selection: str) -> None:
        """Note that nothing is left to ask for in this round and selection."""
        self._rounds[key][1].add(selection)
        self._write({"what": "end", "key": key, "selection": selection})

    def record(self, request: str, entry: Entry) -> None:
        """Note an answer.

        Raises:
            RunError: the disk is full.
        """
        self._write({"what": "answer", "request": request} | dataclasses.asdict(entry))
        self._remember(request, entry)

    def _write(self, line: dict[str, Any]) -> None:
        line = {name: value for name, value in line.items() if value != ""}
        data = json.dumps(line, ensure_ascii=False).encode("utf-8", "replace") + b"\n"
        with disk(self._path.parent):
            self._file.write(data)
            self._file.flush()
            os.fsync(self._file.fileno())

    def _replay(self) -> None:
        self._file.seek(0)
        end = 0
        whole = (line for line in self._file if line.endswith(b"\n"))
        for length, value in read_objects(self._path, whole):
            end += length
            with contextlib.suppress(ValueError, TypeError, KeyError, AttributeError):
                self._apply(value)
        self._file.truncate(end)

    def _apply(self, line: dict[str, Any]) -> None:
        match line.pop("what"):
            case "round":
                self._rounds[line["key"]] = (int(line["round"]), set())
                self._last_round = max(self._last_round, int(line["round"]))
            case "end":
                self._rounds[line["key"]][1].add(line["selection"])
            case "answer":
                self._remember(line.pop("request"), Entry(**line))

    def _remember(self, request: str, entry: Entry) -> None:
        self.entries[request] = entry
        if entry.status == 200:
            self.good[request] = entry
            if entry.file:
                self.pictures.append(entry)


def read_objects(
    path: Path, lines: Iterable[bytes], needs: Mapping[str, type] = MappingProxyType({})
) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects in lines of JSON, each with the bytes that were read for it.

    A last line that was cut short is left out.

    Args:
        path: for messages.
        lines: with their ends.
        needs: the types of what every object has.

    Raises:
        UserError: a line is damaged.
    """
    length = 0
    for number, line in enumerate(lines, 1):
        length += len(line)
        if not line.strip():
            continue
        try:
            value = json.loads(line.decode())
        except (ValueError, RecursionError):
            if not line.endswith(b"\n"):
                return
            value = None
        found = value if isinstance(value, dict) else {}
        lacking = [name for name, kind in needs.items() if not isinstance(found.get(name), kind)]
        if lacking or not isinstance(value, dict):
            raise UserError(
                f"{path}: line {number} is damaged: found {line[:40].decode(errors='replace')!r}, "
                f"expected a JSON object{f' with {lacking[0]!r}' if lacking else ''}; mend or "
                "delete the line; nothing has been changed"
            )
        yield length, value
        length = 0


@contextlib.contextmanager
def disk(path: Path) -> Iterator[None]:
    """Raise RunError, which ends the run in one line, where the disk refuses."""
    try:
        yield
    except OSError as error:
        raise RunError(f"{error.filename or path}: {error.strerror or error}") from error
