"""Scores block by block equal the scores of the whole, and resume from their state."""

from itertools import combinations, product

import pytest
import torch
from torch import Tensor

from tests.core.direct import crosses, scores_against
from tests.core.oracle import activations
from universal_neurons.core import nulls
from universal_neurons.core.accumulator import PairwiseAccumulator
from universal_neurons.core.nulls import Rotations, rotated, rotation, strips
from universal_neurons.core.scoring import ScoringRequest, TileScores
from universal_neurons.core.tiling import Tile, Workload
from universal_neurons.core.universality import RotationSettings, UniversalityScores

WIDTHS = ((6, 5), (4, 7, 5), (3, 3))
TOKENS, NAMES = 600, ("a", "b", "c")
BASELINE = RotationSettings("orthogonal", seed=3, draws=4, half_draws=2)
DIRECTIONS = tuple((x, y) for x, y in product(range(3), repeat=2) if x != y)


def values() -> list[Tensor]:
    found = [activations(TOKENS, widths, seed=seed) for seed, widths in enumerate(WIDTHS)]
    found[1][:, 3] = found[0][:, 7] + 0.3 * found[1][:, 3]
    # Constant throughout, and constant in a layer that one tile has to itself.
    found[0][:, 2] = 0.7
    found[2][:, 3:] = -1.0
    return found


def workload() -> Workload:
    return Workload(WIDTHS, tuple(combinations(range(3), 2)))


def taken(passes: list[list[Tile]], *, rotated: tuple[tuple[int, int], ...] = ()) -> TileScores:
    scores = TileScores(workload(), ScoringRequest(DIRECTIONS, rotated, NAMES, BASELINE, top_k=3))
    for tiles in passes:
        scores.take(accumulated(tiles))
    return scores


def accumulated(tiles: list[Tile]) -> PairwiseAccumulator:
    accumulator = PairwiseAccumulator(WIDTHS, tiles=tiles, chunk_tokens=50)
    parts = []
    for widths, layers, own in zip(WIDTHS, accumulator.layers, values(), strict=True):
        columns = torch.split(own, list(widths), dim=1)
        parts.append(torch.cat([own[:, :0], *(columns[layer] for layer in layers)], dim=1))
    accumulator.add(parts, torch.arange(TOKENS) // 60)
    accumulator.finish()
    return accumulator


def blocks() -> list[Tile]:
    """One layer against one layer, pair by pair, the last ones first."""
    cut = [
        Tile(i, j, range(x, x + 1), range(y, y + 1))
        for i, j in workload().pairs
        for x in range(len(WIDTHS[i]))
        for y in range(len(WIDTHS[j]))
    ]
    return cut[::-1]


def assert_close(found: UniversalityScores, expected: UniversalityScores) -> None:
    assert torch.equal(found.partner, expected.partner)
    for name in ("correlation", "baseline_draws", "correlation_crossfit"):
        torch.testing.assert_close(getattr(found, name), getattr(expected, name), rtol=0, atol=2e-6, equal_nan=True)
    for half in ("half_a", "half_b"):
        mine, theirs = getattr(found, half), getattr(expected, half)
        torch.testing.assert_close(mine.correlation, theirs.correlation, rtol=0, atol=2e-6, equal_nan=True)
        torch.testing.assert_close(mine.baseline, theirs.baseline, rtol=0, atol=2e-6, equal_nan=True)


def direct(x: int, y: int) -> UniversalityScores:
    """From the moments of the whole pair at once."""
    accumulator = accumulated(list(workload().whole()))
    return scores_against(*crosses(accumulator, x, y), model=NAMES[y], baseline=BASELINE, top_k=3)


@pytest.mark.parametrize("per_pass", [1, 5, 100])
def test_scores_of_any_tiles_in_any_order_equal_the_whole(per_pass: int) -> None:
    every = blocks()
    scores = taken([every[start : start + per_pass] for start in range(0, len(every), per_pass)])
    for x, y in DIRECTIONS:
        assert_close(scores.scores(x, y).scores(), direct(x, y))


def test_the_number_of_elements_scored_at_once_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = taken([list(workload().whole())])
    monkeypatch.setattr("universal_neurons.core.scoring.scored_elements", lambda **_: 20)
    for module in ("nulls", "universality"):
        monkeypatch.setattr(f"universal_neurons.core.{module}.STRIP_ELEMENTS", 7)
    monkeypatch.setattr(nulls, "ROTATED_ELEMENTS", 5)
    pieces = taken([list(workload().whole())])
    for x, y in DIRECTIONS:
        assert_close(pieces.scores(x, y).scores(), whole.scores(x, y).scores())


def test_variances_of_rotated_directions_are_computed_once_for_all_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    honest, widths = nulls._direction_variances, list[int]()

    def noted(turn: Tensor, covariance: Tensor) -> Tensor:
        widths.append(len(turn))
        return honest(turn, covariance)

    monkeypatch.setattr(nulls, "_direction_variances", noted)
    monkeypatch.setattr("universal_neurons.core.scoring.scored_elements", lambda **_: 20)
    taken([list(workload().whole())])
    # Four draws of the whole and two of each half, of every layer that varied; six layers, of several parts each.
    assert sorted(widths) == sorted(width for width in (6, 5, 4, 7, 5, 3) for _ in range(4 + 2 + 2))


def test_rotated_pairs_equal_the_whole_and_are_timed_each() -> None:
    whole = taken([list(workload().whole())], rotated=((0, 1), (2, 1)))
    tiles = taken([blocks()], rotated=((0, 1), (2, 1)))
    for which in ((0, 1), (2, 1)):
        assert_close(tiles.rotated_scores(*which).scores(), whole.rotated_scores(*which).scores())
    assert set(whole.seconds) == {"0", "1", "2", "0 1", "2 1"}
    assert min(whole.seconds.values()) > 0


def test_rotated_pairs_equal_the_scores_of_their_rotated_moments() -> None:
    found = taken([blocks()], rotated=((0, 1),)).rotated_scores(0, 1).scores()
    halves = crosses(accumulated(list(workload().whole())), 0, 1)
    names = (NAMES[0], NAMES[1])
    turned = [rotated(half, kind=BASELINE.kind, seed=BASELINE.seed, models=names) for half in halves]
    assert_close(found, scores_against(turned[0], turned[1], model=NAMES[1], baseline=BASELINE, top_k=3))


def test_spreads_are_known_for_every_accumulated_neuron() -> None:
    whole = taken([list(workload().whole())])
    part = taken([[Tile(0, 1, range(1, 2), range(2))]])
    torch.testing.assert_close(part.spread(0).mean[6:], whole.spread(0).mean[6:])
    assert part.spread(0).mean[:6].isnan().all()
    assert part.spread(2).count == 0
    assert whole.spread(0).count == TOKENS
    assert whole.spread(0).inverse_norm[2].isnan()


def test_restored_scores_resume_to_the_last_bit() -> None:
    every = blocks()
    undisturbed, first = taken([every[:6], every[6:]]), taken([every[:6]])
    second = TileScores(workload(), first.request)
    for (_, tensor), (_, kept) in zip(second.state(), first.state(), strict=True):
        tensor.copy_(kept)
    second.take(accumulated(every[6:]))
    for (name, mine), (_, theirs) in zip(second.state(), undisturbed.state(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=0, equal_nan=True, msg=name)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("kept", [0, 2**20])
def test_rotations_do_not_depend_on_workers_and_on_the_bytes_kept(workers: int, kept: int) -> None:
    made = Rotations("gaussian", seed=1, model="b", draws=3, kept_bytes=kept, workers=workers)
    for layer, draw in ((0, 0), (0, 1), (0, 2), (0, 0), (1, 0), (1, 2), (0, 1)):
        expected = rotation("gaussian", 5, seed=1, draw=draw, model="b", layer=layer)
        assert torch.equal(made(layer, 5, draw), expected)
    made.close()


def test_a_rotation_that_is_kept_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    def counted(*_: object, draw: int, **__: object) -> Tensor:
        calls.append(draw)
        return torch.eye(4)

    monkeypatch.setattr(nulls, "rotation", counted)
    made = Rotations("gaussian", seed=1, model="b", draws=3, kept_bytes=2 * 64)
    for draw in (0, 1, 2, 0, 1, 2):
        made(0, 4, draw)
    assert calls == [0, 1, 2, 2]


def test_strips_cover_all_rows() -> None:
    assert list(strips(5, 2, 4)) == [slice(0, 2), slice(2, 4), slice(4, 5)]
    assert list(strips(2, 9, 4)) == [slice(0, 1), slice(1, 2)]
    assert list(strips(0, 2, 4)) == []
