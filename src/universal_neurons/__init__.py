"""The universal-neurons papers as a test suite: measured, judged and rendered again.

    >>> import universal_neurons as un
    >>> study = un.open_study("mini")
    >>> study.reference, study.partners()
    ('a', ('b', 'c', 'd', 'e'))

``un.match(model_a, model_b, text=...)`` compares any two models; ``un.rosetta(*models, text=...)`` finds mutual
partners over several; ``un.MatchResult.load(folder)`` reads a saved comparison; ``un.open_study(suite)`` opens the
evidence of a suite.  Importing this package imports nothing else.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from universal_neurons.matching import MatchResult as MatchResult
    from universal_neurons.matching import match as match
    from universal_neurons.matching import rosetta as rosetta
    from universal_neurons.stages.study import open_study as open_study

# Each name and where it is defined; imported when it is first used, because most users need a part only.
_PUBLIC = {
    "MatchResult": "universal_neurons.matching",
    "match": "universal_neurons.matching",
    "open_study": "universal_neurons.stages.study",
    "rosetta": "universal_neurons.matching",
}

__all__ = ["MatchResult", "match", "open_study", "rosetta"]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_PUBLIC])
