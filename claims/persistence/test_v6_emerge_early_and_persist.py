"""V6: most universal neurons emerge early in training and persist.

Rule: P(universal at the first checkpoint | universal at the last) above one half: "most". It asks of the neurons
universal at the end whether they were so at the beginning, not of shares, which could stay equal while the neurons are
exchanged (V5). All directed pairs of models are pooled, with the interval of the jackknife over models, and the rule is
the same on every suite; "early" is only as early as the suite's first checkpoint, on mini 25 % of training. Not
evaluable where two halves of the tokens agree in no more than a half; which neurons are universal depends on the text
that is read, about as much as on the step of the training. The pairs of the reference alone are a reading (F9); the
other readings are of the reference too.
"""

from universal_neurons.harness import GreaterThan, Measurement, claim, control, reading
from universal_neurons.measures.controls import shuffled_neurons
from universal_neurons.measures.joint import smallest
from universal_neurons.measures.persistence import Pooling, cross_fitted_persistence, persistence
from universal_neurons.measures.pooled import altered, beside, every_pair, own_pairs, pooled_persistence
from universal_neurons.measures.study import Study, ends_of
from universal_neurons.measures.tables import Definition, ReferenceTables


@claim(
    "V6",
    "Most neurons universal at the last checkpoint are universal at the first already.",
    source="Nandan et al. 2025 v2, summary (OpenReview TL;DR)",
    expect=GreaterThan(0.5),
    family="persistence",
    correction="holm",
    axes={"threshold": (0.5,)},
)
def test_most_universal_neurons_emerge_early(study: Study, threshold: float) -> Measurement:
    first, last = ends_of(study.checkpoints)
    return pooled_persistence(every_pair(study, last, first), threshold)


@control(of=test_most_universal_neurons_emerge_early)
def test_labels_dealt_anew_at_the_first_checkpoint_are_not_there(study: Study, threshold: float) -> Measurement:
    """Early labels shuffled within layers; fails if the share at the first checkpoint alone says "most"."""
    first, last = ends_of(study.checkpoints)
    pairs = every_pair(study, last, first)
    return pooled_persistence(altered(pairs, lambda table: shuffled_neurons(table, seed=0)), threshold)


@control(of=test_most_universal_neurons_emerge_early)
def test_universal_neurons_are_not_there_before_training(study: Study, threshold: float) -> Measurement:
    """Fails if most of the last universal neurons are universal in untrained models: then nothing has emerged."""
    first, last = ends_of(study.checkpoints)
    return pooled_persistence(beside(own_pairs(study, last), own_pairs(study, first, null="untrained")), threshold)


@reading(of=test_most_universal_neurons_emerge_early, ambiguity="F9", says="of the reference alone")
def test_of_one_reference_most_emerge_early(study: Study, threshold: float) -> Measurement:
    first, last = _ends(study)
    return persistence(last, first, threshold)


@reading(
    of=test_most_universal_neurons_emerge_early,
    ambiguity="A1",
    says="universal is a neuron whose mean excess over the partners is above the threshold",
)
def test_of_neurons_universal_on_average_most_emerge_early(study: Study, threshold: float) -> Measurement:
    first, last = _ends(study)
    return persistence(last, first, threshold, definition=Definition.AVERAGED)


@reading(of=test_most_universal_neurons_emerge_early, ambiguity="A10", says="the mean over pairs of each pair's rate")
def test_as_mean_over_pairs_most_emerge_early(study: Study, threshold: float) -> Measurement:
    first, last = _ends(study)
    return persistence(last, first, threshold, pooling=Pooling.MACRO)


@reading(
    of=test_most_universal_neurons_emerge_early,
    ambiguity="A10",
    says="one set: the neurons universal against at least one partner",
)
def test_of_the_union_of_the_pairs_most_emerge_early(study: Study, threshold: float) -> Measurement:
    first, last = _ends(study)
    return persistence(last, first, threshold, definition=Definition.UNION)


@reading(of=test_most_universal_neurons_emerge_early, ambiguity="A15", says="most in every pair")
def test_in_every_pair_most_emerge_early(study: Study, threshold: float) -> Measurement:
    first, last = _ends(study)
    return smallest([persistence(last.tables[partner], first.tables[partner], threshold) for partner in first.partners])


@reading(
    of=test_most_universal_neurons_emerge_early,
    ambiguity="F4",
    says="identified on one half of the tokens, judged on the other",
)
def test_from_half_to_half_most_emerge_early(study: Study, threshold: float) -> Measurement:
    first, last = _ends(study)
    return cross_fitted_persistence(last, first, threshold)


def _ends(study: Study) -> tuple[ReferenceTables, ReferenceTables]:
    first, last = ends_of(study.checkpoints)
    return study.reference_tables(checkpoint=first), study.reference_tables(checkpoint=last)
