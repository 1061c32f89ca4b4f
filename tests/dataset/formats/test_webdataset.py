import contextlib
import io
import tarfile

import numpy as np
import pytest
from blobs import some
from formats import export, imported
from items import item
from PIL import Image

from seediff.dataset import native
from seediff.dataset.formats import webdataset as shards
from seediff.dataset.formats.webdataset import as_key
from seediff.errors import UserError

CLASSES = ("cat", "dog", "bus")


def read_mask(data):
    return np.array(Image.open(io.BytesIO(data)))


@pytest.fixture(autouse=True)
def _small_shards(monkeypatch):
    monkeypatch.setattr(shards, "SHARD", 4)


def test_round_trip(tmp_path):
    given = [*some(), item("__meta__"), item("a/b"), item("a_b"), item("x" * 120)]
    done = export("webdataset", CLASSES, given, tmp_path / "wds")
    assert sorted(p.name for p in (tmp_path / "wds").glob("*.tar")) == ["000000.tar", "000001.tar", "000002.tar"]
    assert (done.samples, done.files) == (9, 4)
    classes, read = imported("webdataset", tmp_path / "wds")
    assert classes == CLASSES
    for one, two in zip(sorted(given, key=lambda i: i.name), read, strict=True):
        assert (two.name, two.source, two.suffix, two.metadata) == (one.name, one.source, one.suffix, one.metadata)
        assert np.array_equal(two.label_map, one.label_map)


def test_webdataset_reads_samples(tmp_path):
    webdataset = pytest.importorskip("webdataset", reason="webdataset is not installed")
    given = {i.name: i for i in [*some(), item("__meta__")]}
    export("webdataset", CLASSES, given.values(), tmp_path / "wds")
    urls = [str(path) for path in sorted((tmp_path / "wds").glob("*.tar"))]
    decoders = (webdataset.handle_extension("mask.png", read_mask), "pil")
    seen = []
    for sample in webdataset.WebDataset(urls, shardshuffle=False).decode(*decoders):
        one = given[sample["json"]["name"]]
        seen.append(one.name)
        assert sample["__key__"] == as_key(one.name)
        assert sample["json"]["metadata"] == one.metadata
        assert np.array_equal(sample["mask.png"], one.label_map)
        assert sample[one.suffix].size == one.label_map.shape[::-1]
    assert seen == sorted(given)


def test_same_bytes_whatever_the_order_and_time(tmp_path, monkeypatch):
    given = some(6)
    export("webdataset", CLASSES, given, tmp_path / "one")
    monkeypatch.setattr("time.time", lambda: 1.0)
    export("webdataset", CLASSES, iter(given[::-1]), tmp_path / "two")
    for name in ("000000.tar", "000001.tar", "classes.txt"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    with tarfile.open(tmp_path / "one/000000.tar") as tar:
        members = tar.getmembers()
    assert {(m.mtime, m.uid, m.gid, m.uname, m.gname, m.mode) for m in members} == {(0, 0, 0, "", "", 0o644)}
    assert [m.name for m in members[:3]] == [f"trip%2F%C3%A9%200%2Ev2.{e}" for e in ("png", "json", "mask.png")]


def write_tar(path, *members):
    """Members (name, data), or TarInfo for links and the like."""
    path.parent.mkdir(exist_ok=True)
    (path.parent / native.CLASSES).write_bytes(native.classes_text(["cat"]))
    with tarfile.open(path, "w") as tar:
        for one in members:
            if isinstance(one, tarfile.TarInfo):
                tar.addfile(one)
            else:
                info = tarfile.TarInfo(one[0])
                info.size = len(one[1])
                tar.addfile(info, io.BytesIO(one[1]))


PICTURE, MASK = item("a").source, native.encode_mask(np.ones((4, 6), np.uint8))


def test_shards_of_others(tmp_path):
    """No JSON, folders in keys, other members, endings in capitals."""
    write_tar(
        tmp_path / "s/0.tar",
        ("x/1.PNG", PICTURE),
        ("x/1.mask.png", MASK),
        ("x/1.cls", b"7"),
        ("2.png", PICTURE),
        ("2.mask.png", MASK),
    )
    (one, two) = imported("webdataset", tmp_path / "s/0.tar")[1]
    assert (one.name, two.name, one.metadata, one.suffix) == ("x/1", "2", {}, "png")
    assert one.label_map.min() == 1
    (tmp_path / "s/classes.txt").unlink()
    assert imported("webdataset", tmp_path / "s", classes=["dog"])[0] == ("dog",)
    for name, said in (
        ("s", r"classes\.txt: no such file"),
        ("s/1.tar", "1.tar: no such file"),
        ("", "no tar"),
    ):
        with pytest.raises(UserError, match=said):
            imported("webdataset", tmp_path / name)


def link(name, target, kind):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


WHOLE = [("a.png", PICTURE), ("a.mask.png", MASK)]


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([("../../a.png", PICTURE), ("../../a.mask.png", MASK)], "sample name '../../a'"),
        ([("a%2F%2E%2E%2Fb.png", PICTURE), ("a%2F%2E%2E%2Fb.mask.png", MASK)], "sample name 'a/../b'"),
        ([*WHOLE, ("a.json", b'{"name": "../x"}')], "sample name '../x'"),
        ([WHOLE[0], link("a.mask.png", "/etc/passwd", tarfile.SYMTYPE)], "needs a picture"),
        ([WHOLE[0], WHOLE[0]], "'a.png' appears twice"),
        ([*WHOLE, ("a.json", b"{")], "sample 'a': its json: is not JSON"),
        ([("a.png", b"x"), WHOLE[1]], "its image: cannot be read as a picture"),
        ([*WHOLE, ("b.png", PICTURE), ("b.mask.png", MASK), *WHOLE], "sample 'a': two samples are called 'a'"),
    ],
)
def test_paths_are_not_trusted_and_broken_samples_are_named(tmp_path, members, message):
    write_tar(tmp_path / "s/0.tar", *members)
    with pytest.raises(UserError) as caught:
        list(imported("webdataset", tmp_path / "s")[1])
    assert str(caught.value).startswith(str(tmp_path / "s/0.tar"))
    assert message in str(caught.value)


def test_damage_is_seen(tmp_path):
    """Wherever a shard is cut off, and where a header is damaged: never fewer samples without a word."""
    export("webdataset", CLASSES, some(2), tmp_path / "wds")
    path = tmp_path / "wds/000000.tar"
    data = path.read_bytes()
    # (The second block of the end mark is padding; the first must be there.)
    for length in [*range(0, len(data) - 1024, 2560), len(data) - 1025, len(data) // 2 + 100]:
        path.write_bytes(data[:length])
        with pytest.raises(UserError, match=r"000000\.tar"):
            list(imported("webdataset", tmp_path / "wds")[1])
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        offset = tar.getmembers()[3].offset
    path.write_bytes(data[:offset] + b"#" + data[offset + 1 :])
    with pytest.raises(UserError, match="is cut off or damaged after byte"):
        list(imported("webdataset", tmp_path / "wds")[1])
    path.write_bytes(data)
    assert len(list(imported("webdataset", tmp_path / "wds")[1])) == 2


@pytest.mark.parametrize(
    "headers",
    [
        {"GNU.sparse.size": "99999999999", "GNU.sparse.map": "0,x"},
        {"GNU.sparse.numblocks": "1", "GNU.sparse.size": "99999999999", "GNU.sparse.offset": "9" * 30},
        {"size": "-5"},
    ],
)
def test_extended_headers_that_lie(tmp_path, headers):
    with tarfile.open(tmp_path / "000000.tar", "w", format=tarfile.PAX_FORMAT) as tar:
        info = tarfile.TarInfo("a.png")
        info.size, info.pax_headers = 600, headers
        tar.addfile(info, io.BytesIO(b"\xff" * 600))
    (tmp_path / "classes.txt").write_text("background\ncat\n")
    with contextlib.suppress(UserError):  # in one line; or passed over, as sparse members are
        assert not imported("webdataset", tmp_path)[1]
