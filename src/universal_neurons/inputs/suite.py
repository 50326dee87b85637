"""A suite: which models, checkpoints and tokens are looked at, and with which thresholds, draws and resamples.

One TOML file under ``fixtures/suites`` holds every number of ours that a result depends on; there is no default, so
that the file shows all of them.  This module decides what such a file may say.  It refuses to know how anything is
computed, and it imports no torch: a mistake in a suite file is answered at once.

Checkpoints are written as shares of the training ("25 %"), and their steps come from the zoo, so that no step is copied
by hand; or as steps, where a share would say nothing ("step 100" of 400,000).  A suite of published models has a lock
beside it (``<suite>.lock.toml``), which is no suite.
"""

import hashlib
import json
import os
import re
import shlex
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn, Self, TypeVar, assert_never, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_core import ErrorDetails, PydanticCustomError

from universal_neurons.errors import UserError
from universal_neurons.inputs.corpus import MaskPolicy
from universal_neurons.inputs.hub_zoo import HubZoo
from universal_neurons.inputs.lock import LOCK_SUFFIX
from universal_neurons.inputs.zoo import UNTRAINED, Zoo
from universal_neurons.progress import Warn, discard

ROOT_VARIABLE = "UNIVERSAL_NEURONS_ROOT"
SUITES = Path("fixtures") / "suites"
CORPORA = Path("fixtures") / "corpora"

# Both have the same surface: names, shares, references, tokenizer, models.
AnyZoo = Zoo | HubZoo

Precision = Literal["float32", "tf32", "bfloat16"]
NullName = Literal["rotated", "permuted"]

_T = TypeVar("_T")
_SHARE = re.compile(r"(\d+(?:\.\d+)?) ?%")
_STEP = re.compile(r"step (\d+)")
_LONGEST_VALUE_SHOWN = 60
# A path below a folder of the checkout: no way out of it, and nothing that a system takes for no path at all.
_INSIDE = r"^\w[\w.-]*(/\w[\w.-]*)*\z"
# An interval over fewer blocks of tokens is not worth its name; a narrowed suite does with fewer than it was given.
FEWEST_BLOCKS = 50
# The same of ablations, whose effects differ by more than their noise: about as many as mini has.
FEWEST_ABLATION_BLOCKS = 20
_MOST_SHARES_SHOWN = 12
_LONGEST_FOLDER = 100


class SuiteError(UserError):
    """A suite is unknown, or its file says something that a suite may not say."""


@dataclass(frozen=True, slots=True, order=True)
class Checkpoint:
    """A training step that a suite looks at; ``share`` of the training is done, ``label`` is how it is shown."""

    step: int
    share: float
    label: str

    def __str__(self) -> str:
        return self.label


def share_label(share: float) -> str:
    """``share`` as suites and reports spell it.

    >>> share_label(0.25)
    '25 %'
    >>> share_label(0.125)
    '12.5 %'
    """
    return f"{100 * share:.10g} %"


def step_label(step: int) -> str:
    """``step`` as suites and reports spell it where its share of the training is too small to mean anything.

    >>> step_label(100)
    'step 100'
    """
    return f"step {step}"


class _Table(BaseModel):
    # Strict: TOML has types, and ``tokens = true`` or ``draws = "20"`` is a mistake and not a number.
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


def _described(description: str, **bounds: Any) -> Any:
    return Field(description=description, **bounds)


_Share = Annotated[float, Field(gt=0, lt=1)]
_Seed = Annotated[int, _described("an integer, 0 or more", ge=0)]


class ZooSpec(_Table):
    """Which models: where they are, the letters taken from there, and the model whose neurons look for partners.

    ``path`` is a folder under fixtures, or, of published models, a family of ``fixtures/models.toml``.
    """

    kind: Literal["fixtures", "hub"] = _described("'fixtures' or 'hub'")
    path: str = _described("a folder under fixtures ('zoo/mini') or a family of fixtures/models.toml", pattern=_INSIDE)
    models: tuple[str, ...] = _described("at least two different names of models", min_length=2)
    reference: str = _described("one of zoo.models")

    @field_validator("models")
    @classmethod
    def _are_different(cls, models: tuple[str, ...]) -> tuple[str, ...]:
        return _different(models)

    @field_validator("reference")
    @classmethod
    def _is_a_model(cls, reference: str, info: ValidationInfo) -> str:
        models = info.data.get("models", (reference,))
        if reference not in models:
            raise _unexpected(f"one of {', '.join(models)}", reference)
        return reference


class CorpusSpec(_Table):
    """Which tokens: a corpus recipe, how many scored tokens of its held-out documents, their rows, their mask."""

    recipe: str = _described("the name of a recipe in fixtures/corpora", pattern=_INSIDE)
    tokens: int = _described("a positive integer", ge=1)
    row_length: int = _described("an integer, 2 or more", ge=2)
    mask: MaskPolicy = _described(f"one of {', '.join(repr(policy.value) for policy in MaskPolicy)}")
    seed: _Seed


class UniversalitySpec(_Table):
    """How universality is measured: thresholds of excess correlation, rotation baseline, halves, blocks, candidates.

    ``thresholds`` is the axis; ``threshold`` is the one that is meant where none is named.  ``draws`` rotations
    estimate a baseline, ``half_draws`` that of each half.  ``blocks`` groups of rows are resampled; the even ones are
    half A.  Neurons whose excess passes ``floor`` are candidates and get an interval, so no threshold may lie below it.
    ``precision``: of the operands of products over tokens; sums are float32 or better.  ``nulls`` are the null models
    of the reference besides the untrained one.
    """

    threshold: _Share = _described("a number in (0, 1)")
    thresholds: tuple[_Share, ...] = _described("different numbers in (0, 1), at least one", min_length=1)
    rotation: Literal["gaussian", "orthogonal"] = _described("'gaussian' or 'orthogonal'")
    draws: int = _described("an integer, 2 or more", ge=2)
    half_draws: int = _described("an integer, 2 or more", ge=2)
    top_k: int = _described("a positive integer", ge=1)
    blocks: int = _described("an even integer, 2 or more", ge=2, multiple_of=2)
    floor: _Share = _described("a number in (0, 1)")
    seed: _Seed
    # A file need not state these two: the defaults are what was computed before they were settings.
    precision: Precision = _described("'float32', 'tf32' or 'bfloat16'", default="float32")
    nulls: tuple[NullName, ...] = _described("'rotated', 'permuted', both or none", default=("rotated", "permuted"))

    @field_validator("thresholds", "nulls")
    @classmethod
    def _are_different(cls, values: tuple[Any, ...]) -> tuple[Any, ...]:
        return _different(values)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.threshold not in self.thresholds:
            raise _unexpected(f"one of universality.thresholds {list(self.thresholds)}", self.threshold, "threshold")
        if self.floor >= min(self.thresholds):
            raise _unexpected(f"less than the lowest threshold {min(self.thresholds)}", self.floor, "floor")
        return self


class ResamplingSpec(_Table):
    """How intervals are made: number of bootstrap resamples, level of the interval, seed."""

    resamples: int = _described("an integer, 100 or more", ge=100)
    level: _Share = _described("a number in (0, 1)")
    seed: _Seed


class AblationSpec(_Table):
    """How much is ablated: predictions that are scored, their blocks, random sets of each kind, the dose curve.

    ``tokens`` predictions are taken of held-out rows that identified no neuron, in whole rows, and cut into ``blocks``
    groups of rows.  ``draws`` random sets of every kind stand against the universal neurons.  The dose curve ablates
    each share ``dose`` of them, the first ones of ``orders`` random orders.  ``by_layer``: sets within one layer are
    ablated too.  ``extensions``: so are families of neurons, and the universal ones are patched.  ``batch_rows`` rows
    are one pass; resampled activations come from the same batch, so this number changes results.
    """

    tokens: int = _described("a positive integer", ge=1)
    blocks: int = _described("an integer, 2 or more", ge=2)
    draws: int = _described("an integer, 2 or more", ge=2)
    dose: tuple[_Share, ...] = _described("different numbers in (0, 1), at least one", min_length=1)
    orders: int = _described("a positive integer", ge=1)
    seed: _Seed
    # A file need not state these three: the defaults are what was computed before they were settings.
    by_layer: bool = _described("true or false", default=True)
    extensions: bool = _described("true or false", default=True)
    batch_rows: int = _described("an integer, 2 or more", ge=2, default=16)

    @field_validator("dose")
    @classmethod
    def _are_different(cls, dose: tuple[float, ...]) -> tuple[float, ...]:
        return _different(dose)


class VariantsSpec(_Table):
    """Under which other choices the reference's scores are taken again, and how exactly.

    ``masks``, ``tokens`` (the first rows with that many scored tokens), ``rotations`` and ``single`` (that many of the
    suite's draws as the whole baseline) change one choice each.  ``padding`` is the text of the token with which the
    published emulation pads; ``padded_tokens`` are counted there, padding included.  ``draws`` rotations estimate the
    baseline under other tokens: the first ones of the suite's, so that differences from it are paired.  Nothing is
    varied where all lists are empty and ``padded_tokens`` is 0.
    """

    masks: tuple[MaskPolicy, ...] = _described(f"some of {', '.join(repr(policy.value) for policy in MaskPolicy)}")
    tokens: tuple[int, ...] = _described("different positive integers")
    rotations: tuple[Literal["orthogonal", "whitened"], ...] = _described("'orthogonal', 'whitened', both or none")
    single: tuple[int, ...] = _described("different positive integers")
    padding: str = _described("the text of one token, such as '!'", min_length=1)
    padded_tokens: int = _described("a positive integer, or 0 where nothing else is varied", ge=0)
    draws: int = _described("a positive integer", ge=1)

    @field_validator("masks", "tokens", "rotations", "single")
    @classmethod
    def _are_different(cls, values: tuple[Any, ...]) -> tuple[Any, ...]:
        for value in values:
            if isinstance(value, int) and value < 1:
                raise _unexpected("positive integers", value)
        return _different(values)

    @model_validator(mode="after")
    def _pads_where_anything_is_varied(self) -> Self:
        if not self.padded_tokens and self.names:
            raise _unexpected("a positive integer, or 0 where nothing else is varied", 0, "padded_tokens")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """The variants, each spelled ``choice:value``."""
        return (
            *(f"mask:{policy.value}" for policy in self.masks),
            *(["padding:published", "padding:dropped"] if self.padded_tokens else []),
            *(f"tokens:{tokens}" for tokens in self.tokens),
            *(f"rotation:{kind}" for kind in self.rotations),
            *(f"draws:{draws}" for draws in self.single),
        )


class ProfilesSpec(_Table):
    """What is kept of every single neuron of the last checkpoint.

    ``top`` of its largest activations, one in a row of tokens at most; a histogram of ``bins`` bins; ``shown`` tokens
    that it promotes and as many that it suppresses.  It is ablated alone on the first ``ablation_rows`` of the rows on
    which ablations are judged; each is a block, and 0 is none: in a model of 36,864 neurons each row costs as many
    runs.
    """

    top: int = _described("a positive integer", ge=1)
    bins: int = _described("an integer, 2 or more", ge=2)
    shown: int = _described("a positive integer", ge=1)
    ablation_rows: int = _described("0 for none, or an integer, 2 or more", ge=0)

    @field_validator("ablation_rows")
    @classmethod
    def _has_an_interval(cls, rows: int) -> int:
        # The effect on one row is a number without an interval.
        if rows == 1:
            raise _unexpected("0 for none, or an integer, 2 or more", rows)
        return rows


class _Settings(_Table):
    title: str = _described("a line of text", min_length=1)
    description: str = _described("text", min_length=1)
    zoo: ZooSpec = _described("a table [zoo]")
    corpus: CorpusSpec = _described("a table [corpus]")
    universality: UniversalitySpec = _described("a table [universality]")
    ablation: AblationSpec = _described("a table [ablation]")
    variants: VariantsSpec = _described("a table [variants]")
    profiles: ProfilesSpec = _described("a table [profiles]")
    resampling: ResamplingSpec = _described("a table [resampling]")

    @model_validator(mode="after")
    def _fills_every_block(self) -> Self:
        # A block without tokens has no influence, and half of an empty pair of blocks has no correlation.
        least = self.universality.blocks * (self.corpus.row_length - 1)
        if self.corpus.tokens < least:
            raise _unexpected(
                f"at least {least} (universality.blocks x scored positions of a row), so that no block is empty",
                self.corpus.tokens,
                "corpus.tokens",
            )
        scored = self.corpus.row_length - 1
        if self.ablation.tokens <= (self.ablation.blocks - 1) * scored:
            raise _unexpected(
                f"more than {(self.ablation.blocks - 1) * scored} ((ablation.blocks - 1) x predictions of a row), so "
                "that there is a row per block",
                self.ablation.tokens,
                "ablation.tokens",
            )
        return self

    @model_validator(mode="after")
    def _profiles_what_is_there(self) -> Self:
        # Blocks are groups of whole rows, so there are at least as many rows as blocks.
        bounds = {
            "top": (self.profiles.top, self.universality.blocks, "universality.blocks"),
            "ablation_rows": (self.profiles.ablation_rows, self.ablation.blocks, "ablation.blocks"),
        }
        for field, (found, most, of) in bounds.items():
            if found > most:
                raise _unexpected(f"at most {most} ({of})", found, f"profiles.{field}")
        return self

    @model_validator(mode="after")
    def _varies_what_is_there(self) -> Self:
        bounds = {
            "tokens": (max(self.variants.tokens, default=0), self.corpus.tokens - 1, "corpus.tokens"),
            "draws": (self.variants.draws, self.universality.draws, "universality.draws"),
            "single": (max(self.variants.single, default=0), self.universality.draws, "universality.draws"),
        }
        for field, (found, most, of) in bounds.items():
            if found > most:
                raise _unexpected(f"at most {most} ({of} is the whole)", found, f"variants.{field}")
        return self


class SuiteFile(_Settings):
    """A suite as its file has it: checkpoints by share or step, and whether the untrained models belong to it."""

    checkpoints: tuple[str, ...] = _described(
        "shares or steps of the training, such as ['step 100', '50 %', '100 %']", min_length=1
    )
    untrained: bool = _described("true or false")

    @field_validator("checkpoints")
    @classmethod
    def _are_places(cls, checkpoints: tuple[str, ...]) -> tuple[str, ...]:
        for label in checkpoints:
            if _SHARE.fullmatch(label) is None and _STEP.fullmatch(label) is None:
                raise _unexpected("shares or steps of the training, such as '25 %' or 'step 100'", label)
        return _different(tuple(_canonical(label) for label in checkpoints))


def _canonical(label: str) -> str:
    share = _SHARE.fullmatch(label)
    return share_label(float(share[1]) / 100) if share else label


@dataclass(frozen=True, slots=True)
class Preset:
    """The most that a suite has of everything in a first look, besides one reference, one threshold and no variants.

    ``draws`` and ``half_draws`` are rotations, ``nulls`` null models, ``ablation_draws`` random sets of each kind,
    ``batch_rows`` rows of one ablated pass, ``dose`` the one share of the dose curve, ``top`` the largest activations
    of a neuron.  Ablations are judged on as many rows as have an interval, :data:`FEWEST_ABLATION_BLOCKS`; there are
    none by layer, of families, of single neurons or of untrained models.  ``said`` is how the suite's narrowing says
    it.
    """

    draws: int
    half_draws: int
    nulls: tuple[NullName, ...]
    ablation_draws: int
    batch_rows: int
    dose: float
    top: int
    said: str


# Permuted tokens would double the products of a pass, and 16 rows of GPT-2's vocabulary are 10 GB.
QUICK = Preset(
    draws=5, half_draws=2, nulls=("rotated",), ablation_draws=3, batch_rows=4, dose=0.5, top=3,
    said="quick: few draws and ablations, one reference, one threshold, no variants, no layers, nothing untrained",
)  # fmt: skip


class Suite(_Settings):
    """A suite whose checkpoints are steps of its zoo; ``narrowing`` says what was left out of it, if anything.

    ``checkpoints`` are the trained ones in the order of training; ``untrained`` is step 0, which was published or which
    the zoo regenerates from its seeds, or None where the suite does without.  ``layers`` is the depth of its models.
    ``references`` are the models whose neurons look for partners: all of them, unless the suite was narrowed.
    ``options`` are the options of the command line that narrow it so, by name, with "" for one that takes no value.
    ``quick``: the preset for a first look was chosen (:data:`QUICK`).
    """

    name: str
    checkpoints: tuple[Checkpoint, ...]
    untrained: Checkpoint | None
    layers: int
    references: tuple[str, ...]
    narrowing: str = ""
    quick: bool = False
    options: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        return f"{self.name} ({self.narrowing})" if self.narrowing else self.name

    @property
    def folder(self) -> str:
        """A name for a folder about this suite; another for every narrowing, so that none replaces the whole."""
        if not self.narrowing:
            return self.name
        words = "-".join([self.name, *re.findall(r"[A-Za-z0-9]+", self.narrowing)])
        if len(words) <= _LONGEST_FOLDER:
            return words
        return f"{words[:_LONGEST_FOLDER]}-{hashlib.sha256(self.narrowing.encode()).hexdigest()[:8]}"

    def command(self, program: str) -> str:
        """``program`` (``universal-neurons compute``) for this suite, narrowed as it is, as a shell takes it."""
        return " ".join([program, shlex.join(["--suite", self.name]), *([self.narrowed_by] if self.options else [])])

    @property
    def narrowed_by(self) -> str:
        """The options that narrow the suite, as a shell takes them; empty for a whole one."""
        return shlex.join(word for name, value in self.options for word in (f"--{name}", value) if word)

    def open_zoo(self, root: Path, *, warn: Warn) -> AnyZoo:
        """The suite's models in the checkout ``root``; raises ``ZooError``."""
        return open_zoo(self.zoo, root, suite=self.name, fetch=self.command("universal-neurons fetch"), warn=warn)

    def checkpoint(self, wanted: str | int) -> Checkpoint:
        """The checkpoint with this label or step, the untrained one included; raises :class:`SuiteError`."""
        known = [*self.checkpoints, *([] if self.untrained is None else [self.untrained])]
        text = str(wanted).replace(" ", "")
        for checkpoint in known:
            if text in {checkpoint.label.replace(" ", ""), str(checkpoint.step)}:
                return checkpoint
        names = ", ".join(f"'{c.label}'" for c in self.checkpoints)
        raise SuiteError(f"suite {self.name}: checkpoints: expected one of {names}, got {_value(wanted)}")

    def narrowed(
        self,
        *,
        models: Iterable[str] | None = None,
        checkpoints: Iterable[str | int] | None = None,
        tokens: int | None = None,
        reference: str | None = None,
        references: Iterable[str] | None = None,
        threshold: float | None = None,
        precision: str | None = None,
        quick: bool = False,
    ) -> "Suite":
        """This suite with less in it; ``narrowing`` of the result says what was chosen.

        Order is the suite's, whatever order is asked for; untrained models stay.  Fewer tokens are fewer blocks where
        they would not fill them, and the same share of what ablations, padded rows and profiles take, though no fewer
        rows than :data:`FEWEST_ABLATION_BLOCKS`.  What is None, or chooses everything that is there, changes nothing.
        A suite that looks at its reference only goes on with another ``reference`` that is chosen.  ``quick`` takes
        :data:`QUICK` first.  Raises :class:`SuiteError` for a name, number or step that is not the suite's.
        """
        if quick and not self.quick:
            return self._quick().narrowed(
                models=models, checkpoints=checkpoints, tokens=tokens, reference=reference, references=references,
                threshold=threshold, precision=precision,
            )  # fmt: skip
        zoo = self._narrowed_zoo(models, reference)
        kept = self.checkpoints if checkpoints is None else self._narrowed_checkpoints(checkpoints)
        universality = self.universality if threshold is None else self._at(threshold)
        corpus = self.corpus.model_copy(update={} if tokens is None else {"tokens": self._fewer(tokens)})
        changed = {"blocks": self._blocks(corpus.tokens), "precision": self._precision(precision)}
        universality = universality.model_copy(update=changed)
        changes = {"zoo": zoo, "checkpoints": kept, "universality": universality, "corpus": corpus}
        changes["references"] = self._narrowed_references(zoo, references)
        if corpus.tokens < self.corpus.tokens:
            changes |= self._scaled(corpus.tokens, blocks=universality.blocks)
        suite = self.model_copy(update=changes)
        said = {
            "narrowing": _narrowing(self, suite),
            "options": tuple({**dict(self.options), **_options(self, suite)}.items()),
        }
        return suite.model_copy(update=said)

    def _quick(self) -> "Suite":
        """This suite with no more of anything than :data:`QUICK` says."""
        universality, ablation, variants = self.universality, self.ablation, self.variants
        draws = min(universality.draws, QUICK.draws)
        blocks = min(ablation.blocks, FEWEST_ABLATION_BLOCKS)
        scores = {
            "draws": draws,
            "half_draws": min(universality.half_draws, QUICK.half_draws),
            "thresholds": (universality.threshold,),
            "nulls": tuple(name for name in universality.nulls if name in QUICK.nulls),
        }
        effects = {
            "tokens": min(ablation.tokens, blocks * (self.corpus.row_length - 1)),
            "blocks": blocks,
            "draws": min(ablation.draws, QUICK.ablation_draws),
            "dose": (QUICK.dose,),
            "orders": 1,
            "by_layer": False,
            "extensions": False,
            "batch_rows": min(ablation.batch_rows, QUICK.batch_rows),
        }
        nothing = {"masks": (), "tokens": (), "rotations": (), "single": (), "padded_tokens": 0}
        examples = {"top": min(self.profiles.top, QUICK.top), "ablation_rows": 0}
        changes = {
            "untrained": None,
            "references": (self.zoo.reference,),
            "universality": universality.model_copy(update=scores),
            "ablation": ablation.model_copy(update=effects),
            "variants": variants.model_copy(update={**nothing, "draws": min(variants.draws, draws)}),
            "profiles": self.profiles.model_copy(update=examples),
            "narrowing": "; ".join([*([self.narrowing] if self.narrowing else []), QUICK.said]),
            "options": (("quick", ""), *self.options),
            "quick": True,
        }
        return self.model_copy(update=changes)

    def _scaled(self, tokens: int, *, blocks: int) -> dict[str, Any]:
        """What goes with ``tokens`` scored tokens in ``blocks`` blocks: ablations, variants, profiles."""
        ablation, variants, profiles = self.ablation, self.variants, self.profiles
        scored = self.corpus.row_length - 1

        def share(whole: int, *, least: int) -> int:
            return min(whole, max(least, whole * tokens // self.corpus.tokens))

        predictions = share(ablation.tokens, least=FEWEST_ABLATION_BLOCKS * scored)
        fewer = {"tokens": predictions, "blocks": min(ablation.blocks, -(-predictions // scored))}
        prefixes = tuple(prefix for prefix in variants.tokens if prefix < tokens)
        padded = share(variants.padded_tokens, least=blocks * scored)
        rows = min(share(profiles.ablation_rows, least=2), fewer["blocks"])
        return {
            "ablation": ablation.model_copy(update=fewer),
            "variants": variants.model_copy(update={"tokens": prefixes, "padded_tokens": padded}),
            "profiles": profiles.model_copy(update={"top": min(profiles.top, blocks), "ablation_rows": rows}),
        }

    def _narrowed_zoo(self, models: Iterable[str] | None, reference: str | None) -> ZooSpec:
        wanted = list(self.zoo.models if models is None else models)
        for name in wanted:
            if name not in self.zoo.models:
                self._refuse("zoo.models", f"one of {', '.join(self.zoo.models)}", name)
        kept = tuple(name for name in self.zoo.models if name in wanted)
        if len(kept) < 2:
            self._refuse("zoo.models", "at least two different models", wanted)
        reference = self.zoo.reference if reference is None else reference
        if reference not in kept:
            self._refuse("zoo.reference", f"one of {', '.join(kept)}", reference)
        return self.zoo.model_copy(update={"models": kept, "reference": reference})

    def _narrowed_references(self, zoo: ZooSpec, wanted: Iterable[str] | None) -> tuple[str, ...]:
        chosen = list(_own_references(self, zoo) if wanted is None else wanted)
        for name in chosen:
            if name not in zoo.models:
                self._refuse("references", f"some of {', '.join(zoo.models)}", name)
        if zoo.reference not in chosen:
            self._refuse("references", f"{zoo.reference} (zoo.reference) among them", chosen)
        return tuple(name for name in zoo.models if name in chosen)

    def _narrowed_checkpoints(self, wanted: Iterable[str | int]) -> tuple[Checkpoint, ...]:
        chosen = [self.checkpoint(one) for one in wanted]
        kept = tuple(checkpoint for checkpoint in self.checkpoints if checkpoint in chosen)
        if not kept:
            names = ", ".join(f"'{c.label}'" for c in self.checkpoints)
            self._refuse("checkpoints", f"at least one of {names}", [c.label for c in chosen])
        return kept

    def _precision(self, wanted: str | None) -> str:
        if wanted is not None and wanted not in get_args(Precision):
            self._refuse("universality.precision", f"one of {', '.join(get_args(Precision))}", wanted)
        return self.universality.precision if wanted is None else wanted

    def _fewer(self, tokens: int) -> int:
        least = min(self.universality.blocks, FEWEST_BLOCKS) * (self.corpus.row_length - 1)
        if not least <= tokens <= self.corpus.tokens:
            self._refuse("corpus.tokens", f"an integer from {least} to {self.corpus.tokens}", tokens)
        return tokens

    def _blocks(self, tokens: int) -> int:
        """The suite's blocks, or the largest even number of blocks of which ``tokens`` fill every one."""
        most = tokens // (self.corpus.row_length - 1)
        return min(self.universality.blocks, most - most % 2)

    def _at(self, threshold: float) -> UniversalitySpec:
        low = self.universality.floor
        if not 0 < threshold < 1:
            self._refuse("universality.threshold", "a number in (0, 1)", threshold)
        if threshold <= low:
            self._refuse("universality.threshold", f"more than universality.floor {low}", threshold)
        return self.universality.model_copy(update={"threshold": threshold, "thresholds": (threshold,)})

    def _refuse(self, field: str, expected: str, got: object) -> NoReturn:
        raise SuiteError(f"suite {self.name}: {field}: expected {expected}, got {_value(got)}")


def _narrowing(whole: Suite, part: Suite) -> str:
    said = {
        "models": (whole.zoo.models, part.zoo.models, ", ".join(part.zoo.models)),
        "reference": (whole.zoo.reference, part.zoo.reference, part.zoo.reference),
        "references": (_own_references(whole, part.zoo), part.references, ", ".join(part.references)),
        "checkpoints": (whole.checkpoints, part.checkpoints, ", ".join(c.label for c in part.checkpoints)),
        "tokens": (whole.corpus.tokens, part.corpus.tokens, str(part.corpus.tokens)),
        "blocks": (whole.universality.blocks, part.universality.blocks, str(part.universality.blocks)),
        "predictions": (whole.ablation.tokens, part.ablation.tokens, str(part.ablation.tokens)),
        "ablation blocks": (whole.ablation.blocks, part.ablation.blocks, str(part.ablation.blocks)),
        "profile rows": (_rows(whole), _rows(part), str(_rows(part))),
        "threshold": (_levels(whole), _levels(part), str(part.universality.threshold)),
        "precision": (whole.universality.precision, part.universality.precision, part.universality.precision),
    }
    here = [f"{name} {text}" for name, (before, after, text) in said.items() if before != after]
    return "; ".join([*([whole.narrowing] if whole.narrowing else []), *here])


def _options(whole: Suite, part: Suite) -> dict[str, str]:
    """The options of the command line that make ``part`` of ``whole``."""
    said = {
        "models": (whole.zoo.models, part.zoo.models, ",".join(part.zoo.models)),
        "checkpoints": (whole.checkpoints, part.checkpoints, ",".join(c.label for c in part.checkpoints)),
        "tokens": (whole.corpus.tokens, part.corpus.tokens, str(part.corpus.tokens)),
        "reference": (whole.zoo.reference, part.zoo.reference, part.zoo.reference),
        "references": (_own_references(whole, part.zoo), part.references, ",".join(part.references)),
    }
    return {name: text for name, (before, after, text) in said.items() if before != after}


def _rows(suite: Suite) -> int:
    return suite.profiles.ablation_rows


def _own_references(whole: Suite, zoo: ZooSpec) -> tuple[str, ...]:
    """The references of ``whole`` that remain with the models of ``zoo`` where none are chosen."""
    if whole.references == (whole.zoo.reference,):
        return (zoo.reference,)
    return tuple(name for name in whole.references if name in zoo.models)


def _levels(suite: Suite) -> tuple[float, ...]:
    return (suite.universality.threshold, *suite.universality.thresholds)


def available_suites(root: Path) -> tuple[str, ...]:
    """The names of the suites in the checkout ``root``, in alphabetical order."""
    files = (path for path in (root / SUITES).glob("[!.]*.toml") if not path.name.endswith(LOCK_SUFFIX))
    return tuple(sorted(path.stem for path in files))


def open_zoo(spec: ZooSpec, root: Path, *, suite: str, fetch: str = "", warn: Warn = discard) -> AnyZoo:
    """The models that ``spec`` names in the checkout ``root``: a folder of fixtures, or a family as ``suite`` locks it.

    Nothing is loaded and nothing is asked of a hub; ``fetch`` is the command that fetches them, ``warn`` gets a line
    whenever a hub must be waited for.  Raises ``ZooError`` for a zoo, a family or a lock that is missing or damaged.
    """
    match spec.kind:
        case "fixtures":
            return Zoo.open(root / "fixtures" / spec.path)
        case "hub":
            return HubZoo.open(root, spec.path, suite=suite, command=fetch, warn=warn)
        case _:
            assert_never(spec.kind)


def load_suite(name: str, root: Path) -> Suite:
    """The suite ``name`` of the checkout ``root``, its checkpoints looked up in the zoo.

    Raises :class:`SuiteError` (one line: file, field, expected, got) for an unknown suite or a mistake in its file, and
    ``ZooError`` if its zoo is missing or damaged.  No hub is asked.
    """
    known = available_suites(root)
    if name not in known:
        there = f"expected one of {', '.join(known)}" if known else f"there is none in {root / SUITES}"
        raise SuiteError(f"unknown suite {name!r}; {there}")
    file = SUITES / f"{name}.toml"
    written = parse_suite((root / file).read_bytes(), where=file.as_posix())
    _check_corpus(written, root, where=file.as_posix())
    return _resolved(name, written, open_zoo(written.zoo, root, suite=name), where=file.as_posix())


def parse_suite(content: bytes, *, where: str) -> SuiteFile:
    """The suite that a TOML file says; ``where`` names the file in errors.  Raises :class:`SuiteError`."""
    try:
        raw = tomllib.loads(content.decode())
    except ValueError as error:
        raise SuiteError(f"{where}: not TOML: {error}") from None
    try:
        # By way of JSON, because strict pydantic takes a TOML array for a tuple only there.
        return SuiteFile.model_validate_json(json.dumps(raw, default=str))
    except ValidationError as error:
        raise SuiteError(f"{where}: {_line(error.errors())}") from None


def _check_corpus(written: SuiteFile, root: Path, *, where: str) -> None:
    recipes = sorted(path.stem for path in (root / CORPORA).glob("[!.]*.toml"))
    if written.corpus.recipe not in recipes:
        expected = f"one of {', '.join(recipes)}" if recipes else "a file in fixtures/corpora"
        raise SuiteError(f"{where}: corpus.recipe: expected {expected}, got {_value(written.corpus.recipe)}")


def _resolved(name: str, written: SuiteFile, zoo: AnyZoo, *, where: str) -> Suite:
    for model in written.zoo.models:
        if model not in zoo.names:
            raise SuiteError(f"{where}: zoo.models: expected some of {', '.join(zoo.names)}, got {_value(model)}")
    recipe = zoo.recipe()
    if written.corpus.row_length > recipe.context:
        got = written.corpus.row_length
        raise SuiteError(
            f"{where}: corpus.row_length: expected at most {recipe.context} (the models' context), got {got}"
        )
    if written.untrained and not zoo.has_untrained:
        raise SuiteError(f"{where}: untrained: expected false (nobody published {zoo.source} at step 0), got true")
    settings = {field: getattr(written, field) for field in _Settings.model_fields}
    return Suite(
        **settings,
        name=name,
        checkpoints=_checkpoints(written.checkpoints, zoo.shares, where=where),
        untrained=Checkpoint(UNTRAINED, 0.0, "untrained") if written.untrained else None,
        layers=recipe.layers,
        references=written.zoo.models,
    )


def _checkpoints(labels: Sequence[str], shares: Mapping[int, float], *, where: str) -> tuple[Checkpoint, ...]:
    by_share = {share_label(share): step for step, share in shares.items()}
    found: dict[int, Checkpoint] = {}
    for label in labels:
        number = _STEP.fullmatch(label)
        step = int(number[1]) if number else by_share.get(label)
        if step is None or step not in shares:
            raise SuiteError(f"{where}: checkpoints: expected {_there(by_share, number)}, got {label!r}")
        if step in found:
            raise SuiteError(f"{where}: checkpoints: expected every step once, got {found[step].label!r} and {label!r}")
        found[step] = Checkpoint(step, shares[step], step_label(step) if number else label)
    return tuple(found[step] for step in sorted(found))


def _there(by_share: Mapping[str, int], number: re.Match[str] | None) -> str:
    """What could have been written instead of a share, or of the step ``number``, that the zoo does not have."""
    if number is None:
        shares = list(by_share)
        few = len(shares) <= _MOST_SHARES_SHOWN
        there = ", ".join(map(repr, shares)) if few else f"{len(shares)} of them, {shares[0]!r} to {shares[-1]!r}"
        return f"shares that the zoo has ({there})"
    near = sorted(sorted(by_share.values(), key=lambda step: abs(step - int(number[1])))[:4])
    return f"steps that the zoo has (near it {', '.join(map(str, near))})"


def project_root() -> Path:
    """The checkout that is worked on.

    The folder named by UNIVERSAL_NEURONS_ROOT; else the nearest folder with fixtures/suites at or above the working
    directory; else the checkout that this package lies in.  Raises :class:`UserError` if there is none.
    """
    named = os.environ.get(ROOT_VARIABLE)
    if named:
        if not (Path(named) / SUITES).is_dir():
            raise UserError(f"{ROOT_VARIABLE}: expected a folder with fixtures/suites, got {named!r}")
        return Path(named).resolve()
    here = Path.cwd()
    for folder in (here, *here.parents, Path(__file__).resolve().parents[3]):
        if (folder / SUITES).is_dir():
            return folder
    raise UserError(f"no fixtures/suites at or above {here}; change into a checkout or set {ROOT_VARIABLE}")


def _different(values: tuple[_T, ...]) -> tuple[_T, ...]:
    for value in values:
        if values.count(value) > 1:
            raise _unexpected("every entry once", value)
    return values


def _unexpected(expected: str, got: object, field: str = "") -> PydanticCustomError:
    # ``field`` is for a rule between fields, which pydantic reports at the table that holds them.
    return PydanticCustomError("unexpected", "{expected}", {"expected": expected, "got": got, "field": field})


def _line(errors: Sequence[ErrorDetails]) -> str:
    # A misspelt field is also a missing one; its misspelling is the mistake.
    first = min(errors, key=lambda error: error["type"] != "extra_forbidden")
    others = len({_path(error) for error in errors}) - 1
    more = f" (and {others} more)" if others else ""
    path = [*_path(first)]
    context = first.get("ctx", {})
    match first["type"]:
        case "unexpected":
            path += [context["field"]] if context["field"] else []
            said = f"expected {context['expected']}, got {_value(context['got'])}"
        case "extra_forbidden":
            said = f"unknown field; expected one of {', '.join(_table(path[:-1]).model_fields)}"
        case "missing":
            said = f"expected {_expectation(path)}, got nothing"
        case _:
            said = f"expected {_expectation(path)}, got {_value(first['input'])}"
    return f"{'.'.join(path)}: {said}{more}"


def _path(error: ErrorDetails) -> tuple[str, ...]:
    return tuple(part for part in error["loc"] if isinstance(part, str))


def _expectation(path: Sequence[str]) -> str:
    field = _table(path[:-1]).model_fields[path[-1]]
    return field.description or "another value"


def _table(path: Sequence[str]) -> type[BaseModel]:
    table: type[BaseModel] = SuiteFile
    for name in path:
        annotation = table.model_fields[name].annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            table = annotation
    return table


def _value(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST_VALUE_SHOWN else f"{text[:_LONGEST_VALUE_SHOWN]}..."
