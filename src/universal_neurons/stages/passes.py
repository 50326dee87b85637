"""Passes over the tokens under a memory budget: as few as possible, resumable, their precision checked.

A pass is a *shard* of the work.  Its sums are written to disk every few minutes (:class:`Resources`), and so are the
scores of each finished pass.  A resumed run reads them back, verifies them, and skips the tokens that they cover.  On
a CPU, with as many threads, its result equals the result of an uninterrupted run to the last bit; other numbers of
threads sum in other orders, which changes last bits and stays within the tolerances of a recheck.  When memory runs
out, the layers that are left are spread over more passes.  Scores are computed of finished passes
(:mod:`universal_neurons.core.scoring`).
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from universal_neurons.artifacts.key import Key
from universal_neurons.core.tiling import (
    BudgetTooSmall,
    Pass,
    Tile,
    Workload,
    halved,
    in_units,
    memory_estimate,
    passes,
)
from universal_neurons.errors import UserError
from universal_neurons.stages.batches import batch_rows, shape_workload
from universal_neurons.stages.models import ModelNotFinite, batch_sizes
from universal_neurons.stages.resources import OutOfMemory, check_precision, give_back, is_lack_of_memory
from universal_neurons.stages.resume import Checkpoints, Interruption, State, StateFolder, deferred_interruption

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import torch
    from torch import Tensor

    from universal_neurons.artifacts.key import JSON
    from universal_neurons.core.accumulator import PairwiseAccumulator
    from universal_neurons.core.matmul import PrecisionMode
    from universal_neurons.core.moments import NonFiniteActivationError
    from universal_neurons.core.scoring import GroupScores, TileScores
    from universal_neurons.inputs.corpus import RowMask, TokenRows
    from universal_neurons.stages.models import LoadedModels

    Scorer: TypeAlias = TileScores | GroupScores

STATE_VERSION = 1


class PrecisionError(UserError):
    """Correlations that differ from float64 by more than their mode promises."""


@dataclass(frozen=True, eq=False)
class Reading:
    """The tokens to read: ``rows`` where ``mask`` is true, the group ``label`` (token,) of each, and a ``title``.

    ``shuffled``: the index of a model that is read once more, as the last one, with the tokens of every batch in a
    random order.
    """

    title: str
    rows: TokenRows
    mask: RowMask
    label: Tensor
    shuffled: int | None = None

    @property
    def digest(self) -> str:
        """sha256 of everything that decides which token comes when."""
        found = sha256()
        for array in (self.rows, self.mask, self.label.numpy()):
            found.update(repr((array.dtype.str, array.shape)).encode())
            found.update(np.ascontiguousarray(array).tobytes())
        return found.hexdigest()


@dataclass(frozen=True, slots=True)
class Streamed:
    """Time and precision of the passes.

    ``error``: the largest difference of a sampled correlation from float64; ``bound``: its limit.
    ``seconds``: summed over the processes that ran the passes, without scoring.
    """

    mode: PrecisionMode
    error: float
    bound: float
    passes: int
    seconds: float
    folder: StateFolder

    def forget(self) -> None:
        """Remove the state of the computation: its results are committed."""
        self.folder.remove()

    @property
    def precision(self) -> dict[str, JSON]:
        """How exact the products were, for the provenance of what is made of them."""
        return {"mode": self.mode, "largest_error": float(f"{self.error:.2g}"), "bound": self.bound}


def workload(models: LoadedModels, pairs: Sequence[tuple[int, int]], reading: Reading, *, groups: int) -> Workload:
    """The cost of accumulating ``pairs`` over ``reading`` on the device of the models."""
    import torch

    widths, device = models.widths, models.device.type
    if reading.shuffled is not None:
        widths = [*widths, widths[reading.shuffled]]
    return shape_workload(
        widths,
        pairs,
        groups=groups,
        row_length=reading.rows.shape[1],
        weights=models.weight_bytes,
        device=device,
        readers=min(torch.get_num_threads(), len(widths)) if device == "cpu" else 1,
    )


def streamed(
    models: LoadedModels, work: Workload, reading: Reading, scorer: Scorer, *, name: Mapping[str, JSON]
) -> Streamed:
    """Accumulate and score everything in ``work``, in as many passes over ``reading`` as memory requires.

    ``name``: every setting of the scorer that a saved state must agree with.  The state stays on disk until the caller
    has committed the scores and calls :meth:`Streamed.forget`.  Raises UserError where memory or precision does not
    suffice, and KeyboardInterrupt (Ctrl-C) once the state is written.
    """
    return _Run(models, work, reading, scorer, dict(name)).finished()


def _folder(models: LoadedModels, work: Workload, reading: Reading, name: Mapping[str, JSON]) -> StateFolder:
    """The folder of the state of a computation, named after every setting that its numbers depend on."""
    universality, shape = models.work.suite.universality, asdict(replace(work, resident=0))
    # These change what a pass takes and not what it sums up.
    del shape["abreast"], shape["whitened"]
    key = Key(
        stage="unfinished",
        version=STATE_VERSION,
        parameters={
            **name,
            "workload": {field: _plain(value) for field, value in shape.items()},
            "mode": universality.precision,
            "device": models.device.type,
            "seed": universality.seed,
            "models": [ref.name for ref in models.refs],
            "shuffled": reading.shuffled,
        },
        inputs={"reading": reading.digest, **{f"model {place}": ref.digest for place, ref in enumerate(models.refs)}},
    )
    return StateFolder(models.work.states / key.digest[:32], models.work.warn)


@dataclass
class _Run:
    """The passes of one computation, under way."""

    models: LoadedModels
    work: Workload
    reading: Reading
    scorer: Scorer
    name: dict[str, JSON]
    left: list[Pass] = field(default_factory=list)
    done: int = 0
    error: float = 0.0
    seconds: float = 0.0

    def __post_init__(self) -> None:
        self.place = self.models.device
        self.mode: PrecisionMode = self.models.work.suite.universality.precision
        self.folder = _folder(self.models, self.work, self.reading, self.name)
        self.step = batch_rows(self.reading.rows.shape[1])
        self.checkpoints = Checkpoints(self.folder, self.reading.title, self.models.work.resources.state_seconds)

    def finished(self) -> Streamed:
        from universal_neurons.core.matmul import BOUNDS

        progress, tokens = self.models.work.progress, len(self.reading.label)
        check_precision(self.models.work, self.place)
        state = self._resumed(self.folder.read(), self.models.budget)
        progress.start(self.reading.title, (self.done + len(self.left)) * tokens)
        progress.advance(self.done * tokens)
        with deferred_interruption() as asked:
            while self.left:
                lack = self._one(state, asked)
                state = None
                if lack:
                    self._halve()
        progress.finish()
        give_back()
        return Streamed(self.mode, self.error, BOUNDS[self.mode], self.done, round(self.seconds, 6), self.folder)

    def _one(self, state: State | None, asked: Interruption) -> bool:
        """The next pass, from ``state`` on where it was under way; whether there was too little memory for it."""
        from universal_neurons.core.matmul import mode_of_products
        from universal_neurons.core.moments import NonFiniteActivationError

        give_back()
        try:
            # Products over tokens alone: baselines are float32 in every mode, whatever the kernel of the products is.
            with mode_of_products(self.mode, device=self.place):
                accumulator = self._accumulated(self.left[0], state, asked)
            self._check(accumulator.largest_error(self.scorer.unions))
            self._score(accumulator)
        except NonFiniteActivationError as error:
            raise self._not_finite(error) from None
        except (MemoryError, RuntimeError) as error:
            # The error holds on to everything that was allocated, so it ends here, before anybody tries again.
            if is_lack_of_memory(error):
                return True
            raise
        self.left.pop(0)
        self.done += 1
        if self.left or asked.wanted or self.checkpoints.is_due():
            self._write(batches=0, accumulator=None)
        if asked.wanted:
            raise KeyboardInterrupt
        return False

    def _accumulated(self, one: Pass, state: State | None, asked: Interruption) -> PairwiseAccumulator:
        from universal_neurons.core.accumulator import PairwiseAccumulator

        accumulator = PairwiseAccumulator.of(self.work, one.tiles, mode=self.mode, device=self.place)
        batch = 0
        if state is not None:
            batch = int(state.document["batches"])
            accumulator.restore(state.tensors)
        began = time.monotonic()
        advance = self.models.work.progress.advance
        advance(sum(batch_sizes(self.reading.mask, self.step)[:batch]))
        for values, label in self._stream(one, batch):
            accumulator.add(values, label)
            advance(len(label))
            batch += 1
            # The next batch is computed before the name is given to it.
            del values
            if asked.wanted or self.checkpoints.is_due():
                self.seconds += time.monotonic() - began
                self._write(batches=batch, accumulator=accumulator)
                began = time.monotonic()
            if asked.wanted:
                raise KeyboardInterrupt
        accumulator.finish()
        self.seconds += time.monotonic() - began
        return accumulator

    def _not_finite(self, error: NonFiniteActivationError) -> ModelNotFinite:
        """The error for the user; a position beyond the models is the shuffled one's second."""
        if error.layer is None:
            raise error
        position, layer = error.layer
        if position == len(self.models.refs) and self.reading.shuffled is not None:
            position = self.reading.shuffled
        return ModelNotFinite.of(self.models.refs[position], f"layer {layer}: activations")

    def _stream(self, one: Pass, skip: int) -> Iterator[tuple[list[Tensor], Tensor]]:
        """The activations of the layers that the pass needs, the shuffled model's at the end."""
        from universal_neurons.core.nulls import permuted

        count, shuffled = len(self.models.refs), self.reading.shuffled
        wanted = [set(one.layers(model)) for model in range(count)]
        again: tuple[int, ...] = ()
        if shuffled is not None:
            again = one.layers(count)
            wanted[shuffled] |= set(again)
        layers = [sorted(own) for own in wanted]
        batches = self.models.labelled_stream(
            self.reading.rows, self.reading.mask, self.reading.label, layers=layers, skip=skip
        )
        seed = self.models.work.suite.universality.seed
        number = skip
        # Not enumerate, which holds on to what it gave last while the next is computed.
        for values, label in ahead(batches, self.place):
            if shuffled is not None:
                widths, own = self.work.widths[shuffled], values[shuffled]
                twin = chosen_layers(own, widths, layers[shuffled], again)
                values[shuffled] = chosen_layers(own, widths, layers[shuffled], one.layers(shuffled))
                values.append(permuted(twin, seed=seed, model=self.models.refs[shuffled].name, batch=number))
                del own, twin
            yield values, label
            number += 1
            del values

    def _check(self, error: float) -> None:
        from universal_neurons.core.matmul import BOUNDS

        bound = BOUNDS[self.mode]
        self.error = max(self.error, error)
        if not error <= bound:
            self.folder.remove()
            raise PrecisionError(
                f"{self.reading.title}: {self.mode}: expected sampled correlations within {bound:g} of float64, got "
                f"{error:.2g}; run again with a finer precision (universality.precision, --precision)"
            )

    def _score(self, accumulator: PairwiseAccumulator) -> None:
        # Scores that were half taken in when the memory ran out must not be taken in twice.
        before = {name: tensor.clone() for name, tensor in self.scorer.state()}
        seconds = dict(self.scorer.seconds)
        try:
            self.scorer.take(accumulator)
        except BaseException:
            _restore(self.scorer, before)
            self.scorer.seconds = seconds
            raise

    def _resumed(self, found: State | None, within: int) -> State | None:
        """Plan what is left; the state of the pass that was under way, if it goes on."""
        if found is None:
            self.left = list(_planned(self.work, within))
            return None
        document = found.document
        _restore(self.scorer, found.tensors)
        self.scorer.seconds = dict(document["scoring_seconds"])
        self.done, self.error, self.seconds = document["done"], document["error"], document["seconds"]
        tiles = [tuple(_tile(raw) for raw in one) for one in document["left"]]
        self.left = [Pass(one, memory_estimate(self.work, one)) for one in tiles]
        if max((one.memory.total for one in self.left), default=0) <= within:
            return found if document["batches"] else None
        self.models.work.warn(f"{self.reading.title}: less memory than before: what is left is planned again")
        rest = [tile for one in tiles for tile in one]
        self.left = list(_planned(self.work, within, tiles=rest))
        return None

    def _halve(self) -> None:
        """The passes that are left in halves; raises :class:`OutOfMemory` if the first one cannot be halved."""
        if self.place.type == "cuda":
            import torch

            torch.cuda.empty_cache()
        first = halved(self.work, self.left[0].tiles)
        if first is None:
            needed = in_units(self.left[0].memory.total)
            raise OutOfMemory(
                f"{self.reading.title}: out of memory on {self.place} with one layer against one layer ({needed}); "
                "free some, or choose another device (--device)"
            )
        rest = [half for one in self.left[1:] for half in (halved(self.work, one.tiles) or (one,))]
        self.left = [*first, *rest]
        self.models.work.warn(
            f"{self.reading.title}: out of memory on {self.place}: tiles are halved, {len(self.left)} passes are left"
        )

    def _write(self, *, batches: int, accumulator: PairwiseAccumulator | None) -> None:
        document = {
            "left": [[_raw(tile) for tile in one.tiles] for one in self.left],
            "done": self.done,
            "batches": batches,
            "error": self.error,
            "seconds": self.seconds,
            "scoring_seconds": dict(self.scorer.seconds),
        }
        sums = accumulator.state() if accumulator is not None else ()
        self.checkpoints.write(document, chain(self.scorer.state(), sums))


def chosen_layers(values: Tensor, widths: Sequence[int], layers: Sequence[int], wanted: Sequence[int]) -> Tensor:
    """The columns of the ``wanted`` ones of ``layers``, all of which ``values`` (token neuron) has in order."""
    import torch

    if list(wanted) == list(layers):
        return values
    split = torch.split(values, [widths[layer] for layer in layers], dim=1)
    parts = dict(zip(layers, split, strict=True))
    return torch.cat([values[:, :0], *(parts[layer] for layer in wanted)], dim=1)


def ahead(batches: Iterator[tuple[list[Tensor], Tensor]], place: torch.device) -> Iterator[tuple[list[Tensor], Tensor]]:
    """The batches as they come; on a GPU the next one's forward passes overlap with the work on this one.

    They are launched on a stream of their own before this batch is yielded, while the products of the batch before
    are still being computed.
    """
    import torch

    if place.type != "cuda":
        yield from batches
        return
    # torch has no types here.
    side: Any = torch.cuda.Stream(place)  # type: ignore[no-untyped-call]

    def launched() -> tuple[list[Tensor], Tensor] | None:
        with torch.cuda.stream(side):
            return next(batches, None)

    coming = launched()
    while coming is not None:
        main = torch.cuda.current_stream(place)
        main.wait_stream(side)
        for values in coming[0]:
            # The memory must not be taken for something else on the other stream while this one reads it.
            values.record_stream(main)
        current, coming = coming, launched()
        yield current
        # What still has a name here would lie beside the next two.
        del current, values


def _planned(work: Workload, within: int, *, tiles: Sequence[Tile] | None = None) -> tuple[Pass, ...]:
    try:
        return passes(work, within, tiles=tiles)
    except BudgetTooSmall as error:
        raise UserError(f"{error}; run again with more (--memory), or with what is free") from None


def _restore(scorer: Scorer, state: Mapping[str, Tensor]) -> None:
    """Resume from a saved ``state``; raises KeyError or RuntimeError if it belongs to another request."""
    for name, tensor in scorer.state():
        tensor.copy_(state[name])


def _raw(tile: Tile) -> list[list[int]]:
    return [[tile.x, tile.x_layers.start, tile.x_layers.stop], [tile.y, tile.y_layers.start, tile.y_layers.stop]]


def _tile(raw: Sequence[Sequence[int]]) -> Tile:
    (x, *x_layers), (y, *y_layers) = raw
    return Tile(x, y, range(*x_layers), range(*y_layers))


def _plain(value: Any) -> JSON:
    return [_plain(part) for part in value] if isinstance(value, tuple | list) else value
