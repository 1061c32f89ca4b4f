import numpy as np
import pytest
from refusals import user_error
from safetensors.numpy import save

from seediff.attention.maps import AttentionMaps
from seediff.files.tensors import read_header

ABOUT = {"seediff": '{"latent_size": [2, 2], "words": {}, "prompt": "", "normalized": true}'}


@pytest.mark.parametrize(
    ("name", "header", "said"),
    [
        ("weights", {}, "is not a file of saved attention maps: its header has no 'seediff'"),
        ("weights", ABOUT, "is not a file of saved attention maps: it has a tensor 'weights'"),
        ("self.2,2", ABOUT, r"tensor 'self\.2,2' is F32 \(1,\), but must be F32 \(4, 4\)"),
    ],
)
def test_a_file_of_other_tensors(tmp_path, name, header, said):
    (tmp_path / "a.safetensors").write_bytes(save({name: np.ones(1, np.float32)}, header))
    with user_error(rf"a\.safetensors: {said}"):
        AttentionMaps.load(tmp_path / "a.safetensors")


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
