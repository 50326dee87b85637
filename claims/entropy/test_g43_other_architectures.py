"""G43: models of another architecture have entropy neurons too.

Rule (written before any published model was measured): as for G40, of models that are not GPT-2s: the candidate of each
model mediates more than half of its effect on entropy through the scale of the final layer norm; mean over models,
interval over models, and only models in which a planted direction does so. The paper's code names neurons of Pythia
160M (layer 11, neuron 1070; layer 10, neurons 1205 and 2385) and prints no number about them; whether the candidate
is one of these is shown in the table of the suite and not asked for.
"""

from universal_neurons.harness import GreaterThan, Measurement, NotJudged, claim, control
from universal_neurons.harness.axes import Checkpoint
from universal_neurons.measures.entropy import candidate_mediation, every_model, typical_mediation
from universal_neurons.measures.study import Study

MEDIATED = 0.5


@claim(
    "G43",
    "In models of another architecture, too, a last-layer neuron changes entropy mostly through the final layer norm.",
    source="Gurnee et al. 2024, published code for figure 25",
    expect=NotJudged("the models of this suite are GPT-2s, which G40 is about"),
    on={name: GreaterThan(MEDIATED) for name in ("pythia_160m", "polypythias_14m", "polypythias_410m")},
    family="entropy",
    correction="holm",
    axes={"checkpoint": "last"},
)
def test_other_architectures_have_entropy_neurons(study: Study, checkpoint: Checkpoint) -> Measurement:
    return candidate_mediation(every_model(study, checkpoint), possible=MEDIATED)


@control(of=test_other_architectures_have_entropy_neurons)
def test_random_directions_of_other_architectures_do_not(study: Study, checkpoint: Checkpoint) -> Measurement:
    """Random directions of median norm; fails if the scale mediates whatever is written."""
    return typical_mediation(every_model(study, checkpoint), "random")
