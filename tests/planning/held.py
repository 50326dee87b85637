"""The universality of one checkpoint, as a process of its own: what it holds at most, and what was planned.

Prints JSON: planned and taken bytes beyond the process with the backend in it.  Run by test_memory.py with the root of
a project.
"""

import json
import sys
from pathlib import Path

from tests.miniature import Miniature
from universal_neurons.artifacts.provenance import peak_memory_bytes
from universal_neurons.planning.calibration import Bench
from universal_neurons.planning.inventory import Shelf, absent
from universal_neurons.planning.stages import (
    Sizes,
    candidates_demand,
    moments_demand,
    universality_demand,
)
from universal_neurons.stages.resources import give_back, held
from universal_neurons.stages.tokens import evaluation_tokens, token_set


def main(root: str) -> None:
    work = Miniature(Path(root)).workspace("brief", local=True)
    token_set(work)
    evaluation_tokens(work)
    step, sizes = work.steps[-1], Sizes.of(work, sampled=True)
    Bench(sizes.shape, "cpu", "float32", 1, 0.0).warm_up()
    give_back()
    process = held()
    missing = absent(Shelf(work, empty=True), step)
    demands = [demand(sizes, missing) for demand in (moments_demand, universality_demand, candidates_demand)]
    stages.compute_step(work, step)
    planned = max(one.host + one.device for one in demands)
    print(json.dumps({"planned": planned, "taken": (peak_memory_bytes() or 0) - process}))


if __name__ == "__main__":
    main(sys.argv[1])
