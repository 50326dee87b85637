"""What a page of a report is made of, counted."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from universal_neurons.render.html.checks import CheckedPage


def read(html: str) -> CheckedPage:
    """A page, or a part of one, that lies nowhere."""
    return CheckedPage(Path("nowhere.html"), html)


def elements(page: CheckedPage) -> Counter[str]:
    """The elements of a page by their tags."""
    return Counter(one.tag for one in page.every if one.tag)


def attributes(page: CheckedPage) -> Counter[str]:
    """The attributes of a page by their names."""
    return Counter(name for one in page.every for name in one.attributes)
