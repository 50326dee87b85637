"""Checkpoints that claims are about, and suites that lack them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from universal_neurons.errors import NotOnSuite
from universal_neurons.measures.spans import paper_spans, spans_between
from universal_neurons.measures.study import (
    ends_of,
    first_and_last,
    paper_checkpoints,
    quarter_checkpoints,
    untrained_ablation,
)

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class Checkpoint:
    step: int
    share: float


@dataclass(frozen=True)
class Study:
    """A study of which only the checkpoints are looked at."""

    checkpoints: tuple[Checkpoint, ...]
    untrained: Checkpoint | None = None


def study(*shares: float) -> Any:
    return Study(tuple(Checkpoint(round(400 * share), share) for share in shares))


def shares(stages: Any) -> list[float]:
    return [stage.share for stage in stages]


def test_the_papers_three_stages_are_found_among_others() -> None:
    assert shares(quarter_checkpoints(study(0.1, 0.25, 0.5, 0.75, 1.0))) == [0.25, 0.5, 0.75]
    assert shares(first_and_last(study(0.1, 0.25, 0.5, 0.75, 1.0))) == [0.25, 0.75]


def test_without_one_of_the_three_what_is_said_of_intervals_is_said_of_all_checkpoints() -> None:
    others = study(0.2, 0.4, 0.6, 0.8)
    assert shares(paper_checkpoints(others)) == [0.2, 0.4, 0.6, 0.8]
    assert shares(first_and_last(others)) == [0.2, 0.8]
    assert len(paper_spans(others)) == len(spans_between(others.checkpoints)) == 6


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (
            lambda: quarter_checkpoints(study(0.2, 0.5, 0.75)),
            "expected a checkpoint at 25 % of the training, got 20 %, 50 %",
        ),
        (
            lambda: quarter_checkpoints(study(0.25, 0.5)),
            "expected a checkpoint at 75 % of the training, got 25 %, 50 %",
        ),
        (lambda: first_and_last(study(1.0)), "expected two checkpoints to compare, got 1"),
        (lambda: ends_of(study(1.0).checkpoints), "expected two checkpoints to compare, got 1"),
        (lambda: paper_spans(study(1.0)), "expected two checkpoints to compare, got 1"),
        (lambda: spans_between(study(1.0).checkpoints), "expected two checkpoints to compare, got 1"),
        (lambda: untrained_ablation(study(1.0)), "no untrained checkpoint"),
    ],
)
def test_what_a_suite_lacks_is_not_on_it(ask: Callable[[], object], said: str) -> None:
    with pytest.raises(NotOnSuite, match=said):
        ask()
