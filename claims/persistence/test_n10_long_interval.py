"""N10: persistence from 25 to 75 % of training is below persistence over the two intervals in between.

Rule (catalogue, N10): P(25 -> 75 %) < min(P(25 -> 50 %), P(50 -> 75 %)), paired over neurons. A rule of direction,
though the paper says "slightly": it prints no number, so the size is not judged. Pairs are pooled. Both differences
must be below 0, so the larger of the two is judged; its interval is over neurons and knows that the rates share them.
"""

from universal_neurons.harness import LessThan, Measurement, claim, control, reading
from universal_neurons.measures.controls import shuffled_neurons, typical
from universal_neurons.measures.joint import largest
from universal_neurons.measures.persistence import long_span_excess
from universal_neurons.measures.study import Study, null_tables, quarter_checkpoints


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
    first, second, third = (study.reference_tables(checkpoint=checkpoint) for checkpoint in quarter_checkpoints(study))
    return long_span_excess(first, second, third, threshold)


@control(of=test_drift_adds_up)
def test_labels_dealt_anew_at_the_end_do_not_drift(study: Study, threshold: float) -> Measurement:
    """Shuffled last labels are equally far from both others; fails if only the distance to the first is seen."""
    first, second, third = (study.reference_tables(checkpoint=checkpoint) for checkpoint in quarter_checkpoints(study))
    return typical(
        lambda seed: long_span_excess(
            first, second, third.each(lambda table: shuffled_neurons(table, seed=seed)), threshold, resampled=False
        )
    )


@control(of=test_drift_adds_up)
def test_untrained_models_do_not_drift(study: Study, threshold: float) -> Measurement:
    """The same models three times; fails if rounding or a different set at each end looks like drift."""
    first, second, third = (
        null_tables(study, checkpoint=checkpoint, kind="untrained") for checkpoint in quarter_checkpoints(study)
    )
    return long_span_excess(first, second, third, threshold)


@control(of=test_drift_adds_up)
def test_a_checkpoint_seen_three_times_has_not_drifted(study: Study, threshold: float) -> Measurement:
    """Everything persists over all three; fails if a difference of exactly 0 counts as below it."""
    first = study.reference_tables(checkpoint=quarter_checkpoints(study)[0])
    return long_span_excess(first, first, first, threshold)


@reading(of=test_drift_adds_up, ambiguity="A15", says="in every pair")
def test_in_every_pair_drift_adds_up(study: Study, threshold: float) -> Measurement:
    found = []
    for partner in study.partners():
        first, second, third = (
            study.universality(partner=partner, checkpoint=checkpoint) for checkpoint in quarter_checkpoints(study)
        )
        found.append(long_span_excess(first, second, third, threshold))
    return largest(found)


@reading(of=test_drift_adds_up, ambiguity="F9", says="of every model taken as the reference")
def test_of_every_reference_drift_adds_up(study: Study, threshold: float) -> Measurement:
    checkpoints = quarter_checkpoints(study)
    own = study.reference_tables(checkpoint=checkpoints[0])
    found = []
    for reference in (own.reference, *own.partners):
        first, second, third = (
            study.reference_tables(checkpoint=checkpoint, reference=reference) for checkpoint in checkpoints
        )
        found.append(long_span_excess(first, second, third, threshold))
    return largest(found)
