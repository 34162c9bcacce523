import pickle
import re

import numpy as np
import pytest

from keras_geneformer.tokenization.genes import published_pickles
from keras_geneformer.tokenization.genes.published_pickles import read_published_pickle


def written(path, content, protocol=4):
    path.write_bytes(content if isinstance(content, bytes) else pickle.dumps(content, protocol))
    return path


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_strings_numbers_and_numpy_scalars_are_admitted(tmp_path, protocol):
    content = {
        "a": 1,
        "b": 2.5,
        "c": "x",
        "d": np.float64(0.1),
        "e": np.int16(-7),
        "f": np.uint8(9),
    }
    read = read_published_pickle(written(tmp_path / "d.pkl", content, protocol))
    assert read == {"a": 1, "b": 2.5, "c": "x", "d": 0.1, "e": -7, "f": 9}
    assert {type(value) for value in read.values()} == {int, float, str}


@pytest.mark.parametrize("old", [b"numpy.core.multiarray", b"numpy._core.multiarray"])
def test_both_homes_of_numpys_scalar_are_admitted(tmp_path, old):
    data = pickle.dumps({"a": np.float64(3.5)}, 2)
    data = re.sub(rb"numpy\._?core\.multiarray", old, data)
    assert read_published_pickle(written(tmp_path / "d.pkl", data)) == {"a": 3.5}


class Attack:
    def __reduce__(self):
        import os

        return os.system, ("touch stolen",)


def test_foreign_code_is_named_and_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = written(tmp_path / "d.pkl", {"a": Attack()})
    message = (
        f"refused to load {path}: it names posix.system, and only dict, str, int, float and numpy "
        "scalars are admitted"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        read_published_pickle(path)
    assert not (tmp_path / "stolen").exists()


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (
            {"a": np.zeros(2)},
            r"numpy\.?_?c?o?r?e?\.(numeric|multiarray)\._(frombuffer|reconstruct)",
        ),
        ({"a": {1, 2}}, "maps a str to a set"),
        ({"a": [1]}, "maps a str to a list"),
        ({1: "a"}, "maps a int to a str"),
        (["a"], "holds a list; expected a dictionary"),
        ({"a": np.datetime64("2020-01-01")}, "numpy 'M8', which is not a plain number"),
    ],
)
def test_other_types_are_refused(tmp_path, content, named):
    with pytest.raises(ValueError, match=named):
        read_published_pickle(written(tmp_path / "d.pkl", content))


def test_lfs_pointer_is_named(tmp_path):
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 1117117\n"
    path = written(tmp_path / "d.pkl", pointer)
    with pytest.raises(ValueError, match=rf"^{re.escape(str(path))} is a Git-LFS pointer, not the"):
        read_published_pickle(path)


def test_truncated_empty_and_foreign_files(tmp_path, dictionaries):
    whole = (dictionaries / "V1" / "token_dictionary_gc30M.pkl").read_bytes()
    for size in (1, 1000, len(whole) // 2, len(whole) - 1):
        path = written(tmp_path / "cut.pkl", whole[:size])
        with pytest.raises(ValueError, match=f"is truncated: the pickle stops after {size} bytes"):
            read_published_pickle(path)
    with pytest.raises(ValueError, match=r"empty.pkl is empty \(0 bytes\)"):
        read_published_pickle(written(tmp_path / "empty.pkl", b""))
    with pytest.raises(ValueError, match=r"refused to load|is not a pickled dictionary"):
        read_published_pickle(written(tmp_path / "page.pkl", b"<html>not found</html>"))


@pytest.mark.parametrize(
    "put", [b"r\xff\xff\xff\xff", b"p4294967295\n", b"p 429_496_729\n"], ids=["long", "text", "odd"]
)
def test_a_place_of_the_memo_far_beyond_the_file_takes_no_memory(tmp_path, monkeypatch, put):
    # What would allocate for all places up to this one is not used.
    monkeypatch.setattr(published_pickles, "_PlainUnpickler", None)
    path = tmp_path / "x.pkl"
    path.write_bytes(b"\x80\x02}" + put + b"X\x01\x00\x00\x00aK\x05s.")
    assert published_pickles.read_published_pickle(path) == {"a": 5}
