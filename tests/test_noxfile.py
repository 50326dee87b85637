"""The environment that nox makes: what it is made of, and that nothing of anybody else's is removed for it."""

from __future__ import annotations

import importlib.util
import shutil
import sys
import venv
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from tests.sources import ROOT

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType


class Refused(Exception):
    """What the session said."""


class Session:
    """A session that installs nothing and keeps its commands."""

    def __init__(self) -> None:
        self.commands: list[tuple[str, ...]] = []

    def log(self, text: str) -> None:
        """Say nothing."""

    def error(self, text: str) -> NoReturn:
        raise Refused(text)

    def run(self, *command: str, **options: Any) -> None:
        self.commands.append(command)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with the noxfile and what it locks."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    for name in ("noxfile.py", "pyproject.toml", "constraints.txt"):
        (folder / name).write_bytes((ROOT / name).read_bytes())
    return folder


@pytest.fixture(autouse=True)
def made(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The options of every environment that was made."""
    options: list[dict[str, Any]] = []
    monkeypatch.setattr(venv, "create", lambda _folder, **given: options.append(given))
    monkeypatch.delenv("UNIVERSAL_NEURONS_VENV", raising=False)
    # nox keeps one list of sessions per process and warns of a second file.
    monkeypatch.setitem(
        sys.modules, "nox", SimpleNamespace(session=lambda function: function, options=SimpleNamespace())
    )
    return options


def noxfile(checkout: Path) -> ModuleType:
    """The noxfile of a checkout, read anew."""
    spec = importlib.util.spec_from_file_location("noxfile_of_a_test", checkout / "noxfile.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def installed(checkout: Path) -> list[tuple[str, ...]]:
    """The commands that making the environment of a checkout runs."""
    session = Session()
    noxfile(checkout).environment(session)
    return session.commands


def test_an_environment_is_made_once(checkout: Path) -> None:
    assert len(installed(checkout)) == 1
    assert installed(checkout) == []
    (checkout / "constraints.txt").write_text("numpy==0\n", encoding="utf-8")
    assert len(installed(checkout)) == 1


def test_an_empty_variable_is_unset(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNIVERSAL_NEURONS_VENV", "")
    monkeypatch.chdir(checkout)
    assert checkout / ".nox" / "environment" == noxfile(checkout).ENVIRONMENT
    installed(checkout)
    assert (checkout / "noxfile.py").is_file()


@pytest.mark.parametrize("name", [".", "thesis"])
def test_a_folder_of_somebody_else_is_left_alone(checkout: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    place = checkout / name
    place.mkdir(exist_ok=True)
    (place / "draft.tex").write_text("years of work", encoding="utf-8")
    monkeypatch.setenv("UNIVERSAL_NEURONS_VENV", str(place))
    with pytest.raises(Refused, match="was not made by this noxfile"):
        installed(checkout)
    assert (place / "draft.tex").read_text(encoding="utf-8") == "years of work"


def test_an_installation_that_broke_off_begins_anew(checkout: Path) -> None:
    class Killed(Session):
        def run(self, *command: str, **options: Any) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        noxfile(checkout).environment(Killed())
    assert len(installed(checkout)) == 1


@pytest.mark.parametrize("how", ["copy", "rename"])
def test_a_copied_or_moved_checkout_gets_an_environment_of_its_own(checkout: Path, how: str) -> None:
    installed(checkout)
    other = checkout.with_name("elsewhere")
    shutil.copytree(checkout, other) if how == "copy" else checkout.rename(other)
    assert len(installed(other)) == 1


def test_another_python_gets_an_environment_of_its_own(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(checkout)
    monkeypatch.setattr(sys, "version", "3.99.0 (made up)")
    assert len(installed(checkout)) == 1


def test_the_interpreter_is_linked_and_not_copied(checkout: Path, made: list[dict[str, Any]]) -> None:
    """A copy of an interpreter that has its libpython beside itself does not start."""
    installed(checkout)
    assert made == [{"with_pip": True, "symlinks": True}]
