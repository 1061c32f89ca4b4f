"""A name of a class is one name, whether accents are parts of its letters (NFC) or letters of their own (NFD)."""

import unicodedata

import numpy as np
import pytest
from formats import EVERY, LOSSY
from items import item
from refusals import user_error

from seediff.config.class_names import check_classes, parse_classes
from seediff.config.names_in_texts import any_name
from seediff.config.runs import GenerateConfig
from seediff.dataset.class_lists import find_class_list
from seediff.dataset.dataset import Dataset

NFC, NFD = (unicodedata.normalize(form, "caf\u00e9") for form in ("NFC", "NFD"))
LABELS = np.zeros((16, 24), np.uint8)
LABELS[2:9, 3:11], LABELS[10:14, 12:22] = 1, 2


def decompose(folder):
    """Write all texts of a folder anew."""
    for path in folder.rglob("*"):
        if path.is_file() and path.suffix not in (".png", ".jpg"):
            text = path.read_text(encoding="utf-8").replace("\\u00e9", "e\\u0301")
            path.write_text(unicodedata.normalize("NFD", text), encoding="utf-8")


@pytest.mark.parametrize("name", [*EVERY, "native"])
def test_formats(tmp_path, name):
    dataset = Dataset((NFC, "dog"), [item("a", LABELS, {"classes": [NFC, "dog"]}, LABELS.shape)])
    if name == "native":
        dataset.save(tmp_path / "set")
    else:
        dataset.export(name, tmp_path / "set")
    decompose(tmp_path / "set")
    read = Dataset.open(tmp_path / "set")
    assert read.classes == (NFC, "dog")
    assert name in LOSSY or np.array_equal(read[0].label_map, LABELS)
    assert name != "native" or read[0].metadata["classes"] == [NFC, "dog"]


def test_sets_and_merge():
    one, two = (Dataset([name], [item(str(number), LABELS % 2)]) for number, name in enumerate((NFC, NFD)))
    merged = one.merge(two)
    assert (merged.classes, len(merged)) == ((NFC,), 2)
    with user_error(f"class '{NFC}' appears twice"):
        Dataset([NFC, NFD], [])


def test_lists_options_and_configurations(tmp_path):
    path = tmp_path / "classes.txt"
    path.write_text(f"{NFD}\ndog\n", encoding="utf-8")
    listed = find_class_list(tmp_path)
    assert listed.classes == parse_classes(str(path)) == parse_classes(f"{NFD},dog") == (NFC, "dog")
    assert GenerateConfig(classes=[NFD, "dog"]).classes == (NFC, "dog")
    path.write_text(f"{NFD}\n{NFC}\n", encoding="utf-8")
    with user_error("gives two classes the same name"):
        find_class_list(tmp_path)
    with user_error("read the same in a prompt"):
        check_classes([NFC, NFD])


@pytest.mark.parametrize("name", [NFC, NFD, "\u0928\u0940"])
def test_names_in_prompts(name):
    for form in ("NFC", "NFD"):
        text = unicodedata.normalize(form, f"a {name} beside a caf\u00e9teria")
        match = any_name([name]).search(text)
        assert unicodedata.normalize("NFC", match[0]) == unicodedata.normalize("NFC", name)
