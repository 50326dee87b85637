"""The list of an export: every artifact of a suite's evidence with the digests of its files.

Every byte of an export is checked by this list.  Its file is ``evidence-<suite>.json``; the files beside it
are named as in a store, ``<stage>/<digest>/{manifest.json, payload.<suffix>}``.  No path is ever taken from an export:
stage, digest and suffix are checked, and names are made of them here.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import cached_property
from hashlib import sha256
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, ConfigDict, Field
from pydantic.dataclasses import dataclass

from universal_neurons.artifacts.codec import Suffix, json_bytes
from universal_neurons.artifacts.folder import MANIFEST, Contents
from universal_neurons.artifacts.key import checked_stage
from universal_neurons.artifacts.manifest import DamageError, Manifest
from universal_neurons.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from universal_neurons.artifacts.key import JSON, Key
    from universal_neurons.artifacts.schema import Schema

FORMAT = 1
# Some ten thousand artifacts; a list, and a payload, that claims to be larger is not read.
LARGEST_LIST = 1 << 22
LARGEST_MANIFEST = 1 << 20
LARGEST_PAYLOAD: dict[Suffix, int] = {"parquet": 1 << 28, "safetensors": 1 << 28, "json": 1 << 22}
_SEAL = "evidence_sha256"
_STRICT = ConfigDict(strict=True, validate_by_name=True, validate_by_alias=True)
_Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class SharingError(UserError):
    """Evidence cannot be exported or imported: one line saying what, where, why and what to run."""


class ExportDamaged(SharingError):
    """An export has other bytes than were exported: some are missing, too many, or changed."""


class ExportUnfit(SharingError):
    """A sound export, but of another suite, other settings or another version of the project."""


class SourceUnavailable(SharingError):
    """Nothing can be read there: it does not exist, does not answer, or must not be read."""


class FileAbsent(SharingError):
    """An export has no file of that name."""


class ForeignManifestError(Exception):
    """A manifest whose digest is the listed one, and that this version of the project cannot read."""


@dataclass(frozen=True, slots=True, config=_STRICT)
class Listed:
    """One artifact of an export: its name, the sha256 of both its files, and the size of its payload in bytes."""

    stage: Annotated[str, AfterValidator(checked_stage)]
    digest: _Sha256
    suffix: Suffix
    sha256: _Sha256
    size: Annotated[int, Field(ge=0, validation_alias="bytes")]
    manifest_sha256: _Sha256

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
            raise DamageError(f"{MANIFEST} belongs to {manifest.key}")
        return manifest

    def contents(self, manifest: bytes, payload: bytes, schema: Schema) -> Contents:
        """Both files together, checked by their digests and by ``schema``.

        Raises :class:`DamageError` unless both are the listed ones, :class:`MalformedArtifact` for another form, and as
        :meth:`manifest`.
        """
        contents = Contents(self.manifest(manifest), payload)
        contents.manifest.check(payload)
        schema.check(contents.value(schema.limits))
        return contents


@dataclass(frozen=True, config=_STRICT)
class Bundle:
    """The list of everything in the export of one suite.

    ``narrowing`` says what was left out of the suite, if anything.  ``lock`` is the text of the suite's lock, which the
    keys of evidence about published models are made of; None where the models lie in the checkout.

    Its file is JSON with sorted keys; ``evidence_sha256`` in it is over the rest of the file.
    """

    suite: str
    narrowing: str
    lock: str | None
    artifacts: tuple[Listed, ...]

    @cached_property
    def _by_name(self) -> dict[tuple[str, str], Listed]:
        return {(listed.stage, listed.digest): listed for listed in self.artifacts}

    @classmethod
    def of(cls, suite: str, narrowing: str, lock: str | None, manifests: Iterable[Manifest]) -> Bundle:
        """The list of the artifacts that ``manifests`` describe, by stage and digest.

        Raises :class:`SharingError` for one that is larger than an import would read.
        """
        listed = sorted(map(Listed.of, manifests), key=lambda entry: (entry.stage, entry.digest))
        bundle = cls(suite, narrowing, lock, tuple(listed))
        bundle.check_sizes(where="export")
        if len(bundle.encode()) > LARGEST_LIST:
            raise SharingError(f"export: {len(listed)} artifacts are more than one list holds; narrow the suite")
        return bundle

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
        return self._by_name.get((key.stage, key.digest))

    def check_sizes(self, *, where: str) -> None:
        """Raise :class:`ExportDamaged` for a payload that is larger than any of its kind."""
        for listed in self.artifacts:
            if listed.size > (limit := LARGEST_PAYLOAD[listed.suffix]):
                raise ExportDamaged(
                    f"{where}: {listed}: a payload of {ascii(listed.size)[:20]} bytes, expected at most {limit}"
                )

    def encode(self) -> bytes:
        """The bytes of the file; equal bundles have equal bytes."""
        body: dict[str, JSON] = {
            "format": FORMAT,
            "suite": self.suite,
            "narrowing": self.narrowing,
            "lock": self.lock,
            "artifacts": [
                {"bytes" if name == "size" else name: value for name, value in asdict(listed).items()}
                for listed in self.artifacts
            ],
        }
        return json_bytes({**body, _SEAL: sha256(json_bytes(body)).hexdigest()})

    @classmethod
    def decode(cls, data: bytes, *, where: str) -> Bundle:
        """The inverse of :meth:`encode`; ``where`` names the file in errors.

        Raises :class:`ExportUnfit` for another format and :class:`ExportDamaged` unless ``data`` is exactly what
        :meth:`encode` would write.
        """
        try:
            raw: Any = json.loads(data)
            written = raw.get("format")
        except (ValueError, RecursionError, AttributeError):
            size = len(data)
            raise ExportDamaged(f"{where}: cut short or damaged ({size} bytes, not JSON); get it again") from None
        if written != FORMAT:
            raise ExportUnfit(
                f"{where}: written in format {ascii(written)[:20]}, this version of the project reads {FORMAT}; use "
                "the version that wrote it, or have it exported again"
            )
        try:
            # One by one, so that the first entry of millions that is none is the last one looked at.
            artifacts = tuple(Listed(**entry) for entry in raw["artifacts"])
            bundle = cls(raw["suite"], raw["narrowing"], raw["lock"], artifacts)
        except (ValueError, TypeError, LookupError, UserError):
            bundle = None
        if bundle is None or bundle.encode() != data:
            raise ExportDamaged(f"{where}: not what was written; get it again")
        bundle.check_sizes(where=where)
        return bundle


def bundle_name(suite: str) -> str:
    """The name of the file that lists the export of ``suite``; several suites in one folder have one list each."""
    return f"evidence-{suite}.json"
