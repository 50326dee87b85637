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

root, output, days, processors = Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])
now, real = time.time() + days * 86_400, datetime.datetime

class Then(real):
    @classmethod
    def now(cls, tz=None):
        return real.fromtimestamp(now, tz)

for module in list(sys.modules.values()):
    if vars(module).get("datetime") is real:
        module.datetime = Then
time.time = lambda: now
os.cpu_count = lambda: processors
log = write_log(output.parent / "log", fake_records())
build_report(FakeStudy(), root=root, text=local_text(), output=output, verdicts=log, engine="pandoc")
"""
# What a machine, a user or a day may have of their own.
ONE = {"PYTHONHASHSEED": "1", "TZ": "Pacific/Kiritimati", "LC_ALL": "C.UTF-8", "COLUMNS": "80"}
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


def built(folder: Path, *, days: float, processors: int, variables: dict[str, str]) -> dict[str, bytes]:
    """The files of a report that a process of its own built in ``folder``."""
    folder.mkdir(parents=True)
    root = copied_checkout(folder / "checkout")
    # The style and the defaults of the user, which another user does not have.
    home = folder / "home" / ".local" / "share" / "pandoc"
    home.mkdir(parents=True)
    if days:
        (home / "default.csl").write_text(STYLE, encoding="utf-8")
    known = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "PYTHON", "XDG_"))}
    environment = {**known, "HOME": str(folder / "home"), "PYTHONPATH": f"{CHECKOUT}:{CHECKOUT / 'src'}", **variables}
    arguments = (root, folder / "out" / "report", days, processors)
    command = [sys.executable, "-X", "utf8", "-c", BUILD, *map(str, arguments)]
    (folder / "out").mkdir()
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    report = folder / "out" / "report"
    return {path.relative_to(report).as_posix(): path.read_bytes() for path in report.rglob("*") if path.is_file()}


@pytest.mark.timeout(600)
def test_two_builds_are_the_same_bytes(tmp_path: Path) -> None:
    """Another folder, day, time zone, locale, hash seed, number of processors and user."""
    one = built(tmp_path / "one", days=0, processors=1, variables=ONE)
    other = built(tmp_path / "another longer folder", days=40.5, processors=5, variables=OTHER)
    assert one.keys() == other.keys()
    assert len(one) > 60
    assert [name for name in one if one[name] != other[name]] == []


def test_no_file_of_a_report_says_where_it_was_built(report: Path) -> None:
    places = [str(report).encode(), str(Path.home()).encode(), str(CHECKOUT).encode()]
    for path in (path for path in report.rglob("*") if path.is_file()):
        text = path.read_bytes()
        assert [place for place in places if place in text] == [], path.name
