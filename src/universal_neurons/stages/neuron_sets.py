"""The sets of neurons to ablate: the universal ones, and those they are compared with.

``universal`` against five readings of "non-universal" (claims/README.md, A4 and F5), each within the same scope (all
layers together, or one):

- ``others``: literally all neurons that are not universal;
- ``random_others``: as many of them as there are universal neurons, from anywhere in the scope;
- ``layer_matched``: the same, in every layer as many as there are universal ones;
- ``norm_matched``: in every layer, each universal neuron against another one of nearly the same norm;
- ``top_norm``: the same number, of the largest norms.

The norm of a neuron is the mean of abs(v) ||w_out||: the size of what an ablation removes from the residual stream.

Random sets are the first ones in a random order of *all* neurons, a function of (seed, model, definition, partner,
threshold, layer, kind, draw) alone: one neuron more above a threshold changes one neuron of a draw, not all of them.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any, Literal, assert_never

import numpy as np
import numpy.typing as npt

from universal_neurons.measures.ablation_table import ALL_LAYERS, AnyKind, FamilyKind, Replacement, SetKind
from universal_neurons.measures.tables import Definition, universal_flags

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from universal_neurons.measures.arrays import Flags

SetRole = Literal["untrained", "trained", "last"]
Neurons = npt.NDArray[np.int64]

NOT_RANDOM = -1
# Of how many neurons with the nearest norms one is taken at random: with one alone all draws would be the same.
NEAREST = 5

_UNIVERSAL, _LAYER_MATCHED = (SetKind.UNIVERSAL,), (SetKind.LAYER_MATCHED,)
_FIXED, _AS_MANY = (*_UNIVERSAL, SetKind.OTHERS), (SetKind.RANDOM_OTHERS, *_LAYER_MATCHED)


def named_generator(name: tuple[Any, ...]) -> np.random.Generator:
    """A generator whose seed is a function of ``name`` alone."""
    digest = hashlib.sha256(repr(name).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "big"))


@dataclass(frozen=True, slots=True)
class NeuronSet:
    """The definition of one set to ablate.

    ``partner`` is the model against which neurons are universal, "" where ``definition`` is about all partners.
    ``layer`` is ALL_LAYERS or the one layer in which all of the set lies.  ``draw`` numbers random sets, or, where
    ``fraction`` is below 1, random orders of the universal neurons.
    """

    partner: str
    definition: Definition
    threshold: float
    layer: int
    neurons: AnyKind
    draw: int = NOT_RANDOM
    mode: Replacement = "zero"
    fraction: float = 1.0


@dataclass(frozen=True, slots=True)
class SetPlan:
    """The sets to ablate in one model at one step.

    ``role``: the last checkpoint has more sets (other modes, dose curve, other definitions) than the trained ones
    before it, untrained models have fewer.  ``partners`` are those with sets of their own per pair; a model with some
    (the suite's reference) also has the sets of the other ``thresholds`` than ``threshold``, and those that only
    readings ask for.  ``by_layer``: sets within one layer are ablated too.  No set is listed that neither a claim nor
    the report reads: of a suite's time ablations are the largest part.
    """

    role: SetRole
    partners: tuple[str, ...]
    thresholds: tuple[float, ...]
    threshold: float
    layers: int
    draws: int
    dose: tuple[float, ...]
    orders: int
    by_layer: bool = True

    def sets(self) -> list[NeuronSet]:
        """Every set, in the order of the artifact's rows; no two are the same."""
        match self.role:
            case "untrained":
                return list(self._untrained())
            case "trained":
                return list(self._trained())
            case "last":
                return [*self._trained(), *self._last()]
            case _:
                assert_never(self.role)

    def _trained(self) -> Iterator[NeuronSet]:
        # Norm-matched in the suite's reference alone, as everything that only a reading asks for.
        matched = (*_LAYER_MATCHED, SetKind.NORM_MATCHED) if self.partners else _LAYER_MATCHED
        yield from self._compared("", self.threshold, ALL_LAYERS, _FIXED, matched)
        for layer in self._single_layers:
            yield from self._compared("", self.threshold, layer, _UNIVERSAL, matched)
        for partner in self.partners:
            yield from self._compared(partner, self.threshold, ALL_LAYERS, _FIXED, _AS_MANY)
            for layer in self._single_layers:
                yield from self._compared(partner, self.threshold, layer, _FIXED, _LAYER_MATCHED)
        others = [threshold for threshold in self.thresholds if threshold != self.threshold]
        for threshold in others if self.partners else ():
            yield from self._compared("", threshold, ALL_LAYERS, _UNIVERSAL, matched)
            for partner in self.partners:
                yield from self._compared(partner, threshold, ALL_LAYERS, _UNIVERSAL, _LAYER_MATCHED)

    def _last(self) -> Iterator[NeuronSet]:
        for fraction, order in product(self.dose, range(self.orders)):
            yield NeuronSet(
                "", Definition.AVERAGED, self.threshold, ALL_LAYERS, SetKind.UNIVERSAL, draw=order, fraction=fraction
            )
        if self.partners:
            # All that "non-universal" may mean, side by side.
            yield from self._compared("", self.threshold, ALL_LAYERS, (SetKind.TOP_NORM,), (SetKind.RANDOM_OTHERS,))
            yield from self._replaced(Definition.AVERAGED, "mean")
            yield from self._replaced(Definition.AVERAGED, "resample")
            yield from self._replaced(Definition.UNION, "zero")
            yield from self._replaced(Definition.INTERSECTION, "zero")

    def _untrained(self) -> Iterator[NeuronSet]:
        for layer in (ALL_LAYERS, *self._single_layers):
            yield from self._compared("", self.threshold, layer, _UNIVERSAL, _LAYER_MATCHED)

    @property
    def _single_layers(self) -> range:
        return range(self.layers if self.by_layer else 0)

    def _compared(
        self, partner: str, threshold: float, layer: int, fixed: Sequence[SetKind], kinds: Sequence[SetKind]
    ) -> Iterator[NeuronSet]:
        definition = Definition.PAIR if partner else Definition.AVERAGED
        for kind in fixed:
            yield NeuronSet(partner, definition, threshold, layer, kind)
        for kind, draw in product(kinds, range(self.draws)):
            yield NeuronSet(partner, definition, threshold, layer, kind, draw)

    def _replaced(self, definition: Definition, mode: Replacement) -> Iterator[NeuronSet]:
        yield NeuronSet("", definition, self.threshold, ALL_LAYERS, SetKind.UNIVERSAL, mode=mode)
        for draw in range(self.draws):
            yield NeuronSet("", definition, self.threshold, ALL_LAYERS, SetKind.LAYER_MATCHED, draw, mode)


@dataclass(frozen=True, eq=False)
class Population:
    """The neurons of one model, from which sets are chosen.

    ``layer``, ``norm`` (neuron,); ``excess`` (neuron,) per partner, NaN where a neuron has no partner: it is universal
    under no definition and belongs to the others.  ``seed`` and ``model`` name the random orders.
    """

    seed: int
    model: str
    layer: npt.NDArray[np.integer]
    norm: npt.NDArray[np.float64]
    excess: Mapping[str, npt.NDArray[np.floating]]

    def universal(self, wanted: NeuronSet) -> Flags:
        """(neuron,): which neurons of the whole model are universal under the set's definition and threshold."""
        if wanted.definition is Definition.PAIR:
            return np.asarray(self.excess[wanted.partner] > wanted.threshold)
        return universal_flags(np.stack(list(self.excess.values())), wanted.threshold, wanted.definition)

    def neurons(self, wanted: NeuronSet) -> Neurons:
        """The neurons of a set, in ascending order.

        Where fewer neurons qualify than there are universal ones (more than half of a layer is universal), all of them
        are taken, and the set is smaller than the universal one.
        """
        scope = np.ones(len(self.layer), dtype=np.bool_) if wanted.layer == ALL_LAYERS else self.layer == wanted.layer
        flags = self.universal(wanted)
        return np.sort(self._chosen(wanted, np.flatnonzero(scope & flags), np.flatnonzero(scope & ~flags)))

    def _chosen(self, wanted: NeuronSet, universal: Neurons, others: Neurons) -> Neurons:
        size = len(universal)
        match wanted.neurons:
            case SetKind.UNIVERSAL:
                return self._ordered(wanted, universal)[: round(wanted.fraction * size)]
            case SetKind.OTHERS:
                return others
            case SetKind.RANDOM_OTHERS:
                return self._ordered(wanted, others)[:size]
            case SetKind.LAYER_MATCHED:
                return self._layer_by_layer(universal, self._ordered(wanted, others))
            case SetKind.NORM_MATCHED:
                return self._near_in_norm(wanted, universal, others)
            case SetKind.TOP_NORM:
                everyone = np.sort(np.concatenate([universal, others]))
                return everyone[np.argsort(-self.norm[everyone], kind="stable")][:size]
            case FamilyKind():
                raise ValueError(f"{wanted.neurons}: a family is not chosen by its definition alone")
            case _:
                assert_never(wanted.neurons)

    def _ordered(self, wanted: NeuronSet, neurons: Neurons) -> Neurons:
        """``neurons`` in the random order of the set's draw."""
        place: npt.NDArray[np.float64] = self._generator(wanted).random(len(self.layer))
        return neurons[np.argsort(place[neurons], kind="stable")]

    def _layer_by_layer(self, universal: Neurons, candidates: Neurons) -> Neurons:
        """The first of ``candidates`` in every layer, as many as the layer has universal neurons."""
        layers, sizes = np.unique(self.layer[universal], return_counts=True)
        found = [candidates[self.layer[candidates] == at][:n] for at, n in zip(layers, sizes, strict=True)]
        return np.concatenate([candidates[:0], *found])

    def _near_in_norm(self, wanted: NeuronSet, universal: Neurons, others: Neurons) -> Neurons:
        """For each universal neuron, in random order, one of the NEAREST others of its layer that are still free."""
        free = {at: others[self.layer[others] == at] for at in np.unique(self.layer[universal])}
        picks = self._generator(wanted).random((2, len(self.layer)))
        found = []
        for neuron in universal[np.argsort(picks[0][universal], kind="stable")]:
            pool = free[self.layer[neuron]]
            if len(pool):
                nearest = np.argsort(np.abs(self.norm[pool] - self.norm[neuron]), kind="stable")[:NEAREST]
                place = nearest[int(picks[1][neuron] * len(nearest))]
                found.append(pool[place])
                free[self.layer[neuron]] = np.delete(pool, place)
        return np.asarray(found, dtype=np.int64)

    def _generator(self, wanted: NeuronSet) -> np.random.Generator:
        name: tuple[Any, ...] = (
            self.seed,
            self.model,
            str(wanted.definition),
            wanted.partner,
            float(wanted.threshold),
            wanted.layer,
            str(wanted.neurons),
            wanted.draw,
        )
        return named_generator(name)
