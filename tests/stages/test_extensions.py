"""The extensions artifact of the miniature: what its sets are, and that its numbers are those of the naive way."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from universal_neurons.errors import UserError
from universal_neurons.measures.ablation_table import FamilyKind
from universal_neurons.stages.base import Case, read_artifact
from universal_neurons.stages.extensions import EXTENSIONS, family_members, shuffled_rows
from universal_neurons.stages.tokens import evaluation_tokens, token_set

if TYPE_CHECKING:
    from tests.miniature import Miniature
    from universal_neurons.artifacts.store import Artifact

LAYER = np.repeat([0, 1, 2], 10)
UNIVERSAL = np.isin(np.arange(30), [0, 1, 2, 3, 4, 10, 11, 12, 20])
UNIGRAM = np.isin(np.arange(30), [0, 1, 2, 7, 10, 15, 16, 20])


def both(project: Miniature, step: int = 30) -> tuple[Artifact, Artifact]:
    work = project.workspace()
    table, blocks = (read_artifact(work, key) for key in EXTENSIONS.keys(work, Case(step, "a")))
    return table, blocks


@pytest.mark.parametrize(
    ("family", "pool", "sizes"),
    [
        (FamilyKind.UNIVERSAL_UNIGRAM, UNIVERSAL & UNIGRAM, [3, 1, 1]),
        (FamilyKind.UNIGRAM_DRAWN, UNIVERSAL & UNIGRAM, [2, 1, 0]),
        (FamilyKind.PLAIN_DRAWN, UNIVERSAL & ~UNIGRAM, [2, 1, 0]),
        (FamilyKind.SHUFFLED_DRAWN, UNIVERSAL, [2, 1, 0]),
        (FamilyKind.SHARED_DRAWN, UNIVERSAL & UNIGRAM, [1, 1, 0]),
        (FamilyKind.UNSHARED_DRAWN, ~UNIVERSAL & UNIGRAM, [1, 1, 0]),
    ],
)
def test_compared_families_have_the_size_of_the_smaller_one_in_every_layer(
    family: FamilyKind, pool: np.ndarray, sizes: list[int]
) -> None:
    drawn = [family_members(family, UNIVERSAL, UNIGRAM, LAYER, np.random.default_rng(seed)) for seed in range(60)]
    for members in drawn:
        assert pool[members].all()
        assert np.bincount(LAYER[members], minlength=3).tolist() == sizes
        assert (np.diff(members) > 0).all()
    assert len({tuple(members) for members in drawn}) > 1 or not family.is_random


def test_the_table_has_every_draw_of_every_kind(computed: Miniature) -> None:
    frame = both(computed)[0].table
    rows = frame.groupby(["mode", "neurons"]).size().to_dict()
    assert rows == {
        ("zero", "universal"): 1,
        **{("zero", family.value): 2 if family.is_random else 1 for family in FamilyKind},
        **{("resample", kind): size for kind, size in (("universal", 1), ("others", 1))},
        ("resample", "layer_matched"): 2,
    }


def test_scores_are_those_of_the_tokens_at_the_scored_positions(computed: Miniature) -> None:
    import torch

    from universal_neurons.core.activations import mlp_activations

    work = computed.workspace()
    tokens = token_set(work)
    rows = torch.from_numpy(tokens.rows.astype(np.int64))
    values = mlp_activations(work.zoo.load(work.model("a", 30)), rows).double().numpy()[tokens.mask]
    ids = tokens.rows[tokens.mask]
    found = both(computed)[1].arrays
    for neuron in (0, 20, 47):
        y = ids == found["token"][neuron]
        v = values[:, neuron]
        within = (1 - y.mean()) * v[~y].var() + y.mean() * v[y].var()
        np.testing.assert_allclose(found["score"][neuron], 1 - within / v.var(), rtol=1e-4)


def test_rows_are_the_evaluation_rows_in_another_order_and_blocks_are_pairs(computed: Miniature) -> None:
    work = computed.workspace()
    rows, own = shuffled_rows(work), evaluation_tokens(work).rows
    assert sorted(map(bytes, rows.astype(own.dtype))) == sorted(map(bytes, own))
    assert not np.array_equal(rows, own)
    assert both(computed)[1].arrays["predictions"].tolist() == [62] * 5


def test_patches_close_at_most_the_distance_and_ablations_close_none(computed: Miniature) -> None:
    table, blocks = both(computed)
    patched = (table.table["mode"] == "resample").to_numpy()
    assert not blocks.arrays["toward"][~patched].any()
    assert (blocks.arrays["toward"][patched] <= blocks.arrays["distance"] + 1e-6).all()
    others = patched & (table.table["neurons"] == "others").to_numpy()
    assert (blocks.arrays["kl"][others] > 0).all()
    assert (blocks.arrays["toward"][others] != 0).any()


def test_a_study_reads_families_and_patches_apart(computed: Miniature) -> None:
    study = computed.study()
    found = study.extensions(checkpoint=study.checkpoints[-1])
    arrays = both(computed)[1].arrays
    assert (found.step, found.reference) == (30, "a")
    assert set(found.families.frame["mode"]) == {"zero"}
    assert set(found.patches.frame["mode"]) == {"resample"}
    np.testing.assert_array_equal(found.patches.kl, arrays["toward"][-len(found.patches.frame) :])
    assert len(study.reads) == 2
    assert study.untrained is not None
    with pytest.raises(UserError, match="no extensions at step 0"):
        study.extensions(checkpoint=study.untrained)
