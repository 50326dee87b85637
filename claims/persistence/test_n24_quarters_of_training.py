"""N24: the paper's three checkpoints lie at 25, 50 and 75 % of training.

Rule (catalogue, N24): a check of metadata. Of each of the three checkpoints, its step over the steps of the whole
training, taken from the last checkpoint, minus the share after which it is called, is 0 within half a percentage point.
The paper says it of 400k steps of GPT-2 Small; the rule is the same on every suite, because every statement about 25,
50 and 75 % rests on it. Nothing is sampled, so there is no interval.
"""

from universal_neurons.harness import Equivalent, Measurement, claim, control
from universal_neurons.harness.axes import Checkpoint
from universal_neurons.measures.spans import distance_from_share
from universal_neurons.measures.study import Study


@claim(
    "N24",
    "The checkpoints called 25, 50 and 75 % are saved after that share of all training steps.",
    source="Nandan et al. 2025 v1, section 3",
    expect=Equivalent(0.0, margin=0.005),
    family="persistence",
    kind="method",
    axes={"checkpoint": ("25 %", "50 %", "75 %")},
)
def test_checkpoints_lie_where_they_are_called(study: Study, checkpoint: Checkpoint) -> Measurement:
    return distance_from_share(study, checkpoint, named=checkpoint)


@control(of=test_checkpoints_lie_where_they_are_called)
def test_the_last_checkpoint_is_not_one_of_the_three(study: Study, checkpoint: Checkpoint) -> Measurement:
    """The last checkpoint's step under each name; fails if the margin is so wide that any step fits."""
    return distance_from_share(study, study.checkpoints[-1], named=checkpoint)


@control(of=test_checkpoints_lie_where_they_are_called)
def test_a_checkpoint_does_not_lie_where_the_next_is_called(study: Study, checkpoint: Checkpoint) -> Measurement:
    """The names moved on by one; fails if the names of neighbours cannot be told apart."""
    steps = [checkpoint.step for checkpoint in study.checkpoints]
    following = study.checkpoints[min(steps.index(checkpoint.step) + 1, len(steps) - 1)]
    return distance_from_share(study, checkpoint, named=following)
