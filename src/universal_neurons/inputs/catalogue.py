"""The catalogue of published models: families of one recipe, their seeds, and the branch that holds each step.

``fixtures/models.toml`` says it all; this module decides what such a file may say.  It refuses to know how weights are
fetched and which commit a branch means: it imports neither torch nor a client of the hub.
"""

from __future__ import annotations

import tomllib
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError, model_validator

from universal_neurons.architectures import adapter_of
from universal_neurons.inputs.zoo import UNTRAINED, ZooError

if TYPE_CHECKING:
    from collections.abc import Mapping

CATALOGUE = Path("fixtures") / "models.toml"


class CatalogueError(ZooError):
    """The catalogue of models is missing, damaged, or does not have what was asked for."""


def _with_adapter(name: str) -> str:
    return adapter_of(name).class_name


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Architecture(_Table):
    """The shape of a family's models: ``mlp`` neurons per layer, ``context`` positions, ``vocabulary`` token ids."""

    name: Annotated[str, AfterValidator(_with_adapter)]
    layers: int
    width: int
    heads: int
    mlp: int
    context: int
    vocabulary: int


class TokenizerPlace(_Table):
    """The file that holds a family's tokenizer."""

    repository: str
    revision: str
    file: str


class CataloguedModel(_Table):
    """One seed: its repository on the hub and the names that the papers' code gives it."""

    repository: str
    seed: int
    aliases: tuple[str, ...] = ()


class Family(_Table):
    """Models of one recipe that differ in their seed; ``revision`` names the branch of a step (``checkpoint-{step}``).

    ``ranges`` of steps are (first, last, stride), both ends included.
    """

    title: str
    source: str
    revision: str
    tokenizer: TokenizerPlace
    architecture: Architecture
    models: dict[str, CataloguedModel]
    steps: tuple[int, ...] = ()
    ranges: tuple[tuple[int, int, int], ...] = ()

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if "{step}" not in self.revision:
            raise ValueError("revision: expected a pattern with {step}")
        for first, last, stride in self.ranges:
            if stride < 1 or last < first or (last - first) % stride:
                raise ValueError(f"ranges: expected first, last, stride that meet, got {[first, last, stride]}")
        if not self.every_step or not self.models:
            raise ValueError("expected at least one step and one model")
        repositories = [model.repository for model in self.models.values()]
        if len(set(repositories)) != len(repositories):
            raise ValueError("models: expected every repository once")
        return self

    @cached_property
    def every_step(self) -> tuple[int, ...]:
        """Every published step in order, the untrained one included where there is one."""
        ranged = (step for first, last, stride in self.ranges for step in range(first, last + 1, stride))
        return tuple(sorted({*self.steps, *ranged}))

    @cached_property
    def shares(self) -> Mapping[int, float]:
        """Published step to share of the training, in order, without the untrained step."""
        last = self.every_step[-1]
        return {step: step / last for step in self.every_step if step != UNTRAINED}

    def branch(self, step: int) -> str:
        """The branch that holds ``step``."""
        return self.revision.format(step=step)

    def model_named(self, name: str) -> str | None:
        """The model's own name for ``name``, which may be an alias; None for a stranger."""
        if name in self.models:
            return name
        return next((own for own, model in self.models.items() if name in model.aliases), None)


class Catalogue(_Table):
    """All families by name."""

    families: dict[str, Family]

    @classmethod
    def read(cls, path: Path) -> Catalogue:
        """The catalogue in the TOML file ``path``; raises :class:`CatalogueError`."""
        try:
            return cls.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
        except OSError as error:
            raise CatalogueError(
                f"{path}: cannot be read ({error.strerror}); run: git checkout -- {CATALOGUE}"
            ) from None
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise CatalogueError(f"{path}: {where}: {first['msg']}") from None
        except ValueError as error:
            raise CatalogueError(f"{path}: not TOML: {error}") from None

    def family(self, name: str) -> Family:
        """The family called ``name``; raises :class:`CatalogueError`."""
        if name not in self.families:
            raise CatalogueError(f"unknown family {name!r}; expected one of {', '.join(self.families)}")
        return self.families[name]
