import hashlib
import http.server
import re
import shutil
import threading

import numpy as np
import pytest

from keras_geneformer.models.backbone import GeneformerBackbone
from keras_geneformer.models.hub_presets import fetch_preset
from keras_geneformer.models.masked_lm import GeneformerMaskedLM
from keras_geneformer.models.presets import preset_vocabulary
from keras_geneformer.testing import tiny_backbone, tiny_vocabulary

pytestmark = pytest.mark.tensors

REPO = "lab/cells"
OLD, NEW = "0" * 40, "1" * 40


class Hub(http.server.ThreadingHTTPServer):
    """The hub's paths for one repository on loopback: its branch `main` is the commit `head`."""

    def __init__(self, root):
        super().__init__(("127.0.0.1", 0), Answer)
        self.root, self.head, self.sent = root, NEW, []


class Answer(http.server.BaseHTTPRequestHandler):
    def do_HEAD(self):
        self.answer()

    def do_GET(self):
        data = self.answer()
        self.wfile.write(data)

    def answer(self):
        repo, _, rest = self.path.lstrip("/").partition("/resolve/")
        revision, _, name = rest.partition("/")
        path = self.server.root / name
        missing = None
        if repo != REPO:
            missing = "RepoNotFound"
        elif revision not in (OLD, NEW, "main"):
            missing = "RevisionNotFound"
        elif not path.is_file():
            missing = "EntryNotFound"
        data = b"" if missing else path.read_bytes()
        self.send_response(404 if missing else 200)
        if missing:
            self.send_header("X-Error-Code", missing)
        elif self.command == "GET":
            self.server.sent.append((revision, name))
        self.send_header("X-Repo-Commit", self.server.head if revision == "main" else revision)
        self.send_header("ETag", f'"{hashlib.sha256(data).hexdigest()}"')
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        return data

    def log_message(self, *_arguments):
        pass


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A repository with a preset in `ours`, and one without vocabulary in `ours/bare`."""
    root = tmp_path_factory.mktemp("repository")
    model = GeneformerMaskedLM(tiny_backbone(num_layers=1))
    model.save_to_preset(root / "ours", vocabulary=tiny_vocabulary())
    model.save_to_preset(root / "ours" / "bare")
    return root


@pytest.fixture
def hub(saved, tmp_path, monkeypatch):
    shutil.copytree(saved, tmp_path / "repository")
    server = Hub(tmp_path / "repository")
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    yield server
    server.shutdown()
    server.server_close()


def write_published(root, *names):
    root.mkdir(parents=True, exist_ok=True)
    for name in names:
        (root / name).write_text(f"{root.name}/{name}")


def test_a_preset_of_ours_and_then_from_the_cache(hub, saved, monkeypatch):
    address = f"hf://{REPO}/ours"
    model = GeneformerMaskedLM.from_preset(address)
    whole = {str(path.relative_to(saved)) for path in (saved / "ours").rglob("*.*")}
    assert {name for _, name in hub.sent} == {name for name in whole if "bare" not in name}
    assert preset_vocabulary(address).checksum == tiny_vocabulary().checksum
    hub.sent.clear()
    directory = fetch_preset(address)
    assert not hub.sent
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert fetch_preset(address) == directory
    local = GeneformerBackbone.from_preset(saved / "ours")
    for one, other in zip(model.backbone.get_weights(), local.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_preset_without_vocabulary(hub):
    directory = fetch_preset(f"hf://{REPO}/ours/bare/")
    assert {path.name for path in directory.iterdir()} == {"preset.json", "model.weights.h5"}
    assert preset_vocabulary(directory) is None


@pytest.mark.parametrize("weights", ["model.safetensors", "pytorch_model.bin"])
def test_a_published_checkpoint_and_then_from_the_cache(hub, monkeypatch, weights):
    write_published(hub.root / "V1", "config.json", weights, "training_args.bin")
    directory = fetch_preset(f"hf://{REPO}/V1")
    assert {path.name for path in directory.iterdir()} == {"config.json", weights}
    assert (directory / weights).read_text() == f"V1/{weights}"
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert fetch_preset(f"hf://{REPO}/V1") == directory


def test_safetensors_are_preferred_and_a_repository_may_be_a_preset(hub):
    write_published(hub.root, "config.json", "model.safetensors", "pytorch_model.bin")
    directory = fetch_preset(f"hf://{REPO}")
    assert {path.name for path in directory.iterdir()} == {"config.json", "model.safetensors"}


def test_all_files_are_of_one_commit(hub):
    directory = fetch_preset(f"hf://{REPO}/ours")
    # The first name is a branch; what it stood for then is asked for by its commit.
    assert [revision for revision, _ in hub.sent] == ["main"] + [NEW] * 4
    assert directory.parent.name == NEW
    hub.sent.clear()
    assert fetch_preset(f"hf://{REPO}/ours", revision=OLD).parent.name == OLD
    assert {revision for revision, _ in hub.sent} <= {OLD}


def refused(error, message, address, revision=None):
    with pytest.raises(error, match=message):
        fetch_preset(address, revision)


def test_what_the_hub_does_not_have(hub):
    message = r"^the hub has no preset\.json of no/model at revision main: there is no such repos"
    refused(FileNotFoundError, message, "hf://no/model")
    message = r"^the hub has no ours/preset\.json of lab/cells at revision x: there is no such revi"
    refused(FileNotFoundError, message, f"hf://{REPO}/ours", "x")
    message = re.escape(
        f"hf://{REPO}/elsewhere at revision main holds neither preset.json nor config.json: "
        "expected a preset of ours or a published checkpoint. Is the subfolder right?"
    )
    refused(FileNotFoundError, f"^{message}$", f"hf://{REPO}/elsewhere")
    write_published(hub.root / "V1", "config.json")
    message = rf"^hf://{REPO}/V1 at revision {NEW} holds neither model\.safetensors nor pytorch_mo"
    refused(FileNotFoundError, message, f"hf://{REPO}/V1")


@pytest.mark.parametrize(
    "name", ["model.weights.h5", "vocabulary/vocabulary.json", "vocabulary/aliases.parquet"]
)
def test_an_incomplete_preset_names_what_it_lacks(hub, name):
    (hub.root / "ours" / name).unlink()
    message = rf"^the hub has no ours/{re.escape(name)} of {REPO} at revision {NEW}: this revision"
    refused(FileNotFoundError, message, f"hf://{REPO}/ours")


def test_offline_without_a_copy(hub, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    message = r"is not in the cache and HF_HUB_OFFLINE is set"
    refused(ConnectionError, message, f"hf://{REPO}/ours")


@pytest.mark.parametrize(
    "address", ["hf://lab", "hf://", "hf:///cells", "hf://lab/cells/../x", "hf://a//b", "lab/cells"]
)
def test_other_addresses_are_refused(address):
    message = (
        f"Received preset={address!r}; expected 'hf://organisation/repository' or "
        "'hf://organisation/repository/subfolder'."
    )
    refused(ValueError, f"^{re.escape(message)}$", address)
