"""G4: one to five per cent of neurons are universal.

Rule (catalogue, G4): the share by the mean excess over the partners lies between the two printed ends, for every model
as the reference. The rule names no model, so it is the same on every suite.
"""

from universal_neurons.harness import Between, Measurement, Published, claim, control, reading
from universal_neurons.harness.axes import Checkpoint
from universal_neurons.measures.study import Study, null_tables
from universal_neurons.measures.tables import Definition
from universal_neurons.measures.universality import definition_share


@claim(
    "G4",
    "Between 1 % and 5 % of the neurons of a model are universal.",
    source="Gurnee et al. 2024, abstract and section 4.1",
    expect=Between(
        Published("gurnee2024.prevalence_range", bound="lower"), Published("gurnee2024.prevalence_range", bound="upper")
    ),
    family="prevalence",
    correction="holm",
    axes={"checkpoint": "last", "threshold": (0.5,)},
)
def test_one_to_five_per_cent_are_universal(
    study: Study, reference: str, checkpoint: Checkpoint, threshold: float
) -> Measurement:
    tables = study.reference_tables(checkpoint=checkpoint, reference=reference)
    return definition_share(tables, Definition.AVERAGED, threshold)


@control(of=test_one_to_five_per_cent_are_universal)
def test_not_of_rotated_neurons(study: Study, checkpoint: Checkpoint, threshold: float) -> Measurement:
    """Both models rotated; fails if any basis of the layers would share as much."""
    return definition_share(null_tables(study, checkpoint=checkpoint, kind="rotated"), Definition.AVERAGED, threshold)


@control(of=test_one_to_five_per_cent_are_universal)
def test_not_over_permuted_tokens(study: Study, checkpoint: Checkpoint, threshold: float) -> Measurement:
    """Partners read other tokens; fails if statistics of activations, not what neurons respond to, are enough."""
    return definition_share(null_tables(study, checkpoint=checkpoint, kind="permuted"), Definition.AVERAGED, threshold)


@reading(of=test_one_to_five_per_cent_are_universal, ambiguity="A1", says="(iv) universal: against every partner")
def test_one_to_five_per_cent_against_every_partner(
    study: Study, reference: str, checkpoint: Checkpoint, threshold: float
) -> Measurement:
    tables = study.reference_tables(checkpoint=checkpoint, reference=reference)
    return definition_share(tables, Definition.INTERSECTION, threshold)
