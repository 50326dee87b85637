from __future__ import annotations

import itertools
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.render.fakes import CHECKOUT
from universal_neurons.render.figures.drawing import drawing, inline_svg, label_room, spread, thinned
from universal_neurons.render.figures.style import NARROW, WIDE, Colour, Size

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("wanted", [[], [3.0], [0.0, 0.0, 0.0], [5.0, 4.0, 40.0], [1.0, 2.0, 12.0, 13.0, 14.0]])
def test_labels_keep_their_order_and_their_distance(wanted: list[float]) -> None:
    placed = spread(wanted, 10.0)
    order = sorted(range(len(wanted)), key=lambda i: (wanted[i], i))
    gaps = [placed[b] - placed[a] for a, b in itertools.pairwise(order)]
    assert all(gap >= 10.0 - 1e-9 for gap in gaps)


def test_labels_that_do_not_touch_stay_where_they_are() -> None:
    assert spread([0.0, 50.0, 20.0], 10.0) == [0.0, 50.0, 20.0]


@pytest.mark.parametrize("gap", [10.0, 30.0, 90.0])
def test_labels_of_an_axis_that_would_touch_are_left_out_and_the_last_one_stays(gap: float) -> None:
    labels = ["10 000", "20 000", "50 000", "100 000"]
    kept = thinned(labels, [gap * place for place in range(4)], NARROW)
    assert kept[-1] == "100 000"
    assert all(one in ("", label) for one, label in zip(kept, labels, strict=True))
    shown = [place for place, label in enumerate(kept) if label]
    assert all((b - a) * gap >= 6 * 0.5 * NARROW.text for a, b in itertools.pairwise(shown))
    assert (len(shown) == 4) == (gap == 90.0)


def test_longer_names_and_larger_letters_need_more_room() -> None:
    assert label_room(["with b"], NARROW) < label_room(["with b", "each pair, mean"], NARROW)
    assert label_room(["with b"], NARROW) < label_room(["with b"], WIDE)


def drawn(size: Size) -> str:
    with drawing(size, 200, left=30, right=60) as canvas:
        canvas.axes.plot([0, 1], [0, 1], color=Colour.BLUE.value)
        canvas.axes.plot([-1, 2], [0, 5], color=Colour.GREEN.value, marker="o")
        canvas.label_y("y & <z>")
        canvas.label_ends([(1, 1, "line", Colour.BLUE)])
    return canvas.svg()


@pytest.mark.parametrize("size", [WIDE, NARROW])
def test_a_drawing_follows_the_theme_and_keeps_its_text(size: Size) -> None:
    svg = inline_svg(drawn(size), name="x", size=size, alt='a "b"')
    assert "y &amp; &lt;z&gt;" in svg
    assert f'viewBox="0 0 {size.width} 200"' in svg
    assert 'aria-label="a &quot;b&quot;"' in svg
    assert "var(--blue, #2969ac)" in svg
    assert "DejaVu" not in svg
    assert "<style" not in svg
    assert "<!--" not in svg
    bare = re.sub(r"var\(--\w+, #[0-9a-f]{6}\)", "", svg)
    assert re.findall(r"#[0-9a-f]{6}\b", bare) == []


def test_ids_are_the_drawings_own_and_every_reference_has_one() -> None:
    svg = inline_svg(drawn(WIDE), name="x", size=WIDE, alt="a")
    ids = re.findall(r'\sid="([^"]+)"', svg)
    assert len(ids) == len(set(ids))
    assert all(one.startswith("x-wide-") for one in ids)
    assert set(re.findall(r'(?:url\(#|href="#)([^")]+)', svg)) == set(ids)


def test_the_same_drawing_gives_the_same_bytes() -> None:
    assert drawn(WIDE) == drawn(WIDE)


def test_coordinates_are_rounded_and_numbers_in_words_are_not() -> None:
    svg = inline_svg(
        '<svg viewBox="0 0 1 1"><path d="M 1.23456 2"/><text>0.005</text></svg>', name="x", size=WIDE, alt="a 0.0042"
    )
    assert 'd="M 1.23 2"' in svg
    assert ">0.005<" in svg
    assert 'aria-label="a 0.0042"' in svg


DRAW = """
from tests.render.figures.test_drawing import drawn
from universal_neurons.render.figures.style import WIDE
print(drawn(WIDE))
"""
RC = """
text.usetex: True
axes.titlesize: 30
axes.labelpad: 40
lines.dash_capstyle: round
xtick.direction: in
figure.constrained_layout.use: True
no.such.setting: 1
"""


@pytest.mark.parametrize("backend", [None, "module://matplotlib_inline.backend_inline", "no-such-backend"])
def test_a_drawing_depends_on_no_setting_of_the_user(tmp_path: Path, backend: str | None) -> None:
    """A notebook's backend, a matplotlibrc with LaTeX and mistakes: the same bytes, and not one line of warnings."""
    (tmp_path / "matplotlibrc").write_text(RC, encoding="utf-8")
    variables = {"PYTHONPATH": f"{CHECKOUT}:{CHECKOUT / 'src'}", "MATPLOTLIBRC": str(tmp_path)}
    variables |= {} if backend is None else {"MPLBACKEND": backend}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", DRAW], cwd=tmp_path, env={**os.environ, **variables},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{drawn(WIDE)}\n"


def test_a_style_that_the_caller_uses_is_neither_obeyed_nor_changed() -> None:
    import matplotlib as mpl

    plain = drawn(WIDE)
    with mpl.rc_context({"axes.labelpad": 40, "xtick.direction": "in", "lines.linestyle": "--"}):
        assert drawn(WIDE) == plain
        assert mpl.rcParams["axes.labelpad"] == 40
