"""N26: patching universal neurons from another input moves the output toward that input's.

The paper leaves families and activation patching to future work (families are F14). Rule (ours, written before anything
was measured): rows are run with the universal neurons' activations of another row at the same positions; the divergence
from the other row's output that this takes away, KL(P_y || P_x) - KL(P_y || Q) in nats, is above the 95th percentile
of as many other neurons of the same layers. Differences in nats and not shares, because they add up over predictions.
"""

from universal_neurons.harness import GreaterThan, Measurement, claim, control, reading
from universal_neurons.harness.axes import Checkpoint
from universal_neurons.measures.ablation import contrast
from universal_neurons.measures.ablation_table import SetKind, SetOf
from universal_neurons.measures.extensions import patching_effect, patching_over_random
from universal_neurons.measures.study import Study
from universal_neurons.measures.tables import Definition


@claim(
    "N26",
    "Patching universal neurons from another input moves the output toward that input's more than as many others do.",
    source="Nandan et al. 2025 v1, section 5 (future work)",
    expect=GreaterThan(0.0),
    family="extensions",
    correction="holm",
    axes={"threshold": (0.5,)},
)
def test_patching_moves_toward_the_other_input(study: Study, checkpoint: Checkpoint, threshold: float) -> Measurement:
    return patching_over_random(study.extensions(checkpoint=checkpoint), threshold)


@control(of=test_patching_moves_toward_the_other_input)
def test_other_neurons_do_not_exceed_themselves(study: Study, checkpoint: Checkpoint, threshold: float) -> Measurement:
    """Half of the draws in the set's place; fails if any neurons move the output more than their like."""
    return patching_over_random(study.extensions(checkpoint=checkpoint), threshold, of=SetKind.LAYER_MATCHED)


@control(of=test_patching_moves_toward_the_other_input)
def test_neurons_with_shuffled_labels_do_not_move_more(
    study: Study, checkpoint: Checkpoint, threshold: float
) -> Measurement:
    """The labels dealt out anew among all neurons; fails if any set of this size moves the output more than its like.

    Against draws of the same kind.  Changed after measuring: against draws of the universal neurons' layers, as first
    written, it asked which layers matter, and was satisfied at 25 and 50 % of the training.
    """
    return patching_over_random(study.extensions(checkpoint=checkpoint), threshold, SetKind.RANDOM, of=SetKind.RANDOM)


@reading(
    of=test_patching_moves_toward_the_other_input,
    ambiguity="A4",
    says="(i) non-universal: literally all others, most of the network",
)
def test_more_than_literally_all_others(study: Study, checkpoint: Checkpoint, threshold: float) -> Measurement:
    which = SetOf(threshold, definition=Definition.AVERAGED, mode="resample")
    return contrast(study.extensions(checkpoint=checkpoint).patches, which, SetKind.OTHERS)


@reading(
    of=test_patching_moves_toward_the_other_input, ambiguity="F6", says="toward the other input at all, against nothing"
)
def test_patching_moves_toward_it_at_all(study: Study, checkpoint: Checkpoint, threshold: float) -> Measurement:
    return patching_effect(study.extensions(checkpoint=checkpoint), threshold)
