"""The universality of one checkpoint, as a process of its own: what it holds at most, and what was planned.

Prints JSON: planned and taken bytes beyond the process with the backend in it.  Run by test_memory.py with the root of
a project.
"""

import json
import sys
from pathlib import Path

from tests.miniature import Miniature
from tests.stages.suites import speed, step_costs
from universal_neurons.artifacts.provenance import peak_memory_bytes
from universal_neurons.inputs.bridge import random_bridge
from universal_neurons.stages.plan import sizes_of
from universal_neurons.stages.resources import give_back, held
from universal_neurons.stages.runner import compute
from universal_neurons.stages.speeds import available_threads
from universal_neurons.stages.tokens import evaluation_tokens, token_set
from universal_neurons.stages.universality import CANDIDATES, PERMUTED_NULL, ROTATED_NULL


def main(root: str) -> None:
    work = Miniature(Path(root)).workspace("brief", local=True)
    token_set(work)
    evaluation_tokens(work)
    step, sizes = work.steps[-1], sizes_of(work, speed(threads=available_threads()), sampled=True)
    # The backend is imported.
    random_bridge(layers=1, width=8, heads=2, mlp=8, vocabulary=8, context=8)
    give_back()
    process = held()
    costs = step_costs(work, sizes, step)
    stages = (CANDIDATES, ROTATED_NULL, PERMUTED_NULL)
    compute(work, [(stage, case) for stage in stages for case in stage.cases(work) if case.step == step])
    scores = [costs[stage] for stage in ("moments", "universality", "candidates")]
    planned = max(cost.host_bytes + cost.device_bytes for cost in scores)
    print(json.dumps({"planned": planned, "taken": (peak_memory_bytes() or 0) - process}))


if __name__ == "__main__":
    main(sys.argv[1])
