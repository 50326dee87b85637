from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.render.browser import dataset, dom_of, driven, needs_chromium
from tests.render.neurons import CHECKOUT, DIGEST, TOPS, VOCABULARY, FakeNeurons, local_text
from tests.render.payloads import PAYLOADS
from tests.render.read import attributes, elements, read
from universal_neurons.measures.profiles import LEVELS
from universal_neurons.measures.properties import EIGHT, percentiles_in_layers
from universal_neurons.render.html.checks import CheckedPage, check_pages
from universal_neurons.render.pages.explorer import (
    LocalText,
    explorer_page,
    explorer_shards,
    frame,
    scores_of,
    write_explorer,
)
from universal_neurons.render.pages.explorer_data import PARTS
from universal_neurons.render.pages.explorer_families import NAMED
from universal_neurons.render.templates import TemplateWrong

TEMPLATES = CHECKOUT / "report"
ENTRIES = TOPS + len(LEVELS)
DRIVER = Path(__file__).with_name("explorer_driver.js")
HOSTILE = (
    *PAYLOADS,
    "</script><img src=x onerror=ran=1>",
    '<img src=x onerror="window.ran=1">',
    "\ud800",
    "\u2067rtl\u202e",
)
TYPES = {"u1": "u1", "u2": "<u2", "u4": "<u4", "i2": "<i2", "i4": "<i4", "f4": "<f4"}


@pytest.fixture(scope="module")
def study() -> FakeNeurons:
    return FakeNeurons(layers=3, width=120)


@pytest.fixture(scope="module")
def explorer(study: FakeNeurons, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_explorer(tmp_path_factory.mktemp("explorer"), TEMPLATES, study, local_text())


def values(script: str) -> dict[str, Any]:
    arguments = script.removeprefix("universalNeurons.take(").rstrip().removesuffix(");")
    name, given = json.loads(f"[{arguments}]")
    return {key: unpacked(value) for key, value in given.items()} if name != "about" else given


def unpacked(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    code, _, text = value.partition(":")
    return np.frombuffer(base64.b64decode(text), dtype=TYPES[code])


def test_the_page_is_a_page_of_the_report(explorer: Path, tmp_path: Path) -> None:
    folder = tmp_path / "report"
    folder.mkdir()
    page = explorer.read_text(encoding="utf-8")
    for name in re.findall(r'href="([\w-]+\.html)"', page):
        (folder / name).write_text(page, encoding="utf-8")
    (folder / "neurons.html").write_text(page, encoding="utf-8")
    check_pages(folder, {})


def test_the_page_holds_no_neuron_and_asks_no_server(explorer: Path) -> None:
    page = CheckedPage.read(explorer)
    assert page.faults == []
    assert "default-src 'none'" in page.policy
    assert re.findall(r"https?:|connect-src|unsafe-eval|script-src[^;]*unsafe-inline", page.policy) == []
    assert "L2.17" not in explorer.read_text(encoding="utf-8")


def test_no_text_becomes_markup() -> None:
    script = (TEMPLATES / "explorer.js").read_text(encoding="utf-8")
    assert (
        re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function|fetch\(", script) == []
    )


def test_every_neuron_is_in_exactly_one_shard(study: FakeNeurons) -> None:
    shards = dict(explorer_shards(study, local_text()))
    assert sorted(name for name in shards if name.startswith("1/")) == ["1/0", "1/1", "1/acts", "1/index", "1/tokens"]
    assert [len(values(shards[f"1/{number}"])["row"]) // ENTRIES for number in range(2)] == [256, 104]


def test_the_index_has_the_excess_of_the_last_checkpoint(study: FakeNeurons) -> None:
    index = values(dict(explorer_shards(study, local_text()))["0/index"])
    tables = study.reference_tables(checkpoint=study.checkpoints[-1], reference="a").tables
    excess = index["excess"].reshape(4, 360)
    for place, table in enumerate(tables.values()):
        expected = table.frame["excess"].to_numpy()
        np.testing.assert_allclose(np.delete(excess[place], 3) / PARTS, np.delete(expected, 3), atol=0.51 / PARTS)
    assert (excess[:, 3] == -(2**15)).all()


def test_untrained_the_scores_of_another_model_than_the_reference_are_undefined(study: FakeNeurons) -> None:
    own, other = (scores_of(study, model) for model in "ab")
    assert own.excess.shape == other.excess.shape == (360, len(study.checkpoints) + 1, 4)
    assert np.isfinite(own.excess[4:, 0]).all()
    assert np.isnan(other.excess[:, 0]).all()
    assert (other.partner[:, 0] == -1).all()
    tables = study.reference_tables(checkpoint=study.checkpoints[0], reference="b").tables
    for place, table in enumerate(tables.values()):
        np.testing.assert_array_equal(other.excess[:, 1, place], table.frame["excess"])


def test_the_percentiles_of_a_shard_are_those_in_the_layer(study: FakeNeurons) -> None:
    table = study.table("properties", model="b")
    start = 256
    shard = values(dict(explorer_shards(study, local_text()))["1/1"])
    rank = percentiles_in_layers(table["layer"].to_numpy(), table["pre_kurtosis"].to_numpy())
    place = list(EIGHT).index("pre_kurtosis")
    assert shard["percentiles"].reshape(-1, len(EIGHT))[5, place] == round(rank[start + 5] * 2)
    assert shard["properties"].reshape(-1, len(EIGHT))[5, place] == np.float32(table["pre_kurtosis"][start + 5])


def test_a_neuron_has_the_best_label_of_every_family_its_tokens_and_its_twin(study: FakeNeurons) -> None:
    shards = {name: values(script) for name, script in explorer_shards(study, local_text())}
    table, families = study.table("explanations", model="b"), shards["about"]["families"]
    shard, row = shards["1/1"], 256 + 5
    best = dict(zip(families, shard["label"].reshape(-1, len(families))[5], strict=True))
    assert best["syntax"] == table.frame["syntax_label"][row]
    halves = shard["explained"].reshape(-1, len(families), 2)[5, families.index("unigram")] / PARTS
    np.testing.assert_allclose(halves, table.frame.loc[row, ["unigram_first", "unigram_second"]].tolist(), atol=1e-4)
    assert (shard["twin"][5], shards["1/0"]["twin"][0]) == (240 + (row + 1) % 120, -1)
    assert shards["1/0"]["twinBy"][0] == -(2**15)
    names, having = shards["labels"]["names"], shards["labels"]["having"].reshape(-1, NAMED)
    assert names[best["previous"]] == "prev_previous"
    assert having[names.index("c")][:3].tolist() == [0, 3, 6]
    assert set(having[names.index("syntax")]) == {len(VOCABULARY)}


def first_look() -> FakeNeurons:
    found = FakeNeurons(layers=2, width=8)
    found.suite = found.suite.model_copy(update={"quick": True})
    return found


def test_a_first_look_has_neither_labels_nor_roles() -> None:
    shards = {name: values(script) for name, script in explorer_shards(first_look(), local_text())}
    assert sorted(name for name in shards if not name[0].isdigit()) == ["about", "vocabulary"]
    assert sorted(name for name in shards if name.startswith("1/")) == ["1/0", "1/index", "1/tokens"]
    assert {"label", "explained", "twin", "role", "auc"} & set(shards["1/0"]) == set()
    assert (shards["about"]["families"], set(shards["1/index"]["family"])) == ([], {0})


@needs_chromium
def test_a_neuron_of_a_first_look_is_shown_without_them(tmp_path: Path) -> None:
    dom = dom_of(write_explorer(tmp_path, TEMPLATES, first_look(), local_text()), tmp_path / "profile", place="#a:L1.3")
    assert re.findall(r"<h2[^>]*>([^<]+)", dom)[-3:] == [
        "What the model loses without it", "Among the neurons of its layer", "What it writes",
    ]  # fmt: skip
    assert re.search(r'<label hidden="">Explained by', dom)


def test_the_index_has_the_family_that_explains_more_than_half(study: FakeNeurons) -> None:
    shards = {name: values(script) for name, script in explorer_shards(study, local_text())}
    table, families = study.table("explanations", model="a"), ["", *shards["about"]["families"]]
    named = [families[number] for number in shards["0/index"]["family"]]
    expected = np.where(table.score() > 0.5, table.family(), "")
    assert named == expected.tolist()
    assert {"", "unigram", "position"} <= set(named)


def test_roles_and_what_was_done_to_neurons_are_those_of_the_tables(study: FakeNeurons) -> None:
    shards = dict(explorer_shards(study, local_text()))
    second, found = values(shards["1/1"]), values(shards["1/acts"])
    # Roles go by turns, and no neuron of the shard is a partition neuron.
    assert second["role"][:4].tolist() == [(256 + at) % 3 for at in range(4)]
    assert second["auc"][0] == 6100
    assert [(one["neuron"], one["role"]) for one in found["clamps"]] == [
        (243, "candidate"), (244, "other"), (126, "opposed"),
    ]  # fmt: skip
    # Both are above what entropy is at 0, whatever the table counts from.
    assert (found["clamps"][0]["entropy"][-1], found["clamps"][2]["entropy"][-1]) == (0.6, -0.6)
    assert (found["clamps"][2]["mediated"][0], found["clamps"][2]["scale"][0]) == (0.25, 0.98)
    assert (found["clamps"][2]["cosine"], "cosine" in found["clamps"][0]) == (-0.7, False)
    assert found["meanOf"].tolist() == [*range(240, 360), 126]
    assert (found["ofLast"], found["meanMediated"][-1]) == (120, 2500)
    np.testing.assert_allclose(found["meanSize"][[0, 119, 120]], [0.01, 0.02, 0.4], rtol=1e-6)
    assert [(one["neuron"], one["head"], one["action"]) for one in found["heads"]] == [
        (2, 0, "deactivation"), (1, 0, "activation"),
    ]  # fmt: skip
    assert found["activation"].reshape(2, found["points"])[1, -1] == np.float32(2)


@needs_chromium
def test_a_model_that_is_not_scored_before_training_says_so(explorer: Path, tmp_path: Path) -> None:
    said = "Of the untrained models a alone is scored."
    found = {name: dom_of(explorer, tmp_path / name, place=f"#{name}:L1.5") for name in "ab"}
    assert {name: said in dom for name, dom in found.items()} == {"a": False, "b": True}


@needs_chromium
def test_a_neuron_that_turns_a_head_off_has_its_scatter_and_an_entropy_candidate_its_values(
    explorer: Path, tmp_path: Path
) -> None:
    dom = dom_of(explorer, tmp_path / "head", place="#a:L0.2")
    assert "A suppression neuron: it suppresses few tokens much." in dom
    assert "Head 0 of layer 1" in dom
    assert "turns this head off more than any other" in dom
    assert dom.count('<circle class="dot" cx=') >= 6
    dom = dom_of(explorer, tmp_path / "entropy", place="#a:L2.3")
    assert "it may be an entropy neuron" in dom
    assert "0.600" in dom
    assert "Set to its mean everywhere, it changes the entropy of a prediction by 10.3 mnat in size, more than" in dom
    assert "2.50 %" in plain(dom)
    assert "−500 µnat on average" in plain(dom)
    dom = dom_of(explorer, tmp_path / "below", place="#a:L1.6")
    assert "opposed to those of an entropy neuron of the last layer: their cosine is −0.70" in dom
    assert "mediated share" in dom
    assert "Change of entropy in nats by activation: 0.02 at −0.17, 0.00 at 0.00" in dom


def plain(text: str) -> str:
    return text.replace("&nbsp;", " ")


def test_a_snippet_is_the_text_around_the_top_activation(study: FakeNeurons) -> None:
    text = local_text()
    assert text.rows is not None
    first = values(dict(explorer_shards(study, text))["2/0"])
    profiles = study.profiles(model="c")
    snippet = first["snippet"].reshape(256, ENTRIES, 33)[9, 2]
    row, position = int(profiles.top_row[9, 2]), int(profiles.top_position[9, 2])
    for entry, there in enumerate(range(position - 20, position + 13)):
        expected = text.rows[row, there] if 0 <= there < text.rows.shape[1] else len(VOCABULARY)
        assert snippet[entry] == expected
    shade = first["shade"].reshape(256, ENTRIES, 33)[9]
    assert shade[2, 20] == 255
    # The samples come after the largest activations, and their shade is a share of the maximum.
    assert (shade[TOPS:, 20] / 255).round(2).tolist() == list(LEVELS)


def test_a_partner_is_a_number_over_all_layers(study: FakeNeurons) -> None:
    first = values(dict(explorer_shards(study, local_text()))["0/0"])
    frame_of = study.reference_tables(checkpoint=study.checkpoints[-1], reference="a").tables["b"].frame
    partner = first["partner"].reshape(256, 5, 4)[:, -1, 0]
    assert partner[20] == frame_of["partner_layer"][20] * 120 + frame_of["partner_neuron"][20]
    assert partner[3] == -1


@pytest.mark.parametrize("text", [LocalText(VOCABULARY), LocalText(VOCABULARY, local_text().rows, "another digest")])
def test_without_its_text_a_neuron_has_positions_only(study: FakeNeurons, text: LocalText) -> None:
    shards = dict(explorer_shards(study, text))
    assert "snippet" not in values(shards["0/0"])
    assert "peaks" not in values(shards["0/tokens"])
    assert values(shards["0/0"])["position"].size == 256 * ENTRIES


def test_two_builds_are_the_same_bytes(study: FakeNeurons) -> None:
    again = FakeNeurons(layers=3, width=120)
    assert list(explorer_shards(study, local_text())) == list(explorer_shards(again, local_text()))
    assert explorer_page(TEMPLATES, study) == explorer_page(TEMPLATES, again)


def test_the_frame_is_that_of_every_other_page() -> None:
    page = (
        '<header class="bar">$if(toc)$x$endif$<a href="$root$a.html"$if(on-neurons)$ aria-current="page"$endif$>'
        "</a></header><footer>end</footer>"
    )
    header, footer = frame(page)
    assert header == '<header class="bar"><a href="a.html" aria-current="page"></a></header>'
    assert footer == "<footer>end</footer>"
    with pytest.raises(TemplateWrong, match="one header and one footer"):
        frame("<main></main>")


def test_a_hostile_title_leaves_no_new_element(study: FakeNeurons) -> None:
    wild = FakeNeurons(layers=3, width=120, title=" ".join(HOSTILE[:-2]))
    found = []
    for one in (study, wild):
        page = read(explorer_page(TEMPLATES, one))
        found.append((elements(page), attributes(page), page.faults))
    assert found[0] == found[1]


# --- in a browser ----------------------------------------------------------------------------------------------------


def seen_in(page: Path, profile: Path, place: str = "") -> dict[str, Any]:
    return dict(
        json.loads(dataset(dom_of(driven(page, DRIVER.read_text(encoding="utf-8")), profile, place=place), "seen"))
    )


@needs_chromium
def test_a_person_finds_opens_filters_and_goes_back(explorer: Path, tmp_path: Path) -> None:
    seen = seen_in(explorer, tmp_path, "#b:L1.5")
    assert "error" not in seen, seen["error"]
    assert seen["firstTitle"] == "b:L1.5"
    assert seen["all"] == "1800 neurons"
    assert seen["slashFocuses"] == "search"
    assert seen["byName"][:2] == ["a:L2.17", "b:L2.17"]
    assert (seen["activeOption"], seen["opened"], seen["hash"]) == ("b:L2.17", "b:L2.17", "#b:L2.17")
    assert seen["sections"] == [
        "Partners in the other seeds", "Its life during training", "What activates it", "The same, beside its partners",
        "How it is active", "What the model loses without it", "What explains it",
        "Among the neurons of its layer", "What it writes",
        "What it does",
    ]  # fmt: skip
    assert [name[0] for name in seen["partners"]] == ["a", "c", "d", "e"]
    # Its own eight, and the four strongest of it and of each of its four partners.
    assert seen["peaks"] == ENTRIES + 4 * 5
    assert seen["back"] == "b:L2.17"
    assert seen["escapeFocuses"] == "list"
    assert seen["byToken"].endswith(" of 1800 neurons")
    assert seen["nothing"] == "0 of 1800 neurons"
    assert seen["byPartners"].endswith(" of 1800 neurons")
    assert seen["models"] == ["b"]
    assert seen["asked"] == ["2", "0.6", "", "Neuron explorer"]
    assert seen["askedNames"].endswith(" of 1800 neurons")
    assert seen["theme"][0] != seen["theme"][1]


@needs_chromium
def test_a_list_that_another_page_asks_for_is_there_from_the_start(
    explorer: Path, study: FakeNeurons, tmp_path: Path
) -> None:
    dom = dom_of(explorer, tmp_path, place="#?model=b&layer=2&least=1&above=0.5")
    tables = study.reference_tables(checkpoint=study.checkpoints[-1], reference="b").tables.values()
    universal = np.any([np.rint(table.frame["excess"] * PARTS) > 5000 for table in tables], axis=0)
    expected = int(universal[240:].sum())
    assert f">{expected} of 1800 neurons</p>" in dom
    assert set(re.findall(r'class="name[^"]*">([^<]+)\.\d+<', dom)) == {"b:L2"}


@needs_chromium
@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("#b:L9.0", "This report has no neuron “b:L9.0”."),
        ("#?model=q&layer=1", "This report has no model “q”. The rest of the link is followed."),
        ("#?model=a&layer=9", "This report has no layer “9”. The rest of the link is followed."),
    ],
)
def test_a_link_in_vain_is_said_above_the_list_where_a_telephone_shows_it_too(
    explorer: Path, tmp_path: Path, place: str, said: str
) -> None:
    dom = dom_of(explorer, tmp_path, place=place)
    finder = dom[dom.index('class="finder"') : dom.index('id="list"')]
    assert said in finder
    assert 'role="alert" hidden' not in finder


@needs_chromium
def test_a_link_past_the_search_keeps_the_neuron(explorer: Path, tmp_path: Path) -> None:
    press = 'addEventListener("load", () => setTimeout(() => document.querySelector("a.skip").click(), 3000));'
    dom = dom_of(driven(explorer, press), tmp_path, place="#a:L1.0")
    assert "a:L1.0</span></h1>" in dom


@needs_chromium
def test_a_telephone_has_the_threshold_that_moves_the_share_below_the_list(explorer: Path, tmp_path: Path) -> None:
    look = "document.documentElement.dataset.seen = document.getElementById('slider').checkVisibility();"
    page = driven(explorer, f'addEventListener("load", () => setTimeout(() => {{ {look} }}, 3000));')
    assert dataset(dom_of(page, tmp_path, more=("--window-size=500,800",)), "seen") == "true"


@needs_chromium
def test_the_list_holds_what_the_tables_say(explorer: Path, study: FakeNeurons, tmp_path: Path) -> None:
    seen = seen_in(explorer, tmp_path)
    means = {}
    for model in study.models:
        tables = study.reference_tables(checkpoint=study.checkpoints[-1], reference=model).tables.values()
        for neuron, mean in enumerate(np.mean([table.frame["excess"] for table in tables], axis=0)):
            means[f"{model}:L{neuron // 120}.{neuron % 120}"] = mean
    best = sorted((name for name in means if not np.isnan(means[name])), key=lambda name: -means[name])
    assert seen["firstNames"] == best[:3]
    shared = 0
    for model in study.models:
        tables = study.reference_tables(checkpoint=study.checkpoints[-1], reference=model).tables.values()
        shared += int(np.all([np.rint(table.frame["excess"] * PARTS) > 5000 for table in tables], axis=0).sum())
    assert seen["byPartners"] == f"{shared} of 1800 neurons"
    explained = sum(
        int(((table.score() > 0.5) & (table.family() == "unigram")).sum())
        for table in (study.table("explanations", model=model) for model in study.models)
    )
    assert seen["byFamily"] == f"{explained} of 1800 neurons"


@needs_chromium
def test_hostile_texts_are_text_and_nothing_runs(tmp_path: Path) -> None:
    vocabulary = [*HOSTILE, *VOCABULARY[len(HOSTILE) :]]
    models = ("a", "b", "<img src=x onerror=ran=1>", '"x:L1.2', "\u202ee")
    wild = FakeNeurons(layers=3, width=120, models=models, prefix=HOSTILE[-3])
    built = tmp_path / "built"
    built.mkdir()
    page = write_explorer(built, TEMPLATES, wild, local_text(vocabulary))
    seen = seen_in(page, tmp_path / "profile", "#b:L1.5")
    assert "error" not in seen, seen["error"]
    assert seen["ran"] is False
    # The scripts of the page and of the test; those of the shards are taken away once they are read.
    assert seen["elements"] == "script,script"


@needs_chromium
def test_a_model_with_any_name_has_an_address(tmp_path: Path) -> None:
    built = tmp_path / "built"
    built.mkdir()
    page = write_explorer(
        built, TEMPLATES, FakeNeurons(layers=3, width=120, models=("a", "b:L7 <i>", "c")), local_text()
    )
    dom = dom_of(page, tmp_path / "profile", place="#b%3AL7%20%3Ci%3E:L1.5")
    assert '<span class="mono">b:L7 &lt;i&gt;:L1.5</span>' in dom


@needs_chromium
def test_without_text_one_line_says_so(study: FakeNeurons, tmp_path: Path) -> None:
    text = LocalText(VOCABULARY, absence="The text is elsewhere.")
    built = tmp_path / "built"
    built.mkdir()
    dom = dom_of(write_explorer(built, TEMPLATES, study, text), tmp_path / "profile", place="#a:L1.5")
    assert dom.count("The text is elsewhere.") == 1
    assert re.search(r"row \d+, position \d+", dom)
    assert 'class="peak"' not in dom


@needs_chromium
def test_missing_data_is_named(explorer: Path, tmp_path: Path) -> None:
    alone = tmp_path / "neurons.html"
    alone.write_bytes(explorer.read_bytes())
    assert "neurons/about.js could not be read" in dom_of(alone, tmp_path / "profile")


def test_the_text_is_of_the_digest_that_the_profiles_name(study: FakeNeurons) -> None:
    assert study.profiles(model="a").tokens == DIGEST
