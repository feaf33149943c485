"""A stand-in for the Hugging Face hub on this machine: as much of its protocol as an upload and a download need.

What the real hub takes for large goes by Git LFS here too; Xet, which the real one prefers, is not spoken
(``HF_HUB_DISABLE_XET=1``).
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import re
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

TOKEN = "hf_of_the_tests"
LARGE = (".safetensors", ".stablehlo", ".onnx")


class Hub(ThreadingHTTPServer):
    """Holds ``repositories`` by name: private or not, and the files of their one revision."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.repositories: dict[str, dict[str, Any]] = {}
        self.large: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.silent_on: str | None = None
        """A part of a path that is never answered."""
        self.over = threading.Event()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, *_: Any) -> None:
        """A client that gave up is what some tests are about."""


@contextlib.contextmanager
def running() -> Iterator[Hub]:
    hub = Hub()
    thread = threading.Thread(target=hub.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.over.set()
        hub.shutdown()
        hub.server_close()
        thread.join()


@contextlib.contextmanager
def silent() -> Iterator[str]:
    """The address of a server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def nobody() -> str:
    """An address where nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"http://127.0.0.1:{server.getsockname()[1]}"


class _Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Hub

    def log_message(self, *_: Any) -> None:
        """Quiet."""

    def _handle(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.server.asked.append(f"{self.command} {path}")
        body = self._body()
        if self.server.silent_on and self.server.silent_on in path:
            self.server.over.wait()
            return
        routes = {
            r"GET /api/whoami-v2": self._whoami,
            r"POST /api/repos/create": self._create,
            r"POST /api/validate-yaml": self._validate,
            r"POST /api/models/([^/]+/[^/]+)/preupload/main": self._preupload,
            r"POST /([^/]+/[^/]+)\.git/info/lfs/objects/batch": self._batch,
            r"PUT /large/(\w+)": self._put,
            r"POST /api/models/([^/]+/[^/]+)/commit/main": self._commit,
            r"GET /api/models/([^/]+/[^/]+)/tree/(.+)": self._tree,
            r"GET /api/models/([^/]+/[^/]+?)(?:/revision/(.+))?": self._info,
            r"(?:GET|HEAD) /([^/]+/[^/]+)/resolve/([^/]+)/(.+)": self._file,
        }
        for pattern, answer in routes.items():
            if match := re.fullmatch(pattern, f"{self.command} {path}"):
                return answer(body, *match.groups())
        self._json({"error": f"no such route: {path}"}, 404)

    do_GET = do_HEAD = do_POST = do_PUT = _handle

    # ---- Who, and where to

    def _whoami(self, body: bytes) -> None:
        self._json({"name": "user", "type": "user"}) if self._known() else self._refuse(401, None, "Invalid token")

    def _create(self, body: bytes) -> None:
        wanted = json.loads(body)
        name = f"{wanted['organization']}/{wanted['name']}"
        if wanted["organization"] != "user":
            return self._refuse(403, None, "You don't have the rights to create a model under this namespace")
        exists = name in self.server.repositories
        private = wanted.get("visibility") == "private" or wanted.get("private") is True
        self.server.repositories.setdefault(name, {"private": private, "gated": False, "files": {}})
        self._json({"url": f"{self.server.address}/{name}", "id": name}, 409 if exists else 200)

    def _validate(self, body: bytes) -> None:
        front = json.loads(body)["content"].split("---")[1]
        errors = [] if "license:" in front else [{"message": "license is missing"}]
        self._json({"errors": errors, "warnings": []}, 400 if errors else 200)

    # ---- Upload

    def _preupload(self, body: bytes, repo: str) -> None:
        def mode(path: str) -> str:
            return "lfs" if path.endswith(LARGE) else "regular"

        names = [file["path"] for file in json.loads(body)["files"]]
        self._json({"files": [{"path": n, "uploadMode": mode(n), "shouldIgnore": False} for n in names]})

    def _batch(self, body: bytes, repo: str) -> None:
        upload = [
            {**thing, "actions": {"upload": {"href": f"{self.server.address}/large/{thing['oid']}"}}}
            for thing in json.loads(body)["objects"]
        ]
        self._json({"transfer": "basic", "objects": upload})

    def _put(self, body: bytes, oid: str) -> None:
        assert hashlib.sha256(body).hexdigest() == oid
        self.server.large[oid] = body
        self._send(200, b"")

    def _commit(self, body: bytes, repo: str) -> None:
        if not self._known():
            return self._refuse(401, None, "Invalid token")
        files = self.server.repositories[repo]["files"]
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.server.large[value["oid"]]
        url = f"{self.server.address}/{repo}/commit/{self._revision(repo)}"
        self._json({"success": True, "commitUrl": url, "commitOid": self._revision(repo)})

    # ---- Download

    def _info(self, body: bytes, repo: str, revision: str | None = None) -> None:
        if self._allowed(repo, revision):
            files = self.server.repositories[repo]["files"]
            siblings = [{"rfilename": name} for name in files]
            private = self.server.repositories[repo]["private"]
            self._json({"id": repo, "sha": self._revision(repo), "private": private, "siblings": siblings, "tags": []})

    def _tree(self, body: bytes, repo: str, revision: str) -> None:
        if self._allowed(repo, revision):
            files = self.server.repositories[repo]["files"]
            entries: list[dict[str, Any]] = []
            for name, content in files.items():
                entry = {"type": "file", "path": name, "size": len(content), "oid": _blob(content)}
                if name.endswith(LARGE):
                    sha256 = hashlib.sha256(content).hexdigest()
                    entry["lfs"] = {"oid": sha256, "size": len(content), "pointerSize": 130}
                entries.append(entry)
            self._json(entries)

    def _file(self, body: bytes, repo: str, revision: str, name: str) -> None:
        if not self._allowed(repo, revision):
            return
        content = self.server.repositories[repo]["files"].get(name)
        if content is None:
            return self._refuse(404, "EntryNotFound", "Entry not found")
        etag = hashlib.sha256(content).hexdigest() if name.endswith(LARGE) else _blob(content)
        headers = {"X-Repo-Commit": self._revision(repo), "ETag": f'"{etag}"', "Accept-Ranges": "none"}
        self._send(200, content, headers)

    # ---- Common

    def _known(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def _allowed(self, repo: str, revision: str | None) -> bool:
        found = self.server.repositories.get(repo)
        if found is None or (found["private"] and not self._known()):
            self._refuse(404 if self._known() else 401, "RepoNotFound", "Repository not found")
        elif found["gated"]:
            self._refuse(403 if self._known() else 401, "GatedRepo", f"Access to model {repo} is restricted")
        elif revision not in (None, "main", "v1", self._revision(repo)):
            self._refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        else:
            return True
        return False

    def _revision(self, repo: str) -> str:
        files = self.server.repositories[repo]["files"]
        return hashlib.sha1(b"".join(k.encode() + v for k, v in sorted(files.items()))).hexdigest()

    def _refuse(self, status: int, code: str | None, message: str) -> None:
        self._send(status, b"", {"X-Error-Message": message} | ({"X-Error-Code": code} if code else {}))

    def _json(self, value: Any, status: int = 200) -> None:
        self._send(status, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _send(self, status: int, content: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)


def _blob(content: bytes) -> str:
    """Git's name of a file."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
