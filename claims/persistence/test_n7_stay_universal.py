"""N7: over 80 % of universal neurons stay universal at the next checkpoint.

Rule: P(universal at the later | universal at the earlier) per interval, its lower end above the printed 80 %. Every
interval between two neighbours of 25, 50 and 75 % of training and every threshold is an item; all directed pairs of
models are pooled, with the interval of the jackknife over models. "Over 80 %" names no model, so the rule is the same
on every suite. It is not evaluable where the halves of the tokens agree in no more than 80 %: neurons that never
changed could not be seen to persist more. Chance and that ceiling stand in the details. Which neurons are universal
depends on the text that is read, about as much as on the step of the training. The pairs of the reference alone are a
reading (F9); the other readings are of the reference too.
"""

from universal_neurons.harness import GreaterThan, Interval, Measurement, Published, claim, control, reading
from universal_neurons.measures.controls import shuffled_neurons
from universal_neurons.measures.joint import smallest
from universal_neurons.measures.persistence import Pooling, cross_fitted_persistence, persistence, recruitment
from universal_neurons.measures.persistence_depth import lowest_persistence
from universal_neurons.measures.pooled import altered, every_pair, pooled_persistence
from universal_neurons.measures.spans import reference_spans
from universal_neurons.measures.study import Study, null_tables
from universal_neurons.measures.tables import Definition, ReferenceTables


@claim(
    "N7",
    "Over 80 % of the neurons universal at one checkpoint are universal at the next.",
    source="Nandan et al. 2025 v1, section 1 (second contribution, line 28) and section 4 (lines 86-88)",
    expect=GreaterThan(Published("nandan2025.text", quantity="persistence, lower bound")),
    family="persistence",
    correction="holm",
    axes={"interval": (("25 %", "50 %"), ("50 %", "75 %"))},
)
def test_most_universal_neurons_stay_universal(study: Study, interval: Interval, threshold: float) -> Measurement:
    return pooled_persistence(every_pair(study, interval.earlier, interval.later), threshold)


@control(of=test_most_universal_neurons_stay_universal)
def test_labels_dealt_anew_persist_at_chance(study: Study, interval: Interval, threshold: float) -> Measurement:
    """The later labels are shuffled within layers; fails if the base rate alone makes most of a set stay."""
    pairs = every_pair(study, interval.earlier, interval.later)
    return pooled_persistence(altered(pairs, lambda table: shuffled_neurons(table, seed=0)), threshold)


@control(of=test_most_universal_neurons_stay_universal)
def test_other_neurons_do_not_become_universal(study: Study, interval: Interval, threshold: float) -> Measurement:
    """The sets swapped: neurons not universal earlier; fails if most neurons of any set are universal later."""
    return recruitment(*_ends(study, interval), threshold)


@control(of=test_most_universal_neurons_stay_universal)
def test_untrained_models_have_nothing_that_persists(study: Study, interval: Interval, threshold: float) -> Measurement:
    """The same untrained models twice; fails if they have universal neurons, which then persist by identity."""
    earlier, later = (
        null_tables(study, checkpoint=checkpoint, kind="untrained") for checkpoint in (interval.earlier, interval.later)
    )
    return persistence(earlier, later, threshold)


@reading(
    of=test_most_universal_neurons_stay_universal,
    ambiguity="A1",
    says="universal is a neuron whose mean excess over the partners is above the threshold",
)
def test_of_neurons_universal_on_average(study: Study, interval: Interval, threshold: float) -> Measurement:
    return persistence(*_ends(study, interval), threshold, definition=Definition.AVERAGED)


@reading(
    of=test_most_universal_neurons_stay_universal,
    ambiguity="A1",
    says="universal is a neuron that is so against every partner",
)
def test_of_neurons_universal_against_all(study: Study, interval: Interval, threshold: float) -> Measurement:
    return persistence(*_ends(study, interval), threshold, definition=Definition.INTERSECTION)


@reading(of=test_most_universal_neurons_stay_universal, ambiguity="A10", says="the mean over pairs of each pair's rate")
def test_as_mean_over_pairs(study: Study, interval: Interval, threshold: float) -> Measurement:
    return persistence(*_ends(study, interval), threshold, pooling=Pooling.MACRO)


@reading(
    of=test_most_universal_neurons_stay_universal,
    ambiguity="A10",
    says="one set: the neurons universal against at least one partner",
)
def test_of_the_union_of_the_pairs(study: Study, interval: Interval, threshold: float) -> Measurement:
    return persistence(*_ends(study, interval), threshold, definition=Definition.UNION)


@reading(of=test_most_universal_neurons_stay_universal, ambiguity="A15", says="over 80 % in every pair")
def test_in_every_pair(study: Study, interval: Interval, threshold: float) -> Measurement:
    earlier, later = _ends(study, interval)
    return smallest(
        [persistence(earlier.tables[partner], later.tables[partner], threshold) for partner in earlier.partners]
    )


@reading(
    of=test_most_universal_neurons_stay_universal,
    ambiguity="A15",
    says="over 80 % in every interval, that from 25 to 75 % of training included",
)
def test_in_every_interval(study: Study, threshold: float) -> Measurement:
    spans = reference_spans(study)
    return lowest_persistence(spans, threshold)


@reading(
    of=test_most_universal_neurons_stay_universal,
    ambiguity="F4",
    says="identified on one half of the tokens, judged on the other",
)
def test_from_one_half_of_the_tokens_to_the_other(study: Study, interval: Interval, threshold: float) -> Measurement:
    return cross_fitted_persistence(*_ends(study, interval), threshold)


@reading(of=test_most_universal_neurons_stay_universal, ambiguity="F9", says="of the reference alone")
def test_of_one_reference(study: Study, interval: Interval, threshold: float) -> Measurement:
    return persistence(*_ends(study, interval), threshold)


def _ends(study: Study, interval: Interval) -> tuple[ReferenceTables, ReferenceTables]:
    return (
        study.reference_tables(checkpoint=interval.earlier),
        study.reference_tables(checkpoint=interval.later),
    )
