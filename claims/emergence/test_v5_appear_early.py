"""V5: universal neurons appear early.

Rule (catalogue, V5): the share at the first checkpoint over the share at the last. The catalogue gives no bound;
"early" is read as "most are there": above one half, the bound of its sister claim V6. The same on every suite, and
only as early as the suite's first checkpoint: at 25 % of training, on mini, a ratio below one half contradicts the
claim, while one above it supports no more than "by a quarter of the training".
"""

from universal_neurons.harness import GreaterThan, Measurement, claim, control
from universal_neurons.measures.study import Study, ends_of, null_tables
from universal_neurons.measures.universality import early_share_ratio


@claim(
    "V5",
    "Most of the last checkpoint's share of universal neurons is there at the first checkpoint.",
    source="Nandan et al. 2025 v2, summary (TL;DR)",
    expect=GreaterThan(0.5),
    family="emergence",
    axes={"threshold": (0.5,)},
)
def test_universal_neurons_appear_early(study: Study, threshold: float) -> Measurement:
    first, last = ends_of(study.checkpoints)
    return early_share_ratio(
        study.reference_tables(checkpoint=first), study.reference_tables(checkpoint=last), threshold
    )


@control(of=test_universal_neurons_appear_early)
def test_universal_neurons_do_not_appear_before_training(study: Study, threshold: float) -> Measurement:
    """Fails if the untrained models already have most of the share: then nothing has appeared."""
    first, last = ends_of(study.checkpoints)
    return early_share_ratio(
        null_tables(study, checkpoint=first, kind="untrained"), study.reference_tables(checkpoint=last), threshold
    )
