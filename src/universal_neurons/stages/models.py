"""The models of one training step, reading the same tokens side by side."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from universal_neurons.core.tiling import layer_blocks
from universal_neurons.errors import UserError
from universal_neurons.stages.batches import batch_rows
from universal_neurons.stages.resources import budget, device
from universal_neurons.stages.tokens import token_set

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import torch
    from torch import Tensor

    from universal_neurons.core.activations import ActivationBatch, Place
    from universal_neurons.ids import ModelRef
    from universal_neurons.inputs.corpus import RowMask, TokenRows, TokenSet
    from universal_neurons.stages.base import Case
    from universal_neurons.stages.workspace import Workspace


class ModelNotFinite(UserError):
    """A model whose activations or logits are infinite or not numbers."""

    @classmethod
    def of(cls, ref: ModelRef, where: str) -> ModelNotFinite:
        """The error for what was not finite: ``where`` is ``layer 1: activations`` or ``logits``."""
        return cls(
            f"model {ref.name} at step {ref.step}, {where} are not finite; expected numbers, got infinity or NaN, so "
            f"the weights from {ref.source} are damaged or too large; run again with sound ones, without this model "
            "(--models) or without this step (--checkpoints)"
        )


@contextmanager
def finite_logits(ref: ModelRef) -> Iterator[None]:
    """Name the model whose logits, its own or those where it is ablated, are not finite."""
    from universal_neurons.core.ablation import NonFiniteLogitsError

    try:
        yield
    except NonFiniteLogitsError:
        raise ModelNotFinite.of(ref, "logits") from None


@contextmanager
def finite_activations(ref: ModelRef, widths: tuple[int, ...]) -> Iterator[None]:
    """Name the model, of layers with ``widths`` neurons, and the layer whose activations are not finite."""
    from universal_neurons.core.moments import NonFiniteActivationError, layer_slices

    try:
        yield
    except NonFiniteActivationError as error:
        layer = next(layer for layer, part in enumerate(layer_slices(widths)) if error.column < part.stop)
        raise ModelNotFinite.of(ref, f"layer {layer}: activations") from None


def read_batches(
    work: Workspace, bridge: Any, rows: TokenRows, mask: RowMask, *, place: Place = "hook_post"
) -> Iterator[ActivationBatch]:
    """The activations of a model at the tokens of ``rows`` where ``mask`` is true, batch by batch, with progress."""
    from universal_neurons.core.activations import stream

    for batch in stream(bridge, rows.astype(np.int64), mask, batch_rows=batch_rows(rows.shape[1]), place=place):
        yield batch
        work.progress.advance(len(batch))
        # A batch that still has a name lies beside the next one while that is computed.
        del batch


def loaded(work: Workspace, ref: ModelRef) -> Any:
    """The model behind ``ref`` (digests verified) on the device of the workspace."""
    return placed(work.zoo.load(ref), device(work))


def placed(bridge: Any, device: torch.device) -> Any:
    """``bridge`` on ``device``.  The backend says on standard output that it moves, even to where the model is."""
    return bridge if device.type == "cpu" else bridge.to(device)


@dataclass(frozen=True)
class LoadedModels:
    """The models of one training step, and the tokens that all of them read in the same order."""

    work: Workspace
    refs: tuple[ModelRef, ...]
    bridges: tuple[Any, ...]
    tokens: TokenSet

    @classmethod
    def of(cls, work: Workspace, step: int, names: Sequence[str]) -> LoadedModels:
        """Load the models called ``names`` at ``step``, and the suite's tokens."""
        refs = tuple(work.model(name, step) for name in names)
        return cls(work, refs, tuple(loaded(work, ref) for ref in refs), token_set(work))

    def position(self, name: str) -> int:
        """The place of a model in the stream."""
        return next(i for i, ref in enumerate(self.refs) if ref.name == name)

    def positions(self, pair: Case) -> tuple[int, int]:
        """The places of a model and its partner in the stream."""
        return self.position(pair.model), self.position(pair.partner)

    @property
    def widths(self) -> list[tuple[int, ...]]:
        """Neurons per layer of each model."""
        from universal_neurons.core.activations import layer_widths

        return [layer_widths(bridge) for bridge in self.bridges]

    @property
    def device(self) -> torch.device:
        """Where the models are."""
        return device(self.work)

    @property
    def weight_bytes(self) -> int:
        """Bytes of all weights of the models."""
        return sum(p.numel() * p.element_size() for bridge in self.bridges for p in bridge.parameters())

    @property
    def budget(self) -> int:
        """Bytes that a pass may use on the device, the weights among them."""
        return budget(self.work, self.device, resident=self.weight_bytes)

    def layer_blocks(self, bytes_per_neuron: int) -> tuple[range, ...]:
        """The layers of the first model by how many fit beside the weights of all, a pass over the tokens for each."""
        free = self.budget - self.weight_bytes
        return layer_blocks(self.widths[0], bytes_per_neuron=bytes_per_neuron, budget=free)

    def blocks(self) -> Tensor:
        """The block of rows that each scored token belongs to (token,)."""
        import torch

        from universal_neurons.core.activations import row_blocks

        row = torch.from_numpy(np.nonzero(self.tokens.mask)[0])
        return row_blocks(row, rows=len(self.tokens.rows), blocks=self.work.suite.universality.blocks)

    def stream(self, title: str, *, rows_at_once: int | None = None) -> Iterator[tuple[list[Tensor], Tensor]]:
        """Batch by batch: every model's activations at the same scored tokens (token neuron), each token's block."""
        progress, label = self.work.progress, self.blocks()
        progress.start(title, len(label))
        for values, chosen in self.labelled_stream(
            self.tokens.rows, self.tokens.mask, label, rows_at_once=rows_at_once
        ):
            yield values, chosen
            progress.advance(len(chosen))
            del values
        progress.finish()

    def labelled_stream(
        self,
        rows: TokenRows,
        mask: RowMask,
        label: Tensor,
        *,
        layers: Sequence[Sequence[int]] | None = None,
        skip: int = 0,
        rows_at_once: int | None = None,
    ) -> Iterator[tuple[list[Tensor], Tensor]]:
        """The same over any ``rows`` where ``mask`` (row position) is true, with each token's ``label`` (token,).

        ``layers``: of every model, only these.  ``skip``: how many batches are left out at the beginning.
        """
        from universal_neurons.core.activations import stream

        step, ids = rows_at_once or batch_rows(rows.shape[1]), rows.astype(np.int64)
        chosen = [None] * len(self.bridges) if layers is None else layers
        streams = [
            stream(bridge, ids, mask, batch_rows=step, layers=wanted, skip=skip)
            for bridge, wanted in zip(self.bridges, chosen, strict=True)
        ]
        start = int(sum(batch_sizes(mask, step)[:skip]))
        for values in _together(streams, self.device):
            stop = start + len(values[0])
            yield values, label[start:stop]
            start = stop
            # A batch that still has a name lies beside the next one while that is computed.
            del values


def _together(streams: Sequence[Iterator[ActivationBatch]], device: torch.device) -> Iterator[list[Tensor]]:
    """The activations of every stream's next batch.  On a CPU models run side by side: small products gain no second
    thread.

    A model that reads alone has all threads.  Raises ValueError if one stream ends before another.
    """
    from universal_neurons.core.matmul import matmul_precision

    while True:
        # Whatever the products are rounded to, activations are not; and kernels that are faster for large products are
        # several times slower in attention.
        with matmul_precision("highest"):
            batches = _next_of(streams, device)
        values = [batch.values for batch in batches if batch is not None]
        if not values:
            return
        if len(values) < len(streams):
            raise ValueError(f"of {len(streams)} models {len(values)} have more tokens than the others")
        del batches
        yield values
        del values


def _next_of(streams: Sequence[Iterator[ActivationBatch]], device: torch.device) -> list[ActivationBatch | None]:
    from universal_neurons.core.threads import parallel_map, single_threads

    with single_threads(device) as available:
        workers = range(min(available, len(streams)))
        # Whoever would be left over, with the other threads idle, reads on all of them afterwards.
        together = streams[: len(streams) - len(streams) % len(workers)]
        threads = max(1, available // len(streams))
        batches = list(parallel_map(workers, lambda _, one: next(one, None), together, threads=threads))
    return batches + [next(one, None) for one in streams[len(together) :]]


def batch_sizes(mask: RowMask, step: int) -> list[int]:
    """The scored tokens of each batch of ``step`` rows, batches without any left out."""
    sizes = [int(mask[start : start + step].sum()) for start in range(0, len(mask), step)]
    return [size for size in sizes if size]
