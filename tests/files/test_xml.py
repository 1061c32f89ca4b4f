import pytest
from refusals import user_error

from seediff.errors import UserError
from seediff.files.documents import read_xml

HEAD = '<?xml version="1.0" encoding="utf-8"?>\n'


def save(tmp_path, text):
    path = tmp_path / "a.xml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8"))
    return path


def test_nodes(tmp_path):
    path = save(tmp_path, HEAD + '<a>\n <b n="1 &lt; 2"><c>x</c><c>ä\n</c></b>\n <b n="-7"/>\n</a>')
    root = read_xml(path, "a")
    assert [one.text for one in root.all("b", "c")] == ["x", "ä\n"]
    first, second = root.all("b")
    assert first.get("n") == "1 < 2"
    assert (second.get("n"), second.where) == ("-7", f"{path}, line 5")
    with user_error(r"a\.xml, line 5: <b> must have 'm'"):
        second.get("m")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not XML: no element found: line 1"),
        ("<a><b></a>", "is not XML: mismatched tag: line 1"),
        ("<a>\n&unknown;</a>", "is not XML: undefined entity: line 2"),
        ("<b/>", "line 1: the document is a <b>, not <a>"),
        ('<!DOCTYPE a [<!ENTITY x "y">]>\n<a>&x;</a>', "line 1: declares a document type, whose entities are not read"),
        ('<!DOCTYPE a SYSTEM "file:///etc/passwd">\n<a/>', "line 1: declares a document type"),
        ('<?xml version="1.0" encoding="nothing"?><a/>', "is not XML"),
        (b"\xff\xfe\x00", "but probably UTF-16"),
        ('<?xml version="1.0" encoding="utf-16"?><a>'.encode("utf-16"), "is not XML: no element found"),
        ("<a>" * 100_000, "is not XML: no element found"),
    ],
)
def test_what_is_refused(tmp_path, text, message):
    with pytest.raises(UserError) as error:
        read_xml(save(tmp_path, text), "a")
    assert message in str(error.value)
