"""``un.match``: models from wherever they are, its result and its files, and one line for every mistake."""

from __future__ import annotations

import doctest
import hashlib
import importlib
import json
import re
import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
import torch

import universal_neurons as un
from tests import tiny_models
from tests.hub import LoopbackHub
from tests.matching.tiny import TEXT, letters, model, pieces
from tests.render.browser import dataset, dom_of, driven, needs_chromium
from universal_neurons.cli import main
from universal_neurons.errors import UserError
from universal_neurons.matching import result as result_module
from universal_neurons.matching.directions import MatchedDirection, kept_partners, resampling
from universal_neurons.matching.result import ResultUnreadable
from universal_neurons.matching.settings import MatchSettings
from universal_neurons.measurement import Measurement, Over
from universal_neurons.measures.tables import Resampling

if TYPE_CHECKING:
    from collections.abc import Callable

# A neuron of the first model.
NEVER_VARIES = 5
SETTINGS: dict[str, Any] = {"tokens": 300, "context": 48, "blocks": 10, "draws": 3, "top_k": 3, "resamples": 50}


@pytest.fixture(scope="module")
def result() -> un.MatchResult:
    one, other = model("GPT2LMHeadModel", 0), model("LlamaForCausalLM", 1, layers=3)
    with torch.no_grad():
        one.transformer.h[0].mlp.c_fc.weight[:, NEVER_VARIES] = 0
    return un.match((one, letters()), (other, pieces()), text=TEXT, quick=True, **SETTINGS)


def saved_model(folder: Path, architecture: str, seed: int, tokenizer: Any) -> Path:
    model(architecture, seed).save_pretrained(folder)
    if tokenizer is not None:
        tokenizer.save(str(folder / "tokenizer.json"))
    return folder


# --- the result ------------------------------------------------------------------------------------------------------


def test_a_table_per_direction_with_an_interval_around_every_excess(result: un.MatchResult) -> None:
    assert [len(result.forward.table), len(result.backward.table)] == [48, 72]
    for table in (result.forward.table, result.backward.table):
        defined = table[table["excess"].notna()]
        assert len(defined) > 40
        assert (defined["excess_low"] < defined["excess"]).all()
        assert (defined["excess"] < defined["excess_high"]).all()
        np.testing.assert_allclose(defined["excess"], defined["correlation"] - defined["baseline"], atol=1e-6)
        assert (defined["correlation"] >= defined["correlation_2"]).all()
    assert set(result.shares()) == {str(result.forward), str(result.backward)}


def test_the_columns_of_a_table_are_in_the_order_that_is_documented(result: un.MatchResult) -> None:
    first = "layer neuron partner_layer partner_neuron correlation baseline baseline_sd excess excess_low excess_high"
    further = [f"{what.replace('*', str(rank))}" for rank in (2, 3) for what in (
        "partner_*_layer", "partner_*_neuron", "correlation_*",
    )]  # fmt: skip
    assert list(result.forward.table) == [*first.split(), *further]


def test_the_interval_of_an_excess_is_normal_over_the_blocks_of_its_best_partner(result: un.MatchResult) -> None:
    for direction in (result.forward, result.backward):
        influence = direction.influence[:, :, 0].astype(np.float64)
        reach = 1.959964 * np.sqrt(((influence - influence.mean(axis=0)) ** 2).sum(axis=0))
        table, defined = direction.table, direction.frame["excess"].notna()
        assert np.flatnonzero(~defined).tolist() == ([NEVER_VARIES] if direction is result.forward else [])
        for end, sign in (("excess_low", -1), ("excess_high", 1)):
            expected = (table["excess"] + sign * reach)[defined]
            np.testing.assert_allclose(table[end][defined], expected, rtol=1e-6)
            assert table[end][~defined].isna().all()
        universality = direction.universality
        assert universality.candidates.tolist() == np.flatnonzero(defined).tolist()
        assert np.array_equal(universality.draws, direction.draws[:, defined])
        assert (universality.reference, universality.partner) == (direction.model.name, direction.partner.name)


def test_a_share_is_of_the_threshold_that_is_asked_for(result: un.MatchResult) -> None:
    for threshold in (0.05, 0.1, 0.5):
        for direction, share in zip((result.forward, result.backward), result.shares(threshold).values(), strict=True):
            excess = direction.table["excess"].dropna()
            assert share.value == direction.share(threshold).value == (excess > threshold).mean()


def test_its_text_says_what_was_read_and_every_share_with_its_interval(
    result: un.MatchResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    share = Measurement(0.3, 0.1, 0.4, 48, Over.TOKEN_BLOCKS, 0.95, "share")
    monkeypatch.setattr(MatchedDirection, "share", lambda *_: share)
    there, back = "GPT2LMHeadModel -> LlamaForCausalLM", "LlamaForCausalLM -> GPT2LMHeadModel"
    assert str(result).splitlines() == [
        f"GPT2LMHeadModel and LlamaForCausalLM: 300 spans of text in {result.rows} rows",
        f"{there}: 30.0% of 48 neurons above an excess of 0.5 [10.0%, 40.0%]",
        f"{back}: 30.0% of 48 neurons above an excess of 0.5 [10.0%, 40.0%]",
    ]
    assert [len(one.widths) for one in result.models] == [2, 3]


def test_kept_partners_are_ranked_correlations_and_both_halves() -> None:
    frame = pd.DataFrame({"correlation": [0.9], "correlation_2": [0.5], "baseline": [0.1]})
    partner, halves, null = np.array([[4, 2]]), np.array([[[4, 1]], [[3, 2]]]), np.array([[7, 8]])
    kept = kept_partners(frame, np.zeros((2, 1, 2)), partner, halves, null)
    assert kept.correlation.tolist() == [[0.9, 0.5]]
    assert (kept.half_a.tolist(), kept.half_b.tolist()) == ([[4, 1]], [[3, 2]])
    assert kept.null is not None
    assert kept.null.tolist() == [[7, 8]]


def test_the_bootstrap_is_as_the_settings_say() -> None:
    assert resampling(MatchSettings(resamples=7, level=0.9, seed=3)) == Resampling(7, 0.9, 3)


@pytest.mark.parametrize("null", [False, True])
def test_saved_and_loaded_it_is_the_same(result: un.MatchResult, tmp_path: Path, null: bool) -> None:
    if null:
        kept = replace(result.forward.kept, null=result.forward.kept.half_b + 1)
        result = replace(result, forward=replace(result.forward, kept=kept))
    again = un.MatchResult.load(result.save(tmp_path / "new" / "result"))
    for one, other in ((again.forward, result.forward), (again.backward, result.backward)):
        assert (one.model, one.partner) == (other.model, other.partner)
        for part in ("partner", "correlation", "half_a", "half_b", "influence", "null"):
            np.testing.assert_array_equal(getattr(one.kept, part), getattr(other.kept, part), err_msg=part)
    assert again.forward.table.equals(result.forward.table)
    assert again.backward.table.equals(result.backward.table)
    assert (again.models, again.settings, again.shares()) == (result.models, result.settings, result.shares())
    assert str(again) == str(result)


@pytest.mark.parametrize("name", ["match.json", "forward-table.parquet", "backward-blocks.safetensors"])
@pytest.mark.parametrize("damage", [lambda b: b[:-20] + bytes(20), lambda _: b"", lambda b: b[: len(b) // 2]])
def test_a_damaged_file_is_one_line(
    result: un.MatchResult, tmp_path: Path, name: str, damage: Callable[[bytes], bytes]
) -> None:
    result.save(tmp_path)
    (tmp_path / name).write_bytes(damage((tmp_path / name).read_bytes()))
    with pytest.raises(ResultUnreadable, match="damaged") as raised:
        un.MatchResult.load(tmp_path)
    assert "\n" not in str(raised.value)


def test_a_table_that_is_whole_but_another_is_damage(result: un.MatchResult, tmp_path: Path) -> None:
    result.save(tmp_path)
    (tmp_path / "forward-table.parquet").write_bytes((tmp_path / "backward-table.parquet").read_bytes())
    with pytest.raises(ResultUnreadable, match=r"forward-table\.parquet: damaged: sha256 \w{12} expected, got \w{12}$"):
        un.MatchResult.load(tmp_path)


def test_a_manifest_reads_no_file_outside_of_its_folder(result: un.MatchResult, tmp_path: Path) -> None:
    path = result.save(tmp_path / "inside") / result_module.MANIFEST
    outside = tmp_path / "outside.json"
    outside.write_bytes(b"{}\n")
    document = json.loads(path.read_text())
    document["files"]["../outside.json"] = hashlib.sha256(outside.read_bytes()).hexdigest()
    path.write_text(json.dumps(document, sort_keys=True, indent=2) + "\n")
    with pytest.raises(ResultUnreadable, match="expected the result of a match"):
        un.MatchResult.load(path.parent)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, "expected format 1, got 2"),
        ({"models": []}, "damaged"),
        ({"settings": {"tokens": -1}}, "damaged"),
        ({"files": {"../../etc/passwd.parquet": "00"}}, "expected the result of a match|damaged"),
    ],
)
def test_a_manifest_that_says_something_else_is_one_line(
    result: un.MatchResult, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    result.save(tmp_path)
    path = tmp_path / result_module.MANIFEST
    document = {**json.loads(path.read_text()), **change}
    path.write_text(json.dumps(document, sort_keys=True, indent=2) + "\n")
    with pytest.raises(ResultUnreadable, match=message):
        un.MatchResult.load(tmp_path)
    with pytest.raises(ResultUnreadable, match="expected the result of a match"):
        un.MatchResult.load(tmp_path / "nothing")


def test_the_page_holds_every_neuron_and_no_name_becomes_markup(result: un.MatchResult, tmp_path: Path) -> None:
    hostile = "</script><script>alert(1)</script>\u202e"
    folder = result.save(tmp_path)
    document = json.loads((folder / "match.json").read_text())
    document["models"][0]["name"] = hostile
    (folder / "match.json").write_text(json.dumps(document, sort_keys=True, indent=2) + "\n")
    named = un.MatchResult.load(folder)
    page = named.to_html(tmp_path / "page.html").read_text()
    assert "alert(1)</script>" not in page
    assert "\u202e" not in page
    assert page.count("<script") == 2
    data = json.loads(re.search(r'id="data">(.*?)</script>', page, re.DOTALL)[1])  # type: ignore[index]
    assert [len(one["layer"]) for one in data["directions"]] == [48, 72]
    assert data["directions"][0]["partner_neuron"][0] == named.forward.table["partner_neuron"].tolist()
    assert not re.search(r"https?://(?!www\.w3\.org)", page)
    assert "<script" not in named._repr_html_()


_WIDTHS = """addEventListener("load", () => {
  const width = (what) => document.querySelector(what).getBoundingClientRect().width;
  const { scrollWidth, clientWidth } = document.documentElement;
  const seen = [width("td.name"), width(".wide > svg"), scrollWidth - clientWidth];
  document.documentElement.dataset.seen = JSON.stringify(seen);
});"""


@needs_chromium
def test_on_a_phone_names_are_not_broken_and_the_figure_is_not_shrunk(result: un.MatchResult, tmp_path: Path) -> None:
    page = driven(result.to_html(tmp_path / "page.html"), _WIDTHS)
    dom = dom_of(page, tmp_path / "profile", seconds=3, more=("--window-size=390,900",))
    name, figure, beyond = json.loads(dataset(dom, "seen"))
    assert name >= 144
    assert figure >= 640
    assert beyond == 0


def test_a_notebook_shows_the_figure_though_nothing_imports_pyplot(result: un.MatchResult) -> None:
    assert "matplotlib.pyplot" not in sys.modules
    shown = result.plot()._repr_png_()  # type: ignore[attr-defined]
    assert shown.startswith(b"\x89PNG")
    assert struct.unpack(">II", shown[16:24]) == (900, 640)


def test_equal_results_draw_equal_pages(result: un.MatchResult, tmp_path: Path) -> None:
    assert result.to_html(tmp_path / "one").read_bytes() == result.to_html(tmp_path / "two").read_bytes()


# --- where models come from ------------------------------------------------------------------------------------------


def test_folders_a_hub_and_loaded_models_are_the_same_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = [saved_model(tmp_path / name, "LlamaForCausalLM", seed, pieces()) for seed, name in enumerate("ab")]
    loaded = [(model("LlamaForCausalLM", seed), pieces()) for seed in range(2)]
    with LoopbackHub() as hub:
        for seed, folder in enumerate(folders):
            files = {path.name: path.read_bytes() for path in folder.iterdir()}
            hub.commit(f"someone/llama-seed{seed}", "step10" if seed else "main", files)
        tiny_models.use(monkeypatch, hub, root=tmp_path, waits=[])
        named = un.match("someone/llama-seed0", "someone/llama-seed1@step10", text=TEXT, quick=True, **SETTINGS)
    assert [one.name for one in named.models] == ["someone/llama-seed0@main", "someone/llama-seed1@step10"]
    for other in (
        un.match(*folders, text=TEXT, quick=True, **SETTINGS),
        un.match(*loaded, text=TEXT, quick=True, **SETTINGS),
    ):
        assert [one.digest for one in other.models] == [one.digest for one in named.models]
        assert other.forward.table.equals(named.forward.table)


def test_a_tokenizer_for_models_that_bring_none(tmp_path: Path) -> None:
    folder = saved_model(tmp_path / "bare", "GPT2LMHeadModel", 0, None)
    pieces().save(str(tmp_path / "pieces.json"))
    found = un.match(
        folder, model("GPT2LMHeadModel", 1), text=TEXT, quick=True, tokenizer=tmp_path / "pieces.json", **SETTINGS
    )
    assert found.models[0].tokens == found.spans
    with pytest.raises(UserError, match=r"has no tokenizer\.json; name its tokenizer"):
        un.match(folder, folder, text=TEXT)


BAD: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no such folder": (lambda _: "nowhere", "expected a folder, or OWNER/NAME"),
    "an empty folder": (lambda path: path, r"expected config\.json, got no such file"),
    "another model": (lambda path: _written(path, "config.json", '{"model_type": "bert"}'), "model_type: expected one"),
    "no configuration": (lambda path: _written(path, "config.json", "[" * 100_000), "expected a model's configuration"),
    "no weights": (
        lambda path: _written(path, "config.json", '{"model_type": "gpt2"}'),
        r"expected model\.safetensors or",
    ),
    "no model": (lambda _: torch.nn.Linear(2, 2), "architecture: expected one of"),
    "half precision": (lambda _: (model("GPT2LMHeadModel", 0).half(), letters()), r"expected weights in float32"),
    "a slow tokenizer": (lambda _: (model("GPT2LMHeadModel", 0), object()), "expected a tokenizer"),
}


def _written(path: Path, name: str, text: str) -> Path:
    (path / name).write_text(text)
    return path


@pytest.mark.parametrize("kind", BAD)
def test_what_is_no_model_is_one_line(tmp_path: Path, kind: str) -> None:
    given, message = BAD[kind]
    with pytest.raises(UserError, match=message) as raised:
        un.match(given(tmp_path), given(tmp_path), text=TEXT, tokenizer=letters())
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tokens": 0}, "tokens: expected a whole number from 2"),
        ({"pooling": "max"}, "pooling: expected last or mean"),
        ({"colour": 1}, "settings: expected some of tokens"),
        ({"level": 2.0}, "level: expected"),
        ({"device": "tpu"}, "expected cpu or cuda"),
        ({"text": ""}, "text: expected at least one span"),
        ({"text": "a"}, "text: expected at least 2 rows"),
        ({"text": Path("nowhere.txt")}, r"nowhere\.txt: expected a file or folder"),
        ({"text": [3]}, "expected documents of text, got a int"),
    ],
)
def test_a_wrong_setting_is_one_line(options: dict[str, Any], message: str) -> None:
    one = (model("GPT2LMHeadModel", 0), letters())
    with pytest.raises(UserError, match=message):
        un.match(one, one, **{"text": TEXT, **options})


# --- the package and the command -------------------------------------------------------------------------------------


def test_importing_the_package_imports_nothing_that_computes() -> None:
    code = (
        "import sys, universal_neurons as un\n"
        "assert {'match', 'open_study', 'MatchResult'} <= set(dir(un))\n"
        "light = sorted({'numpy', 'pandas', 'torch', 'transformers'} & set(sys.modules))\n"
        "un.match, un.MatchResult, un.open_study\n"
        "print(light, sorted({'torch', 'transformers', 'transformer_lens', 'pytest'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[] []\n"
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = un.nothing


@pytest.mark.parametrize("module", ["", ".matching", ".matching.text"])
def test_the_examples_of_the_docstrings_run(module: str) -> None:
    found = doctest.testmod(importlib.import_module(f"universal_neurons{module}"))
    assert found.attempted > 1
    assert found.failed == 0


def test_the_example_of_the_readme_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    root = Path(__file__).parents[2]
    monkeypatch.chdir(root)
    (example,) = re.findall(r"^```pycon\n(.*?)^```$", (root / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    test = doctest.DocTestParser().get_doctest(example, {}, "README.md", None, None)
    assert doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test).failed == 0


def test_the_command_writes_what_the_function_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = [str(saved_model(tmp_path / name, "GPT2LMHeadModel", seed, pieces())) for seed, name in enumerate("ab")]
    (tmp_path / "text").mkdir()
    for place, text in enumerate(TEXT):
        (tmp_path / "text" / f"{place}.txt").write_text(text)
    options = ["--text", str(tmp_path / "text"), "--tokens", "200", "--quick", "--pooling", "mean"]
    written = ["--out", str(tmp_path / "out"), "--html", str(tmp_path / "page.html")]
    monkeypatch.setattr(sys, "argv", ["universal-neurons", "match", *folders, *options, *written])
    with pytest.raises(SystemExit) as status:
        main()
    assert not status.value.code
    found = un.match(*folders, text=tmp_path / "text", tokens=200, quick=True, pooling="mean")
    assert capsys.readouterr().out.splitlines()[:3] == str(found).splitlines()
    assert un.MatchResult.load(tmp_path / "out").forward.table.equals(found.forward.table)
    assert (tmp_path / "page.html").read_text() == found.to_html(tmp_path / "again.html").read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("nowhere", "nowhere", "--text", "."), "expected a folder, or OWNER/NAME"),
        (("a/b", "a/b", "--text", "nowhere"), "expected a file or folder, got neither"),
        (("a" * 5000, "b", "--text", "."), "File name too long; expected another name"),
    ],
)
def test_a_mistake_of_the_command_is_one_line_and_status_4(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], message: str
) -> None:
    monkeypatch.setattr(sys, "argv", ["universal-neurons", "match", *words])
    with pytest.raises(SystemExit) as status:
        main()
    assert status.value.code == 4
    assert message in (err := capsys.readouterr().err)
    assert len(err.splitlines()) == 1
