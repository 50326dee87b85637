"""The speed of a device in every kind of work: kept from one measurement, or from published figures.

A measurement is kept in a file of its own per device, number of threads and version of torch, so that a plan need not
import torch.  Published figures of devices that are not here are in ``devices.toml`` beside this module.
"""

from __future__ import annotations

import json
import os
import platform
import tomllib
from dataclasses import asdict, dataclass
from functools import cache
from hashlib import sha256
from importlib.metadata import version
from math import isfinite, log, nan
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from universal_neurons.errors import UserError
from universal_neurons.files import replace_file
from universal_neurons.stages.costs import WorkKind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from universal_neurons.stages.costs import Cost

# Goes up whenever other things are measured, so that older files are not read.
FORMAT = 1
DEVICES = Path(__file__).with_name("devices.toml")
# The files of speeds that were measured here.
KEPT = "speed-*.json"
TERA, GIBIBYTE = 1e12, 2**30
# Kinds of work whose speed depends on the width of the models, or on the precision of the suite.
_APART = (WorkKind.FORWARD, WorkKind.TENSOR, WorkKind.PRODUCT)


@dataclass(frozen=True, slots=True)
class DeviceSpeed:
    """Units of work that ``device`` does in a second.

    ``forward``: of models' blocks, by their width; ``products``: by precision; ``rates``: of every other kind of work.
    ``threads`` of the processor.  ``memory_bytes``: of a GPU, or what is free of a published machine; 0 for this
    machine's own.  ``process_bytes``: of a process with the backend in it, before anything of a suite is.  ``source``:
    where the figures come from, as a sentence of a plan says it.
    """

    device: str
    kind: Literal["cpu", "cuda"]
    threads: int
    forward: Mapping[int, float]
    products: Mapping[str, float]
    rates: Mapping[str, float]
    memory_bytes: int
    process_bytes: int
    source: str

    def __post_init__(self) -> None:
        speeds = [*self.forward.values(), *self.products.values(), *self.rates.values()]
        lacking = {*WorkKind} - {*_APART, *self.rates}
        if lacking or not self.forward or not self.products or not all(isfinite(s) and s > 0 for s in speeds):
            raise ValueError(f"{self.device}: a speed of every kind of work, finite and above 0, got {self}")

    def seconds(self, cost: Cost, *, width: int, precision: str) -> float:
        """The seconds that ``cost`` takes with models of this ``width``; raises KeyError for an unknown precision."""
        rates = {
            **self.rates,
            WorkKind.FORWARD: interpolated(self.forward, width),
            WorkKind.PRODUCT: self.products[precision],
            WorkKind.TENSOR: self.products.get("tf32", nan),
        }
        return sum(amount / rates[kind] for kind, amount in cost.work.items())


def interpolated(rates: Mapping[int, float], width: int) -> float:
    """The rate at ``width``, by a power of the width between the two nearest known ones, and constant beyond them.

    >>> interpolated({128: 10.0, 512: 40.0}, 256)
    20.0
    """
    below = max((known for known in rates if known <= width), default=min(rates))
    above = min((known for known in rates if known >= width), default=max(rates))
    if below == above:
        return rates[below]
    share = (log(width) - log(below)) / (log(above) - log(below))
    return float(rates[below] * (rates[above] / rates[below]) ** share)


def default_device() -> str:
    """``cuda`` where a driver for NVIDIA's GPUs is loaded and none is hidden, else ``cpu``; imports no torch."""
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES", "0").strip() in ("", "-1")
    return "cuda" if Path("/proc/driver/nvidia/version").exists() and not hidden else "cpu"


def measured_where(device: str) -> dict[str, str | int]:
    """Everything that a measurement of ``device`` (cpu, cuda, cuda:1) is kept under; imports no torch."""
    return {
        "device": device,
        "threads": available_threads(),
        "torch": version("torch"),
        "processor": _processor(),
        "gpus": os.environ.get("CUDA_VISIBLE_DEVICES", "") if device != "cpu" else "",
    }


def available_threads() -> int:
    """Threads that torch will use: what the environment says, or as many as there are processors for this process."""
    said = os.environ.get("OMP_NUM_THREADS", "") or os.environ.get("MKL_NUM_THREADS", "")
    if said.isdecimal() and int(said):
        return int(said)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return model or platform.processor() or platform.machine()


class KeptSpeed:
    """The file in ``folder`` of a speed that was measured ``where`` (:func:`measured_where`)."""

    def __init__(self, folder: Path, where: Mapping[str, str | int]) -> None:
        self.where = where
        digest = sha256(json.dumps(where, sort_keys=True).encode()).hexdigest()
        self.path = folder / KEPT.replace("*", digest[:16])

    def read(self) -> DeviceSpeed | None:
        """The speed; None where there is no such file, or it is damaged, foreign or of another format."""
        try:
            raw = json.loads(self.path.read_text(encoding="utf-8"))
            if raw["format"] != FORMAT or raw["where"] != self.where:
                return None
            speed = raw["speed"]
            return DeviceSpeed(**{**speed, "forward": {int(width): rate for width, rate in speed["forward"].items()}})
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return None

    def write(self, speed: DeviceSpeed) -> None:
        """Keep ``speed``, whole or not at all; raises OSError."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"format": FORMAT, "where": self.where, "speed": asdict(speed)}, indent=2)
        replace_file(self.path, f"{text}\n".encode())


def published_speed(name: str) -> DeviceSpeed:
    """The speed of a device by its name in ``devices.toml``; raises UserError for an unknown one."""
    raw = tomllib.loads(DEVICES.read_text(encoding="utf-8"))
    devices, shares, host = raw["devices"], raw["shares"], raw["host"]
    if name not in devices:
        raise UserError(f"--on: expected one of {', '.join(devices)}, got {name!r}")
    device: dict[str, Any] = devices[name]
    tflops: dict[str, float] = {name: device[name] for name in ("float32", "tf32", "bfloat16") if name in device}
    small = shares["forward"][device["kind"]]
    return DeviceSpeed(
        device=device["title"],
        kind=device["kind"],
        threads=device.get("threads", host["threads"]),
        forward={int(width): share * device["float32"] * TERA for width, share in small.items()},
        products={precision: shares[precision] * figure * TERA for precision, figure in tflops.items()},
        rates={
            WorkKind.BASELINE: shares["float32"] * device["float32"] * TERA,
            WorkKind.DOUBLE: shares["float64"] * device["float64"] * TERA,
            WorkKind.MEMORY: shares["bandwidth"] * device["bandwidth"] * TERA,
            WorkKind.RANDOM: host["random"],
            WorkKind.TEXT: host["text"],
            WorkKind.LOADING: host["loading"],
        },
        memory_bytes=round(device["memory"] * GIBIBYTE),
        process_bytes=round(host["process"][device["kind"]] * GIBIBYTE),
        source=_said(device, tflops, shares),
    )


def _said(device: Mapping[str, Any], tflops: Mapping[str, float], shares: Mapping[str, Any]) -> str:
    """The figures, what is assumed to be reachable of them, and their source."""
    precisions = {**tflops, "float64": device["float64"]}
    figures = [f"{name} {figure:g} ({shares[name]:.0%})" for name, figure in precisions.items()]
    blocks = [f"{share:.0%} at width {width}" for width, share in shares["forward"][device["kind"]].items()]
    return (
        f"{device['source']}: TFLOP/s {', '.join(figures)}; memory {device['bandwidth']:g} TB/s "
        f"({shares['bandwidth']:.0%}), {device['memory']:g} GiB; in brackets the share of the peak that is assumed "
        f"to be reached, by models' blocks in float32 {' and '.join(blocks)}"
    )
