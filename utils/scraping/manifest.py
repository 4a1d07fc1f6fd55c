"""The lists of a collection: what was kept, what was refused and why, what is missing and why."""

from __future__ import annotations

from typing import Any

from utils.scraping.addresses import last_part
from utils.scraping.collection import Collection
from utils.scraping.journal import Entry
from utils.scraping.pages import Page, one_line
from utils.scraping.sources.source import Suit
from utils.scraping.transport import FetchError


class Manifest:
    """manifest.jsonl, rejected.jsonl and failed.jsonl, as a run goes on with them.

    ``about`` is what `describe` says of a page, in all methods.

    Args:
        collection: the folder that they are in.
        source: where this run collects.

    Raises:
        UserError: a list is damaged; it stays as it is.
    """

    def __init__(self, collection: Collection, source: str) -> None:
        self._collection = collection
        self._source = source
        self.kept = 0
        self.refused = 0
        self.failures: list[dict[str, Any]] = []
        self._pictures = {
            line["file"]: line
            for line in collection.read_lines("manifest.jsonl", file=str, shows=list)
            if (collection.folder / line["file"]).exists()
        }
        self._rejected = {
            (str(line.get("page_url")), str(line.get("image_url"))): line
            for line in collection.read_lines("rejected.jsonl")
        }
        # For each file the lists of shows that grow while shows are read.
        self._shows: dict[str, list[list[str]]] = {}

    def keep(self, about: dict[str, Any], entry: Entry) -> bool:
        """Note a picture that is there. False for one that is listed from another place already."""
        known = self._pictures.get(entry.file)
        place = (about["page_url"], entry.image_url)
        shows = self._shows.setdefault(entry.file, [])
        if known and (known.get("page_url"), known.get("image_url")) != place:
            shows.append(about["shows"])
            self.refuse(about, entry.image_url, f"the same picture as {entry.file}")
            return False
        self._rejected.pop(place, None)
        self.kept += 1
        line = {
            "file": entry.file,
            "sha256": entry.sha256,
            "width": entry.width,
            "height": entry.height,
            "format": entry.format,
            "image_url": entry.image_url,
            **{name: value for name, value in about.items() if name != "details"},
            "fetched_at": entry.fetched_at,
            "fetched_from": entry.address,
            "source": self._source,
            "details": about["details"],
        }
        if known:
            # The folder it has lies where it is, and an earlier run may have read other shows.
            line["show"] = known.get("show", line["show"])
            shows.append(known["shows"])
        shows.append(about["shows"])
        self._pictures[entry.file] = line
        return True

    def refuse(self, about: dict[str, Any], image_url: str, reason: str) -> None:
        """Note a page or picture that is not taken, and why."""
        self.refused += 1
        self._rejected[about["page_url"], image_url] = {
            "reason": reason,
            "image_url": image_url,
            **about,
        }

    def accept(self, page_url: str, image_url: str) -> None:
        """Forget that a page was refused, with this picture or without any."""
        for known in (image_url, ""):
            self._rejected.pop((page_url, known), None)

    def take_out(self, page_url: str) -> list[str]:
        """Set aside the pictures of a page that had been accepted; returns their files."""
        files = [
            file
            for file, line in self._pictures.items()
            if line.get("page_url") == page_url and self._collection.files.owns(file)
        ]
        for file in files:
            self._collection.files.set_aside(file)
            del self._pictures[file]
        return files

    def fail(self, address: str, what: str, error: FetchError, kept: bool, page_url: str) -> str:
        """Note what is missing; returns why. With ``kept``, an earlier copy is there."""
        reason = f"{error}{'; the earlier copy is kept' if kept else ''}"
        failure = {"what": what, "address": address, "reason": reason, "final": error.final}
        failure |= {"kept": True} if kept else {}
        failure |= {"page_url": page_url} if page_url else {}
        self.failures.append(failure)
        return reason

    def missing(self) -> list[dict[str, Any]]:
        """The failures but for what is kept and gone for good."""
        return [each for each in self.failures if not (each.get("kept") and each["final"])]

    def save(self) -> None:
        """Write the three lists."""
        for file, lists in self._shows.items():
            if file in self._pictures:
                every = [show for shows in lists for show in shows]
                self._pictures[file]["shows"] = list(dict.fromkeys(every))
        write = self._collection.write_lines
        write("manifest.jsonl", [self._pictures[file] for file in sorted(self._pictures)])
        write("rejected.jsonl", list(self._rejected.values()))
        write("failed.jsonl", self.failures)


def describe(suit: Suit, page: Page) -> dict[str, Any]:
    """What the lists say of a suit's page."""
    model_number = page.value("model number", "model")
    return {
        "page_url": suit.address,
        "title": page.title
        or one_line(f"{model_number} {page.value('code name')}")
        or page.headline
        or last_part(suit.address),
        "model_number": model_number,
        "show": suit.show,
        "shows": suit.shows,
        "unit_type": page.value("unit type"),
        "details": {
            label: value
            for label, value in page.fields.items()
            if label.casefold() not in ("unit type", "model number")
        },
    }
