"""What every stage of a suite takes: efforts, passes over the tokens, memory and disk.

This module mirrors what the stages of :mod:`universal_neurons.pipeline` do with their numbers of models, tokens,
neurons and draws.  It refuses to know how fast anything is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from math import ceil, log
from typing import TYPE_CHECKING

from universal_neurons.core.tiling import layer_blocks, operations_per_token, passes
from universal_neurons.measures.profiles import WINDOW
from universal_neurons.pipeline.ablation import set_plan
from universal_neurons.pipeline.extensions import PATCHED, family_kinds, unigram_bytes
from universal_neurons.pipeline.models import batch_rows
from universal_neurons.pipeline.passes import FORWARD_COPIES, abreast, shape_workload
from universal_neurons.pipeline.resources import budget, device
from universal_neurons.pipeline.variants import settings
from universal_neurons.planning.efforts import Effort, Efforts, Shape, scoring, together, turning
from universal_neurons.workspace import (
    ABLATION_BATCH_ROWS,
    UNIGRAM_RATE,
    Workspace,
    corpus_key,
    corpus_recipe,
    hub_corpus,
    read,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import torch

    from universal_neurons.core.tiling import Pass, Workload
    from universal_neurons.ids import ModelRef
    from universal_neurons.pipeline.variants import Setting
    from universal_neurons.planning.inventory import Absent

# Of a trained model's neurons, those whose excess passes the floor against some partner: a quarter in the mini suite.
CANDIDATE_SHARE = 0.25
# A neuron's row in a universality table without its further partners, and of each of them; before compression.
TABLE_BYTES, RANK_BYTES = 44, 10
# A set's row in a table of ablations; before compression.
SET_BYTES = 64
_SINGLE, _DOUBLE, _INDEX = 4, 8, 8


@dataclass(frozen=True, slots=True)
class Demand:
    """What one stage takes at one step.

    ``streamed``: bytes of activations that its passes bring; ``device`` and ``host``: the most bytes held at a time, of
    what the device works on and of the rest, without the process itself; ``disk``: at most, before compression.
    """

    efforts: Efforts
    passes: int = 0
    streamed: int = 0
    device: int = 0
    host: int = 0
    disk: int = 0


NOTHING = Demand({})


@dataclass(frozen=True)
class Sizes:
    """The numbers of a suite that its costs follow from.

    ``positions`` are those that the models read to have ``tokens`` scored ones: exact where the tokens were sampled,
    and where they were not as many as there would be without newlines in the text.
    """

    work: Workspace
    shape: Shape
    positions: int
    place: torch.device

    @classmethod
    def of(cls, work: Workspace, *, sampled: bool) -> Sizes:
        """The sizes of the workspace's suite on its device; raises UserError for a device that is not here."""
        spec = work.suite.corpus
        rows = ceil(spec.tokens / (spec.row_length - 1))
        if sampled:
            rows = int(str(read(work, corpus_key(work, "corpus")).document["rows"]))
        shape = Shape.of(work.zoo.recipe(), row=spec.row_length)
        return cls(work, shape, rows * spec.row_length, device(work))

    @property
    def tokens(self) -> int:
        """Scored tokens."""
        return self.work.suite.corpus.tokens

    @property
    def models(self) -> int:
        """Models of the suite."""
        return len(self.work.suite.zoo.models)

    @property
    def evaluated(self) -> int:
        """Positions of the rows on which ablations are judged."""
        row = self.shape.row
        return ceil(self.work.suite.ablation.tokens / (row - 1)) * row

    @property
    def weights(self) -> int:
        """Bytes of one loaded model; the backend holds attention's input matrices a second time."""
        return _SINGLE * (self.shape.parameters + 3 * self.shape.layers * self.shape.width**2)

    @cached_property
    def batch(self) -> int:
        """Positions in one forward pass over the suite's tokens."""
        return batch_rows(self.shape.row) * self.shape.row

    @cached_property
    def budget(self) -> int:
        """Bytes that a pass of all models may take: what was asked for, or what is free."""
        return budget(self.work, self.place, resident=self.weights * self.models)

    def workload(self, models: int, pairs: Sequence[tuple[int, int]], *, groups: int, row: int) -> Workload:
        """What passes over rows of ``row`` positions sum up of so many ``models``, the shuffled one among them."""
        widths = ((self.shape.mlp,) * self.shape.layers,) * models
        weights = self.weights * self.models
        return shape_workload(widths, pairs, groups=groups, row_length=row, weights=weights, place=self.place)

    def activations(self, tokens: int, models: int = 1) -> int:
        """Bytes of the activations of ``models`` at ``tokens``."""
        return _SINGLE * tokens * self.shape.neurons * models

    @property
    def token_bytes(self) -> int:
        """Bytes of the rows as they are stored and as models read them, of their mask, and of each token's block."""
        return self.positions * (2 + _INDEX + 1 + _INDEX)

    def forward(self, positions: int) -> Efforts:
        """A forward pass of one model over ``positions``."""
        return {Effort.FORWARD: float(positions)}

    def abreast(self, positions: int) -> Efforts:
        """Forward passes of all models over ``positions``."""
        return {Effort.ABREAST: float(positions * self.models)}

    def loading(self, models: int) -> Efforts:
        """As many models loaded."""
        return {Effort.LOADING: float(self.shape.parameters * models)}


def token_demand(sizes: Sizes, absent: Sequence[str]) -> Demand:
    """Sampling the token sets that are ``absent``; no time is known of text that a hub has to send."""
    if not absent:
        return NOTHING
    work, row = sizes.work, sizes.shape.row
    positions = {"corpus": sizes.positions, "evaluation": sizes.evaluated}
    # Ids of 16 bits, the mask, and a row's domain.
    disk = sum(3 * positions[name] + positions[name] // row for name in absent)
    if hub_corpus(work) is not None:
        return Demand({}, disk=disk)
    read_once, encoded = _characters(work)
    efforts: Efforts = {Effort.READING: float(read_once), Effort.ENCODING: encoded}
    # The documents, and their tokens as Python's integers before they are an array.
    host = int(encoded) * 4
    return Demand(together(efforts, times=len(absent)), host=host, disk=disk)


def moments_demand(sizes: Sizes, absent: Absent) -> Demand:
    """The passes over the tokens that feed all pairs: loading the models, their forward passes, the products."""
    if not absent.scores:
        return NOTHING
    load = step_workload(sizes, absent)
    planned = passes(load, sizes.budget)
    products = sum(operations_per_token(load, one.tiles) for one in planned) * sizes.tokens
    forward = sizes.abreast(sizes.positions)
    return Demand(
        together(sizes.loading(sizes.models), together(forward, times=len(planned)), {Effort.PRODUCT: float(products)}),
        passes=len(planned),
        streamed=sum(_streamed(sizes, load, one) for one in planned),
        device=max(one.memory.streaming for one in planned),
        host=sizes.token_bytes,
    )


def step_workload(sizes: Sizes, absent: Absent) -> Workload:
    """What the passes of a step sum up: every pair that is scored, and the permuted reference with all others."""
    places = {name: place for place, name in enumerate(sizes.work.suite.zoo.models)}
    pairs = {tuple(sorted((places[pair.reference.name], places[pair.partner.name]))) for pair in absent.pairs}
    permuted = {(places[pair.partner.name], sizes.models) for pair, kind in absent.nulls if kind == "permuted"}
    both = sorted((first, second) for first, second in (*pairs, *permuted))
    load = sizes.workload(sizes.models + bool(permuted), both, groups=2, row=sizes.shape.row)
    return replace(load, rotated_null=any(kind == "rotated" for _, kind in absent.nulls))


def universality_demand(sizes: Sizes, absent: Absent) -> Demand:
    """The scores of a step's tables and nulls: a partner is rotated once for all who look for it in a pass."""
    if not absent.scores:
        return NOTHING
    spec, neurons = sizes.work.suite.universality, sizes.shape.neurons
    draws = spec.draws + 2 * spec.half_draws
    load = step_workload(sizes, absent)
    planned = passes(load, sizes.budget)
    permuted = [pair for pair, kind in absent.nulls if kind == "permuted"]
    rotated = [pair for pair, kind in absent.nulls if kind == "rotated"]
    scored = [*absent.pairs, *permuted]
    places = {name: place for place, name in enumerate(sizes.work.suite.zoo.models)}
    efforts = [scoring(sizes.shape, draws, halves=True) for _ in [*scored, *rotated]]
    for partner in {pair.partner.name for pair in scored}:
        layers = sum(len(one.layers(places[partner])) for one in planned)
        efforts.append(turning(sizes.shape, spec.rotation, layers, draws))
    for _ in rotated:
        # Both sides of both halves are really turned, in float64: the pair's matrix, and every layer with itself.
        turned = 4 * (2 * neurons**2 * sizes.shape.mlp + 2 * 2 * sizes.shape.layers * sizes.shape.mlp**3)
        efforts += [{Effort.DOUBLE: float(turned)}, turning(sizes.shape, spec.rotation, sizes.shape.layers, draws)]
    table = neurons * (TABLE_BYTES + RANK_BYTES * (spec.top_k - 1))
    drawn = len(absent.pairs) * neurons * spec.draws * _SINGLE
    # Of every pair in the whole and in both halves, kept until the last pass is scored: its draws, its best partners
    # with their correlations, and those of a half's partners in the other half.
    kept = neurons * (draws * _SINGLE + (spec.top_k + 2) * (_DOUBLE + _INDEX) + 2 * _DOUBLE)
    return Demand(
        together(*efforts),
        device=max(one.memory.scoring for one in planned),
        # Once more while a pass is scored, so that nothing is taken in twice where memory runs out.
        host=sizes.token_bytes + 2 * len([*scored, *rotated]) * kept,
        disk=(len(absent.pairs) + len(absent.nulls)) * table + drawn,
    )


def candidates_demand(sizes: Sizes, absent: Absent) -> Demand:
    """The second, cheap pass: how much each block of tokens weighs in the candidates' scores."""
    if not absent.candidates:
        return NOTHING
    spec, suite = sizes.work.suite.universality, sizes.work.suite
    trained = absent.step in {checkpoint.step for checkpoint in suite.checkpoints}
    each = round(sizes.shape.neurons * CANDIDATE_SHARE) if trained else 0
    selected = each * len(absent.candidates) * (sizes.models - 1)
    influence = {Effort.INFLUENCE: float(sizes.tokens * selected)}
    # Of one pair at a time both sides of its candidates, their products and their squares.
    standardised = 4 * _SINGLE * sizes.batch * each
    return Demand(
        together(sizes.abreast(sizes.positions), influence),
        passes=1,
        streamed=sizes.activations(sizes.tokens, sizes.models),
        device=sizes.models * sizes.weights + _batch_bytes(sizes, sizes.models) + standardised,
        # Products and squares per block, then the influences that they become.
        host=sizes.token_bytes + selected * spec.blocks * 3 * _DOUBLE,
        disk=selected * (2 * spec.blocks + _SINGLE * spec.draws),
    )


def variants_demand(sizes: Sizes, absent: Absent) -> Demand:
    """The suite's reference under other tokens, paddings and rotations: two passes, and rotations for each."""
    if not absent.variants:
        return NOTHING
    work, spec = sizes.work, sizes.work.suite.variants
    every = settings(work)
    padded = [one for one in every if one.is_padded]
    plain = [one for one in every if not one.is_padded]
    pairs = [(0, other) for other in range(1, sizes.models)]
    context = sizes.shape.context
    parts = [
        # Some mask wants every position, and most padding is counted.
        (plain, sizes.workload(sizes.models, pairs, groups=_classes(plain), row=sizes.shape.row), sizes.positions),
        (
            padded,
            sizes.workload(sizes.models, pairs, groups=_classes(padded), row=context),
            ceil(spec.padded_tokens / context) * context,
        ),
    ]
    efforts: list[Efforts] = [sizes.loading(sizes.models)]
    streamed, device, count = 0, 0, 0
    for wanted, part, positions in parts:
        part = replace(part, whitened=any(one.baseline == "whitened" for one in wanted))
        planned = passes(part, sizes.budget)
        products = sum(operations_per_token(part, one.tiles) for one in planned) * positions
        forward = together(sizes.abreast(positions), times=len(planned))
        efforts += [forward, {Effort.PRODUCT: float(products)}]
        efforts.append(together(_variant_scores(sizes, wanted), times=sizes.models - 1))
        streamed += sum(_streamed(sizes, part, one, positions) for one in planned)
        device, count = max(device, *(one.memory.total for one in planned)), count + len(planned)
    return Demand(
        together(*efforts),
        passes=count,
        streamed=streamed,
        device=device,
        # The classes of all positions are numbers, found from what every mask says of them.
        host=sizes.token_bytes + sizes.positions * (2 * _INDEX + 2 * len(every)) + 2 * _variant_bytes(sizes, every),
        disk=len(every) * (sizes.models - 1) * sizes.shape.neurons * 2 * _SINGLE,
    )


def ablation_demand(sizes: Sizes, refs: Iterable[ModelRef]) -> Demand:
    """Every set of neurons of ``refs`` ablated: a clean run per batch, and the blocks above for each set."""
    demands = [_model_ablations(sizes, ref) for ref in refs]
    if not demands:
        return NOTHING
    return Demand(
        together(*(demand.efforts for demand in demands)),
        passes=max(demand.passes for demand in demands),
        streamed=sum(demand.streamed for demand in demands),
        device=max(demand.device for demand in demands),
        host=max(demand.host for demand in demands),
        disk=sum(demand.disk for demand in demands),
    )


def extensions_demand(sizes: Sizes, absent: Absent) -> Demand:
    """Families and patches of the suite's reference: a pass over the tokens, then sets as any other."""
    if not absent.extensions:
        return NOTHING
    draws, evaluated, shape = sizes.work.suite.ablation.draws, sizes.evaluated, sizes.shape
    sets = sum(draws if kind.is_random else 1 for kind in (*family_kinds(), *PATCHED))
    blocks = max(evaluated // shape.row // 2, 1)
    # A batch is run clean for what is ablated, and with its donors for what is patched.
    clean: Efforts = {Effort.CLEAN: 3.0 * evaluated}
    family: Efforts = {Effort.FAMILY: float(sizes.tokens * shape.neurons)}
    # By Zipf's law the word of rank k is 1 / (k ln V) of a text: that many are as frequent as a label has to be.
    labels = min(shape.vocabulary, round(1 / (UNIGRAM_RATE * log(shape.vocabulary)))) + 1
    each, within = unigram_bytes(labels, shape.row), sizes.budget - sizes.weights * sizes.models
    blocks_of_layers = layer_blocks((shape.mlp,) * shape.layers, bytes_per_neuron=each, budget=within)
    summed = max(len(layers) for layers in blocks_of_layers) * shape.mlp * each
    # Sums lie on the host.  Without a GPU the models run there too, but only when the sums are gone.
    beside = sizes.place.type == "cuda"
    return Demand(
        together(
            sizes.loading(2), sizes.forward(sizes.positions + evaluated), family, clean, _reruns(sizes, [0] * sets)
        ),
        passes=1,
        streamed=sizes.activations(sizes.tokens),
        device=2 * sizes.weights
        + max(_batch_bytes(sizes, 1), 0 if beside else summed, _clean_bytes(sizes, ABLATION_BATCH_ROWS, runs=2)),
        host=sizes.token_bytes + (summed if beside else 0),
        disk=sets * (SET_BYTES + 3 * blocks * _SINGLE) + shape.neurons * 2 * _SINGLE,
    )


def profiles_demand(sizes: Sizes, refs: Sequence[ModelRef]) -> Demand:
    """The profiles of every neuron of ``refs``: two passes, its weights, and its ablation alone."""
    if not refs:
        return NOTHING
    spec, shape = sizes.work.suite.profiles, sizes.shape
    positions = spec.ablation_rows * shape.row
    firsts = [layer for layer in range(shape.layers) for _ in range(shape.mlp)] if positions else []
    one = together(
        sizes.loading(1),
        sizes.forward(2 * sizes.positions),
        {Effort.PROFILE: float(sizes.tokens * shape.neurons)},
        {Effort.VOCABULARY: float(shape.neurons * shape.vocabulary)},
        {Effort.CLEAN: float(positions)},
        _reruns(sizes, firsts, positions=positions, edited=False),
    )
    row = 80 + spec.top * (10 + sum(WINDOW)) + 2 * spec.bins + 16 * spec.shown + 4 * spec.ablation_rows
    # Weights of neurons and tokens in float64, as they are and as unit vectors.
    vectors = 2 * _DOUBLE * shape.width * (shape.vocabulary + 2 * shape.neurons)
    seen = shape.neurons * (spec.bins * _INDEX + spec.top * (sum(WINDOW) + 6) * _SINGLE)
    return Demand(
        together(one, times=len(refs)),
        passes=2,
        streamed=2 * sizes.activations(sizes.tokens, len(refs)),
        device=sizes.weights + max(vectors, seen + _batch_bytes(sizes, 1), _clean_bytes(sizes, spec.ablation_rows)),
        host=sizes.token_bytes + shape.neurons * row,
        disk=len(refs) * shape.neurons * row,
    )


def _model_ablations(sizes: Sizes, ref: ModelRef) -> Demand:
    sets = set_plan(sizes.work, ref).sets()
    firsts = [one.layer for one in sets if one.layer >= 0]
    whole = [0 for one in sets if one.layer < 0]
    # Norms, and the means of what is ablated to its mean.
    forwards = 1 + any(one.mode == "mean" for one in sets)
    blocks = sizes.work.suite.ablation.blocks
    return Demand(
        together(
            sizes.loading(1),
            sizes.forward(forwards * sizes.evaluated),
            {Effort.CLEAN: float(sizes.evaluated)},
            _reruns(sizes, whole),
            _reruns(sizes, firsts, edited=False),
        ),
        streamed=sizes.activations(sizes.evaluated) * (1 + forwards),
        device=sizes.weights + _clean_bytes(sizes, ABLATION_BATCH_ROWS),
        host=len(sets) * (sizes.shape.neurons * _INDEX // 2 + sizes.evaluated // sizes.shape.row * 16),
        disk=len(sets) * (SET_BYTES + 2 * blocks * _SINGLE),
    )


def _reruns(sizes: Sizes, firsts: Sequence[int], *, positions: int | None = None, edited: bool = True) -> Efforts:
    """One ablated run per set, from its first layer of ``firsts`` upwards; ``edited``: the layers above are ablated
    too."""
    rows = sizes.evaluated if positions is None else positions
    blocks = float(rows * sum(sizes.shape.layers - 1 - first for first in firsts))
    return {Effort.BLOCK: blocks, Effort.EDIT: blocks if edited else 0.0, Effort.HEAD: float(rows * len(firsts))}


def _variant_scores(sizes: Sizes, wanted: Sequence[Setting]) -> Efforts:
    """The scores of ``wanted`` against one partner: one correlation matrix per choice of tokens, rotations per kind."""
    neurons, shape = sizes.shape.neurons, sizes.shape
    efforts: list[Efforts] = []
    for mask in {one.mask for one in wanted}:
        here = [one for one in wanted if one.mask == mask]
        efforts.append({Effort.ADDITION: float(neurons**2 * _classes(wanted)), Effort.SCORE: float(neurons**2)})
        for baseline in {one.baseline for one in here}:
            draws = max(one.draws for one in here if one.baseline == baseline)
            kind = sizes.work.suite.universality.rotation if baseline == "whitened" else baseline
            efforts += [turning(shape, kind, shape.layers, draws), scoring(shape, draws, halves=False, top=False)]
            if baseline == "whitened":
                decomposed = float(shape.layers * shape.mlp**3)
                turned = 2 * neurons**2 * shape.mlp + 3 * 2 * shape.layers * shape.mlp**3
                efforts.append({Effort.WHITENING: decomposed, Effort.DOUBLE: float(turned)})
    return together(*efforts)


def _variant_bytes(sizes: Sizes, wanted: Sequence[Setting]) -> int:
    """The draws of every setting against every partner, and its best correlations."""
    each = sum(one.draws * _SINGLE + _DOUBLE for one in wanted)
    return (sizes.models - 1) * sizes.shape.neurons * each


def _classes(wanted: Sequence[Setting]) -> int:
    """Disjoint classes of tokens that the settings' masks are made of: about as many as there are masks."""
    return len({one.mask for one in wanted})


def _streamed(sizes: Sizes, load: Workload, one: Pass, tokens: int | None = None) -> int:
    neurons = sum(sum(load.widths[model][at] for at in one.layers(model)) for model in range(sizes.models))
    return _SINGLE * (sizes.tokens if tokens is None else tokens) * neurons


def _batch_bytes(sizes: Sizes, models: int) -> int:
    """One batch of activations of ``models``, and what those that read at a time hold beside: a layer that is computed,
    and all layers as they are caught and beside each other."""
    reading = 2 * sizes.activations(sizes.batch) + FORWARD_COPIES * _SINGLE * sizes.batch * sizes.shape.mlp
    return sizes.activations(sizes.batch, models) + abreast(sizes.place, models) * reading


def _clean_bytes(sizes: Sizes, rows: int, *, runs: int = 1) -> int:
    """What a clean run over ``rows`` rows keeps: residuals, activations, probabilities and expectations."""
    shape, positions = sizes.shape, rows * sizes.shape.row
    kept = shape.layers * (2 * shape.width + 2 * shape.mlp) + 4 * shape.vocabulary + 4 * shape.width
    return runs * _SINGLE * positions * kept + _SINGLE * shape.vocabulary * shape.width


def _characters(work: Workspace) -> tuple[int, float]:
    """Characters of the installed text that are read, and of it those of held-out documents, which are encoded."""
    from universal_neurons.inputs.corpus import CorpusManifest
    from universal_neurons.inputs.suite import CORPORA

    manifest = CorpusManifest.read(work.root / CORPORA / f"{work.suite.corpus.recipe}.json")
    characters = sum(distribution.characters for distribution in manifest.distributions)
    return characters, characters * corpus_recipe(work).held_out_share
