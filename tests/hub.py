"""A hub on 127.0.0.1 that the real clients take for the real one, and that fails on request.

Repositories of models and data sets, branches that point to commits, small files served by the hub itself (after a
redirect to a second path of the same host) and large ones by a "CDN" (a redirect to a second port, which must not see
the token), ranges, the headers and the questions that huggingface_hub, transformers and datasets need.

    with LoopbackHub() as hub:
        hub.commit("someone/model", "main", {"config.json": b"{}", "model.safetensors": b"..."})
        hub.faults.append(Busy(503, times=2))
        HfApi(endpoint=hub.endpoint).model_info("someone/model")

Not simulated: Xet storage, signatures, compression, pagination, pull requests and tags.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Literal, Self
from urllib.parse import parse_qs, unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Kind = Literal["models", "datasets"]
Part = Literal["api", "hub", "cdn"]
# What a hub keeps outside git: announced by its sha256 instead of git's id, and served by the CDN.
LARGE = (".bin", ".safetensors", ".parquet", ".gz", ".zst")


@dataclass(frozen=True)
class Seen:
    """One request as it arrived; ``part`` says at which door."""

    part: Part
    method: str
    path: str
    range: str | None
    token: str | None


@dataclass
class Busy:
    """The next ``times`` requests to ``part`` whose path contains ``path`` get ``status``, and when to come back."""

    status: int
    times: int
    retry_after: int | None = None
    part: Part = "api"
    path: str = ""
    method: str = ""

    def takes(self, seen: Seen) -> bool:
        """Tell whether this request is refused, and count it."""
        fits = seen.part == self.part and self.path in seen.path and self.method in ("", seen.method)
        if self.times <= 0 or not fits:
            return False
        self.times -= 1
        return True


@dataclass
class Truncated:
    """The next ``times`` transfers of ``file`` break off at byte ``at`` of it, although more was announced."""

    file: str
    at: int
    times: int


@dataclass
class Corrupted:
    """The next ``times`` transfers of ``file`` have one wrong byte; its length and what is announced are right."""

    file: str
    times: int


@dataclass
class Whole:
    """Transfers of ``file`` answer with all of it, whatever part was asked for, as a proxy may do."""

    file: str


@dataclass
class Vanished:
    """``file`` is listed, and is not there."""

    file: str


@dataclass
class Moving:
    """After ``requests`` more requests the branch points to ``commit``."""

    repository: str
    revision: str
    commit: str
    requests: int


Fault = Busy | Truncated | Corrupted | Whole | Vanished | Moving


@dataclass
class Repository:
    """Files by commit, commits by branch, and who may read them."""

    kind: Kind
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    token: str | None = None
    gated: bool = False

    def resolved(self, revision: str) -> str | None:
        """The commit that a branch, or a commit, means."""
        return self.branches.get(revision, revision if revision in self.commits else None)


@dataclass(frozen=True)
class Answer:
    """A response; ``stop`` cuts the body off there and closes the connection."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    stop: int | None = None


class LoopbackHub:
    """The hub and its CDN, each on a port of its own, while the context lasts."""

    def __init__(self) -> None:
        self.repositories: dict[tuple[Kind, str], Repository] = {}
        self.faults: list[Fault] = []
        self.seen: list[Seen] = []
        self._lock = threading.Lock()
        self._hub = _server(self, self.answer_of_hub)
        self._cdn = _server(self, self.answer_of_cdn)

    def __enter__(self) -> Self:
        for server in (self._hub, self._cdn):
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for server in (self._hub, self._cdn):
            server.shutdown()
            server.server_close()

    @property
    def endpoint(self) -> str:
        """The value of HF_ENDPOINT for this hub."""
        return f"http://127.0.0.1:{self._hub.server_port}"

    @property
    def cdn(self) -> str:
        """The address of the CDN, which has the large files."""
        return f"http://127.0.0.1:{self._cdn.server_port}"

    def commit(self, repository: str, revision: str, files: Mapping[str, bytes], *, kind: Kind = "models") -> str:
        """Put ``files`` on the branch ``revision`` as its new commit, whose id is returned."""
        found = self.repositories.setdefault((kind, repository), Repository(kind))
        text = f"{revision} {found.branches.get(revision)} {[(n, git_blob(c)) for n, c in sorted(files.items())]}"
        commit = hashlib.sha1(text.encode()).hexdigest()
        found.commits[commit] = dict(files)
        found.branches[revision] = commit
        return commit

    def model(self, repository: str) -> Repository:
        """A repository of a model."""
        return self.repositories["models", repository]

    def asked(self, part: Part, method: str = "GET", path: str = "") -> list[Seen]:
        """The requests so far that fit."""
        return [one for one in self.seen if one.part == part and one.method == method and path in one.path]

    def answer_of_hub(self, method: str, target: str, headers: Mapping[str, str]) -> Answer:
        """The hub's answer to a request: a question about a repository, or a file."""
        path = urlsplit(target).path
        part: Part = "api" if path.startswith("/api/") and not path.startswith("/api/resolve-cache/") else "hub"
        if (refused := self._arrived(part, method, target, headers)) is not None:
            return refused
        query = parse_qs(urlsplit(target).query)
        for pattern, answer in self._routes():
            if (match := re.fullmatch(pattern, path)) is not None:
                names = {key: unquote(value) for key, value in match.groupdict("").items()}
                kind: Kind = "datasets" if names.pop("kind") == "datasets" else "models"
                found = self.repositories.get((kind, names["repository"]))
                if found is None:
                    return _refusal(404, "RepoNotFound")
                if (denied := _denied(found, headers)) is not None:
                    return denied
                return answer(found, **names, headers=headers, query=query)
        return _refusal(404, None)

    def answer_of_cdn(self, method: str, target: str, headers: Mapping[str, str]) -> Answer:
        """The CDN's answer: bytes by their digest, with or without a token."""
        if (refused := self._arrived("cdn", method, target, headers)) is not None:
            return refused
        _, digest, name = urlsplit(target).path.split("/", 2)
        for repository in self.repositories.values():
            for files in repository.commits.values():
                for content in files.values():
                    if sha256(content) == digest:
                        return self._bytes(content, unquote(name), headers, method=method)
        return _refusal(404, None)

    def _routes(self) -> list[tuple[str, Callable[..., Answer]]]:
        repository = r"(?P<repository>[^/]+/[^/]+)"
        return [
            (rf"/api/(?P<kind>models|datasets)/{repository}(/revision/(?P<revision>[^/]+))?", self._info),
            (rf"/api/(?P<kind>models|datasets)/{repository}/tree/(?P<revision>[^/]+)(/(?P<folder>.+))?", self._tree),
            (rf"/api/resolve-cache/(?P<kind>models|datasets)/{repository}/(?P<revision>\w+)/(?P<name>.+)", self._small),
            (rf"/((?P<kind>datasets)/)?{repository}/resolve/(?P<revision>[^/]+)/(?P<name>.+)", self._resolve),
        ]  # fmt: skip

    def _info(self, found: Repository, *, repository: str, revision: str, query: Any, **_: Any) -> Answer:
        commit = found.resolved(revision or "main")
        if commit is None:
            return _refusal(404, "RevisionNotFound")
        siblings = [
            {"rfilename": name, **(_facts(name, content) if "blobs" in query else {})}
            for name, content in found.commits[commit].items()
        ]
        described = {
            "id": repository,
            "sha": commit,
            "siblings": siblings,
            "private": False,
            "tags": [],
            "downloads": 0,
        }
        return _json(described)

    def _tree(self, found: Repository, *, revision: str, folder: str, query: Any, **_: Any) -> Answer:
        commit = found.resolved(revision)
        if commit is None:
            return _refusal(404, "RevisionNotFound")
        start = f"{folder}/" if folder else ""
        inside = {name: content for name, content in found.commits[commit].items() if name.startswith(start)}
        if folder and not inside:
            return _refusal(404, "EntryNotFound")
        recursive = query.get("recursive", ["false"])[0].lower() in ("true", "1")
        direct = {name.removeprefix(start).split("/")[0] for name in inside if "/" in name.removeprefix(start)}
        folders = [{"type": "directory", "path": start + name, "oid": "0" * 40, "size": 0} for name in sorted(direct)]
        files = [
            {"type": "file", "path": name, "oid": facts["blobId"], "size": facts["size"], "lfs": _lfs(facts)}
            for name, content in inside.items()
            if recursive or "/" not in name.removeprefix(start)
            for facts in [_facts(name, content)]
        ]
        return _json([*folders, *files])

    def _resolve(self, found: Repository, *, repository: str, revision: str, name: str, **_: Any) -> Answer:
        commit = found.resolved(revision)
        if commit is None:
            return _refusal(404, "RevisionNotFound")
        content = found.commits[commit].get(name)
        if content is None or any(isinstance(fault, Vanished) and fault.file == name for fault in self.faults):
            return _refusal(404, "EntryNotFound", {"X-Repo-Commit": commit})
        headers = {"X-Repo-Commit": commit, "X-Linked-Size": str(len(content))}
        if name.endswith(LARGE):
            headers |= {"X-Linked-Etag": f'"{sha256(content)}"', "Location": f"{self.cdn}/{sha256(content)}/{name}"}
            return Answer(302, b"", headers)
        location = f"/api/resolve-cache/{found.kind}/{repository}/{commit}/{name}"
        return Answer(307, b"", {**headers, "ETag": f'"{git_blob(content)}"', "Location": location})

    def _small(self, found: Repository, *, revision: str, name: str, headers: Mapping[str, str], **_: Any) -> Answer:
        content = found.commits[revision][name]
        named = {"X-Repo-Commit": revision, "ETag": f'"{git_blob(content)}"'}
        return self._bytes(content, name, headers, extra=named, method="GET")

    def _bytes(
        self,
        content: bytes,
        name: str,
        headers: Mapping[str, str],
        *,
        method: str,
        extra: Mapping[str, str] | None = None,
    ) -> Answer:
        start, stop = _range(headers.get("Range"), len(content))
        sent, cut = content[start:stop], None
        for fault in self.faults if method == "GET" else ():
            if isinstance(fault, Corrupted | Truncated) and fault.file == name and fault.times > 0:
                fault.times -= 1
                if isinstance(fault, Corrupted):
                    sent = bytes([sent[0] ^ 255]) + sent[1:]
                else:
                    cut = max(0, fault.at - start)
        told = {**(extra or {}), "Accept-Ranges": "bytes"}
        if any(isinstance(fault, Whole) and fault.file == name for fault in self.faults):
            return Answer(200, content, told, cut)
        if "Range" in headers:
            return Answer(206, sent, {**told, "Content-Range": f"bytes {start}-{stop - 1}/{len(content)}"}, cut)
        return Answer(200, sent, told, cut)

    def _arrived(self, part: Part, method: str, target: str, headers: Mapping[str, str]) -> Answer | None:
        """Write the request down, move branches that are due, and refuse if the hub is busy."""
        token = headers.get("Authorization")
        seen = Seen(
            part, method, unquote(target), headers.get("Range"), token.removeprefix("Bearer ") if token else None
        )
        with self._lock:
            self.seen.append(seen)
            for fault in self.faults:
                if isinstance(fault, Moving):
                    fault.requests -= 1
                    if fault.requests < 0:
                        self.model(fault.repository).branches[fault.revision] = fault.commit
                elif isinstance(fault, Busy) and fault.takes(seen):
                    after = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
                    return _refusal(fault.status, None, after)
        return None


def sha256(content: bytes) -> str:
    """The digest of a large file."""
    return hashlib.sha256(content).hexdigest()


def git_blob(content: bytes) -> str:
    """The id that git gives to a small file."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def _facts(name: str, content: bytes) -> dict[str, Any]:
    facts: dict[str, Any] = {"size": len(content), "blobId": git_blob(content)}
    if name.endswith(LARGE):
        facts |= {
            "blobId": git_blob(b"pointer"),
            "lfs": {"sha256": sha256(content), "size": len(content), "pointerSize": 1},
        }
    return facts


def _lfs(facts: Mapping[str, Any]) -> dict[str, Any] | None:
    lfs = facts.get("lfs")
    return {"oid": lfs["sha256"], "size": lfs["size"], "pointerSize": lfs["pointerSize"]} if lfs else None


def _denied(found: Repository, headers: Mapping[str, str]) -> Answer | None:
    if found.token is not None and headers.get("Authorization") != f"Bearer {found.token}":
        return _refusal(401, "RepoNotFound")
    return _refusal(403, "GatedRepo") if found.gated else None


def _range(header: str | None, size: int) -> tuple[int, int]:
    if header is None:
        return 0, size
    first, _, last = header.removeprefix("bytes=").partition("-")
    return int(first), min(size, int(last) + 1) if last else size


def _json(value: Any) -> Answer:
    return Answer(200, json.dumps(value).encode(), {"Content-Type": "application/json"})


def _refusal(status: int, code: str | None, headers: Mapping[str, str] | None = None) -> Answer:
    named = {"X-Error-Code": code} if code else {}
    return Answer(status, json.dumps({"error": code or str(status)}).encode(), {**named, **(headers or {})})


def _server(hub: LoopbackHub, answer: Callable[[str, str, Mapping[str, str]], Answer]) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Two small writes on a connection that is kept open otherwise wait 40 ms for each other.
        disable_nagle_algorithm = True

        def _answer(self) -> None:
            sent = answer(self.command, self.path, {key.title(): value for key, value in self.headers.items()})
            with suppress(ConnectionError):
                self.send_response(sent.status)
                for key, value in {**sent.headers, "Content-Length": str(len(sent.body))}.items():
                    self.send_header(key, value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(sent.body if sent.stop is None else sent.body[: sent.stop])
            if sent.stop is not None:
                self.close_connection = True

        def do_GET(self) -> None:
            self._answer()

        def do_HEAD(self) -> None:
            self._answer()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (its name in the base class)
            """Keep quiet: ``LoopbackHub.seen`` is the log."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    # Connections that a client keeps open must not keep the test waiting.
    server.block_on_close = False
    return server
