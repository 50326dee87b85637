"""What an export of a suite holds, written down so that whoever receives it checks every byte before believing it.

This module decides the bytes of ``evidence-<suite>.json`` and the names of the files beside it, which are those of a
store: ``<stage>/<digest>/{manifest.json, payload.<suffix>}``.  No path is ever taken from an export: stage, digest and
suffix are checked, and names are made of them here.  It refuses to know where an export lies.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from universal_neurons.artifacts.codec import SUFFIXES, Suffix, json_bytes
from universal_neurons.artifacts.folder import MANIFEST, Contents
from universal_neurons.artifacts.key import is_digest, is_stage
from universal_neurons.artifacts.manifest import DamageError, Manifest
from universal_neurons.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from universal_neurons.artifacts.key import JSON, Key

FORMAT = 1
_SEAL = "evidence_sha256"


class SharingError(UserError):
    """Evidence cannot be passed on or taken over: one line saying what, where, why and what to run."""


class ExportDamaged(SharingError):
    """What was received is not what was exported: bytes are missing, too many, or others."""


class ForeignManifestError(Exception):
    """A manifest is the listed one to the last byte, and still none that this version of the project can read."""


class ExportUnfit(SharingError):
    """What was received is sound, but of another suite, other settings or another version of the project."""


@dataclass(frozen=True, slots=True)
class Listed:
    """One artifact of an export: its name, and the sha256 of both its files; ``size`` is that of the payload."""

    stage: str
    digest: str
    suffix: Suffix
    sha256: str
    size: int
    manifest_sha256: str

    @classmethod
    def of(cls, manifest: Manifest) -> Listed:
        """The entry of the artifact that ``manifest`` describes."""
        key = manifest.key
        own = sha256(manifest.encode()).hexdigest()
        return cls(key.stage, key.digest, manifest.suffix, manifest.sha256, manifest.size, own)

    def __str__(self) -> str:
        return f"{self.stage}/{self.digest[:12]}"

    @property
    def manifest_file(self) -> str:
        """The name of its manifest inside the export."""
        return f"{self.stage}/{self.digest}/{MANIFEST}"

    @property
    def payload_file(self) -> str:
        """The name of its payload inside the export."""
        return f"{self.stage}/{self.digest}/payload.{self.suffix}"

    def manifest(self, data: bytes) -> Manifest:
        """The manifest in ``data``.

        Raises :class:`DamageError` unless it is the listed one, and :class:`ForeignManifestError` if it is, and cannot
        be read.
        """
        if sha256(data).hexdigest() != self.manifest_sha256:
            raise DamageError(f"{MANIFEST} has digest {sha256(data).hexdigest()[:12]} instead of the listed one")
        try:
            manifest = Manifest.decode(data)
        except DamageError as error:
            raise ForeignManifestError(f"{error}, though its digest fits") from error
        if Listed.of(manifest) != self:
            raise DamageError(f"{MANIFEST} is that of {manifest.key}")
        return manifest

    def contents(self, manifest: bytes, payload: bytes) -> Contents:
        """Both files together; raises :class:`DamageError` unless both are the listed ones, and as :meth:`manifest`."""
        contents = Contents(self.manifest(manifest), payload)
        contents.manifest.check(payload)
        contents.value()
        return contents


@dataclass(frozen=True, slots=True)
class Bundle:
    """The list of everything in the export of one suite.

    ``narrowing`` says what was left out of the suite, if anything.  ``lock`` is the text of the suite's lock, by which
    alone the names of evidence about published models can be put together; None where the models lie in the checkout.

    Its file is JSON with sorted keys; ``evidence_sha256`` in it is over the rest of the file.
    """

    suite: str
    narrowing: str
    lock: str | None
    artifacts: tuple[Listed, ...]

    @classmethod
    def of(cls, suite: str, narrowing: str, lock: str | None, manifests: Iterable[Manifest]) -> Bundle:
        """The list of the artifacts that ``manifests`` describe, by stage and digest."""
        listed = sorted(map(Listed.of, manifests), key=lambda one: (one.stage, one.digest))
        return cls(suite, narrowing, lock, tuple(listed))

    @property
    def name(self) -> str:
        """The name of its file."""
        return bundle_name(self.suite)

    @property
    def sha256(self) -> str:
        """Digest of its file, which stands for the whole export."""
        return sha256(self.encode()).hexdigest()

    def find(self, key: Key) -> Listed | None:
        """The entry of ``key``, or None."""
        return next((one for one in self.artifacts if (one.stage, one.digest) == (key.stage, key.digest)), None)

    def encode(self) -> bytes:
        """The bytes of the file; equal bundles have equal bytes."""
        body: dict[str, JSON] = {
            "format": FORMAT,
            "suite": self.suite,
            "narrowing": self.narrowing,
            "lock": self.lock,
            "artifacts": [
                {
                    "stage": one.stage,
                    "digest": one.digest,
                    "suffix": one.suffix,
                    "sha256": one.sha256,
                    "bytes": one.size,
                    "manifest_sha256": one.manifest_sha256,
                }
                for one in self.artifacts
            ],
        }
        return json_bytes({**body, _SEAL: sha256(json_bytes(body)).hexdigest()})

    @classmethod
    def decode(cls, data: bytes, *, where: str) -> Bundle:
        """The inverse of :meth:`encode`; ``where`` names the file in errors.

        Raises :class:`ExportUnfit` for another format and :class:`ExportDamaged` unless ``data`` is exactly what
        :meth:`encode` would write.
        """
        raw = _parsed(data, where)
        if raw.get("format") != FORMAT:
            raise ExportUnfit(
                f"{where}: written in format {ascii(raw.get('format'))[:20]}, this version of the project reads "
                f"{FORMAT}; use the version that wrote it, or have it exported again"
            )
        try:
            bundle = cls(raw["suite"], raw["narrowing"], raw["lock"], tuple(map(_listed, raw["artifacts"])))
            texts = [bundle.suite, bundle.narrowing, *([] if bundle.lock is None else [bundle.lock])]
            sound = all(isinstance(text, str) for text in texts) and bundle.encode() == data
        except (ValueError, TypeError, LookupError, AttributeError, UserError):
            sound = False
        if not sound:
            raise ExportDamaged(f"{where}: not what was written; get it again")
        return bundle


def bundle_name(suite: str) -> str:
    """The name of the file that lists the export of ``suite``: of several suites in one folder each has its own."""
    return f"evidence-{suite}.json"


def _parsed(data: bytes, where: str) -> dict[str, Any]:
    try:
        raw = json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError):
        raw = None
    if not isinstance(raw, dict):
        raise ExportDamaged(f"{where}: cut short or damaged ({len(data)} bytes, not JSON); get it again")
    return raw


def _listed(raw: dict[str, Any]) -> Listed:
    one = Listed(raw["stage"], raw["digest"], raw["suffix"], raw["sha256"], raw["bytes"], raw["manifest_sha256"])
    digests = (one.digest, one.sha256, one.manifest_sha256)
    if not (is_stage(one.stage) and all(map(is_digest, digests)) and one.suffix in SUFFIXES):
        raise ValueError("no artifact")
    if type(one.size) is not int or one.size < 0:
        raise ValueError("no size")
    return one
