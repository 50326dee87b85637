"""Study, suites and published numbers that claims are judged with; imported only when a claim needs them.

``--study-factory module:name`` names the factory of the study, which is called like
:func:`universal_neurons.stages.study.open_study`.  Another factory may have functions ``load_suite``,
``available_suites`` and ``published`` too, so that the harness can be tested without torch and weights.
"""

from __future__ import annotations

import importlib
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from universal_neurons.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from contextlib import AbstractContextManager
    from pathlib import Path

    from universal_neurons.evidence.criteria import Published
    from universal_neurons.inputs.selection import Selection
    from universal_neurons.inputs.suite import Suite

_OWN = "universal_neurons.stages.study"
DEFAULT_FACTORY = f"{_OWN}:open_study"
_SUITES = "universal_neurons.inputs.suite"
_PUBLISHED = "universal_neurons.inputs.published"


@dataclass(frozen=True)
class StudyProvider:
    """Study, suites and published numbers of the project at ``root``, by the ``factory`` named ``module:name``."""

    factory: str
    root: Path

    def suite(self, name: str, selection: Selection | None = None) -> Suite:
        """The suite called ``name``, or what ``selection`` leaves of it; raises UserError if there is no such suite."""
        whole: Any = self._function("load_suite", _SUITES)(name, self.root)
        suite: Suite = whole.narrowed(**selection.narrowing) if selection and selection.narrowing else whole
        return suite

    def suites(self) -> Collection[str]:
        """The names of all suites."""
        names: Collection[str] = self._function("available_suites", _SUITES)(self.root)
        return names

    def published(self, reference: Published) -> float:
        """The published number that a criterion refers to; raises UserError if it is not there."""
        return float(self._function("published", _PUBLISHED)(reference.table, root=self.root, **dict(reference.where)))

    def open_study(
        self,
        suite: str,
        *,
        selection: Selection,
        store: Path | None,
        recompute: bool,
        remote: str | None,
        claims: Collection[str] | None,
        warn: Callable[[str], None],
        progress: object,
    ) -> object:
        """Open the study that the claims of a run share.

        The factory gets ``narrowing`` only for a narrowed suite, ``remote`` only where evidence is imported, and
        ``only`` only where nothing but the needs of some ``claims`` is recomputed.
        """
        more: dict[str, object] = {"narrowing": selection.narrowing} if selection.narrowing else {}
        more |= {} if remote is None else {"remote": remote}
        if recompute and claims is not None:
            from universal_neurons.harness.needs import needs_of_claims

            more["only"] = partial(needs_of_claims, claims=claims)
        open_ = self._factory()
        return open_(suite, root=self.root, store=store, recompute=recompute, warn=warn, progress=progress, **more)

    def caching(self) -> AbstractContextManager[None]:
        """Cache what measures of the project's own studies compute; a study of others is measured as it comes."""
        if not self.factory.startswith(f"{_OWN}:"):
            return nullcontext()
        caching: AbstractContextManager[None] = importlib.import_module(_OWN).caching_measures(self.root)
        return caching

    def _factory(self) -> Callable[..., Any]:
        module, _, name = self.factory.partition(":")
        try:
            factory: Callable[..., Any] = getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError, ValueError) as error:
            # An import that fails inside the study is a defect of ours and keeps its traceback.
            if self.factory == DEFAULT_FACTORY:
                raise
            raise UserError(f"--study-factory {self.factory}: {error}; expected module:callable") from error
        return factory

    def _function(self, name: str, module: str) -> Callable[..., Any]:
        own = None if self.factory == DEFAULT_FACTORY else getattr(self._factory(), name, None)
        function: Callable[..., Any] = own or getattr(importlib.import_module(module), name)
        return function
