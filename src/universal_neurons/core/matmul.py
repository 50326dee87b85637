# ruff: noqa: F722  (jaxtyping's shapes are strings that are not Python)
"""Products of activations: the precision of the operands, the kernel, and bounds on the error.

The kernel behind a name of torch's depends on the machine: "medium" is an exact float32 kernel on one CPU, twice as
fast as the default, and rounds its operands to bfloat16 on the next.  So its error is measured before it is used.

A *mode* is the precision to which operands are rounded.  Sums over tokens are float32 or better in every mode:

    float32   nothing is rounded beyond float32
    tf32      operands with 10 bits of mantissa, in the tensor cores of NVIDIA's GPUs; no other device has them
    bfloat16  operands with 7 bits of mantissa; on a CPU they are rounded and multiplied as float32, which gives the
              same numbers and saves no time

``BOUNDS``: the largest accepted difference of a correlation from float64 in each mode, measured by
:mod:`universal_neurons.core.precision_audit`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Literal, assert_never, get_args

import torch
from jaxtyping import Float
from torch import Tensor

KernelPrecision = Literal["medium", "high", "highest"]
PrecisionMode = Literal["float32", "tf32", "bfloat16"]

CORRELATION_TOLERANCE = 5e-7
# Rounding errors of tokens are independent, so a correlation that few tokens decide is least exact: between two tokens
# it is off by a whole unit in the last place of an operand.
BOUNDS: dict[PrecisionMode, float] = {"float32": 5e-6, "tf32": 5e-4, "bfloat16": 4e-3}


class UnknownDeviceMode(ValueError):
    """The device does not have this precision."""


def check_mode(mode: PrecisionMode, *, device: torch.device | str = "cpu") -> None:
    """Raise :class:`UnknownDeviceMode` for TF32 without tensor cores: there the same name computes float32."""
    if mode == "tf32" and torch.device(device).type != "cuda":
        raise UnknownDeviceMode(f"tf32 is a format of NVIDIA's GPUs, and the device is {torch.device(device).type}")


@contextmanager
def mode_of_products(mode: PrecisionMode, *, device: torch.device | str = "cpu") -> Iterator[None]:
    """Multiply float32 tensors in ``mode`` inside the block; restore torch's setting afterwards.

    Raises :class:`UnknownDeviceMode`; see :func:`check_mode`.
    """
    check_mode(mode, device=device)
    chosen: KernelPrecision = "high" if mode == "tf32" else checked_precision(device=device)
    with matmul_precision(chosen):
        yield


def operands(values: Float[Tensor, "token neuron"], mode: PrecisionMode) -> Float[Tensor, "token neuron"]:
    """Round ``values`` to the operands of a product in ``mode``: bfloat16 on a GPU, its numbers in float32 on a CPU."""
    match mode:
        case "float32" | "tf32":
            return values
        case "bfloat16":
            rounded = values.to(torch.bfloat16)
            return rounded.float() if values.device.type == "cpu" else rounded
        case _:
            assert_never(mode)


def put_product(target: Float[Tensor, "x y"], x: Float[Tensor, "token x"], y: Float[Tensor, "token y"]) -> None:
    """Write x^T y to ``target`` (float32); products of bfloat16 operands are not rounded to bfloat16."""
    if x.dtype == target.dtype:
        torch.mm(x.T, y, out=target)
    else:
        torch.mm(x.T, y, target.dtype, out=target)


def add_product(total: Float[Tensor, "x y"], x: Float[Tensor, "token x"], y: Float[Tensor, "token y"]) -> None:
    """Add x^T y to ``total`` (float32), in place; bfloat16 operands only where :func:`adds_in_place` is true."""
    if x.dtype == total.dtype:
        total.addmm_(x.T, y)
    else:
        torch.addmm(total, x.T, y, total.dtype, out=total)


@cache
def adds_in_place(dtype: torch.dtype, device: torch.device) -> bool:
    """True if :func:`add_product` adds products of ``dtype`` operands to float32 sums on this device, by trying it.

    Some versions of torch lack this operation, and some overwrite the sums.
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
def matmul_precision(precision: KernelPrecision) -> Iterator[None]:
    """Multiply float32 tensors in ``precision`` inside the block; restore torch's setting afterwards."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def product_error(
    precision: KernelPrecision, *, tokens: int = 2048, width: int = 512, device: torch.device | str = "cpu"
) -> float:
    """Largest error of a product X^T Y in ``precision``, in units of correlation: max_ij |P - P64|_ij / (|x_i| |y_j|).

    X and Y (token neuron) are seeded Gaussian samples, y_i = 0.8 x_i + 0.6 noise, so that one product per neuron adds
    terms of one sign, where rounding grows fastest.  The shape is a parameter because libraries choose kernels by it.
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


@cache
def checked_precision(*, device: torch.device | str = "cpu") -> KernelPrecision:
    """The first of medium, high, highest with a :func:`product_error` of at most ``CORRELATION_TOLERANCE``, or highest.

    The order is fixed and nothing is timed: two runs on one machine choose the same kernel and give the same bits.
    Measured once per process and device.
    """
    for precision in get_args(KernelPrecision):
        if product_error(precision, device=device) <= CORRELATION_TOLERANCE:
            chosen: KernelPrecision = precision
            return chosen
    return "highest"
