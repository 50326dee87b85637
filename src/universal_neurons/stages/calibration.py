"""The measurement of a device's speed: each kind of work on made-up numbers, a few seconds once.

Shapes are fixed, so that one measurement serves every suite.  Models' blocks are measured at the widths of the mini
suite and of GPT-2 Small, because small products cost more per operation.  Wherever that is short, the project's own
code runs.  The fastest of several runs counts: a speed is kept, and whatever else kept the device busy when it
was measured is gone when a suite is computed.
"""

from __future__ import annotations

import hashlib
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from universal_neurons.inputs.bridge import random_bridge
from universal_neurons.inputs.corpus import Document, encode_documents
from universal_neurons.inputs.suite_file import Precision
from universal_neurons.inputs.tokenization import train_tokenizer
from universal_neurons.stages.batches import CHUNK_TOKENS
from universal_neurons.stages.costs import Shape, WorkKind
from universal_neurons.stages.models import placed
from universal_neurons.stages.resources import ROTATION_WORKERS, held, rotation_workers
from universal_neurons.stages.speeds import KEPT, DeviceSpeed, available_threads, measured_where
from universal_neurons.stages.workspace import WORK_FOLDER

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch
    from torch import Tensor

# Seconds of runs per measurement.
RUNNING = 0.15
LAYERS, HEAD, ROW = 2, 32, 128
# Positions of a run of models' blocks, by their width: about as much work in each.
POSITIONS = {128: 4096, 768: 1024}
# Neurons of a model whose products are accumulated, and width of a rotated layer.
NEURONS = {"cpu": 1024, "cuda": 8192}
LAYER = {"cpu": 512, "cuda": 2048}
LOADED_BYTES, TRAINED_CHARACTERS = 2**24, 100_000
# Bytes of a model that are digested in the time in which one is loaded: read, digested, copied, put behind a bridge.
DIGESTED = 4


def measured_speed(device: torch.device, *, running: float = RUNNING) -> DeviceSpeed:
    """The speed of torch's ``device`` (cpu or cuda), over ``running`` seconds per measurement."""
    import torch

    when = f"{time.strftime('%Y-%m-%d')} with torch {measured_where('cpu')['torch']}{other_load()}"
    # The backend is imported, and a GPU's libraries are loaded.
    placed(random_bridge(layers=1, width=HEAD, heads=1, mlp=HEAD, vocabulary=8, context=ROW), device)
    process, bench = held(), Bench(device, running)
    return DeviceSpeed(
        device=device_name(device),
        kind="cuda" if device.type == "cuda" else "cpu",
        threads=torch.get_num_threads(),
        forward={width: bench.forward(width) for width in POSITIONS},
        products={precision: bench.product(precision) for precision in precisions(device)},
        rates={
            WorkKind.BASELINE: bench.matrix_product(torch.float32),
            WorkKind.DOUBLE: bench.matrix_product(torch.float64),
            WorkKind.MEMORY: bench.memory(),
            WorkKind.RANDOM: bench.random(),
            WorkKind.TEXT: bench.text(),
            WorkKind.LOADING: bench.loading(),
        },
        memory_bytes=torch.cuda.get_device_properties(device).total_memory if device.type == "cuda" else 0,
        process_bytes=process,
        source=f"speeds measured on it on {when}; to measure them again, delete {WORK_FOLDER}/{KEPT}",
    )


def other_load() -> str:
    """A warning for the plan where other work keeps half of the processors busy, which makes a device look slow."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    return f", while other work kept the processors busy (load {load:.1f})" if load > available_threads() / 2 else ""


def precisions(device: torch.device) -> list[str]:
    """The precisions of products that a device has."""
    from universal_neurons.core.matmul import UnknownDeviceMode, check_mode

    known = []
    for precision in get_args(Precision):
        with suppress(UnknownDeviceMode):
            check_mode(precision, device=device)
            known.append(precision)
    return known


def device_name(device: torch.device) -> str:
    """The name of a GPU, or the CPU with the number of threads that torch uses."""
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"CPU, {threads} thread{'' if threads == 1 else 's'}"


@dataclass(frozen=True)
class Bench:
    """One method per measurement, each of which returns units of work per second on ``device``."""

    device: torch.device
    running: float

    def forward(self, width: int) -> float:
        """Operations of models' blocks: as many models side by side as a processor has threads."""
        import torch

        from universal_neurons.core.ablation import Ablation, AblationEngine
        from universal_neurons.core.matmul import matmul_precision
        from universal_neurons.core.threads import parallel_map, single_threads

        rows = torch.randint(64, (POSITIONS[width] // ROW, ROW), generator=_generator()).to(self.device)
        shape = Shape(LAYERS, width, width // HEAD, 4 * width, 64, ROW, ROW)
        model = random_bridge(layers=LAYERS, width=width, heads=shape.heads, mlp=shape.mlp, vocabulary=64, context=ROW)
        bridge = placed(model, self.device)
        first = Ablation(torch.tensor([0]))
        with torch.no_grad(), matmul_precision("highest"), single_threads(self.device) as threads:
            engines = [AblationEngine(bridge) for _ in range(threads)]
            clean = engines[0].clean(rows, seed=0)
            # The blocks above the first ablated layer run again: all but one.
            seconds = self._seconds(
                lambda: list(parallel_map(engines, lambda engine, _: engine.change(clean, first), engines))
            )
        return threads * rows.numel() * (LAYERS - 1) * shape.block_operations / seconds

    def product(self, precision: Any) -> float:
        """Operations of products of three models that are added up as all pairs' are."""
        import torch

        from universal_neurons.core.accumulator import PairwiseAccumulator
        from universal_neurons.core.matmul import mode_of_products

        kind, neurons = self.device.type, NEURONS[self.device.type]
        widths, chunk = (neurons // 4,) * 4, CHUNK_TOKENS[kind]
        accumulator = PairwiseAccumulator(
            [widths] * 3,
            chunk_tokens=chunk,
            mode=precision,
            accumulate=torch.float64 if kind == "cpu" else torch.float32,
            device=self.device,
        )
        values = [self._normal(chunk, neurons)] * 3
        block = torch.zeros(chunk, dtype=torch.int64)
        entries = 3 * neurons**2 + 3 * sum(width**2 for width in widths)
        with mode_of_products(precision, device=self.device):
            return 2 * chunk * entries / self._seconds(lambda: accumulator.add(values, block))

    def matrix_product(self, dtype: torch.dtype) -> float:
        """Operations of a product of ``dtype``, with the largest entry of every row."""
        from universal_neurons.core.matmul import matmul_precision

        width = LAYER[self.device.type]
        left, right = self._normal(8 * width, width).to(dtype), self._normal(width, width).to(dtype)
        with matmul_precision("highest"):
            return 16 * width**3 / self._seconds(lambda: (left @ right.T).amax(1))

    def memory(self) -> float:
        """Bytes of comoments that adding up two sets of tokens reads and writes."""
        from universal_neurons.core.accumulator import cross_moments

        widths = (LAYER[self.device.type],) * 4
        values = self._normal(256, sum(widths))
        cross = cross_moments(values, values, x_widths=widths, y_widths=widths)
        return 3 * cross.comoment.nbytes / self._seconds(lambda: cross + cross)

    def random(self) -> float:
        """Random numbers that a processor draws, beside a GPU by as many threads as the engine has for that."""
        from universal_neurons.core.nulls import Rotations

        width, draws = LAYER["cpu"], 2 * ROTATION_WORKERS
        workers = rotation_workers(self.device)
        rotations = Rotations("gaussian", seed=0, model="y", draws=draws, kept_bytes=0, workers=workers)
        seconds = self._seconds(lambda: [rotations(0, width, draw) for draw in range(draws)])
        rotations.close()
        return draws * width**2 / seconds

    def text(self) -> float:
        """Characters of this package's own source that are encoded."""
        sources = sorted(Path(__file__).parents[1].rglob("*.py"))
        documents = [Document("source", path.name, path.read_text(encoding="utf-8")) for path in sources]
        tokenizer = train_tokenizer(documents, vocabulary=512, seed=0, characters=TRAINED_CHARACTERS)
        characters = sum(len(document.text) for document in documents)
        return characters / self._seconds(lambda: encode_documents(documents, tokenizer))

    def loading(self) -> float:
        """Bytes of a model that are loaded, by how long it takes to digest them."""
        content = bytes(LOADED_BYTES)
        return LOADED_BYTES / DIGESTED / self._seconds(lambda: hashlib.sha256(content).digest())

    def _normal(self, *sizes: int) -> Tensor:
        import torch

        return torch.randn(*sizes, generator=_generator()).to(self.device)

    def _seconds(self, run: Callable[[], object]) -> float:
        """The least time of a run, after one that does not count."""
        import torch

        def timed() -> float:
            start = time.perf_counter()
            run()
            if self.device.type == "cuda":
                torch.cuda.synchronize(self.device)
            return time.perf_counter() - start

        timed()
        times = [timed()]
        while sum(times) < self.running:
            times.append(timed())
        return min(times)


def _generator() -> torch.Generator:
    import torch

    return torch.Generator().manual_seed(0)
