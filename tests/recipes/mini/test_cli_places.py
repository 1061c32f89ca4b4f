import pytest

from recipes.mini.files import replaced_folder


def test_a_folder_is_replaced_when_the_new_one_is_whole(tmp_path):
    folder = tmp_path / "pipeline"
    for text in ("old", "new"):
        with replaced_folder(folder) as part:
            (part / "file").write_text(text)
        assert (folder / "file").read_text() == text
    with pytest.raises(ZeroDivisionError), replaced_folder(folder) as part:
        (part / "file").write_text("." * (1 // ((part / "file").write_text("half") - 4)))
    assert (folder / "file").read_text() == "new"
    assert [found.name for found in tmp_path.iterdir()] == ["pipeline"]
