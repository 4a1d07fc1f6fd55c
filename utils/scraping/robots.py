"""What a robots.txt allows, and how long it wants a robot to wait."""

from __future__ import annotations

import math
import re
import string
from urllib.parse import quote, urlsplit

from protego import Protego

from utils.scraping.addresses import as_sent

# With the misspellings that are known, and without the colon, as other robots read it.
LINE = re.compile(
    r"\s*(user[ -]?agent|allow|di\w*l[oa]w|crawl[ -]delay|request[ -]rate)\s*[:\s]\s*(.*)", re.I
)
PRINTABLE = string.ascii_letters + string.digits + string.punctuation


class Robots:
    """The rules of a host for one robot.

    Groups are read as RFC 9309 wants it, rules are matched by Protego, which opens more than a file
    says where it reads groups.

    Args:
        text: the file; octets that are no UTF-8 as "surrogateescape" decodes them.
        user_agent: how the robot introduces itself. For ``GANdam/1.0 (a remark)``, groups for
            ``GANdam`` and for ``GANdam/1.0`` count, all together; where there is none, those for *.
    """

    def __init__(self, text: str, user_agent: str) -> None:
        rules, delays = _group(text, _product(user_agent.partition(" ")[0]))
        self._rules = Protego.parse("\n".join(["User-agent: *", *rules]))
        # To Protego, "Allow: /index.html" allows "/" as well.
        of_folders = [rule for rule in rules if not re.fullmatch("allow:.*/index.html", rule)]
        self._rules_of_folders = Protego.parse("\n".join(["User-agent: *", *of_folders]))
        rate = self._rules.request_rate("*")
        if rate:
            delays.append(rate.seconds / rate.requests)
        self.delay: float | None = max(delays, default=None)
        """Seconds to wait between two requests, the longest that is asked for, or None."""

    def allows(self, address: str) -> bool:
        """Whether an address of this host may be asked for, as written and as it is sent."""
        address = address.encode("utf-8", "replace").decode()  # JSON can hold halves of characters
        sent = as_sent(address)
        is_folder = urlsplit(sent).path.endswith("/") and "?" not in sent
        rules = self._rules_of_folders if is_folder else self._rules
        forms = [sent]
        if "?" in address.partition("#")[0] and "?" not in sent:
            forms.append(f"{sent}?")  # nothing is sent of an empty query
        return all(rules.can_fetch(form, "*") for form in forms)


def _group(text: str, product: str) -> tuple[list[str], list[float]]:
    """The rules for a product, as lines that Protego reads to the octet, and the delays."""
    rules: dict[str, list[str]] = {"*": []}
    delays: dict[str, list[float]] = {"*": []}
    names: set[str] = set()
    is_naming = False
    for line in re.split(r"[\r\n]+", text.lstrip("\ufeff")):
        found = LINE.fullmatch(line.partition("#")[0])
        if not found:
            continue
        field, value = found[1].casefold(), found[2].strip()
        if field.startswith("user"):
            names = names if is_naming else set()
            names.add(_product(value))
            is_naming = True
            rules.setdefault(_product(value), [])
            delays.setdefault(_product(value), [])
            continue
        is_naming = is_naming and not field.endswith("w")  # only a rule ends the list of names
        for name in names & {product, "*"}:
            if field.startswith("crawl"):
                delays[name] += _seconds(value)
            elif value:
                rules[name].append(_rule("disallow" if field.startswith("d") else field, value))
    mine = product if product in rules else "*"
    return rules[mine], delays[mine]


def _product(name: str) -> str:
    """What of a name counts, in lower case: ``gandam`` of ``GANdam/1.0``; "" for nobody."""
    bare = name.replace("*", "").strip().casefold()
    return re.match(r"[a-z_-]*", bare)[0] or bare or "*" * ("*" in name)


def _rule(field: str, value: str) -> str:
    """A line for Protego, with every octet that is not printable ASCII percent-encoded."""
    value = quote(value.encode("utf-8", "surrogateescape"), safe=PRINTABLE)
    if field == "disallow":  # who forgets the slash, or writes the whole address, still means it
        value = re.sub(r"^https?://[^/]*", "", value, flags=re.I)
        value = value if value.startswith(("/", "*")) else f"/{value}"
    if field.endswith("allow"):
        value = re.sub(r"%(?![0-9A-Fa-f]{2})", "%25", value)
    return f"{field}:{value}"


def _seconds(value: str) -> list[float]:
    try:
        seconds = float(value)
    except ValueError:
        return []
    return [seconds] if 0 <= seconds < math.inf else []
