"""The widget of a match: what Python and the page tell each other, and the notebook that shows it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat
import pytest

import universal_neurons as un
from tests.matching.test_match import SETTINGS
from tests.matching.tiny import TEXT, letters, model
from tests.render.browser import dom_of, needs_chromium
from tests.sources import ROOT
from universal_neurons.errors import ExtraMissing
from universal_neurons.matching import page as module
from universal_neurons.matching.page import page

if TYPE_CHECKING:
    from collections.abc import Iterator

NOTEBOOKS = sorted((ROOT / "src/universal_neurons/notebooks").glob("*.ipynb"))


@pytest.fixture(scope="module")
def result() -> un.MatchResult:
    one, other = ((model("GPT2LMHeadModel", seed), letters()) for seed in (0, 1))
    return un.match(one, other, text=TEXT, quick=True, **SETTINGS)


@pytest.fixture
def explorer(result: un.MatchResult) -> Iterator[Any]:
    made = result.widget(height=300)
    yield made
    made.close()


def test_the_widget_holds_the_page_and_says_what_is_searched_for(result: un.MatchResult, explorer: Any) -> None:
    assert explorer.page == page(result)
    assert (explorer.height, explorer.search, explorer.found) == (300, "", -1)
    assert {"page", "height", "search", "found", "_esm"} <= set(explorer.get_state())
    assert explorer._repr_mimebundle_() is not None


def test_without_anywidget_one_line_says_what_to_install(
    result: un.MatchResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    expected = r"^the widget of a match needs anywidget, .* run: pip install universal-neurons\[notebook\]$"
    with pytest.raises(ExtraMissing, match=expected):
        result.widget()


# A notebook's half of a widget: a model whose values both sides set, and a log of what the page set.
_NOTEBOOK = """<!doctype html><html><body><div id="here"></div><pre id="log"></pre><script type="module">
const widget = WIDGET;
const values = VALUES, heard = {};
const model = {
  get: (name) => values[name],
  set: (name, value) => { values[name] = value; },
  save_changes: () => { document.getElementById("log").append(JSON.stringify([values.search, values.found]) + "\\n"); },
  on: (name, act) => { heard[name] = act; },
  off: () => {},
};
const end = widget.render({ model, el: document.getElementById("here") });
setTimeout(() => { values.search = "L1"; heard["change:search"](); }, 3000);
setTimeout(() => { values.search = "no neuron"; heard["change:search"](); }, 5000);
setTimeout(() => { window.postMessage({ search: "L0", found: 99 }, "*"); }, 7000);
setTimeout(() => { end(); values.search = "L0"; heard["change:search"](); }, 9000);
</script></body></html>
"""


@needs_chromium
def test_the_page_in_the_frame_searches_for_what_python_sets_and_answers(explorer: Any, tmp_path: Path) -> None:
    values = {name: getattr(explorer, name) for name in ("page", "height", "search", "found")}
    source = explorer.get_state()["_esm"].replace("export default", "").rstrip().rstrip(";")
    html = tmp_path / "notebook.html"
    html.write_text(
        _NOTEBOOK.replace("WIDGET", f"({source.partition(chr(10))[2]})").replace(
            "VALUES", json.dumps(values).replace("<", "\\u003c")
        )
    )
    # In a process of its own the frame would not see the browser's virtual time.
    dom = dom_of(html, tmp_path / "profile", more=("--disable-features=IsolateSandboxedIframes",))
    assert 'sandbox="allow-scripts"' in dom
    log = [json.loads(line) for line in dom.partition('<pre id="log">')[2].partition("</pre>")[0].splitlines()]
    # Two layers of 24 neurons.  What another window says, and what the page says once the widget is gone, is not heard.
    assert log == [["", 48], ["L1", 24], ["no neuron", 0]]


def sources(notebook: dict[str, Any]) -> list[str]:
    """The code of a notebook, cell by cell."""
    return ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.name)
def test_a_notebook_runs_on_mini_without_a_network(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], socket_disabled: None
) -> None:
    notebook = json.loads(file.read_text(encoding="utf-8"))
    nbformat.validate(notebook)
    assert all(cell.get("outputs", []) == [] for cell in notebook["cells"])
    monkeypatch.chdir(file.parent)
    names: dict[str, Any] = {}
    for number, source in enumerate(sources(notebook)):
        exec(compile(source, f"{file.name}, code cell {number}", "exec"), names)
    assert Path.cwd() == ROOT
    said = capsys.readouterr().out
    assert "all pairs of models: 4.23%" in said
    assert "reproduced" in said
    assert "control: rotated: 0.00%" in said
    assert "refuted" in said
    assert names["explorer"].search == "L2"
    assert len(names["result"].forward.table) == 2048
    names["explorer"].close()


def test_a_notebook_outside_of_a_clone_says_what_it_needs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    first, *_ = sources(json.loads(NOTEBOOKS[0].read_text(encoding="utf-8")))
    with pytest.raises(SystemExit, match="expected a clone of the project"):
        exec(compile(first, "first", "exec"), {})
