# ruff: noqa: F722  (jaxtyping's shapes are strings that are not Python)
"""Activations of models with different tokenizers, pooled over the same spans of text.

A row is the same piece of text for every model, in as many tokens as its tokenizer makes of it.  A *span* is a run of
tokens of one row between two places where the tokens of all models end; models are compared span by span.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, assert_never

import torch
from jaxtyping import Float, Int, Int64
from torch import Tensor

from universal_neurons.core.activations import NeuronReader

SpanPooling = Literal["last", "mean"]


@dataclass(frozen=True, eq=False)
class SpanRows:
    """The tokens of one model, row by row, and the tokens of each span.

    ``rows`` (row position) are token ids, filled up at the end; ``lengths`` (row,) the number of tokens of each.
    ``row``, ``first`` and ``last`` (span,) are each span's row and the positions of its first and last token; spans are
    in the order of rows.
    """

    rows: Int64[Tensor, "row position"]
    lengths: Int64[Tensor, " row"]
    row: Int64[Tensor, " span"]
    first: Int64[Tensor, " span"]
    last: Int64[Tensor, " span"]

    def batch(self, start: int, stop: int) -> "SpanRows":
        """The rows from ``start`` to ``stop``, cut to the longest of them, with their spans."""
        low, high = (int(torch.searchsorted(self.row, bound)) for bound in (start, stop))
        lengths, spans = self.lengths[start:stop], slice(low, high)
        longest = int(lengths.max()) if len(lengths) else 0
        return SpanRows(
            self.rows[start:stop, :longest], lengths, self.row[spans] - start, self.first[spans], self.last[spans]
        )


def pooled_stream(
    readers: Sequence[NeuronReader],
    texts: Sequence[SpanRows],
    layers: Sequence[Sequence[int]],
    *,
    pooling: SpanPooling,
    batch_rows: int,
    device: torch.device,
) -> Iterator[tuple[list[Float[Tensor, "span _"]], Int64[Tensor, " span"]]]:
    """The activations of every model at the same spans, batch by batch, and the row of each span.

    ``layers``: of each model, ascending; of a model with none, values without columns.  ``pooling``: the value at the
    last token of the span, or the mean over its tokens.  Padding follows the text, so that causal attention never sees
    it.  Raises ValueError unless all models have the same spans.
    """
    if any(not torch.equal(text.row, texts[0].row) for text in texts):
        raise ValueError("the models have different spans")
    for start in range(0, len(texts[0].lengths), batch_rows):
        batches = [text.batch(start, start + batch_rows) for text in texts]
        if not len(batches[0].row):
            continue
        yield (
            [
                _pooled(reader, batch, own, pooling, device)
                for reader, batch, own in zip(readers, batches, layers, strict=True)
            ],
            batches[0].row + start,
        )


def _pooled(
    reader: NeuronReader, batch: SpanRows, layers: Sequence[int], pooling: SpanPooling, device: torch.device
) -> Float[Tensor, "span _"]:
    if not layers:
        return torch.empty(len(batch.row), 0, device=device)
    captured = reader(batch.rows.to(device), layers)
    offset = batch.row * batch.rows.shape[1]
    first, last = (offset + batch.first).to(device), (offset + batch.last).to(device)
    values = torch.empty(len(first), sum(layer.shape[-1] for layer in captured), device=device)
    column = 0
    while captured:
        layer = captured.pop(0).flatten(0, 1).float()
        values[:, column : column + layer.shape[1]] = pooled(layer, first, last, pooling)
        column += layer.shape[1]
    return values


def pooled(
    values: Float[Tensor, "token neuron"],
    first: Int[Tensor, " span"],
    last: Int[Tensor, " span"],
    pooling: SpanPooling,
) -> Float[Tensor, "span neuron"]:
    """One value per span and neuron: at the span's last token, or the mean from its first to its last.

    The mean over a single token is that token's value to the last bit.
    """
    match pooling:
        case "last":
            return values.index_select(0, last)
        case "mean":
            total = values.index_select(0, first)
            lengths = last - first + 1
            for step in range(1, int(lengths.max())):
                longer = (lengths > step).nonzero()[:, 0]
                total.index_add_(0, longer, values.index_select(0, first[longer] + step))
            return total / lengths[:, None]
        case _:
            assert_never(pooling)
