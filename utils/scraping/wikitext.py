"""Reading the source text of pages of a wiki."""

from __future__ import annotations

import re

from utils.scraping.pages import one_line


def read_infobox(wikitext: str) -> dict[str, str]:
    """The parameters of the first template of a page that has more than two, as plain text."""
    text = re.sub(r"<!--.*?-->|<ref[^>]*/>|<ref.*?</ref>", "", wikitext[:50_000], flags=re.S)
    text = re.sub(r"\{\{[^{}|]*(?:\|[^{}=]*)?\}\}", " ", text)
    text = text[: text.rfind("\n}}") + 3]  # what is never closed would be searched over and over
    for template in re.findall(r"\{\{(.*?)\n\}\}", text, flags=re.S):
        # Everything that repeats ends where the next thing must begin, or hostile text takes hours.
        found = re.findall(r"^[ \t]*\|([^=|\n]+)=[ \t]*(.*(?:\n(?![ \t]*\|).*)*)", template, re.M)
        fields = {one_line(name): _plain(value) for name, value in found}
        if len(fields) > 2:
            return {name: value for name, value in fields.items() if value}
    return {}


def _plain(wikitext: str) -> str:
    text = re.sub(r"\[\[(?:[^\[\]|]*\|)?([^\[\]|]*)\]\]", r"\1", wikitext)
    text = re.sub(r"<br\s*/?>", ", ", text, flags=re.I)
    return one_line(re.sub(r"<[^>]*>|'{2,}", "", text))
