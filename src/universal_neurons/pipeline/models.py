"""The models of one training step, reading the same tokens side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from universal_neurons.pipeline.tokens import token_set

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor

    from universal_neurons.ids import ModelRef
    from universal_neurons.inputs.corpus import RowMask, TokenRows, TokenSet
    from universal_neurons.workspace import Workspace

# Rows in one forward pass: 32 x 128 tokens keep the activations of five mini models within the caches' reach.
BATCH_ROWS = 32


@dataclass(frozen=True)
class LoadedModels:
    """The models of one training step, and the tokens that all of them read in the same order."""

    work: Workspace
    refs: tuple[ModelRef, ...]
    bridges: tuple[Any, ...]
    tokens: TokenSet

    @classmethod
    def of(cls, work: Workspace, refs: Sequence[ModelRef]) -> LoadedModels:
        """Load ``refs`` (digests verified) and the suite's tokens."""
        return cls(work, tuple(refs), tuple(work.zoo.load(ref) for ref in refs), token_set(work))

    def position(self, name: str) -> int:
        """The place of a model in the stream."""
        return next(i for i, ref in enumerate(self.refs) if ref.name == name)

    @property
    def widths(self) -> list[tuple[int, ...]]:
        """Neurons per layer of each model."""
        from universal_neurons.core.activations import layer_widths

        return [layer_widths(bridge) for bridge in self.bridges]

    def stream(self, title: str) -> Iterator[tuple[list[Tensor], Tensor]]:
        """Batch by batch: every model's activations at the same scored tokens (token neuron), each token's block."""
        import torch

        from universal_neurons.core.activations import row_blocks

        rows, mask = self.tokens.rows, self.tokens.mask
        row = torch.from_numpy(np.nonzero(mask)[0])
        blocks = row_blocks(row, rows=len(rows), blocks=self.work.suite.universality.blocks)
        return self.labelled_stream(title, rows, mask, blocks)

    def labelled_stream(
        self, title: str, rows: TokenRows, mask: RowMask, label: Tensor
    ) -> Iterator[tuple[list[Tensor], Tensor]]:
        """The same over any ``rows`` where ``mask`` (row position) is true, with each token's ``label`` (token,)."""
        from universal_neurons.core.activations import stream

        streams = [stream(bridge, rows.astype(np.int64), mask, batch_rows=BATCH_ROWS) for bridge in self.bridges]
        progress, start = self.work.progress, 0
        progress.start(title, len(label))
        for batches in zip(*streams, strict=True):
            stop = start + len(batches[0])
            yield [batch.values for batch in batches], label[start:stop]
            progress.advance(stop - start)
            start = stop
        progress.finish()
