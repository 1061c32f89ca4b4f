from refusals import user_error

from seediff.files.output_folders import check_apart


def test_apart(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "set/below").mkdir(parents=True)
    (tmp_path / "link").symlink_to("set")
    there = tmp_path / "set"
    for out in ("set2", "se", "elsewhere/set", "link/../set2"):
        check_apart(tmp_path / out, [there, there / "below"])
    for out in ("set", "set/new", "set/below/new", "link/new", "set/../set/new", "."):
        with user_error("must not be the dataset"):
            check_apart(tmp_path / out, [tmp_path / "other", there])
    with user_error(r"set/x: must not be the dataset .*set itself, nor lie in it or around it$"):
        check_apart((there / "x").relative_to(tmp_path), [there])
