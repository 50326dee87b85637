"""V7: ablating the small fraction of universal neurons is a critical decline of performance.

Rule (catalogue, V7): the increase of the loss as a perplexity ratio. The catalogue gives no bound for "critical"; it is
read as the factor that the catalogue takes for "disproportionate" in N18: the perplexity more than doubles, which is
one bit lost per prediction. Written before anything was measured, and the same on every suite. That random sets do less
is V4; that they do not do this is a control here. How small the fraction is stands in the details.
"""

from universal_neurons.harness import GreaterThan, Measurement, claim, control, reading
from universal_neurons.harness.axes import Checkpoint
from universal_neurons.measures.ablation import perplexity_ratio
from universal_neurons.measures.ablation_table import SetKind, SetOf
from universal_neurons.measures.joint import weakest
from universal_neurons.measures.study import Study, untrained_ablation
from universal_neurons.measures.tables import Definition


@claim(
    "V7",
    "Ablating the universal neurons more than doubles the perplexity.",
    source="Nandan et al. 2025 v2, OpenReview iZjhiwRiHD, summary (TL;DR)",
    expect=GreaterThan(2.0),
    family="ablation",
    axes={"threshold": (0.5,)},
)
def test_a_critical_decline(study: Study, partner: str, checkpoint: Checkpoint, threshold: float) -> Measurement:
    return perplexity_ratio(study.ablation(checkpoint=checkpoint), SetOf(threshold, partner))


@control(of=test_a_critical_decline)
def test_no_critical_decline_before_training(study: Study, threshold: float) -> Measurement:
    """The same neurons before they learnt anything; fails if ablating alone, of anything, breaks a model."""
    return perplexity_ratio(untrained_ablation(study), SetOf(threshold, definition=Definition.AVERAGED))


@control(of=test_a_critical_decline)
def test_no_critical_decline_by_as_many_others(
    study: Study, partner: str, checkpoint: Checkpoint, threshold: float
) -> Measurement:
    """As many non-universal neurons of each layer; fails if so many neurons of any kind are critical."""
    return perplexity_ratio(study.ablation(checkpoint=checkpoint), SetOf(threshold, partner), SetKind.LAYER_MATCHED)


@control(of=test_a_critical_decline)
def test_no_critical_decline_by_shuffled_labels(
    study: Study, partner: str, checkpoint: Checkpoint, threshold: float
) -> Measurement:
    """The labels dealt out anew among all neurons; fails if so many neurons of any kind are critical."""
    return perplexity_ratio(study.ablation(checkpoint=checkpoint), SetOf(threshold, partner), SetKind.RANDOM)


@reading(
    of=test_a_critical_decline,
    ambiguity="A3",
    says="(ii) every model ablated in turn, its neurons universal on average; the weakest counts",
)
def test_a_critical_decline_of_every_model(study: Study, checkpoint: Checkpoint, threshold: float) -> Measurement:
    which = SetOf(threshold, definition=Definition.AVERAGED)
    return weakest(
        {
            model: perplexity_ratio(study.ablation(checkpoint=checkpoint, reference=model), which)
            for model in (study.reference, *study.partners())
        }
    )


@reading(of=test_a_critical_decline, ambiguity="F6", says="replaced by their mean instead of zero; last checkpoint")
def test_a_critical_decline_when_replaced_by_the_mean(study: Study, threshold: float) -> Measurement:
    which = SetOf(threshold, definition=Definition.AVERAGED, mode="mean")
    return perplexity_ratio(study.ablation(checkpoint=study.checkpoints[-1]), which)
