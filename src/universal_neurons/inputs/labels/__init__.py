"""Sources of labels: what may be true of a token, as columns of true and false.

To add a source, make a :class:`~universal_neurons.inputs.labels.source.LabelSource` in a module of its own and add it
to :data:`SOURCES`; a suite then names it in ``labels.sources``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from universal_neurons.errors import UserError
from universal_neurons.inputs.labels.english import ENGLISH, ENGLISH_SMALL
from universal_neurons.inputs.labels.positions import DOMAIN, POSITION
from universal_neurons.inputs.labels.python_source import PYTHON
from universal_neurons.inputs.labels.vocabulary import VOCABULARY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from universal_neurons.inputs.labels.source import LabelSource

SOURCES: tuple[LabelSource, ...] = (VOCABULARY, PYTHON, ENGLISH, ENGLISH_SMALL, POSITION, DOMAIN)


def label_sources(names: Sequence[str]) -> tuple[LabelSource, ...]:
    """The sources of these ``names``; raises UserError for an unknown one."""
    known = {source.name: source for source in SOURCES}
    if unknown := [name for name in names if name not in known]:
        raise UserError(f"labels.sources: expected some of {', '.join(known)}, got {unknown[0]!r}")
    return tuple(known[name] for name in names)


def families(sources: Sequence[LabelSource]) -> tuple[str, ...]:
    """The families of all ``sources``, each once, in their order."""
    return tuple(dict.fromkeys(family for source in sources for family in source.families))
