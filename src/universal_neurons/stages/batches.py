"""Sizes of batches and of the sums of a pass, as plain numbers, for computations and for their plan."""

from __future__ import annotations

from typing import TYPE_CHECKING

from universal_neurons.core.tiling import Workload

if TYPE_CHECKING:
    from collections.abc import Sequence

# Rows in one forward pass: 32 x 128 tokens keep the activations of five mini models within the caches' reach.  Tokens
# are permuted within a batch, so its size changes that null: it depends on the rows and on nothing else.
BATCH_ROWS = 32
BATCH_TOKENS = 4096
# Tokens in one product.  A GPU reads and writes its sums once per product, so few of them are better.
CHUNK_TOKENS = {"cpu": 1024, "cuda": 4096}
# Copies of a layer's activations that a forward pass holds while it computes the layer.
FORWARD_COPIES = 6


def batch_rows(row_length: int) -> int:
    """Rows in one forward pass, fewer where rows are long."""
    return max(1, min(BATCH_ROWS, BATCH_TOKENS // row_length))


def shape_workload(
    widths: Sequence[tuple[int, ...]],
    pairs: Sequence[tuple[int, int]],
    *,
    groups: int,
    row_length: int,
    weights: int,
    device: str,
    readers: int,
) -> Workload:
    """The sums over ``pairs`` of models of these ``widths`` and ``weights`` bytes, loaded or only planned.

    ``device``: cpu or cuda.  ``readers``: models that read at a time.
    """
    batch = batch_rows(row_length) * row_length
    widest = max(width for layers in widths for width in layers)
    return Workload(
        widths=tuple(widths),
        pairs=tuple(pairs),
        groups=groups,
        sum_bytes=8 if device == "cpu" else 4,
        chunk_tokens=CHUNK_TOKENS[device],
        batch_tokens=batch,
        resident=weights + readers * FORWARD_COPIES * 4 * batch * widest,
        abreast=readers,
    )
