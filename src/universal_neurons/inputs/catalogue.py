"""The catalogue of published models: families of one recipe, their seeds, and the branch that holds each step.

It is read from ``fixtures/models.toml``.  Nothing is fetched here: neither torch nor a client of the hub is imported.
"""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path
from string import Formatter
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import AfterValidator, Field, model_validator

from universal_neurons.architectures import UnknownArchitecture, adapter_of
from universal_neurons.inputs.validation import Table, one_line, read_model, shown_value
from universal_neurons.inputs.weights import WeightsUnfit
from universal_neurons.inputs.zoo import UNTRAINED, ZooError

if TYPE_CHECKING:
    from collections.abc import Mapping

CATALOGUE = Path("fixtures") / "models.toml"
# The sizes of a model, in the order of messages.
SIZES = ("layers", "width", "heads", "mlp", "context", "vocabulary")


class CatalogueError(ZooError):
    """The catalogue of models is missing, damaged, or lacks a family."""


class Architecture(Table):
    """The shape of a family's models: ``mlp`` neurons per layer, ``context`` positions, ``vocabulary`` token ids."""

    name: Annotated[str, AfterValidator(lambda name: _of_suites(name))]
    layers: int
    width: int
    heads: int
    mlp: int
    context: int
    vocabulary: int

    def configuration(self, content: bytes, *, where: str) -> dict[str, Any]:
        """The configuration in ``config.json``; raises :class:`WeightsUnfit` unless it is of a model of this shape.

        The architecture is told by its ``model_type``: its list of class names holds the training code's own class.
        """
        adapter = adapter_of(self.name)
        with one_line(where, f"the configuration of a {self.name}", error=WeightsUnfit):
            raw = json.loads(content)
            if (kind := raw["model_type"]) != adapter.model_type:
                raise WeightsUnfit(f"{where}: expected {adapter.model_type}, got {shown_value(kind)}")
            shape = _shape(raw, adapter.options)
        expected = tuple(getattr(self, name) for name in SIZES)
        if shape != expected:
            raise WeightsUnfit(f"{where}: expected {adapter.model_type} of shape {expected}, got shape {shape}")
        return dict(raw)


def _of_suites(name: str) -> str:
    """The name of an architecture that suites can measure; raises :class:`UnknownArchitecture`."""
    # Weights, pre-activations and ablations of a neuron are defined for one input vector, and a gated one has two.
    if adapter_of(name).gated:
        raise UnknownArchitecture(f"architecture: expected one without gates, got {name!r}; compare it by match")
    return name


def _shape(raw: Mapping[str, Any], options: Mapping[str, str]) -> tuple[int, ...]:
    """The sizes of a configuration; an MLP without a size of its own is four times as wide as the model."""
    sizes: dict[str, Any] = {name: raw.get(options[name]) for name in SIZES}
    if sizes["mlp"] is None:
        sizes["mlp"] = 4 * sizes["width"]
    for name, size in sizes.items():
        if type(size) is not int:
            raise TypeError(f"{options[name]}: an integer expected, got {shown_value(size)}")
    return tuple(sizes.values())


class TokenizerFile(Table):
    """The file that holds a family's tokenizer."""

    repository: str
    revision: str
    file: str


class CataloguedModel(Table):
    """One seed: its repository on the hub and the names that the papers' code gives it."""

    repository: str
    seed: int
    aliases: tuple[str, ...] = ()


class ModelFamily(Table):
    """Models of one recipe that differ in their seed.

    ``revision`` is the pattern of a step's branch (``checkpoint-{step}``); ``revisions`` name the branches of single
    steps, which need not follow it (``step20000-tokens84B``).  ``ranges`` of steps are (first, last, stride), both ends
    included.
    """

    title: str
    source: str
    revision: str = ""
    revisions: dict[int, str] = Field(default={})
    tokenizer: TokenizerFile
    architecture: Architecture
    models: dict[str, CataloguedModel]
    steps: tuple[int, ...] = ()
    ranges: tuple[tuple[int, int, int], ...] = ()

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        for first, last, stride in self.ranges:
            if stride < 1 or last < first or (last - first) % stride:
                raise ValueError(f"ranges: expected first, last, stride that meet, got {[first, last, stride]}")
        if not self.every_step or not self.models:
            raise ValueError("expected at least one step and one model")
        self._check_revisions()
        repositories = [model.repository for model in self.models.values()]
        if len(set(repositories)) != len(repositories):
            raise ValueError("models: expected every repository once")
        return self

    def _check_revisions(self) -> None:
        if not self.revision:
            if unnamed := [step for step in self.every_step if step not in self.revisions]:
                raise ValueError(
                    "revision: expected a pattern with {step}, or a name for every step in revisions; "
                    f"step {unnamed[0]} has none"
                )
            return
        try:
            fields = {field for _, field, _, _ in Formatter().parse(self.revision) if field is not None}
        except ValueError:
            fields = {self.revision}
        if not fields:
            raise ValueError("revision: expected a pattern with {step}")
        if fields != {"step"}:
            raise ValueError(f"revision: expected a pattern with {{step}} alone, got {self.revision!r}")

    @cached_property
    def every_step(self) -> tuple[int, ...]:
        """Every published step in order, the untrained one included where there is one."""
        ranged = (step for first, last, stride in self.ranges for step in range(first, last + 1, stride))
        return tuple(sorted({*self.steps, *ranged, *self.revisions}))

    @cached_property
    def shares(self) -> Mapping[int, float]:
        """Published step to share of the training, in order, without the untrained step."""
        last = self.every_step[-1]
        return {step: step / last for step in self.every_step if step != UNTRAINED}

    def branch(self, step: int) -> str:
        """The branch that holds ``step``."""
        return self.revisions.get(step) or self.revision.format(step=step)

    def model_named(self, name: str) -> str | None:
        """The model's own name for ``name``, which may be an alias; None if no model is called so."""
        if name in self.models:
            return name
        return next((own for own, model in self.models.items() if name in model.aliases), None)


class Catalogue(Table):
    """All families by name."""

    families: dict[str, ModelFamily]

    @classmethod
    def read(cls, path: Path) -> Catalogue:
        """The catalogue in the TOML file ``path``; raises :class:`CatalogueError`."""
        return read_model(cls, path, error=CatalogueError, advice=f"run: git checkout -- {CATALOGUE}")

    def family(self, name: str) -> ModelFamily:
        """The family called ``name``; raises :class:`CatalogueError`."""
        if name not in self.families:
            raise CatalogueError(f"unknown family {name!r}; expected one of {', '.join(self.families)}")
        return self.families[name]
