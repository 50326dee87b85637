"""G61: neurons that are active most of the time are in the first quarter of the layers.

Rule (catalogue, Properties): of the neurons above 0 at more than half of the tokens, in all models together, more than
half are in the first quarter, by Wilson's interval. The paper's "none of them universal" is not judged: of so few
neurons none would be universal by chance.
"""

from universal_neurons.harness import GreaterThan, Measurement, claim, control
from universal_neurons.harness.axes import Checkpoint
from universal_neurons.measures.properties import early_share_of_frequent
from universal_neurons.measures.study import Study


@claim(
    "G61",
    "Neurons that are active at more than half of the tokens are in the first quarter of the layers.",
    source="Gurnee et al. 2024, section 6 and figure 9",
    expect=GreaterThan(0.5),
    family="properties",
    correction="holm",
    axes={"checkpoint": "last"},
)
def test_frequent_neurons_are_early(study: Study, checkpoint: Checkpoint) -> Measurement:
    return measured(study, checkpoint)


@control(of=test_frequent_neurons_are_early)
def test_not_with_layers_dealt_out_anew(study: Study, checkpoint: Checkpoint) -> Measurement:
    """Every neuron in another's layer; fails if the first quarter is most of a model."""
    return measured(study, checkpoint, seed=0)


def measured(study: Study, checkpoint: Checkpoint, seed: int | None = None) -> Measurement:
    models = (study.reference, *study.partners())
    scores = study.reference_tables(checkpoint=checkpoint)
    level = next(iter(scores.tables.values())).resampling.level
    tables = [study.table("properties", model=model, checkpoint=checkpoint) for model in models]
    return early_share_of_frequent(tables, level=level, seed=seed)
