"""N8: in layers 10 and 11 over 90 % of universal neurons stay universal, always.

Rule: P_persist of the layers 10 and 11 above the printed 90 % for the three intervals. "Always" is judged of the
smallest: of every one of these layers in every interval between 25, 50 and 75 % of training, pairs pooled as in figure
1, the lower end must be above 90 %. Layers 10 and 11 are the deepest sixth of twelve; in a model of another depth they
are the layers whose middle lies there, in mini layer 3 alone. There the statement is about the deepest layer, so it
asks less, of fewer neurons. Not evaluable where two halves of the tokens agree in no more than 90 %. The interval is
over neurons.
"""

from universal_neurons.harness import GreaterThan, Measurement, Published, claim, control, reading
from universal_neurons.measures.controls import shuffled_neurons
from universal_neurons.measures.joint import smallest
from universal_neurons.measures.persistence import Pooling
from universal_neurons.measures.persistence_depth import DEEPEST, lowest_persistence
from universal_neurons.measures.spans import pair_spans, paper_spans, reference_spans, untrained_spans
from universal_neurons.measures.study import Study
from universal_neurons.measures.tables import Definition


@claim(
    "N8",
    "In the deepest sixth of the layers over 90 % of universal neurons stay universal over every interval.",
    source="Nandan et al. 2025 v1, section 4 (lines 90-91) and figure 1",
    expect=GreaterThan(Published("nandan2025.text", quantity="persistence of layers 10 and 11, lower bound")),
    family="persistence",
    correction="holm",
    axes={"threshold": (0.5,)},
)
def test_universal_neurons_of_the_deepest_layers_stay(study: Study, threshold: float) -> Measurement:
    spans = reference_spans(study)
    return lowest_persistence(spans, threshold, DEEPEST)


@control(of=test_universal_neurons_of_the_deepest_layers_stay)
def test_labels_dealt_anew_in_the_deepest_layers_persist_at_chance(study: Study, threshold: float) -> Measurement:
    """Labels shuffled within layers at the later end; fails if nearly all deep neurons are universal anyway."""
    shuffled = [
        (
            study.reference_tables(checkpoint=earlier),
            study.reference_tables(checkpoint=later).each(lambda table: shuffled_neurons(table, seed=0)),
        )
        for earlier, later in paper_spans(study)
    ]
    return lowest_persistence(shuffled, threshold, DEEPEST)


@control(of=test_universal_neurons_of_the_deepest_layers_stay)
def test_the_deepest_layers_of_untrained_models_have_nothing_that_persists(
    study: Study, threshold: float
) -> Measurement:
    """Fails if depth alone, without training, makes neurons of the last layers universal: they would all persist."""
    spans = untrained_spans(study)
    return lowest_persistence(spans, threshold, DEEPEST)


@reading(
    of=test_universal_neurons_of_the_deepest_layers_stay,
    ambiguity="A1",
    says="universal is a neuron whose mean excess over the partners is above the threshold",
)
def test_of_deep_neurons_universal_on_average(study: Study, threshold: float) -> Measurement:
    spans = reference_spans(study)
    return lowest_persistence(spans, threshold, DEEPEST, definition=Definition.AVERAGED)


@reading(
    of=test_universal_neurons_of_the_deepest_layers_stay,
    ambiguity="A10",
    says="the mean over pairs of each pair's rate",
)
def test_of_deep_layers_as_mean_over_pairs(study: Study, threshold: float) -> Measurement:
    spans = reference_spans(study)
    return lowest_persistence(spans, threshold, DEEPEST, pooling=Pooling.MACRO)


@reading(
    of=test_universal_neurons_of_the_deepest_layers_stay,
    ambiguity="A10",
    says="one set: the neurons universal against at least one partner",
)
def test_of_deep_layers_in_the_union_of_the_pairs(study: Study, threshold: float) -> Measurement:
    spans = reference_spans(study)
    return lowest_persistence(spans, threshold, DEEPEST, definition=Definition.UNION)


@reading(of=test_universal_neurons_of_the_deepest_layers_stay, ambiguity="A15", says="over 90 % in every pair too")
def test_of_deep_layers_in_every_pair(study: Study, threshold: float) -> Measurement:
    return smallest(
        [
            lowest_persistence(
                pair_spans(study, partner),
                threshold,
                DEEPEST,
            )
            for partner in study.partners()
        ]
    )
