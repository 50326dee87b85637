"""The float32 kernel is chosen by its measured error, and torch's setting is restored."""

from typing import get_args

import pytest
import torch

from universal_neurons.core import matmul
from universal_neurons.core.matmul import (
    CORRELATION_TOLERANCE,
    KernelPrecision,
    UnknownDeviceMode,
    add_product,
    adds_in_place,
    checked_precision,
    matmul_precision,
    mode_of_products,
    operands,
    product_error,
    put_product,
)


def test_the_default_kernel_of_this_machine_is_within_the_stated_bound() -> None:
    assert 0 < product_error("highest", tokens=512, width=64) <= CORRELATION_TOLERANCE


def test_the_chosen_kernel_is_within_its_tolerance_or_the_default() -> None:
    chosen = checked_precision()
    assert chosen == "highest" or product_error(chosen) <= CORRELATION_TOLERANCE


@pytest.mark.parametrize(
    ("errors", "chosen"),
    [
        ({"medium": 1e-8, "high": 1e-8, "highest": 1e-8}, "medium"),
        ({"medium": 7e-4, "high": 1e-8, "highest": 1e-8}, "high"),
        ({"medium": 7e-4, "high": 1e-5, "highest": 1e-8}, "highest"),
        ({"medium": 7e-4, "high": 1e-5, "highest": 1e-6}, "highest"),
    ],
)
def test_a_kernel_that_rounds_too_much_is_passed_over(
    errors: dict[KernelPrecision, float], chosen: KernelPrecision, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measured(precision: KernelPrecision, **_: object) -> float:
        return errors[precision]

    monkeypatch.setattr(matmul, "product_error", measured)
    assert checked_precision.__wrapped__() == chosen


def test_the_error_of_rounding_to_bfloat16_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    product = torch.Tensor.__matmul__

    def rounded(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return product(a, b) if a.dtype == torch.float64 else product(a.bfloat16().float(), b.bfloat16().float())

    monkeypatch.setattr(torch.Tensor, "__matmul__", rounded)
    assert product_error("highest", tokens=512, width=64) > 10 * CORRELATION_TOLERANCE


@pytest.mark.parametrize("before", get_args(KernelPrecision))
def test_the_setting_is_restored_even_after_an_error(before: KernelPrecision) -> None:
    with matmul_precision(before):
        with pytest.raises(RuntimeError, match="boom"), matmul_precision("high"):
            raise RuntimeError("boom")
        assert torch.get_float32_matmul_precision() == before


def test_bfloat16_operands_are_rounded_and_their_products_are_not() -> None:
    values = torch.tensor([[1.0, 1.00390625], [3.0, 257.0]])
    rounded = operands(values, "bfloat16")
    assert rounded.dtype == torch.float32
    assert rounded.tolist() == [[1.0, 1.0], [3.0, 256.0]]
    assert operands(values, "float32") is values
    total = torch.ones(2, 2)
    add_product(total, rounded, rounded)
    assert total.tolist() == [[11.0, 770.0], [770.0, 65538.0]]
    put_product(total, rounded, rounded)
    assert total.tolist() == [[10.0, 769.0], [769.0, 65537.0]]


def test_a_precision_that_the_device_does_not_have_is_refused() -> None:
    with pytest.raises(UnknownDeviceMode, match="the device is cpu"), mode_of_products("tf32"):
        raise AssertionError("must not get here")


def test_the_setting_is_restored_after_a_mode() -> None:
    before = torch.get_float32_matmul_precision()
    with mode_of_products("bfloat16"):
        assert torch.get_float32_matmul_precision() == checked_precision()
    assert torch.get_float32_matmul_precision() == before


def test_adding_in_place_is_found_out_by_trying_it(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = torch.device("cpu")
    assert adds_in_place.__wrapped__(torch.float32, cpu)
    assert not adds_in_place.__wrapped__(torch.bfloat16, cpu)
    # One that forgets what was there.
    monkeypatch.setattr("universal_neurons.core.matmul.add_product", lambda total, x, y: total.copy_(x.T @ y))
    assert not adds_in_place.__wrapped__(torch.float32, cpu)
