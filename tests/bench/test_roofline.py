"""What the pretend GPU counts is what one counts by hand, and the rooflines follow from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.bench.roofline import bytes_per_activation, report, roofline
from universal_neurons.stages.costs import STREAMED_BYTES

if TYPE_CHECKING:
    from universal_neurons.core.matmul import PrecisionMode

# Read and written in float32: a layer is picked out and put beside the others, picked out and put into the buffer,
# summed and its squares summed, centred in place.
BY_HAND = {
    "core/activations.py _joined": 16,
    "core/comoments.py add": 16,
    "core/moments.py column_means": 8,
    "core/comoments.py flush": 8,
}


@pytest.mark.parametrize(("mode", "more"), [("float32", {}), ("bfloat16", {"core/matmul.py operands": 6})])
def test_bytes_are_those_that_one_counts_by_hand(mode: PrecisionMode, more: dict[str, int]) -> None:
    found = {place: size for place, size in bytes_per_activation(mode).items() if size > 0.05}
    assert found == pytest.approx(BY_HAND | more, rel=0.06)


def test_a_plan_for_a_gpu_takes_the_bytes_that_are_counted() -> None:
    assert STREAMED_BYTES["cuda"] == pytest.approx(sum(bytes_per_activation("bfloat16").values()), rel=0.03)


def test_the_faster_the_products_the_less_of_their_peak_is_left() -> None:
    exact, rounded = roofline("h200", "float32"), roofline("h200", "bfloat16")
    assert exact is not None
    assert rounded is not None
    assert rounded.products == pytest.approx(exact.products * 67 / 989)
    assert rounded.forward == exact.forward
    assert rounded.reachable < exact.reachable < 1
    # Sixty layers of 3072 neurons with themselves, beside fourteen pairs of 36,864.
    assert exact.own == pytest.approx(6 * 12 / (6 * 12 + 14 * 144), rel=1e-6)
    assert roofline("t4", "tf32") is None


def test_the_report_has_both_devices_in_all_precisions() -> None:
    lines = report().splitlines()
    assert sum("of the products' peak can be reached" in line for line in lines) == 6
