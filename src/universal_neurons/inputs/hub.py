"""Files of a hub by commit, every byte verified before anybody sees it; and the same from a local folder.

The hub's own client does the transport: its cache, its token, HF_ENDPOINT, HF_HOME and HF_HUB_OFFLINE work as
everywhere.  It is imported only when something is asked for.

The client writes to a temporary file and renames it, resumes a broken transfer, and waits out 429 during a transfer.
Added here: bytes are compared with the digest that was announced, and a question refused with 429 or 503, or a transfer
refused with 503, is repeated.
"""

from __future__ import annotations

import hashlib
import os
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn, Protocol, TypeVar
from urllib.parse import urlsplit

from universal_neurons.characters import visible
from universal_neurons.files import shown_url
from universal_neurons.inputs.validation import first_line
from universal_neurons.inputs.zoo import ZooError
from universal_neurons.progress import discard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from universal_neurons.progress import Warn

FOLDERS_VARIABLE = "UNIVERSAL_NEURONS_MODELS"
_BUSY = (408, 429, 500, 502, 503, 504)
_LONGEST_WAIT = 300.0
_SECONDS_TO_ANSWER = 10.0
# The environment variables by which a connection can be spoiled.
_ENDPOINT = ("HF_ENDPOINT",)
_TOKEN = ("HF_TOKEN", "hf auth login")
_CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR")
_PROXIES = tuple(name for word in ("https", "http", "all") for name in (f"{word}_proxy", f"{word}_proxy".upper()))

RepositoryKind = Literal["model", "dataset"]
_T = TypeVar("_T")


class HubError(ZooError):
    """A hub does not give something."""


class NotInCache(HubError):
    """The network must not be used, and the local cache lacks the file."""


class RevisionMissing(HubError):
    """The repository has no such branch or commit."""


class FileMissing(HubError):
    """The revision has no such file."""


class DigestMismatch(HubError):
    """The bytes differ from the ones that were announced or locked."""


@dataclass(frozen=True, slots=True)
class Revision:
    """A revision of a repository: the ``name`` of a branch, tag or commit, and the ``commit`` that it was resolved to.

    Files of a local folder have no commit.
    """

    repository: str
    name: str
    commit: str = ""
    kind: RepositoryKind = "model"

    def __str__(self) -> str:
        at = self.name if self.commit in ("", self.name) else f"{self.name} ({self.commit[:12]})"
        return f"{self.path}@{at}"

    @property
    def path(self) -> str:
        """The repository as a hub's addresses have it."""
        return self.repository if self.kind == "model" else f"datasets/{self.repository}"


@dataclass(frozen=True, slots=True)
class Announced:
    """A file that is not here yet: its sha256, or the id that git gives its content, or neither; its size in bytes."""

    sha256: str | None = None
    git_blob: str | None = None
    size: int | None = None

    def defect(self, content: bytes) -> str | None:
        """The difference between ``content`` and what was announced, in words, or None."""
        if self.sha256 is not None:
            got = hashlib.sha256(content).hexdigest()
            return None if got == self.sha256 else f"sha256 {self.sha256[:12]} expected, got {got[:12]}"
        if self.git_blob is not None:
            got = git_blob(content)
            return None if got == self.git_blob else f"git blob {self.git_blob[:12]} expected, got {got[:12]}"
        return None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The files of a revision at one moment."""

    revision: Revision
    files: Mapping[str, Announced]


class Source(Protocol):
    """A place that files come from: a hub, local folders, or both."""

    def snapshot(self, repository: str, revision: str, kind: RepositoryKind = "model") -> Snapshot:
        """The revision as it is now; raises :class:`HubError`."""

    def content(self, revision: Revision, name: str, expected: Announced) -> bytes:
        """The verified bytes of a file; raises :class:`HubError`."""

    def part(self, revision: Revision, name: str, start: int, stop: int) -> bytes:
        """The bytes from ``start`` to ``stop`` of a file that has as many; they are not verified.

        Raises :class:`HubError`.
        """


def git_blob(content: bytes) -> str:
    """The id that git gives to a file with this content, by which a hub announces its small files.

    >>> git_blob(b"")
    'e69de29bb2d1d6434b8b29ae775ad8c2e48c5391'
    """
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


@dataclass(frozen=True)
class Hub:
    """A hub, asked through its own client; ``command`` is what an error tells the user to run.

    For what is None huggingface_hub asks the environment.  A refused question is asked ``attempts`` times in all, after
    1, 2, 4 ... seconds or when the hub says; ``warn`` gets a line for each pause.
    """

    command: str
    endpoint: str | None = None
    cache: Path | None = None
    token: str | None = None
    attempts: int = 4
    warn: Warn = discard
    wait: Callable[[float], None] = field(default=time.sleep)

    def snapshot(self, repository: str, revision: str, kind: RepositoryKind = "model") -> Snapshot:
        """The commit that ``revision`` means now, with all its files.

        This is one question, so that commit and files belong together even if the branch moves the moment after.  Where
        the network must not be used, commit and files are the ones in the cache.
        """
        wanted = Revision(repository, revision, kind=kind)
        return self._remembered(wanted) if self._offline else self._listed(wanted)

    def content(self, revision: Revision, name: str, expected: Announced) -> bytes:
        """The bytes of ``name`` at ``revision.commit``, from the cache if it has the right ones, else from the hub.

        Raises :class:`DigestMismatch` if the hub, asked twice, gives other bytes than ``expected``.
        """
        offline = self._offline
        cached = self._cached(revision, name)
        defect = None
        if cached is not None:
            content = cached.read_bytes()
            if (defect := expected.defect(content)) is None:
                return content
        if offline:
            if cached is None:
                raise self._not_in_cache(revision, name)
            raise DigestMismatch(
                f"{_named(revision, name)}: damaged in the cache ({cached}): {defect}; "
                f"run without HF_HUB_OFFLINE: {self.command}"
            )
        # Twice: a fault on the way is healed by asking again, a wrong file on the hub is not.
        for again in (cached is not None, True):
            content = self._downloaded(revision, name, again=again).read_bytes()
            if (defect := expected.defect(content)) is None:
                return content
        raise DigestMismatch(f"{revision}/{name}: {defect}; nothing was used; run again later: {self.command}")

    def part(self, revision: Revision, name: str, start: int, stop: int) -> bytes:
        """Some bytes of ``name`` at ``revision.commit``, past the cache, which keeps whole files only."""
        if self._offline:
            raise self._not_in_cache(revision, name)
        from huggingface_hub import get_session, hf_raise_for_status
        from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

        url = self._url(revision, name)
        headers = {**build_hf_headers(token=self.token), "Range": f"bytes={start}-{stop - 1}"}

        def transfer() -> bytes:
            # The client takes the token out of a request that is redirected to another host.
            answer = get_session().get(url, headers=headers, follow_redirects=True, timeout=_SECONDS_TO_ANSWER)
            hf_raise_for_status(answer)
            content = bytes(answer.content)
            if len(content) != stop - start:
                raise ValueError(f"{stop - start} bytes expected, got {len(content)}")
            return content

        return self._asked(revision, name, transfer)

    @property
    def _offline(self) -> bool:
        try:
            # The rest of it is imported when it is first asked for, and then reads addresses.
            from huggingface_hub import HfApi, constants  # noqa: F401
        except ValueError as error:  # it reads numbers from the environment when it is imported
            raise HubError(
                f"huggingface_hub: a setting cannot be read ({first_line(error)}); mend the variables that begin with "
                f"HF_; run again: {self.command}"
            ) from None
        return constants.is_offline_mode()

    def _url(self, revision: Revision, name: str) -> str:
        from huggingface_hub import hf_hub_url

        return hf_hub_url(
            revision.repository, name, repo_type=revision.kind, revision=revision.commit, endpoint=self.endpoint
        )

    def _listed(self, revision: Revision) -> Snapshot:
        from huggingface_hub import HfApi

        api = HfApi(endpoint=self.endpoint, token=self.token)
        info: Any = self._asked(
            revision,
            "",
            lambda: api.repo_info(
                revision.repository,
                repo_type=revision.kind,
                revision=revision.name,
                files_metadata=True,
                timeout=_SECONDS_TO_ANSWER,
            ),
        )
        files = {
            file.rfilename: Announced(file.lfs.sha256 if file.lfs else None, file.blob_id, file.size)
            for file in info.siblings or []
        }
        return Snapshot(replace(revision, commit=info.sha or ""), files)

    def _remembered(self, revision: Revision) -> Snapshot:
        from huggingface_hub import snapshot_download

        def cached() -> str:
            return snapshot_download(
                revision.repository,
                repo_type=revision.kind,
                revision=revision.name,
                cache_dir=self.cache,
                local_files_only=True,
            )

        folder = Path(self._asked(revision, "", cached))
        return Snapshot(replace(revision, commit=folder.name), _files_of(folder))

    def _cached(self, revision: Revision, name: str) -> Path | None:
        from huggingface_hub import try_to_load_from_cache

        cached = try_to_load_from_cache(
            revision.repository, name, cache_dir=self.cache, revision=revision.commit, repo_type=revision.kind
        )
        return Path(cached) if isinstance(cached, str) else None

    def _downloaded(self, revision: Revision, name: str, *, again: bool) -> Path:
        from huggingface_hub import get_hf_file_metadata, hf_hub_download

        url = self._url(revision, name)

        def transfer() -> str:
            # Asked for first, because the client wraps what goes wrong with this question into other errors, after
            # half a minute of repeating it to a hub that is not there.
            get_hf_file_metadata(url, token=self.token, timeout=_SECONDS_TO_ANSWER, endpoint=self.endpoint)
            return hf_hub_download(
                revision.repository,
                name,
                repo_type=revision.kind,
                revision=revision.commit,
                cache_dir=self.cache,
                endpoint=self.endpoint,
                token=self.token,
                force_download=again,
            )

        return Path(self._asked(revision, name, transfer))

    def _asked(self, revision: Revision, name: str, question: Callable[[], _T]) -> _T:
        from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]  # the client's own transport errors

        if not self._offline:
            self._check_settings(_named(revision, name))
        attempt = 0
        while True:
            attempt += 1
            try:
                return question()
            except (HTTPError, OSError, ValueError) as error:
                pause = _pause(error, attempt)
                if pause is None or attempt == self.attempts:
                    raise self._explained(error, revision, name) from None
                self.warn(f"{_named(revision, name)}: {first_line(error)}; waiting {pause:.0f} s")
                self.wait(pause)

    def _check_settings(self, what: str) -> None:
        """Raise :class:`HubError` for settings that no attempt can succeed with."""
        from huggingface_hub import get_session, get_token

        try:
            parts = urlsplit(self._host)
            is_address = parts.scheme in ("http", "https") and bool(parts.hostname) and self._host.isprintable()
            is_address = is_address and (parts.port is None or parts.port > 0)
        except ValueError:
            is_address = False
        if not is_address:
            self._refuse(what, f"expected an address such as https://huggingface.co, got {self._shown!r}", _ENDPOINT)
        token = self.token or get_token() or ""
        if not (token.isascii() and token.isprintable()):
            self._refuse(what, "expected a token of visible ASCII characters, got others", _TOKEN)
        try:
            get_session()
        except Exception as error:  # noqa: BLE001  the client wraps nothing of what its settings make libraries raise
            # What cannot be read is a file of certificates; everything else is about the address of a proxy.
            variables = _CERTIFICATES if isinstance(error, OSError) else _PROXIES
            self._refuse(what, f"no connection can be made ({first_line(error)})", variables)

    def _refuse(self, what: str, defect: str, variables: Sequence[str]) -> NoReturn:
        suspects = [name for name in variables if os.environ.get(name)] or variables
        raise HubError(f"{what}: {defect}; mend {' or '.join(suspects)}; run again: {self.command}")

    def _explained(self, error: Exception, revision: Revision, name: str) -> HubError:
        what = _named(revision, name)
        response = _response(error)
        if response is not None:
            return self._refused(response, what, repository=revision.path)
        if _is_offline(error):
            return self._not_in_cache(revision, name)
        if _never_connected(error):
            proxies = [name for name in _PROXIES if os.environ.get(name)]
            through = f" through the proxy of {' or '.join(proxies)}" if proxies else ""
            return HubError(
                f"{what}: the hub at {self._shown} cannot be reached{through} ({first_line(error)}); "
                f"with network run: {self.command}; or put the files into "
                f"${FOLDERS_VARIABLE}/{revision.path}/{revision.name}"
            )
        if _is_local(error):
            return HubError(
                f"{what}: the cache cannot be written ({first_line(error)}); mend that, or set HF_HOME; "
                f"run again: {self.command}"
            )
        return HubError(
            f"{what}: the transfer broke off ({first_line(error)}); nothing was used; run again: {self.command}"
        )

    def _refused(self, response: Any, what: str, *, repository: str) -> HubError:
        status, code = response.status_code, response.headers.get("X-Error-Code")
        if code == "GatedRepo":
            return HubError(
                f"{what}: access is gated (HTTP {status}); accept the terms at {self._shown}/{repository}, then run: "
                f"hf auth login; {self.command}"
            )
        if code == "RevisionNotFound":
            return RevisionMissing(f"{what}: the repository has no such branch or commit")
        if code == "EntryNotFound":
            return FileMissing(f"{what}: the hub does not have this file; nothing was used; run later: {self.command}")
        if status in (401, 403):
            return HubError(
                f"{what}: expected a public repository or a token that may read it, got HTTP {status}; "
                f"run: hf auth login (or set HF_TOKEN); {self.command}"
            )
        if status in _BUSY:
            return HubError(
                f"{what}: the hub is busy (HTTP {status}, asked {self.attempts} times); run: {self.command}"
            )
        if status == 404:
            return HubError(f"{what}: no such repository at {self._shown}")
        return HubError(f"{what}: expected an answer, got HTTP {status}; run: {self.command}")

    def _not_in_cache(self, revision: Revision, name: str) -> NotInCache:
        what = _named(revision, name)
        return NotInCache(f"{what}: not in the cache, and HF_HUB_OFFLINE is set; run without it: {self.command}")

    @property
    def _shown(self) -> str:
        return visible(shown_url(self._host))

    @property
    def _host(self) -> str:
        from huggingface_hub import constants

        return self.endpoint or constants.ENDPOINT


@dataclass(frozen=True)
class Folders:
    """Local folders with the files of a revision, as a download leaves them: ``<root>/<repository>/<revision>/``, for a
    data set ``<root>/datasets/<repository>/<revision>/``; a ``hub``, if any, for the revisions that have none."""

    root: Path
    hub: Hub | None = None

    def snapshot(self, repository: str, revision: str, kind: RepositoryKind = "model") -> Snapshot:
        """The files of the folder; they have no commit, and their digests are known when they are read."""
        wanted = Revision(repository, revision, kind=kind)
        if (hub := self._elsewhere(wanted)) is not None:
            return hub.snapshot(repository, revision, kind)
        files = _files_of(self._folder(wanted))
        if not files:
            raise FileMissing(f"{self._folder(wanted)}: expected the files of {wanted}, got none")
        return Snapshot(wanted, files)

    def content(self, revision: Revision, name: str, expected: Announced) -> bytes:
        """The bytes of a file; raises :class:`DigestMismatch` if they are not ``expected``."""
        if (hub := self._elsewhere(revision)) is not None:
            return hub.content(revision, name, expected)
        content = self._read(revision, name, 0, -1)
        if (defect := expected.defect(content)) is not None:
            path = self._folder(revision) / name
            raise DigestMismatch(f"{path}: not the locked file of {revision}: {defect}; remove it or replace it")
        return content

    def part(self, revision: Revision, name: str, start: int, stop: int) -> bytes:
        """Some bytes of a file."""
        if (hub := self._elsewhere(revision)) is not None:
            return hub.part(revision, name, start, stop)
        content = self._read(revision, name, start, stop - start)
        if len(content) != stop - start:
            path = self._folder(revision) / name
            raise DigestMismatch(f"{path}: ends at byte {start + len(content)}; expected the locked file of {revision}")
        return content

    def _elsewhere(self, revision: Revision) -> Hub | None:
        """The hub, if the revision has no folder."""
        if self.hub is not None and not os.path.isdir(self.root):  # noqa: PTH112  Path.is_dir raises for long names
            raise FileMissing(
                f"{FOLDERS_VARIABLE}: expected a folder, got {str(self.root)!r}; make it or unset the variable"
            )
        return None if self._folder(revision).is_dir() else self.hub

    def _read(self, revision: Revision, name: str, start: int, size: int) -> bytes:
        path = self._folder(revision) / name
        try:
            with path.open("rb") as file:
                file.seek(start)
                return file.read(size)
        except OSError as error:
            raise FileMissing(f"{path}: cannot be read ({error.strerror}); expected a file of {revision}") from None

    def _folder(self, revision: Revision) -> Path:
        return self.root / revision.path / revision.name


def source_from_environment(command: str, *, warn: Warn = discard) -> Source:
    """The hub of the environment, after the folders in UNIVERSAL_NEURONS_MODELS if that is set."""
    hub, root = Hub(command, warn=warn), os.environ.get(FOLDERS_VARIABLE)
    if not root:
        return hub
    # Not Path.expanduser, which raises for a user that is not known here.
    return Folders(Path(os.path.expanduser(root)), hub)  # noqa: PTH111


def _files_of(folder: Path) -> dict[str, Announced]:
    """The files below ``folder`` by their path, of which only the size is known."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else []
    return {path.relative_to(folder).as_posix(): Announced(size=path.stat().st_size) for path in paths}


def _named(revision: Revision, name: str) -> str:
    return f"{revision}/{name}" if name else str(revision)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    # The client says what went wrong in the cause of an error that says where it was looked for instead.
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _response(error: Exception) -> Any:
    responses = (getattr(cause, "response", None) for cause in _chain(error))
    return next((response for response in responses if response is not None), None)


def _is_offline(error: Exception) -> bool:
    from huggingface_hub.errors import LocalEntryNotFoundError, OfflineModeIsEnabled

    refused = any(isinstance(cause, OfflineModeIsEnabled | LocalEntryNotFoundError) for cause in _chain(error))
    return refused and not _never_connected(error)


def _never_connected(error: Exception) -> bool:
    # By name: which library carries the client's requests differs between its versions, these names do not.
    return any(type(cause).__name__ in {"ConnectError", "ConnectTimeout", "ProxyError"} for cause in _chain(error))


def _is_local(error: Exception) -> bool:
    # The file system's errors have a number; the client wraps the errors of a connection, which then have none.
    return isinstance(error, OSError) and error.errno is not None


def _pause(error: Exception, attempt: int) -> float | None:
    """Seconds until the same question may be answered, or None if it will not be."""
    from huggingface_hub.utils import parse_ratelimit_headers  # type: ignore[attr-defined]

    response = _response(error)
    if response is None:
        hopeless = _is_offline(error) or _never_connected(error) or _is_local(error)
        return None if hopeless else 2.0 ** (attempt - 1)
    if response.status_code not in _BUSY:
        return None
    limit = parse_ratelimit_headers(response.headers)
    after = response.headers.get("Retry-After", "")
    if limit is not None and limit.remaining == 0:
        return min(_LONGEST_WAIT, limit.reset_in_seconds + 1.0)
    return min(_LONGEST_WAIT, float(after)) if after.isdigit() else 2.0 ** (attempt - 1)
