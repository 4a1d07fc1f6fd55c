"""What a robots.txt allows: the Robots Exclusion Protocol, RFC 9309, and Crawl-delay.

Python's own ``urllib.robotparser`` takes the first rule that fits where the RFC takes the longest,
knows neither ``*`` nor ``$`` in a path, reads no fraction as a delay and raises exceptions at some
of what servers write. Here nothing that a server writes is an error, and no rule takes long.
"""

from __future__ import annotations

import itertools
import re
from urllib.parse import urlsplit


class Robots:
    """The rules for one robot.

    Args:
        text: the file.
        agent: what the robot calls itself; its name is what that begins with, up to the first
            character that is no letter, ``-`` or ``_``. Groups of that name are for it, letter case
            aside; where there is none, those for ``*``.
    """

    def __init__(self, text: str, agent: str) -> None:
        self.delay: float | None = None
        """Seconds that it wants between two requests, or None."""
        groups: list[tuple[list[str], list[tuple[str, str]]]] = []  # names, rules
        for line in text.splitlines():
            name, _, value = line.partition("#")[0].partition(":")
            name, value = name.strip().lower(), value.strip()
            if name == "user-agent":
                if not groups or groups[-1][1]:
                    groups.append(([], []))
                groups[-1][0].append("*" if value == "*" else _name(value))
            elif name in ("allow", "disallow", "crawl-delay") and groups:
                groups[-1][1].append((name, value))
        own, general = (
            [rules for names, rules in groups if name and name in names]
            for name in (_name(agent), "*")
        )
        self._rules: list[tuple[int, bool, str]] = []
        for name, value in itertools.chain.from_iterable(own or general):
            if name == "crawl-delay":
                if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", value):
                    self.delay = max(self.delay or 0.0, float(value))
            elif value:
                rule = _normal(value)
                self._rules.append((len(rule), name == "allow", rule))
        self._rules.sort(reverse=True)  # the longest first; of two as long, the one that allows

    def allows(self, address: str) -> bool:
        """Whether an address of this host may be asked for."""
        parts = urlsplit(address)
        path = _normal((parts.path or "/") + (f"?{parts.query}" if parts.query else ""))
        if path == "/robots.txt":
            return True
        return next((allows for _, allows, rule in self._rules if _fits(rule, path)), True)


def _name(text: str) -> str:
    return re.match(r"[A-Za-z_-]*", text)[0].lower()


def _normal(path: str) -> str:
    """The path with the same characters percent-encoded, however it was written."""

    def decoded(found: re.Match[str]) -> str:
        character = chr(int(found[1], 16))
        return character if re.fullmatch(r"[A-Za-z0-9._~-]", character) else found[0].upper()

    def encoded(found: re.Match[str]) -> str:
        return "".join(f"%{byte:02X}" for byte in found[0].encode("utf-8", "replace"))

    path = re.sub(r"[^\x00-\x7f]", encoded, path)
    return re.sub(r"%([0-9A-Fa-f]{2})", decoded, path)


def _fits(rule: str, path: str) -> bool:
    """Whether the path begins as the rule says; ``*`` is anything, ``$`` at the end is the end."""
    ends = rule.endswith("$")
    first, *pieces = rule.removesuffix("$").split("*")
    if not path.startswith(first):
        return False
    place = len(first)
    if not pieces:
        return not ends or place == len(path)
    *pieces, last = pieces
    for piece in pieces:
        found = path.find(piece, place)
        if found < 0:
            return False
        place = found + len(piece)
    if ends:
        return path.endswith(last) and len(path) - len(last) >= place
    return path.find(last, place) >= 0
