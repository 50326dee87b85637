"""The arithmetic of a pass outside its products, counted on a pretend GPU, and the speed that it leaves to a real one.

Every operation that the accumulator and the stream of activations ask of a GPU is counted at a small shape: bytes read
and written per activation hardly depend on it.  At the shape of GPT-2 Small (five models, one of them read twice for
the null of permuted tokens, all pairs) a token then takes, at the published peaks of a device and one after the other,

    products in the precision of the suite + forward passes in float32 + bytes outside products / bandwidth.

The share of the products' peak that can be reached is the first of these over the sum.  A report is printed by
``nox -s gpu``; ``tests/bench/test_roofline.py`` holds what it says.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from itertools import combinations
from typing import get_args

import pytest
import torch

from tests.pretend_gpu import pretend_gpu
from universal_neurons.core.accumulator import PairwiseAccumulator
from universal_neurons.core.activations import stream
from universal_neurons.core.matmul import PrecisionMode, mode_of_products
from universal_neurons.core.tiling import Workload, operations_per_token
from universal_neurons.inputs.bridge import random_bridge
from universal_neurons.stages.costs import BLOCK_BYTES, Shape
from universal_neurons.stages.speeds import DEVICES, TERA

GPT2_SMALL, MODELS = Shape(12, 768, 12, 3072, 50257, 1024, 512), 5
# Small, but with chunks long enough that what happens once per chunk does not count.
LAYERS, WIDTH, ROWS, ROW = 2, 512, 16, 64
# Of the sampled neurons in float64 there are eight in a layer, whatever its width.
SAMPLED = "core/precision_audit.py"


def bytes_per_activation(mode: PrecisionMode) -> dict[str, float]:
    """Bytes read and written per activation outside products, by place: ``core/comoments.py flush``."""
    tokens = torch.randint(64, (ROWS, ROW), generator=torch.Generator().manual_seed(0))
    with pytest.MonkeyPatch.context() as patches, pretend_gpu(patches) as noted:
        bridge = random_bridge(layers=LAYERS, width=64, heads=1, mlp=WIDTH, vocabulary=64, context=ROW)
        model = bridge.to("cuda")
        found = PairwiseAccumulator(
            [[WIDTH] * LAYERS] * 2,
            chunk_tokens=ROWS * ROW,
            mode=mode,
            accumulate=torch.float32,
            device="cuda",
            groups=1,
        )
        with mode_of_products(mode, device="cuda"):
            (batch,) = stream(model, tokens, torch.ones(ROWS, ROW, dtype=torch.bool), batch_rows=ROWS)
            joined = {place: size for place, size in noted.bytes.items() if place.endswith("_joined")}
            noted.clear()
            # The buffer is full with the last token, so the chunk is multiplied.
            found.add([batch.values] * 2, torch.zeros(len(batch), dtype=torch.int64))
    activations = LAYERS * WIDTH * ROWS * ROW
    added = {
        place: size / 2 for place, size in noted.bytes.items() if not place.startswith((SAMPLED, "core/matmul.py a"))
    }
    # Products in blocks that are added to float64 sums, once per chunk: of the layers with themselves.
    added.pop("core/comoments.py add_to", None)
    return {place: size / activations for place, size in (joined | added).items()}


@dataclass(frozen=True)
class Roofline:
    """Seconds per token of a pass at GPT-2 Small's shape on ``device`` at its peaks: three parts, one after the other.

    ``own``: of the products, the share of layers with themselves, half of which a symmetric product would save.
    """

    device: str
    mode: PrecisionMode
    products: float
    forward: float
    outside: float
    own: float

    @property
    def reachable(self) -> float:
        """The share of the products' peak that is left."""
        return self.products / (self.products + self.forward + self.outside)

    def __str__(self) -> str:
        parts = {"products": self.products, "forward passes": self.forward, "elementwise work": self.outside}
        said = ", ".join(f"{name} {1e6 * seconds:.1f} us" for name, seconds in parts.items())
        first = max(list(parts)[1:], key=lambda name: parts[name])
        return (
            f"{self.device}, {self.mode}: {said} per token; {self.reachable:.0%} of the products' peak can be reached; "
            f"first to change: {first}; symmetric products of a layer with itself would save {self.own / 2:.1%} of them"
        )


def roofline(name: str, mode: PrecisionMode) -> Roofline | None:
    """The roofline of a device of ``devices.toml``; None where it does not have the precision."""
    device = tomllib.loads(DEVICES.read_text(encoding="utf-8"))["devices"][name]
    if mode not in device:
        return None
    shape, streams = GPT2_SMALL, MODELS + 1
    pairs = (*combinations(range(MODELS), 2), *((partner, MODELS) for partner in range(1, MODELS)))
    work = Workload(widths=((shape.mlp,) * shape.layers,) * streams, pairs=pairs, sum_bytes=4)
    operations = operations_per_token(work, work.whole())
    moved = sum(bytes_per_activation(mode).values()) * shape.neurons * streams
    moved += MODELS * shape.layers * shape.width * BLOCK_BYTES
    return Roofline(
        device=device["title"],
        mode=mode,
        products=operations / (device[mode] * TERA),
        forward=MODELS * shape.forward_operations / (device["float32"] * TERA),
        outside=moved / (device["bandwidth"] * TERA),
        own=2 * streams * shape.layers * shape.mlp**2 / operations,
    )


def report() -> str:
    """Bytes per activation in every precision, and the rooflines of an H200 and of a card with 24 GB."""
    lines = ["Bytes read and written per activation outside products:"]
    for mode in get_args(PrecisionMode):
        places = bytes_per_activation(mode)
        said = ", ".join(f"{place.split()[1]} {size:.1f}" for place, size in places.items() if size > 0.05)
        lines.append(f"- {mode}: {sum(places.values()):.0f} ({said})")
    lines.append("At the shape of GPT-2 Small, at published peaks:")
    found = (roofline(name, mode) for name in ("h200", "rtx4090") for mode in get_args(PrecisionMode))
    return "\n".join([*lines, *(f"- {one}" for one in found if one is not None)])


if __name__ == "__main__":
    print(report())
