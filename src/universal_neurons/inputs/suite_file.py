"""A suite file: one TOML file under ``fixtures/suites`` and everything that it may say.

It holds every number of ours that a result depends on.  There are next to no defaults, so that the file shows all of
them.  Nothing here imports torch: a mistake in a suite file is answered at once.

Checkpoints are written as shares of the training ("25 %"), and their steps come from the zoo, so that no step is copied
by hand; or as steps, where a share would say nothing ("step 100" of 400,000).
"""

import json
import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self, TypeVar, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from universal_neurons.errors import UserError
from universal_neurons.ids import Rotation
from universal_neurons.inputs.corpus import MaskPolicy
from universal_neurons.inputs.validation import StrictTable, parsed_toml, shown_value

Precision = Literal["float32", "tf32", "bfloat16"]
NullName = Literal["rotated", "permuted"]

# The name of the text that is the suite's own, in rows that are not among its tokens.
OTHER_ROWS = "other_rows"

SHARE = re.compile(r"(\d+(?:\.\d+)?) ?%")
STEP = re.compile(r"step (\d+)")
_T = TypeVar("_T")
# A path below a folder of the checkout: no way out of it, and nothing that a system takes for no path at all.
_INSIDE = r"^\w[\w.-]*(/\w[\w.-]*)*\z"


class SuiteError(UserError):
    """A suite is unknown, or its file says something that a suite may not say."""


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


def _described(description: str, **bounds: Any) -> Any:
    return Field(description=description, **bounds)


def _different(values: tuple[_T, ...]) -> tuple[_T, ...]:
    for value in values:
        if values.count(value) > 1:
            raise _unexpected("every entry once", value)
    return values


def _unexpected(expected: str, got: object, field: str = "") -> PydanticCustomError:
    # ``field`` is for a rule between fields, which pydantic reports at the table that holds them.
    return PydanticCustomError("unexpected", "{expected}", {"expected": expected, "got": got, "field": field})


_Distinct = Annotated[tuple[_T, ...], AfterValidator(_different)]
_Positive = Annotated[int, Field(ge=1)]
_Share = Annotated[float, Field(gt=0, lt=1)]
_Text = Annotated[str, Field(pattern=_INSIDE)]
_Seed = Annotated[int, _described("an integer, 0 or more", ge=0)]


class ZooSpec(StrictTable):
    """The models: their zoo, the letters taken from it, and the model whose neurons look for partners.

    ``path`` is a folder under fixtures, or, of published models, a family of ``fixtures/models.toml``.
    """

    kind: Literal["fixtures", "hub"] = _described("'fixtures' or 'hub'")
    path: str = _described("a folder under fixtures ('zoo/mini') or a family of fixtures/models.toml", pattern=_INSIDE)
    models: _Distinct[str] = _described("at least two different names of models", min_length=2)
    reference: str = _described("one of zoo.models")

    @field_validator("reference")
    @classmethod
    def _is_a_model(cls, reference: str, info: ValidationInfo) -> str:
        models = info.data.get("models", (reference,))
        if reference not in models:
            raise _unexpected(f"one of {', '.join(models)}", reference)
        return reference


class CorpusSpec(StrictTable):
    """The tokens: a corpus recipe, the number of scored tokens of its held-out documents, their rows, their mask."""

    recipe: str = _described("the name of a recipe in fixtures/corpora", pattern=_INSIDE)
    tokens: int = _described("a positive integer", ge=1)
    row_length: int = _described("an integer, 2 or more", ge=2)
    mask: MaskPolicy = _described(f"one of {', '.join(repr(policy.value) for policy in MaskPolicy)}")
    seed: _Seed


class UniversalitySpec(StrictTable):
    """The measurement of universality: thresholds of excess correlation, rotation baseline, halves, blocks, candidates.

    ``thresholds`` is the axis; ``threshold`` is the one that is meant where none is named.  ``draws`` rotations
    estimate a baseline, ``half_draws`` the baseline of each half.  ``blocks`` groups of rows are resampled; the even
    ones are half A.  Neurons whose excess passes ``floor`` are candidates and get an interval, so no threshold may lie
    below it.  ``precision``: of the operands of products over tokens; sums are float32 or better.  ``nulls`` are the
    null models of the reference besides the untrained one.
    """

    threshold: _Share = _described("a number in (0, 1)")
    thresholds: _Distinct[_Share] = _described("different numbers in (0, 1), at least one", min_length=1)
    rotation: Rotation = _described(" or ".join(map(repr, get_args(Rotation))))
    draws: int = _described("an integer, 2 or more", ge=2)
    half_draws: int = _described("an integer, 2 or more", ge=2)
    top_k: int = _described("a positive integer", ge=1)
    blocks: int = _described("an even integer, 2 or more", ge=2, multiple_of=2)
    floor: _Share = _described("a number in (0, 1)")
    seed: _Seed
    # A file need not state these two: the defaults are what was computed before they were settings.
    precision: Precision = _described("'float32', 'tf32' or 'bfloat16'", default="float32")
    nulls: _Distinct[NullName] = _described("'rotated', 'permuted', both or none", default=("rotated", "permuted"))

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.threshold not in self.thresholds:
            raise _unexpected(f"one of universality.thresholds {list(self.thresholds)}", self.threshold, "threshold")
        if self.floor >= min(self.thresholds):
            raise _unexpected(f"less than the lowest threshold {min(self.thresholds)}", self.floor, "floor")
        return self


class ResamplingSpec(StrictTable):
    """The intervals: number of bootstrap resamples, level of the interval, seed."""

    resamples: int = _described("an integer, 100 or more", ge=100)
    level: _Share = _described("a number in (0, 1)")
    seed: _Seed


class AblationSpec(StrictTable):
    """The extent of ablations: predictions that are scored, their blocks, random sets of each kind, the dose curve.

    ``tokens`` predictions are taken of held-out rows that identified no neuron, in whole rows, and cut into ``blocks``
    groups of rows.  ``draws`` random sets of every kind stand against the universal neurons.  The dose curve ablates
    each share ``dose`` of them, the first ones of ``orders`` random orders.  ``by_layer``: sets within one layer are
    ablated too.  ``extensions``: so are families of neurons, and the universal ones are patched.  ``batch_rows`` rows
    are one pass; resampled activations come from the same batch, so this number changes results.
    """

    tokens: int = _described("a positive integer", ge=1)
    blocks: int = _described("an integer, 2 or more", ge=2)
    draws: int = _described("an integer, 2 or more", ge=2)
    dose: _Distinct[_Share] = _described("different numbers in (0, 1), at least one", min_length=1)
    orders: int = _described("a positive integer", ge=1)
    seed: _Seed
    # A file need not state these three: the defaults are what was computed before they were settings.
    by_layer: bool = _described("true or false", default=True)
    extensions: bool = _described("true or false", default=True)
    batch_rows: int = _described("an integer, 2 or more", ge=2, default=16)


class VariantsSpec(StrictTable):
    """Other choices under which the reference's scores are taken again.

    ``masks``, ``tokens`` (the first rows with that many scored tokens), ``rotations`` and ``single`` (that many of the
    suite's draws as the whole baseline) change one choice each.  ``padding`` is the text of the token with which the
    published emulation pads; ``padded_tokens`` are counted there, padding included.  ``draws`` rotations estimate the
    baseline under other tokens: the first ones of the suite's, so that differences from it are paired.  Nothing is
    varied where all lists are empty and ``padded_tokens`` is 0.

    ``texts`` are other texts on which the reference is scored too, at the last checkpoint: recipes in fixtures/corpora
    whose text is installed here, and ``other_rows``, rows of the suite's own text that are not among its tokens.
    """

    masks: _Distinct[MaskPolicy] = _described(f"some of {', '.join(repr(policy.value) for policy in MaskPolicy)}")
    tokens: _Distinct[_Positive] = _described("different positive integers")
    rotations: _Distinct[Literal["orthogonal", "whitened"]] = _described("'orthogonal', 'whitened', both or none")
    single: _Distinct[_Positive] = _described("different positive integers")
    padding: str = _described("the text of one token, such as '!'", min_length=1)
    padded_tokens: int = _described("a positive integer, or 0 where nothing else is varied", ge=0)
    draws: int = _described("a positive integer", ge=1)
    # A file need not state these: another text has to be installed here.
    texts: _Distinct[_Text] = _described("names of recipes in fixtures/corpora, or 'other_rows'", default=())

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


class ProfilesSpec(StrictTable):
    """The records of every single neuron of the last checkpoint.

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


class LabelsSpec(StrictTable):
    """The labels by which single neurons are explained: the names of their sources (module inputs.labels)."""

    sources: _Distinct[str] = _described("names of label sources, at least one", min_length=1)


# What needs no grammar.
_SOURCES = ("vocabulary", "position", "domain")


class SuiteSettings(StrictTable):
    """The tables of a suite that are the same in its file and in the resolved suite, and what holds between them."""

    title: str = _described("a line of text", min_length=1)
    description: str = _described("text", min_length=1)
    zoo: ZooSpec = _described("a table [zoo]")
    corpus: CorpusSpec = _described("a table [corpus]")
    universality: UniversalitySpec = _described("a table [universality]")
    ablation: AblationSpec = _described("a table [ablation]")
    variants: VariantsSpec = _described("a table [variants]")
    profiles: ProfilesSpec = _described("a table [profiles]")
    resampling: ResamplingSpec = _described("a table [resampling]")
    # A file need not state these: what every corpus has is the default.
    labels: LabelsSpec = _described("a table [labels]", default=LabelsSpec(sources=_SOURCES))

    @model_validator(mode="after")
    def _fills_every_block(self) -> Self:
        # A block without tokens has no influence, and half of an empty pair of blocks has no correlation.
        scored = self.corpus.row_length - 1
        least = self.universality.blocks * scored
        if self.corpus.tokens < least:
            expected = f"at least {least} (universality.blocks x scored positions of a row), so that no block is empty"
            raise _unexpected(expected, self.corpus.tokens, "corpus.tokens")
        most = (self.ablation.blocks - 1) * scored
        if self.ablation.tokens <= most:
            expected = (
                f"more than {most} ((ablation.blocks - 1) x predictions of a row), so that there is a row per block"
            )
            raise _unexpected(expected, self.ablation.tokens, "ablation.tokens")
        return self

    @model_validator(mode="after")
    def _takes_what_is_there(self) -> Self:
        variants, profiles, draws = self.variants, self.profiles, self.universality.draws
        # Blocks are groups of whole rows, so there are at least as many rows as blocks.
        for field, got, most, of in (
            ("profiles.top", profiles.top, self.universality.blocks, "universality.blocks"),
            ("profiles.ablation_rows", profiles.ablation_rows, self.ablation.blocks, "ablation.blocks"),
            ("variants.tokens", max(variants.tokens, default=0), self.corpus.tokens - 1, "corpus.tokens is the whole"),
            ("variants.draws", variants.draws, draws, "universality.draws is the whole"),
            ("variants.single", max(variants.single, default=0), draws, "universality.draws is the whole"),
        ):
            if got > most:
                raise _unexpected(f"at most {most} ({of})", got, field)
        return self


class SuiteFile(SuiteSettings):
    """A suite as its file has it: checkpoints by share or step, and whether the untrained models belong to it."""

    checkpoints: tuple[str, ...] = _described(
        "shares or steps of the training, such as ['step 100', '50 %', '100 %']", min_length=1
    )
    untrained: bool = _described("true or false")

    @field_validator("checkpoints")
    @classmethod
    def _are_places(cls, checkpoints: tuple[str, ...]) -> tuple[str, ...]:
        for label in checkpoints:
            if SHARE.fullmatch(label) is None and STEP.fullmatch(label) is None:
                raise _unexpected("shares or steps of the training, such as '25 %' or 'step 100'", label)
        return _different(tuple(_canonical(label) for label in checkpoints))


def _canonical(label: str) -> str:
    share = SHARE.fullmatch(label)
    return share_label(float(share[1]) / 100) if share else label


def parse_suite(content: bytes, *, where: str) -> SuiteFile:
    """The suite that a TOML file says; ``where`` names the file in errors.  Raises :class:`SuiteError`."""
    raw = parsed_toml(content, where=where, error=SuiteError)
    try:
        # By way of JSON, because strict pydantic takes a TOML array for a tuple only there.
        return SuiteFile.model_validate_json(json.dumps(raw, default=str))
    except ValidationError as error:
        raise SuiteError(f"{where}: {_line(error.errors())}") from None


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
            said = f"expected {context['expected']}, got {shown_value(context['got'])}"
        case "extra_forbidden":
            said = f"unknown field; expected one of {', '.join(_table(path[:-1]).model_fields)}"
        case "missing":
            said = f"expected {_expectation(path)}, got nothing"
        case _:
            said = f"expected {_expectation(path)}, got {shown_value(first['input'])}"
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
