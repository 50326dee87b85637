"""The built wheel in an environment with nothing but what the base installation asks for, away from any clone."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
import venv
import zipfile
from importlib.metadata import distribution
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.sources import ROOT
from universal_neurons.errors import UserError
from universal_neurons.inputs.packaged_study import NoPackagedStudy, unpack_study
from universal_neurons.stages.sharing import export_suite
from universal_neurons.stages.workspace import open_workspace

if TYPE_CHECKING:
    from collections.abc import Iterable

MEGABYTE = 10**6
COMPUTING = {"torch", "transformers", "transformer-lens", "jaxtyping", "networkx", "sympy", "submitit", "datasets"}


def closure(requirements: Iterable[str]) -> set[str]:
    """The names of the distributions that pip would install here for some requirements."""
    found: set[str] = set()
    pending = [(Requirement(text), "") for text in requirements]
    while pending:
        requirement, extra = pending.pop()
        if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
            continue
        name = canonicalize_name(requirement.name)
        known = name in found
        found.add(name)
        for chosen in ("", *requirement.extras) if not known else requirement.extras:
            pending += [(Requirement(text), chosen) for text in distribution(name).requires or ()]
    return found


def base_requirements() -> list[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return list(project["dependencies"])


class Installed(NamedTuple):
    """An environment with the wheel; commands run in ``study``, outside of any clone."""

    python: Path
    study: Path
    wheel: Path

    def run(self, *words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "UNIVERSAL_"))}
        command = [str(self.python), "-m", "universal_neurons.cli", *words]
        return subprocess.run(
            command, cwd=cwd or self.study.parent, env=kept, capture_output=True, text=True, check=False
        )


def link_distributions(site: Path, names: Iterable[str]) -> None:
    """Make distributions of this environment importable in another, and no others."""
    for name in names:
        found = distribution(name)
        tops = {Path(file).parts[0] for file in found.files or () if Path(file).parts[0] not in {"..", "__pycache__"}}
        for top in tops:
            target, source = site / top, Path(str(found.locate_file(top)))
            if source.exists() and not target.exists():
                target.symlink_to(source, target_is_directory=source.is_dir())


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    folder = tmp_path_factory.mktemp("installed")
    # A copy, because a build writes beside the sources; without evidence and weights, which are no part of a wheel.
    sources = folder / "sources"
    zoos = (ROOT / "fixtures" / "zoo").iterdir()
    large = {str(ROOT / "fixtures"): ["evidence"]} | {str(zoo): list("abcde") for zoo in zoos}
    for name in ("src", ".packaging", "claims", "report", "fixtures"):
        shutil.copytree(ROOT / name, sources / name, ignore=lambda where, _: large.get(where, []))
    for name in ("pyproject.toml", "conftest.py", "README.md", "LICENSE", "CITATION.cff"):
        shutil.copyfile(ROOT / name, sources / name)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    build = [*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder / "wheels"), str(sources)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = (folder / "wheels").glob("*.whl")
    shutil.rmtree(sources)
    venv.create(folder / "environment", with_pip=False)
    (site,) = (folder / "environment").glob("lib/python*/site-packages")
    subprocess.run([*pip, "install", "--no-deps", "--no-compile", "--target", str(site), str(wheel)], check=True)
    link_distributions(site, closure(base_requirements()))
    return Installed(folder / "environment" / "bin" / "python", folder / "study", wheel)


def test_the_base_installation_has_nothing_that_computes() -> None:
    base = closure(base_requirements())
    assert base & COMPUTING == set()
    assert len(base) < 70
    assert COMPUTING - {"datasets"} <= closure([*base_requirements(), *extras("dev")]) | {"datasets"}


def extras(name: str) -> list[str]:
    options = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    requirements = []
    for text in options[name]:
        asked = Requirement(text)
        own = canonicalize_name(asked.name) == "universal-neurons"
        requirements += [found for extra in sorted(asked.extras) for found in extras(extra)] if own else [text]
    return requirements


def test_the_wheel_is_small_and_its_record_is_right(installed: Installed) -> None:
    assert installed.wheel.stat().st_size < 2 * MEGABYTE
    with zipfile.ZipFile(installed.wheel) as archive:
        names = archive.namelist()
        (record,) = (name for name in names if name.endswith("RECORD"))
        recorded = [line.rsplit(",", 2)[0] for line in archive.read(record).decode().splitlines()]
    assert sorted(recorded) == sorted(names)
    assert len(names) == len(set(names))
    claims = {path.name for path in (ROOT / "claims").rglob("test_*.py")}
    assert claims == {Path(name).name for name in names if re.search(r"/_study/claims/.*/test_\w+\.py$", name)}
    assert not [name for name in names if re.search(r"__pycache__|/_study/fixtures/evidence/|/step-|/_build/", name)]


def test_outside_of_a_clone_mini_is_judged_from_imported_evidence(installed: Installed, tmp_path: Path) -> None:
    nowhere = installed.run("status")
    assert (nowhere.returncode, nowhere.stdout) == (4, "")
    assert "make a study (universal-neurons init FOLDER)" in nowhere.stderr
    made = installed.run("init", str(installed.study))
    assert made.returncode == 0, made.stderr
    archive = tmp_path / "mini.zip"
    export_suite(open_workspace("mini", root=ROOT), archive)
    judged = installed.run("verify", "--claims", "N1,F2,R7", "--remote", str(archive), cwd=installed.study)
    assert judged.returncode == 0, judged.stdout[-2000:] + judged.stderr[-2000:]
    assert "all as accepted" in judged.stdout
    made_claim = installed.run("new-claim", "X1", "Some statement.", cwd=installed.study)
    assert made_claim.stdout.endswith("then run: universal-neurons verify --claims X1\n")
    again = installed.run("init", str(installed.study))
    assert (again.returncode, again.stdout) == (4, "")
    assert "expected a new or empty folder" in again.stderr


def test_what_computes_says_what_to_install(installed: Installed) -> None:
    asked = installed.run("match", "someone/a", "someone/b", "--text", ".")
    assert (asked.returncode, asked.stdout) == (4, "")
    assert "pip install universal-neurons[compute]" in asked.stderr
    assert len(asked.stderr.splitlines()) == 1


def test_a_checkout_is_a_study_itself(tmp_path: Path) -> None:
    with pytest.raises(NoPackagedStudy, match="runs from a checkout, which is a study itself"):
        unpack_study(tmp_path / "study")
    (tmp_path / "packaged").mkdir()
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UserError, match="expected a new or empty folder"):
        unpack_study(tmp_path, packaged=tmp_path / "packaged")
