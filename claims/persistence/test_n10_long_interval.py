"""N10: persistence from 25 to 75 % of training is below persistence over the two intervals in between.

Rule: P(25 -> 75 %) - min(P(25 -> 50 %), P(50 -> 75 %)) is below 0, pooled over all directed pairs of models with the
interval of the jackknife over models, the smaller of the two sought anew whenever a model is left out. A rule of
direction, though the paper says "slightly": it prints no number, so the size is not judged. The pairs of the reference
alone are a reading (F9).
"""

from universal_neurons.harness import LessThan, Measurement, claim, control, reading
from universal_neurons.measures.controls import shuffled_neurons, typical
from universal_neurons.measures.pooled import altered, every_pair, own_pairs, pooled_long_span
from universal_neurons.measures.study import Study, quarter_checkpoints


@claim(
    "N10",
    "Fewer universal neurons stay so from 25 to 75 % of training than over either of the two intervals in between.",
    source="Nandan et al. 2025 v1, section 4 (lines 91-92) and figure 1",
    expect=LessThan(0.0),
    family="persistence",
    correction="holm",
    axes={"threshold": (0.5,)},
)
def test_drift_adds_up(study: Study, threshold: float) -> Measurement:
    return pooled_long_span(every_pair(study, *quarter_checkpoints(study)), threshold)


@control(of=test_drift_adds_up)
def test_labels_dealt_anew_at_the_end_do_not_drift(study: Study, threshold: float) -> Measurement:
    """Shuffled last labels are equally far from both others; fails if only the distance to the first is seen."""
    pairs = every_pair(study, *quarter_checkpoints(study))
    return typical(
        lambda seed: pooled_long_span(altered(pairs, lambda table: shuffled_neurons(table, seed=seed)), threshold)
    )


@control(of=test_drift_adds_up)
def test_untrained_models_do_not_drift(study: Study, threshold: float) -> Measurement:
    """The same models three times; fails if rounding or a different set at each end looks like drift."""
    return pooled_long_span(own_pairs(study, *quarter_checkpoints(study), null="untrained"), threshold)


@control(of=test_drift_adds_up)
def test_a_checkpoint_seen_three_times_has_not_drifted(study: Study, threshold: float) -> Measurement:
    """Everything persists over all three; fails if a difference of exactly 0 counts as below it."""
    first, _, _ = quarter_checkpoints(study)
    return pooled_long_span(every_pair(study, first, first, first), threshold)


@reading(of=test_drift_adds_up, ambiguity="F9", says="of the reference alone")
def test_of_one_reference_drift_adds_up(study: Study, threshold: float) -> Measurement:
    return pooled_long_span(own_pairs(study, *quarter_checkpoints(study)), threshold)
