"""``un.match``: models from wherever they are, its result and its files, and one line for every mistake."""

from __future__ import annotations

import doctest
import importlib
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

import universal_neurons as un
from tests import tiny_models
from tests.hub import LoopbackHub
from tests.matching.tiny import TEXT, letters, model, pieces
from universal_neurons.cli import main
from universal_neurons.errors import UserError
from universal_neurons.matching import result as result_module
from universal_neurons.matching.result import ResultUnreadable

if TYPE_CHECKING:
    from collections.abc import Callable

SETTINGS: dict[str, Any] = {"tokens": 300, "context": 48, "blocks": 10, "draws": 3, "top_k": 3, "resamples": 50}


@pytest.fixture(scope="module")
def result() -> un.MatchResult:
    one, other = (model("GPT2LMHeadModel", 0), letters()), (model("LlamaForCausalLM", 1, layers=3), pieces())
    return un.match(one, other, text=TEXT, quick=True, **SETTINGS)


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


def test_saved_and_loaded_it_is_the_same(result: un.MatchResult, tmp_path: Path) -> None:
    again = un.MatchResult.load(result.save(tmp_path / "new" / "result"))
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
