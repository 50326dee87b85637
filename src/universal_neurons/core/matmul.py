# ruff: noqa: F722  (jaxtyping's shapes are strings that are not Python)
"""How activations are multiplied: which operands, which kernel, and what it may cost in exactness.

This module decides which of torch's kernels is used.  What a named precision computes depends on the machine: "medium"
is an exact float32 kernel on one CPU, twice as fast as the default, and rounds its operands to bfloat16 on the next.
So it is never believed by its name: its error is measured first.

A *mode* says what operands are rounded to.  Sums over tokens are float32 or better in every mode:

    float32   nothing is rounded beyond float32
    tf32      operands with 10 bits of mantissa, as a GPU's tensor cores take them; no other device has them
    bfloat16  operands with 7 bits of mantissa; on a CPU they are rounded and multiplied as float32, which gives the
              same numbers and saves no time

``BOUNDS`` says by how much a correlation may differ from that of float64 activations in each; what differs by more, on
blocks that are summed up in float64 beside the others, is refused.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Literal, assert_never, get_args

import torch
from jaxtyping import Float
from torch import Tensor

Precision = Literal["medium", "high", "highest"]
Mode = Literal["float32", "tf32", "bfloat16"]

CORRELATION_TOLERANCE = 5e-7
# Of a correlation.  Rounding errors of tokens are independent, so what few tokens decide is least exact: a correlation
# of one token with another is off by a whole unit in the last place of an operand.
BOUNDS: dict[Mode, float] = {"float32": 5e-6, "tf32": 5e-4, "bfloat16": 4e-3}


class UnknownDeviceMode(ValueError):
    """A mode that the device does not have."""


def check_mode(mode: Mode, *, device: torch.device | str = "cpu") -> None:
    """Raises :class:`UnknownDeviceMode` for TF32 where there are no tensor cores: there its name computes float32."""
    if mode == "tf32" and torch.device(device).type != "cuda":
        raise UnknownDeviceMode(f"tf32 is a format of NVIDIA's GPUs, and the device is {torch.device(device).type}")


@contextmanager
def mode_of_products(mode: Mode, *, device: torch.device | str = "cpu") -> Iterator[None]:
    """Products of float32 tensors as ``mode`` has them inside the block; the setting of before comes back afterwards.

    Raises :class:`UnknownDeviceMode`; see :func:`check_mode`.
    """
    check_mode(mode, device=device)
    chosen: Precision = "high" if mode == "tf32" else checked_precision(device=device)
    with matmul_precision(chosen):
        yield


def operands(values: Float[Tensor, "token neuron"], mode: Mode) -> Float[Tensor, "token neuron"]:
    """``values`` as they enter a product in ``mode``: bfloat16 itself on a GPU, its numbers in float32 on a CPU."""
    match mode:
        case "float32" | "tf32":
            return values
        case "bfloat16":
            rounded = values.to(torch.bfloat16)
            return rounded.float() if values.device.type == "cpu" else rounded
        case _:
            assert_never(mode)


def put_product(target: Float[Tensor, "x y"], x: Float[Tensor, "token x"], y: Float[Tensor, "token y"]) -> None:
    """Put x^T y into ``target`` (float32); what bfloat16 operands give is never rounded to bfloat16."""
    if x.dtype == target.dtype:
        torch.mm(x.T, y, out=target)
    else:
        torch.mm(x.T, y, target.dtype, out=target)


def add_product(total: Float[Tensor, "x y"], x: Float[Tensor, "token x"], y: Float[Tensor, "token y"]) -> None:
    """Add x^T y to ``total`` (float32), in place; bfloat16 operands where :func:`adds_in_place` says so."""
    if x.dtype == total.dtype:
        total.addmm_(x.T, y)
    else:
        torch.addmm(total, x.T, y, total.dtype, out=total)


@cache
def adds_in_place(dtype: torch.dtype, device: torch.device) -> bool:
    """Whether :func:`add_product` adds products of ``dtype`` operands to float32 sums here, found out by doing it.

    Versions of torch differ in whether they have this, and in whether they add to what was there.
    """
    x = torch.arange(1, 65, dtype=torch.float32, device=device).reshape(4, 16)
    total = torch.ones(16, 16, device=device)
    expected = 1 + x.T @ x
    try:
        add_product(total, x.to(dtype), x.to(dtype))
    except (RuntimeError, TypeError):
        return False
    return bool(torch.equal(total, expected))


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
