"""The mini suite in a checkout of its own, with a zoo of which only the manifest and the recipe are there."""

from __future__ import annotations

import json
import tomllib
from hashlib import sha256
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
MINI = (CHECKOUT / "fixtures" / "suites" / "mini.toml").read_text()
# The shipped suite is tuned by measuring; what it may not become is tested against what it is.
TOKENS: int = tomllib.loads(MINI)["corpus"]["tokens"]
BLOCKS: int = tomllib.loads(MINI)["ablation"]["blocks"]
FLOOR: float = tomllib.loads(MINI)["universality"]["floor"]
RECIPE = """
layers = 1
width = 16
heads = 2
mlp = 32
context = 128
vocabulary = 300
tokens = 512
batch = 4
learning_rate = 1e-2
final_share = 0.1
warmup_steps = 2
weight_decay = 0.1
betas = [0.9, 0.95]
clip_norm = 1.0
checkpoints = [0.25, 0.5, 0.75, 1.0]
"""


def write_zoo(folder: Path) -> None:
    """A zoo of which only the manifest and the recipe are there: a suite reads no more."""
    models = {
        name: {
            "seed": seed,
            "checkpoints": {
                str(step): {"share": step / 400, "folder": f"{name}/step-{step}", "digest": f"{name}{step}"}
                for step in (100, 200, 300, 400)
            },
        }
        for seed, name in enumerate("abcde")
    }
    weights = [
        f"{n}/step-{s}/{f}" for n in models for s in (100, 200, 300, 400) for f in ("config.json", "model.safetensors")
    ]
    files = dict.fromkeys(["tokenizer.json", "training_log.jsonl", *weights], "0")
    files["recipe.toml"] = sha256(RECIPE.encode()).hexdigest()
    manifest = {
        "models": models,
        "files": files,
        "recipe": files["recipe.toml"],
        "corpus": "c",
        "tokenizer": "t",
        "untrained": {name: f"{name}0" for name in models},
    }
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "recipe.toml").write_text(RECIPE)


def with_line(line: str) -> str:
    """The mini suite with one field set otherwise: ``table.field = value``."""
    field, value = line.split(" = ", maxsplit=1)
    table, _, name = field.rpartition(".")
    lines, here, found = [], "", False
    for old in MINI.splitlines():
        here = old.strip("[]") if old.startswith("[") else here
        is_it = here == table and old.startswith(f"{name} = ")
        lines.append(f"{name} = {value}" if is_it else old)
        found |= is_it
    assert found, line
    return "\n".join(lines)
