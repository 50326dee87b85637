from __future__ import annotations

import json
import random
import subprocess
import sys
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pytest

from universal_neurons.artifacts.bundle import LARGEST_LIST, Bundle, ExportDamaged, ExportUnfit, Listed, bundle_name
from universal_neurons.artifacts.codec import encode, json_bytes
from universal_neurons.artifacts.key import Key
from universal_neurons.artifacts.manifest import DamageError, Manifest
from universal_neurons.artifacts.provenance import Provenance
from universal_neurons.artifacts.schema import Schema

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PROVENANCE = Provenance("2026-01-02T03:04:05Z", "ab" * 20, "cpu", {"python": "3.11.7"}, 1.25, 2**30)

SCHEMA = Schema.of({"share": 0.5}, {}, {})


def key(number: int = 0, stage: str = "shares") -> Key:
    return Key(stage, 1, {"number": number}, {"model": "ab" * 32})


def artifact(number: int = 0, stage: str = "shares") -> tuple[Manifest, bytes]:
    suffix, payload = encode({"share": number / 8})
    return Manifest.of(key(number, stage), suffix, payload, PROVENANCE), payload


BUNDLE = Bundle.of("mini", "tokens 500", "# lock\n", [artifact(1)[0], artifact(0)[0], artifact(0, stage="curves")[0]])


def decoded(data: bytes) -> Bundle:
    return Bundle.decode(data, where="here")


def test_a_list_is_read_as_it_was_written_in_any_order_of_its_artifacts() -> None:
    assert decoded(BUNDLE.encode()) == BUNDLE
    again = Bundle.of(
        "mini", "tokens 500", "# lock\n", [artifact(0, stage="curves")[0], artifact(0)[0], artifact(1)[0]]
    )
    assert again.encode() == BUNDLE.encode()
    assert BUNDLE.sha256 == sha256(BUNDLE.encode()).hexdigest()
    assert [one.stage for one in BUNDLE.artifacts] == ["curves", "shares", "shares"]


def test_every_suite_has_a_list_of_its_own() -> None:
    assert (BUNDLE.name, bundle_name("paper")) == ("evidence-mini.json", "evidence-paper.json")


def test_an_artifact_is_found_by_its_key_and_by_no_other() -> None:
    found = BUNDLE.find(key(1))
    assert found is not None
    assert (found.stage, found.digest) == ("shares", key(1).digest)
    assert BUNDLE.find(key(2)) is None
    assert BUNDLE.find(key(1, stage="curves")) is None


def test_files_are_named_by_stage_digest_and_suffix() -> None:
    listed = Listed.of(artifact(0)[0])
    folder = f"shares/{key(0).digest}"
    assert (listed.manifest_file, listed.payload_file) == (f"{folder}/manifest.json", f"{folder}/payload.json")


def test_contents_are_the_listed_ones_and_no_others() -> None:
    manifest, payload = artifact(0)
    listed = Listed.of(manifest)
    assert listed.contents(manifest.encode(), payload, SCHEMA).value() == {"share": 0.0}
    other, its_payload = artifact(1)
    for data, content, words in (
        (other.encode(), its_payload, "instead of the listed one"),
        (manifest.encode()[:-1], payload, "instead of the listed one"),
        (manifest.encode(), payload[:-1], "bytes instead of"),
        (manifest.encode(), its_payload.replace(b"1", b"2"), "payload.json has"),
    ):
        with pytest.raises(DamageError, match=words):
            listed.contents(data, content, SCHEMA)


def test_a_manifest_that_is_listed_under_another_name_is_damage() -> None:
    mine, theirs = Listed.of(artifact(0)[0]), artifact(1)[0]
    lying = Listed(mine.stage, mine.digest, mine.suffix, mine.sha256, mine.size, Listed.of(theirs).manifest_sha256)
    with pytest.raises(DamageError, match=f"belongs to shares/{key(1).digest[:12]}"):
        lying.contents(theirs.encode(), artifact(1)[1], SCHEMA)


def test_an_unreadable_payload_is_damage_even_if_every_digest_fits() -> None:
    payload = b"not JSON"
    manifest = Manifest.of(key(0), "json", payload, PROVENANCE)
    with pytest.raises(DamageError, match="not readable as json"):
        Listed.of(manifest).contents(manifest.encode(), payload, SCHEMA)


def test_any_flipped_bit_and_any_cut_is_damage() -> None:
    data, rng = BUNDLE.encode(), random.Random(0)
    for _ in range(300):
        flipped = bytearray(data)
        flipped[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        with pytest.raises((ExportDamaged, ExportUnfit)):
            decoded(bytes(flipped))
    for end in range(0, len(data), 7):
        with pytest.raises(ExportDamaged):
            decoded(data[:end])


def sealed(change: Callable[[dict[str, Any]], Any]) -> bytes:
    """The list as somebody would change it who knows how to seal it."""
    raw = json.loads(BUNDLE.encode())
    change(raw)
    raw.pop("evidence_sha256", None)
    return json_bytes({**raw, "evidence_sha256": sha256(json_bytes(raw)).hexdigest()})


def first(**fields: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda raw: raw["artifacts"][0].update(fields)


HOSTILE: dict[str, Callable[[dict[str, Any]], Any]] = {
    "stage that leaves the folder": first(stage="../../etc"),
    "stage that is absolute": first(stage="/etc"),
    "stage with a drive": first(stage="c:"),
    "stage of the store itself": first(stage="quarantine"),
    "stage of a device": first(stage="nul"),
    "stage that is no text": first(stage=["shares"]),
    "digest that leaves the folder": first(digest="../" * 20 + "abcd"),
    "digest in capitals": first(digest="AB" * 32),
    "digest too short": first(digest="ab" * 31),
    "suffix that runs": first(suffix="pickle"),
    "suffix that is a path": first(suffix="json/../../x"),
    "suffix that is no text": first(suffix=None),
    "size below nothing": first(bytes=-1),
    "size that is true": first(bytes=True),
    "size that is a fraction": first(bytes=1.5),
    "payload's digest that is none": first(sha256="x" * 64),
    "manifest's digest that is none": first(manifest_sha256=""),
    "field too many": first(more=1),
    "field missing": lambda raw: raw["artifacts"][0].pop("sha256"),
    "artifact that is a list": lambda raw: raw["artifacts"].append([]),
    "artifacts that are a mapping": lambda raw: raw.update(artifacts={"a": 1}),
    "artifacts missing": lambda raw: raw.pop("artifacts"),
    "suite that is a number": lambda raw: raw.update(suite=1),
    "lock that is a mapping": lambda raw: raw.update(lock={"a": 1}),
    "narrowing missing": lambda raw: raw.pop("narrowing"),
}


@pytest.mark.parametrize("change", HOSTILE.values(), ids=HOSTILE)
def test_a_sealed_list_with_impossible_entries_is_refused(change: Callable[[dict[str, Any]], Any]) -> None:
    with pytest.raises(ExportDamaged, match=r"^here: not what was written; get it again$"):
        decoded(sealed(change))


def test_a_sealed_list_with_possible_entries_is_read() -> None:
    assert decoded(sealed(lambda raw: raw.update(suite="paper"))).suite == "paper"


@pytest.mark.parametrize("form", [2, "1", None, [1]])
def test_a_list_of_another_format_is_of_another_version_and_not_damaged(form: Any) -> None:
    with pytest.raises(ExportUnfit, match=r"^here: written in format .*, this version of the project reads 1; use"):
        decoded(sealed(lambda raw: raw.update(format=form)))


@pytest.mark.parametrize("data", [b"", b"null", b"[]", b"7", b"{", b"\xff\xfe", b"[" * 200_000, b'{"a": NaN}'])
def test_a_file_that_is_no_list_is_damage_in_one_line(data: bytes) -> None:
    with pytest.raises((ExportDamaged, ExportUnfit)) as caught:
        decoded(data)
    assert str(caught.value).isprintable()


DECODE = """
import sys
from pathlib import Path
from universal_neurons.artifacts.bundle import Bundle, ExportDamaged
from universal_neurons.artifacts.provenance import peak_memory_bytes
before = peak_memory_bytes()
try:
    Bundle.decode(Path(sys.argv[1]).read_bytes(), where="here")
except ExportDamaged:
    print(peak_memory_bytes() - before)
"""


@pytest.mark.parametrize("entry", ['{"":0}', "[]", '{"a":{}}'])
def test_a_list_of_millions_of_entries_that_are_none_takes_little_memory(tmp_path: Path, entry: str) -> None:
    head, tail = '{"format":1,"suite":"a","narrowing":"","lock":null,"artifacts":[', "]}"
    count = (LARGEST_LIST - len(head) - len(tail)) // (len(entry) + 1)
    (tmp_path / "list").write_text(f"{head}{','.join([entry] * count)}{tail}")
    done = subprocess.run([sys.executable, "-c", DECODE, str(tmp_path / "list")], capture_output=True, check=True)
    assert int(done.stdout) < 300_000_000
