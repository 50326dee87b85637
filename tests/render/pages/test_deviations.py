from __future__ import annotations

from typing import TYPE_CHECKING

from universal_neurons.render.pages.deviations import Deviation, deviation_lines, deviations

if TYPE_CHECKING:
    from pathlib import Path

SOURCE = '''"""A module.

Deviation: of the module,
over two lines.
"""

import torch_is_not_imported

class Thing:
    """A thing."""

    def part(self):
        """A part.

        Deviation: first, see :func:`~package.name` and ``code``.
        Deviation: second.
        """
'''


def test_deviations_are_collected_from_every_docstring_without_importing(tmp_path: Path) -> None:
    (tmp_path / "core").mkdir()
    (tmp_path / "core" / "nulls.py").write_text(SOURCE, encoding="utf-8")
    assert deviations(tmp_path) == (
        Deviation("core.nulls", "of the module, over two lines."),
        Deviation("core.nulls.Thing.part", "first, see package.name and code."),
        Deviation("core.nulls.Thing.part", "second."),
    )


def test_a_blank_line_ends_a_deviation() -> None:
    assert deviation_lines("Deviation: this.\n\nNot this.") == ("this.",)
    assert deviation_lines("No such line.") == ()
