"""The same evidence gives the same bytes, whoever builds the report, where and when."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.render.conftest import copied_checkout
from tests.render.fakes import CHECKOUT

BUILD = """
import datetime, os, sys, time
from pathlib import Path
from tests.render.fakes import FakeStudy, fake_records, write_log
from tests.render.neurons import local_text
from universal_neurons.render import build_report

root, output = map(Path, sys.argv[1:])
now, real = time.time() + 40.5 * 86_400, datetime.datetime

class Then(real):
    @classmethod
    def now(cls, tz=None):
        return real.fromtimestamp(now, tz)

for module in list(sys.modules.values()):
    if vars(module).get("datetime") is real:
        module.datetime = Then
time.time = lambda: now
os.cpu_count = lambda: 5
log = write_log(output.parent / "log", fake_records())
build_report(FakeStudy(), root=root, text=local_text(), output=output, verdicts=log, engine="pandoc")
"""
# What a machine or a user may have of their own.
OTHER = {
    "PYTHONHASHSEED": "2",
    "TZ": "America/Los_Angeles",
    "LC_ALL": "POSIX",
    "COLUMNS": "200",
    "SOURCE_DATE_EPOCH": "0",
}
STYLE = """<style xmlns="http://purl.org/net/xbiblio/csl" class="in-text" version="1.0">
<info><title>x</title><id>x</id></info><citation><layout><text value="another style"/></layout></citation>
<bibliography><layout><text value="another style"/></layout></bibliography></style>"""


def built_elsewhere(folder: Path) -> Path:
    """The report that a process of its own built in ``folder`` on another day."""
    root, report = copied_checkout(folder / "checkout"), folder / "out" / "report"
    report.parent.mkdir()
    # The style of the user, which another user does not have.
    home = folder / "home" / ".local" / "share" / "pandoc"
    home.mkdir(parents=True)
    (home / "default.csl").write_text(STYLE, encoding="utf-8")
    known = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "PYTHON", "XDG_"))}
    environment = {**known, "HOME": str(folder / "home"), "PYTHONPATH": f"{CHECKOUT}:{CHECKOUT / 'src'}", **OTHER}
    command = [sys.executable, "-X", "utf8", "-c", BUILD, str(root), str(report)]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return report


def files_of(report: Path) -> dict[str, bytes]:
    return {path.relative_to(report).as_posix(): path.read_bytes() for path in report.rglob("*") if path.is_file()}


@pytest.mark.timeout(600)
def test_two_builds_are_the_same_bytes(report: Path, tmp_path: Path) -> None:
    """Another folder, day, time zone, locale, hash seed, number of processors and user."""
    one, other = files_of(report), files_of(built_elsewhere(tmp_path))
    assert one.keys() == other.keys()
    assert len(one) > 60
    assert [name for name in one if one[name] != other[name]] == []


def test_no_file_of_a_report_says_where_it_was_built(report: Path) -> None:
    places = [str(report).encode(), str(Path.home()).encode(), str(CHECKOUT).encode()]
    for path in (path for path in report.rglob("*") if path.is_file()):
        text = path.read_bytes()
        assert [place for place in places if place in text] == [], path.name
