import pytest
from formats import READ, WRITTEN

from seediff import Dataset
from seediff.dataset.formats.format_table import FORMATS, codec, export_options


@pytest.mark.parametrize(
    ("call", "option", "there"),
    [
        *((f"as_{name}", "layers", "; it has .*workers") for name in WRITTEN),
        *((f"from_{name}", "layers", "") for name in READ),
        ("as_parquet", "link", "; it has split, seed, workers$"),
    ],
)
def test_options_that_a_format_does_not_have(tmp_path, call, option, there):
    with pytest.raises(TypeError, match=rf"{call}\(\) has no option '{option}'{there}"):
        getattr(Dataset(("dog",), []), call)(tmp_path / "set", **{option: 2})


def test_every_format_has_its_codec():
    assert all(callable(codec(name).is_folder) for name in READ)
    assert all(len(set(export_options(name))) == len(export_options(name)) for name in WRITTEN)
    assert {name for name in FORMATS if hasattr(codec(name), "write")} == {*WRITTEN}
    assert {name for name in FORMATS if hasattr(codec(name), "read")} == {*READ}
