"""F13: the bits in which sums of products are kept decide which neurons are each other's best match, or not.

Rule (ours): of the mutual best pairs of neurons that exact sums find, a way to keep sums finds all but half a per cent,
the tolerance within which a share matches a printed one (claims/README.md, Decision rules); equivalence, so that it is
refuted where the whole interval lies below 99.5 %. Pooled over the pairs of the reference, with the interval of the
jackknife over its partners, at the last checkpoint. Published code (avdravid/rosetta-neuron-scaling, arXiv 2606.03990)
standardises activations, rounds them to bfloat16, and adds the products of batches of up to 1,024 tokens to a matrix in
bfloat16, over ten million tokens; here over the tokens of the suite, of which more would lose more. F13-operands rounds
the activations alone, F13-float32 nothing but the sums: what they keep is not lost to the rounding of activations, nor
to sums that are short of float64.

Half of the tokens by exact sums is the control: where that kept all pairs, that a sum keeps them would say nothing.
"""

from universal_neurons.harness import Equivalent, Measurement, claim, control
from universal_neurons.harness.axes import Checkpoint
from universal_neurons.measures.precisions import kept_pairs
from universal_neurons.measures.study import Study


@claim(
    "F13-bfloat16",
    "Sums of products that are kept in bfloat16 give the same mutual best pairs of neurons.",
    source="Dravid et al. 2026, published code (avdravid/rosetta-neuron-scaling, match_corr.py); the test is ours",
    expect=Equivalent(1.0, 0.005),
    family="precision",
    correction="holm",
    axes={"checkpoint": "last"},
)
def test_sums_in_bfloat16_keep_the_pairs(study: Study, checkpoint: Checkpoint) -> Measurement:
    return kept_pairs(study, checkpoint, "bfloat16")


@control(of=test_sums_in_bfloat16_keep_the_pairs)
def test_half_of_the_tokens_does_not_keep_what_sums_in_bfloat16_should(
    study: Study, checkpoint: Checkpoint
) -> Measurement:
    """Exact sums of every second batch; fails if any sums would keep the pairs."""
    return kept_pairs(study, checkpoint, "half")


@claim(
    "F13-operands",
    "Activations rounded to bfloat16, with sums in float32, give the same mutual best pairs of neurons.",
    source="ours; what the published code would do with sums in float32",
    expect=Equivalent(1.0, 0.005),
    family="precision",
    correction="holm",
    axes={"checkpoint": "last"},
)
def test_activations_in_bfloat16_keep_the_pairs(study: Study, checkpoint: Checkpoint) -> Measurement:
    return kept_pairs(study, checkpoint, "operands")


@control(of=test_activations_in_bfloat16_keep_the_pairs)
def test_half_of_the_tokens_does_not_keep_what_rounded_activations_should(
    study: Study, checkpoint: Checkpoint
) -> Measurement:
    """Exact sums of every second batch; fails if any sums would keep the pairs."""
    return kept_pairs(study, checkpoint, "half")


@claim(
    "F13-float32",
    "Sums of products that are kept in float32 give the same mutual best pairs of neurons.",
    source="ours: a positive control of F13-bfloat16",
    expect=Equivalent(1.0, 0.005),
    family="precision",
    correction="holm",
    axes={"checkpoint": "last"},
)
def test_sums_in_float32_keep_the_pairs(study: Study, checkpoint: Checkpoint) -> Measurement:
    return kept_pairs(study, checkpoint, "float32")


@control(of=test_sums_in_float32_keep_the_pairs)
def test_half_of_the_tokens_does_not_keep_what_sums_in_float32_should(
    study: Study, checkpoint: Checkpoint
) -> Measurement:
    """Exact sums of every second batch; fails if any sums would keep the pairs."""
    return kept_pairs(study, checkpoint, "half")
