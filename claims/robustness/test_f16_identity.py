"""F16, identity: on another text other neurons are universal.

Rule (ours): the universal neurons of half of the suite's tokens and of half of as many tokens of another text overlap
less than those of the two halves of one text do. Overlap is the share of the smaller set that lies in the larger, so a
text with fewer universal neurons could still have the same ones; of the two texts the one whose halves overlap less is
the ceiling. Pooled over the pairs of the reference, the only one that reads other texts, with the interval of the
jackknife over its partners. Other Python is source that no model was trained on, English the prose of descriptions. At
the last checkpoint, threshold 0.5. An exploratory look at the same models came before the rule: 71 % were the same on
other Python, 32 % on English.
"""

from universal_neurons.harness import LessThan, Measurement, claim, control
from universal_neurons.harness.axes import Checkpoint
from universal_neurons.measures.study import Study
from universal_neurons.measures.texts import overlap_beyond_ceiling, text_pairs


@claim(
    "F16-identity-python",
    "On other Python other neurons are universal, beyond what two halves of one text differ in.",
    source="ours: neither paper compares texts",
    expect=LessThan(0.0),
    family="robustness",
    correction="holm",
    axes={"checkpoint": "last", "threshold": (0.5,)},
)
def test_other_python_has_other_neurons(study: Study, checkpoint: Checkpoint, threshold: float) -> Measurement:
    return overlap_beyond_ceiling(text_pairs(study, "other_python", checkpoint), threshold)


@control(of=test_other_python_has_other_neurons)
def test_other_rows_of_the_same_text_have_the_same(
    study: Study, checkpoint: Checkpoint, threshold: float
) -> Measurement:
    """Other rows of the suite's text; fails if any other tokens seem to have other neurons."""
    return overlap_beyond_ceiling(text_pairs(study, "other_rows", checkpoint), threshold)


@claim(
    "F16-identity-english",
    "On English other neurons are universal, beyond what two halves of one text differ in.",
    source="ours: neither paper compares texts",
    expect=LessThan(0.0),
    family="robustness",
    correction="holm",
    axes={"checkpoint": "last", "threshold": (0.5,)},
)
def test_english_has_other_neurons(study: Study, checkpoint: Checkpoint, threshold: float) -> Measurement:
    return overlap_beyond_ceiling(text_pairs(study, "english", checkpoint), threshold)


@control(of=test_english_has_other_neurons)
def test_other_rows_of_the_same_text_have_the_same_too(
    study: Study, checkpoint: Checkpoint, threshold: float
) -> Measurement:
    """Other rows of the suite's text; fails if any other tokens seem to have other neurons."""
    return overlap_beyond_ceiling(text_pairs(study, "other_rows", checkpoint), threshold)
