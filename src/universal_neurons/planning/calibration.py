"""How fast this device is: seconds per unit of every kind of work, measured on the project's own code.

This module decides what is run to find out: each kernel on made-up numbers, in the shapes of the suite's models as far
as these fit into a few seconds.  It refuses to know how much of each kind there is to do.

A unit's cost is the median over a fraction of a second of runs.  Not the fastest: an estimate is about what happens,
not about what could.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from functools import cached_property, partial
from statistics import median
from typing import TYPE_CHECKING

from universal_neurons.inputs.bridge import random_bridge
from universal_neurons.inputs.corpus import Document, encode_documents, wheel_documents
from universal_neurons.measures.profiles import GELU_MINIMUM, WINDOW
from universal_neurons.pipeline.models import batch_rows
from universal_neurons.pipeline.passes import CHUNK_TOKENS
from universal_neurons.pipeline.resources import ROTATION_WORKERS, held
from universal_neurons.planning.efforts import Effort, Efforts, Shape
from universal_neurons.workspace import ABLATION_BATCH_ROWS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from tokenizers import Tokenizer
    from torch import Tensor

    from universal_neurons.core.ablation import Ablation, AblationEngine, CleanPass
    from universal_neurons.core.moments import CrossMoments
    from universal_neurons.core.nulls import Rotations
    from universal_neurons.inputs.bridge import Bridge
    from universal_neurons.inputs.suite import Precision

# Seconds of runs per measurement.
BUDGET = 0.1
# Deeper models are measured by this many of their blocks, larger ones by as many words, and on each device by as many
# neurons of a model and of a layer: beyond that the time per unit hardly changes.
BLOCKS, WORDS = 4, 4096
NEURONS = {"cpu": 2048, "cuda": 8192}
LAYER_WIDTH = {"cpu": 768, "cuda": 4096}
TOKENS = 1024
# Operations of forward passes, and bytes of probabilities, that one run may have.
OPERATIONS, PROBABILITIES = 2e10, 4e8
CHARACTERS = 400_000
DRAWS = 2 * ROTATION_WORKERS


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds per unit of each effort that was measured on ``device``, and how long the measuring took.

    ``is_gpu``: whether the device has memory of its own.  ``process``: bytes of this process with the backend in it,
    before anything of a suite is.
    """

    device: str
    is_gpu: bool
    seconds: Mapping[Effort, float]
    measured_in: float
    process: int = 0

    def total(self, efforts: Mapping[Effort, float]) -> float:
        """Seconds that ``efforts`` take; raises KeyError for one that was not measured."""
        return sum(self.seconds[effort] * amount for effort, amount in efforts.items())


@dataclass(frozen=True, slots=True)
class Text:
    """What text is measured on: the installed ``distribution``, and the ``tokenizer`` that encodes it."""

    distribution: str
    tokenizer: Tokenizer


def calibrated(
    shape: Shape,
    efforts: Iterable[Effort],
    *,
    device: str,
    precision: Precision = "float32",
    models: int = 1,
    text: Text | None = None,
    budget: float = BUDGET,
) -> Pace:
    """The pace of torch's ``device`` (cpu or cuda) for models of ``shape``; of ``efforts`` only.

    ``precision``: of products over tokens.  ``models``: that read the same tokens abreast.  ``budget``: seconds of runs
    per measurement, after a first one that does not count.  Raises ValueError where the efforts are about text and
    there is no ``text``, and for a precision that the device does not have.
    """
    wanted, bench = set(efforts), Bench(shape, device, precision, models, budget)
    if wanted:
        bench.warm_up()
    process = held()
    start = time.perf_counter()
    found: Efforts = {}
    for effort in Effort:
        if effort in wanted - found.keys():
            found |= text_pace(text) if effort in (Effort.READING, Effort.ENCODING) else bench.measured(effort)
    seconds = {effort: found[effort] for effort in Effort if effort in wanted}
    return Pace(device_name(device), device == "cuda", seconds, time.perf_counter() - start, process)


def text_pace(text: Text | None) -> Efforts:
    """Seconds per character of reading the documents of a distribution and of encoding them."""
    if text is None:
        raise ValueError("the pace of text is measured on some")
    start = time.perf_counter()
    documents = list(wheel_documents(text.distribution))
    reading = time.perf_counter() - start
    characters = sum(len(document.text) for document in documents)
    few = list(_first(documents, CHARACTERS))
    start = time.perf_counter()
    encode_documents(few, text.tokenizer)
    encoding = time.perf_counter() - start
    return {
        Effort.READING: reading / max(1, characters),
        Effort.ENCODING: encoding / max(1, sum(len(document.text) for document in few)),
    }


def _first(documents: Iterable[Document], characters: int) -> Iterator[Document]:
    seen = 0
    for document in documents:
        if seen >= characters:
            return
        seen += len(document.text)
        yield document


def device_name(device: str) -> str:
    """What the device is called: a GPU's own name, or the CPU with the number of threads that torch uses."""
    import torch

    if device == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"CPU, {threads} thread{'' if threads == 1 else 's'}"


@dataclass(frozen=True)
class Bench:
    """Made-up models, moments and activations in the shapes of a suite, and what the project's code takes for them.

    Every measurement returns seconds per unit of the efforts in its docstring.
    """

    shape: Shape
    device: str
    precision: Precision
    models: int
    budget: float

    def measured(self, effort: Effort) -> Efforts:
        """The measurement that ``effort`` is part of; raises ValueError for one that is none of a device's."""
        measurements: tuple[tuple[Callable[[], Efforts], tuple[Effort, ...]], ...] = (
            (self.loading, (Effort.LOADING,)),
            (self.forward, (Effort.FORWARD,)),
            (self.abreast, (Effort.ABREAST,)),
            (self.product, (Effort.PRODUCT,)),
            (self.scores, (Effort.ADDITION, Effort.SCORE)),
            (self.random, (Effort.RANDOM,)),
            (self.rotations, (Effort.TURN, Effort.SEARCH)),
            (self.factors, (Effort.ORTHOGONAL, Effort.WHITENING, Effort.DOUBLE)),
            (self.influence, (Effort.INFLUENCE,)),
            (self.ablation, (Effort.CLEAN, Effort.BLOCK, Effort.EDIT, Effort.HEAD)),
            (self.profiles, (Effort.PROFILE,)),
            (self.vocabulary, (Effort.VOCABULARY,)),
            (self.families, (Effort.FAMILY,)),
        )
        for measure, provided in measurements:
            if effort in provided:
                return measure()
        raise ValueError(f"{effort!r} is not measured on a device")

    # --- what is measured on ------------------------------------------------------------------------------------------

    @cached_property
    def small(self) -> Shape:
        """The models' shape with no more blocks than it takes to tell the time of one."""
        return replace(self.shape, layers=min(self.shape.layers, BLOCKS))

    @cached_property
    def widths(self) -> tuple[int, ...]:
        """Neurons per layer of the measured moments."""
        most = NEURONS[self.device]
        width = min(self.shape.mlp, most)
        return (width,) * max(1, min(self.shape.layers, most // width))

    @property
    def width(self) -> int:
        """Width of a measured layer that is rotated."""
        return min(self.shape.mlp, LAYER_WIDTH[self.device])

    @property
    def neurons(self) -> int:
        """Neurons of the measured moments."""
        return sum(self.widths)

    @property
    def bridge(self) -> Bridge:
        """A model of random weights on the device."""
        return self._timed_bridge[0]

    def warm_up(self) -> None:
        """What takes seconds once in a process and is no part of a measurement: the backend is imported."""
        self._built(replace(self.small, layers=1, width=2 * self.small.heads, mlp=8, vocabulary=8))

    @cached_property
    def _timed_bridge(self) -> tuple[Bridge, float]:
        start = time.perf_counter()
        return self._built(self.small), time.perf_counter() - start

    @cached_property
    def forward_seconds(self) -> float:
        """Seconds per position and block of a forward pass."""
        return self._forward_seconds()

    def _built(self, shape: Shape) -> Bridge:
        bridge = random_bridge(
            layers=shape.layers,
            width=shape.width,
            heads=shape.heads,
            mlp=shape.mlp,
            vocabulary=shape.vocabulary,
            context=max(shape.context, shape.row),
        )
        # The backend says on standard output that it moves, even to where the model is.
        return bridge if self.device == "cpu" else bridge.to(self.device)

    def _normal(self, *sizes: int) -> Tensor:
        import torch

        return torch.randn(*sizes, generator=torch.Generator().manual_seed(0)).to(self.device)

    def _rows(self, most: int, operations: int) -> Tensor:
        """As many rows of made-up tokens as one run may have at ``operations`` per position, ``most`` at most."""
        import torch

        count = max(1, min(most, int(OPERATIONS // (operations * self.shape.row))))
        words = min(self.shape.vocabulary, WORDS)
        generator = torch.Generator().manual_seed(0)
        return torch.randint(words, (count, self.shape.row), generator=generator).to(self.device)

    def _moments(self, x: Sequence[int], y: Sequence[int]) -> CrossMoments:
        from universal_neurons.core.accumulator import cross_moments

        tokens = 256
        return cross_moments(self._normal(tokens, sum(x)), self._normal(tokens, sum(y)), x_widths=x, y_widths=y)

    def _seconds(self, run: Callable[[], object]) -> float:
        """The median time of a run, after one that does not count."""
        import torch

        def timed() -> float:
            start = time.perf_counter()
            run()
            if self.device == "cuda":
                torch.cuda.synchronize(self.device)
            return time.perf_counter() - start

        timed()
        times = [timed()]
        while sum(times) < self.budget:
            times.append(timed())
        return median(times)

    # --- measurements -------------------------------------------------------------------------------------------------

    def loading(self) -> Efforts:
        """A model built, once: as long as reading one takes, within what an estimate needs."""
        return {Effort.LOADING: self._timed_bridge[1] / self.small.parameters}

    def forward(self) -> Efforts:
        """The activations of all neurons."""
        return {Effort.FORWARD: self.forward_seconds * self.shape.layers}

    def abreast(self) -> Efforts:
        """The activations of as many models as read together: side by side, as far as there are threads."""
        import torch

        from universal_neurons.core.threads import parallel_map, single_threads

        rows = self._forward_rows()
        with single_threads(torch.device(self.device)) as lanes:
            workers = [self.bridge, *(self._built(self.small) for _ in range(1, min(lanes, self.models)))]
            together = self._seconds(lambda: list(parallel_map(workers, _read, [rows] * self.models)))
        blocks = self.models * rows.numel() * self.small.layers
        return {Effort.ABREAST: together / blocks * self.shape.layers}

    def _forward_seconds(self) -> float:
        rows = self._forward_rows()
        return self._seconds(lambda: _read(self.bridge, rows)) / rows.numel() / self.small.layers

    def _forward_rows(self) -> Tensor:
        return self._rows(batch_rows(self.shape.row), self.small.operations(Effort.FORWARD))

    def product(self) -> Efforts:
        """Products of three models, added up as all pairs' are."""
        import torch

        from universal_neurons.core.accumulator import PairwiseAccumulator
        from universal_neurons.core.matmul import mode_of_products

        chunk = CHUNK_TOKENS[self.device]
        accumulator = PairwiseAccumulator(
            [self.widths] * 3,
            chunk_tokens=chunk,
            mode=self.precision,
            accumulate=torch.float64 if self.device == "cpu" else torch.float32,
            device=self.device,
        )
        values = [self._normal(chunk, self.neurons)] * 3
        block = torch.zeros(chunk, dtype=torch.int64)
        entries = 3 * self.neurons**2 + 3 * sum(width**2 for width in self.widths)
        with mode_of_products(self.precision, device=self.device):
            return {Effort.PRODUCT: self._seconds(lambda: accumulator.add(values, block)) / (2 * chunk * entries)}

    def scores(self) -> Efforts:
        """Moments added up, and the best partners of every row of their correlations."""
        from universal_neurons.core.universality import best_partners

        cross = self._moments(self.widths, self.widths)
        entries = self.neurons**2
        return {
            Effort.ADDITION: self._seconds(lambda: cross + cross) / entries,
            Effort.SCORE: self._seconds(lambda: best_partners(cross.correlation(), 3)) / entries,
        }

    def random(self) -> Efforts:
        """Random layers drawn, beside a GPU by as many threads as the engine has for that."""
        rotations = self._rotations(kept_bytes=0)

        def run() -> None:
            for draw in range(DRAWS):
                rotations(0, self.width, draw)

        seconds = self._seconds(run)
        rotations.close()
        return {Effort.RANDOM: seconds / (DRAWS * self.width**2)}

    def rotations(self) -> Efforts:
        """Random layers that are there given unit variance, and what many neurons to compare with add to that."""
        from universal_neurons.core.matmul import mode_of_products
        from universal_neurons.core.nulls import rotated_maxima

        kept, many, draws = self._rotations(kept_bytes=2**30), 2 * NEURONS["cpu"], 2

        def maxima(neurons: int) -> float:
            cross = self._moments((8,) * (neurons // 8), (self.width,))
            return self._seconds(
                lambda: rotated_maxima([cross], draws=draws, kind="gaussian", seed=0, model="y", rotations=kept)
            )

        with mode_of_products(self.precision, device=self.device):
            alone, compared = maxima(8), maxima(8 + many)
        return {
            Effort.TURN: alone / (draws * self.width**3),
            Effort.SEARCH: max(0.0, compared - alone) / (draws * 2 * many * self.width**2),
        }

    def _rotations(self, *, kept_bytes: int) -> Rotations:
        from universal_neurons.core.nulls import Rotations

        workers = ROTATION_WORKERS if self.device == "cuda" else 0
        return Rotations("gaussian", seed=0, model="y", draws=DRAWS, kept_bytes=kept_bytes, workers=workers)

    def factors(self) -> Efforts:
        """Random layers made orthogonal, a layer whitened, and products in float64."""
        import torch

        from universal_neurons.core.nulls import whitened

        width = self.width
        square, cross = self._normal(width, width), self._moments((8,), (width,))
        exact, wide = square.double(), self._normal(width, self.neurons).double()
        return {
            Effort.ORTHOGONAL: self._seconds(lambda: torch.linalg.qr(square)) / width**3,
            Effort.WHITENING: self._seconds(lambda: whitened(cross)) / width**3,
            Effort.DOUBLE: self._seconds(lambda: exact @ wide) / (2 * width**2 * self.neurons),
        }

    def influence(self) -> Efforts:
        """How much blocks of tokens weigh in the correlations of a quarter of the neurons."""
        import torch

        from universal_neurons.core.universality import BlockInfluence, SelectedPairs

        moments = self._moments(self.widths, self.widths).x
        chosen = torch.arange(0, self.neurons, 4)
        pairs = SelectedPairs(0, 0, chosen, chosen.flip(0))
        passes = BlockInfluence([moments], [pairs], blocks=4)
        tokens = self._normal(2 * TOKENS, self.neurons)
        block = torch.arange(2 * TOKENS) * 4 // (2 * TOKENS)
        return {Effort.INFLUENCE: self._seconds(lambda: passes.add([tokens], block)) / (2 * TOKENS * len(chosen))}

    def ablation(self) -> Efforts:
        """A clean run; a set in the last layer, whose blocks need not run again; in the first one; and in all.

        Sets run side by side as far as there are threads, so one takes a share of the time of a round.
        """
        import torch

        from universal_neurons.core.ablation import Ablation, AblationEngine
        from universal_neurons.core.matmul import matmul_precision
        from universal_neurons.core.threads import parallel_map, single_threads

        # What a position costs in time, or in memory that a run may take.
        memory = int(OPERATIONS / PROBABILITIES * 3 * 4 * self.shape.vocabulary)
        rows = self._rows(ABLATION_BATCH_ROWS, max(memory, self.small.operations(Effort.CLEAN)))
        layers, mlp = self.small.layers, self.shape.mlp
        few = torch.arange(0, mlp, 25)
        with torch.no_grad(), matmul_precision("highest"), single_threads(torch.device(self.device)) as lanes:
            engines = [AblationEngine(self.bridge) for _ in range(lanes)]
            clean = engines[0].clean(rows, seed=0)

            def again(neurons: Tensor) -> float:
                ablations = [Ablation(neurons.to(self.device))] * lanes
                together = self._seconds(lambda: list(parallel_map(engines, partial(_sums, clean), ablations)))
                return together / lanes / rows.numel()

            run = self._seconds(lambda: engines[0].clean(rows, seed=0)) / rows.numel()
            last, first, every = (again(few + (layers - 1) * mlp), again(few), again(torch.arange(0, layers * mlp, 25)))
        above = max(1, layers - 1)
        return {
            Effort.CLEAN: run + (self.shape.layers - layers) * self.forward_seconds,
            Effort.HEAD: last,
            Effort.BLOCK: max(0.0, first - last) / above,
            Effort.EDIT: max(0.0, every - first) / above,
        }

    def profiles(self) -> Efforts:
        """How activations are distributed and where they are largest, in two passes over some."""
        import torch

        from universal_neurons.core.activations import ActivationBatch
        from universal_neurons.core.profiles import activation_profiles

        row = min(self.shape.row, TOKENS)
        tokens = TOKENS // row * row
        place = torch.arange(tokens, device=self.device)
        batch = ActivationBatch(self._normal(tokens, self.neurons), place // row)

        def run() -> None:
            activation_profiles(
                lambda: [batch], place % row, neurons=self.neurons, top=8, bins=32, floor=GELU_MINIMUM, window=WINDOW
            )

        return {Effort.PROFILE: self._seconds(run) / (tokens * self.neurons)}

    def vocabulary(self) -> Efforts:
        """Cosines of a tile of neurons with some tokens, their moments and both their ends."""
        from universal_neurons.core.profiles import NEURONS_PER_TILE, weight_profiles
        from universal_neurons.core.weights import FoldedWeights

        neurons, words = min(self.neurons, NEURONS_PER_TILE), min(self.shape.vocabulary, WORDS)
        side = self._normal(neurons, self.shape.width).double()
        weights = FoldedWeights(side, side[:, 0], side, self._normal(words, self.shape.width).double())
        shown = min(10, words)
        return {Effort.VOCABULARY: self._seconds(lambda: weight_profiles(weights, shown=shown)) / (neurons * words)}

    def families(self) -> Efforts:
        """Activations added up by token."""
        import torch

        from universal_neurons.core.families import TokenSums

        words = min(self.shape.vocabulary, WORDS)
        values = self._normal(TOKENS, self.neurons)
        tokens = torch.randint(words, (TOKENS,), generator=torch.Generator().manual_seed(0))
        # As rare as most labels are, so that about half of the tokens are one.
        sums = TokenSums(torch.bincount(tokens, minlength=words), occurrences=2, neurons=self.neurons)
        return {Effort.FAMILY: self._seconds(lambda: sums.add(values, tokens)) / (TOKENS * self.neurons)}


def _read(bridge: Bridge, rows: Tensor) -> None:
    """All activations at ``rows``, all positions but the first scored."""
    import torch

    from universal_neurons.core.activations import stream

    mask = torch.ones(rows.shape, dtype=torch.bool)
    mask[:, 0] = False
    for _ in stream(bridge, rows, mask, batch_rows=len(rows)):
        pass


def _sums(clean: CleanPass, engine: AblationEngine, ablation: Ablation) -> Tensor:
    return engine.sums(clean, ablation)
