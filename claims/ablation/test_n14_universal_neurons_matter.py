"""N14: ablating universal neurons shifts the output distribution more than ablating others.

Rule: the standing of KL(universal) among size- and layer-matched random draws of non-universal neurons, in every pair
and at every checkpoint: reproduced above the draws' 95th percentile, refuted below their mean, inconclusive between.
Layers are matched because they differ in how much anything in them matters, and universal neurons are not spread evenly
over them; the draws from the whole model, which mix the two, are readings, and so are draws of like norm. Refutations
are corrected over the family. "Minimally" has no bound in the paper: how much less the others do stands in the details
as a ratio. That all other neurons together do little, literally, is N14-others.
"""

from universal_neurons.harness import AboveDraws, Measurement, claim, control, reading, readings
from universal_neurons.harness.axes import Checkpoint
from universal_neurons.measures.ablation import single_draws, standing
from universal_neurons.measures.ablation_table import Replacement, SetKind, SetOf
from universal_neurons.measures.joint import weakest
from universal_neurons.measures.study import Study, every_ablation, untrained_ablation
from universal_neurons.measures.tables import Definition


@claim(
    "N14",
    "Ablating the universal neurons shifts the output distribution more than ablating as many non-universal ones.",
    source="Nandan et al. 2025 v1, section 4 (lines 96-100) and figure 2",
    expect=AboveDraws(),
    family="ablation",
    correction="holm",
    axes={"threshold": (0.5,)},
)
def test_universal_neurons_matter(study: Study, partner: str, checkpoint: Checkpoint, threshold: float) -> Measurement:
    return standing(study.ablation(checkpoint=checkpoint), SetOf(threshold, partner))


@control(of=test_universal_neurons_matter)
def test_their_labels_do_not_matter_before_training(study: Study, threshold: float) -> Measurement:
    """The same neurons before they learnt anything; fails if their number, layers or initial weights do it."""
    return standing(untrained_ablation(study), SetOf(threshold, definition=Definition.AVERAGED))


@control(of=test_universal_neurons_matter)
def test_random_neurons_in_their_place_do_not_matter(
    study: Study, partner: str, checkpoint: Checkpoint, threshold: float
) -> Measurement:
    """Sets swapped, one draw at a time judged by the others; fails if more of them stand out than chance allows."""
    return single_draws(study.ablation(checkpoint=checkpoint), SetOf(threshold, partner), SetKind.LAYER_MATCHED)


@readings(
    of=test_universal_neurons_matter,
    table={
        "test_against_as_many_others": (
            "A4",
            "(ii) non-universal: as many of the others, at random from all layers",
            SetKind.RANDOM_OTHERS,
        ),
    },
)
def against_draws(
    study: Study, partner: str, checkpoint: Checkpoint, threshold: float, against: SetKind
) -> Measurement:
    return standing(study.ablation(checkpoint=checkpoint), SetOf(threshold, partner), against)


@readings(
    of=test_universal_neurons_matter,
    table={
        "test_universal_on_average": (
            "A1",
            "(ii) universal: mean excess over the partners",
            SetKind.LAYER_MATCHED,
        ),
        "test_against_others_of_like_norm": (
            "F5",
            "universal on average, against others of like layer and norm",
            SetKind.NORM_MATCHED,
        ),
    },
)
def universal_on_average(study: Study, checkpoint: Checkpoint, threshold: float, against: SetKind) -> Measurement:
    which = SetOf(threshold, definition=Definition.AVERAGED)
    return standing(study.ablation(checkpoint=checkpoint), which, against)


@readings(
    of=test_universal_neurons_matter,
    table={
        "test_universal_against_any": ("A1", "(iii) universal: against any partner; last checkpoint", Definition.UNION),
        "test_universal_against_every": (
            "A1",
            "(iv) universal: against every partner; last checkpoint",
            Definition.INTERSECTION,
        ),
    },
)
def universal_by(study: Study, threshold: float, definition: Definition) -> Measurement:
    return standing(study.ablation(checkpoint=study.checkpoints[-1]), SetOf(threshold, definition=definition))


@reading(
    of=test_universal_neurons_matter,
    ambiguity="A3",
    says="(ii) every model ablated in turn, its neurons universal on average; the weakest counts",
)
def test_every_model_ablated_in_turn(study: Study, checkpoint: Checkpoint, threshold: float) -> Measurement:
    which = SetOf(threshold, definition=Definition.AVERAGED)
    tables = every_ablation(study, checkpoint=checkpoint)
    return weakest({model: standing(table, which) for model, table in tables.items()})


@readings(
    of=test_universal_neurons_matter,
    table={
        "test_replaced_by_their_mean": ("F6", "replaced by their mean instead of zero; last checkpoint", "mean"),
        "test_replaced_by_their_value_elsewhere": (
            "F6",
            "replaced by their value elsewhere instead of zero; last checkpoint",
            "resample",
        ),
    },
)
def replaced_by(study: Study, threshold: float, mode: Replacement) -> Measurement:
    which = SetOf(threshold, definition=Definition.AVERAGED, mode=mode)
    return standing(study.ablation(checkpoint=study.checkpoints[-1]), which)
