"""Collect pictures of giant robots, each with its pedigree, in data/mahq/.

    python scrape_mahq.py                                  # the old pages, from the Wayback Machine
    python scrape_mahq.py --source mahq                    # the live site
    python scrape_mahq.py --source wiki                    # the Gundam Wiki
    python scrape_mahq.py --limit 20                       # a first look
    python scrape_mahq.py --show msgundam wing --variants  # two shows, with all their pictures
    python scrape_mahq.py --dry-run                        # what it would fetch

Ctrl-C stops it; the same command goes on, and so it does after a crash. When everything is there,
the same command asks what has changed. The pictures belong to their owners.
"""

from __future__ import annotations

import json
import math
import re
import signal
import sys
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from utils.common import commandline
from utils.scraping import (
    pages,
    sites,  # first: they say what is not installed
)

# isort: split
from tqdm import tqdm

from utils.common.errors import RunError, UserError, one_line_errors, printable
from utils.scraping.collection import Collection, Entry
from utils.scraping.sites import Suit
from utils.scraping.web import FetchError, Manners, host_of

# ------------------------------------------------------------------------------------------------
# Options
# ------------------------------------------------------------------------------------------------


@dataclass
class Options(Manners):
    """What there is to choose. Each field is an option: index_url is --index-url."""

    source: Literal["wayback", "mahq", "wiki"] = "wayback"
    """The old pages of mahq.net as the Wayback Machine has them, the live site (in whichever
    layout), or the Gundam Wiki."""
    index_url: str = ""
    """Start from this page instead, which has the same layout; only its host is asked then. With
    --source wiki, the address of the wiki's api.php; with wayback, the page as it was called."""
    show: tuple[str, ...] = ()
    """Only these shows, by folder (msgundam) or title; none: all."""
    unit_types: tuple[str, ...] = ("mobile suit", "transformable mobile armor", "mobile fighter")
    """Keep what has a unit type that ends with one of these."""
    variants: bool = False
    """Take the further pictures of a suit as well."""
    limit: int = 0
    """Stop when that many pictures are kept; 0 takes all."""
    output: str = "data/mahq"
    """Where pictures, manifest and journal go."""
    dry_run: bool = False
    """List what would be fetched. Reads (and keeps) the pages that list suits, nothing else."""
    refresh: bool = False
    """Ask for everything again, if changed, even though the last run left something missing; left
    out, the same command goes on with that."""

    # Manners, beside those of `Manners`.
    give_up_after: int = 10
    """Stop when that many addresses in a row could not be reached."""
    max_page_mb: float = 2.0
    """Longer pages are refused, in MB."""
    max_picture_mb: float = 20.0
    """Longer pictures are refused, in MB."""

    # Sources.
    archive_url: str = "https://web.archive.org"
    """Where the Wayback Machine is."""
    captures_from: int = 2015
    """Take captures of this year or later."""
    captures_to: int = 2021
    """Take captures of this year or earlier: the site moved to another layout in 2022."""
    wiki_categories: tuple[str, ...] = (
        "Mobile Suits", "Mobile Fighters", "Transformable Mobile Armors",
    )  # fmt: skip
    """Categories of the wiki to collect. A page that names no unit type has its category's."""

    def check(self) -> None:
        """Raise UserError for values that cannot be meant."""
        require_between = commandline.require_between
        require_between(self, 0, math.inf, "limit", "retries")
        require_between(self, 0, 3600, "delay", "backoff", "too_many_pause", "longest_pause")
        require_between(self, 0.01, 86400, "timeout", "longest_answer")
        require_between(self, 1, math.inf, "give_up_after")
        require_between(self, 0.001, 256, "max_page_mb", "max_picture_mb")
        require_between(self, 1996, 2100, "captures_from", "captures_to")
        if self.captures_from > self.captures_to:
            raise UserError(
                f"--captures-from {self.captures_from}: is later than --captures-to "
                f"{self.captures_to}"
            )
        for option, address in (
            ("--index-url", self.index_url or sites.DEFAULT_INDEX[self.source]),
            ("--archive-url", self.archive_url),
        ):
            try:
                host_of(address)
            except ValueError:
                raise UserError(
                    f"{option} {address}: must be an address that starts with http:// or https://"
                ) from None
        if not any(phrase.strip() for phrase in self.unit_types):
            raise UserError("--unit-types: must name at least one")
        if not re.fullmatch(r"[ -~]+", self.user_agent):
            raise UserError(f"--user-agent {self.user_agent!r}: must be plain ASCII, not empty")
        if not self.output.strip():
            raise UserError("--output: must name a folder")
        if Path(self.output).exists() and not Path(self.output).is_dir():
            raise UserError(f"--output {self.output}: is a file, must be a folder")


MB = 2**20

# ------------------------------------------------------------------------------------------------
# The run: what is kept, refused and missing
# ------------------------------------------------------------------------------------------------


class Run:
    """One run of the script: goes through the suits of a source and keeps account."""

    save_interval = 5.0
    """Seconds between two writings of the lists while pictures come in."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.kept = 0
        self.refused = 0
        self.failures: list[dict[str, Any]] = []
        self.pages_read = 0
        self.unit_types_seen = 0
        self.unreached = 0
        self.last_page = ""
        self.queue: deque[Suit] = deque()
        self.seen: set[str] = set()
        self.twins: dict[str, list[Suit]] = {}
        """Suits that were refused because a file of the manifest shows the same."""
        self.collection = Collection(Path(options.output))
        self.collection.limits = f"{options.max_page_mb:g}/{options.max_picture_mb:g} MB"
        self.manifest = {
            line["file"]: line
            for line in self.collection.read_lines("manifest.jsonl")
            if isinstance(line.get("file"), str)
            and isinstance(line.get("shows"), list)
            and Path(options.output, line["file"]).exists()
        }
        self.rejected = {
            (str(line.get("page_url")), str(line.get("image_url"))): line
            for line in self.collection.read_lines("rejected.jsonl")
        }
        self.shows_of: dict[str, list[list[str]]] = {}
        """For each file of the manifest the lists of shows that grow while shows are read."""
        self.source = sites.SOURCES[options.source](options, self.collection, self)
        self._saved = time.monotonic()

    def run(self) -> int:
        """Collect, or list what would be collected; returns the exit code."""
        options = self.options
        key = f"{options.source} {self.source.index}"
        names = ("show", "unit_types", "variants", "limit", "wiki_categories", "captures_from")
        selection = json.dumps([getattr(options, name) for name in (*names, "captures_to")])
        again = self.collection.begin(key, selection, options.refresh, options.dry_run)
        try:
            if options.dry_run:
                return self.list_requests(again)
            self.collect()
            if not any(not failure["final"] for failure in self.failures):
                self.collection.end(key, selection)
        except KeyboardInterrupt:
            self.save()
            self.say(f"scrape_mahq.py: stopped; {self.account()}; the same command goes on")
            return 130
        except RunError as error:
            self.save()
            raise RunError(f"{error} ({self.account()} so far)") from None
        finally:
            self.source.session.close()
            self.collection.close()
        return self.conclude()

    def collect(self) -> None:
        """Go through all suits, or as many as --limit pictures need."""
        limit = self.options.limit
        try:
            with self.bar(total=limit or None) as bar:
                for suit in self.suits(bar):
                    before = self.kept
                    self.take(suit)
                    bar.update(self.kept - before if limit else 1)
                    bar.set_postfix_str(
                        f"{self.kept} kept, {self.refused} refused, {len(self.failures)} failed",
                        refresh=False,
                    )
                    if time.monotonic() - self._saved > self.save_interval:
                        self.save()
                    if limit and self.kept >= limit:
                        break
        finally:
            sys.stderr.flush()
        self.save()

    def bar(self, total: int | None) -> tqdm:
        """A progress bar; seldom redrawn where it goes into a file."""
        interval = 0.2 if sys.stderr.isatty() else 10.0
        return tqdm(
            total=total,
            desc="pictures" if self.options.limit else "suits",
            unit="picture" if self.options.limit else "suit",
            mininterval=interval,
            maxinterval=max(10.0, interval),
            dynamic_ncols=True,
        )

    def suits(self, bar: tqdm) -> Iterator[Suit]:
        """All suits of the source, and those that turn up on the way.

        All shows are read first, so that the bar knows how many suits there are; with --limit only
        as many as it takes, because who wants twenty pictures wants them soon.
        """
        listed = self.source.suits()
        if not self.options.limit:
            for suit in listed:
                self.queue.append(suit)
                bar.set_description_str(
                    f"reading the shows, {len(self.queue)} suits", refresh=sys.stderr.isatty()
                )
            bar.set_description_str("suits")
            bar.reset(total=len(self.queue))
        while True:
            suit = self.queue.popleft() if self.queue else next(listed, None)
            if suit is None:
                return
            if suit.address not in self.seen:
                self.seen.add(suit.address)
                if not self.options.limit:
                    bar.total = max(bar.total, bar.n + 1 + len(self.queue))
                yield suit

    def take(self, suit: Suit) -> None:
        """Look at one suit and keep, refuse or miss its pictures. Only RunError gets out."""
        try:
            self._take(suit)
        except FetchError as error:
            self.fail(suit.address, "page", error)
        except (RunError, UserError):
            raise
        except Exception as error:
            # Hostile pages reach the darker corners of every library; the others want to be read.
            reason = f"unexpected {type(error).__name__}: {error}"[:300]
            self.fail(suit.address, "page", FetchError(reason, final=True))

    def _take(self, suit: Suit) -> None:
        page = self.source.read(suit)
        more = self.source.more_suits(suit, page)
        if more:
            self.queue.extendleft(reversed(more))
            return
        unit_type = page.value("unit type")
        model_number = page.value("model number", "model")
        self.pages_read += 1
        self.last_page = suit.address
        self.unit_types_seen += bool(unit_type)
        about = {
            "page_url": suit.address,
            "title": page.title
            or pages.one_line(f"{model_number} {page.value('code name')}")
            or page.headline
            or sites.last_part(suit.address),
            "model_number": model_number,
            "show": suit.show,
            "shows": suit.shows,
            "unit_type": unit_type,
            "details": {
                label: value
                for label, value in page.fields.items()
                if label.casefold() not in ("unit type", "model number")
            },
        }
        wanted = page.pictures if self.options.variants else page.pictures[:1]
        reason = ""
        if not unit_type:
            reason = "no unit type on the page"
        elif not pages.is_accepted(unit_type, self.options.unit_types):
            reason = f"unit type {unit_type!r} ends with none of the accepted"
        elif not wanted:
            reason = "no picture on the page"
        if reason:
            image_url = self.source.picture_address(wanted[0][0]) if wanted else ""
            self.refuse(about, image_url, reason)
            # A page that says nothing any more takes nothing away: the site may have changed.
            if unit_type and wanted:
                self.put_aside(suit.address)
            return
        self.rejected.pop((suit.address, self.source.picture_address(wanted[0][0])), None)
        self.rejected.pop((suit.address, ""), None)
        for choices in wanted:
            entry = self.fetch_picture(suit, choices)
            if entry is not None:
                self.keep(suit, about, entry)
            if self.options.limit and self.kept >= self.options.limit:
                break

    def fetch_picture(self, suit: Suit, choices: list[str]) -> Entry | None:
        """The picture at the first of a few addresses that has one; a failure if none has."""
        source, failure = self.source, None
        for choice in choices[:4]:
            address = source.picture_address(choice)
            try:
                entry = self.collection.picture(
                    source.session, source.picture_request(address), address, suit.show,
                    int(self.options.max_picture_mb * MB),
                    unchanging=source.unchanging, **source.checks(),
                )  # fmt: skip
            except FetchError as error:
                failure = failure or (address, error)
                if error.kept:
                    self.fail(address, "picture", error, kept=True, page_url=suit.address)
                    return error.kept
                if not error.final:
                    break
            else:
                self.unreached = 0
                return entry
        if failure:
            self.fail(failure[0], "picture", failure[1], page_url=suit.address)
        return None

    # The account.

    def keep(self, suit: Suit, about: dict[str, Any], entry: Entry) -> None:
        """Note a picture that is there."""
        known = self.manifest.get(entry.file)
        place = (about["page_url"], entry.image_url)
        if known and (known.get("page_url"), known.get("image_url")) != place:
            self.shows_of.setdefault(entry.file, []).append(about["shows"])
            self.refuse(about, entry.image_url, f"the same picture as {entry.file}")
            self.twins.setdefault(entry.file, []).append(suit)
            return
        self.rejected.pop(place, None)
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
            "source": self.options.source,
            "details": about["details"],
        }
        if known:
            # The folder it has lies where it is, and an earlier run may have read other shows.
            line["show"] = known.get("show", line["show"])
            self.shows_of.setdefault(entry.file, []).append(known["shows"])
        self.shows_of.setdefault(entry.file, []).append(about["shows"])
        self.manifest[entry.file] = line

    def refuse(self, about: dict[str, Any], image_url: str, reason: str) -> None:
        """Note what is not wanted, and why."""
        self.refused += 1
        self.unreached = 0
        self.rejected[about["page_url"], image_url] = {
            "reason": reason,
            "image_url": image_url,
            **about,
        }

    def put_aside(self, page_url: str) -> None:
        """Take out pictures of a page that had been accepted and now is not."""
        of_page = [file for file, line in self.manifest.items() if line.get("page_url") == page_url]
        for file in of_page:
            if self.collection.owns(file):
                self.collection.set_aside(file)
                del self.manifest[file]
                # Who was refused because of it gets its turn again.
                for twin in self.twins.pop(file, []):
                    self.seen.discard(twin.address)
                    self.queue.append(twin)

    def fail(
        self, address: str, what: str, error: FetchError, kept: bool = False, page_url: str = ""
    ) -> None:
        """Note what is missing, and why; with ``kept``, an earlier copy is there.

        Raises:
            RunError: nothing has been reached for a while.
        """
        reason = f"{error}{'; the earlier copy is kept' if kept else ''}"
        failure = {"what": what, "address": address, "reason": reason, "final": error.final}
        failure |= {"kept": True} if kept else {}
        failure |= {"page_url": page_url} if page_url else {}
        self.failures.append(failure)
        self.say(f"{address}: {reason}")
        self.unreached = 0 if error.final else self.unreached + 1
        if self.unreached >= self.options.give_up_after:
            raise RunError(
                f"{self.unreached} addresses failed one after the other, the last: {address}: "
                f"{error}"
            )

    def save(self) -> None:
        """Write manifest.jsonl, rejected.jsonl and failed.jsonl; Ctrl-C has to wait."""
        if self.options.dry_run:
            return
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            for file, lists in self.shows_of.items():
                if file in self.manifest:
                    every = [show for shows in lists for show in shows]
                    self.manifest[file]["shows"] = list(dict.fromkeys(every))
            write = self.collection.write_lines
            write("manifest.jsonl", [self.manifest[file] for file in sorted(self.manifest)])
            write("rejected.jsonl", list(self.rejected.values()))
            write("failed.jsonl", self.failures)
        finally:
            signal.signal(signal.SIGINT, before)
        self._saved = time.monotonic()

    def say(self, line: str) -> None:
        """A line on stderr, without tearing the bar."""
        tqdm.write(printable(line), file=sys.stderr)

    def account(self) -> str:
        """What the run did, in a few words."""
        return (
            f"{self.kept} picture{'' if self.kept == 1 else 's'} kept, {self.refused} refused, "
            f"{len(self.failures)} failed, {self.source.session.requests_made} requests"
        )

    def conclude(self) -> int:
        """Print the last line and return the exit code: 1 if anything is missing."""
        folder = self.collection.folder
        if self.pages_read and not self.unit_types_seen:
            page = pages.EXPECTED
            raise RunError(
                f"none of {self.pages_read} pages has a unit type, so the site has probably "
                f"changed: expected {page}; look at {self.last_page}, then at "
                "utils/scraping/pages.py"
            )
        missing = [each for each in self.failures if not (each.get("kept") and each["final"])]
        if not missing:
            print(f"{folder}: {self.account()}; nothing is missing")
            return 0
        counts = [
            f"{number} {what}{'' if number == 1 else 's'}"
            for what in ("page", "picture")
            if (number := sum(each["what"] == what for each in missing))
        ]
        again = sum(not each["final"] for each in missing)
        hint = f"{again} may come when the same command is run again" if again else "for good"
        print(
            f"{folder}: {self.account()}; missing: {' and '.join(counts)} ({hint}), see "
            f"{folder / 'failed.jsonl'}"
        )
        return 1

    def list_requests(self, again: bool) -> int:
        """Print what a run would ask for, a line each; returns the exit code."""
        number = 0
        source, have = self.source, self.collection.has
        word = "again" if again and not source.unchanging else "fetch"
        with self.bar(total=None) as bar:
            suits = list(self.suits(bar))
        for suit in suits:
            page_known = suit.page or have(source.page_request(suit.address), source.unchanging)
            if not suit.page and (not page_known or word == "again"):
                print(printable(f"{word} page {suit.address}"))
                number += 1
            if not page_known:
                continue
            try:
                page = source.read(suit)
                if not pages.is_accepted(page.value("unit type"), self.options.unit_types):
                    continue
                wanted = page.pictures if self.options.variants else page.pictures[:1]
                addresses = [source.picture_address(choices[0]) for choices in wanted]
                requests = [source.picture_request(address) for address in addresses]
            except (FetchError, ValueError):
                continue  # a page that has failed for good, or one that says something unusable
            for address, request in zip(addresses, requests, strict=True):
                if word == "again" or not have(request, source.unchanging):
                    print(printable(f"{word} picture {address}"))
                    number += 1
        minutes = number * source.session.delay / 60
        print(
            f"{len(suits)} suits; {number} addresses to ask for"
            f"{', and a picture of every page that is accepted' if number else ''}; at "
            f"{source.session.delay:g} s each, that takes {minutes:.0f} minutes or more"
        )
        return 1 if self.failures else 0


@one_line_errors
def main() -> None:
    """Collect what the command line says."""
    try:
        options = commandline.parse(Options, "scrape_mahq.py", __doc__)
        options.check()
        code = Run(options).run()
    except KeyboardInterrupt:
        print("scrape_mahq.py: stopped", file=sys.stderr)
        code = 130
    raise SystemExit(code)


if __name__ == "__main__":
    main()
