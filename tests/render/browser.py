"""A page in headless chromium, as it is after its scripts have run."""

from __future__ import annotations

import re
import shutil
import subprocess
from html import unescape
from typing import TYPE_CHECKING

import pytest

from universal_neurons.render.html.checks import script_hash

if TYPE_CHECKING:
    from pathlib import Path

CHROMIUM = next((name for name in ("chromium", "chromium-browser", "google-chrome") if shutil.which(name)), None)
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH")


def driven(page: Path, script: str) -> Path:
    """A copy of ``page`` beside it to which ``script`` is added, also to what its policy allows."""
    html = page.read_text(encoding="utf-8")
    allowed = re.sub(r"script-src ", f"script-src {script_hash(script)} ", html, count=1)
    copy = page.with_name(f"driven-{page.name}")
    copy.write_text(allowed.replace("</head>", f"<script>{script}</script></head>", 1), encoding="utf-8")
    return copy


def dom_of(page: Path, profile: Path, *, place: str = "", seconds: int = 20, more: tuple[str, ...] = ()) -> str:
    """The page's document once ``seconds`` of its own time are over."""
    command = [
        str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", f"--user-data-dir={profile}",
        "--window-size=1400,1000", f"--virtual-time-budget={seconds * 1000}", *more, "--dump-dom",
        f"{page.as_uri()}{place}",
    ]  # fmt: skip
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout


def dataset(dom: str, name: str) -> str:
    """The value of a data attribute of the document's root; raises LookupError without it."""
    root = re.search(r"<html\b[^>]*>", dom)
    found = re.search(rf'\bdata-{name}="([^"]*)"', root[0]) if root else None
    if found is None:
        raise LookupError(f"data-{name} of {root[0] if root else 'nothing'}")
    return unescape(found[1])
