"""F14: among the universal neurons, those that follow a single token matter more than the rest.

Rule: the standing of the increase of the loss by zero ablation of universal unigram neurons, the mean over draws, among
as many other universal neurons of the same layers: reproduced above their 95th percentile, refuted below their mean
(as N14). In every layer both are drawn in the number of the rarer kind, so that neither size nor depth can be the
reason. A unigram neuron is one of whose variance a single token explains at least one half, the threshold of Gurnee et
al. for a family.
"""

from universal_neurons.harness import AboveDraws, Measurement, claim, control, reading
from universal_neurons.harness.axes import Checkpoint
from universal_neurons.measures.ablation import single_draws, standing
from universal_neurons.measures.ablation_table import FamilyKind, Quantity, SetOf
from universal_neurons.measures.study import Study
from universal_neurons.measures.tables import Definition


@claim(
    "F14",
    "Ablating universal unigram neurons costs more loss than ablating as many other universal neurons of their layers.",
    source="Nandan et al. 2025 v1, section 5 (future work)",
    expect=AboveDraws(),
    family="extensions",
    correction="holm",
    axes={"threshold": (0.5,)},
)
def test_unigram_neurons_matter_more(study: Study, checkpoint: Checkpoint, threshold: float) -> Measurement:
    which = SetOf(threshold, definition=Definition.AVERAGED)
    table = study.extensions(checkpoint=checkpoint).families
    return standing(table, which, FamilyKind.PLAIN_DRAWN, of=FamilyKind.UNIGRAM_DRAWN, quantity=Quantity.LOSS)


@control(of=test_unigram_neurons_matter_more)
def test_other_universal_neurons_do_not_exceed_themselves(
    study: Study, checkpoint: Checkpoint, threshold: float
) -> Measurement:
    """Single draws of the others judged by the rest; fails if more of them stand out than chance allows."""
    which = SetOf(threshold, definition=Definition.AVERAGED)
    table = study.extensions(checkpoint=checkpoint).families
    return single_draws(table, which, FamilyKind.PLAIN_DRAWN, quantities=(Quantity.LOSS,))


@control(of=test_unigram_neurons_matter_more)
def test_shuffled_families_do_not_exceed_each_other(
    study: Study, checkpoint: Checkpoint, threshold: float
) -> Measurement:
    """Families dealt out anew among the universal ones, one dealing at a time; fails if such a label stands out."""
    which = SetOf(threshold, definition=Definition.AVERAGED)
    table = study.extensions(checkpoint=checkpoint).families
    return single_draws(table, which, FamilyKind.SHUFFLED_DRAWN, quantities=(Quantity.LOSS,))


@reading(of=test_unigram_neurons_matter_more, ambiguity="F6", says="by the KL divergence instead of the loss")
def test_unigram_neurons_matter_more_in_divergence(
    study: Study, checkpoint: Checkpoint, threshold: float
) -> Measurement:
    which = SetOf(threshold, definition=Definition.AVERAGED)
    table = study.extensions(checkpoint=checkpoint).families
    return standing(table, which, FamilyKind.PLAIN_DRAWN, of=FamilyKind.UNIGRAM_DRAWN)


@reading(
    of=test_unigram_neurons_matter_more,
    ambiguity="F14",
    says="against as many unigram neurons of their layers that are not universal",
)
def test_universal_unigram_neurons_matter_more_than_others(
    study: Study, checkpoint: Checkpoint, threshold: float
) -> Measurement:
    which = SetOf(threshold, definition=Definition.AVERAGED)
    table = study.extensions(checkpoint=checkpoint).families
    return standing(table, which, FamilyKind.UNSHARED_DRAWN, of=FamilyKind.SHARED_DRAWN, quantity=Quantity.LOSS)
