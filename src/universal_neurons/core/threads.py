"""Independent computations in parallel threads on a CPU.

Small products gain little from a second thread, but two of them in parallel use two cores fully; and a result of a
single thread has the same bits on a machine with two cores and with sixty-four.
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
    """Run products on one thread each inside the block; yields the number that may run in parallel (1 on a GPU)."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield threads if device.type == "cpu" else 1
    finally:
        torch.set_num_threads(threads)


def parallel_map(
    workers: Sequence[Worker], function: Callable[[Worker, Item], Result], items: Sequence[Item], *, threads: int = 1
) -> Iterator[Result]:
    """Yield ``function(worker, item)`` of every item, in order, without gradients.

    A worker has one item at a time.  ``threads``: torch's threads of every worker.  An exception is raised at the turn
    of its item, and items that have not begun by then are dropped.
    """
    idle: SimpleQueue[Worker] = SimpleQueue()
    for worker in workers:
        idle.put(worker)

    def with_idle_worker(item: Item) -> Result:
        worker = idle.get()
        try:
            # A new thread records gradients unless told otherwise.
            with torch.no_grad():
                return function(worker, item)
        finally:
            idle.put(worker)

    if len(workers) == 1:
        yield from map(with_idle_worker, items)
        return
    # A new thread starts with torch's default number of threads, whatever was set elsewhere.
    with ThreadPoolExecutor(len(workers), initializer=torch.set_num_threads, initargs=(threads,)) as pool:
        yield from pool.map(with_idle_worker, items)
