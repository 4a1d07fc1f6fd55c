#!/usr/bin/env bash
# Protego (0.7.0), the robots.txt parser of Scrapy, opens more than the file says, in three places
# where a reader of RFC 9309 would guess otherwise:
#
# 1. "Allow: /index.html" also allows "/", although "Disallow: /" forbids it: a path that ends in
#    index.html gets a second rule without the file name.
# 2. A group for "gan" counts for the robot "GANdam", in place of the group for "*". Section 2.2.1
#    wants the robot's own product token; Protego takes any prefix of it.
# 3. Of two groups for the same robot, which section 2.2.1 joins, the last Crawl-delay counts, also
#    where it is the shorter one.
#
# Source: RFC 9309, sections 2.2.1 and 2.2.2; protego 0.7.0 from PyPI.
# A scraper that wants to be careful reads the groups itself and leaves the matching to Protego, as
# utils/scraping/robots.py does.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "protego==0.7.0"
"$folder/venv/bin/python" - <<'PYTHON'
from protego import Protego


def allows(text: str, path: str) -> bool:
    return Protego.parse(text).can_fetch("http://example.org" + path, "GANdam")


def delay(text: str) -> float | None:
    return Protego.parse(text).crawl_delay("GANdam")


index = "User-agent: *\nDisallow: /\nAllow: /index.html\n"
prefix = "User-agent: gan\nAllow: /\n\nUser-agent: *\nDisallow: /\n"
twice = "User-agent: GANdam\nCrawl-delay: 10\n\nUser-agent: GANdam\nCrawl-delay: 2\n"
seen = {
    "Disallow: / with Allow: /index.html allows /": allows(index, "/"),
    "the same allows /other.html": allows(index, "/other.html"),
    "a group for gan counts for GANdam": allows(prefix, "/a"),
    "Crawl-delay of 10, then of 2, in two groups": delay(twice),
}
for what, value in seen.items():
    print(f"{what}: {value}")
assert list(seen.values()) == [True, False, True, 2.0], "Protego behaves otherwise now"
PYTHON
