"""Axes of a suite: the values that an argument of a claim takes, and the ids of the items made from them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, assert_never

from universal_neurons.evidence.claim import ClaimError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from universal_neurons.harness.declare import AxisName, AxisSelection
    from universal_neurons.inputs.suite import Checkpoint as Checkpoint  # for claims, which import it from here
    from universal_neurons.inputs.suite import Suite


class ValueMissing(ClaimError):
    """An axis of the suite does not have a value that a claim selects."""


@dataclass(frozen=True)
class Interval:
    """Two successive trained checkpoints."""

    earlier: Checkpoint
    later: Checkpoint


@dataclass(frozen=True)
class AxisValue:
    """One value of an axis: the argument of the function, its part of the item's id, and other names for selections."""

    value: Any
    id: str
    names: tuple[object, ...] = ()

    def is_called(self, name: object) -> bool:
        """True if a selection means this value by ``name``."""
        return name in (self.value, self.id, *self.names)


Combination = tuple[AxisValue, ...]


def __getattr__(name: str) -> Any:
    """Import ``Checkpoint`` when a claim file does: suites need pydantic, which the plugin does without."""
    if name != "Checkpoint":
        raise AttributeError(f"{__name__} has no attribute {name!r}")
    from universal_neurons.inputs.suite import Checkpoint

    return Checkpoint


def combinations(
    suite: Suite, axes: Sequence[AxisName], selections: Mapping[AxisName, AxisSelection], *, name: str
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
            return [AxisValue(model, model) for model in suite.references]
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
            return [AxisValue(layer, f"L{layer}") for layer in range(suite.layers)]
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


def _unique(values: Iterable[AxisValue]) -> list[AxisValue]:
    return list({value.id: value for value in values}.values())


def _narrowing(
    axis: AxisName, known: Sequence[AxisValue], selection: AxisSelection | None, *, suite: str, name: str
) -> Callable[[list[AxisValue]], list[AxisValue]]:
    """The function that narrows the values of one axis to ``selection``."""
    if selection is None:
        return lambda values: values
    if selection == "first":
        return lambda values: values[:1]
    if selection == "last":
        return lambda values: values[-1:]
    for selected in selection:
        if not any(value.is_called(selected) for value in known):
            has = ", ".join(value.id for value in known) or "none"
            raise ValueMissing(f"{name}: {axis} has no value {selected!r} on suite {suite}; it has {has}")
    return lambda values: [value for value in values if any(value.is_called(selected) for selected in selection)]
