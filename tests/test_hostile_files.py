"""Every text file of a checkout with contents that nobody expects, for commands that read: one line, no traceback.

A new kind of content, or a new command, is a new row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.test_cli import run as run

if TYPE_CHECKING:
    from tests.miniature import Miniature
    from tests.test_cli import Run

CONTENTS = {
    "empty": b"",
    "not text": bytes(range(256)),
    "deep": b"[" * 200_000,
    "deep table": b"a = " + b"[" * 5000 + b"]" * 5000,
    "null": b"null",
    "other table": b"answer = 42",
    "huge number": b'{"version": 1' + b"0" * 5000 + b"}",
    "lone surrogate": b'{"version": "\\ud800"}',
}
COMMANDS = (("status",), ("plan", "--on", "laptop"), ("why", "abcdef"), ("compare", "mini", "brief"))


def fault_of(status: int, err: str) -> str:
    """What is wrong with how a command ended; empty if it said its one line, or had nothing to say."""
    lines = [line for line in err.splitlines() if line.startswith("error: ")]
    is_right = status in (0, 1, 4) and (status == 4) == (len(lines) == 1)
    return "" if is_right else f"status {status}: {err:.300}"


@pytest.mark.parametrize("content", CONTENTS)
def test_whatever_a_file_says_every_command_ends_in_one_line(run: Run, own: Miniature, content: str) -> None:
    files = {path.name: path for path in (own.root / "fixtures").rglob("*") if path.suffix in (".toml", ".json")}
    assert len(files) > 5
    wrong = []
    for name, path in files.items():
        before = path.read_bytes()
        path.write_bytes(CONTENTS[content])
        for command in COMMANDS:
            try:
                status, _, err = run(own, *command)
            except BaseException as error:  # noqa: BLE001  (any of them would be a traceback on a terminal)
                wrong.append(f"{name}: {' '.join(command)}: {error!r:.200}")
                continue
            if fault := fault_of(status, err):
                wrong.append(f"{name}: {' '.join(command)}: {fault}")
        path.write_bytes(before)
    assert not wrong, "\n".join(wrong)
