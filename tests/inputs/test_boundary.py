"""The boundary of what people hand in: whatever a library makes of it, one line comes out, and no secret in it."""

from __future__ import annotations

import io
import json
import pickle
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import safetensors.torch
import torch

from universal_neurons.architectures import adapter_of
from universal_neurons.errors import UserError
from universal_neurons.inputs.catalogue import CATALOGUE, Architecture, Catalogue
from universal_neurons.inputs.corpus import CorpusManifest, CorpusRecipe
from universal_neurons.inputs.hub import Announced, Folders, Hub, Revision
from universal_neurons.inputs.lock import Lock
from universal_neurons.inputs.published import published_table
from universal_neurons.inputs.recipe import TrainingRecipe
from universal_neurons.inputs.suite_file import parse_suite
from universal_neurons.inputs.tokenization import read_tokenizer
from universal_neurons.inputs.weights import published_model, tensors

if TYPE_CHECKING:
    from collections.abc import Callable

SECRET = "hunter2"
DEEP = "a = " + "[" * 100_000
DEEP_JSON = b"[" * 200_000
SHAPE = Architecture(name="GPT2LMHeadModel", layers=1, width=4, heads=2, mlp=8, context=8, vocabulary=9)
CONFIG = {**adapter_of("GPT2LMHeadModel").configuration(layers=1, width=4, heads=2, mlp=8, context=8, vocabulary=9)}
CONFIG |= {"model_type": "gpt2"}  # type: ignore[dict-item]


def config(**changes: Any) -> Callable[[Path], object]:
    # 1e400 is infinity to Python's reader, and JSON has a spelling of it.
    text = json.dumps({**CONFIG, **changes}).replace('"1e400"', "1e400").encode()
    return lambda _: SHAPE.configuration(text, where="here")


def saved(value: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def weights(name: str, content: bytes) -> Callable[[Path], object]:
    return lambda _: tensors(name, content, where="here")


def recursive() -> bytes:
    deep: Any = {}
    for _ in range(300):
        deep = {"x": deep}
    return saved(deep)


def model(state: dict[str, torch.Tensor], **changes: Any) -> Callable[[Path], object]:
    return lambda _: published_model({**CONFIG, **changes}, state, "GPT2LMHeadModel", where="here")


def toml(read: Callable[[Path], object], name: str = "x.toml", text: str = DEEP) -> Callable[[Path], object]:
    def action(folder: Path) -> object:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return read(path)

    return action


def asked(endpoint: str) -> Callable[[Path], object]:
    hub = Hub("universal-neurons fetch", endpoint=endpoint, attempts=1)
    return lambda _: hub.part(Revision("some/body", "main", "0" * 40), "x", 0, 1)


WITH_PASSWORD = f"me:{SECRET}@"
BIN, SAFE = "pytorch_model.bin", "model.safetensors"
# What is read, and the words of the line.  A new fault is a new row.
INPUTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "deep suite": (lambda _: parse_suite(DEEP.encode(), where="here"), "not TOML"),
    "suite that is no text": (lambda _: parse_suite(b"\xff\xfe", where="here"), "not TOML"),
    "deep catalogue": (toml(Catalogue.read, name=str(CATALOGUE)), "not TOML"),
    "deep recipe of a training": (toml(TrainingRecipe.read), "not TOML"),
    "deep recipe of a corpus": (toml(CorpusRecipe.read), "not TOML"),
    "deep lock": (toml(Lock.read), "not TOML"),
    "deep lock of a stranger": (lambda _: Lock.parse(DEEP, where="here"), "not TOML"),
    "deep published numbers": (
        toml(lambda path: published_table("x.y", root=path.parents[2]), "fixtures/published/x.toml"), "not TOML",
    ),
    "deep manifest of a corpus": (toml(CorpusManifest.read, text=DEEP_JSON.decode()), "not a corpus manifest"),
    "name that is too long": (lambda folder: CorpusRecipe.read(folder / ("x" * 300)), "File name too long"),
    "models folder with a name that is too long": (
        lambda folder: Folders(folder / ("x" * 300), Hub("fetch")).snapshot("a/b", "main"), "expected a folder",
    ),
    "models folder with a zero in its name": (
        lambda folder: Folders(folder / "x\0", Hub("fetch")).snapshot("a/b", "main"), "expected a folder",
    ),
    "configuration that is no JSON": (lambda _: SHAPE.configuration(b"<html>", where="here"), "expected the config"),
    "deep configuration": (lambda _: SHAPE.configuration(DEEP_JSON, where="here"), "expected the configuration"),
    "configuration that is a list": (lambda _: SHAPE.configuration(b"[1]", where="here"), "expected the config"),
    "size that is text": (config(n_layer="1"), "n_layer: an integer expected, got '1'"),
    "size that is no integer": (config(n_embd=4.5), "n_embd: an integer expected, got 4.5"),
    "size that is infinite": (config(n_inner="1e400"), "n_inner: an integer expected, got inf"),
    "size that is missing": (config(n_head=None), "n_head: an integer expected, got None"),
    "size of another model": (config(n_layer=2), "expected gpt2 of shape (1, 4, 2, 8, 8, 9), got shape (2,"),
    "pickle with integer keys": (weights(BIN, saved({1: torch.ones(1)})), "expected tensors by name"),
    "pickle of a list": (weights(BIN, saved([torch.ones(1)])), "expected tensors by name, got list"),
    "deep pickle": (weights(BIN, recursive()), "expected tensors by name"),
    "pickle of marks": (weights(BIN, b"\x80\x02" + b"(" * 200_000 + b"."), "expected a file of tensors only"),
    "pickle of lists in lists": (weights(BIN, b"\x80\x02" + b"]" * 200_000 + b"."), "expected "),
    "pickle that calls": (weights(BIN, pickle.dumps(Path("x"))), "expected a file of tensors only"),
    "infinite weights": (weights(SAFE, safetensors.torch.save({"x": torch.tensor([1.0, torch.inf])})), "x: expected f"),
    "weights that are NaN": (weights(BIN, saved({"x": torch.tensor([torch.nan])})), "x: expected finite numbers"),
    "header that is too large": (weights(SAFE, b"\xff" * 64), "expected a file of tensors only"),
    "integers as weights": (
        model({"transformer.wte.weight": torch.ones(9, 4, dtype=torch.int8)}), "expected floating-point numbers, got",
    ),
    "activation that nobody knows": (model({}, activation_function="magic"), "config.json and weights of a GPT2LM"),
    "tokenizer that is none": (
        lambda _: read_tokenizer(DEEP_JSON, where="here", vocabulary=9), "expected a tokenizer",
    ),
    "endpoint without scheme": (asked(f"{WITH_PASSWORD}host"), "expected an address"),
    "endpoint of another scheme": (asked("ftp://" + WITH_PASSWORD + "host"), "expected an address"),
    "endpoint with a bad port": (asked("http://" + WITH_PASSWORD + "host:port"), "expected an address"),
    "endpoint with a port that is too large": (asked("http://" + WITH_PASSWORD + "host:99999"), "expected an address"),
    "endpoint with half an IPv6": (asked("http://" + WITH_PASSWORD + "[::1"), "expected an address"),
    "endpoint with a control character": (asked("http://" + WITH_PASSWORD + "ho\x1bst"), "expected an address"),
    "endpoint that turns text around": (asked("http://" + WITH_PASSWORD + "ho\u202est"), "expected an address"),
    "endpoint without host": (asked("http://"), "expected an address"),
    "endpoint that nobody answers at": (asked("http://" + WITH_PASSWORD + "127.0.0.1:9"), "cannot be reached"),
}  # fmt: skip


@pytest.mark.parametrize(("action", "said"), INPUTS.values(), ids=INPUTS)
def test_whatever_is_handed_in_one_line_comes_out(
    tmp_path: Path, action: Callable[[Path], object], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    with pytest.raises(UserError) as caught:
        action(tmp_path)
    line = str(caught.value)
    assert line.isprintable()
    assert len(line) < 600
    assert said in line
    assert SECRET not in line


@pytest.mark.parametrize("proxy", ["socks://", "http://", "ftp://"])
@pytest.mark.parametrize("host", ["127.0.0.1:9", "127.0.0.1:port", "[::1"])
def test_no_line_and_no_file_shows_a_token_or_the_password_of_a_proxy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, proxy: str, host: str
) -> None:
    import huggingface_hub

    for name in ("NO_PROXY", "no_proxy", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTPS_PROXY", proxy + WITH_PASSWORD + host)
    huggingface_hub.close_session()
    lines: list[str] = []
    hub = Hub("fetch", endpoint="https://nobody.invalid", cache=tmp_path, token=f"hf_{SECRET}", warn=lines.append)
    hub = replace(hub, attempts=2, wait=lambda _: None)
    for action in (
        lambda: hub.snapshot("some/body", "main"),
        lambda: hub.part(Revision("some/body", "main", "0" * 40), "x", 0, 1),
        lambda: hub.content(Revision("some/body", "main", "0" * 40), "x", Announced()),
    ):
        with pytest.raises(UserError) as caught:
            action()
        lines.append(str(caught.value))
    assert len(lines) >= 3
    assert all(line.isprintable() and SECRET not in line for line in lines)
    assert not any(SECRET.encode() in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    huggingface_hub.close_session()
