from __future__ import annotations

import errno
import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

# Before any test: what is imported while a test patches what it imports would keep the patch.
import universal_neurons.stages.tasks  # noqa: F401
from tests.cases import ARTIFACTS, BRIEF, TASKS, corpus_key, keys_at, pairs, table_parts, table_rows
from tests.evidence.records import record
from tests.stages.suites import speed
from universal_neurons import cli
from universal_neurons.errors import UserError
from universal_neurons.evidence.criteria import AtMost
from universal_neurons.evidence.log import RECORDS, EvidenceLog
from universal_neurons.inputs.selection import OPTIONS
from universal_neurons.measurement import Measurement, Over
from universal_neurons.stages.base import read_artifact
from universal_neurons.stages.plan import local_speed
from universal_neurons.stages.registry import suite_keys
from universal_neurons.stages.resume import STATES
from universal_neurons.stages.study import imported_evidence
from universal_neurons.stages.universality import UNIVERSALITY

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.miniature import Miniature

ESCAPE = "\x1b"


class Run:
    """The command line in this process: status, standard output, standard error."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch, self._capsys = monkeypatch, capsys

    def __call__(self, project: Miniature, *arguments: str) -> tuple[int, str, str]:
        self._monkeypatch.setenv("UNIVERSAL_NEURONS_ROOT", str(project.root))
        self._monkeypatch.setattr(sys, "argv", ["universal-neurons", *arguments])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        out, err = self._capsys.readouterr()
        return int(stop.value.code or 0), out, err

    def mistake(self, project: Miniature, *arguments: str, status: int = 4) -> str:
        """The one line that a mistake is answered with."""
        found, out, err = self(project, *arguments)
        assert (found, out) == (status, ""), err
        assert err.startswith("error: "), err
        assert len(err.splitlines()) == 1, err
        return err.strip()


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("universal_neurons.stages.plan.local_speed", lambda *_: speed())
    return Run(monkeypatch, capsys)


def _script(project: Miniature, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "universal_neurons.cli", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "UNIVERSAL_NEURONS_ROOT": str(project.root), **variables},
    )


# --- what is asked for -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--suite", "nano"), "unknown suite 'nano'; expected one of brief, mini"),
        (("--models", "a,z"), "suite mini: zoo.models: expected one of a, b, c, got 'z'"),
        (("--models", "a"), "suite mini: zoo.models: expected at least two different models, got ['a']"),
        (("--models", ""), "suite mini: zoo.models: expected at least two different models, got []"),
        (("--reference", "z"), "suite mini: zoo.reference: expected one of a, b, c, got 'z'"),
        (("--checkpoints", "33 %"), "suite mini: checkpoints: expected one of '50 %', '100 %', got '33 %'"),
        (("--checkpoints", "16"), "suite mini: checkpoints: expected one of '50 %', '100 %', got '16'"),
        (("--tokens", "5"), "suite mini: corpus.tokens: expected an integer from 310 to 3000, got 5"),
        (("--tokens", "-1"), "suite mini: corpus.tokens: expected an integer from 310 to 3000, got -1"),
        (("--tokens", "3001"), "suite mini: corpus.tokens: expected an integer from 310 to 3000, got 3001"),
    ],
)
@pytest.mark.parametrize("command", ["plan", "compute"])
def test_what_the_suite_does_not_have_is_one_line(
    run: Run, miniature: Miniature, command: str, arguments: tuple[str, ...], said: str
) -> None:
    assert run.mistake(miniature, command, *arguments) == f"error: {said}"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("threshold = 0.03", "threshold = 1.5", "universality.threshold: expected a number in (0, 1), got 1.5"),
        ("floor = 0.02", "floor = 0.0", "universality.floor: expected a number in (0, 1), got 0.0"),
        ("draws = 4\n", "draw = 4\n", "universality.draw: unknown field; expected one of threshold, "),
        ("row_length = 32", "row_length = 64", "corpus.row_length: expected at most 32 (the models' context), got 64"),
        ("[zoo]", "[zoo", "not TOML"),
    ],
)
def test_a_mistake_in_a_suite_file_names_file_and_field(
    run: Run, own: Miniature, old: str, new: str, said: str
) -> None:
    own.replace("fixtures/suites/mini.toml", f"\n{old}", f"\n{new}")
    line = run.mistake(own, "status")
    assert line.startswith("error: fixtures/suites/mini.toml: ")
    assert said in line


def _without(path: Path) -> None:
    path.unlink()


def _damaged(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))


@pytest.mark.parametrize(
    ("harm", "said"), [(_without, "missing; run: git checkout -- "), (_damaged, "damaged: sha256")]
)
def test_weights_that_are_not_the_published_ones_are_one_line(
    run: Run, own: Miniature, harm: Callable[[Path], None], said: str
) -> None:
    harm(own.weights)
    store = str(own.root / "empty")
    line = run.mistake(own, "compute", "--suite", "brief", "--store", store)
    assert "b/step-30/model.safetensors: " in line
    assert said in line


def test_two_checkpoints_with_the_same_weights_are_one_line(run: Run, own: Miniature) -> None:
    manifest = json.loads(own.zoo_manifest.read_text())
    steps = manifest["models"]["b"]["checkpoints"]
    steps["30"]["digest"] = steps["15"]["digest"]
    own.zoo_manifest.write_text(json.dumps(manifest))
    assert "b@15 and b@30 have the same weights" in run.mistake(own, "plan")


def test_a_zoo_that_is_missing_is_one_line(run: Run, own: Miniature) -> None:
    own.zoo_manifest.unlink()
    assert "manifest.json: missing; run: " in run.mistake(own, "status")


def test_evidence_that_nobody_computed_names_the_command(run: Run, miniature: Miniature, tmp_path: Path) -> None:
    line = run.mistake(miniature, "status", "--store", str(tmp_path))
    assert line.endswith("not computed; run: universal-neurons compute --suite mini")


def test_damage_in_shipped_evidence_is_one_line_and_not_computed_again(run: Run, own: Miniature) -> None:
    key = own.ship()[3]
    payload = next((own.root / "fixtures" / "evidence" / key.stage / key.digest).glob("payload.*"))
    _damaged(payload)
    for command in (("status",), ("compute",), ("store", "verify"), ("plan",)):
        assert key.digest[:12] in run.mistake(own, *command)
    assert not (own.working / key.stage).exists()


def test_damage_in_the_working_store_is_computed_again_with_one_warning(
    run: Run, brief: Miniature, tmp_path: Path
) -> None:
    own = brief.copied(tmp_path / "project")
    work = own.workspace("brief")
    table = UNIVERSALITY.key(work, pairs(work, 30)[0])
    _damaged(own.working / table.stage / table.digest / "payload.parquet")
    assert run.mistake(own, "store", "verify", "--suite", "brief").count(table.digest[:12]) == 1
    status, out, err = run(own, "compute", "--suite", "brief")
    assert (status, out) == (0, "suite brief: 1 artifacts computed, everything is there\n")
    assert sum(line.startswith("warning: ") for line in err.splitlines()) == 1


def test_a_full_disk_is_one_line_and_loses_nothing(run: Run, own: Miniature, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, data: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    before = sorted(own.working.rglob("*"))
    monkeypatch.setattr("universal_neurons.artifacts.folder.write_file", full)
    line = run.mistake(own, "compute", "--tokens", "1000")
    assert "no space left; nothing committed is lost; free some space there" in line
    assert [path for path in before if not path.exists()] == []


def test_a_full_disk_outside_the_store_is_one_line_too(
    run: Run, computed: Miniature, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = OSError(errno.ENOSPC, "No space left on device", "page.html")
    monkeypatch.setattr("universal_neurons.listing.show", _raises(full))
    assert run.mistake(computed, "status") == "error: page.html: No space left on device; nothing committed is lost"


def test_a_defect_of_ours_keeps_its_traceback(run: Run, computed: Miniature, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("universal_neurons.listing.show", _raises(FileNotFoundError(errno.ENOENT, "No such file", "x")))
    monkeypatch.setenv("UNIVERSAL_NEURONS_ROOT", str(computed.root))
    monkeypatch.setattr(sys, "argv", ["universal-neurons", "status"])
    with pytest.raises(FileNotFoundError):
        cli.main()


def test_a_message_of_several_lines_becomes_one(run: Run, computed: Miniature, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("universal_neurons.listing.show", _raises(UserError("one\ntwo")))
    assert run.mistake(computed, "status") == "error: one two"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("plan", "--fast"), "No such option: --fast"),
        (("plan", "--tokens", "many"), "Invalid value for '--tokens'"),
        (("compute", "--memory", "much"), "Invalid value for '--memory': expected bytes with a unit, such as 800MiB"),
        (("plan", "--memory", "4000"), "Invalid value for '--memory': expected bytes with a unit, such as 800MiB"),
        (("train", "--jobs", "0"), "Invalid value for '--jobs'"),
        (("why",), "Missing argument"),
        (("store",), "Missing command"),
        (("prove",), "No such command 'prove'"),
    ],
)
def test_an_option_that_does_not_exist_is_one_line_and_status_2(
    run: Run, miniature: Miniature, arguments: tuple[str, ...], said: str
) -> None:
    assert run.mistake(miniature, *arguments, status=2).startswith(f"error: {said}")


def test_an_interruption_is_status_130_and_says_that_it_can_go_on(
    run: Run, computed: Miniature, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("universal_neurons.stages.runner.compute", _raises(KeyboardInterrupt()))
    status, out, err = run(computed, "compute")
    assert (status, out) == (130, "")
    assert err == "interrupted; finished work is kept, and the same command resumes\n"


def test_the_status_of_the_claims_is_the_status_of_verify(
    run: Run, computed: Miniature, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands: list[list[str]] = []

    def judged(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        commands.append(command)
        return subprocess.CompletedProcess(command, 1)

    monkeypatch.setattr(subprocess, "run", judged)
    assert run(computed, "verify", "--recompute", "--claims", "N2")[0] == 1
    assert commands[0][1:] == ["-m", "pytest", "claims", "--suite", "mini", "--claims", "N2", "--recompute"]
    run(computed, "verify", "--claims", "N1, N7", "--tokens", "1k", "--checkpoints", "50 %", "--quick")
    selection = ["--checkpoints", "50 %", "--tokens", "1000", "--claims", "N1,N7", "--quick"]
    assert commands[1][4:] == ["--suite", "mini", *selection]


def test_a_report_may_be_of_a_run_recorded_elsewhere_and_be_written_elsewhere(
    run: Run, computed: Miniature, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[dict[str, Any]] = []

    def built(_: Any, **options: Any) -> Path:
        asked.append(options)
        return Path(options["output"]) / "index.html"

    monkeypatch.setattr("universal_neurons.reporting.build_report", built)
    monkeypatch.chdir(tmp_path)
    words = ("report", "--to", "html", "--evidence", "run", "--out", "mine")
    assert run(computed, *words)[:2] == (0, f"report: {tmp_path / 'mine' / 'index.html'}\n")
    assert (asked[0]["verdicts"], asked[0]["output"]) == (Path("run"), tmp_path / "mine")
    assert run(computed, "report", "--to", "html")[:2] == (0, f"report: {Path('report/_build/index.html')}\n")
    assert asked[1]["verdicts"] == computed.root / ".universal-neurons" / "evidence" / "mini"


def test_claims_that_were_killed_are_one_line_and_no_strange_status(
    run: Run, computed: Miniature, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subprocess, "run", lambda command, **_: subprocess.CompletedProcess(command, -9))
    assert run.mistake(computed, "verify") == (
        "error: the judging process was killed (Killed); nothing was recorded; run again"
    )


def test_every_command_of_a_suite_has_the_same_options_as_pytest(run: Run, miniature: Miniature) -> None:
    commands = ["plan", "compute", "fetch", "verify", "report", "status"]
    commands += ["store verify", "store export", "store import"]
    texts = {command: run(miniature, *command.split(), "--help")[1] for command in commands}
    texts["pytest"] = subprocess.run(
        [sys.executable, "-m", "pytest", "--help", "-p", "universal_neurons.harness.plugin"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    for option in OPTIONS:
        spelled = re.compile(rf"--{option.name}[ =]{option.metavar}".rstrip("[ =]") + r"\s+" + option.help.split()[0])
        assert {command for command, text in texts.items() if not spelled.search(text)} == set()


# --- what is shown ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "left"),
    [
        ("compute", "finished work is kept, and the same command resumes"),
        ("report --to pdf", "the previous report stays as it is"),
        ("store import x", "tables that came and were verified are kept; run the same command again"),
        ("store ls", "nothing changed"),
    ],
)
def test_an_interruption_says_what_is_true_for_the_command(
    run: Run, computed: Miniature, monkeypatch: pytest.MonkeyPatch, command: str, left: str
) -> None:
    monkeypatch.setattr("universal_neurons.cli.Reporter.on_stderr", _raises(KeyboardInterrupt()))
    assert run(computed, *command.split()) == (130, "", f"interrupted; {left}\n")


def test_what_computes_says_what_to_install(run: Run, miniature: Miniature, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("universal_neurons.cli.Reporter.on_stderr", _raises(ModuleNotFoundError(name="torch")))
    line = "error: this command needs torch, which is not installed; run: pip install universal-neurons[compute]\n"
    assert run(miniature, "compute") == (4, "", line)
    monkeypatch.setattr("universal_neurons.cli.Reporter.on_stderr", _raises(ModuleNotFoundError(name="ours")))
    with pytest.raises(ModuleNotFoundError):
        run(miniature, "compute")


def test_the_version_is_one_line(run: Run, miniature: Miniature) -> None:
    assert run(miniature, "--version") == (0, f"universal-neurons {version('universal-neurons')}\n", "")


@pytest.mark.parametrize("command", [(), ("store",)])
def test_no_line_of_a_help_is_cut_at_80_columns(
    run: Run, miniature: Miniature, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    out = run(miniature, *command, "--help")[1]
    assert "..." not in out.partition("Commands:")[2]


def test_help_needs_nothing_that_computes(miniature: Miniature) -> None:
    code = (
        "import sys, universal_neurons.cli as cli\n"
        "sys.argv[1:] = ['--help']\n"
        "try: cli.main()\n"
        "except SystemExit: pass\n"
        "heavy = {'numpy', 'pandas', 'pydantic', 'torch', 'pytest', 'matplotlib', 'huggingface_hub', 'rich'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


# --- input that libraries cannot read --------------------------------------------------------------------------------

COMMANDS = (
    ("plan",), ("compute",), ("fetch",), ("report",), ("why", "00"), ("status",), ("store", "ls"), ("store", "verify"),
    ("store", "export", "target"), ("store", "import", "source"),
)  # fmt: skip
DEEP = "x = " + "[" * 100_000
TOO_LONG = "n" * 5000


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_unreadable_input_is_one_line_for_every_command(
    run: Run, own: Miniature, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    monkeypatch.chdir(own.root)
    (own.root / "loop").symlink_to("loop")
    stores = (("--store", TOO_LONG), ("--store", "loop"))
    for options in (("--suite", TOO_LONG), ("--suite", "deep"), ("--suite", "\ud800"), *stores):
        (own.root / "fixtures" / "suites" / "deep.toml").write_text(DEEP)
        found, out, err = run(own, *command, *options)
        (own.root / "fixtures" / "suites" / "deep.toml").unlink()
        is_fine = "--store" in options and command[0] in ("fetch", "report")
        assert (found, out) == (4, "") or is_fine, (options, err)
        assert len(err.splitlines()) == 1 or is_fine, (options, err)
        assert len(err) < 400, (options, err)


@pytest.mark.parametrize("size", ["9" * 40 + "G", "9" * 400 + "G", "1e400G", "1" + "0" * 18 + "T", "-1G", "G", ""])
@pytest.mark.parametrize("command", ["plan", "compute"])
def test_a_memory_that_no_machine_has_is_one_line(run: Run, miniature: Miniature, command: str, size: str) -> None:
    line = run.mistake(miniature, command, "--memory", size, status=2)
    assert "expected bytes with a unit, such as 800MiB or 24GiB" in line
    assert len(line) < 250


def test_without_arguments_the_help_is_shown(run: Run, miniature: Miniature) -> None:
    status, out, err = run(miniature)
    assert (status, err) == (0, "")
    assert "compute" in out
    assert "new-claim" in out


def test_a_plan_before_and_after_compute(run: Run, miniature: Miniature, tmp_path: Path) -> None:
    arguments = ("--suite", "brief", "--store", str(tmp_path))
    status, out, err = run(miniature, "plan", *arguments, "--json")
    assert (status, err) == (0, "")
    before = json.loads(out)["steps"]
    assert [(s["stage"], s["step"], s["artifacts"], s["present"]) for s in before] == [
        ("corpus", None, 1, 0),
        ("evaluation", None, 1, 0),
        ("moments", 30, 0, 0),
        ("universality", 30, 6, 0),
        ("null-rotated", 30, 2, 0),
        ("null-permuted", 30, 2, 0),
        ("candidates", 30, 3, 0),
        ("variants", 30, 1, 0),
        ("ablation", 30, 6, 0),
        ("extensions", 30, 2, 0),
        *((stage, step, count, 0) for stage, step, count in table_rows({30})),
    ]
    # The null models share the passes and the memory of universality.
    assert all(s["seconds"] >= 0 and s["host_bytes"] > 0 for s in before if not s["stage"].startswith("null-"))
    status, out, err = run(miniature, "compute", *arguments)
    assert (status, out) == (0, f"suite brief: {BRIEF} artifacts computed, everything is there\n")
    assert ESCAPE not in err
    assert "step 30: moments" in err
    after = json.loads(run(miniature, "plan", *arguments, "--json")[1])
    assert [s["present"] for s in after["steps"]] == [
        1,
        1,
        6,
        2,
        2,
        3,
        1,
        6,
        2,
        *(count for _, _, count in table_rows({30})),
    ]
    assert {(s["operations"], s["seconds"], s["host_bytes"], s["disk_bytes"]) for s in after["steps"]} == {(0, 0, 0, 0)}
    assert run(miniature, "compute", *arguments)[1] == "suite brief: everything was there\n"
    scratch = json.loads(run(miniature, "plan", *arguments, "--json", "--from-scratch")[1])
    assert [s["present"] for s in scratch["steps"]] == [0] * len(before)


def test_a_narrow_plan_is_about_less(run: Run, own: Miniature) -> None:
    arguments = ("plan", "--models", "a,b", "--checkpoints", "100 %", "--json")
    rows = json.loads(run(own, *arguments)[1])["steps"]
    assert [(s["stage"], s["step"], s["artifacts"], s["present"]) for s in rows] == [
        ("corpus", None, 1, 1),
        ("evaluation", None, 1, 1),
        ("universality", 0, 1, 1),
        ("universality", 30, 2, 2),
        ("null-rotated", 30, 1, 1),
        ("null-permuted", 30, 1, 1),
        # Candidates depend on the partners, so they are absent; their pass needs no tables but those that are there.
        ("candidates", 0, 1, 0),
        ("candidates", 30, 2, 0),
        ("variants", 30, 1, 0),
        ("ablation", 0, 2, 0),
        ("ablation", 30, 4, 0),
        ("extensions", 30, 2, 0),
        *((stage, step, count, count) for stage, step, count in table_rows({0, 30}, "ab")),
    ]


def test_a_narrow_compute_reuses_the_tables_of_the_whole(run: Run, own: Miniature) -> None:
    status, out, _ = run(own, "compute", "--models", "a,b", "--checkpoints", "30")
    # Only candidates (3), variants (1), ablations (3 x 2) and extensions (2) are others: they depend on the partners.
    assert (status, out) == (0, "suite mini: 12 artifacts computed, everything is there\n")


@pytest.mark.parametrize("arguments", [("--by-step",), ("--from-scratch",), ("--from-scratch", "--by-step")])
def test_the_table_of_a_plan_has_the_rows_of_its_json(
    run: Run, computed: Miniature, arguments: tuple[str, ...]
) -> None:
    status, out, err = run(computed, "plan", *arguments)
    assert (status, err) == (0, "")
    assert ESCAPE not in out
    title, heading, *lines = (line for line in out.splitlines() if line)
    raw = json.loads(run(computed, "plan", *arguments, "--json")[1])
    assert title == "suite mini: time, memory of device and host, disk"
    assert heading.split()[0] == "stage"
    rows = [*raw["steps" if "--by-step" in arguments else "stages"], raw["all"]]
    assert [line.split()[0] for line in lines[: len(rows)]] == [row["stage"] for row in rows]
    assert [line.split()[-1] for line in lines[: len(rows)]] == [
        f"{row['artifacts'] - row['present'] or '-'}" for row in rows
    ]
    assert all(len(line) <= 80 for line in out.splitlines())


def test_a_plan_on_another_device_names_it_and_its_figures(run: Run, computed: Miniature) -> None:
    status, out, err = run(computed, "plan", "--from-scratch", "--on", "a100")
    assert (status, err) == (0, "")
    said = " ".join(out.split())
    assert "On NVIDIA A100 80GB SXM within 77 GB of memory; NVIDIA A100 Tensor Core GPU data sheet: TFLOP/s" in said
    assert run.mistake(computed, "plan", "--on", "abacus").startswith("error: --on: expected one of h200, h100, ")


@pytest.mark.parametrize("command", [("status", "--all"), ("store", "ls", "--all")])
def test_tables_for_programs_have_no_escape_codes_and_are_not_cut(
    run: Run, computed: Miniature, command: tuple[str, ...]
) -> None:
    status, out, err = run(computed, *command)
    assert (status, err) == (0, "")
    assert ESCAPE not in out
    assert "…" not in out
    _, heading, *lines = out.splitlines()
    assert heading.startswith("stage ")
    rows = json.loads(run(computed, *command, "--json")[1])
    assert len(rows) == len(lines) > 0
    for line, row in zip(lines, rows, strict=True):
        assert "".join(line.split()) == "".join(str(value).replace(" ", "") for value in row.values())


def test_a_terminal_without_colour_gets_no_escape_codes(
    run: Run, computed: Miniature, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert ESCAPE in run(computed, "status")[1]
    monkeypatch.setenv("NO_COLOR", "1")
    assert ESCAPE not in run(computed, "status")[1]


def test_status_says_where_everything_is(run: Run, own: Miniature) -> None:
    own.ship()
    assert run(own, "status")[1].splitlines()[0].rstrip() == f"suite mini: {ARTIFACTS} artifacts, {ARTIFACTS} shipped"
    rows = json.loads(run(own, "status", "--json")[1])
    assert len(rows) == len(suite_keys(own.workspace())) == ARTIFACTS
    assert {row["where"] for row in rows} == {"shipped"}
    assert rows[0] == {
        "stage": "corpus",
        "step": "",
        "what": "3000 tokens of wheels",
        "digest": corpus_key(own.workspace()).digest[:12],
        "where": "shipped",
    }
    assert (rows[1]["stage"], rows[1]["what"]) == ("evaluation", "300 predictions of wheels")
    assert [row["step"] for row in rows if row["what"] == "sets of neurons of a"] == ["0"] * 2 + ["15"] * 2 + ["30"] * 2
    # Permuted tokens are streamed at the last step alone.
    assert [row["step"] for row in rows if row["what"] == "a against b"] == ["0", *["15"] * 2, *["30"] * 3]


def test_status_of_an_incomplete_suite_shows_what_is_absent(run: Run, own: Miniature) -> None:
    work = own.workspace()
    table = UNIVERSALITY.key(work, pairs(work, 15)[0])
    for path in (own.working / table.stage / table.digest).iterdir():
        path.unlink()
    (own.working / table.stage / table.digest).rmdir()
    rows = json.loads(run(own, "status", "--json")[1])
    assert [row["digest"] for row in rows if row["where"] == "absent"] == [table.digest[:12]]
    status, out, _ = run(own, "why", table.digest[:8])
    assert status == 0
    assert "is absent; in the nearest one" in out


def test_why_says_where_an_artifact_is(run: Run, computed: Miniature) -> None:
    digest = suite_keys(computed.workspace())[5].digest
    status, out, _ = run(computed, "why", digest[:8])
    assert status == 0
    assert "is in the working store" in out
    assert out.count("\n") == 1
    assert "digest xyz: no artifact of suite mini starts like this; run: " in run.mistake(computed, "why", "xyz")
    assert run.mistake(computed, "why", "") == "error: digest: expected its first characters, got nothing"
    [(first, _)] = Counter(key.digest[0] for key in suite_keys(computed.workspace())).most_common(1)
    line = run.mistake(computed, "why", first)
    assert re.match(
        rf"error: digest {first}: \d+ artifacts of suite mini start like this: {first}[0-9a-f]{{11}} \(", line
    )


def test_the_store_lists_verifies_and_exports(run: Run, own: Miniature, tmp_path: Path) -> None:
    listed = json.loads(run(own, "store", "ls", "--json")[1])
    stages = {row["stage"] for row in listed}
    assert stages == {
        "tokens",
        "corpus",
        "evaluation",
        "evaluation-tokens",
        "ablation",
        "ablation-blocks",
        "extensions",
        "extensions-blocks",
        *table_parts(),
        "variants",
        "universality",
        "baseline-draws",
        "candidates",
        "null-rotated",
        "null-permuted",
        "spreads",
    }
    assert all(row["size"] > 0 and row["origin"] == "working" for row in listed)
    title, heading, *summed = run(own, "store", "ls")[1].splitlines()
    assert title.rstrip() == f"{len(listed)} artifacts, {len(listed)} working"
    assert heading.split() == ["stage", "origin", "artifacts", "bytes"]
    assert sum(int(line.split()[-1]) for line in summed) == sum(row["size"] for row in listed)
    assert run(own, "store", "verify") == (0, "store: every digest fits\n", "")
    status, out, _ = run(own, "store", "export", str(tmp_path / "evidence"))
    assert status == 0
    assert re.fullmatch(
        rf"exported {ARTIFACTS} artifacts to {tmp_path / 'evidence'} \(evidence [0-9a-f]{{12}}\)\n", out
    )
    # The text itself is nobody's to publish.
    assert not [name for name in ("tokens", "evaluation-tokens") if (tmp_path / "evidence" / name).exists()]


def test_the_sample_is_computed_again(run: Run, own: Miniature) -> None:
    own.ship()
    status, out, _ = run(own, "store", "verify", "--recompute-sample")
    assert status == 0
    assert out.startswith("store: every digest fits\nevidence: a@30 against b@30, 48 neurons computed again")


def test_evidence_is_exported_imported_judged_from_and_checked(
    run: Run, own: Miniature, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = tmp_path / "evidence.zip"
    assert run(own, "store", "export", str(archive))[0] == 0
    shutil.rmtree(own.root / ".universal-neurons")
    status, out, _ = run(own, "store", "import", str(archive))
    assert (status, out) == (
        0,
        f"suite mini: {ARTIFACTS} artifacts imported from evidence.zip, 0 were here; to compute a sample of it again "
        "run: universal-neurons store verify --recompute-sample --suite mini\n",
    )
    assert {row["where"] for row in json.loads(run(own, "status", "--json")[1])} == {"imported"}
    status, out, _ = run(own, "store", "verify", "--recompute-sample")
    assert status == 0
    assert re.fullmatch(r"store: every digest fits\nimported from evidence\.zip: .*neurons computed again: .*\n", out)
    assert imported_evidence(own.workspace()).unchecked == frozenset()


def test_what_is_missing_is_imported_before_anything_is_computed(run: Run, own: Miniature, tmp_path: Path) -> None:
    run(own, "store", "export", str(tmp_path / "evidence"))
    shutil.rmtree(own.root / ".universal-neurons")
    status, out, _ = run(own, "compute", "--remote", str(tmp_path / "evidence"))
    assert (status, out) == (0, "suite mini: everything was there\n")


def test_an_import_of_damage_and_one_while_recomputing_are_one_line(run: Run, own: Miniature, tmp_path: Path) -> None:
    (tmp_path / "evidence.zip").write_bytes(b"PK")
    line = run.mistake(own, "store", "import", str(tmp_path / "evidence.zip"))
    assert line.startswith("error: evidence.zip: cut short, damaged, or no archive (")
    assert "leave out --remote" in run.mistake(own, "compute", "--recompute", "--remote", str(tmp_path))
    assert "no folder and no archive" in run.mistake(own, "report", "--remote", str(tmp_path / "nowhere"))


def test_the_claims_are_told_where_to_import_from(run: Run, own: Miniature, monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[list[str]] = []

    def pytest_run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        called.append(command[3:])
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(subprocess, "run", pytest_run)
    assert run(own, "verify", "--remote", "hf://datasets/a/b@c")[0] == 0
    assert called == [["claims", "--suite", "mini", "--remote", "hf://datasets/a/b@c"]]


# --- side by side ----------------------------------------------------------------------------------------------------


@pytest.fixture
def runs(own: Miniature, tmp_path: Path) -> tuple[Path, Path]:
    """Two finished runs of the miniature, of which the second refutes what the first reproduced."""
    found = []
    for name, value in (("now", 0.03), ("then", 0.09)):
        records, rule = [], AtMost(0.05)
        measurement = Measurement(value, value - 0.01, value + 0.01, 9, Over.NEURONS, unit="share")
        judged = rule.judge(measurement)
        for claim in ("N1", "N2"):
            given: dict[str, Any] = {"measurement": measurement.as_dict(), "verdict": judged.verdict}
            changed = given if claim == "N1" else {}
            records.append(record(claim=claim, test=f"c.py::{claim}", artifacts=(), reason=judged.reason, **changed))
        EvidenceLog(tuple(records)).write(tmp_path / name / RECORDS)
        found.append(tmp_path / name)
    return found[0], found[1]


def test_two_runs_are_set_side_by_side_and_differing_is_no_failure(
    run: Run, own: Miniature, runs: tuple[Path, Path]
) -> None:
    status, out, err = run(own, "compare", *map(str, runs))
    assert (status, err) == (0, "")
    assert ESCAPE not in out
    (line,) = [line for line in out.splitlines() if line.startswith("N1 ")]
    for said in ("*", "reproduced", "refuted", "3.0 % [2.0, 4.0]", "9.0 % [8.0, 10.0]", "6.0 points [4.6, 7.4]"):
        assert said in line, said
    assert "2 claims were judged both in now and in then: 1 has another verdict (N1)." in out.splitlines()
    assert any(line.startswith("share ") for line in out.splitlines())


def test_a_change_fails_where_that_is_asked_for(run: Run, own: Miniature, runs: tuple[Path, Path]) -> None:
    assert run(own, "compare", "--fail-on-change", *map(str, runs))[0] == 1
    status, out, _ = run(own, "compare", "--fail-on-change", str(runs[0]), str(runs[0]))
    assert (status, out) == (0, "now and now: nothing differs\n")


def test_only_changed_claims_are_listed_on_demand(run: Run, own: Miniature, runs: tuple[Path, Path]) -> None:
    out = run(own, "compare", "--changed", *map(str, runs))[1]
    assert any(line.startswith("N1 ") for line in out.splitlines())
    assert not any(line.startswith("N2 ") for line in out.splitlines())


def test_a_comparison_is_data_on_demand(run: Run, own: Miniature, runs: tuple[Path, Path]) -> None:
    status, out, _ = run(own, "compare", "--json", *map(str, runs))
    found = json.loads(out)
    assert status == 0
    assert {claim["claim"]: (claim["left"], claim["right"]) for claim in found["claims"]}["N1"] == (
        "reproduced",
        "refuted",
    )
    assert found["key_figures"]
    assert (found["left"]["name"], found["right"]["name"]) == ("now", "then")


def test_what_cannot_be_compared_is_one_line(run: Run, own: Miniature, runs: tuple[Path, Path]) -> None:
    line = run.mistake(own, "compare", str(runs[0]), "nano")
    assert line.startswith("error: nano: expected a suite (brief, mini), a folder with the record of a run")
    status, out, err = run(own, "report", "--compare", "nano")
    assert (status, out) == (4, "")
    assert err.splitlines()[-1].startswith("error: ")
    (runs[1] / "records.jsonl").write_text("{}\n")
    assert "records.jsonl: not as a run has written it" in run.mistake(own, "compare", *map(str, runs))


def test_a_report_is_built_beside_another_run(
    run: Run, own: Miniature, runs: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(runs[0], own.root / ".universal-neurons" / "evidence" / "mini")
    given: dict[str, Any] = {}

    def built(study: object, **options: Any) -> Path:
        given.update(options)
        return Path(options["output"]) / "index.html"

    monkeypatch.setattr("universal_neurons.reporting.build_report", built)
    status, out, err = run(own, "report", "--compare", str(runs[1]))
    assert (status, err) == (0, "report: text of the tokens ...\n")
    assert out.startswith("report: report/_build")
    assert [pair.claim for pair in given["both"].comparison.changed] == ["N1"]
    assert run(own, "report")[0] == 0
    assert given["both"] is None


# --- what a computation may use ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ("--memory", "1MiB"),
            r"(suite mini: )?memory: expected at least \d.* for one layer against one layer, got",
        ),
        (("--device", "toaster"), "--device: expected cpu or cuda, got 'toaster'"),
        (("--device", "cuda:99"), r"--device cuda:99: there are \d+ GPUs that torch can use here"),
        (
            ("--precision", "half"),
            "suite mini: universality.precision: expected one of float32, tf32, bfloat16, got",
        ),
        (
            ("--precision", "tf32", "--device", "cpu"),
            "universality.precision: tf32 is a format of NVIDIA's GPUs",
        ),
    ],
)
@pytest.mark.parametrize("command", ["plan", "compute"])
def test_what_cannot_be_had_is_one_line(
    run: Run, miniature: Miniature, tmp_path: Path, command: str, arguments: tuple[str, ...], said: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("universal_neurons.stages.plan.local_speed", local_speed)
    line = run.mistake(miniature, command, "--store", str(tmp_path), *arguments)
    assert re.match(f"error: {said}", line), line


def test_a_plan_keeps_to_the_memory_that_is_given(run: Run, miniature: Miniature) -> None:
    status, out, err = run(miniature, "plan", "--from-scratch", "--json", "--memory", "1.5GiB", "--device", "cpu")
    assert (status, err) == (0, "")
    assert json.loads(out)["memory_budget_bytes"] == 3 * 2**29


# --- as a program of its own -----------------------------------------------------------------------------------------


def test_as_a_program_a_mistake_is_one_line_and_no_traceback(miniature: Miniature) -> None:
    done = _script(miniature, "status", "--suite", "nano")
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr == "error: unknown suite 'nano'; expected one of brief, mini\n"


def test_as_a_program_a_plan_has_no_escape_codes(computed: Miniature) -> None:
    done = _script(computed, "plan", NO_COLOR="1", TERM="xterm-256color")
    assert (done.returncode, done.stderr) == (0, "")
    assert ESCAPE not in done.stdout
    assert done.stdout == f"suite mini: nothing to do, all {ARTIFACTS} artifacts are there\n"


def test_as_a_program_an_interruption_is_status_130(miniature: Miniature) -> None:
    code = (
        "import sys, universal_neurons.cli as cli, universal_neurons.stages.workspace as workspace\n"
        "def interrupted(*_, **__): raise KeyboardInterrupt\n"
        "workspace.open_workspace = interrupted\n"
        "sys.argv = ['universal-neurons', 'status']\n"
        "cli.main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr == "interrupted; nothing changed\n"


CTRL_C = """
import os, signal, sys
from universal_neurons import cli
from universal_neurons.core.accumulator import PairwiseAccumulator

signal.signal(signal.SIGINT, signal.default_int_handler)  # Ignored in whatever was started in the background.
add, seen = PairwiseAccumulator.add, []

def interrupted(accumulator, *arguments):
    seen.append(None)
    if len(seen) == 3:
        os.kill(os.getpid(), signal.SIGINT)
    add(accumulator, *arguments)

PairwiseAccumulator.add = interrupted
sys.argv = ["universal-neurons", *sys.argv[1:]]
cli.main()
"""


def test_as_a_program_ctrl_c_is_status_130_and_the_same_command_ends_with_the_same_tables(
    run: Run, brief: Miniature, tmp_path: Path
) -> None:
    command = ["compute", "--suite", "brief", "--store", str(tmp_path / "store"), "--device", "cpu"]
    variables = {**os.environ, "UNIVERSAL_NEURONS_ROOT": str(brief.root)}
    stopped = subprocess.run(
        [sys.executable, "-c", CTRL_C, *command], capture_output=True, text=True, check=False, env=variables
    )
    assert (stopped.returncode, stopped.stdout) == (130, ""), stopped.stderr
    assert stopped.stderr.splitlines()[-1].startswith("interrupted; finished work is kept")
    (state,) = (tmp_path / "store" / STATES / "brief").iterdir()
    assert (state / "current").is_dir()
    status, _, err = run(brief, *command)
    assert status == 0, err
    assert not list((tmp_path / "store" / STATES).iterdir())
    undisturbed, found = brief.workspace("brief"), brief.workspace("brief", store=tmp_path / "store")
    for key in keys_at(found, UNIVERSALITY, found.steps[-1]).values():
        pd.testing.assert_frame_equal(
            read_artifact(found, key).table, read_artifact(undisturbed, key).table, check_exact=True
        )


def _raises(error: BaseException) -> Callable[..., Any]:
    def raising(*_: object, **__: object) -> None:
        raise error

    return raising


# --- tasks -----------------------------------------------------------------------------------------------------------


def test_the_tasks_of_a_suite_are_listed_with_what_they_take_and_need(computed: Miniature, run: Run) -> None:
    status, out, _ = run(computed, "tasks", "--suite", "brief", "--json")
    rows = {row["task"]: row for row in json.loads(out)}
    assert status == 0
    assert rows["candidates@30:a+b+c"]["needs"] == [f"universality@30:{pair}" for pair in ("a+b", "a+c", "b+c")]
    assert rows["ablation@30:b"]["operations"] > 0
    assert rows["ablation@30:b"]["makes"] == "ablation of sets of neurons of b"
    assert {row["state"] for row in rows.values()} == {"not done"}
    assert "tasks of suite brief" in run(computed, "tasks", "--suite", "brief")[1]


def test_some_tasks_are_computed_by_share_or_by_name(miniature: Miniature, run: Run, tmp_path: Path) -> None:
    words = ("compute", "--suite", "brief", "--models", "a,b", "--store", str(tmp_path / "store"))
    first = "suite brief: 1 artifacts computed, every task that was asked for is there\n"
    assert run(miniature, *words, "--task", "1/30")[:2] == (0, first)
    assert "suite brief: every task" in run(miniature, *words, "--task", "corpus")[1]
    asked = tmp_path / "asked"
    asked.write_text("evaluation\n\ncorpus\n")
    assert run(miniature, *words, "--tasks", str(asked))[:2] == (0, first)
    line = run.mistake(miniature, *words, "--task", "candidates@30:a+b")
    assert "wait for others" in line


@pytest.mark.parametrize(
    ("options", "status", "said"),
    [
        (("--task", "1/2", "--engine", "local"), 2, "expected one of --task, --tasks and --engine"),
        (("--task", "nonsense"), 4, "universal-neurons tasks lists, got nonsense"),
        (("--tasks", "not-there"), 4, "--tasks: not-there cannot be read"),
        (("--engine", "local", "--detach"), 4, "--detach: expected --engine slurm"),
        (("--engine", "slurm", "--time", "soon"), 2, "expected minutes or a time such as 4:00:00"),
    ],
)
def test_a_mistake_in_the_options_of_tasks_is_one_line(
    miniature: Miniature, run: Run, tmp_path: Path, options: tuple[str, ...], status: int, said: str
) -> None:
    store = ("--store", str(tmp_path / "store"))
    assert said in run.mistake(miniature, "compute", "--suite", "brief", *store, *options, status=status)


def test_the_plan_says_how_long_the_tasks_take_on_several_devices(computed: Miniature, run: Run) -> None:
    out = run(computed, "plan", "--suite", "brief", "--engine", "slurm", "--gpus", "8", "--json")[1]
    found = json.loads(out)["simulated"]
    assert (found["tasks"], found["workers"]) == (TASKS, 8)
    assert found["longest_chain_seconds"] <= found["makespan_seconds"] < found["work_seconds"]
    said = run(computed, "plan", "--suite", "brief", "--engine", "slurm", "--gpus", "8")[1]
    assert f"Simulated: {TASKS} tasks on 8 such devices take" in said
