"""The device of a computation and the memory that it may use.

Free memory is what the device has left, less a margin; on a CPU it is never more than the control group of the process
allows.
"""

from __future__ import annotations

import ctypes
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from universal_neurons.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch

    from universal_neurons.stages.workspace import Workspace

# Share of the free memory that is left, by kind of device: for what cannot be foreseen to the byte (the workspaces of
# libraries), and on a computer for its other programs, whose needs grow while this one runs.
MARGINS = {"cuda": 0.1, "cpu": 0.3}
# Processes of this machine that make random rotations while a GPU works.
ROTATION_WORKERS = 8
_CONTROL_GROUP = Path("/sys/fs/cgroup")


class OutOfMemory(UserError):
    """Memory ran out where the computation cannot be split further."""


def device(work: Workspace) -> torch.device:
    """The device that a workspace asks for; see :func:`device_named`."""
    return device_named(work.resources.device)


def rotation_workers(place: torch.device) -> int:
    """Threads that make random rotations ahead: none on a CPU, which has other work."""
    return ROTATION_WORKERS if place.type == "cuda" else 0


def device_named(wanted: str | None) -> torch.device:
    """The device of a name, by default a GPU where there is one; raises UserError for one that is not here."""
    import torch

    if wanted is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(wanted)
    except RuntimeError:
        raise UserError(f"--device: expected cpu or cuda, got {wanted!r}") from None
    if found.type not in ("cpu", "cuda"):
        raise UserError(f"--device: expected cpu or cuda, got {wanted!r}")
    if found.type == "cuda" and (found.index or 0) >= torch.cuda.device_count():
        raise UserError(f"--device {wanted}: there are {torch.cuda.device_count()} GPUs that torch can use here")
    return found


def check_precision(work: Workspace, place: torch.device) -> None:
    """Raises UserError for a precision of products that ``place`` does not have."""
    from universal_neurons.core.matmul import UnknownDeviceMode, check_mode

    try:
        check_mode(work.suite.universality.precision, device=place)
    except UnknownDeviceMode as error:
        raise UserError(f"universality.precision: {error}; choose float32 or bfloat16 (--precision)") from None


def budget(work: Workspace, place: torch.device, *, resident: int) -> int:
    """Bytes that a pass may use on ``place``, including the ``resident`` ones (the models' weights).

    The limit that was set (``--memory``), or the free memory less a margin.
    """
    if work.resources.memory is not None:
        return work.resources.memory
    return resident + less_margin(free_bytes(place), place.type)


def less_margin(free: int, kind: str) -> int:
    """Of ``free`` bytes of a kind of device those that a pass may use."""
    return round((1 - MARGINS[kind]) * free)


def free_bytes(place: torch.device) -> int:
    """Bytes that are free on a device now."""
    if place.type == "cuda":
        import torch

        unused = torch.cuda.memory_reserved(place) - torch.cuda.memory_allocated(place)
        return int(torch.cuda.mem_get_info(place)[0]) + unused
    return free_host_bytes()


def free_host_bytes() -> int:
    """Bytes of this machine's memory that are free now; imports no torch."""
    free = int(psutil.virtual_memory().available)
    limit = _group_bytes(_CONTROL_GROUP) if sys.platform == "linux" else None
    return free if limit is None else min(free, limit)


def _group_bytes(folder: Path) -> int | None:
    """Bytes left to the process's control group (in a container less than the machine has), None without a limit."""
    try:
        limit = (folder / "memory.max").read_text(encoding="ascii").strip()
        used = int((folder / "memory.current").read_text(encoding="ascii"))
        details = (folder / "memory.stat").read_text(encoding="ascii").split()
        # Pages of files that nobody uses are given back before anybody is refused.
        cached = int(details[details.index("inactive_file") + 1])
    except (OSError, ValueError):
        return None
    return None if limit == "max" else max(0, int(limit) - used + cached)


def is_lack_of_memory(error: Exception) -> bool:
    """Whether ``error`` says that memory ran out; torch has an exception for that on a GPU only."""
    import torch

    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return any(text in str(error) for text in ("DefaultCPUAllocator", "not enough memory", "out of memory"))


def held() -> int:
    """Bytes of memory that this process holds now."""
    return int(psutil.Process().memory_info().rss)


def give_back() -> None:
    """Return freed memory to the system; does nothing without glibc.

    glibc keeps freed memory below any block still in use (half a gigabyte after text was encoded), and larger blocks
    would be allocated beside it: the process would hold more than any stage needs.
    """
    if sys.platform == "linux":
        with suppress(AttributeError):
            ctypes.CDLL(None).malloc_trim(0)


@contextmanager
def enough_memory(work: Workspace, doing: str) -> Iterator[None]:
    """Raises :class:`OutOfMemory`, one line, for every kind of out-of-memory error in the block."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_lack_of_memory(error):
            raise
        raise OutOfMemory(
            f"{doing}: out of memory on {device(work)}; what was finished is kept: free some and run the same command, "
            "or choose another device (--device)"
        ) from None
