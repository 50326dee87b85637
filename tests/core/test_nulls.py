"""The rotation baseline from covariances equals that of explicitly rotated activations."""

from typing import get_args

import pytest
import torch
from torch import Tensor

from tests.core.direct import standard_deviation
from tests.core.oracle import X_WIDTHS, Y_WIDTHS, activations, correlation, rotated_activations
from universal_neurons.core import nulls
from universal_neurons.core.accumulator import cross_moments
from universal_neurons.core.moments import CrossMoments, NeuronMoments, layer_slices
from universal_neurons.core.nulls import Rotations, rotated, rotated_maxima, rotation, whitened
from universal_neurons.ids import Rotation

KINDS = get_args(Rotation)


def data(offset: float = 0.0) -> tuple[Tensor, Tensor]:
    return activations(600, X_WIDTHS, seed=1, offset=offset), activations(600, Y_WIDTHS, seed=2, offset=offset)


def moments(x: Tensor, y: Tensor) -> CrossMoments:
    return cross_moments(x, y, x_widths=X_WIDTHS, y_widths=Y_WIDTHS)


def maxima(cross: CrossMoments, *, draws: int, kind: Rotation, seed: int, model: str) -> Tensor:
    (found,) = rotated_maxima([cross], draws=draws, rotations=Rotations(kind, seed=seed, model=model, draws=draws))
    return found


def explicit_maxima(x: Tensor, y: Tensor, *, draws: int, kind: Rotation, model: str) -> Tensor:
    rows = []
    for draw in range(draws):
        turned = rotated_activations(y, Y_WIDTHS, kind=kind, seed=5, draw=draw, model=model)
        rows.append(correlation(x, turned).amax(1))
    return torch.stack(rows)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("offset", [0.0, 1e3])
def test_maxima_equal_explicitly_rotated_activations(kind: Rotation, offset: float) -> None:
    x, y = data(offset)
    found = maxima(moments(x, y), draws=3, kind=kind, seed=5, model="b")
    expected = explicit_maxima(x, y, draws=3, kind=kind, model="b")
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_maxima_hold_where_one_direction_dominates_its_layer(kind: Rotation) -> None:
    x, y = data()
    common = torch.randn(600, 1, generator=torch.Generator().manual_seed(9))
    y = y + 10 * common
    found = maxima(moments(x, y), draws=3, kind=kind, seed=5, model="b")
    expected = explicit_maxima(x, y, draws=3, kind=kind, model="b")
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=1e-6)


def test_constants_inside_a_layer_contribute_nothing_and_a_constant_layer_is_skipped() -> None:
    x, y = data()
    x[:, 4] = 0.7
    y[:, 1] = -0.3
    y[:, 4:11] = 2.0
    found = maxima(moments(x, y), draws=2, kind="gaussian", seed=5, model="b")
    kept = torch.cat([y[:, [0, 2, 3]], y[:, 11:]], dim=1)
    assert found[:, 4].isnan().all()
    assert int(found.isnan().sum()) == 2
    parts = []
    for draw in range(2):
        first = rotation("gaussian", 4, seed=5, draw=draw, model="b", layer=0)[:, [0, 2, 3]].double()
        last = rotation("gaussian", 5, seed=5, draw=draw, model="b", layer=2).double()
        turned = torch.cat([kept[:, :3].double() @ first.T, kept[:, 3:].double() @ last.T], dim=1)
        parts.append(correlation(x, turned).amax(1))
    torch.testing.assert_close(found.double(), torch.stack(parts), rtol=0, atol=1e-6, equal_nan=True)


def test_several_models_against_one_equal_each_alone() -> None:
    x, y = data()
    other = cross_moments(x[:, :3] + 1, y, x_widths=(3,), y_widths=Y_WIDTHS)
    rotations = Rotations("gaussian", seed=5, model="b", draws=2)
    both = rotated_maxima([moments(x, y), other], draws=2, rotations=rotations)
    torch.testing.assert_close(both[0], maxima(moments(x, y), draws=2, kind="gaussian", seed=5, model="b"))
    torch.testing.assert_close(both[1], maxima(other, draws=2, kind="gaussian", seed=5, model="b"))


def test_a_rotated_direction_without_variance_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = data()
    opposite = torch.stack([y[:, 0], -y[:, 0]], dim=1)
    turn = torch.tensor([[1.0, 1.0], [1.0, -1.0]])
    monkeypatch.setattr(nulls, "rotation", lambda *_, **__: turn)
    cross = cross_moments(x, opposite, x_widths=X_WIDTHS, y_widths=(2,))
    found = maxima(cross, draws=1, kind="gaussian", seed=5, model="b")
    torch.testing.assert_close(found[0].double(), correlation(x, y[:, :1])[:, 0], rtol=0, atol=1e-6)


def test_without_any_variance_there_is_no_baseline() -> None:
    x, y = data()
    cross = moments(x[:1], y[:1])
    assert maxima(cross, draws=2, kind="gaussian", seed=0, model="b").isnan().all()
    constant = moments(x, torch.ones_like(y))
    assert maxima(constant, draws=2, kind="gaussian", seed=0, model="b").isnan().all()


def test_spread_beyond_the_range_of_float32_squares_does_not_matter() -> None:
    x, y = data()
    base = moments(x, y)
    scale = 1e-30
    tiny = CrossMoments(base.x, _scaled(base, scale), base.comoment * scale)
    expected = maxima(base, draws=2, kind="gaussian", seed=0, model="b")
    torch.testing.assert_close(maxima(tiny, draws=2, kind="gaussian", seed=0, model="b"), expected)


def _scaled(cross: CrossMoments, scale: float) -> NeuronMoments:
    neurons = cross.y
    return type(neurons)(neurons.count, neurons.mean * scale, tuple(s * scale**2 for s in neurons.layers))


def test_a_rotation_is_a_function_of_all_its_arguments() -> None:
    named = {"seed": 0, "draw": 0, "model": "b", "layer": 0}

    def draw(**changed: int | str) -> Tensor:
        return rotation("gaussian", 4, **{**named, **changed})  # type: ignore[arg-type]

    torch.manual_seed(1)
    assert torch.equal(draw(), draw())
    for other in ({"seed": 1}, {"draw": 1}, {"model": "c"}, {"layer": 1}):
        assert not torch.allclose(draw(), draw(**other))


def test_gaussian_rows_are_unit_vectors_and_not_orthogonal() -> None:
    turn = rotation("gaussian", 32, seed=0, draw=0, model="b", layer=0)
    gram = turn @ turn.T
    torch.testing.assert_close(gram.diagonal(), torch.ones(32))
    assert float((gram - torch.eye(32)).abs().max()) > 0.1


def test_orthogonal_rotations_are_orthogonal_and_uniform() -> None:
    draws = [rotation("orthogonal", 3, seed=0, draw=d, model="b", layer=0) for d in range(400)]
    stacked = torch.stack(draws)
    torch.testing.assert_close(stacked @ stacked.transpose(1, 2), torch.eye(3).expand(400, 3, 3), atol=1e-5, rtol=0)
    # Without the sign step the diagonal is of one sign, so its mean is far from 0 (sd of this mean: 0.03).
    assert float(stacked.diagonal(dim1=1, dim2=2).mean(0).abs().max()) < 0.12


def test_drawing_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    rotation("gaussian", 4, seed=0, draw=0, model="b", layer=0)
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_rotated_models_have_the_moments_of_rotated_activations(kind: Rotation) -> None:
    x, y = data(10.0)
    found = rotated(moments(x, y), kind=kind, seed=5, models=("a", "b"))
    turned_x = rotated_activations(x, X_WIDTHS, kind=kind, seed=5, draw=0, model="a rotated")
    turned_y = rotated_activations(y, Y_WIDTHS, kind=kind, seed=5, draw=0, model="b rotated")
    torch.testing.assert_close(found.correlation(), correlation(turned_x, turned_y), rtol=0, atol=2e-6)
    torch.testing.assert_close(found.y.mean, turned_y.mean(0), rtol=1e-6, atol=1e-5)
    torch.testing.assert_close(standard_deviation(found.y), turned_y.std(0, correction=0), rtol=1e-5, atol=0)


def test_rotating_the_halves_is_rotating_the_whole() -> None:
    x, y = data()
    a, b = moments(x[:250], y[:250]), moments(x[250:], y[250:])
    turned = [rotated(m, kind="gaussian", seed=5, models=("a", "b")) for m in (a, b, a + b)]
    torch.testing.assert_close((turned[0] + turned[1]).correlation(), turned[2].correlation(), rtol=0, atol=1e-9)


def dense_whitened(y: Tensor) -> Tensor:
    """Every layer's activations whitened token by token, by another factorisation (the SVD of standardised neurons)."""
    parts = []
    for part in layer_slices(Y_WIDTHS):
        layer = y[:, part].double() - y[:, part].double().mean(0)
        spread = layer.std(0)
        left, sizes, right = torch.linalg.svd(layer / torch.where(spread > 0, spread, 1), full_matrices=False)
        left = torch.where(sizes > 1e-3 * sizes.max(), left, 0)
        parts.append(left @ right * len(y) ** 0.5)
    return torch.cat(parts, dim=1)


@pytest.mark.parametrize("kind", KINDS)
def test_a_whitened_baseline_equals_rotated_whitened_activations(kind: Rotation) -> None:
    x, y = data(10.0)
    # A neuron that never varied, one that repeats another (sums of float32 products leave a direction of rounding, or
    # nothing, as the processor rounds) and one so faint that its variance is the rounding of the others'.
    y[:, 2] = 3.0
    y[:, 3] = y[:, 1]
    y[:, 5] *= 1e-5
    found = maxima(whitened(moments(x, y)), draws=2, kind=kind, seed=5, model="b")
    expected = explicit_maxima(x, dense_whitened(y), draws=2, kind=kind, model="b")
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=1e-4)


def test_whitened_layers_have_unit_variance_and_no_correlation_and_x_is_unchanged() -> None:
    x, y = data()
    cross = moments(x, y)
    found = whitened(cross)
    for layer in found.y.layers:
        torch.testing.assert_close(layer / cross.count, torch.eye(len(layer), dtype=torch.float64), rtol=0, atol=1e-6)
    assert found.x is cross.x


def test_whitening_makes_no_neurons_out_of_a_layer_that_never_varied() -> None:
    x, y = data()
    y[:, :4] = 7.0
    found = whitened(moments(x, y))
    assert not bool(found.y.layers[0].any())
    assert not bool(found.comoment[:, :4].any())
