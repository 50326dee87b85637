"""A study from an installed package: suites, claims, published facts and templates, without a clone."""

from __future__ import annotations

import shutil
from pathlib import Path

from universal_neurons.errors import UserError
from universal_neurons.files import shown

# Beside the modules of an installed package only; a checkout is a study itself.
PACKAGED = Path(__file__).resolve().parents[1] / "_study"


class NoPackagedStudy(UserError):
    """The package was not installed from a wheel, so it has no study to hand out."""


def unpack_study(target: Path, *, packaged: Path = PACKAGED) -> Path:
    """Write the packaged study into a new or empty folder; returns it.

    Raises UserError where the folder holds something, and :class:`NoPackagedStudy`.
    """
    if not packaged.is_dir():
        checkout = Path(__file__).resolve().parents[3]
        raise NoPackagedStudy(f"init: this package runs from a checkout, which is a study itself: cd {shown(checkout)}")
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UserError(f"init: {shown(target)}: expected a new or empty folder, got one that holds something")
    shutil.copytree(packaged, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    return target
