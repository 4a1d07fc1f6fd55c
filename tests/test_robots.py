"""robots.txt: the examples of RFC 9309, and what servers write besides."""

from __future__ import annotations

import pytest

from tests.conftest import deadline
from utils.scraping.robots import Robots


def allows(rules: str, path: str) -> bool:
    return Robots(f"User-agent: *\n{rules}", "GANdam").allows(f"http://example.com{path}")


@pytest.mark.parametrize(
    ("rules", "path", "expected"),
    [
        ("", "/x", True),
        ("Disallow:", "/x", True),
        ("Disallow: /", "/x", False),
        ("Disallow: /", "/robots.txt", True),
        ("Disallow: /x", "/xyz", False),
        ("Disallow: /x/", "/x", True),
        # The longest rule decides, wherever it stands; of two as long, the one that allows.
        ("Allow: /\nDisallow: /private/", "/private/a.jpg", False),
        ("Disallow: /\nAllow: /public/", "/public/a.jpg", True),
        ("Disallow: /a\nAllow: /a", "/a", True),
        ("Allow: /example/page/\nDisallow: /example/page/disallowed.gif",
         "/example/page/disallowed.gif", False),
        # Wildcards.
        ("Disallow: /*.jpg$", "/a/b.jpg", False),
        ("Disallow: /*.jpg$", "/a/b.jpg?size=2", True),
        ("Disallow: /*.jpg$", "/.jpg", False),
        ("Disallow: /*?action=", "/wiki/x?action=edit", False),
        ("Disallow: /*?action=", "/wiki/x", True),
        ("Disallow: /a*b*c", "/a1b2c3", False),
        ("Disallow: /a*b*c$", "/a1b2c3", True),
        ("Disallow: /a*a$", "/a", True),
        ("Disallow: /a*", "/a", False),
        ("Disallow: *", "/x", False),
        ("Disallow: /x$", "/x", False),
        ("Disallow: /x$", "/xy", True),
        # Encoded, these are no wildcards.
        ("Disallow: /a%2Ab", "/a-b", True),
        ("Disallow: /a%24", "/a", True),
        ("Disallow: /a%24", "/a$b", False),
        ("Disallow: /a?", "/a?", False),
        # However it is written.
        ("Disallow: /%7Ejoe", "/~joe/x", False),
        ("Disallow: /ツ", "/%e3%83%84", False),
        ("Disallow: /a%2fb", "/a/b", True),
        ("Disallow: /a%2fb", "/a%2Fb", False),
        ("DISALLOW :/x # why not", "/x", False),
        ("Disallow: //[", "/x", True),
        ("Disallow /x", "/x", False),
        ("Disallow: %zz%", "/x", True),
        ("Disallow: /?", "/\ud800?", False),
        ("Disallow: /100%", "/100%25", False),
        ("Disallow: /caf\udce9", "/caf%E9", False),  # an octet that is no UTF-8
        ("Disallow: /a\u2028b", "/a", True),
        ("Disallow: x", "/x", False),
        ("Disallow: https://example.com/x", "/x", False),
        # What counts is what is sent.
        ("Disallow: /x$", "/x?", False),
        ("Disallow: /x?$", "/x?", False),
        ("Disallow: /x", "/a/../x", False),
        ("Disallow: /x", "/a/%2e%2E/x", False),
        ("Disallow: /x$", "/x#y", False),
        # Protego opens folders with their index.
        ("Disallow: /\nAllow: /index.html", "/", False),
        ("Disallow: /\nAllow: /index.html", "/index.html", True),
        ("Disallow: /\nAllow: /a/\nAllow: /a/index.html", "/a/", True),
    ],
)  # fmt: skip
def test_rules(rules, path, expected):
    assert allows(rules, path) is expected


def test_groups():
    text = (
        "Disallow: /nobody\n"
        "User-agent: other\nDisallow: /other\n\n"
        "User-agent: someone\nUser-agent: GANDAM\nDisallow: /ours\n"
        "User-agent: *\nDisallow: /all\n"
        "User-agent: gandam/1.0\nDisallow: /versioned\n"
        "User-agent: gandam\nDisallow: /ours-as-well\n"
    )
    robots = Robots(text, "GANdam/1.0 (a word)")
    paths = ("/nobody", "/other", "/ours", "/all", "/versioned", "/ours-as-well")
    forbidden = {path for path in paths if not robots.allows(f"https://example.com{path}")}
    assert forbidden == {"/ours", "/versioned", "/ours-as-well"}
    for agent in ("another", "", "1"):
        assert not Robots(text, agent).allows("https://example.com/all")
    # A name that is empty is nobody's.
    assert Robots("User-agent:\nDisallow: /", "GANdam").allows("http://example.com/x")
    # Part of a name is another's, and only a rule ends a list of names.
    other = "User-agent: gan\nAllow: /\n\nUser-agent: GANdam-Two\nAllow: /\n"
    assert not Robots(f"{other}User-agent: *\nDisallow: /", "GANdam/1.0").allows("http://h/x")
    named = "\ufeffUser-agent: GANdam\nCrawl-delay: 2\nSitemap: /s\nUser-agent: x\nDisallow: /"
    assert not Robots(named, "GANdam/1.0").allows("http://h/x")
    # A group without rules is read with the next one.
    assert not Robots("User-agent: GANdam\n\nUser-agent: x\nDisallow: /", "GANdam").allows(
        "http://h/"
    )


@pytest.mark.parametrize(
    ("value", "delay"),
    [
        ("1.5", 1.5), ("3600", 3600.0), ("0", 0.0), ("", None), ("²", None), ("-1", None),
        ("nan", None), ("9" * 400, None), ("2 s", None),
    ],
)  # fmt: skip
def test_delay(value, delay):
    assert Robots(f"User-agent: *\nCrawl-delay: {value}", "GANdam").delay == delay


def test_the_longest_delay():
    rules = "User-agent: gandam\nCrawl-delay: 2\nUser-agent: gandam\nCrawl-delay: 1\n"
    assert Robots(rules, "GANdam/1.0").delay == 2.0
    assert Robots(f"{rules}Request-rate: 2/10", "GANdam/1.0").delay == 5.0


def test_hostile_rules():
    """Trying every place where a piece may stand would take longer than the age of the world."""
    rules = "Disallow: /" + "*a" * 250_000 + "\n" + "Disallow: /*a*b*c*d*e*f$\n" * 500
    with deadline():
        robots = Robots(f"User-agent: *\n{rules}", "GANdam")
        for length in range(3981, 4001):
            assert robots.allows("http://example.com/" + "a" * length)
