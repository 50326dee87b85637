"""F14-share: universal neurons are more often unigram neurons than other neurons of the same layer.

Rule (ours, written before anything was measured): the difference of the two shares, layer by layer and weighted by
where the universal neurons are, is above 0. A unigram neuron is one of whose variance a single token explains at least
one half (Gurnee et al. 2024, section 4.3, who find this family to be the most common one and look at universal neurons
alone). Universal is the mean excess over the partners above the threshold.
"""

from universal_neurons.harness import GreaterThan, Measurement, claim, control, reading
from universal_neurons.harness.axes import Checkpoint
from universal_neurons.measures.extensions import unigram_share_difference
from universal_neurons.measures.study import Study
from universal_neurons.measures.tables import Definition


@claim(
    "F14-share",
    "Universal neurons are more often unigram neurons than the other neurons of their layers.",
    source="Gurnee et al. 2024, section 4.3; the comparison with other neurons is ours",
    expect=GreaterThan(0.0),
    family="extensions",
    correction="holm",
    axes={"threshold": (0.5,)},
)
def test_more_often_unigram_neurons(study: Study, checkpoint: Checkpoint, threshold: float) -> Measurement:
    tables = study.reference_tables(checkpoint=checkpoint)
    return unigram_share_difference(study.extensions(checkpoint=checkpoint), tables, threshold)


@control(of=test_more_often_unigram_neurons)
def test_not_with_labels_dealt_out_anew(study: Study, checkpoint: Checkpoint, threshold: float) -> Measurement:
    """The labels shuffled inside each layer; fails if being in a layer with many of both is enough."""
    tables = study.reference_tables(checkpoint=checkpoint)
    return unigram_share_difference(study.extensions(checkpoint=checkpoint), tables, threshold, dealt=True)


@control(of=test_more_often_unigram_neurons)
def test_not_with_the_labels_of_other_models(study: Study, checkpoint: Checkpoint, threshold: float) -> Measurement:
    """The neurons universal in a partner, by their numbers; fails if numbers mean anything across models.

    Of the partners the one with the (upper) median, a change made after measuring: a single one would satisfy the
    criterion by chance now and then.  It changed no verdict.
    """
    found = study.extensions(checkpoint=checkpoint)
    labels = [study.reference_tables(checkpoint=checkpoint, reference=partner) for partner in study.partners()]
    measured = [unigram_share_difference(found, tables, threshold) for tables in labels]
    return sorted(measured, key=lambda one: one.value)[len(measured) // 2]


@reading(of=test_more_often_unigram_neurons, ambiguity="A1", says="(iii) universal: against any partner")
def test_more_often_where_universal_against_any(study: Study, checkpoint: Checkpoint, threshold: float) -> Measurement:
    tables, found = study.reference_tables(checkpoint=checkpoint), study.extensions(checkpoint=checkpoint)
    return unigram_share_difference(found, tables, threshold, definition=Definition.UNION)


@reading(of=test_more_often_unigram_neurons, ambiguity="A1", says="(iv) universal: against every partner")
def test_more_often_where_universal_against_every(
    study: Study, checkpoint: Checkpoint, threshold: float
) -> Measurement:
    tables, found = study.reference_tables(checkpoint=checkpoint), study.extensions(checkpoint=checkpoint)
    return unigram_share_difference(found, tables, threshold, definition=Definition.INTERSECTION)


@reading(
    of=test_more_often_unigram_neurons, ambiguity="F14", says="a unigram neuron: a quarter of the variance is enough"
)
def test_more_often_by_a_lower_score(study: Study, checkpoint: Checkpoint, threshold: float) -> Measurement:
    tables, found = study.reference_tables(checkpoint=checkpoint), study.extensions(checkpoint=checkpoint)
    return unigram_share_difference(found, tables, threshold, score=0.25)
