"""G52-loss: what the neurons that turn heads off are worth to the model.

Rule (catalogue, Mechanisms; written before it was measured): of the neurons with the four largest relative scores for
each sink head, the median over neurons of the percentile in their layer of the increase of loss where the neuron alone
is set to 0 is above 50; mean over models, interval over models. The paper leaves it open what these neurons contribute
to performance (the third open question of its summary). Larger loss without such a neuron says that the model needs
it, and not that it needs it for attention.
"""

from universal_neurons.harness import GreaterThan, Measurement, claim, control
from universal_neurons.harness.axes import Checkpoint
from universal_neurons.measures.attention import every_model, lone_losses, loss_percentile
from universal_neurons.measures.study import Study


@claim(
    "G52-loss",
    "Without a neuron that turns heads off the model loses more than without other neurons of its layer.",
    source="Gurnee et al. 2024, section 5.3, leaves it open; a summary of it asks",
    expect=GreaterThan(50.0),
    family="attention",
    correction="holm",
    axes={"checkpoint": "last"},
)
def test_neurons_that_turn_heads_off_are_worth_more(study: Study, checkpoint: Checkpoint) -> Measurement:
    return loss_percentile(every_model(study, checkpoint), lone_losses(study), "top")


@control(of=test_neurons_that_turn_heads_off_are_worth_more)
def test_not_other_neurons_of_their_layers(study: Study, checkpoint: Checkpoint) -> Measurement:
    """Random neurons of the same layers, chosen from as active ones; fails if activity alone is enough."""
    return loss_percentile(every_model(study, checkpoint), lone_losses(study), "matched")
