"""N26: patching universal neurons from another input moves the output toward that input's.

The paper leaves families and activation patching to future work (families are F14). Rule (ours): rows are run with the
universal neurons' activations of another row at the same positions; the standing of the divergence from the other row's
output that this takes away, KL(P_y || P_x) - KL(P_y || Q), among as many other neurons of the same layers: reproduced
above their 95th percentile, refuted below their mean (as N14).
"""

from universal_neurons.harness import AboveDraws, Measurement, claim, control
from universal_neurons.harness.axes import Checkpoint
from universal_neurons.measures.ablation import single_draws
from universal_neurons.measures.ablation_table import SetKind
from universal_neurons.measures.extensions import patched, patching_standing
from universal_neurons.measures.study import Study


@claim(
    "N26",
    "Patching universal neurons from another input moves the output toward that input's more than as many others do.",
    source="Nandan et al. 2025 v1, section 5 (future work)",
    expect=AboveDraws(),
    family="extensions",
    correction="holm",
    axes={"threshold": (0.5,)},
)
def test_patching_moves_toward_the_other_input(study: Study, checkpoint: Checkpoint, threshold: float) -> Measurement:
    return patching_standing(study.extensions(checkpoint=checkpoint), threshold)


@control(of=test_patching_moves_toward_the_other_input)
def test_other_neurons_do_not_exceed_themselves(study: Study, checkpoint: Checkpoint, threshold: float) -> Measurement:
    """Sets swapped, one draw at a time judged by the others; fails if more of them stand out than chance allows."""
    return single_draws(study.extensions(checkpoint=checkpoint).patches, patched(threshold), SetKind.LAYER_MATCHED)
