"""Where pictures of robots are listed: one class a source."""

from __future__ import annotations

from utils.scraping.sources.mahq import Mahq
from utils.scraping.sources.source import Source
from utils.scraping.sources.wayback import Wayback
from utils.scraping.sources.wiki import Wiki

SOURCES: dict[str, type[Source]] = {"wayback": Wayback, "mahq": Mahq, "wiki": Wiki}
