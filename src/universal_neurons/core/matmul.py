# ruff: noqa: F722  (jaxtyping's shapes are strings that are not Python)
"""The fastest float32 product whose error was measured on this machine.

This module decides which of torch's float32 kernels is used.  What a named precision computes depends on the machine:
"medium" is an exact float32 kernel on one CPU, twice as fast as the default, and rounds its operands to bfloat16 on
the next.  So it is never believed by its name: its error is measured first.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

Precision = Literal["medium", "high", "highest"]

CORRELATION_TOLERANCE = 5e-7


@contextmanager
def matmul_precision(precision: Precision) -> Iterator[None]:
    """float32 products in ``precision`` inside the block; the setting of before comes back afterwards."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def product_error(
    precision: Precision, *, tokens: int = 2048, width: int = 512, device: torch.device | str = "cpu"
) -> float:
    """Largest error of a product X^T Y in ``precision``, in units of correlation: max_ij |P - P64|_ij / (|x_i| |y_j|).

    X and Y (token neuron) are seeded Gaussian samples, y_i = 0.8 x_i + 0.6 noise, so that one product per neuron adds
    terms of one sign, where rounding grows fastest.  The shape is a parameter because a library may choose another
    kernel for another shape.
    """
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(tokens, width, generator=generator)
    y = 0.8 * x + 0.6 * torch.randn(tokens, width, generator=generator)
    x, y = x.to(device), y.to(device)
    with matmul_precision(precision):
        product = _correlation_units(x.T @ y, x, y)
    exact = _correlation_units(x.T.double() @ y.double(), x, y)
    return float((product - exact).abs().max())


def _correlation_units(
    product: Float[Tensor, "x y"], x: Float[Tensor, "token x"], y: Float[Tensor, "token y"]
) -> Float[Tensor, "x y"]:
    norm_x, norm_y = torch.linalg.vector_norm(x.double(), dim=0), torch.linalg.vector_norm(y.double(), dim=0)
    scaled: Tensor = product.double() / norm_x[:, None] / norm_y
    return scaled


def checked_precision(
    tolerance: float = CORRELATION_TOLERANCE,
    *,
    tokens: int = 2048,
    width: int = 512,
    device: torch.device | str = "cpu",
) -> Precision:
    """The first of medium, high, highest whose :func:`product_error` is at most ``tolerance``; else highest.

    The order is fixed and nothing is timed: two runs on one machine choose the same kernel and give the same bits.
    """
    for precision in get_args(Precision):
        if product_error(precision, tokens=tokens, width=width, device=device) <= tolerance:
            chosen: Precision = precision
            return chosen
    return "highest"


@contextmanager
def fastest_checked_precision(
    tolerance: float = CORRELATION_TOLERANCE,
    *,
    tokens: int = 2048,
    width: int = 512,
    device: torch.device | str = "cpu",
) -> Iterator[Precision]:
    """float32 products by the kernel of :func:`checked_precision` inside the block; yields its name, for the key."""
    precision = checked_precision(tolerance, tokens=tokens, width=width, device=device)
    with matmul_precision(precision):
        yield precision
