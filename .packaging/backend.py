"""Build backend of the wheel: setuptools', with the files of a study that the package hands out (``init``).

``tool.universal-neurons.study`` in pyproject.toml lists them.  They lie outside of ``src``, because a checkout is a
study itself and nothing is kept twice.
"""

from __future__ import annotations

import base64
import hashlib
import tomllib
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from setuptools import build_meta
from setuptools.build_meta import (
    build_editable as build_editable,
)
from setuptools.build_meta import (
    get_requires_for_build_editable as get_requires_for_build_editable,
)
from setuptools.build_meta import (
    get_requires_for_build_wheel as get_requires_for_build_wheel,
)
from setuptools.build_meta import (
    prepare_metadata_for_build_editable as prepare_metadata_for_build_editable,
)
from setuptools.build_meta import (
    prepare_metadata_for_build_wheel as prepare_metadata_for_build_wheel,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[1]
STUDY = "universal_neurons/_study"
# Not the files that tools leave behind.
_LEFT_OUT = ("__pycache__", "_build", "_build.broken", "_build.old")


def build_wheel(wheel_directory: str, config_settings: Any = None, metadata_directory: str | None = None) -> str:
    """Build the wheel and add the files of a study."""
    name = build_meta.build_wheel(wheel_directory, config_settings, metadata_directory)
    add_study(Path(wheel_directory) / name)
    return str(name)


def build_sdist(sdist_directory: str, config_settings: Any = None) -> NoReturn:  # noqa: ARG001
    """Refuse: an archive of the sources would lack what the wheel is made of, and a clone has all of it."""
    raise SystemExit("sources are distributed as the repository; build a wheel: pip wheel --no-deps .")


def add_study(wheel: Path) -> None:
    """Add the files of a study to a wheel, with their digests in its RECORD."""
    with zipfile.ZipFile(wheel) as given:
        contents = {entry: given.read(entry) for entry in given.infolist()}
    (record,) = (entry for entry in contents if entry.filename.endswith(".dist-info/RECORD"))
    lines = [contents.pop(record).decode().rstrip("\n")]
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as target:
        for entry, content in contents.items():
            target.writestr(entry, content)
        for path in study_files():
            content, name = path.read_bytes(), f"{STUDY}/{path.relative_to(ROOT).as_posix()}"
            # A date of its own would make two builds of one commit differ.
            target.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
            lines.append(f"{name},sha256={digest},{len(content)}")
        target.writestr(record, "\n".join(lines) + "\n")


def study_files() -> Iterator[Path]:
    """The files of a study, in the order of their names; raises SystemExit where something listed is not here."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    for listed in settings["tool"]["universal-neurons"]["study"]:
        found = sorted(path for path in ROOT.glob(listed) if path.is_file())
        if not found:
            raise SystemExit(f"tool.universal-neurons.study: expected files {listed}, got none")
        yield from (path for path in found if not any(part in _LEFT_OUT for part in path.relative_to(ROOT).parts))
