"""Manifests: key, payload digest and provenance of an artifact, sealed in the bytes of ``manifest.json``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import sha256

from universal_neurons.artifacts.codec import SUFFIXES, Suffix, json_bytes
from universal_neurons.artifacts.key import JSON, Key
from universal_neurons.artifacts.provenance import Provenance
from universal_neurons.errors import UserError

FORMAT = 1


class DamageError(Exception):
    """Bytes in a store are not the artifact that their name promises; the message says in which way."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """Key, provenance, and kind, sha256 and size in bytes of the payload of one artifact.

    Its file is JSON with sorted keys; ``manifest_sha256`` in it is over the rest of the file, so no bit can change
    unnoticed, not even in the provenance.
    """

    key: Key
    suffix: Suffix
    sha256: str
    size: int
    provenance: Provenance

    @classmethod
    def of(cls, key: Key, suffix: Suffix, payload: bytes, provenance: Provenance) -> Manifest:
        """The manifest of ``payload``."""
        return cls(key, suffix, sha256(payload).hexdigest(), len(payload), provenance)

    @property
    def file(self) -> str:
        """Name of the payload file."""
        return f"payload.{self.suffix}"

    def encode(self) -> bytes:
        """The bytes of the file; equal manifests have equal bytes."""
        body: dict[str, JSON] = {
            "format": FORMAT,
            "key": self.key.as_dict(),
            "digest": self.key.digest,
            "payload": {"suffix": self.suffix, "sha256": self.sha256, "bytes": self.size},
            "provenance": self.provenance.as_dict(),
        }
        return json_bytes({**body, "manifest_sha256": sha256(json_bytes(body)).hexdigest()})

    @classmethod
    def decode(cls, data: bytes) -> Manifest:
        """The inverse of :meth:`encode`; raises :class:`DamageError` unless ``data`` is exactly what it would write."""
        try:
            raw = json.loads(data.decode("utf-8"))
            manifest = cls(
                key=Key.from_dict(raw["key"]),
                suffix=raw["payload"]["suffix"],
                sha256=raw["payload"]["sha256"],
                size=raw["payload"]["bytes"],
                provenance=Provenance.from_dict(raw["provenance"]),
            )
            sound = manifest.suffix in SUFFIXES and manifest.encode() == data
        except (ValueError, TypeError, LookupError, RecursionError, UserError) as error:
            raise DamageError(f"its manifest is not readable ({type(error).__name__})") from error
        if not sound:
            raise DamageError("its manifest is not what was written")
        return manifest

    def check(self, payload: bytes) -> None:
        """Raise :class:`DamageError` unless ``payload`` is the one that this manifest was made of."""
        if len(payload) != self.size:
            raise DamageError(f"{self.file} has {len(payload)} bytes instead of {self.size}")
        digest = sha256(payload).hexdigest()
        if digest != self.sha256:
            raise DamageError(f"{self.file} has digest {digest[:12]} instead of {self.sha256[:12]}")
