"""A parallel map shares nothing, keeps the order, and restores torch's settings."""

import threading
import time

import pytest
import torch

from universal_neurons.core.threads import parallel_map, single_threads

CPU = torch.device("cpu")


def test_results_come_in_the_order_of_the_items() -> None:
    def slower_first(worker: str, item: int) -> int:
        time.sleep(0.02 / (item + 1))
        return item

    assert list(parallel_map(["a", "b", "c"], slower_first, range(12))) == list(range(12))


def test_no_worker_has_two_items_at_once() -> None:
    busy: set[str] = set()
    lock = threading.Lock()

    def alone(worker: str, item: int) -> bool:
        with lock:
            free = worker not in busy
            busy.add(worker)
        time.sleep(0.002)
        with lock:
            busy.discard(worker)
        return free

    assert all(parallel_map(["a", "b"], alone, range(40)))


def test_items_run_at_the_same_time() -> None:
    # Each waits for the other: one after the other they would wait for ever.
    both = threading.Barrier(2, timeout=10)
    assert len(list(parallel_map([0, 1], lambda worker, item: both.wait(), range(2)))) == 2


@pytest.mark.parametrize("workers", [1, 3])
def test_an_exception_drops_items_that_have_not_begun(workers: int) -> None:
    begun: list[int] = []

    def fails_at_two(worker: int, item: int) -> int:
        begun.append(item)
        time.sleep(0.005)
        if item == 2:
            raise ArithmeticError("two")
        return item

    with pytest.raises(ArithmeticError, match="two"):
        list(parallel_map(range(workers), fails_at_two, range(1000)))
    assert len(begun) < 100


@pytest.mark.parametrize("workers", [1, 2])
def test_no_gradient_is_recorded(workers: int) -> None:
    weight = torch.ones(3, requires_grad=True)
    found = list(parallel_map(range(workers), lambda worker, item: (weight * item).requires_grad, range(4)))
    assert not any(found)


@pytest.mark.parametrize("workers", [1, 2])
def test_every_item_has_one_thread_and_the_setting_is_restored(workers: int) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with single_threads(CPU) as lanes:
            assert lanes == 3
            used = set(parallel_map(range(workers), lambda worker, item: torch.get_num_threads(), range(8)))
            assert used == {1}
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_an_accelerator_has_one_worker() -> None:
    with single_threads(torch.device("cuda")) as lanes:
        assert lanes == 1
