"""A pretend GPU: tensors whose numbers are real, computed on the CPU, and whose ``device`` says cuda:0.

torch's FakeTensorMode takes the device "cuda" without a GPU too, but has no numbers, so it ends at the first step that
depends on one.  Here a tensor subclass holds a CPU tensor: its dispatcher computes with that and refuses what a GPU
refuses (tensors of two devices in one operation, ``numpy()``), and notes every place of the package that waits for the
GPU.  The subclass tells torch's C++ that it is on the CPU, whose guards would otherwise ask for a driver, so a function
mode takes the calls that name a device before torch's own code sees them.
"""

from __future__ import annotations

import sys
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_flatten, tree_map, tree_map_only

import universal_neurons

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    import pytest

GPU = torch.device("cuda:0")
SOURCES = Path(universal_neurons.__file__).parent
# Operations that end with a number or a shape that the host has to know.
WAITING = frozenset({"_local_scalar_dense", "nonzero", "masked_select", "unique_consecutive", "_unique2", "bincount"})
# Operations that copy between devices, or that read indices from the host.
CROSSING = frozenset({"copy_", "_to_copy", "index", "index_put_", "index_put"})
# Products, which round float32 operands to TF32 unless torch's precision is "highest".
TENSOR_CORES = frozenset({"mm", "addmm"})
# Operations that do not read what they write over, and that read of their first argument only what is picked.
WRITTEN, PICKED = ("copy_", "fill_", "zero_"), ("index_select", "gather", "index", "embedding")
# Tensor methods that are handed over to the host as a whole.
HOST_METHODS = ("cpu", "item", "tolist", "numpy", "__array__")


@dataclass
class Noted:
    """What the pretend GPU was asked to do, by place of the package (``core/comoments.py flush``).

    ``waits``: how often the host waited for it; ``bytes``: read and written outside products; ``operations``: of
    products of matrices, multiplication and addition counted apart.
    """

    waits: Counter[str] = field(default_factory=Counter)
    bytes: Counter[str] = field(default_factory=Counter)
    operations: Counter[str] = field(default_factory=Counter)

    def clear(self) -> None:
        """Forget everything so far."""
        for counter in (self.waits, self.bytes, self.operations):
            counter.clear()


def _place() -> str:
    """The innermost function of the package that is running."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        path = Path(frame.f_code.co_filename)
        if path.is_relative_to(SOURCES):
            return f"{path.relative_to(SOURCES)} {frame.f_code.co_name}"
        frame = frame.f_back
    return "outside the package"


_noted = Noted()


class GpuTensor(torch.Tensor):
    """A tensor on the pretend GPU; ``inner`` has its numbers."""

    inner: Any

    @staticmethod
    def __new__(cls, inner: torch.Tensor) -> GpuTensor:
        """Wrap a tensor of the CPU."""
        made: GpuTensor = torch.Tensor._make_wrapper_subclass(
            cls,
            inner.size(),
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            device=torch.device("cpu"),
            requires_grad=inner.requires_grad,
        )
        made.inner = inner.detach()
        return made

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        """The pretend GPU."""
        return GPU

    @property
    def is_cuda(self) -> bool:  # type: ignore[override]
        """True."""
        return True

    def storage(self) -> Any:
        """The numbers' own memory: what tells a library that writes files whether two tensors share theirs."""
        return self.inner.storage()

    def untyped_storage(self) -> Any:
        """The same without a type."""
        return self.inner.untyped_storage()

    def record_stream(self, _: Any) -> None:
        """Do nothing: everything is done at once."""

    def __repr__(self, *, tensor_contents: Any = None) -> str:  # type: ignore[override]
        return f"GpuTensor({self.inner!r})"

    # torch swaps the parameters of a module in place for tensors that have these two.
    def __tensor_flatten__(self) -> tuple[list[str], None]:
        return ["inner"], None

    @staticmethod
    def __tensor_unflatten__(inner: dict[str, torch.Tensor], *_: Any) -> GpuTensor:
        return GpuTensor(inner["inner"])

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # type: ignore[override]
        """Compute on the CPU, after refusing what a GPU would refuse."""
        kwargs = kwargs or {}
        name = func._schema.name.removeprefix("aten::")
        flat, _ = tree_flatten((args, kwargs))
        tensors = [one for one in flat if isinstance(one, torch.Tensor)]
        _check_devices(name, args, tensors)
        if name in WAITING or _reads_a_mask(name, args) or (name == "copy_" and not isinstance(args[0], GpuTensor)):
            _noted.waits[_place()] += 1
        known = {id(one.inner): one for one in tensors if isinstance(one, GpuTensor)}
        plain_args, plain_kwargs = tree_map_only(GpuTensor, lambda one: one.inner, (args, kwargs))
        found = _computed(name, func, plain_args, plain_kwargs)
        _note_work(name, func, tree_flatten((plain_args, plain_kwargs))[0], found)
        if name == "copy_" and not isinstance(args[0], GpuTensor):
            return args[0]
        # What was changed in place is the tensor that was given.
        return tree_map_only(torch.Tensor, lambda one: known[id(one)] if id(one) in known else GpuTensor(one), found)


def _check_devices(name: str, args: Any, tensors: list[torch.Tensor]) -> None:
    """Raise RuntimeError, as a GPU does, where tensors of both devices meet; numbers and host indices may."""
    here = [one for one in tensors if not isinstance(one, GpuTensor) and one.ndim]
    if name in ("copy_", "_to_copy"):
        return
    if name in CROSSING:
        indices, _ = tree_flatten(args[1])
        here = [one for one in here if not any(one is index for index in indices)]
        if not isinstance(args[0], GpuTensor):
            here.append(args[0])
    if here:
        raise RuntimeError(
            f"Expected all tensors to be on the same device, but found at least two devices, cuda:0 and cpu! ({name}: "
            f"{[(type(one).__name__, tuple(one.shape)) for one in tensors]})"
        )


def _reads_a_mask(name: str, args: Any) -> bool:
    """Whether an indexing operation has to count the true values of a mask first."""
    return (
        name in CROSSING
        and name.startswith("index")
        and any(isinstance(one, torch.Tensor) and one.dtype == torch.bool for one in tree_flatten(args[1])[0])
    )


def _computed(name: str, func: Any, args: Any, kwargs: Any) -> Any:
    """The result on the CPU, also of products of bfloat16 with sums in float32, which only a GPU has."""
    if name in ("mm", "addmm") and "dtype" in func._overloadname:
        *tensors, dtype = args
        left, right = (one.to(dtype) for one in tensors[-2:])
        product = left @ right if name == "mm" else tensors[0].to(dtype) + left @ right
        return kwargs["out"].copy_(product) if "out" in kwargs else product
    if name.removesuffix("_") in TENSOR_CORES and torch.get_float32_matmul_precision() != "highest":
        args = tree_map_only(torch.Tensor, tf32, args) if name == "mm" else (args[0], *map(tf32, args[1:3]), *args[3:])
    return func(*args, **kwargs)


def tf32(values: torch.Tensor) -> torch.Tensor:
    """float32 numbers rounded to the 10 bits of mantissa that TF32 has; others as they are."""
    if values.dtype != torch.float32:
        return values
    return ((values.contiguous().view(torch.int32) + 0x1000) & ~0x1FFF).view(torch.float32)


def _note_work(name: str, func: Any, given: list[Any], found: Any) -> None:
    """Count what an operation that is no view reads and writes, or the operations of a product."""
    tensors = [one for one in given if isinstance(one, torch.Tensor)]
    if name.removesuffix("_") in TENSOR_CORES:
        left, right = tensors[:2] if name == "mm" else tensors[1:3]
        _noted.operations[_place()] += 2 * left.shape[0] * left.shape[1] * right.shape[1]
        return
    alias = func._schema.returns[0].alias_info if func._schema.returns else None
    if alias is None or alias.is_write:
        made = [one for one in tree_flatten(found)[0] if isinstance(one, torch.Tensor)]
        # What is written over is not read, and of a table only what is picked out.
        read = [one for one in tensors if name not in (*WRITTEN, *PICKED) or one is not given[0]]
        read += made if name in PICKED else []
        _noted.bytes[_place()] += sum(one.nbytes for one in (*read, *made))


def _is_gpu(device: Any) -> bool:
    return device is not None and torch.device(device).type == "cuda"


class OnGpu(TorchFunctionMode):
    """Takes the calls that name the GPU, or that bring its tensors to the host."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run ``func``, with the pretend GPU where it names one."""
        kwargs = dict(kwargs or {})
        name = getattr(func, "__name__", "")
        tensor = args[0] if args and isinstance(args[0], torch.Tensor) else None
        if tensor is not None and name in ("to", "cuda"):
            return _moved(tensor, func, args, kwargs)
        if isinstance(tensor, GpuTensor) and name in HOST_METHODS:
            return _on_host(tensor, name, args)
        if "device" in kwargs and _is_gpu(kwargs["device"]):
            kwargs["device"] = torch.device("cpu")
            inner = tree_map_only(GpuTensor, lambda one: one.inner, (args, kwargs))
            return GpuTensor(func(*inner[0], **inner[1]))
        if "device" in kwargs and isinstance(tensor, GpuTensor):
            raise AssertionError(f"{name}: a tensor of the GPU with device {kwargs['device']}")
        return func(*args, **kwargs)


def _moved(tensor: torch.Tensor, func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """``tensor.to(...)``: a copy on another device, as between a machine and its GPU."""
    if func.__name__ == "cuda":
        device, dtype = GPU, None
    elif isinstance(target := args[1] if len(args) > 1 else kwargs.get("other"), torch.Tensor):
        device, dtype = target.device, target.dtype
    else:
        device, dtype, *_ = torch._C._nn._parse_to(*args[1:], **kwargs)
    kind = tensor.device.type if device is None else torch.device(device).type
    if isinstance(tensor, GpuTensor) == (kind == "cuda"):
        return tensor if dtype is None or dtype == tensor.dtype else torch.ops.aten._to_copy(tensor, dtype=dtype)
    if kind == "cuda":
        return GpuTensor(tensor.detach().clone().to(dtype or tensor.dtype))
    return _on_host(tensor, "cpu", args).to(dtype or tensor.dtype)


def _on_host(tensor: Any, name: str, args: Any) -> Any:
    """The numbers of a tensor of the GPU on the host, which waits for them."""
    if name in ("numpy", "__array__"):
        raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() first")
    _noted.waits[_place()] += 1
    return tensor.inner.clone() if name == "cpu" else getattr(tensor.inner, name)(*args[1:])


class _Stream:
    """A stream of the pretend GPU: everything is done at once."""

    def __init__(self, *_: Any) -> None:
        self.waited: list[_Stream] = []

    def wait_stream(self, other: _Stream) -> None:
        self.waited.append(other)

    def __enter__(self) -> _Stream:
        return self

    def __exit__(self, *_: object) -> None:
        return None


@contextmanager
def pretend_gpu(monkeypatch: pytest.MonkeyPatch, *, free: int = 2**33) -> Iterator[Noted]:
    """A GPU for torch inside the block, with ``free`` bytes; yields what it is asked to do."""
    stream = _Stream()
    stand_ins: dict[str, Callable[..., Any]] = {
        "is_available": lambda: True,
        "device_count": lambda: 1,
        "Stream": _Stream,
        "stream": lambda one: one,
        "current_stream": lambda *_: stream,
        "mem_get_info": lambda *_: (free, 2 * free),
        "memory_reserved": lambda *_: 0,
        "memory_allocated": lambda *_: 0,
        "max_memory_allocated": lambda *_: 0,
        "reset_peak_memory_stats": lambda *_: None,
        "empty_cache": lambda: None,
        "synchronize": lambda *_: None,
        "is_bf16_supported": lambda *_, **__: True,
        "current_device": lambda: 0,
        "get_device_name": lambda *_: "a pretend GPU",
    }
    for name, stand_in in stand_ins.items():
        monkeypatch.setattr(torch.cuda, name, stand_in)
    _noted.clear()
    with OnGpu():
        yield _noted


def on_host(values: Any) -> Any:
    """``values`` with tensors of the pretend GPU as tensors of the CPU."""
    return tree_map(lambda one: one.inner if isinstance(one, GpuTensor) else one, values)
