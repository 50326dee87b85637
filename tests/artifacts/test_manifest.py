from __future__ import annotations

import json
import random
from hashlib import sha256
from typing import Any

import pytest

from universal_neurons.artifacts.codec import json_bytes
from universal_neurons.artifacts.key import Key
from universal_neurons.artifacts.manifest import DamageError, Manifest
from universal_neurons.artifacts.provenance import Provenance

PAYLOAD = b'{\n  "share": 0.01\n}\n'
PROVENANCE = Provenance("2026-01-02T03:04:05Z", "ab" * 20, "cpu", {"python": "3.11.7"}, 1e-05, 2**30)
MANIFEST = Manifest.of(Key("shares", 1, {"threshold": 0.5}, {"table": "0" * 64}), "json", PAYLOAD, PROVENANCE)


def sealed(raw: dict[str, Any]) -> bytes:
    """``raw`` with the digest that fits it, as somebody would write it who knows the format."""
    body = {name: value for name, value in raw.items() if name != "manifest_sha256"}
    return json_bytes({**body, "manifest_sha256": sha256(json_bytes(body)).hexdigest()})


def changed(*path: str, to: Any) -> bytes:
    raw = json.loads(MANIFEST.encode())
    place = raw
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = to
    return sealed(raw)


def test_a_manifest_comes_back_and_keeps_its_bytes() -> None:
    back = Manifest.decode(MANIFEST.encode())
    assert back == MANIFEST
    assert back.encode() == MANIFEST.encode()
    assert sealed(json.loads(MANIFEST.encode())) == MANIFEST.encode()
    back.check(PAYLOAD)


def test_its_file_is_sorted_json_that_states_every_digest() -> None:
    raw = json.loads(MANIFEST.encode())
    assert list(raw) == sorted(raw) == ["digest", "format", "key", "manifest_sha256", "payload", "provenance"]
    assert raw["digest"] == MANIFEST.key.digest
    assert raw["payload"] == {"bytes": len(PAYLOAD), "sha256": sha256(PAYLOAD).hexdigest(), "suffix": "json"}


def test_every_single_flipped_bit_of_a_manifest_is_noticed() -> None:
    data = MANIFEST.encode()
    for position in range(len(data) * 8):
        flipped = bytearray(data)
        flipped[position // 8] ^= 1 << position % 8
        with pytest.raises(DamageError):
            Manifest.decode(bytes(flipped))


def test_every_truncation_of_a_manifest_is_noticed() -> None:
    data = MANIFEST.encode()
    for length in range(len(data)):
        with pytest.raises(DamageError):
            Manifest.decode(data[:length])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"1e999",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"digest": ' + b"9" * 5000 + b"}",
        b"\xef\xbb\xbf" + MANIFEST.encode(),
        MANIFEST.encode() + b"\n",
        MANIFEST.encode().replace(b"\n", b"\r\n"),
        json.dumps(json.loads(MANIFEST.encode()), sort_keys=True).encode(),
        MANIFEST.encode().replace(b'"format": 1', b'"format": 1,\n  "format": 1'),
        MANIFEST.encode().replace(b"1e-05", b"1E-05"),
        MANIFEST.encode().replace(b"1e-05", b"NaN"),
        changed("format", to=2),
        changed("digest", to="0" * 64),
        changed("more", to=1),
        changed("key", "stage", to="../../etc"),
        changed("key", "parameters", "threshold", to=0.4),
        changed("key", to=None),
        changed("payload", to=None),
        changed("payload", "suffix", to="pickle"),
        changed("payload", "suffix", to="/../../../etc/passwd"),
        changed("payload", "suffix", to=["json"]),
        changed("provenance", to={}),
        changed("provenance", "device", to="/home/somebody"),
        changed("provenance", "versions", to=[]),
        changed("provenance", "wall_seconds", to="1"),
    ],
)
def test_bytes_that_encode_would_not_write_are_damage(data: bytes) -> None:
    with pytest.raises(DamageError) as damage:
        Manifest.decode(data)
    assert str(damage.value).isprintable()


def test_only_its_own_payload_passes_the_check() -> None:
    rng = random.Random(0)
    for _ in range(200):
        flipped = bytearray(PAYLOAD)
        flipped[rng.randrange(len(PAYLOAD))] ^= 1 << rng.randrange(8)
        with pytest.raises(DamageError, match="digest"):
            MANIFEST.check(bytes(flipped))
    for other in (b"", PAYLOAD[:-1], PAYLOAD + b"\n"):
        with pytest.raises(DamageError, match="bytes instead of 20"):
            MANIFEST.check(other)
