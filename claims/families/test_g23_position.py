"""G23: position neurons are in the first layers.

Rule (catalogue, Families): of the neurons of whose variance the position in the row explains more than half, the share
in the first quarter of the layers is above one half; of all models together, because a model has few. The paper names
layers 0 to 2 of 12.
"""

from universal_neurons.harness import GreaterThan, Measurement, claim, control
from universal_neurons.harness.axes import Checkpoint
from universal_neurons.measures.families import early_share, explanations_of_all
from universal_neurons.measures.properties import EARLY
from universal_neurons.measures.study import Study


@claim(
    "G23",
    "Position neurons are in the first quarter of the layers.",
    source="Gurnee et al. 2024, section 4.3 and figure 19",
    expect=GreaterThan(0.5),
    family="families",
    correction="holm",
    axes={"checkpoint": "last"},
)
def test_position_neurons_are_early(study: Study, checkpoint: Checkpoint) -> Measurement:
    return early_share(explanations_of_all(study, checkpoint), "position", EARLY)


@control(of=test_position_neurons_are_early)
def test_not_with_positions_dealt_out_anew(study: Study, checkpoint: Checkpoint) -> Measurement:
    """The positions shuffled within each row; fails if any position explains early neurons."""
    return early_share(explanations_of_all(study, checkpoint), "position", EARLY, elsewhere=True)


@control(of=test_position_neurons_are_early)
def test_not_with_layers_dealt_out_anew(study: Study, checkpoint: Checkpoint) -> Measurement:
    """The layers shuffled among neurons; fails if most layers are early ones."""
    return early_share(explanations_of_all(study, checkpoint), "position", EARLY, seed=0)
