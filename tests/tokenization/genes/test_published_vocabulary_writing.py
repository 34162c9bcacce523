import pickletools
import re

import pytest

from keras_geneformer import GeneVocabulary
from keras_geneformer.testing import tiny_vocabulary
from keras_geneformer.tokenization.genes.published_pickles import read_published_pickle
from keras_geneformer.tokenization.genes.published_vocabulary_writing import (
    published_dictionaries,
    write_published_vocabulary,
)


@pytest.mark.parametrize("version", ["V1", "V2"])
def test_the_published_vocabularies(dictionaries, tmp_path, version):
    source = dictionaries / version
    vocabulary = GeneVocabulary.load(source)
    published = {path.name: read_published_pickle(path) for path in source.iterdir()}

    def written(*source):
        paths = write_published_vocabulary(tmp_path, vocabulary, *source)
        return {path.name: read_published_pickle(path) for path in paths}

    assert written(source) == published
    # What a vocabulary alone keeps: no genes without tokens, and aliases in capitals.
    for name, dictionary in written().items():
        if name.startswith("token") or (version, name[:11]) == ("V1", "gene_median"):
            assert dictionary == published[name]
        elif "mapping" not in name:
            assert dictionary.items() < published[name].items()
    again = GeneVocabulary.load(tmp_path)
    assert again.checksum == vocabulary.checksum
    assert again.aliases == vocabulary.aliases
    assert again.symbols.tolist() == vocabulary.symbols.tolist()
    assert (again.version, again.max_length) == (vocabulary.version, vocabulary.max_length)


@pytest.mark.parametrize("cls", [False, True])
def test_a_vocabulary_of_ones_own(tmp_path, cls):
    vocabulary = tiny_vocabulary(cls=cls)
    vocabulary.save(tmp_path / "saved")
    folder = tmp_path / "published"
    folder.mkdir()
    # A source that holds none of the published files says nothing.
    paths = write_published_vocabulary(folder, vocabulary, tmp_path / "saved")
    assert all(path.name.endswith("_gc104M.pkl" if cls else "_gc30M.pkl") for path in paths)
    again = GeneVocabulary.load(folder)
    assert again.checksum == vocabulary.checksum
    assert again.special_tokens == vocabulary.special_tokens


def test_plain_values_of_protocol_4(tmp_path):
    for path in write_published_vocabulary(tmp_path, tiny_vocabulary()):
        names = {opcode.name for opcode, _, _ in pickletools.genops(path.read_bytes())}
        assert not names & {"GLOBAL", "STACK_GLOBAL", "REDUCE", "INST", "OBJ", "NEWOBJ", "BUILD"}
        assert path.read_bytes()[:2] == b"\x80\x04"


def test_names_that_the_files_would_confuse():
    given = {"genes": ["A", "B"], "tokens": [2, 3], "medians": [1.0, 2.0]}
    special = {"<pad>": 0, "<mask>": 1}
    start = "The published package tells special tokens from genes by '<' at the beginning of their"
    end = "Keep this vocabulary in our own format (GeneVocabulary.save)."
    vocabulary = GeneVocabulary(**given, special_tokens=special | {"species": 4})
    message = f"{start} names; received 'species' as a special token. {end}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        published_dictionaries(vocabulary)
    vocabulary = GeneVocabulary(**given | {"genes": ["A", "<B>"]}, special_tokens=special)
    message = f"{start} names; received '<B>' as a gene. {end}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        published_dictionaries(vocabulary)
