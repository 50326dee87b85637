"""N14: ablating universal neurons shifts the output distribution more than ablating others.

Rule (catalogue, N14): KL(universal) above the 95th percentile of size-matched and of layer-matched random draws of
non-universal neurons, in every pair and at every checkpoint. "Minimally" has no bound in the paper: how much less the
others do stands in the details as a ratio, and N19 asks for it. The suite's number of draws replaces the catalogue's
hundred; the interval knows how little they say about a 95th percentile. The text's own control, literally all other
neurons, is most of the network: the catalogue expects the opposite there, and it is the first of the readings.
"""

from universal_neurons.harness import GreaterThan, Measurement, claim, control, reading, readings
from universal_neurons.harness.axes import Checkpoint
from universal_neurons.measures.ablation import contrast, effect_over_each, effect_over_random
from universal_neurons.measures.ablation_table import Replacement, SetKind, SetOf
from universal_neurons.measures.joint import weakest
from universal_neurons.measures.study import Study, untrained_ablation
from universal_neurons.measures.tables import Definition


@claim(
    "N14",
    "Ablating the universal neurons shifts the output distribution more than ablating as many non-universal ones.",
    source="Nandan et al. 2025 v1, section 4 (lines 96-100) and figure 2",
    expect=GreaterThan(0.0),
    family="ablation",
    axes={"threshold": (0.5,)},
)
def test_universal_neurons_matter(study: Study, partner: str, checkpoint: Checkpoint, threshold: float) -> Measurement:
    return effect_over_each(study.ablation(checkpoint=checkpoint), SetOf(threshold, partner))


@control(of=test_universal_neurons_matter)
def test_their_labels_do_not_matter_before_training(study: Study, threshold: float) -> Measurement:
    """The same neurons before they learnt anything; fails if their number, layers or initial weights do it."""
    return effect_over_each(untrained_ablation(study), SetOf(threshold, definition=Definition.AVERAGED))


@control(of=test_universal_neurons_matter)
def test_random_neurons_in_their_place_do_not_matter(
    study: Study, partner: str, checkpoint: Checkpoint, threshold: float
) -> Measurement:
    """Sets swapped: half of the draws take the set's place; fails if any set exceeds the percentile of the others."""
    return effect_over_each(study.ablation(checkpoint=checkpoint), SetOf(threshold, partner), of=None)


@control(of=test_universal_neurons_matter)
def test_neurons_with_shuffled_labels_do_not_matter(
    study: Study, partner: str, checkpoint: Checkpoint, threshold: float
) -> Measurement:
    """The labels dealt out anew among all neurons; fails if not being drawn from the others is enough."""
    return effect_over_each(study.ablation(checkpoint=checkpoint), SetOf(threshold, partner), of=SetKind.RANDOM)


@reading(
    of=test_universal_neurons_matter,
    ambiguity="A4",
    says="(i) non-universal: literally all others, most of the network",
)
def test_against_literally_all_others(
    study: Study, partner: str, checkpoint: Checkpoint, threshold: float
) -> Measurement:
    return contrast(study.ablation(checkpoint=checkpoint), SetOf(threshold, partner), SetKind.OTHERS)


@readings(
    of=test_universal_neurons_matter,
    table={
        "test_against_as_many_others": (
            "A4",
            "(ii) non-universal: as many of the others, at random",
            SetKind.RANDOM_OTHERS,
        ),
        "test_against_as_many_others_of_each_layer": (
            "A4",
            "(iii) non-universal: as many of the others in each layer",
            SetKind.LAYER_MATCHED,
        ),
        "test_against_as_many_of_all": ("A4", "(iv) random neurons, universal ones not excluded", SetKind.RANDOM),
    },
)
def against_draws(
    study: Study, partner: str, checkpoint: Checkpoint, threshold: float, against: SetKind
) -> Measurement:
    return effect_over_random(study.ablation(checkpoint=checkpoint), SetOf(threshold, partner), against)


@reading(of=test_universal_neurons_matter, ambiguity="A1", says="(ii) universal: mean excess over the partners")
def test_universal_on_average(study: Study, checkpoint: Checkpoint, threshold: float) -> Measurement:
    return effect_over_each(study.ablation(checkpoint=checkpoint), SetOf(threshold, definition=Definition.AVERAGED))


@readings(
    of=test_universal_neurons_matter,
    table={
        "test_universal_against_any": (
            "A1",
            "(iii) universal: against any partner; last checkpoint, layer-matched draws",
            Definition.UNION,
        ),
        "test_universal_against_every": (
            "A1",
            "(iv) universal: against every partner; last checkpoint, layer-matched draws",
            Definition.INTERSECTION,
        ),
    },
)
def universal_by(study: Study, threshold: float, definition: Definition) -> Measurement:
    which = SetOf(threshold, definition=definition)
    return effect_over_random(study.ablation(checkpoint=study.checkpoints[-1]), which, SetKind.LAYER_MATCHED)


@reading(
    of=test_universal_neurons_matter,
    ambiguity="A3",
    says="(ii) every model ablated in turn, its neurons universal on average; the weakest counts",
)
def test_every_model_ablated_in_turn(study: Study, checkpoint: Checkpoint, threshold: float) -> Measurement:
    which = SetOf(threshold, definition=Definition.AVERAGED)
    return weakest(
        {
            model: effect_over_each(study.ablation(checkpoint=checkpoint, reference=model), which)
            for model in (study.reference, *study.partners())
        }
    )


@reading(of=test_universal_neurons_matter, ambiguity="F5", says="against others of like layer and norm")
def test_against_others_of_like_norm(study: Study, checkpoint: Checkpoint, threshold: float) -> Measurement:
    which = SetOf(threshold, definition=Definition.AVERAGED)
    return effect_over_random(study.ablation(checkpoint=checkpoint), which, SetKind.NORM_MATCHED)


@reading(of=test_universal_neurons_matter, ambiguity="F5", says="against as many neurons that write most")
def test_against_those_that_write_most(study: Study, checkpoint: Checkpoint, threshold: float) -> Measurement:
    which = SetOf(threshold, definition=Definition.AVERAGED)
    return contrast(study.ablation(checkpoint=checkpoint), which, SetKind.TOP_NORM)


@readings(
    of=test_universal_neurons_matter,
    table={
        "test_replaced_by_their_mean": (
            "F6",
            "replaced by their mean instead of zero; last checkpoint, layer-matched draws",
            "mean",
        ),
        "test_replaced_by_their_value_elsewhere": (
            "F6",
            "replaced by their value elsewhere instead of zero; last checkpoint, layer-matched draws",
            "resample",
        ),
    },
)
def replaced_by(study: Study, threshold: float, mode: Replacement) -> Measurement:
    which = SetOf(threshold, definition=Definition.AVERAGED, mode=mode)
    return effect_over_random(study.ablation(checkpoint=study.checkpoints[-1]), which, SetKind.LAYER_MATCHED)
