"""The paths of the Hugging Face hub that fetching and uploading need, on loopback."""

import base64
import hashlib
import http.server
import json
import re
import threading
from contextlib import contextmanager
from urllib.parse import urlsplit

OLD, NEW = "0" * 40, "1" * 40
TOKEN = "hf_loopback"
LARGE = 20_000  # bytes from which the hub keeps a file apart from git


class Hub(http.server.ThreadingHTTPServer):
    """Repositories are folders `root/owner/name`; every commit that is known holds their files.

    Attributes:
        commits: those there are, in every repository.
        heads: branch to commit.
        asked, sent: (revision, path) of every HEAD or GET of a file, of every one answered by GET.
        ranges: the Range header of every GET that had one.
        breaks: after how many bytes the next downloads break off, in their order.
        posted: the path of every request that writes.
    """

    def __init__(self, root):
        super().__init__(("127.0.0.1", 0), _Answer)
        self.root = root
        self.commits, self.heads = {OLD, NEW}, {"main": NEW}
        self.asked, self.sent, self.ranges, self.posted, self.breaks = [], [], [], [], []
        self.objects, self.messages, self.visibility = {}, [], {}

    @property
    def address(self):
        return f"http://127.0.0.1:{self.server_port}"

    def commit_of(self, revision):
        found = self.heads.get(revision, revision)
        return found if found in self.commits else None

    def handle_error(self, request, client_address):
        """A client that goes away is no news."""


class _Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_HEAD(self):
        self.resolve()

    def do_GET(self):
        found = re.fullmatch(r"/api/models/([^/]+/[^/]+)/tree/([^/?]+)(?:\?.*)?", self.path)
        self.tree(*found.groups()) if found else self.resolve()

    def resolve(self):
        server, path = self.server, urlsplit(self.path).path
        repo, _, rest = path.lstrip("/").partition("/resolve/")
        revision, _, name = rest.partition("/")
        if rest:
            server.asked.append((revision, name))
        file, missing = server.root / repo / name, None
        if not (server.root / repo).is_dir():
            missing = "RepoNotFound"
        elif server.commit_of(revision) is None:
            missing = "RevisionNotFound"
        elif not file.is_file():
            missing = "EntryNotFound"
        if missing:
            headers = {"X-Error-Code": missing}
            if missing == "EntryNotFound":
                headers["X-Repo-Commit"] = server.commit_of(revision)
            return self.answer(404, b"", headers)
        data = file.read_bytes()
        headers = {
            "X-Repo-Commit": server.commit_of(revision),
            "ETag": f'"{hashlib.sha256(data).hexdigest()}"',
            "Accept-Ranges": "bytes",
        }
        status, start = 200, 0
        asked = self.headers.get("Range")
        if self.command == "GET" and asked:
            server.ranges.append(asked)
            start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1])
            status = 206
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        if self.command == "GET":
            server.sent.append((revision, name))
        self.answer(status, data[start:], headers)

    def tree(self, repo, revision):
        folder = self.server.root / repo
        if not folder.is_dir():
            return self.answer(404, b"", {"X-Error-Code": "RepoNotFound"})
        files = sorted(p for p in folder.rglob("*") if p.is_file())
        entries = [
            {
                "type": "file",
                "path": p.relative_to(folder).as_posix(),
                "size": p.stat().st_size,
                "oid": "0" * 40,
            }
            for p in files
        ]
        self.json(entries)

    def do_POST(self):
        path = urlsplit(self.path).path
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if path == "/api/validate-yaml":
            return self.json({"errors": [], "warnings": []})
        self.server.posted.append(path)
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self.answer(401, b'{"error": "Invalid credentials"}', {})
        if path == "/api/repos/create":
            return self.create(json.loads(body))
        if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/branch/([^/]+)", path):
            self.server.heads.setdefault(found[2], self.server.heads["main"])
            return self.json({})
        if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/preupload/([^/]+)", path):
            files = json.loads(body)["files"]
            return self.json({"files": [_mode(file) for file in files]})
        if path.endswith(".git/info/lfs/objects/batch"):
            return self.batch(json.loads(body)["objects"])
        if path == "/verify":
            wanted = json.loads(body)
            held = self.server.objects.get(wanted["oid"], b"")
            return self.answer(200 if len(held) == wanted["size"] else 422, b"{}", {})
        if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/commit/([^/]+)", path):
            return self.commit(found[1], found[2], body)
        return self.answer(404, b"", {})

    def do_PUT(self):
        data = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.objects[hashlib.sha256(data).hexdigest()] = data
        self.answer(200, b"", {})

    def create(self, wanted):
        repo = f"{wanted['organization']}/{wanted['name']}"
        folder = self.server.root / repo
        if folder.exists():
            return self.answer(
                409, json.dumps({"url": f"{self.server.address}/{repo}"}).encode(), {}
            )
        folder.mkdir(parents=True)
        self.server.visibility[repo] = wanted.get("visibility", wanted.get("private"))
        self.json({"url": f"{self.server.address}/{repo}"})

    def batch(self, objects):
        answers = []
        for item in objects:
            actions = {
                "upload": {"href": f"{self.server.address}/upload/{item['oid']}"},
                "verify": {"href": f"{self.server.address}/verify"},
            }
            answers.append({**item, "actions": actions})
        self.json({"transfer": "basic", "objects": answers})

    def commit(self, repo, revision, body):
        server, folder = self.server, self.server.root / repo
        for line in body.splitlines():
            item = json.loads(line)
            value = item["value"]
            if item["key"] == "header":
                server.messages.append(value["summary"])
                continue
            path = folder / value["path"]
            if item["key"] == "deletedFile":
                path.unlink()
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            lfs = item["key"] == "lfsFile"
            path.write_bytes(
                server.objects[value["oid"]] if lfs else base64.b64decode(value["content"])
            )
        commit = hashlib.sha1(body).hexdigest()
        server.commits.add(commit)
        server.heads[revision] = commit
        url = f"{server.address}/{repo}/commit/{commit}"
        self.json({"commitUrl": url, "commitOid": commit, "success": True})

    def json(self, content, status=200):
        self.answer(status, json.dumps(content).encode(), {"Content-Type": "application/json"})

    def answer(self, status, data, headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if self.command == "GET" and status in (200, 206) and self.server.breaks:
            data = data[: self.server.breaks.pop(0)]
            self.close_connection = True
        self.wfile.write(data)

    def log_message(self, *_arguments):
        pass


def _mode(file):
    kind = "lfs" if file["size"] >= LARGE else "regular"
    return {"path": file["path"], "uploadMode": kind, "shouldIgnore": False}


@contextmanager
def serving(root, cache, monkeypatch):
    """A hub of the repositories in `root`, and nothing else to be reached; `cache` is its cache."""
    server = Hub(root)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    monkeypatch.setenv("HF_ENDPOINT", server.address)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(cache / "token"))
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


def without_waiting(monkeypatch):
    """huggingface_hub waits a second before it tries again."""
    monkeypatch.setattr("time.sleep", lambda _seconds: None)
