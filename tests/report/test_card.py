import pytest
from synthetic import CLASSES, write_dataset

from seediff.report.card import dataset_card
from seediff.report.set_summary import SetFacts, summarize
from seediff.rows.row import as_row

yaml = pytest.importorskip("yaml", reason="PyYAML, which the front matter is checked with, is not installed")
FACTS = SetFacts({"model": "mini", "method": "seediff"}, ["a photo of a {class}"], {"dog": {"degenerate": 2}})


def card_of(facts, rows, classes=CLASSES):
    typed = [*map(as_row, rows)]
    return dataset_card(facts, typed, summarize(typed, classes, facts.rejected))


def made(rows, model="sd1.5", **keys):
    return [row | {"model": model, "method": "seediff", **keys} for row in rows]


def front_matter(card):
    start, head, body = card.split("---\n", 2)
    assert start == ""
    assert body.startswith("\n# ")
    return yaml.safe_load(head)


def test_the_rows_decide_the_text(tmp_path):
    rows = write_dataset(tmp_path, 2)
    drawn, masked = made(rows), made(rows, asked=["dog"])
    texts = {"drawn": drawn, "photographs": masked, "mixed": [*drawn, *masked], "imported": rows, "empty": []}
    cards = {name: card_of(FACTS, of) for name, of in texts.items()}
    tags = {name: front_matter(card)["tags"] for name, card in cards.items()}
    assert tags["drawn"] == ["synthetic", "semantic-segmentation", "diffusion", "seediff", "pseudo-labels"]
    assert tags["photographs"] == ["semantic-segmentation", "seediff", "pseudo-labels"]
    assert tags["mixed"] == ["semantic-segmentation", "seediff", "pseudo-labels"]
    creators = {name: front_matter(card).get("annotations_creators") for name, card in cards.items()}
    assert creators["drawn"] == creators["photographs"] == creators["mixed"] == ["machine-generated"]
    assert creators["imported"] is creators["empty"] is None
    assert "Generated" not in cards["photographs"]
    assert "A segment without a name has the class `segment`" in cards["photographs"]
    assert "the masks of 2 of 4 images" in card_of(SetFacts({}), [*drawn, *rows])
    assert "| objects | 4 in 2 images |" in card_of(SetFacts({}), made(rows, asked=[], instances=[1, 1]))
    assert "| prompts | a photo of a \\{class\\} |" in cards["drawn"]


def test_its_code_loads_the_dataset(tmp_path, monkeypatch):
    import json

    rows = write_dataset(tmp_path, 3)
    (tmp_path / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    card = card_of(FACTS, rows)
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
    facts = SetFacts({"model": evil, "method": evil}, [evil], {evil: {evil: 1}})
    card = card_of(facts, rows, (evil,))
    assert "alert(1)" in front_matter(card)["pretty_name"]
    body = card.split("---\n", 2)[2]
    assert "<script" not in body
    assert "[x](" not in body
    assert "\x00" not in card
    assert "\n1 image of 1 class, with" in card
    table = [line for line in body.splitlines() if line.startswith("| 1 |")]
    assert len(table) == 1
    assert table[0].replace("\\|", "").count("|") == 6


@pytest.mark.parametrize(
    ("model", "keys", "link"),
    [
        ("sd1.5", {}, "https://huggingface.co/stable-diffusion-v1-5/stable-diffusion-v1-5"),
        ("sd1.5", {"asked": ["dog"]}, None),
        ("mini", {}, None),
    ],
)
def test_the_licence_of_drawn_pictures_is_linked(tmp_path, model, keys, link):
    card = card_of(FACTS, made(write_dataset(tmp_path, 2), model, **keys))
    assert front_matter(card).get("license_link") == link
    assert f"- {model}: " in card.replace("\\", "")
