"""The memory that is planned for a stage is about what a process of its own takes for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.miniature import Miniature

ROOT = Path(__file__).resolve().parents[2]


def test_a_stage_takes_no_more_than_is_planned_and_not_much_less(tmp_path: Path) -> None:
    # Layers are wide enough that their sums are more than what libraries take.
    project = Miniature.built(tmp_path, mlp=640)
    # As the system hands memory out: with large temporaries kept, the allocator would decide the peak.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    command = [sys.executable, "-m", "tests.stages.held", str(project.root)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert 0.6 * found["planned"] < found["taken"] < 1.1 * found["planned"]
