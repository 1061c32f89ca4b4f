import pytest

from seediff.config.names import (
    VOC_CLASSES,
    check_classes,
    join_classes,
    parse_classes,
    parse_names,
    parse_prompts,
    spoken,
)
from seediff.errors import UserError


def test_spoken_and_joined():
    assert spoken("pottedplant") == "potted plant"
    assert join_classes(("dog",)) == "dog"
    assert join_classes(("dog", "cat", "tvmonitor")) == "dog, a cat and a tv monitor"


def test_classes_from_names_voc_and_files(tmp_path):
    assert parse_classes("dog, potted plant ,") == ("dog", "potted plant")
    assert parse_classes("voc") == VOC_CLASSES
    names = tmp_path / "names.txt"
    names.write_text("\ufeffdog\n\n  café \n", encoding="utf-8")
    assert parse_classes(str(names)) == ("dog", "café")
    for none in ("background", "__background__", "_background_", "__ignore__", "unlabeled", "__ignore__\n_background_"):
        names.write_text(f"{none}\nperson\nknife\n")
        assert parse_classes(str(names)) == ("person", "knife")


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ((), "empty"),
        (("dog", "cat", "dog"), "more than once: dog"),
        (("background",), "cannot be a class"),
        (("a\nb",), "is empty, or has a comma"),
        ((" dog",), "is empty, or has a comma"),
        (("tvmonitor", "cat", "tv monitor"), "classes: 'tvmonitor' and 'tv monitor' read the same"),
        (("Dog", "dog"), "'Dog' and 'dog'"),
        (("a  b", "a b"), "read the same"),
        (tuple(f"c{i}" for i in range(255)), "254"),
    ],
)
def test_bad_class_lists(classes, message):
    with pytest.raises(UserError, match=message):
        check_classes(classes)


def test_prompt_files_are_read_and_checked(tmp_path):
    file = tmp_path / "prompts.txt"
    file.write_text("a {class} at night\na {class} by day\n")
    assert (*parse_prompts("a photo of a {class}"), *parse_prompts(str(file))) == (
        "a photo of a {class}",
        "a {class} at night",
        "a {class} by day",
    )
    file.write_text("a {class}\na dog\n")
    with pytest.raises(UserError, match=r"prompts\.txt, template 2: 'a dog' does not contain \{class\}"):
        parse_prompts(str(file))
    file.write_text("\n")
    with pytest.raises(UserError, match="no templates"):
        parse_prompts(str(file))


@pytest.mark.parametrize("word", ["all", "voc"])
def test_a_word_for_a_whole_list_is_no_class_beside_others_but_may_name_a_segment(word):
    with pytest.raises(UserError, match=f"classes: '{word}' stands for a whole list"):
        parse_classes(f"{word},dog")
    assert parse_names(f"{word},dog") == (word, "dog")
