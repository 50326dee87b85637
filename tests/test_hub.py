"""The hub on 127.0.0.1 does to the real clients what the tests of the inputs rely on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest

from tests.hub import LoopbackHub

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def hub() -> Iterator[LoopbackHub]:
    with LoopbackHub() as running:
        running.commit("some/model", "main", {"config.json": b"{}", "model.safetensors": b"weights", "sub/a.txt": b"a"})
        rows = "".join(json.dumps({"text": f"document {i}"}) + "\n" for i in range(5))
        running.commit("some/data", "main", {"train.jsonl": rows.encode(), "more/val.jsonl": b"{}"}, kind="datasets")
        yield running


def ran(hub: LoopbackHub, home: Path, program: str) -> str:
    """Run ``program`` in a process that knows the hub by its environment only; its output."""
    kept = {key: os.environ[key] for key in ("PATH", "PYTHONPATH") if key in os.environ}
    variables = {**kept, "HF_ENDPOINT": hub.endpoint, "HF_HOME": str(home), "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    ended = subprocess.run(
        [sys.executable, "-c", program], env=variables, capture_output=True, text=True, check=False, timeout=120
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_a_repository_is_listed_and_downloaded_whole(hub: LoopbackHub, tmp_path: Path) -> None:
    program = (
        "from huggingface_hub import list_repo_files, snapshot_download\n"
        "from pathlib import Path\n"
        "folder = Path(snapshot_download('some/model'))\n"
        "print(sorted(list_repo_files('some/model')), (folder / 'model.safetensors').read_text(), folder.name)\n"
    )
    names = ["config.json", "model.safetensors", "sub/a.txt"]
    assert ran(hub, tmp_path, program).split("\n")[0] == f"{names} weights {hub.model('some/model').branches['main']}"
    assert {one.path.split("/")[-1] for one in hub.asked("cdn")} == {"model.safetensors"}


@pytest.mark.skipif(find_spec("datasets") is None, reason="datasets is not installed")
def test_a_data_set_is_streamed(hub: LoopbackHub, tmp_path: Path) -> None:
    program = (
        "from datasets import load_dataset\n"
        "rows = load_dataset('some/data', data_files={'train': 'train.jsonl'}, split='train', streaming=True)\n"
        "print([row['text'] for row in rows.skip(3)])\n"
    )
    assert ran(hub, tmp_path, program).strip() == "['document 3', 'document 4']"


def test_a_part_of_a_file_is_sent_when_it_is_asked_for(hub: LoopbackHub) -> None:
    from tests.hub import sha256

    answer = hub.answer_of_cdn("GET", f"/{sha256(b'weights')}/model.safetensors", {"Range": "bytes=2-4"})
    assert (answer.status, answer.body, answer.headers["Content-Range"]) == (206, b"igh", "bytes 2-4/7")
