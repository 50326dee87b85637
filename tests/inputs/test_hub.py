"""The zoo on a hub, driven through the real clients against a hub on 127.0.0.1."""

from __future__ import annotations

import io
import json
import os
import pickle
import subprocess
import sys
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import safetensors.torch
import torch
import transformers
from transformers import AutoModelForCausalLM, GPTNeoXConfig, GPTNeoXForCausalLM

from tests.hub import Busy, Corrupted, Fault, LoopbackHub, Moving, Truncated, Vanished
from tests.refusals import refusal
from tests.tiny_models import (
    BIN,
    CATALOGUED,
    SAFE,
    WORDS,
    A,
    B,
    config_of,
    in_bin,
    in_safetensors,
    pickled,
    tiny,
    use,
)
from universal_neurons.errors import ArtifactMissing, UserError
from universal_neurons.ids import ModelRef
from universal_neurons.inputs.bridge import frozen_bridge
from universal_neurons.inputs.catalogue import CATALOGUE, Catalogue, CatalogueError
from universal_neurons.inputs.hub import (
    Announced,
    DigestMismatch,
    FileMissing,
    Folders,
    Hub,
    HubError,
    NotInCache,
    Revision,
    RevisionMissing,
)
from universal_neurons.inputs.hub_zoo import HubZoo
from universal_neurons.inputs.lock import EqualWeights, Lock, LockedCheckpoint, LockError
from universal_neurons.inputs.pinning import NotPinned, Pins, RepositoryChanged
from universal_neurons.inputs.tokenization import TokenizerUnfit
from universal_neurons.inputs.weights import INDEX, UnsafeWeights, WeightsUnfit
from universal_neurons.inputs.zoo import ZooError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tokenizers import Tokenizer
    from transformer_lens.model_bridge import TransformerBridge


CHECKOUT = Path(__file__).parents[2]
FETCH = "universal-neurons fetch --suite tiny"
SHARD = "model-00001-of-00002.safetensors"
TOKENS = torch.arange(48).reshape(3, 16) * 6 % 300


@dataclass
class World:
    """A checkout, a hub, and the pauses between questions to it."""

    root: Path
    hub: LoopbackHub
    cache: Path
    waits: list[float] = field(default_factory=list)
    folders: Path | None = None

    def zoo(self, family: str = "tiny", **options: Any) -> HubZoo:
        hub = Hub(FETCH, wait=self.waits.append, **options)
        source = Folders(self.folders, hub) if self.folders else hub
        return HubZoo.open(family, Pins.open(self.root, "tiny", source=source))

    def pinned(self, *names: str, steps: tuple[int, ...] = (10,)) -> HubZoo:
        zoo = self.zoo()
        zoo.pin(names or ("a",), steps)
        return zoo

    @property
    def lock(self) -> Path:
        return self.root / "fixtures" / "suites" / "tiny.lock.toml"

    def cached(self, name: str) -> list[Path]:
        return [path for path in self.cache.rglob(name) if "snapshots" in path.parts]

    def partial(self) -> list[Path]:
        return [path for path in self.cache.rglob("*") if path.name.endswith((".incomplete", ".tmp"))]


@pytest.fixture(scope="module")
def published(_one_thread: None) -> Mapping[tuple[str, int], Mapping[str, bytes]]:
    """Two seeds at three steps, one stored as older repositories do it."""
    steps = (0, 10, 20)
    older = {("a", step): in_bin(tiny(step)) for step in steps}
    return older | {("b", step): in_safetensors(tiny(100 + step)) for step in steps}


@pytest.fixture
def world(
    tmp_path: Path,
    published: Mapping[tuple[str, int], Mapping[str, bytes]],
    tokenizer: Tokenizer,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[World]:
    import huggingface_hub

    (tmp_path / "fixtures" / "suites").mkdir(parents=True)
    (tmp_path / "fixtures" / "models.toml").write_text(CATALOGUED)
    with LoopbackHub() as hub:
        for (name, step), files in published.items():
            hub.commit(f"someone/tiny-{name}", f"checkpoint-{step}", files)
        hub.commit(WORDS, "main", {"tokenizer.json": tokenizer.to_str().encode()})
        found = World(tmp_path, hub, tmp_path / "cache")
        use(monkeypatch, hub, root=tmp_path, waits=found.waits)
        yield found
        huggingface_hub.close_session()


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    return lambda: monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        found = model(TOKENS)
    return getattr(found, "logits", found)  # type: ignore[no-any-return]


def distance(x: Any, y: Any) -> float:
    """The largest difference between two models' logits, as a share of the largest logit."""
    return float((logits(x) - logits(y)).abs().max() / logits(y).abs().max())


# --- what works ------------------------------------------------------------------------------------------------------


def test_the_catalogue_has_the_steps_and_the_repositories_that_transformer_lens_knows() -> None:
    from transformer_lens.tools.model_registry.checkpoints import get_checkpoint_labels
    from transformer_lens.tools.model_registry.registry_io import resolve_model_alias

    families = Catalogue.read(CHECKOUT / CATALOGUE).families
    poly = [f"polypythias-{size}" for size in ("14m", "31m", "70m", "160m", "410m")]
    assert list(families) == ["stanford-gpt2-small", "stanford-gpt2-medium", "pythia-160m", *poly]
    for family in families.values():
        for model in family.models.values():
            assert list(family.every_step) == get_checkpoint_labels(model.repository)[0]
            assert {resolve_model_alias(alias) or alias for alias in model.aliases} <= {
                model.repository,
                model.repository.removeprefix("EleutherAI/"),
            }
    assert families["stanford-gpt2-small"].branch(100_000) == "checkpoint-100000"
    assert families["stanford-gpt2-small"].shares[100_000] == 0.25
    assert families["pythia-160m"].branch(143_000) == "step143000"


def test_ten_seeds_of_polypythias_are_pinned_by_the_names_and_branches_of_their_model_cards(world: World) -> None:
    catalogue = CHECKOUT / CATALOGUE
    (world.root / CATALOGUE).write_bytes(catalogue.read_bytes())
    shape = transformers.GPTNeoXConfig(
        num_hidden_layers=6, hidden_size=128, num_attention_heads=4, intermediate_size=512,
        max_position_embeddings=2048, vocab_size=50304,
    )  # fmt: skip
    names = ["pythia-14m", *(f"pythia-14m-seed{seed}" for seed in range(1, 10))]
    for name in names:
        for step in (512, 143_000):
            files = {"config.json": shape.to_json_string(use_diff=False).encode(), SAFE: f"{name} {step}".encode()}
            branch = f"step{step}"
            if (name, step) == ("pythia-14m", 143_000):
                files["tokenizer.json"] = b"{}"
            world.hub.commit(f"EleutherAI/{name}", branch, files)
    zoo = world.zoo("polypythias-14m")
    zoo.pin(zoo.names, (512, 143_000))
    refs = [zoo.ref(name, 143_000) for name in zoo.names]
    assert [ref.source.partition("@")[0] for ref in refs] == [f"EleutherAI/{name}" for name in names]
    assert len({ref.digest for ref in refs}) == 10
    assert zoo.has_untrained
    assert world.hub.asked("cdn") == []


def test_pinning_resolves_branches_to_commits_and_downloads_no_weights(world: World) -> None:
    zoo = world.pinned("a", "b", steps=(10, 20))
    for name in "ab":
        repository = world.hub.model(f"someone/tiny-{name}")
        for step in (10, 20):
            commit = repository.branches[f"checkpoint-{step}"]
            weights = repository.commits[commit][BIN if name == "a" else SAFE]
            digest = Announced(sha256=zoo.ref(name, step).digest)
            assert zoo.ref(name, step) == ModelRef(name, f"someone/tiny-{name}@{commit}", step, digest.sha256 or "")
            assert digest.defect(weights) is None
    assert world.hub.asked("cdn") == []


def test_a_lock_says_the_same_when_it_is_read_again_and_is_left_alone_when_nothing_is_new(world: World) -> None:
    zoo = world.pinned("a", "b", steps=(10, 20))
    written = world.lock.read_bytes()
    assert FETCH in written.decode()
    assert world.zoo().lock == zoo.lock
    before = world.lock.stat().st_ino
    world.zoo().pin(["a"], [20])
    assert (world.lock.read_bytes(), world.lock.stat().st_ino) == (written, before)


@pytest.mark.parametrize(("name", "repository"), [("a", A), ("b", B)], ids=["bin", "safetensors"])
def test_a_loaded_model_computes_what_transformers_computes(world: World, name: str, repository: str) -> None:
    zoo = world.pinned(name)
    # In evaluation mode, as everything is that transformers loads.
    theirs = AutoModelForCausalLM.from_pretrained(repository, revision="checkpoint-10", dtype=torch.float32)
    before = torch.get_rng_state()
    ours = zoo.load(zoo.ref(name, 10))
    assert torch.equal(before, torch.get_rng_state())
    assert distance(ours, theirs) < 1e-5
    assert not ours.training
    assert {(p.dtype, p.requires_grad) for p in ours.parameters()} == {(torch.float32, False)}
    wrapped: Any = ours.original_model
    assert wrapped.config._attn_implementation == "sdpa"


def test_a_model_in_training_mode_leaves_it_in_the_bridge() -> None:
    assert not frozen_bridge(tiny(1).train(), name="tiny").training


def test_attention_is_scaled_by_the_layer_where_the_configuration_says_so(world: World) -> None:
    zoo = world.pinned()
    scaled, unscaled = tiny(10), tiny(10, scale_attn_by_inverse_layer_idx=False)
    ours = zoo.load(zoo.ref("a", 10))
    assert distance(scaled, unscaled) > 0.01
    assert distance(ours, scaled) < 1e-5


def test_half_precision_and_rotary_positions_are_loaded_in_float32(world: World) -> None:
    torch.manual_seed(0)
    shape: dict[str, Any] = {
        "num_hidden_layers": 2,
        "hidden_size": 16,
        "num_attention_heads": 2,
        "intermediate_size": 64,
    }
    theirs: Any = GPTNeoXForCausalLM(GPTNeoXConfig(**shape, vocab_size=300, max_position_embeddings=16))
    theirs.eval().half()
    stored = {**theirs.state_dict(), "gpt_neox.layers.0.attention.masked_bias": torch.tensor(-1e9)}
    stored["gpt_neox.layers.0.attention.rotary_emb.inv_freq"] = torch.ones(2)
    world.hub.commit("someone/neox", "step1", {"config.json": config_of(theirs), BIN: pickled(stored)})
    zoo = world.zoo("neox")
    zoo.pin(["a"], [1])
    ours = zoo.load(zoo.ref("a", 1))
    assert {p.dtype for p in ours.parameters()} == {torch.float32}
    assert distance(ours, theirs.float()) < 1e-5


def test_what_was_fetched_is_loaded_without_asking(world: World) -> None:
    zoo = world.zoo()
    names: list[str] = []
    zoo.fetch(["a", "b"], [10, 20], done=names.append)
    places = {name: f"{zoo.lock.checkpoints[name[0]][int(name[2:])]}" for name in ("a@10", "b@10", "a@20", "b@20")}
    files = {"a": BIN, "b": SAFE}
    expected = [f"{n}: {places[n]}/{file}" for n in places for file in ("config.json", files[n[0]])]
    assert names == [*expected, f"tokenizer: {zoo.lock.tokenizer}/tokenizer.json"]
    asked = len(world.hub.seen)
    again = world.zoo()
    again.load(again.ref("b", 20))
    assert again.tokenizer().get_vocab_size() == 300
    assert len(world.hub.seen) == asked


def test_it_has_the_surface_of_a_zoo(world: World, tokenizer: Tokenizer) -> None:
    zoo = world.pinned()
    assert (zoo.names, dict(zoo.shares)) == (("a", "b"), {10: 0.5, 20: 1.0})
    shape = zoo.recipe()
    assert (shape.layers, shape.width, shape.mlp, shape.context, shape.vocabulary) == (3, 16, 64, 16, 300)
    assert (zoo.end_of_text, zoo.newline) == (299, tokenizer.token_to_id("Ċ"))
    assert Announced(sha256=zoo.tokenizer_digest).defect(tokenizer.to_str().encode()) is None
    assert zoo.training_log() == ()


def test_asking_for_a_reference_in_order_to_compute_pins_it(world: World) -> None:
    zoo = world.zoo()
    assert zoo.local_ref("b", 0, warn=pytest.fail) == world.zoo().ref("b", 0)
    asked = len(world.hub.seen)
    zoo.local_ref("b", 0, warn=pytest.fail)
    assert len(world.hub.seen) == asked


def test_opening_and_naming_import_neither_torch_nor_a_client(world: World) -> None:
    world.pinned()
    program = (
        "import sys; from pathlib import Path; from universal_neurons.inputs.hub_zoo import HubZoo, Pins\n"
        f"zoo = HubZoo.open('tiny', Pins.open(Path({str(world.root)!r}), 'tiny'))\n"
        "zoo.ref('a', 10); zoo.tokenizer_digest\n"
        "sys.exit(', '.join({'torch', 'transformers', 'huggingface_hub', 'datasets'} & sys.modules.keys()) or 0)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True).stderr == ""


def test_the_environment_is_what_the_clients_make_of_it(world: World) -> None:
    """HF_ENDPOINT, HF_HOME and HF_TOKEN are read when the clients are imported, so this needs a process of its own."""
    world.hub.model(A).token = "secret"
    program = (
        "import sys; from pathlib import Path; from universal_neurons.inputs.hub_zoo import HubZoo, Pins\n"
        f"zoo = HubZoo.open('tiny', Pins.open(Path({str(world.root)!r}), 'tiny')); zoo.fetch(['a'], [10])\n"
        "print(zoo.ref('a', 10))"
    )
    home = world.root / "home"
    kept = {key: os.environ[key] for key in ("PATH", "PYTHONPATH") if key in os.environ}
    environment = {**kept, "HF_ENDPOINT": world.hub.endpoint, "HF_HOME": str(home), "HF_TOKEN": "secret"}
    ended = subprocess.run(
        [sys.executable, "-c", program], env=environment, check=False, capture_output=True, text=True, timeout=60
    )
    assert ended.stdout.strip() == "a@10", ended.stderr
    assert [path.name for path in home.rglob(BIN)] == [BIN]


def test_a_token_is_shown_to_the_hub_and_not_to_the_store_behind_it(world: World) -> None:
    world.hub.model(A).token = "secret"
    world.zoo(token="secret").fetch(["a"], [10])
    assert {one.token for one in world.hub.asked("hub", path=A)} == {"secret"}
    assert {one.token for one in world.hub.asked("cdn")} == {None}


def test_a_branch_that_moves_between_two_questions_does_not_mix_two_commits(world: World) -> None:
    repository = world.hub.model(A)
    old = repository.branches["checkpoint-10"]
    new = world.hub.commit(A, "checkpoint-10", in_bin(tiny(7, attn_pdrop=0.0)))
    repository.branches["checkpoint-10"] = old
    world.hub.faults.append(Moving(A, "checkpoint-10", new, requests=1))
    zoo = world.zoo()
    zoo.fetch(["a"], [10])
    assert repository.branches["checkpoint-10"] == new
    assert zoo.ref("a", 10).source == f"{A}@{old}"
    assert distance(zoo.load(zoo.ref("a", 10)), tiny(10)) < 1e-5


def test_what_is_pinned_is_loaded_although_the_branch_has_moved(world: World) -> None:
    zoo = world.pinned()
    world.hub.commit(A, "checkpoint-10", in_bin(tiny(7)))
    assert distance(zoo.load(zoo.ref("a", 10)), tiny(10)) < 1e-5


# --- faults of the hub -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("part", ["api", "hub", "cdn"])
def test_a_busy_hub_is_asked_again_when_it_says(world: World, part: Any, status: int) -> None:
    world.hub.faults.append(Busy(status, times=2, retry_after=7, part=part, path="" if part == "cdn" else A))
    zoo = world.zoo()
    zoo.fetch(["a"], [10])
    assert distance(zoo.load(zoo.ref("a", 10)), tiny(10)) < 1e-5
    # The client, where it repeats a question itself, adds a second to what it is told.
    assert len(world.waits) == 2
    assert set(world.waits) <= {7.0, 8.0}


def test_pauses_grow_where_the_hub_does_not_say_how_long(world: World) -> None:
    world.hub.faults.append(Busy(503, times=3))
    world.pinned()
    assert world.waits == [1.0, 2.0, 4.0]


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("part", ["api", "hub", "cdn"])
def test_a_hub_that_stays_busy_is_given_up(world: World, part: Any, status: int) -> None:
    world.hub.faults.append(Busy(status, times=1000, part=part))
    said = refusal(HubError, lambda: world.zoo().fetch(["a"], [10]))
    assert f"HTTP {status}" in said
    assert FETCH in said
    assert world.partial() == []


def test_a_transfer_that_breaks_off_is_resumed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    # What is smaller than a chunk was not written yet, and there is nothing to resume.
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 100)
    world.hub.faults.append(Truncated(BIN, at=1000, times=1))
    world.zoo().fetch(["a"], [10])
    assert [one.range for one in world.hub.asked("cdn")] == [None, "bytes=1000-"]


def test_a_transfer_that_always_breaks_off_leaves_nothing_behind(world: World) -> None:
    zoo = world.pinned()
    world.hub.faults.append(Truncated(BIN, at=1000, times=1000))
    said = refusal(HubError, lambda: zoo.load(zoo.ref("a", 10)))
    assert f"{A}@checkpoint-10" in said
    assert FETCH in said
    assert (world.cached(BIN), world.partial()) == ([], [])


def test_wrong_bytes_are_asked_for_again(world: World) -> None:
    world.hub.faults.append(Corrupted(BIN, times=1))
    zoo = world.pinned()
    assert distance(zoo.load(zoo.ref("a", 10)), tiny(10)) < 1e-5


@pytest.mark.parametrize("file", [BIN, "config.json"])
def test_bytes_that_stay_wrong_are_never_used(world: World, file: str) -> None:
    fault = Corrupted(file, times=1000)
    world.hub.faults.append(fault)
    said = refusal(DigestMismatch, lambda: world.zoo().fetch(["a"], [10]))
    assert f"/{file}: " in said
    assert "expected, got" in said
    fault.times = 0
    # The client keeps what it got; when the hub is well again, the bad copy must not be taken for the file.
    zoo = world.pinned()
    assert distance(zoo.load(zoo.ref("a", 10)), tiny(10)) < 1e-5


def test_a_damaged_file_in_the_cache_is_fetched_again(world: World) -> None:
    zoo = world.zoo()
    zoo.fetch(["a"], [10])
    (weights,) = world.cached(BIN)
    weights.resolve().write_bytes(weights.read_bytes()[:1000])
    assert distance(zoo.load(zoo.ref("a", 10)), tiny(10)) < 1e-5


def missing_weights(hub: LoopbackHub) -> None:
    hub.commit(A, "checkpoint-10", {"config.json": config_of(tiny(1)), "flax_model.msgpack": b""})


@pytest.mark.parametrize(
    ("fault", "kind", "said"),
    [
        (Vanished(BIN), FileMissing, f"/{BIN}: the hub does not have this file"),
        (Vanished("config.json"), FileMissing, "/config.json: the hub does not have this file"),
        (missing_weights, FileMissing, "model.safetensors.index.json or pytorch_model.bin, got config.json, flax"),
        (lambda hub: hub.model(A).branches.clear(), RevisionMissing, "no such branch or commit"),
        (lambda hub: hub.repositories.pop(("models", A)), HubError, "no such repository at http://127"),
        (lambda hub: setattr(hub.model(A), "token", "t"), HubError, "got HTTP 401; run: hf auth login"),
        (lambda hub: setattr(hub.model(A), "gated", True), HubError, "accept the terms at http://127.0.0.1"),
        (Busy(418, times=1), HubError, "expected an answer, got HTTP 418"),
    ],
)  # fmt: skip
def test_what_a_hub_refuses_is_said_in_one_line(
    world: World, fault: Fault | Callable[[LoopbackHub], object], kind: type[HubError], said: str
) -> None:
    if callable(fault):
        fault(world.hub)
    else:
        world.hub.faults.append(fault)
    line = refusal(kind, lambda: world.zoo().fetch(["a"], [10]))
    assert said in line
    assert line.startswith(f"{A}@checkpoint-10")
    assert world.cached(BIN) == []


def test_a_hub_that_is_not_there_is_said_to_be_not_there(world: World) -> None:
    world.pinned()
    gone = world.zoo(endpoint="http://127.0.0.1:9")
    for action in (lambda: gone.pin(["a"], [20]), lambda: gone.load(gone.ref("a", 10))):
        said = refusal(HubError, action)
        assert "http://127.0.0.1:9 cannot be reached" in said
        assert FETCH in said
    assert world.waits == []


def test_a_hub_that_goes_away_between_two_questions_is_said_to_be_not_there(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client says of that transfer that the file is not in its cache, as it does without network."""
    import httpx
    from huggingface_hub.errors import LocalEntryNotFoundError

    def gone(*_: object, **__: object) -> str:
        raise LocalEntryNotFoundError("not in the cache") from httpx.ConnectError("refused")

    zoo = world.pinned()
    monkeypatch.setattr("huggingface_hub.hf_hub_download", gone)
    assert "cannot be reached" in refusal(HubError, lambda: zoo.load(zoo.ref("a", 10)))


def test_a_cache_that_cannot_be_written_is_said_to_be_that(world: World) -> None:
    world.cache.write_text("a file where a folder should be")
    said = refusal(HubError, world.pinned)
    assert "the cache cannot be written" in said
    assert world.waits == []


def test_without_network_a_full_cache_is_enough(world: World, offline: Callable[[], None]) -> None:
    world.zoo().fetch(["a"], [10])
    offline()
    zoo = world.zoo(endpoint="http://127.0.0.1:9")
    assert distance(zoo.load(zoo.ref("a", 10)), tiny(10)) < 1e-5
    assert zoo.tokenizer().get_vocab_size() == 300


def test_without_network_there_is_nothing_to_fetch_where_everything_was_fetched(
    world: World, offline: Callable[[], None]
) -> None:
    names: list[str] = []
    world.zoo().fetch(["a", "b"], [10, 20], done=names.append)
    written = world.lock.read_bytes()
    offline()
    again: list[str] = []
    world.zoo().fetch(["a", "b"], [10, 20], done=again.append)
    assert (again, world.lock.read_bytes()) == (names, written)
    refusal(NotInCache, lambda: world.zoo().fetch(["a"], [10], accept=True))
    refusal(NotInCache, lambda: world.zoo().fetch(["a"], [0]))


def test_without_network_and_lock_the_cache_says_which_commit_a_branch_was(
    world: World, offline: Callable[[], None]
) -> None:
    from huggingface_hub import snapshot_download

    snapshot_download(A, revision="checkpoint-10")
    snapshot_download(WORDS)
    offline()
    zoo = world.pinned()
    assert zoo.ref("a", 10).source.endswith(world.hub.model(A).branches["checkpoint-10"])
    assert distance(zoo.load(zoo.ref("a", 10)), tiny(10)) < 1e-5


@pytest.mark.parametrize("locked", [True, False])
def test_without_network_an_empty_cache_is_said_to_be_empty(
    world: World, offline: Callable[[], None], *, locked: bool
) -> None:
    zoo = world.pinned() if locked else world.zoo()
    for path in sorted(world.cache.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
    offline()
    said = refusal(NotInCache, lambda: zoo.load(zoo.local_ref("a", 10, warn=pytest.fail)))
    assert "HF_HUB_OFFLINE" in said
    assert FETCH in said


def test_without_network_a_damaged_cache_is_said_to_be_damaged(world: World, offline: Callable[[], None]) -> None:
    zoo = world.zoo()
    zoo.fetch(["a"], [10])
    offline()
    (weights,) = world.cached(BIN)
    weights.resolve().write_bytes(b"half of it")
    said = refusal(DigestMismatch, lambda: zoo.load(zoo.ref("a", 10)))
    assert str(weights) in said
    assert "run without HF_HUB_OFFLINE" in said


SETTINGS = [
    ({"HTTPS_PROXY": "socks://127.0.0.1:9"}, {}, "no connection can be made (Unknown scheme", "HTTPS_PROXY"),
    ({"https_proxy": "http://127.0.0.1:port"}, {}, "no connection can be made (Invalid port", "https_proxy"),
    ({"SSL_CERT_FILE": "/nowhere.pem"}, {}, "no connection can be made ([Errno 2]", "SSL_CERT_FILE"),
    ({"SSL_CERT_FILE": __file__}, {}, "no connection can be made ([X509", "SSL_CERT_FILE"),
    ({}, {"endpoint": "hf-mirror.com"}, "huggingface.co, got 'hf-mirror.com'", "HF_ENDPOINT"),
    ({}, {"token": "hf_\u2026abc"}, "expected a token of visible ASCII characters, got others", "HF_TOKEN"),
]  # fmt: skip
if find_spec("socksio") is None:
    SETTINGS.append(({"ALL_PROXY": "socks5://127.0.0.1:9"}, {}, "no connection can be made (Using SOCKS", "ALL_PROXY"))


@pytest.mark.parametrize(("variables", "options", "said", "variable"), SETTINGS)
def test_settings_that_no_connection_can_be_made_with_are_named_at_once(
    world: World, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], options: dict[str, Any], said: str,
    variable: str,
) -> None:  # fmt: skip
    import huggingface_hub

    for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    huggingface_hub.close_session()
    for action in (
        lambda: world.zoo(**options).pin(["a"], [10]),
        lambda: Hub(FETCH, **options).part(Revision(A, "main", "0" * 40), "x", 0, 1),
    ):
        line = refusal(HubError, action)
        assert said in line
        assert variable in line
        assert FETCH in line
    assert world.waits == []
    assert world.hub.seen == []


_ASKING = """
from universal_neurons.inputs.hub import Announced, Hub, HubError, Revision
hub, revision = Hub("fetch", attempts=1), Revision("some/body", "main", "0" * 40)
try:
    {action}
except HubError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("variable", "value", "action"),
    [
        ("HF_HUB_DOWNLOAD_TIMEOUT", "soon", 'hub.snapshot("some/body", "main")'),
        ("HF_ENDPOINT", "http://" + "[::1", 'hub.part(revision, "x", 0, 1)'),
        ("HF_ENDPOINT", "http://" + "host:99999", 'hub.content(revision, "x", Announced())'),
        ("HF_ENDPOINT", "http://" + "host:99999", 'hub.part(revision, "x", 0, 1)'),
    ],
)
def test_settings_that_the_client_reads_when_it_is_imported_are_one_line(
    variable: str, value: str, action: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _ASKING.format(action=action)], capture_output=True, text=True, check=True,
        env={**os.environ, variable: value, "HF_HUB_OFFLINE": "0"},
    )  # fmt: skip
    line = done.stdout.splitlines()[-1]
    assert "a setting cannot be read" in line
    assert "mend the variables that begin with HF_" in line


def test_a_proxy_that_cannot_be_reached_is_said_to_be_in_the_way(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    huggingface_hub.close_session()
    said = refusal(HubError, lambda: world.zoo(endpoint="https://nobody.invalid").pin(["a"], [10]))
    assert "cannot be reached through the proxy of HTTPS_PROXY" in said


# --- what changed, and what must not be equal ------------------------------------------------------------------------


def test_a_branch_that_changed_is_refused_with_both_commits_and_the_command_that_accepts_it(world: World) -> None:
    old = world.pinned().ref("a", 10).source.partition("@")[2]
    written = world.lock.read_bytes()
    new = world.hub.commit(A, "checkpoint-10", in_bin(tiny(7)))
    said = refusal(RepositoryChanged, lambda: world.zoo().pin(["a"], [10]))
    assert f"commit {old} is locked, the branch is now {new}" in said
    assert f"{BIN} differ" in said
    assert f"{FETCH} --accept-changes" in said
    assert world.lock.read_bytes() == written
    zoo = world.zoo()
    zoo.pin(["a"], [10], accept=True)
    assert zoo.ref("a", 10).source == world.zoo().ref("a", 10).source == f"{A}@{new}"


def test_a_new_commit_with_the_same_files_is_said_to_be_that(world: World) -> None:
    zoo = world.pinned()
    world.hub.commit(A, "checkpoint-10", {**in_bin(tiny(10)), "README.md": b"new"})
    assert "the files taken are the same" in refusal(RepositoryChanged, lambda: zoo.pin(["a"], [10]))


def test_a_commit_that_is_gone_is_named_with_the_one_in_its_place(world: World) -> None:
    zoo = world.pinned()
    repository = world.hub.model(A)
    old = repository.branches["checkpoint-10"]
    new = world.hub.commit(A, "checkpoint-10", in_bin(tiny(7)))
    del repository.commits[old]
    for path in world.cached("config.json"):
        path.unlink()
    said = refusal(RepositoryChanged, lambda: zoo.load(zoo.ref("a", 10)))
    assert f"commit {old} is locked and gone, the branch is now {new}" in said
    assert "--accept-changes" in said


def test_two_steps_with_the_same_file_are_refused_when_they_are_pinned(world: World) -> None:
    world.hub.commit(A, "checkpoint-20", in_bin(tiny(10)))
    said = refusal(EqualWeights, lambda: world.pinned("a", steps=(10, 20)))
    assert "a@10" in said
    assert "a@20" in said
    assert not world.lock.exists()


def test_the_same_tensors_in_another_format_are_refused_when_they_are_loaded(world: World) -> None:
    world.hub.commit(A, "checkpoint-20", in_safetensors(tiny(10)))
    zoo = world.pinned("a", steps=(10, 20))
    zoo.load(zoo.ref("a", 10))
    zoo.load(zoo.ref("a", 10))
    said = refusal(EqualWeights, lambda: zoo.load(zoo.ref("a", 20)))
    assert "have the same tensors" in said


def test_a_reference_to_something_else_than_the_lock_pins_is_refused(world: World) -> None:
    zoo = world.pinned()
    other = ModelRef("a", zoo.ref("a", 10).source, 10, "0" * 64)
    assert "000000000000" in refusal(HubError, lambda: zoo.load(other))


@pytest.mark.parametrize(
    ("action", "kind", "said"),
    [
        (lambda zoo: zoo.ref("z", 10), ZooError, "unknown model 'z'; expected one of a, b"),
        (lambda zoo: zoo.ref("tiny-a", 10), ZooError, "expected 'a', whose alias this is"),
        (lambda zoo: zoo.pin(["a"], [11]), ZooError, "no step 11; expected one of 3 published ones, near it 0, 10, 20"),
        (lambda zoo: zoo.ref("a", 20), NotPinned, "tiny: a@20: not pinned in"),
        (lambda zoo: zoo.tokenizer(), NotPinned, f"run: {FETCH}"),
    ],
)  # fmt: skip
def test_what_was_not_published_or_not_pinned_is_refused(
    world: World, action: Callable[[HubZoo], object], kind: type[UserError], said: str
) -> None:
    assert said in refusal(kind, lambda: action(world.zoo()))
    assert world.hub.seen == []


def test_what_is_not_pinned_has_no_evidence_and_says_which_command_begins_with_it(world: World) -> None:
    with pytest.raises(ArtifactMissing) as caught:
        world.zoo().ref("a", 10)
    assert caught.value.command == FETCH


# --- what weights may be ---------------------------------------------------------------------------------------------


class Trap:
    """An object whose pickle calls something when it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def loaded(world: World, files: Mapping[str, bytes]) -> TransformerBridge:
    world.hub.commit(A, "checkpoint-10", files)
    zoo = world.pinned()
    return zoo.load(zoo.ref("a", 10))


@pytest.mark.parametrize("saved", [pickled, pickle.dumps], ids=["torch", "pickle"])
def test_a_pickle_that_calls_something_is_not_read(world: World, saved: Callable[[Any], bytes]) -> None:
    sprung = world.root / "sprung"
    content = saved({"x": Trap(sprung)})
    said = refusal(UnsafeWeights, lambda: loaded(world, {"config.json": config_of(tiny(1)), BIN: content}))
    assert f"{BIN}: expected a file of tensors only" in said
    # Torch's own words advise to load such a file without the guard.
    assert "weights_only" not in said
    assert not sprung.exists()
    torch.load(io.BytesIO(pickled({"x": Trap(sprung)})), weights_only=False)
    assert sprung.exists()


@pytest.mark.parametrize(
    ("name", "content"),
    [(BIN, b""), (BIN, b"<html>"), (BIN, pickled([torch.ones(1)])), (SAFE, b"<html>"), (SAFE, b"")],
)
def test_a_file_that_holds_no_tensors_is_refused(world: World, name: str, content: bytes) -> None:
    refusal(UnsafeWeights, lambda: loaded(world, {"config.json": config_of(tiny(1)), name: content}))


def in_shards(model: Any, **changes: Any) -> dict[str, bytes]:
    """A checkpoint in two shards, and the index that names them."""
    files = in_safetensors(model)
    state = safetensors.torch.load(files.pop(SAFE))
    names = sorted(state)
    parts = {f"model-0000{i}-of-00002.safetensors": names[i - 1 :: 2] for i in (1, 2)}
    index = {"metadata": {}, "weight_map": {name: file for file, own in parts.items() for name in own}}
    shards = {file: safetensors.torch.save({name: state[name] for name in own}) for file, own in parts.items()}
    return {**files, **shards, INDEX: json.dumps(index).encode(), **changes}


def test_weights_in_shards_are_the_weights_of_one_file(world: World) -> None:
    whole = world.zoo()
    whole.pin(["b"], [10])
    expected = whole.load(whole.ref("b", 10)).state_dict()  # type: ignore[no-untyped-call]
    world.hub.commit(A, "checkpoint-10", in_shards(tiny(110)))
    zoo = world.zoo()
    zoo.fetch(["a"], [10])
    ref = zoo.ref("a", 10)
    found = zoo.load(ref).state_dict()  # type: ignore[no-untyped-call]
    assert all(torch.equal(tensor, expected[name]) for name, tensor in found.items())
    # The names in an index are the same at every step: the digest is of the shards.
    world.hub.commit(A, "checkpoint-20", in_shards(tiny(120)))
    zoo.pin(["a"], [20])
    assert zoo.ref("a", 20).digest != ref.digest
    assert Lock.read(world.lock).find("a", 10) == zoo.lock.find("a", 10)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({INDEX: b"<html>"}, "expected an index of shards"),
        ({INDEX: b'{"weight_map": {}}'}, "expected an index of shards"),
        ({INDEX: b'{"weight_map": {"x": "../../x.safetensors"}}'}, "expected an index of shards"),
        ({INDEX: b'{"weight_map": {"x": 1}}'}, "expected an index of shards"),
        (
            {INDEX: b'{"weight_map": {"x": "other.safetensors"}}'},
            "expected other.safetensors, which",
        ),
        ({"model-00002-of-00002.safetensors": b"<html>"}, "00002.safetensors: expected a file of tensors only"),
        ({"model-00002-of-00002.safetensors": safetensors.torch.save({})}, "do not fit"),
    ],
)
def test_shards_that_are_none_are_refused(world: World, changes: dict[str, bytes], said: str) -> None:
    with pytest.raises(UserError) as caught:
        loaded(world, in_shards(tiny(3), **changes))
    assert said in str(caught.value)
    assert str(caught.value).isprintable()


def test_a_tensor_in_two_shards_is_refused(world: World) -> None:
    files = in_shards(tiny(3))
    first, second = (f"model-0000{i}-of-00002.safetensors" for i in (1, 2))
    said = refusal(UnsafeWeights, lambda: loaded(world, {**files, second: files[first]}))
    assert "expected in one shard, got it in two" in said


def test_a_lock_cannot_name_a_shard_outside_its_folder(world: World) -> None:
    world.hub.commit(A, "checkpoint-10", in_shards(tiny(3)))
    world.pinned()
    world.lock.write_text(world.lock.read_text().replace('"model-00001-of-00002.safetensors"', '"../x.safetensors"'))
    assert "expected shards of weights, got '../x.safetensors'" in refusal(LockError, world.zoo)


def changed(**tensors: torch.Tensor | None) -> dict[str, bytes]:
    model = tiny(3)
    state = {**model.state_dict(), **tensors}
    kept = {name: tensor for name, tensor in state.items() if tensor is not None}
    return {"config.json": config_of(model), BIN: pickled(kept)}


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (changed(**{"transformer.ln_f.weight": None}), "do not fit: transformer.ln_f.weight"),
        (changed(extra=torch.ones(1)), "do not fit: extra"),
        (changed(**{"transformer.ln_f.weight": torch.ones(3)}), "do not fit: transformer.ln_f.weight"),
        (changed(**{"lm_head.weight": torch.ones(300, 16)}), "lm_head.weight: expected the embedding"),
        ({"config.json": config_of(tiny(3, n_inner=32)), BIN: b""}, "64, 16, 300), got shape (3, 16, 2, 32"),
        ({"config.json": b'{"model_type": "bert"}', BIN: b""}, "expected gpt2, got 'bert'"),
        ({"config.json": b"<html>", BIN: b""}, "expected the configuration of a GPT2LMHeadModel, got something else"),
    ],
)  # fmt: skip
def test_weights_that_do_not_fit_are_refused(world: World, files: Mapping[str, bytes], said: str) -> None:
    assert said in refusal(WeightsUnfit, lambda: loaded(world, files))


def test_a_configuration_that_does_not_fit_is_refused_before_anything_is_pinned(world: World) -> None:
    world.hub.commit(A, "checkpoint-10", {"config.json": config_of(tiny(3, n_inner=32)), BIN: b""})
    assert "got shape (3, 16, 2, 32" in refusal(WeightsUnfit, lambda: world.pinned())
    assert not world.lock.exists()


def test_a_quantized_model_is_refused_before_anything_is_pinned(world: World) -> None:
    config = {**json.loads(config_of(tiny(3))), "quantization_config": {"quant_method": "gptq", "bits": 4}}
    world.hub.commit(A, "checkpoint-10", {**in_bin(tiny(3)), "config.json": json.dumps(config).encode()})
    said = refusal(WeightsUnfit, lambda: world.pinned())
    assert "config.json: expected weights of full precision, got quantized ones (gptq)" in said
    assert not world.lock.exists()


# --- tokenizers -------------------------------------------------------------------------------------------------------


def test_truncation_and_padding_of_a_tokenizer_are_turned_off(world: World, tokenizer: Tokenizer) -> None:
    own = type(tokenizer).from_str(tokenizer.to_str())
    own.enable_truncation(4)
    own.enable_padding(length=8, pad_id=0, pad_token="!")
    world.hub.commit(WORDS, "main", {"tokenizer.json": own.to_str().encode()})
    zoo = world.zoo()
    zoo.fetch(["a"], [10])
    text = "def f(): return neuron layer token model seed"
    assert len(own.encode(text).ids) == 8
    assert zoo.tokenizer().encode(text).ids == tokenizer.encode(text).ids
    assert zoo.tokenizer().encode("a").ids == tokenizer.encode("a").ids


def larger(tokenizer: Tokenizer) -> bytes:
    own = type(tokenizer).from_str(tokenizer.to_str())
    own.add_tokens(["one more"])
    return own.to_str().encode()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (larger, "expected ids below 300 (the models' vocabulary), got 300 ('one more'); name the tokenizer"),
        (lambda _: b"<html>", "expected a tokenizer, got something else ("),
        (lambda _: b"\xff\xfe", "expected a tokenizer, got something else ("),
    ],
)
def test_a_tokenizer_that_does_not_fit_the_models_is_refused_when_it_is_fetched(
    world: World, tokenizer: Tokenizer, content: Callable[[Tokenizer], bytes], said: str
) -> None:
    world.hub.commit(WORDS, "main", {"tokenizer.json": content(tokenizer)})
    assert said in refusal(TokenizerUnfit, lambda: world.zoo().fetch(["a"], [10]))
    # Before the weights, which may take hours.
    assert world.hub.asked("cdn") == []


# --- local folders ---------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(world: World) -> Path:
    """The files of one checkpoint as a download leaves them, where UNIVERSAL_NEURONS_MODELS points."""
    world.folders = world.root / "models"
    target = world.folders / A / "checkpoint-10"
    target.mkdir(parents=True)
    for name, content in in_bin(tiny(10)).items():
        (target / name).write_bytes(content)
    return target


def test_a_local_folder_is_read_instead_of_the_hub(world: World, folder: Path) -> None:
    del world.hub.repositories["models", A]
    zoo = world.pinned()
    assert zoo.ref("a", 10).source == f"{A}@checkpoint-10"
    assert distance(zoo.load(zoo.ref("a", 10)), tiny(10)) < 1e-5
    assert world.zoo().ref("a", 10) == zoo.ref("a", 10)


def test_the_environment_says_where_the_folders_are(
    world: World, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNIVERSAL_NEURONS_MODELS", str(world.folders))
    zoo = HubZoo.open("tiny", Pins.open(world.root, "tiny"))
    zoo.fetch(["a"], [10])
    assert world.hub.asked("api", path=A) == world.hub.asked("cdn") == []


def test_folders_may_lie_in_the_home_of_the_user(world: World, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(world.root))
    monkeypatch.setenv("UNIVERSAL_NEURONS_MODELS", "~/models")
    HubZoo.open("tiny", Pins.open(world.root, "tiny")).fetch(["a"], [10])
    assert world.hub.asked("api", path=A) == []


@pytest.mark.parametrize("missing", ["~/models", "~nobody-of-this-name/models", "/nowhere/models"])
def test_folders_that_are_missing_are_said_to_be_missing(
    world: World, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    monkeypatch.setenv("HOME", str(world.root))
    monkeypatch.setenv("UNIVERSAL_NEURONS_MODELS", missing)
    zoo = HubZoo.open("tiny", Pins.open(world.root, "tiny"))
    assert "UNIVERSAL_NEURONS_MODELS: expected a folder, got " in refusal(FileMissing, lambda: zoo.pin(["a"], [10]))
    assert world.hub.seen == []


def test_a_local_folder_does_not_take_the_commit_out_of_the_lock(world: World) -> None:
    zoo = world.pinned()
    pinned, files = zoo.ref("a", 10), world.hub.model(A).commits[world.hub.model(A).branches["checkpoint-10"]]
    world.folders = world.root / "models"
    for name, content in files.items():
        path = world.folders / A / "checkpoint-10" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    asked = len(world.hub.asked("cdn"))
    again = world.pinned()
    again.load(again.ref("a", 10))
    assert again.ref("a", 10) == pinned
    assert len(world.hub.asked("cdn")) == asked


def test_a_local_folder_of_other_files_than_the_locked_commits_is_refused(world: World) -> None:
    world.pinned()
    written = world.lock.read_bytes()
    world.folders = world.root / "models"
    for name, content in in_bin(tiny(7)).items():
        path = world.folders / A / "checkpoint-10" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    said = refusal(RepositoryChanged, world.pinned)
    assert f"the branch is now none ({BIN} differ" in said
    assert world.lock.read_bytes() == written


def test_a_local_folder_that_changed_is_refused(world: World, folder: Path) -> None:
    zoo = world.pinned()
    (folder / BIN).write_bytes(in_bin(tiny(7))[BIN])
    assert "not the locked file" in refusal(DigestMismatch, lambda: zoo.load(zoo.ref("a", 10)))
    (folder / BIN).unlink()
    assert "cannot be read" in refusal(FileMissing, lambda: zoo.load(zoo.ref("a", 10)))
    assert "expected model.safetensors or" in refusal(FileMissing, lambda: world.zoo().pin(["a"], [10]))


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    assert "expected the files of x/y@z, got none" in refusal(
        FileMissing, lambda: Folders(tmp_path).snapshot("x/y", "z")
    )


# --- the files of the project ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"checkpoint-{step}"', '"checkpoint"', "expected a pattern with {step}"),
        ('"checkpoint-{step}"', '"step{step}-tokens{tokens}"', "expected a pattern with {step} alone, got "),
        ('"checkpoint-{step}"', '"step{step"', "expected a pattern with {step} alone, got "),
        ('"checkpoint-{step}"', '"step{step:x"', "expected a pattern with {step} alone, got "),
        ('"checkpoint-{step}"', '"step{step.real}"', "expected a pattern with {step} alone, got "),
        ('"checkpoint-{step}"', '"step{}"', "expected a pattern with {step} alone, got "),
        (
            'revision = "checkpoint-{step}"',
            "",
            "expected a pattern with {step}, or a name for every step in revisions; step 0 ",
        ),
        (
            'revision = "checkpoint-{step}"',
            'revisions = { 0 = "main", 10 = "step10" }',
            "revision: expected a pattern with {step}, or a name for every step in revisions; step 20 has none",
        ),
        ("[[0, 20, 10]]", "[[0, 25, 10]]", "expected first, last, stride that meet"),
        ("ranges = [[0, 20, 10]]", "", "expected at least one step"),
        ('"someone/tiny-b"', '"someone/tiny-a"', "expected every repository once"),
        ("layers = 3, ", "", "architecture.layers: Field required"),
        ("[families.tiny]", "[families.tiny", "not TOML"),
    ],
)
def test_a_mistake_in_the_catalogue_is_named(tmp_path: Path, old: str, new: str, said: str) -> None:
    path = tmp_path / "models.toml"
    path.write_text(CATALOGUED.replace(old, new, 1))
    assert said in refusal(CatalogueError, lambda: Catalogue.read(path))


def test_revisions_may_be_named_step_by_step(tmp_path: Path) -> None:
    path = tmp_path / "models.toml"
    table = 'revisions = { 0 = "main", 20000 = "step20000-tokens84B" }'
    path.write_text(CATALOGUED.replace('revision = "checkpoint-{step}"', table).replace("ranges = [[0, 20, 10]]", ""))
    family = Catalogue.read(path).family("tiny")
    assert family.every_step == (0, 20_000)
    assert [family.branch(step) for step in family.every_step] == ["main", "step20000-tokens84B"]
    path.write_text(CATALOGUED.replace("ranges =", 'revisions = { 20 = "main" }\nranges ='))
    assert [Catalogue.read(path).family("tiny").branch(step) for step in (10, 20)] == ["checkpoint-10", "main"]


def test_a_missing_catalogue_and_an_unknown_family_are_named(world: World) -> None:
    assert "expected one of tiny, neox" in refusal(CatalogueError, lambda: world.zoo("huge"))
    (world.root / CATALOGUE).unlink()
    assert "git checkout -- fixtures/models.toml" in refusal(CatalogueError, world.zoo)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("commit = ", "comit = ", "checkpoints.a.10.comit: Extra inputs are not permitted"),
        ('weights = "pytorch', 'weights = "tensors', "expected 'tensors_model.bin'"),
        ("[tokenizer]", "[tokenizer", "not TOML"),
    ],
)
def test_a_damaged_lock_is_named(world: World, old: str, new: str, said: str) -> None:
    world.pinned()
    head, mark, tail = world.lock.read_text().partition("[checkpoints.")
    text = head + mark + tail.replace(old, new) if old in tail else (head.replace(old, new) + mark + tail)
    world.lock.write_text(text)
    assert said in refusal(LockError, world.zoo)


@pytest.mark.parametrize(
    ("section", "old", "new", "said"),
    [
        ("[checkpoints.", 'repository = "', 'repository = "other-', "a@10: expected config.json of"),
        ("[checkpoints.", 'revision = "', 'revision = "other-', "a@10: expected config.json of"),
        ("[checkpoints.", '"config.json"', f'"{SHARD}"', f"({SHARD}, pytorch_model.bin); to accept it run: "),
        ("[tokenizer]", 'repository = "', 'repository = "other-', "tokenizer: expected tokenizer.json of"),
        (
            "[tokenizer]",
            '"tokenizer.json"',
            '"other.json"',
            "(other.json); to accept it run: universal-neurons f",
        ),
    ],
)
def test_a_lock_of_something_else_than_the_catalogue_means_is_refused(
    world: World, section: str, old: str, new: str, said: str
) -> None:
    world.pinned()
    head, mark, tail = world.lock.read_text().partition(section)
    world.lock.write_text(head + mark + tail.replace(old, new, 1))
    zoo = world.zoo()
    assert said in refusal(LockError, lambda: (zoo.ref("a", 10), zoo.tokenizer()))


def test_a_lock_with_the_same_weights_twice_is_refused_when_it_is_read(world: World) -> None:
    zoo = world.pinned()
    twice = zoo.lock.with_entry("b@20", zoo.lock.checkpoints["a"][10])
    twice.write(world.lock, command=FETCH)
    assert "a@10" in refusal(EqualWeights, world.zoo)


@pytest.mark.parametrize("moment", ["os.fsync", "pathlib.Path.replace"])
def test_a_lock_is_replaced_in_one_step(world: World, monkeypatch: pytest.MonkeyPatch, moment: str) -> None:
    zoo = world.pinned()
    before = world.lock.read_bytes()

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(moment, killed)
    with pytest.raises(KeyboardInterrupt):
        zoo.pin(["b"], [10])
    assert world.lock.read_bytes() == before
    assert [path.name for path in world.lock.parent.iterdir()] == [world.lock.name]


def test_a_name_that_would_break_the_lock_is_refused() -> None:
    entry = LockedCheckpoint(repository='x"/y', revision="main", commit="", files={BIN: "0" * 64}, weights=BIN)
    lock = Lock().with_entry("a@1", entry)
    assert "without quotes" in refusal(LockError, lambda: lock.text(command=FETCH))


def test_a_place_names_the_revision_and_its_commit() -> None:
    assert str(Revision("x/y", "main")) == "x/y@main"
    assert str(Revision("x/y", "main", "0123456789abcdef")) == "x/y@main (0123456789ab)"
