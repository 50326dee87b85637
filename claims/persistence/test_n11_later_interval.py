"""N11: universal neurons are more persistent over the later interval than over the earlier, in every model.

Rule: P(50 -> 75 %) - P(25 -> 50 %) > 0 for each pair. A rule of direction, the same on every suite;
every pair is an item, and all must hold. "Every model" of figure 3 is read as every partner of the reference (A11).
The interval is over neurons and knows that the two rates share them.
"""

from universal_neurons.harness import GreaterThan, Measurement, claim, control, reading
from universal_neurons.measures.controls import shuffled_neurons, typical
from universal_neurons.measures.joint import smallest
from universal_neurons.measures.persistence import persistence_gain
from universal_neurons.measures.study import Study, quarter_checkpoints


@claim(
    "N11",
    "More universal neurons stay so from 50 to 75 % of training than from 25 to 50 %, in every pair.",
    source="Nandan et al. 2025 v1, appendix A.1 and figure 3",
    expect=GreaterThan(0.0),
    family="persistence",
    correction="holm",
    axes={"threshold": (0.5,)},
)
def test_the_later_interval_is_more_persistent(study: Study, partner: str, threshold: float) -> Measurement:
    first, second, third = (
        study.universality(partner=partner, checkpoint=checkpoint) for checkpoint in quarter_checkpoints(study)
    )
    return persistence_gain(first, second, third, threshold)


@control(of=test_the_later_interval_is_more_persistent)
def test_a_growing_share_alone_does_not_stabilise(study: Study, partner: str, threshold: float) -> Measurement:
    """The labels in the middle are shuffled; fails if a share that grows looks like persistence that grows."""
    first, second, third = (
        study.universality(partner=partner, checkpoint=checkpoint) for checkpoint in quarter_checkpoints(study)
    )
    return typical(
        lambda seed: persistence_gain(first, shuffled_neurons(second, seed=seed), third, threshold, resampled=False)
    )


@control(of=test_the_later_interval_is_more_persistent)
def test_untrained_models_do_not_stabilise(study: Study, partner: str, threshold: float) -> Measurement:
    """The same models three times; fails if a difference of exactly 0 counts as above it."""
    first, second, third = (
        study.null(partner=partner, checkpoint=checkpoint, kind="untrained")
        for checkpoint in quarter_checkpoints(study)
    )
    return persistence_gain(first, second, third, threshold)


@reading(of=test_the_later_interval_is_more_persistent, ambiguity="A10", says="all pairs pooled")
def test_of_all_pairs_together_the_later_interval(study: Study, threshold: float) -> Measurement:
    first, second, third = (study.reference_tables(checkpoint=checkpoint) for checkpoint in quarter_checkpoints(study))
    return persistence_gain(first, second, third, threshold)


@reading(
    of=test_the_later_interval_is_more_persistent,
    ambiguity="A11",
    says="the models are the five references, each with its pairs pooled",
)
def test_of_every_reference_the_later_interval(study: Study, threshold: float) -> Measurement:
    checkpoints = quarter_checkpoints(study)
    own = study.reference_tables(checkpoint=checkpoints[0])
    found = []
    for reference in (own.reference, *own.partners):
        first, second, third = (
            study.reference_tables(checkpoint=checkpoint, reference=reference) for checkpoint in checkpoints
        )
        found.append(persistence_gain(first, second, third, threshold))
    return smallest(found)
