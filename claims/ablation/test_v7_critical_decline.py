"""V7: ablating the small fraction of universal neurons is a critical decline of performance.

Reported and not judged: the paper gives no bound for "critical", and the factor of two by which an earlier version of
this rule judged it was ours. The perplexity with the set ablated over the perplexity without says how much it is; that
random sets do less is V4. How small the fraction is stands in the details.
"""

from universal_neurons.harness import Measurement, NotJudged, claim, control, reading
from universal_neurons.harness.axes import Checkpoint
from universal_neurons.measures.ablation import perplexity_ratio
from universal_neurons.measures.ablation_table import SetKind, SetOf
from universal_neurons.measures.joint import weakest
from universal_neurons.measures.study import Study, every_ablation
from universal_neurons.measures.tables import Definition


@claim(
    "V7",
    "Ablating the universal neurons is a critical decline: the perplexity rises by this factor.",
    source="Nandan et al. 2025 v2, OpenReview iZjhiwRiHD, summary (TL;DR)",
    expect=NotJudged("the paper gives no bound for a critical decline; V4 judges what random sets do"),
    axes={"threshold": (0.5,)},
)
def test_a_critical_decline(study: Study, partner: str, checkpoint: Checkpoint, threshold: float) -> Measurement:
    return perplexity_ratio(study.ablation(checkpoint=checkpoint), SetOf(threshold, partner))


@control(of=test_a_critical_decline)
def test_no_critical_decline_by_as_many_others(
    study: Study, partner: str, checkpoint: Checkpoint, threshold: float
) -> Measurement:
    """As many non-universal neurons of each layer; fails if so many neurons of any kind are critical."""
    return perplexity_ratio(study.ablation(checkpoint=checkpoint), SetOf(threshold, partner), SetKind.LAYER_MATCHED)


@reading(
    of=test_a_critical_decline,
    ambiguity="A3",
    says="(ii) every model ablated in turn, its neurons universal on average; the weakest counts",
)
def test_a_critical_decline_of_every_model(study: Study, checkpoint: Checkpoint, threshold: float) -> Measurement:
    which = SetOf(threshold, definition=Definition.AVERAGED)
    tables = every_ablation(study, checkpoint=checkpoint)
    return weakest({model: perplexity_ratio(table, which) for model, table in tables.items()})


@reading(of=test_a_critical_decline, ambiguity="F6", says="replaced by their mean instead of zero; last checkpoint")
def test_a_critical_decline_when_replaced_by_the_mean(study: Study, threshold: float) -> Measurement:
    which = SetOf(threshold, definition=Definition.AVERAGED, mode="mean")
    return perplexity_ratio(study.ablation(checkpoint=study.checkpoints[-1]), which)
