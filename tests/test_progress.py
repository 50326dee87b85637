from __future__ import annotations

import io
import re
import subprocess
import sys

import pytest

from universal_neurons.progress import NoProgress, Reporter, discard

CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f]")


class FakeTerminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr("universal_neurons.progress.time.monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_without_a_terminal_every_line_is_plain(clock: Clock) -> None:
    stream = io.StringIO()
    reporter = Reporter(stream)
    reporter.start("step 30: moments", 200)
    for _ in range(4):
        clock.now += 20
        reporter.advance(50)
    reporter.finish()
    assert stream.getvalue().splitlines() == [
        "step 30: moments ...",
        "step 30: moments: 100/200, 2.5/s, 40 s left",
        "step 30: moments: 200/200, 2.5/s, 0 s left",
        "step 30: moments: 80.0 s",
    ]
    assert CONTROL.search(stream.getvalue()) is None


def test_without_a_terminal_short_tasks_say_little(clock: Clock) -> None:
    stream = io.StringIO()
    reporter = Reporter(stream)
    reporter.start("scores", 1000)
    for _ in range(1000):
        reporter.advance()
    reporter.finish()
    assert len(stream.getvalue().splitlines()) == 2


def test_nothing_done_and_no_time_spent_is_no_division_by_zero(clock: Clock) -> None:
    stream = io.StringIO()
    reporter = Reporter(stream, line_seconds=-1)
    reporter.start("empty", 0)
    reporter.advance(0)
    reporter.finish()
    assert stream.getvalue().splitlines() == ["empty ...", "empty: 0/0, 0.0/s, 0 s left", "empty: 0.0 s"]


def test_a_warning_is_one_line() -> None:
    stream = io.StringIO()
    Reporter(stream).warn("the corpus differs [here]")
    assert stream.getvalue() == "warning: the corpus differs [here]\n"


def test_a_terminal_gets_a_bar_with_count_and_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")
    stream = FakeTerminal()
    monkeypatch.setattr("sys.stderr", stream)
    with Reporter.on_stderr() as reporter:
        reporter.start("moments", 10)
        reporter.advance(4)
        # Rich redraws ten times a second; here it must not be a matter of luck.
        assert reporter._bar is not None
        reporter._bar.refresh()
        reporter.warn("a line that is longer than a terminal " * 8 + "[x]")
        reporter.finish()
    shown = stream.getvalue()
    assert "\x1b[" in shown
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown)
    assert "4/10" in text
    assert "/s" in text
    assert "warning: " + "a line that is longer than a terminal " * 8 + "[x]" in text
    assert re.search(r"moments: \d+\.\d s", text)


def test_the_bar_leaves_the_terminal_as_it_was_after_a_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    stream = FakeTerminal()
    monkeypatch.setattr("sys.stderr", stream)

    def interrupted() -> None:
        with Reporter.on_stderr() as reporter:
            reporter.start("moments", 10)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    # The cursor comes back.
    assert stream.getvalue().rindex("\x1b[?25h") > stream.getvalue().rindex("\x1b[?25l")


def test_two_tasks_one_after_the_other_leave_no_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = FakeTerminal()
    reporter = Reporter(stream)
    for title in ("first", "second"):
        reporter.start(title, 2)
        reporter.advance(2)
        reporter.finish()
    assert reporter._bar is not None
    assert reporter._bar.tasks == []


def test_progress_and_warnings_may_be_ignored(capfd: pytest.CaptureFixture[str]) -> None:
    nothing = NoProgress()
    nothing.start("step 30: moments", 200)
    nothing.advance(50)
    nothing.finish()
    discard("a warning")
    assert capfd.readouterr() == ("", "")


def test_only_a_bar_imports_what_draws_it() -> None:
    program = (
        "import io, sys; from universal_neurons.progress import Reporter\n"
        "Reporter(io.StringIO()).warn('x'); sys.exit('rich' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
