"""Labels and explanations of the miniature models are what whole arrays of activations and documents say of them."""

from __future__ import annotations

import sys
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from tests.refusals import refusal
from universal_neurons.errors import UserError
from universal_neurons.inputs.corpus import CorpusError
from universal_neurons.inputs.labels.python_source import PYTHON
from universal_neurons.inputs.labels.source import LabelColumn, Of
from universal_neurons.inputs.labels.text import document_passages, row_passages
from universal_neurons.measures.labels import KINDS, PREVIOUS, Labels
from universal_neurons.stages.base import Case, read_artifact
from universal_neurons.stages.explanations import EXPLANATIONS, explanations, groups_of_other_rows, token_groups
from universal_neurons.stages.labels import LABELS, MOST_OF_PLACES, families_of, labels_of, stored_labels
from universal_neurons.stages.models import LoadedModels
from universal_neurons.stages.tokens import ONLY, token_set
from universal_neurons.stages.workspace import corpus_recipe

if TYPE_CHECKING:
    import numpy.typing as npt

    from tests.miniature import Miniature
    from universal_neurons.inputs.corpus import TokenSet
    from universal_neurons.measures.families import Explanations
    from universal_neurons.stages.workspace import Workspace

# Scores are stored to 12 bits, and the model's last bits differ.
STORED = 5e-4


@pytest.fixture(scope="module")
def tokens(work: Workspace) -> TokenSet:
    return token_set(work)


@pytest.fixture(scope="module")
def labels(work: Workspace) -> Labels:
    return labels_of(work, tuple(read_artifact(work, key) for key in LABELS.keys(work, ONLY)))


@pytest.fixture(scope="module")
def columns(labels: Labels, tokens: TokenSet, work: Workspace) -> npt.NDArray[np.bool_]:
    """The labels of every place (label, row, position), by looking each up where it stands."""
    shape, found = tokens.rows.shape, []
    for kind in KINDS:
        for flags in labels.flags(kind):
            of = kind.removeprefix("previous ")
            at = {
                "token": tokens.rows,
                "position": np.broadcast_to(np.arange(shape[1]), shape),
                "domain": tokens.domain,
            }
            here = flags[at[of]] if of in at else flags[: tokens.rows.size].reshape(shape)
            if kind != of:
                moved = np.zeros(shape, dtype=np.bool_)
                moved[:, 1:] = here[:, :-1]
                here = moved
            found.append(here)
    return np.array(found)


@pytest.fixture(scope="module")
def explained(computed: Miniature) -> Explanations:
    table: Explanations = computed.study().table("explanations", model="b")
    return table


@pytest.fixture(scope="module")
def activations(work: Workspace, tokens: TokenSet) -> npt.NDArray[np.float64]:
    """Activations at the scored tokens (token, neuron), as the backend's hooks give them, in float64."""
    bridge = work.zoo.load(work.model("b", work.last_step))
    names = [f"blocks.{layer}.mlp.hook_post" for layer in range(work.suite.layers)]
    with torch.no_grad():
        _, cache = bridge.run_with_cache(torch.from_numpy(tokens.rows.astype(np.int64)), names_filter=names)
    return np.concatenate([cache[name].double().numpy()[tokens.mask] for name in names], axis=1)


def equation_4(values: npt.NDArray[np.float64], flags: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """The share of variance that each label explains (label, neuron), by its definition."""
    found = np.zeros((len(flags), values.shape[1]))
    for row, flag in zip(found, flags, strict=True):
        if 0 < (share := flag.mean()) < 1:
            within = (1 - share) * values[~flag].var(0) + share * values[flag].var(0)
            row[:] = 1 - within / values.var(0)
    return found


def test_labels_are_counted_where_they_stand(
    labels: Labels, columns: npt.NDArray[np.bool_], tokens: TokenSet, work: Workspace
) -> None:
    np.testing.assert_array_equal(columns[:, tokens.mask].sum(1), labels.frame["count"])
    least = round(0.0003 * tokens.scored)
    assert labels.frame["count"].between(max(least, 2), tokens.scored - max(least, 2)).all()
    assert set(labels.frame["family"]) == set(families_of(work))
    assert labels.frame.groupby("family")["name"].size().min() > 1
    assert not labels.frame.duplicated(["family", "of", "name"]).any()


def test_syntax_is_the_one_of_the_whole_document(labels: Labels, tokens: TokenSet, work: Workspace) -> None:
    """The label of a keyword is at tokens that spell the keyword."""
    names = labels.frame[labels.frame["of"] == "place"]["name"].tolist()
    flags = labels.flags("place")[names.index("keyword_def")]
    places = np.flatnonzero(flags[: tokens.rows.size])
    tokenizer = work.zoo.tokenizer()
    spelled = [tokenizer.decode([token]) for token in tokens.rows.ravel()[places]]
    assert len(places) > 5
    assert all("d" in one or "e" in one or "f" in one for one in spelled)


def test_documents_and_rows_have_the_same_tokens(work: Workspace, tokens: TokenSet) -> None:
    tokenizer, seed = work.zoo.tokenizer(), work.suite.corpus.seed
    documents = list(corpus_recipe(work).documents("held-out"))
    passages = list(document_passages(documents, tokenizer, tokens, seed=seed))
    places = np.concatenate([passage.place[passage.place >= 0] for passage in passages])
    # Everything but beginnings of rows and ends of text.
    expected = np.flatnonzero(tokens.rows.ravel() != work.zoo.end_of_text)
    np.testing.assert_array_equal(np.sort(places), expected)
    spelling = [tokenizer.decode([token]) for token in range(tokenizer.get_vocab_size())]
    for passage in passages[:5]:
        for start, place in zip(passage.start, passage.place, strict=True):
            spelled = spelling[tokens.rows.ravel()[place]] if place >= 0 else ""
            if spelled.strip() and "\ufffd" not in spelled:
                assert passage.text[start:].startswith(spelled.strip()[0])
    changed = [type(one)(one.domain, one.path, "x = 1\n" * 80) for one in documents]
    assert "the text has changed" in refusal(
        CorpusError, lambda: list(document_passages(changed, tokenizer, tokens, seed=seed))
    )


def test_a_row_is_a_passage_where_documents_are_not_here(work: Workspace, tokens: TokenSet) -> None:
    spelling = ["" if token == work.zoo.end_of_text else f" {token}" for token in range(300)]
    first = next(iter(row_passages(tokens, spelling)))
    here = first.place >= 0
    assert first.text == "".join(spelling[token] for token in tokens.rows[0])
    assert not here[0]
    for start, place in zip(first.start[here], first.place[here], strict=True):
        assert first.text[start:].startswith(spelling[tokens.rows.ravel()[place]].strip())


def test_scores_are_equation_4_in_both_halves(
    explained: Explanations,
    activations: npt.NDArray[np.float64],
    columns: npt.NDArray[np.bool_],
    tokens: TokenSet,
    labels: Labels,
) -> None:
    flags, half = columns[:, tokens.mask], np.nonzero(tokens.mask)[0] % 2
    whole = equation_4(activations, flags)
    halves = [equation_4(activations[half == which], flags[:, half == which]) for which in (0, 1)]
    for family in (*explained.families, "any"):
        chosen = np.flatnonzero((labels.frame["family"] == family) | (family == "any"))
        best = [chosen[scores[chosen].argmax(0)] for scores in (whole, *halves)]
        everyone = np.arange(activations.shape[1])
        stored = explained.frame
        # Several labels may be of the same tokens.
        found = whole[stored[f"{family}_label"], everyone]
        np.testing.assert_allclose(found, whole[best[0], everyone], atol=1e-6)
        np.testing.assert_allclose(stored[f"{family}_first"], halves[0][best[2], everyone], atol=STORED)
        np.testing.assert_allclose(stored[f"{family}_second"], halves[1][best[1], everyone], atol=STORED)
    carried = explained.carried
    assert len(carried) == (whole > 0.25).sum()
    neuron = carried["layer"] * 24 + carried["number"]
    np.testing.assert_allclose(carried["score"], whole[carried["label"], neuron], atol=STORED)


def test_directions_are_random_ones_of_their_layer(
    explained: Explanations, activations: npt.NDArray[np.float64], columns: npt.NDArray[np.bool_], tokens: TokenSet
) -> None:
    assert explained.directions["layer"].tolist() == [0] * 50 + [1] * 50
    dice = torch.Generator().manual_seed(1 + 1)
    drawn = torch.nn.functional.normalize(torch.randn(50, 24, generator=dice)).double().numpy()
    whole = equation_4(activations[:, 24:] @ drawn.T, columns[:, tokens.mask])
    stored = explained.directions[explained.directions["layer"] == 1]
    found = whole[stored["any_label"], np.arange(50)]
    np.testing.assert_allclose(found, whole.max(0), atol=1e-6)


def test_other_rows_have_the_labels_of_the_next_one(work: Workspace, labels: Labels, tokens: TokenSet) -> None:
    own = token_groups(tokens, labels, 300)
    other = groups_of_other_rows(tokens, labels, 300, seed=1)
    row, position = np.nonzero(tokens.mask)
    following = (row + 1) % len(tokens.rows)
    np.testing.assert_array_equal(other["token"], tokens.rows[following, position])
    np.testing.assert_array_equal(other["previous token"], tokens.rows[following, position - 1])
    np.testing.assert_array_equal(other["domain"], tokens.domain[following, position])
    flags = labels.flags("place")[:, : tokens.rows.size].reshape(-1, *tokens.rows.shape)
    np.testing.assert_array_equal(other["place"], flags[:, following, position].T)
    np.testing.assert_array_equal(own["place"], flags[:, row, position].T)
    assert set(other["position"].tolist()) <= set(range(1, 32))
    assert float((other["position"] == own["position"]).float().mean()) < 0.1


def test_position_zero_has_no_token_before_it(labels: Labels, tokens: TokenSet) -> None:
    groups = token_groups(replace(tokens, mask=np.ones_like(tokens.mask)), labels, 300)
    before = groups["previous token"].reshape(tokens.rows.shape)
    assert set(before[:, 0].tolist()) == {300}
    assert not groups["previous place"].reshape(*tokens.rows.shape, -1)[:, 0].any()


def test_layers_one_by_one_give_what_all_together_give(
    work: Workspace, explained: Explanations, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LoadedModels, "layer_blocks", lambda *_: (range(1), range(1, 2)))
    frame, directions, carried = explanations(work, Case(work.last_step, "b"))
    for mine, theirs in ((frame, explained.frame), (directions, explained.directions), (carried, explained.carried)):
        numbers = [str(name) for name in mine if "label" not in str(name)]
        np.testing.assert_allclose(mine[numbers], theirs[numbers], atol=STORED)


def test_an_altered_score_is_found(work: Workspace) -> None:
    case = Case(work.last_step, "b")
    artifacts = tuple(read_artifact(work, key) for key in EXPLANATIONS.keys(work, case))
    assert EXPLANATIONS.comparison(work, case, artifacts, artifacts).agrees
    frame = artifacts[0].table
    for altered in (
        frame.assign(token_share=frame["token_share"] + 0.01),
        frame.assign(unigram_first=frame["unigram_first"] + 0.01),
        frame.assign(any_label=frame["any_label"] + 1),
    ):
        again: Any = (SimpleNamespace(table=altered),)
        assert not EXPLANATIONS.comparison(work, case, artifacts, again).agrees


def test_labels_that_moved_are_found(work: Workspace) -> None:
    artifacts = tuple(read_artifact(work, key) for key in LABELS.keys(work, ONLY))
    assert LABELS.comparison(work, ONLY, artifacts, artifacts).agrees
    frame = artifacts[0].table
    again: Any = (SimpleNamespace(table=frame.assign(count=frame["count"] + (frame.index == 3))),)
    assert not LABELS.comparison(work, ONLY, artifacts, again).agrees


def test_too_many_labels_are_one_line(tokens: TokenSet) -> None:
    flags = np.zeros(tokens.rows.shape, dtype=np.bool_)
    flags[:3] = True
    many = [LabelColumn(str(number), "syntax", Of.PLACE, flags) for number in range(MOST_OF_PLACES + 1)]
    assert refusal(UserError, lambda: stored_labels(many, tokens, vocabulary=300)).startswith(
        "labels: expected at most 10000, and 250 that take a bit per token; got 502 and 251; name fewer sources"
    )


def test_without_the_library_of_a_source_one_line_says_what_to_install(
    own: Miniature, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tree_sitter", None)
    work = own.workspace(local=True)
    assert "pip install" in refusal(UserError, lambda: LABELS.produce(work, ONLY))
    assert PYTHON.name in work.suite.labels.sources
    assert PREVIOUS in families_of(work)


def test_a_model_that_is_not_explained_is_one_line(computed: Miniature) -> None:
    with pytest.raises(UserError, match=r"^suite mini: explanations: expected one of a@30, .*, got b@15$"):
        computed.study().table("explanations", model="b", checkpoint=type("C", (), {"step": 15})())
