"""Related models of which the partners are known without any token, and what tokens show of them."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import numpy.typing as npt

from universal_neurons.measures.mutual import KeptPartners

BLOCKS = 40
Values = npt.NDArray[np.float64]


def correlations(x: Values, y: Values) -> Values:
    x, y = (v - v.mean(axis=0) for v in (x, y))
    return np.asarray((x.T @ y) / np.sqrt((x**2).sum(axis=0)[:, None] * (y**2).sum(axis=0)))


def kept(x: Values, y: Values, *, ranks: int = 4, null: npt.NDArray[np.int64] | None = None) -> KeptPartners:
    """The partners of x in y from values (token, neuron), with influences by their definition."""
    rho = correlations(x, y)
    partner = np.argsort(-rho, axis=1)[:, :ranks]
    u, v = ((one - one.mean(axis=0)) / one.std(axis=0) for one in (x, y))
    v = v[:, partner]
    chosen = np.take_along_axis(rho, partner, axis=1)
    each = u[:, :, None] * v - chosen * (u[:, :, None] ** 2 + v**2) / 2
    influence = each.reshape(BLOCKS, -1, *partner.shape).sum(axis=1) / len(x)
    half = np.repeat(np.arange(BLOCKS) % 2 == 0, len(x) // BLOCKS)
    half_a, half_b = (np.argsort(-correlations(x[of], y[of]), axis=1)[:, :ranks] for of in (half, ~half))
    return KeptPartners(partner, chosen, influence, half_a, half_b, null)


def all_kept(values: list[Values]) -> dict[tuple[int, int], KeptPartners]:
    return {(x, y): kept(values[x], values[y]) for x, y in permutations(range(len(values)), 2)}


LATENTS, NEURONS, OWN_NOISE = 12, 60, 0.7


def population(count: int, *, seed: int, spread: float = 0.6) -> list[Values]:
    """What the neurons (neuron, latent) of related models read of latent sources."""
    dice = np.random.default_rng(seed)
    base = dice.normal(size=(NEURONS, LATENTS))
    return [(base + spread * dice.normal(size=base.shape)) / np.sqrt(LATENTS) for _ in range(count)]


def true_partners(reads: list[Values]) -> dict[tuple[int, int], npt.NDArray[np.int64]]:
    """The partners by correlations that are known without any token."""

    def rho(x: Values, y: Values) -> Values:
        scale = (np.sqrt((one**2).sum(axis=1) + OWN_NOISE**2) for one in (x, y))
        return np.asarray((x @ y.T) / np.outer(*scale))

    return {(x, y): np.argsort(-rho(reads[x], reads[y]), axis=1) for x, y in permutations(range(len(reads)), 2)}


def sampled(reads: list[Values], *, tokens: int, seed: int) -> list[Values]:
    dice = np.random.default_rng(seed)
    sources = dice.normal(size=(tokens, LATENTS))
    return [sources @ one.T + OWN_NOISE * dice.normal(size=(tokens, NEURONS)) for one in reads]
