import pytest
from formats import READ, WRITTEN

from seediff import Dataset
from seediff.dataset.formats.known import FORMATS, codec, export_options, import_options


@pytest.mark.parametrize("name", WRITTEN)
def test_what_a_format_does_not_write_is_refused(tmp_path, name):
    with pytest.raises(TypeError, match=rf"as_{name}\(\) has no option 'layers'; it has .*workers"):
        getattr(Dataset(("dog",), []), f"as_{name}")(tmp_path / "set", layers=2)
    assert len(set(export_options(name))) == len(export_options(name))


@pytest.mark.parametrize("name", READ)
def test_what_a_format_does_not_read_is_refused(tmp_path, name):
    with pytest.raises(TypeError, match=rf"from_{name}\(\) has no option 'layers'"):
        getattr(Dataset, f"from_{name}")(tmp_path, layers=2)
    assert "layers" not in import_options(name)


def test_parquet_links_nothing(tmp_path):
    with pytest.raises(TypeError, match=r"as_parquet\(\) has no option 'link'; it has split, seed, workers$"):
        Dataset(("dog",), []).as_parquet(tmp_path / "set", link=True)


def test_every_format_has_its_codec():
    assert all(callable(codec(name).is_folder) for name in READ)
    assert {name for name in FORMATS if hasattr(codec(name), "write")} == {*WRITTEN}
    assert {name for name in FORMATS if hasattr(codec(name), "read")} == {*READ}
