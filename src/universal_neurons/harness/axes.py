"""What an argument's name stands for: the axes of a suite, their values, and how an item is called after them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Protocol, assert_never

from universal_neurons.evidence.claim import ClaimError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from universal_neurons.harness.declare import AxisName, Selection


class ValueMissing(ClaimError):
    """A selected value of an axis that the suite at hand does not have."""


class Checkpoint(Protocol):
    """A training step of a suite, with the label by which people call it (``25 %``)."""

    @property
    def step(self) -> int:
        """The number of training steps."""

    @property
    def label(self) -> str:
        """How the papers call it."""


class Zoo(Protocol):
    """The models of a suite."""

    @property
    def models(self) -> Sequence[str]:
        """Their letters."""

    @property
    def reference(self) -> str:
        """The one whose neurons are looked at unless a claim says otherwise."""


class Universality(Protocol):
    """How a suite measures universality, as far as an axis depends on it."""

    @property
    def thresholds(self) -> Sequence[float]:
        """The excess correlations from which a neuron counts as universal."""


class Suite(Protocol):
    """What the harness needs of a suite; ``inputs.suite.Suite`` has it."""

    @property
    def name(self) -> str:
        """The name of its file."""

    @property
    def zoo(self) -> Zoo:
        """Its models."""

    @property
    def checkpoints(self) -> Sequence[Checkpoint]:
        """Its trained checkpoints in the order of training."""

    @property
    def universality(self) -> Universality:
        """Its settings of the universality stage."""


@dataclass(frozen=True)
class Interval:
    """Two trained checkpoints of which nothing lies between."""

    earlier: Checkpoint
    later: Checkpoint


@dataclass(frozen=True)
class AxisValue:
    """One value of an axis: what the function gets, how the item is called, and other names a selection may use."""

    value: Any
    id: str
    names: tuple[object, ...] = ()

    def is_called(self, wanted: object) -> bool:
        """Whether a selection that says ``wanted`` means this value."""
        return wanted in (self.value, self.id, *self.names)


Combination = tuple[AxisValue, ...]


def called(suite: Suite) -> str:
    """The name of a suite and, where it was narrowed, what is left of it."""
    narrowing = getattr(suite, "narrowing", "")
    return f"{suite.name} ({narrowing})" if narrowing else suite.name


def narrowed_by(suite: Suite) -> str:
    """The options that narrowed a suite, empty for a whole one."""
    return str(getattr(suite, "narrowed_by", ""))


def combinations(
    suite: Suite, axes: Sequence[AxisName], selections: Mapping[AxisName, Selection], *, name: str
) -> list[Combination]:
    """All combinations of the values of ``axes`` on ``suite``, narrowed; the last axis varies fastest.

    ``partner`` means every model but the reference, which is the suite's unless ``reference`` is an axis too.
    ``name`` begins the message of :class:`ValueMissing`, raised for a selected value that the suite does not have.
    """
    combined: list[Combination] = [()]
    for axis in axes:
        options = [(base, _values(suite, axis, base)) for base in combined]
        known = _unique(value for _, values in options for value in values)
        narrowed = _narrowing(axis, known, selections.get(axis), suite=suite.name, name=name)
        combined = [(*base, value) for base, values in options for value in narrowed(values)]
    return combined


def combination_id(combination: Combination) -> str:
    """The item's id: ``a-b-25%-50%-0.5``."""
    return "-".join(value.id for value in combination)


def recorded(axis: AxisName, value: Any) -> Any:
    """The value of an axis in builtin types, for the evidence record."""
    match axis:
        case "reference" | "partner" | "threshold" | "layer":
            return value
        case "checkpoint":
            return {"step": value.step, "label": value.label}
        case "interval":
            return {"earlier": recorded("checkpoint", value.earlier), "later": recorded("checkpoint", value.later)}
        case _:
            assert_never(axis)


def _values(suite: Suite, axis: AxisName, base: Combination) -> list[AxisValue]:
    match axis:
        case "reference":
            references: Sequence[str] = getattr(suite, "references", suite.zoo.models)
            return [AxisValue(model, model) for model in references]
        case "partner":
            # ``reference`` comes before every other axis, and nothing else comes before ``partner``.
            reference = base[0].value if base else suite.zoo.reference
            partners = [model for model in suite.zoo.models if model != reference]
            return [AxisValue(model, model if base else f"{reference}-{model}") for model in partners]
        case "checkpoint":
            return [_checkpoint(checkpoint) for checkpoint in suite.checkpoints]
        case "interval":
            return [_interval(earlier, later) for earlier, later in pairwise(suite.checkpoints)]
        case "threshold":
            return [AxisValue(threshold, f"{threshold:g}") for threshold in suite.universality.thresholds]
        case "layer":
            return [AxisValue(layer, f"L{layer}") for layer in range(_layers(suite))]
        case _:
            assert_never(axis)


def _checkpoint(checkpoint: Checkpoint) -> AxisValue:
    return AxisValue(checkpoint, checkpoint.label.replace(" ", ""), (checkpoint.label, checkpoint.step))


def _interval(earlier: Checkpoint, later: Checkpoint) -> AxisValue:
    return AxisValue(
        Interval(earlier, later),
        f"{_checkpoint(earlier).id}-{_checkpoint(later).id}",
        ((earlier.step, later.step), (earlier.label, later.label)),
    )


def _layers(suite: Suite) -> int:
    layers = getattr(suite, "layers", None)
    if not isinstance(layers, int):
        raise ClaimError(f"suite {suite.name}: a claim takes the axis layer, but the suite does not know its layers")
    return layers


def _unique(values: Iterable[AxisValue]) -> list[AxisValue]:
    return list({value.id: value for value in values}.values())


def _narrowing(
    axis: AxisName, known: Sequence[AxisValue], selection: Selection | None, *, suite: str, name: str
) -> Callable[[list[AxisValue]], list[AxisValue]]:
    """The function that narrows the values of one axis to ``selection``."""
    if selection is None:
        return lambda values: values
    if selection == "first":
        return lambda values: values[:1]
    if selection == "last":
        return lambda values: values[-1:]
    for wanted in selection:
        if not any(value.is_called(wanted) for value in known):
            has = ", ".join(value.id for value in known) or "none"
            raise ValueMissing(f"{name}: {axis} has no value {wanted!r} on suite {suite}; it has {has}")
    return lambda values: [value for value in values if any(value.is_called(wanted) for wanted in selection)]
