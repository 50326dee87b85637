# ruff: noqa: F722  (jaxtyping's shapes are strings that are not Python)
"""Running sums of products of activations, chunk of tokens by chunk of tokens.

Accuracy.  Each chunk of tokens is centred by its own mean before it is multiplied, so the size of the mean never
enters a product; products are float32 over one chunk and are added up in float64, sums of squares are float64 from the
start.  The largest error of a correlation is then the error of one float32 product over the square root of the number
of chunks, with means a thousand standard deviations from 0 as well: one chunk of 1024 tokens gives at most about 1e-6
for correlations near 1 and 2e-7 for small ones, two hundred chunks a tenth of that.  A neuron that never varied has
deviations of exactly 0 and is told apart exactly.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import product

import torch
from jaxtyping import Float, Int
from torch import Tensor

from universal_neurons.core.matmul import PrecisionMode, add_product, adds_in_place, operands, put_product
from universal_neurons.core.moments import ROWS_IN_CACHE, LayerId, NeuronSpread, NonFiniteActivationError, column_means
from universal_neurons.core.tiling import FOLD_EVERY, PRODUCT_ELEMENTS, PRODUCT_WIDTH

# Numbers in float32 of a line of a CPU's cache.
_LINE = 16


class ComomentSums:
    """Running comoments of chosen column ranges of one joint activation matrix (token, neurons of all models).

    ``layers``: the columns of each layer.  ``products``: (rows of the result, columns of the result, type of the sums)
    of every product; nothing else is computed.  ``dtype``: of the activations and of their products, which are added to
    sums of another type block by block.
    """

    def __init__(
        self,
        layers: Mapping[LayerId, slice],
        products: Sequence[tuple[slice, slice, torch.dtype]],
        *,
        chunk_tokens: int,
        device: torch.device | str,
        dtype: torch.dtype = torch.float32,
        mode: PrecisionMode = "float32",
    ) -> None:
        columns = max((part.stop for part in layers.values()), default=0)
        self._layers = dict(layers)
        self.products = tuple((rows, cols) for rows, cols, _ in products)
        self.mode: PrecisionMode = mode
        self.count = 0
        self.mean = torch.zeros(columns, dtype=torch.float64, device=device)
        self.squares = torch.zeros_like(self.mean)
        self.sums = [
            torch.zeros(product_shape(rows, cols), dtype=summed, device=device) for rows, cols, summed in products
        ]
        self._buffer = torch.empty(chunk_tokens, row_distance(columns), dtype=dtype, device=device)[:, :columns]
        self._filled = 0
        self._pending: list[tuple[int, Tensor, Tensor]] = []
        self._scratch = self._buffer.new_empty(PRODUCT_ELEMENTS)

    def add(self, values: Sequence[Float[Tensor, "token _"]], tokens: Int[Tensor, " chosen"]) -> None:
        """Add the values at ``tokens``; at most one chunk of them is copied at a time."""
        start = 0
        while start < len(tokens):
            size = min(len(tokens) - start, len(self._buffer) - self._filled)
            column = 0
            for part in values:
                target = self._buffer[self._filled : self._filled + size, column : column + part.shape[1]]
                target.copy_(part.index_select(0, tokens[start : start + size]))
                column += part.shape[1]
            self._filled += size
            start += size
            if self._filled == len(self._buffer):
                self.flush()

    def flush(self) -> None:
        """Centre the chunk by its own mean, multiply, and keep its mean for :meth:`fold`.

        Raises :class:`NonFiniteActivationError` if an activation is not finite.
        """
        if not self._filled:
            return
        chunk = self._buffer[: self._filled]
        mean = column_means(chunk)
        if not bool(mean.isfinite().all()):
            column = int((~mean.isfinite()).nonzero()[0])
            layer = next(layer for layer, part in self._layers.items() if part.start <= column < part.stop)
            raise NonFiniteActivationError(column, layer)
        centre = mean.to(self._buffer.dtype)
        chunk.sub_(centre)
        self.squares += self._filled * column_means(chunk, power=2)
        multiplied = operands(chunk, self.mode)
        for total, (rows, cols) in zip(self.sums, self.products, strict=True):
            self._accumulate(total, multiplied[:, rows], multiplied[:, cols])
        self._pending.append((self._filled, mean, mean - centre.double()))
        self._filled = 0
        if len(self._pending) == FOLD_EVERY:
            self.fold()

    def _accumulate(self, total: Tensor, x: Tensor, y: Tensor) -> None:
        if total.dtype == self._scratch.dtype and (x.dtype == total.dtype or adds_in_place(x.dtype, x.device)):
            add_product(total, x, y)
            return
        for rows, cols in _blocks(total.shape):
            part = total[rows, cols]
            block = self._scratch[: part.numel()].view(part.shape)
            put_product(block, x[:, rows], y[:, cols])
            add_to(part, block)

    def fold(self) -> None:
        """Merge the pending chunks: the differences of their means and the rounding of their centres, as one product.

        Merged one by one, each chunk would take an outer product (Chan, Golub & LeVeque); many chunks at once are the
        same sum for the price of one.  Deviations are taken from the first mean, so that equal means differ by exactly
        0.
        """
        if not self._pending:
            return
        chunks = [(self.count, self.mean)] if self.count else []
        chunks += [(count, mean) for count, mean, _ in self._pending]
        counts = torch.tensor([count for count, _ in chunks], dtype=torch.float64, device=self.mean.device)
        offsets = torch.stack([mean for _, mean in chunks]) - chunks[0][1]
        offset = (counts / counts.sum()) @ offsets
        between = (offsets - offset) * counts.sqrt()[:, None]
        rounding = torch.stack([count**0.5 * rest for count, _, rest in self._pending])
        self.squares += between.square().sum(0) - rounding.square().sum(0)
        for total, (rows, cols) in zip(self.sums, self.products, strict=True):
            total.addmm_(between[:, rows].T.to(total.dtype), between[:, cols].to(total.dtype))
            total.addmm_(rounding[:, rows].T.to(total.dtype), rounding[:, cols].to(total.dtype), alpha=-1)
        self.mean = chunks[0][1] + offset
        self.count += sum(count for count, _, _ in self._pending)
        self._pending.clear()

    def settle(self) -> None:
        """End the current chunk and merge all pending ones, so that the sums cover all tokens added so far."""
        self.flush()
        self.fold()

    def finish(self) -> None:
        """Settle and release the buffers; no tokens can be added afterwards."""
        self.settle()
        self._buffer, self._scratch = self._buffer.new_empty(0, 0), self._scratch.new_empty(0)

    def spread(self, columns: Int[Tensor, " neuron"]) -> NeuronSpread:
        """Means and spreads of some columns, of the settled tokens."""
        return NeuronSpread(self.count, self.mean[columns], self.squares[columns])

    def state(self) -> dict[str, Tensor]:
        """The tensors from which sums of the same products resume to the last bit; views, not copies."""
        counts = torch.tensor([self.count, *(count for count, _, _ in self._pending)], dtype=torch.int64)
        none = self.mean.new_empty(0, len(self.mean))
        return {
            "counts": counts,
            "mean": self.mean,
            "squares": self.squares,
            "waiting": self._buffer[: self._filled],
            "means": torch.stack([mean for _, mean, _ in self._pending]) if self._pending else none,
            "rests": torch.stack([rest for _, _, rest in self._pending]) if self._pending else none,
            **{f"sums {number}": total for number, total in enumerate(self.sums)},
        }

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Resume from :meth:`state`; raises ValueError if it belongs to sums of other shapes."""
        shapes = {name: tuple(tensor.shape) for name, tensor in self.state().items() if name.startswith("sums")}
        if shapes != {name: tuple(tensor.shape) for name, tensor in state.items() if name.startswith("sums")}:
            raise ValueError("the state of other sums")
        for number, total in enumerate(self.sums):
            total.copy_(state[f"sums {number}"])
        self.mean.copy_(state["mean"])
        self.squares.copy_(state["squares"])
        self.count, *pending = state["counts"].tolist()
        means, rests = (state[name].to(self.mean) for name in ("means", "rests"))
        self._pending = list(zip(pending, means.unbind(), rests.unbind(), strict=True))
        self._filled = len(state["waiting"])
        self._buffer[: self._filled].copy_(state["waiting"])


def row_distance(columns: int) -> int:
    """Numbers from the beginning of a row of a chunk to the next, an odd number of cache lines.

    By a multiple of a page, the same column of all rows would share a few places of the cache, and a product of the
    chunk would take twice the time.

    >>> row_distance(5 * 2048), row_distance(100)
    (10256, 112)
    """
    lines = -(-columns // _LINE)
    return (lines + 1 - lines % 2) * _LINE


def _blocks(shape: Sequence[int]) -> Iterator[tuple[slice, slice]]:
    """The blocks of a matrix that are multiplied at a time: a block stays in a CPU's cache until it is added."""
    rows, columns = ([slice(at, at + PRODUCT_WIDTH) for at in range(0, size, PRODUCT_WIDTH)] for size in shape)
    return product(rows, columns)


def product_shape(rows: slice, columns: slice) -> tuple[int, int]:
    """Rows and columns of the product of two column ranges."""
    return rows.stop - rows.start, columns.stop - columns.start


def add_to(total: Float[Tensor, "x y"], product: Float[Tensor, "x y"]) -> None:
    """Add a product to sums of a longer type."""
    if total.device.type != "cpu":
        total.add_(product)
        return
    # On a CPU torch converts the whole product before it adds; slices that stay in the cache are five times faster.
    for start in range(0, len(total), ROWS_IN_CACHE):
        rows = slice(start, start + ROWS_IN_CACHE)
        total[rows].add_(product[rows].to(total.dtype))
