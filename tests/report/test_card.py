import pytest
from synthetic import CLASSES, write_dataset

from seediff.report.card import dataset_card
from seediff.report.tables import summarize
from seediff.rows.row import as_row

yaml = pytest.importorskip("yaml", reason="PyYAML, which the front matter is checked with, is not installed")
SUMMARY = {
    "model": "mini",
    "method": "seediff",
    "prompts": ["a photo of a {class}"],
    "rejected": {"dog": {"degenerate": 2}},
}


def card_of(about, rows, classes=CLASSES, product=None):
    typed = [*map(as_row, rows)]
    return dataset_card(about, typed, summarize(typed, classes, about.get("rejected")), product=product)


def front_matter(card):
    start, head, body = card.split("---\n", 2)
    assert start == ""
    assert body.startswith("\n# ")
    return yaml.safe_load(head)


def test_photos_are_not_said_to_be_drawn(tmp_path):
    rows = [row | {"model": "sd1.4", "asked": ["dog"]} for row in write_dataset(tmp_path, 2)]
    card = card_of(SUMMARY, rows, product="masks")
    later = card_of({"command": "filter"}, [*rows, rows[0] | {"asked": [], "classes": []}])
    for text in (card, later):
        assert not {"synthetic", "diffusion"} & set(front_matter(text)["tags"])
        assert "enerated" not in text.replace("machine-generated", "")
    assert "The masks were made with the model mini: " in card
    assert "- 3 images do not say what made them" in later


def test_segments_are_labels_of_a_machine_but_not_of_words(tmp_path):
    rows = [row | {"asked": [], "instances": [1, 1]} for row in write_dataset(tmp_path, 2)]
    card = card_of({"model": "sd1.5", "method": "diffseg"}, rows, product="segments")
    head = front_matter(card)
    assert (head["annotations_creators"], head["pretty_name"][:9]) == (["machine-generated"], "Segments:")
    assert head["tags"] == ["semantic-segmentation", "pseudo-labels", "seediff"]
    for text in ("A segment without a name has the class `segment`", "not checked by people", "with the model sd1.5: "):
        assert text in card
    assert not any(text in card for text in ("rompts", "class's words", "do not say what made them", "SeeDiff: Park"))


def test_its_code_loads_the_dataset(tmp_path, monkeypatch):
    import json

    rows = write_dataset(tmp_path, 3)
    (tmp_path / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    card = card_of(SUMMARY, rows, product="images")
    blocks = [block.split("```")[0] for block in card.split("```python\n")[1:]]
    monkeypatch.chdir(tmp_path)
    plain = {}
    exec(blocks[0], plain)
    assert plain["image"].shape == (64, 64, 3)
    assert set(plain["label_map"].ravel()) == {0, 3}
    torch_names = {}
    exec(blocks[1], torch_names)
    image, label_map = torch_names["Masks"](tmp_path)[2]
    assert image.shape == (3, 64, 64)
    assert 0 <= image.min() <= image.max() <= 1
    assert set(label_map.unique().tolist()) == {0, 3}


def test_hostile_text_stays_text(tmp_path):
    evil = '"\n---\n<script>alert(1)</script> | [x](javascript:1) `code` {{ 7*7 }}\u2028\x00'
    rows = write_dataset(tmp_path, 1, classes=(evil,))
    summary = {"model": evil, "method": evil, "prompts": [evil], "rejected": {evil: {evil: 1}}}
    card = card_of(summary, rows, (evil,), product="images")
    assert "alert(1)" in front_matter(card)["pretty_name"]
    body = card.split("---\n", 2)[2]
    assert "<script" not in body
    assert "[x](" not in body
    assert "\x00" not in card
    table = [line for line in body.splitlines() if line.startswith("| 1 |")]
    assert len(table) == 1
    assert table[0].replace("\\|", "").count("|") == 7


@pytest.mark.parametrize(
    ("model", "product", "link"),
    [
        ("sd1.5", "images", "https://huggingface.co/stable-diffusion-v1-5/stable-diffusion-v1-5"),
        ("sd1.5", "masks", None),
        ("mini", "images", None),
    ],
)
def test_the_licence_of_drawn_pictures_is_linked(tmp_path, model, product, link):
    head = front_matter(card_of({**SUMMARY, "model": model}, write_dataset(tmp_path, 2), product=product))
    assert head.get("license_link") == link
