"""The universality of one checkpoint, as a process of its own: what it holds at most, and what was planned.

Prints JSON: planned and taken bytes beyond the process with the backend in it.  Run by test_memory.py with the root of
a project.
"""

import json
import sys
from pathlib import Path

from tests.miniature import Miniature
from tests.planning.suites import speed
from universal_neurons.artifacts.provenance import peak_memory_bytes
from universal_neurons.inputs.bridge import random_bridge
from universal_neurons.pipeline import stages
from universal_neurons.pipeline.resources import give_back, held
from universal_neurons.pipeline.tokens import evaluation_tokens, token_set
from universal_neurons.planning.inventory import Shelf, absent
from universal_neurons.planning.plans import sizes_of, step_costs
from universal_neurons.planning.speeds import available_threads


def main(root: str) -> None:
    work = Miniature(Path(root)).workspace("brief", local=True)
    token_set(work)
    evaluation_tokens(work)
    step, sizes = work.steps[-1], sizes_of(work, speed(threads=available_threads()), sampled=True)
    # The backend is imported.
    random_bridge(layers=1, width=8, heads=2, mlp=8, vocabulary=8, context=8)
    give_back()
    process = held()
    missing = absent(Shelf(work, empty=True), step)
    costs = step_costs(work, sizes, missing)
    stages.compute_step(work, step)
    scores = [costs[stage] for stage in ("moments", "universality", "candidates")]
    planned = max(cost.host_bytes + cost.device_bytes for cost in scores)
    print(json.dumps({"planned": planned, "taken": (peak_memory_bytes() or 0) - process}))


if __name__ == "__main__":
    main(sys.argv[1])
