import hashlib
import logging
import re
import subprocess
import sys

import pytest
from loopback_hub import OLD, serving, without_waiting

from keras_geneformer import hub
from keras_geneformer.hub_names import check_file_name
from keras_geneformer.tokenization.genes.vocabulary import GeneVocabulary

WEIGHTS = "model.safetensors"
PIECE = 2**16


@pytest.fixture
def served(tmp_path, monkeypatch):
    """A hub with one file of weights, of ten pieces and a half, which counts as large."""
    folder = tmp_path / "hub" / hub.PUBLISHED_REPO
    folder.mkdir(parents=True)
    (folder / WEIGHTS).write_bytes((bytes(range(251)) * 3000)[: 10 * PIECE + 99])
    monkeypatch.setattr("keras_geneformer.hub_download.LARGE", PIECE)
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", PIECE)
    with serving(tmp_path / "hub", tmp_path / "cache", monkeypatch) as server:
        server.commits.add(hub.PUBLISHED_REVISION)
        server.folder = folder
        yield server


def cached(tmp_path, pattern):
    return list((tmp_path / "cache").rglob(pattern))


@pytest.mark.parametrize(("name", "folder"), [("v1", "V1"), ("v2", "V2")])
def test_vocabulary_from_the_hub_then_from_the_cache(served, dictionaries, tmp_path, name, folder):
    where = {"V1": "geneformer/gene_dictionaries_30m", "V2": "geneformer"}[folder]
    (served.folder / where).mkdir(parents=True)
    for path in (dictionaries / folder).iterdir():
        (served.folder / where / path.name).symlink_to(path)
    local = GeneVocabulary.load(dictionaries / folder)
    cache = tmp_path / "other"
    assert GeneVocabulary.load(name, cache_dir=cache).checksum == local.checksum
    assert {revision for revision, _ in served.asked} == {hub.PUBLISHED_REVISION}
    served.shutdown()
    served.server_close()
    again = GeneVocabulary.load(name, cache_dir=cache)
    assert (again.checksum, again.aliases) == (local.checksum, local.aliases)


def test_revision_and_checksum(served, caplog):
    name = "config.json"
    (served.folder / name).write_text("{}")
    with caplog.at_level(logging.INFO, logger="keras_geneformer.hub"):
        path = hub.fetch(name, revision=OLD)
    assert {revision for revision, _ in served.asked} == {OLD}
    assert path.read_text() == "{}"
    sha256 = hashlib.sha256(b"{}").hexdigest()
    assert caplog.messages == [
        f"{name} of ctheodoris/Geneformer at revision {OLD}: sha256 {sha256}"
    ]


def test_other_repositories_are_not_pinned(served):
    with pytest.raises(
        FileNotFoundError, match=r"a\.txt of some/model at revision main: there is no"
    ):
        hub.fetch("a.txt", repo="some/model")
    assert {revision for revision, _ in served.asked} == {"main"}


def test_what_the_hub_does_not_have(served):
    with pytest.raises(FileNotFoundError, match=r"no nothing.pkl of .*: this revision lacks the"):
        hub.fetch("nothing.pkl")
    with pytest.raises(FileNotFoundError, match=r"at revision f{40}: there is no such revision"):
        hub.fetch("nothing.pkl", revision="f" * 40)


def test_offline_without_a_copy(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(
        ConnectionError, match=r"is not in the cache and HF_HUB_OFFLINE is set\. Co"
    ):
        hub.fetch("geneformer/x.pkl", cache_dir=tmp_path)
    monkeypatch.delenv("HF_HUB_OFFLINE")
    without_waiting(monkeypatch)
    for name in ("geneformer/x.pkl", WEIGHTS):
        with pytest.raises(
            ConnectionError, match="is not in the cache and the hub was not reached"
        ):
            hub.fetch(name, cache_dir=tmp_path)


def test_a_broken_connection_is_gone_on_with(served, tmp_path, monkeypatch):
    without_waiting(monkeypatch)
    served.breaks = [3 * PIECE, 4 * PIECE + 5]
    path = hub.fetch(WEIGHTS)
    assert path.read_bytes() == (served.folder / WEIGHTS).read_bytes()
    # Each time from where the last one broke.
    assert served.ranges == [f"bytes={3 * PIECE}-", f"bytes={7 * PIECE}-"]
    assert not cached(tmp_path, "*.resumable")


def test_an_interrupted_download_is_gone_on_with_by_the_next_call(served, tmp_path, monkeypatch):
    without_waiting(monkeypatch)
    served.breaks = [3 * PIECE] + [0] * 5
    with pytest.raises(ConnectionError) as caught:
        hub.fetch(WEIGHTS)
    assert re.fullmatch(
        rf"the connection broke while {WEIGHTS} of {hub.PUBLISHED_REPO} at revision "
        rf"{hub.PUBLISHED_REVISION} was fetched \(.*\)\. The same call goes on where it broke",
        str(caught.value),
    )
    (partial,) = cached(tmp_path, "*.resumable")
    assert partial.stat().st_size == 3 * PIECE
    served.ranges.clear()
    assert hub.fetch(WEIGHTS).read_bytes() == (served.folder / WEIGHTS).read_bytes()
    assert served.ranges == [f"bytes={3 * PIECE}-"]
    assert not partial.exists()
    served.sent.clear()
    hub.fetch(WEIGHTS)
    assert not served.sent


def test_what_was_kept_of_a_download_is_not_trusted(served, tmp_path):
    data = (served.folder / WEIGHTS).read_bytes()
    hub.fetch(WEIGHTS)
    (blob,) = [
        path for path in cached(tmp_path, "*") if path.name == hashlib.sha256(data).hexdigest()
    ]
    blob.unlink()
    blob.with_name(f"{blob.name}.resumable").write_bytes(b"\0" * 1000)
    with pytest.raises(ValueError, match=r"What came was thrown away: download again$"):
        hub.fetch(WEIGHTS)
    assert not cached(tmp_path, "*.resumable")
    assert hub.fetch(WEIGHTS).read_bytes() == data
    blob.unlink()
    blob.with_name(f"{blob.name}.resumable").write_bytes(data + b"0")
    assert hub.fetch(WEIGHTS).read_bytes() == data


def test_downloads_show_how_far_they_are(served, monkeypatch, capsys):
    monkeypatch.setenv("TQDM_POSITION", "-1")  # as on a terminal
    hub.fetch(WEIGHTS)
    assert f"{WEIGHTS}: 100%" in capsys.readouterr().err


@pytest.mark.parametrize(
    "name", ["../x", "/etc/x", "a/../../x", "a//b", "a\\b", "C:/x", "a/NUL.txt", "a./b", "", "-x"]
)
def test_names_that_could_lead_out_are_not_asked_for(served, name):
    message = (
        f"Received the file name {name!r}; expected a path inside its folder, of letters, digits, "
        "'_', '-' and '.'. Nothing of that name was fetched: do not trust where it came from"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        hub.fetch(name)
    assert not served.asked


def test_names_that_are_in_order():
    for name in ("a.txt", "Geneformer-V2-104M_CLcancer/config.json", "x/model-00001-of-00002.bin"):
        assert check_file_name(name) == name


def test_the_package_and_its_names_load_no_hub_client():
    code = (
        "import sys; import keras_geneformer.hub; "
        "from keras_geneformer.published_presets import published_presets; published_presets(); "
        "print('huggingface_hub' in sys.modules, 'keras' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
