"""Everything that is worth measuring on a GPU, in one run: ``nox -s gpu`` (``python -m tests.bench.gpu --out FOLDER``).

Without a GPU the same code runs at a reduced size and says so, which rehearses it.  The parts come in the order of what
they are worth, and each is written when it is done, so that a run may be stopped after any of them:

- ``roofline.txt``: what the passes do outside their products, counted, and the speed that this leaves;
- ``shape.json``: the engine at the shape of GPT-2 Small in every precision (``bench_shape.py``);
- ``ablation.json``: ablated sets per second in every precision that the device has, and the error of TF32;
- ``difference.json``: a shipped table of the mini suite, computed again on the device and compared;
- ``training.json``: tokens per second of the training of one model.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import torch

from tests.bench.roofline import GPT2_SMALL, report
from universal_neurons.core.ablation import Ablation, AblationEffects, ablation_effects
from universal_neurons.core.matmul import PrecisionMode
from universal_neurons.inputs.bridge import random_bridge
from universal_neurons.inputs.recipe import TrainingRecipe
from universal_neurons.inputs.training import train_seed
from universal_neurons.stages.calibration import device_name
from universal_neurons.stages.costs import Shape
from universal_neurons.stages.models import placed
from universal_neurons.stages.recheck import spotcheck
from universal_neurons.stages.workspace import Resources, open_workspace

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
REDUCED = Shape(2, 64, 1, 256, 512, 64, 64)
RECIPE = ROOT / "fixtures" / "zoo" / "mini" / "recipe.toml"
Figures = dict[str, Any]


def ablations(device: torch.device) -> Figures:
    """Ablated sets per second of a batch of 16 rows, and the largest difference from float32 in nats."""
    shape = GPT2_SMALL if device.type == "cuda" else REDUCED
    bridge = random_bridge(
        layers=shape.layers, width=shape.width, heads=shape.heads, mlp=shape.mlp, vocabulary=shape.vocabulary,
        context=shape.context,
    )  # fmt: skip
    model, generator = placed(bridge, device), torch.Generator().manual_seed(0)
    rows = torch.randint(shape.vocabulary, (16, shape.row), generator=generator)
    sets = [Ablation(torch.randperm(shape.neurons, generator=generator)[: shape.mlp // 8]) for _ in range(40)]
    modes = [mode for mode in get_args(PrecisionMode) if mode == "float32" or (mode, device.type) == ("tf32", "cuda")]
    found: dict[str, AblationEffects] = {}
    figures: Figures = {"layers": shape.layers, "width": shape.width, "positions": rows.numel(), "sets": len(sets)}
    for mode in modes:
        # The second time counts: libraries choose their kernels the first time.
        for _ in range(2):
            start = time.perf_counter()
            found[mode] = ablation_effects(model, rows, sets, blocks=4, batch_rows=16, seed=0, mode=mode)
            figures[f"{mode}_sets_per_second"] = len(sets) / (time.perf_counter() - start)
        figures[f"{mode}_largest_error_nats"] = float((found[mode].kl - found["float32"].kl).abs().max())
    return figures


def difference(device: torch.device) -> Figures:
    """The shipped table of one pair of the mini suite against its recomputation on the device."""
    said: list[str] = []
    work = open_workspace("mini", root=ROOT, resources=Resources(device=device.type), warn=said.append)
    return {"compared": str(spotcheck(work)), "warnings": said}


def training(device: torch.device) -> Figures:
    """Tokens per second of the shipped recipe, a tenth of it on a GPU, on random tokens."""
    recipe = TrainingRecipe.read(RECIPE)
    steps = recipe.steps // 10 if device.type == "cuda" else 10
    short = replace(recipe, tokens=steps * recipe.batch * recipe.context, warmup_steps=1)
    rows = np.random.default_rng(0).integers(recipe.vocabulary, size=(1024, recipe.context)).astype(np.uint16)
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        for _ in train_seed(short, rows, rows[:8], Path(folder), seed=0, device=device.type):
            pass
    return {"steps": steps, "tokens_per_second": short.tokens / (time.perf_counter() - start)}


def shape(device: torch.device, out: Path) -> Figures:
    """What ``bench_shape.py`` measures, in a process of its own."""
    script = Path(__file__).with_name("bench_shape.py")
    subprocess.run([sys.executable, str(script), "--out", str(out), "--device", device.type], check=True)
    figures: Figures = json.loads(out.read_text(encoding="utf-8"))
    return figures


def main() -> None:
    """Run all parts; one that fails is named and the others still run."""
    parser = argparse.ArgumentParser(description="Everything that is worth measuring on a GPU.")
    parser.add_argument("--out", type=Path, default=Path(".nox") / "gpu", help="folder for what is found")
    out: Path = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    size = "at full size" if device.type == "cuda" else "a rehearsal at a reduced size: torch has no GPU here"
    print(f"{device_name(device)}: {size}")
    (out / "roofline.txt").write_text(f"{report()}\n", encoding="utf-8")
    parts: dict[str, Callable[[], Figures]] = {
        "shape": lambda: shape(device, out / "shape.json"),
        "ablation": lambda: ablations(device),
        "difference": lambda: difference(device),
        "training": lambda: training(device),
    }
    failed = []
    for name, part in parts.items():
        try:
            figures = {"device": device_name(device), **part()}
        except Exception as error:  # noqa: BLE001 - the parts after it are worth running
            failed.append(f"{name}: {' '.join(str(error).split()) or type(error).__name__}")
            continue
        (out / f"{name}.json").write_text(f"{json.dumps(figures, indent=2)}\n", encoding="utf-8")
        print(f"{name}: {json.dumps(figures)[:300]}")
    sys.exit("; ".join(failed) or 0)


if __name__ == "__main__":
    main()
