"""Pieces of work that do not depend on each other, side by side on a CPU, each on one thread unless there are more.

This module decides how many run at once.  Small products gain little from a second thread, and two of them side by side
gain all of it; and what a single thread computed has the same bits on a machine with two cores and with sixty-four.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from queue import SimpleQueue
from typing import TypeVar

import torch

Worker = TypeVar("Worker")
Item = TypeVar("Item")
Result = TypeVar("Result")


@contextmanager
def single_threads(device: torch.device) -> Iterator[int]:
    """Products on one thread each inside the block; yields how many may run side by side (1 unless on a CPU)."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield threads if device.type == "cpu" else 1
    finally:
        torch.set_num_threads(threads)


def parallel_map(
    workers: Sequence[Worker], work: Callable[[Worker, Item], Result], items: Sequence[Item], *, threads: int = 1
) -> Iterator[Result]:
    """``work(worker, item)`` of every item, in order; no worker has two items at once, none records gradients.

    ``threads``: of every worker.

    An exception of ``work`` is raised at its item's turn, and what has not begun by then is dropped.
    """
    idle: SimpleQueue[Worker] = SimpleQueue()
    for worker in workers:
        idle.put(worker)

    def next_to(item: Item) -> Result:
        worker = idle.get()
        try:
            # Whether gradients are recorded is a thread's own setting, and recorded by default.
            with torch.no_grad():
                return work(worker, item)
        finally:
            idle.put(worker)

    if len(workers) == 1:
        yield from map(next_to, items)
        return
    # A new thread starts with torch's own number of threads, whatever was set elsewhere.
    with ThreadPoolExecutor(len(workers), initializer=torch.set_num_threads, initargs=(threads,)) as pool:
        yield from pool.map(next_to, items)
