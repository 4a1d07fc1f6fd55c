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
import re
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from utils.common.commandline import parse  # first: it says what is not installed

# isort: split
from tqdm import tqdm

from utils.common.errors import RunError, UserError, one_line_errors, printable
from utils.common.fields import Between, Count, CountOrZero, FilePath
from utils.scraping.addresses import host_of
from utils.scraping.collector import SAVE_INTERVAL, Collector
from utils.scraping.pages import EXPECTED, reason_to_refuse
from utils.scraping.sources import SOURCES
from utils.scraping.transport import FetchError
from utils.scraping.web import Manners

# ------------------------------------------------------------------------------------------------
# Options
# ------------------------------------------------------------------------------------------------


Megabytes = Annotated[float, Between(0.001, 256)]
Year = Annotated[int, Between(1996, 2100)]


@dataclass
class Options(Manners):
    """What there is to choose. Each field is an option: index_url is --index-url."""

    source: Literal["wayback", "mahq", "wiki"] = "wayback"
    """The old pages of mahq.net as the Wayback Machine has them, the live site (in whichever
    layout), or the Gundam Wiki."""
    index_url: str = ""
    """Start from this page instead, which has the same layout; only its host is asked. With
    --source wiki, the address of the wiki's api.php; with wayback, the page as it was called."""
    show: tuple[str, ...] = ()
    """Only these shows, by folder (msgundam) or title; none takes all."""
    unit_types: tuple[str, ...] = ("mobile suit", "transformable mobile armor", "mobile fighter")
    """Keep what has a unit type that ends with one of these."""
    variants: bool = False
    """Take the further pictures of a suit as well."""
    limit: CountOrZero = 0
    """Stop when that many pictures are kept; 0 takes all."""
    output: FilePath = "data/mahq"
    """Where pictures, manifest and journal go."""
    dry_run: bool = False
    """List what would be fetched. Reads (and keeps) the pages that list suits, nothing else."""
    refresh: bool = False
    """Ask whether anything has changed, even though the last run left something missing."""

    # How to ask, in addition to `Manners`.
    give_up_after: Count = 10
    """Stop when that many addresses in a row could not be reached."""
    max_page_mb: Megabytes = 2.0
    """Longer pages are refused, in MB."""
    max_picture_mb: Megabytes = 20.0
    """Longer pictures are refused, in MB."""

    # Sources.
    archive_url: str = "https://web.archive.org"
    """Where the Wayback Machine is."""
    captures_from: Year = 2015
    """Take captures of this year or later."""
    captures_to: Year = 2021
    """Take captures of this year or earlier: the site moved to another layout in 2022."""
    wiki_categories: tuple[str, ...] = (
        "Mobile Suits", "Mobile Fighters", "Transformable Mobile Armors",
    )  # fmt: skip
    """Categories of the wiki to collect. A page that names no unit type has its category's."""

    def meant_by(self, words: list[str]) -> str:
        """The option that words without one were meant as."""
        return shlex.join(["--show", *words])

    def check(self) -> None:
        """Raise UserError for values that cannot be meant."""
        if self.captures_from > self.captures_to:
            raise UserError(
                f"--captures-from {self.captures_from}: is later than --captures-to "
                f"{self.captures_to}"
            )
        for option, address in (
            ("--index-url", self.index_url or SOURCES[self.source].INDEX),
            ("--archive-url", self.archive_url),
        ):
            try:
                host_of(address)
            except ValueError:
                raise UserError(
                    f"{option} {address}: must be an address that starts with http:// or https://, "
                    "without a user name"
                ) from None
        if not any(phrase.strip() for phrase in self.unit_types):
            raise UserError("--unit-types: must name at least one")
        if not re.fullmatch(r"[ -~]+", self.user_agent):
            raise UserError(f"--user-agent {self.user_agent!r}: must be plain ASCII, not empty")
        if not self.output.strip():
            raise UserError("--output: must name a folder")
        folder = Path(self.output)
        if folder.exists() and not folder.is_dir():
            raise UserError(f"--output {self.output}: is a file, must be a folder")


# ------------------------------------------------------------------------------------------------
# The run
# ------------------------------------------------------------------------------------------------


def run(options: Options) -> int:
    """Collect, or list what would be collected; returns the exit code."""
    collector = Collector(options, say)
    journal, manifest = collector.collection.journal, collector.manifest
    key = f"{options.source} {collector.source.index}"
    names = ("show", "unit_types", "variants", "limit", "wiki_categories", "captures_from")
    selection = json.dumps([getattr(options, name) for name in (*names, "captures_to")])
    again = journal.begin(key, selection, options.refresh, options.dry_run)
    try:
        if options.dry_run:
            return list_requests(collector, again)
        collect(collector)
        if all(failure["final"] for failure in manifest.failures):
            journal.end(key, selection)
    except KeyboardInterrupt:
        collector.save()
        say(f"scrape_mahq.py: stopped; {account(collector)}; the same command goes on")
        return 130
    except RunError as error:
        collector.save()
        raise RunError(f"{error} ({account(collector)} so far)") from None
    finally:
        collector.close()
    return conclude(collector)


def collect(collector: Collector) -> None:
    """Go through all suits, or as many as --limit pictures need."""
    limit, manifest = collector.options.limit, collector.manifest
    try:
        with progress_bar(limit) as bar:
            if not limit:  # with one, shows are read as they are needed: twenty pictures come soon
                read_lists(collector, bar)
            for suit in collector.suits():
                before = manifest.kept
                if not limit:
                    bar.total = max(bar.total, bar.n + 1 + len(collector.waiting))
                collector.take(suit)
                bar.update(manifest.kept - before if limit else 1)
                bar.set_postfix_str(
                    f"{manifest.kept} kept, {manifest.refused} refused, "
                    f"{len(manifest.failures)} failed",
                    refresh=False,
                )
                collector.save(if_older=SAVE_INTERVAL)
                if collector.has_enough():
                    break
    finally:
        sys.stderr.flush()
    collector.save()


def read_lists(collector: Collector, bar: tqdm) -> None:
    """Read all shows, and set the bar to the number of suits."""
    for number in collector.read_lists():
        bar.set_description_str(f"reading the shows, {number} suits", refresh=sys.stderr.isatty())
    bar.set_description_str("suits")
    bar.reset(total=len(collector.waiting))


def progress_bar(limit: int) -> tqdm:
    """A bar of pictures where there is a limit, else of suits; seldom redrawn in a file."""
    interval = 0.2 if sys.stderr.isatty() else 10.0
    return tqdm(
        total=limit or None,
        desc="pictures" if limit else "suits",
        unit="picture" if limit else "suit",
        mininterval=interval,
        maxinterval=max(10.0, interval),
        dynamic_ncols=True,
    )


def say(line: str) -> None:
    """A line on stderr, without tearing the bar."""
    tqdm.write(printable(line), file=sys.stderr)


# ------------------------------------------------------------------------------------------------
# The summary
# ------------------------------------------------------------------------------------------------


def account(collector: Collector) -> str:
    """What the run did, in a few words."""
    manifest, requests = collector.manifest, collector.source.session.requests_made
    return (
        f"{manifest.kept} picture{'' if manifest.kept == 1 else 's'} kept, {manifest.refused} "
        f"refused, {len(manifest.failures)} failed, {requests} requests"
    )


def conclude(collector: Collector) -> int:
    """Print the last line and return the exit code: 1 if anything is missing, or nothing kept."""
    folder = collector.collection.folder
    if collector.pages_read and not collector.unit_types_seen:
        raise RunError(
            f"none of {collector.pages_read} pages has a unit type, so the site has probably "
            f"changed: expected {EXPECTED}; look at {collector.last_page}, then at "
            "utils/scraping/pages.py"
        )
    missing = collector.manifest.missing()
    if not missing and not collector.manifest.kept:
        rejected = folder / "rejected.jsonl"
        print(f"{folder}: {account(collector)}; nothing is kept, see {rejected}")
        return 1
    if not missing:
        print(f"{folder}: {account(collector)}; nothing is missing")
        return 0
    counts = [
        f"{number} {what}{'' if number == 1 else 's'}"
        for what in ("page", "picture")
        if (number := sum(each["what"] == what for each in missing))
    ]
    again = sum(not each["final"] for each in missing)
    hint = f"{again} may come when the same command is run again" if again else "for good"
    print(
        f"{folder}: {account(collector)}; missing: {' and '.join(counts)} ({hint}), see "
        f"{folder / 'failed.jsonl'}"
    )
    return 1


def list_requests(collector: Collector, again: bool) -> int:
    """Print what a run would ask for, a line each; returns the exit code."""
    source, have = collector.source, collector.collection.has
    word = "again" if again and not source.unchanging else "fetch"
    with progress_bar(collector.options.limit) as bar:
        read_lists(collector, bar)
        suits = list(collector.suits())
    number = 0
    for suit in suits:
        is_known = suit.page or have(source.page_request(suit.address), source.unchanging)
        if not suit.page and (not is_known or word == "again"):
            print(printable(f"{word} page {suit.address}"))
            number += 1
        if not is_known:
            continue
        try:
            page = source.read(suit)
            if reason_to_refuse(page, collector.options.unit_types):
                continue
            choices = collector.selected(page)
            addresses = [source.picture_address(each[0]) for each in choices]
            requests = [source.picture_request(address) for address in addresses]
        except (FetchError, ValueError):
            continue  # a page that has failed for good, or one that says something unusable
        for address, request in zip(addresses, requests, strict=True):
            if word == "again" or not have(request, source.unchanging):
                print(printable(f"{word} picture {address}"))
                number += 1
    delay = source.session.delay
    print(
        f"{len(suits)} suits; {number} addresses to ask for"
        f"{', and a picture of every page that is accepted' if number else ''}; at {delay:g} s "
        f"each, that takes {number * delay / 60:.0f} minutes or more"
    )
    return 1 if collector.manifest.failures else 0


@one_line_errors
def main() -> None:
    """Collect what the command line says."""
    try:
        options = parse(Options, "scrape_mahq.py", __doc__)
        options.check()
        code = run(options)
    except KeyboardInterrupt:
        print("scrape_mahq.py: stopped", file=sys.stderr)
        code = 130
    raise SystemExit(code)


if __name__ == "__main__":
    main()
