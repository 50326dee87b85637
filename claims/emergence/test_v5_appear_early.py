"""V5: universal neurons appear early.

Rule: the share at the first checkpoint over the share at the last, pooled over all directed pairs of models, with the
interval of the jackknife over models. The paper gives no bound; "early" is read as "most are there": above one half,
the bound of its sister claim V6. The same on every suite, and only as early as the suite's first checkpoint: at 25 % of
training, on mini, a ratio below one half contradicts the claim, while one above it supports no more than "by a quarter
of the training". The pairs of the reference alone are a reading (A2).
"""

from universal_neurons.harness import GreaterThan, Measurement, claim, control, reading
from universal_neurons.measures.pooled import beside, every_pair, own_pairs, pooled_ratio
from universal_neurons.measures.study import Study, ends_of


@claim(
    "V5",
    "Most of the last checkpoint's share of universal neurons is there at the first checkpoint.",
    source="Nandan et al. 2025 v2, summary (TL;DR)",
    expect=GreaterThan(0.5),
    family="emergence",
    axes={"threshold": (0.5,)},
)
def test_universal_neurons_appear_early(study: Study, threshold: float) -> Measurement:
    return pooled_ratio(every_pair(study, *ends_of(study.checkpoints)), threshold)


@control(of=test_universal_neurons_appear_early)
def test_universal_neurons_do_not_appear_before_training(study: Study, threshold: float) -> Measurement:
    """Fails if the untrained models already have most of the share: then nothing has appeared."""
    first, last = ends_of(study.checkpoints)
    return pooled_ratio(beside(own_pairs(study, first, null="untrained"), own_pairs(study, last)), threshold)


@reading(of=test_universal_neurons_appear_early, ambiguity="A2", says="the pairs of the reference alone")
def test_universal_neurons_of_one_reference_appear_early(study: Study, threshold: float) -> Measurement:
    return pooled_ratio(own_pairs(study, *ends_of(study.checkpoints)), threshold)
