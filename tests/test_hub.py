import hashlib
import http.server
import logging
import threading

import pytest

from keras_geneformer import hub
from keras_geneformer.tokenization.genes.vocabulary import GeneVocabulary

OTHER = "0123456789abcdef0123456789abcdef01234567"


class Hub(http.server.ThreadingHTTPServer):
    """The paths of the Hugging Face hub that fetching a file needs, on loopback."""

    def __init__(self, files):
        super().__init__(("127.0.0.1", 0), Answer)
        self.files = files
        self.asked = []

    @property
    def address(self):
        return f"http://127.0.0.1:{self.server_port}"


class Answer(http.server.BaseHTTPRequestHandler):
    def do_HEAD(self):
        self._answer(body=False)

    def do_GET(self):
        self._answer(body=True)

    def _answer(self, body):
        if "/resolve/" in self.path:
            self.server.asked.append(self.path)
        repo, _, rest = self.path.lstrip("/").partition("/resolve/")
        revision, _, filename = rest.partition("/")
        missing = None
        if repo != hub.PUBLISHED_REPO:
            missing = "RepoNotFound"
        elif revision not in (hub.PUBLISHED_REVISION, OTHER, "main"):
            missing = "RevisionNotFound"
        elif filename not in self.server.files:
            missing = "EntryNotFound"
        self.send_response(404 if missing else 200)
        data = b"" if missing else self.server.files[filename].read_bytes()
        if missing:
            self.send_header("X-Error-Code", missing)
        self.send_header("X-Repo-Commit", OTHER if revision == "main" else revision)
        self.send_header("ETag", f'"{hashlib.sha256(data).hexdigest()}"')
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if body:
            self.wfile.write(data)

    def log_message(self, *_arguments):
        pass


@pytest.fixture
def served(dictionaries, monkeypatch):
    files = {}
    for name, folder in (("V1", "geneformer/gene_dictionaries_30m"), ("V2", "geneformer")):
        for path in (dictionaries / name).iterdir():
            files[f"{folder}/{path.name}"] = path
    server = Hub(files)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv("HF_ENDPOINT", server.address)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    yield server
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(("name", "folder"), [("v1", "V1"), ("v2", "V2")])
def test_vocabulary_from_the_hub_then_from_the_cache(served, dictionaries, tmp_path, name, folder):
    local = GeneVocabulary.load(dictionaries / folder)
    assert GeneVocabulary.load(name, cache_dir=tmp_path).checksum == local.checksum
    assert served.asked
    assert all(f"/resolve/{hub.PUBLISHED_REVISION}/" in path for path in served.asked)
    served.shutdown()
    served.server_close()
    again = GeneVocabulary.load(name, cache_dir=tmp_path)
    assert (again.checksum, again.aliases) == (local.checksum, local.aliases)


def test_revision_and_checksum(served, tmp_path, caplog):
    name = "geneformer/token_dictionary_gc104M.pkl"
    with caplog.at_level(logging.INFO, logger="keras_geneformer.hub"):
        path = hub.fetch(name, revision=OTHER, cache_dir=tmp_path)
    assert f"/resolve/{OTHER}/" in served.asked[0]
    assert path.read_bytes() == served.files[name].read_bytes()
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    assert caplog.messages == [
        f"{name} of ctheodoris/Geneformer at revision {OTHER}: sha256 {sha256}"
    ]


def test_other_repositories_are_not_pinned(served, tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"a\.txt of some/model at revision main: there is no"
    ):
        hub.fetch("a.txt", repo="some/model", cache_dir=tmp_path)
    assert served.asked[0] == "/some/model/resolve/main/a.txt"


def test_what_the_hub_does_not_have(served, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no nothing.pkl of .*: this revision lacks the"):
        hub.fetch("nothing.pkl", cache_dir=tmp_path)
    with pytest.raises(FileNotFoundError, match=r"at revision f{40}: there is no such revision"):
        hub.fetch("nothing.pkl", revision="f" * 40, cache_dir=tmp_path)


def test_offline_without_a_copy(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(
        ConnectionError, match=r"is not in the cache and HF_HUB_OFFLINE is set\. Co"
    ):
        hub.fetch("geneformer/x.pkl", cache_dir=tmp_path)
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setattr("time.sleep", lambda _seconds: None)  # huggingface_hub tries for 23 s
    with pytest.raises(ConnectionError, match="is not in the cache and the hub was not reached"):
        hub.fetch("geneformer/x.pkl", cache_dir=tmp_path)
