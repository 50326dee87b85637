"""What the style sheets promise of colours and sizes, computed from the sheets themselves."""

from __future__ import annotations

import itertools
import math
import re
from functools import cache

import pytest

from tests.render.fakes import CHECKOUT
from universal_neurons.render.figures.style import SERIES, Colour

SHEETS = ("theme.css", "explorer.css")
GROUNDS = ("paper", "wash")
WORDS = ("ink", "muted", "link", "good", "bad", "open", "void", "none")
LEAST_FOR_WORDS, LEAST_FOR_SHAPES, LEAST_APART = 4.5, 3.0, 0.08
THEMES = ("light", "dark")
# What readers without one kind of cone see of linear RGB: Machado, Oliveira and Fernandes 2009, severity 1.
SIGHTS: dict[str, tuple[tuple[float, float, float], ...]] = {
    "all cones": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "no L cones": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "no M cones": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.01182, 0.04294, 0.968881)),
    "no S cones": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.3039)),
}
Channels = tuple[float, float, float]


@cache
def sheet(name: str) -> str:
    return (CHECKOUT / "report" / name).read_text(encoding="utf-8")


def block(start: str) -> dict[str, str]:
    """The colours of the rule that begins with ``start``, by name."""
    return dict(re.findall(r"--(\w+): (#[0-9a-f]{3,6});", sheet("theme.css").split(start, 1)[1].partition("}")[0]))


@cache
def colours(theme: str) -> dict[str, str]:
    return block(":root {") if theme == "light" else block(':root[data-theme="dark"] {')


def linear(colour: str) -> Channels:
    """The light of a colour, channel by channel (IEC 61966-2-1)."""
    digits = colour.lstrip("#")
    wide = digits if len(digits) == 6 else "".join(2 * digit for digit in digits)
    parts = [int(wide[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return red, green, blue


def mixed(rows: tuple[Channels, ...], values: Channels) -> Channels:
    a, b, c = (sum(weight * value for weight, value in zip(row, values, strict=True)) for row in rows)
    return a, b, c


def contrast(one: Channels, other: Channels) -> float:
    """The contrast of WCAG 2.2: (L1 + 0.05) / (L2 + 0.05) of the relative luminances, the lighter first."""
    high, low = sorted((mixed(((0.2126, 0.7152, 0.0722),) * 3, light)[0] for light in (one, other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def seen(colour: str, sight: str) -> Channels:
    """A colour in OKLab (Ottosson 2020), as readers of this sight see it."""
    light = mixed(SIGHTS[sight], linear(colour))
    cones = mixed(
        ((0.4122214708, 0.5363325363, 0.0514459929), (0.2119034982, 0.6806995451, 0.1073969566),
         (0.0883024619, 0.2817188376, 0.6299787005)),
        (max(light[0], 0.0), max(light[1], 0.0), max(light[2], 0.0)),
    )  # fmt: skip
    long, middle, short = (max(cone, 0.0) ** (1 / 3) for cone in cones)
    return mixed(
        ((0.2104542553, 0.793617785, -0.0040720468), (1.9779984951, -2.428592205, 0.4505937099),
         (0.0259040371, 0.7827717662, -0.808675766)),
        (long, middle, short),
    )  # fmt: skip


def apart(one: str, other: str, sight: str) -> float:
    return math.dist(seen(one, sight), seen(other, sight))


def test_the_distance_of_colours_is_that_of_the_literature() -> None:
    assert contrast(linear("#fff"), linear("#000")) == pytest.approx(21)
    assert contrast(linear("#767676"), linear("#ffffff")) == pytest.approx(4.54, abs=0.01)
    assert seen("#ff0000", "all cones") == pytest.approx((0.6280, 0.2249, 0.1258), abs=1e-3)
    # Red and green of equal lightness: far apart for most readers, close without M cones.
    assert apart("#b8605a", "#6e8a3c", "all cones") > 2.5 * apart("#b8605a", "#6e8a3c", "no M cones")


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("ground", GROUNDS)
@pytest.mark.parametrize("word", WORDS)
def test_words_can_be_read_on_every_ground(word: str, ground: str, theme: str) -> None:
    found = colours(theme)
    assert contrast(linear(found[word]), linear(found[ground])) >= LEAST_FOR_WORDS


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("series", SERIES)
def test_a_series_stands_out_from_its_ground(series: Colour, theme: str) -> None:
    found = colours(theme)
    assert contrast(linear(found[series.name.casefold()]), linear(found["paper"])) >= LEAST_FOR_SHAPES


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("sight", SIGHTS)
@pytest.mark.parametrize(
    "pair", list(itertools.combinations(SERIES, 2)), ids=lambda pair: "-".join(one.name for one in pair)
)
def test_two_series_are_apart_for_readers_of_any_colour_vision(
    pair: tuple[Colour, Colour], sight: str, theme: str
) -> None:
    one, other = (colours(theme)[colour.name.casefold()] for colour in pair)
    assert apart(one, other, sight) >= LEAST_APART - 0.0005


def test_words_can_be_read_on_the_densest_cell_of_the_heat_map() -> None:
    # render.figures.charts.HEAT_OPACITY of blue over a third of the rule's colour.
    from universal_neurons.render.figures.charts import HEAT_OPACITY

    for theme in THEMES:
        found = colours(theme)
        ground = over(found["blue"], HEAT_OPACITY, over(found["rule"], 0.35, found["paper"]))
        assert contrast(linear(found["ink"]), linear(ground)) >= LEAST_FOR_WORDS


def over(colour: str, opacity: float, ground: str) -> str:
    """What is seen of ``colour`` of this opacity on ``ground``: browsers mix the channels as they are written."""
    pairs = [(int(colour[i : i + 2], 16), int(ground[i : i + 2], 16)) for i in (1, 3, 5)]
    return "#" + "".join(f"{round(opacity * a + (1 - opacity) * b):02x}" for a, b in pairs)


def test_figures_have_the_colours_of_the_light_theme() -> None:
    assert {c.name.casefold(): c.value for c in Colour} == {
        c.name.casefold(): colours("light")[c.name.casefold()] for c in Colour
    }


def test_dark_is_the_same_whether_the_reader_or_the_system_chose_it() -> None:
    system = block(':root:not([data-theme="light"]) {')
    assert system == colours("dark")
    assert colours("dark").keys() == colours("light").keys()


def test_paper_is_printed_light() -> None:
    printed = block(':root[data-theme="dark"] {\n    --paper: #fff')
    assert printed["ink"] == "#000"
    assert all(printed[c.name.casefold()] == c.value for c in SERIES)


@pytest.mark.parametrize("name", SHEETS)
def test_every_size_of_letters_is_a_step_of_the_scale(name: str) -> None:
    rules = re.findall(r"(?:font-size|font): ([^;}]+)", re.sub(r"/\*.*?\*/", "", sheet(name), flags=re.DOTALL))
    steps = set(
        re.findall(r"--(tiny|small|ui|text|large|larger|heading|subtitle|title|mono-part):", sheet("theme.css"))
    )
    own = [rule for rule in rules if not re.search(r"^inherit$|var\(--(\w|-)+\)", rule)]
    used = {step for rule in rules for step in re.findall(r"var\(--([\w-]+)\)(?:/| var| *$)", rule)}
    assert own == (["100%", "10pt"] if name == "theme.css" else [])
    assert used - steps - {"sans", "serif", "mono"} == set()


def test_the_steps_of_the_scale_are_an_eighth_apart() -> None:
    sizes = [
        float(size)
        for size in re.findall(r"--(?:tiny|small|ui|text|large|larger|heading): ([\d.]+)rem", sheet("theme.css"))
    ]
    assert len(sizes) == 7
    assert [b / a for a, b in itertools.pairwise(sizes)] == pytest.approx([1.125] * 6, abs=0.015)
