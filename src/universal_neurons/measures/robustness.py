"""Robustness of the share of universal neurons to choices that no paper argues for: tokens, padding, rotations, halves.

A *variant* is a table of the same neurons with one choice made otherwise.  Its neurons are compared one by one with the
neurons of the suite's own table, so intervals here are over neurons: both tables see much the same text, and the
question is how many neurons cross the threshold.

A variant's baseline may be the mean of fewer rotation draws than the suite's.  They are the first of the same draws, so
the suite's table is taken with just as many (:func:`with_draws`), and a difference is never one of draws unless draws
are the choice.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from universal_neurons.errors import NotOnSuite
from universal_neurons.measurement import Measurement, Over
from universal_neurons.measures.arrays import quotient
from universal_neurons.measures.excess import excess_correlation
from universal_neurons.measures.groups import pair_group
from universal_neurons.measures.intervals import ConfidenceInterval, percentile_interval, student_quantile
from universal_neurons.measures.shares import neuron_share

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from universal_neurons.measures.arrays import Floats
    from universal_neurons.measures.study import HasStep, Study
    from universal_neurons.measures.tables import UniversalityTable

# The name of the suite's own table among its variants.
SUITE = "suite"


def share_over_neurons(table: UniversalityTable, threshold: float) -> Measurement:
    """The share of universal neurons with Wilson's interval over neurons, for tables without block influences.

    #{i: excess_i > T} / n with n the neurons with a defined excess.  It is about other samples of neurons, not of
    tokens.  Details: ``universal``, ``undefined``, ``draws`` (rotations in the baseline).  Missing where
    no neuron is defined.
    """
    states = pair_group(table).states(threshold)
    defined = states[~np.isnan(states)]
    universal, level = int(defined.sum()), table.resampling.level
    details = {"universal": float(universal), "undefined": float(states.size - defined.size)}
    details["draws"] = float(len(table.draws))
    return neuron_share(universal, defined.size, level=level, details=details)


def share_and_overlap(suite: UniversalityTable, variant: UniversalityTable, threshold: float) -> tuple[float, float]:
    """The share of universal neurons in ``variant``, and the Jaccard index of the sets of universal neurons in both.

    Of the neurons defined in both; NaN without any, and the index without a universal one.  Raises ValueError for
    tables of different pairs or neurons.
    """
    pairs = [(table.reference, table.partner, table.step) for table in (suite, variant)]
    if pairs[0] != pairs[1] or not np.array_equal(suite.neurons, variant.neurons):
        raise ValueError(f"{suite} and {variant} are not about the same neurons")
    before, after = (pair_group(table).states(threshold) for table in (suite, variant))
    defined = ~np.isnan(before) & ~np.isnan(after)
    first, second = before[defined] > 0, after[defined] > 0
    both, either, universal = (int(np.count_nonzero(flags)) for flags in (first & second, first | second, second))
    return quotient(universal, second.size), quotient(both, either)


def longest_prefix(study: Study) -> str:
    """The variant with the largest number of tokens; raises NotOnSuite where there is none of fewer tokens."""
    prefixes = [name for name in study.variants if name.startswith("tokens:")]
    if not prefixes:
        raise NotOnSuite("variants.tokens: expected a number of tokens for the comparison, got none in this suite")
    return max(prefixes, key=lambda name: int(name.partition(":")[2]))


def with_draws(table: UniversalityTable, draws: int) -> UniversalityTable:
    """The same table with the first ``draws`` rotations as its baseline.

    Candidates only: the draws of other neurons are not kept, and these are far from every threshold.  Raises
    ValueError without a draw or with more than the table has.
    """
    if not 1 <= draws <= len(table.draws):
        raise ValueError(f"{table}: {draws} draws wanted of {len(table.draws)}")
    if draws == len(table.draws):
        return table
    excess = table.frame["excess"].to_numpy().copy()
    baseline = table.draws[:draws].astype(np.float64).mean(axis=0).astype(excess.dtype)
    correlation = table.frame["correlation"].to_numpy()[table.candidates]
    excess[table.candidates] = excess_correlation(correlation, baseline)
    return dataclasses.replace(table, frame=table.frame.assign(excess=excess), draws=table.draws[:draws])


def table_one_under(study: Study, thresholds: Sequence[float], checkpoints: Sequence[HasStep]) -> pd.DataFrame:
    """Table 1 of Nandan et al. 2025 under each variant, long: one row per variant, threshold and checkpoint.

    Columns: variant (the suite's own table first, as ``suite``), threshold, checkpoint (its label), step, tokens,
    draws, share (mean over partners), difference from the suite's share, low, high (of the difference, percentile
    bootstrap over neurons, each taking its changes against all partners along; NaN for the suite's own row), jaccard
    (of the universal sets, mean over partners).
    """
    return pd.DataFrame(
        [
            {"variant": name, "threshold": threshold, "checkpoint": str(checkpoint), "step": checkpoint.step, **row}
            for checkpoint in checkpoints
            for threshold in thresholds
            for name, row in _variant_rows(study, checkpoint, threshold, [SUITE, *study.variants]).items()
        ]
    )


def token_convergence(study: Study, *, checkpoint: HasStep, threshold: float) -> pd.DataFrame:
    """Convergence of the share with the number of tokens: one row per number of tokens, the suite's own last.

    Columns: variant, tokens, draws, share, difference, low, high, jaccard as in :func:`table_one_under`, and
    ``excess_error``, the root mean square over neurons and partners of the difference in excess.  Fewer tokens are the
    first of the same tokens, so the largest numbers agree with the whole partly because they share tokens with it.
    """
    names = [name for name in study.variants if name.startswith("tokens:")]
    rows = _variant_rows(study, checkpoint, threshold, [*names, SUITE])
    frame = pd.DataFrame([{"variant": name, **row} for name, row in rows.items()])
    return frame.sort_values("tokens", ignore_index=True)


def mean_excess(table: UniversalityTable) -> Measurement:
    """The mean excess over all neurons: 0 where nothing sets the neurons apart from random directions.

    mean -+ t sd / sqrt(n), Student's t with n - 1 degrees of freedom.  Details: ``sd``, ``median``, ``q99`` (the 99th
    percentile), ``largest``, ``undefined``.  Missing with fewer than two defined neurons.
    """
    excess = table.frame["excess"].to_numpy(dtype=np.float64)
    defined = excess[~np.isnan(excess)]
    if defined.size < 2:
        return Measurement.missing(n=int(defined.size), over=Over.NEURONS)
    value, sd, level = float(defined.mean()), float(defined.std(ddof=1)), table.resampling.level
    reach = student_quantile(level, defined.size) * sd / np.sqrt(defined.size)
    details = {"sd": sd, "median": float(np.median(defined)), "q99": float(np.quantile(defined, 0.99))}
    details |= {"largest": float(defined.max()), "undefined": float(excess.size - defined.size)}
    return Measurement(value, value - reach, value + reach, int(defined.size), Over.NEURONS, level, "", details)


def _variant_rows(
    study: Study, checkpoint: HasStep, threshold: float, names: Sequence[str]
) -> dict[str, dict[str, float]]:
    own = {partner: study.universality(partner=partner, checkpoint=checkpoint) for partner in study.partners()}
    frame = study.variant_settings(checkpoint)
    settings = dict(zip(frame["variant"], zip(frame["tokens"], frame["draws"], strict=True), strict=True))
    return {
        name: _own_row(own, settings, threshold)
        if name == SUITE
        else _changed_row(study, own, settings, checkpoint, name, threshold)
        for name in names
    }


def _own_row(
    own: Mapping[str, UniversalityTable], settings: Mapping[str, tuple[int, int]], threshold: float
) -> dict[str, float]:
    # Variants of rotations and draws count the suite's own tokens.
    whole = [float(tokens) for name, (tokens, _) in settings.items() if name.startswith(("rotation:", "draws:"))]
    shares = [np.nanmean(pair_group(table).states(threshold)) for table in own.values()]
    draws = min(len(table.draws) for table in own.values())
    row = {"tokens": whole[0] if whole else np.nan, "draws": float(draws), "share": float(np.mean(shares))}
    return {**row, "difference": 0.0, "low": np.nan, "high": np.nan, "jaccard": 1.0, "excess_error": 0.0}


def _changed_row(
    study: Study,
    own: Mapping[str, UniversalityTable],
    settings: Mapping[str, tuple[int, int]],
    checkpoint: HasStep,
    name: str,
    threshold: float,
) -> dict[str, float]:
    changes, compared, errors = [], [], []
    for partner, table in own.items():
        variant = study.variant(name, partner=partner, checkpoint=checkpoint)
        suite = comparable(table, variant, name)
        compared.append(share_and_overlap(suite, variant, threshold))
        changes.append(pair_group(variant).states(threshold) - pair_group(suite).states(threshold))
        errors.append(variant.frame["excess"].to_numpy(dtype=np.float64) - suite.frame["excess"].to_numpy())
    change = np.mean(changes, axis=0)
    low, high = _mean_over_neurons(change, next(iter(own.values())))
    share, jaccard = (float(np.mean(values)) for values in zip(*compared, strict=True))
    return {
        "tokens": float(settings[name][0]),
        "draws": float(settings[name][1]),
        "share": share,
        "difference": float(np.nanmean(change)),
        "low": low,
        "high": high,
        "jaccard": jaccard,
        "excess_error": float(np.sqrt(np.nanmean(np.square(errors)))),
    }


def _mean_over_neurons(change: Floats, table: UniversalityTable) -> ConfidenceInterval:
    """Percentile bootstrap over neurons of the mean of ``change``, by how often each of its few values is drawn."""
    values, counts = np.unique(change[~np.isnan(change)], return_counts=True)
    resampling, n = table.resampling, counts.sum()
    drawn = np.random.default_rng(resampling.seed).multinomial(n, counts / n, size=resampling.resamples)
    return percentile_interval(float(values @ counts / n), drawn @ values / n, level=resampling.level)


def comparable(suite: UniversalityTable, variant: UniversalityTable, name: str) -> UniversalityTable:
    """The suite's own table with as many draws as ``variant``, unless this is a variant of the draws themselves."""
    return suite if name.startswith("draws:") else with_draws(suite, len(variant.draws))
