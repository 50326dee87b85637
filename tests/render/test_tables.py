from __future__ import annotations

import re

import pytest

from universal_neurons.measurement import Measurement, Over
from universal_neurons.render.tables import Room, measured, room_of


def share(value: float, low: float, high: float) -> Measurement:
    return Measurement(value, low, high, 10, Over.TOKEN_BLOCKS, unit="share")


COLUMN = (share(0.031, 0.012, 0.052), share(-0.004, -0.021, 0.113), share(1.0, 0.9, 1.0))


def widths(cell: str) -> list[str]:
    return re.findall(r"min-width:([\d.]+)ch", cell)


def test_the_parts_of_every_row_have_the_room_of_the_longest_of_their_column() -> None:
    room = Room.of(COLUMN, 1)
    cells = [measured(one, 1, room) for one in COLUMN]
    assert {tuple(widths(cell)) for cell in cells} == {tuple(f"{w:.1f}" for w in (room.value, room.low, room.high))}
    assert room.value >= room_of("100.0 %")
    assert room.low >= room_of("−2.1")
    assert room.high >= room_of("100.0")


def test_room_changes_no_word_of_a_cell() -> None:
    for one in COLUMN:
        plain, aligned = (
            re.sub(r"<[^>]+>", "", cell) for cell in (measured(one, 1), measured(one, 1, Room.of(COLUMN, 1)))
        )
        assert aligned == plain
    assert re.sub(r"<[^>]+>", "", measured(COLUMN[1], 1)).replace("\u00a0", " ") == "−0.4 % [−2.1, 11.3]"


def test_a_number_that_is_not_there_needs_no_room() -> None:
    assert Room.of([Measurement.missing(unit="share")], 2) == Room(0.0, 0.0, 0.0)
    assert "undefined" in measured(Measurement.missing(unit="share"), 2, Room.of(COLUMN, 2))


@pytest.mark.parametrize(("shorter", "longer"), [("1.5", "10.5"), ("1.5", "−1.5"), ("0.5", "0.5 %"), ("11", "1.1 %")])
def test_a_longer_text_needs_more_room(shorter: str, longer: str) -> None:
    assert room_of(shorter) < room_of(longer)
