"""Tables of neurons that a paper's authors published, read from a folder that the user names.

``fixtures/published/neurons.toml`` says which models have one, and pins the file: no other is read.  The files are not
part of this project; the environment variable :data:`VARIABLE` names the folder that holds them.
"""

from __future__ import annotations

import csv
import hashlib
import os
from typing import TYPE_CHECKING

import numpy as np

from universal_neurons.errors import NotOnSuite, UserError
from universal_neurons.files import shown
from universal_neurons.inputs.published import PUBLISHED
from universal_neurons.inputs.validation import StrictTable, read_model

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy.typing as npt

VARIABLE = "UNIVERSAL_NEURONS_PUBLISHED"
_SOURCE = "the folder dataframes of github.com/wesg52/universal-neurons"


class PublishedNeuronsError(UserError):
    """A table of published neurons, or the list of them, that is missing or not the pinned one."""


class PinnedTable(StrictTable):
    """One published table: the model and the training step that it is about, its file and the file's sha256."""

    family: str
    model: str
    step: int
    file: str
    sha256: str


class PinnedTables(StrictTable):
    """All published tables of neurons."""

    table: tuple[PinnedTable, ...]


def published_neurons(root: Path, *, family: str, model: str, step: int) -> Mapping[str, npt.NDArray[np.float64]]:
    """The published columns of one model's neurons at ``step``, (neuron,) each, ``layer`` and ``neuron`` among them.

    ``root`` is the project's root.  Raises NotOnSuite where none was published or no folder is named, and
    :class:`PublishedNeuronsError` for a file that is absent, or another one than the pinned.
    """
    pinned = read_model(
        PinnedTables,
        root / PUBLISHED / "neurons.toml",
        error=PublishedNeuronsError,
        advice="expected the list of published tables of neurons",
    ).table
    asked = (family, model, step)
    entry = next((one for one in pinned if (one.family, one.model, one.step) == asked), None)
    if entry is None:
        known = ", ".join(f"{one.family}-{one.model} at step {one.step}" for one in pinned)
        raise NotOnSuite(f"no table of the neurons of {family}-{model} at step {step} was published; there are {known}")
    folder = os.environ.get(VARIABLE)
    if not folder:
        raise NotOnSuite(f"the published table {entry.file} is not part of this project; set {VARIABLE} to {_SOURCE}")
    return _columns(root / folder / entry.file, entry)


def _columns(path: Path, entry: PinnedTable) -> Mapping[str, npt.NDArray[np.float64]]:
    advice = f"set {VARIABLE} to {_SOURCE}"
    try:
        content = path.read_bytes()
    except OSError as problem:
        raise PublishedNeuronsError(f"{shown(path)}: cannot be read ({problem.strerror}); {advice}") from None
    if (digest := hashlib.sha256(content).hexdigest()) != entry.sha256:
        raise PublishedNeuronsError(
            f"{shown(path)}: expected the file with sha256 {entry.sha256[:12]}, got {digest[:12]}; {advice}"
        )
    header, *rows = csv.reader(content.decode().splitlines())
    values = np.array(rows, dtype=np.float64)
    return dict(zip(header, values.T, strict=True))
