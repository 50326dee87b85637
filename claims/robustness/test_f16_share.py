"""F16, share: on another text about as many neurons are universal.

Rule (ours): on as many tokens of another text, in the same rows under the same mask, the share is within 0.5 percentage
points of the share on the suite's tokens, the tolerance within which a share matches a printed one (claims/README.md,
Decision rules), pooled over the pairs of the reference, the only one that reads other texts, with the interval of the
jackknife over its partners. Other Python is source that no model was trained on, English the prose of descriptions. At
the last checkpoint, threshold 0.5. An exploratory look at the same models came before the rule: shares of 4.8 to 4.9 %
on other Python, 2.0 to 2.3 % on English.
"""

from universal_neurons.harness import Equivalent, Measurement, claim, control
from universal_neurons.harness.axes import Checkpoint
from universal_neurons.measures.controls import without_baseline
from universal_neurons.measures.pooled import altered, every_pair, pooled_growth
from universal_neurons.measures.study import Study
from universal_neurons.measures.texts import text_pairs


@claim(
    "F16-share-python",
    "On other Python the share of universal neurons is within 0.5 percentage points of the one on the suite's text.",
    source="ours: neither paper compares texts",
    expect=Equivalent(0.0, 0.005),
    family="robustness",
    correction="holm",
    axes={"checkpoint": "last", "threshold": (0.5,)},
)
def test_other_python_has_the_same_share(study: Study, checkpoint: Checkpoint, threshold: float) -> Measurement:
    return pooled_growth(text_pairs(study, "other_python", checkpoint), threshold)


@control(of=test_other_python_has_the_same_share)
def test_a_baseline_that_is_left_out_matters_of_texts(
    study: Study, checkpoint: Checkpoint, threshold: float
) -> Measurement:
    """Correlation instead of excess; fails if the tolerance would let pass that there is no baseline at all."""
    return pooled_growth(altered(every_pair(study, checkpoint, checkpoint), without_baseline), threshold)


@control(of=test_other_python_has_the_same_share)
def test_a_quarter_of_the_training_has_another_share(
    study: Study, checkpoint: Checkpoint, threshold: float
) -> Measurement:
    """The first checkpoint instead of another text; fails if the tolerance is wider than what training changes."""
    return pooled_growth(every_pair(study, checkpoint, study.checkpoints[0]), threshold)


@claim(
    "F16-share-english",
    "On English the share of universal neurons is within 0.5 percentage points of the one on the suite's text.",
    source="ours: neither paper compares texts",
    expect=Equivalent(0.0, 0.005),
    family="robustness",
    correction="holm",
    axes={"checkpoint": "last", "threshold": (0.5,)},
)
def test_english_has_the_same_share(study: Study, checkpoint: Checkpoint, threshold: float) -> Measurement:
    return pooled_growth(text_pairs(study, "english", checkpoint), threshold)


@control(of=test_english_has_the_same_share)
def test_a_baseline_that_is_left_out_matters_of_english(
    study: Study, checkpoint: Checkpoint, threshold: float
) -> Measurement:
    """Correlation instead of excess; fails if the tolerance would let pass that there is no baseline at all."""
    return pooled_growth(altered(every_pair(study, checkpoint, checkpoint), without_baseline), threshold)


@control(of=test_english_has_the_same_share)
def test_a_quarter_of_the_training_has_another_share_too(
    study: Study, checkpoint: Checkpoint, threshold: float
) -> Measurement:
    """The first checkpoint instead of another text; fails if the tolerance is wider than what training changes."""
    return pooled_growth(every_pair(study, checkpoint, study.checkpoints[0]), threshold)
