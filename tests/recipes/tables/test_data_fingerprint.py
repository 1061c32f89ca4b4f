from recipes.tables.sources import data_fingerprint


def test_data_is_known_by_the_names_and_sizes_of_its_files(tmp_path):
    folder = tmp_path / "data"
    (folder / "images").mkdir(parents=True)
    (folder / "images" / "a.png").write_bytes(b"12")
    first = data_fingerprint(folder)
    (folder / ".DS_Store").write_bytes(b"x")
    assert data_fingerprint(folder.rename(tmp_path / "moved")) == first
    (tmp_path / "moved" / "images" / "a.png").write_bytes(b"34")
    assert data_fingerprint(tmp_path / "moved") == first  # no picture is read
    (tmp_path / "moved" / "images" / "a.png").write_bytes(b"123")
    assert data_fingerprint(tmp_path / "moved") != first


def test_data_behind_links_counts(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "a.png").write_bytes(b"12")
    data = tmp_path / "data"
    data.mkdir()
    empty = data_fingerprint(data)
    (data / "images").symlink_to(tmp_path / "disk")
    (tmp_path / "disk" / "round").symlink_to(tmp_path / "disk")  # a circle ends
    first = data_fingerprint(data)
    assert first != empty
    (tmp_path / "disk" / "a.png").write_bytes(b"123")
    assert data_fingerprint(data) not in (first, empty)
