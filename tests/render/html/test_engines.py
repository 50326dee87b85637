from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.render.fakes import CHECKOUT, FakeStudy, fake_records, write_log
from tests.render.neurons import local_text
from universal_neurons.render import build_report
from universal_neurons.render.html.engines import RenderingFailed, pandoc_command, render
from universal_neurons.render.links import page_of
from universal_neurons.render.report import PAGES as STEMS
from universal_neurons.render.report import page_head

PAGE = "---\ntitle: Title\n---\n\n"


def built(folder: Path, text: str) -> str:
    """``text`` as a page, rendered by pandoc."""
    source = folder / "source"
    source.mkdir()
    for name in ("page.html", "references.bib"):
        shutil.copy(CHECKOUT / "report" / name, source)
    (source / "head.html").write_text(page_head(CHECKOUT / "report"), encoding="utf-8")
    (source / "index.qmd").write_text(PAGE + text, encoding="utf-8")
    render(source, ["index"], folder, engine="pandoc")
    return (folder / "index.html").read_text(encoding="utf-8")


def words(html: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", "", html.partition("<main")[2]).replace("\u00a0", " ").split())


def test_citations_are_resolved(tmp_path: Path) -> None:
    said = words(built(tmp_path, "As @nandan2025 say [@gurnee2024].\n\n::: {#refs}\n:::\n"))
    assert "As Nandan et al. (2025) say (Gurnee et al. 2024)." in said


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("See @fig-nothing.", "citation fig-nothing not found"),
        ("As @nobody2020 says.", "citation nobody2020 not found"),
    ],
)
def test_what_does_not_resolve_stops_the_build(tmp_path: Path, text: str, fault: str) -> None:
    with pytest.raises(RenderingFailed, match=re.escape(fault)):
        built(tmp_path, text)


def test_pandoc_is_asked_for_what_the_quarto_project_asks_for() -> None:
    settings = (CHECKOUT / "report" / "_quarto.yml").read_text(encoding="utf-8")
    command = pandoc_command("index", Path("index.html"))
    for line, option in {
        "template: page.html": "--template=page.html",
        "include-in-header: head.html": "--include-in-header=head.html",
        "bibliography: references.bib": "--bibliography=references.bib",
        "toc-depth: 2": "--toc-depth=2",
        "html-math-method: mathml": "--mathml",
        "lang: en-GB": "--metadata=lang:en-GB",
    }.items():
        assert line in settings
        assert option in command


def test_a_page_in_a_folder_is_rendered_into_that_folder_and_cites_nothing(tmp_path: Path) -> None:
    (tmp_path / "claims").mkdir()
    for name in ("page.html", "references.bib"):
        shutil.copy(CHECKOUT / "report" / name, tmp_path)
    (tmp_path / "head.html").touch()
    for name in ("n1", "n2"):
        (tmp_path / "claims" / f"{name}.qmd").write_text(f'---\ntitle: {name}\nroot: "../"\n---\n\ntext\n')
    render(tmp_path, ["claims/n1", "claims/n2"], tmp_path / "built", engine="pandoc")
    html = (tmp_path / "built" / "claims" / "n2.html").read_text(encoding="utf-8")
    assert 'href="../methods.html"' in html
    assert "--citeproc" not in pandoc_command("claims/n1", Path("n1.html"))


def fake_quarto(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """A program called quarto on PATH; only its calling convention is Quarto's."""
    program = folder / "bin" / "quarto"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")


def pandoc_as_quarto() -> str:
    calls = (" ".join(f"'{part}'" for part in pandoc_command(p, Path(f"_pages/{p}.html"))) for p in PAGES)
    return "mkdir -p _pages/claims\n" + "\n".join(calls)


CLAIMS = tuple(sorted({page_of(record.claim).removesuffix(".html") for record in fake_records()}))
PAGES = (*STEMS, *CLAIMS)


@pytest.mark.usefixtures("measured_once")
def test_quarto_builds_the_pages_where_it_is_installed(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_quarto(tmp_path, monkeypatch, f'echo "$@" > {tmp_path}/asked\n{pandoc_as_quarto()}')
    evidence = write_log(tmp_path / "log", fake_records())
    said: list[str] = []
    page = build_report(
        FakeStudy(), root=root, text=local_text(), output=tmp_path / "built", verdicts=evidence, say=said.append
    )
    assert said == []
    assert (tmp_path / "asked").read_text(encoding="utf-8") == "render --to html --no-clean\n"
    built = {"claims", "data", "neurons", "neurons.html", "source", *(f"{name}.html" for name in STEMS)}
    assert {path.name for path in page.parent.iterdir()} == built
    assert [f"claims/{path.stem}" for path in sorted((page.parent / "claims").iterdir())] == list(CLAIMS)
    assert not (page.parent / "source" / "_pages").exists()


@pytest.mark.usefixtures("measured_once")
def test_pages_of_quartos_that_are_not_sound_are_built_by_pandoc_and_that_is_said(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_quarto(tmp_path, monkeypatch, "echo 'WARN: Unable to resolve crossref @fig-x' >&2")
    evidence = write_log(tmp_path / "log", fake_records())
    said: list[str] = []
    page = build_report(
        FakeStudy(), root=root, text=local_text(), output=tmp_path / "built", verdicts=evidence, say=said.append
    )
    assert page.is_file()
    assert len(said) == 1
    assert "pandoc builds them instead (quarto warned" in said[0]


@pytest.mark.usefixtures("measured_once")
def test_an_engine_that_was_asked_for_is_not_replaced(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_quarto(tmp_path, monkeypatch, "exit 3")
    evidence = write_log(tmp_path / "log", fake_records())
    with pytest.raises(RenderingFailed, match="quarto render stopped with status 3"):
        build_report(
            FakeStudy(), root=root, text=local_text(), output=tmp_path / "built", verdicts=evidence, engine="quarto"
        )
    assert not (tmp_path / "built").exists()
