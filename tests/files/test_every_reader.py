import json

import numpy as np
import pytest
from damage import json_damages, refusal, tensor_damages
from refusals import user_error
from safetensors.numpy import save

from seediff.attention.maps import AttentionMaps, MapsAbout
from seediff.files.tensors import read_header
from seediff.train.models import read_about

DOCUMENTS = {
    "config.json": (
        {"model_type": "segformer", "id2label": {"0": "background", "1": "cat"}},
        lambda path: read_about(path.parent, {"segformer": 0}),
    ),
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_json(tmp_path, name):
    document, read = DOCUMENTS[name]
    path = tmp_path / name
    path.write_text(json.dumps(document))
    read(path)
    refused = 0
    for data in json_damages(document):
        path.write_bytes(data)
        refused += refusal(lambda: read(path), path) is not None
    assert refused > 25


def test_a_file_of_other_tensors(tmp_path):
    (tmp_path / "a.safetensors").write_bytes(save({"weights": np.ones(1, np.float32)}))
    with user_error(r"a\.safetensors: is not a file of saved attention maps"):
        AttentionMaps.load(tmp_path / "a.safetensors")


def test_tensors(tmp_path):
    def read():
        header = read_header(path)
        header.about("seediff", MapsAbout, "saved attention maps")
        header.load("pt", [*header.tensors])

    about = {"latent_size": [2, 2], "words": {"dog": [1]}, "prompt": "a dog", "normalized": True}
    whole = save({"self.2,2": np.ones((4, 4), np.float32)}, {"seediff": json.dumps(about)})
    path, refused = tmp_path / "file.safetensors", 0
    for data in (whole, *tensor_damages(whole)):
        path.write_bytes(data)
        refused += refusal(read, path) is not None
        assert refused or data is whole
    assert refused > 100


WHOLE = save({"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.zeros(0, np.uint8)}, {"state": '{"step": 3}'})


def test_whole_file_is_read(tmp_path):
    path = tmp_path / "t.safetensors"
    path.write_bytes(WHOLE)
    header = read_header(path)
    assert header.about("state", dict[str, int], "states") == {"step": 3}
    np.testing.assert_array_equal(header.load("np", ["a"])["a"], [[0, 1, 2], [3, 4, 5]])
    with user_error(r"tensor 'a' is F32 \(2, 3\), but must be U8 \(any, 3\)"):
        header.check("a", "U8", (None, 3), "states")
    with user_error("is not a file of states: it has no tensor 'c'"):
        header.check("c", "U8", (), "states")
