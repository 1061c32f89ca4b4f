import re

import pytest
from refusals import user_error

from recipes.mini.text import build_tokenizer
from seediff.config.class_names import spoken
from seediff.config.names_in_texts import ANY_WORD, any_name, find_weight
from seediff.models.families.inputs import Reader
from seediff.prompts.tokens import locate_columns, read_prompt, split_prompts, token_spans


@pytest.fixture(scope="module")
def tokenizer():
    return build_tokenizer()


def located(tokenizer, prompt, classes):
    return locate_columns([Reader("tokenizer", tokenizer, tokenizer.model_max_length)], prompt, classes)


def spelled(tokenizer, prompt, columns):
    ids = tokenizer(prompt, padding="max_length")["input_ids"]
    return tokenizer.decode([ids[c] for c in columns])


@pytest.mark.parametrize(
    ("prompt", "name", "columns"),
    [
        ("A Photo of a DOG.", "dog", (5,)),  # any case, punctuation beside it
        ("a photo of a potted plant", "pottedplant", (5, 6)),  # VOC's name as it is spoken
        ("a dog and a dog", "dog", (2, 5)),  # every occurrence
        ("a hotdog and a dog", "dog", None),  # whole words only; the column depends on how `hotdog` is split
        ("a xylophone", "xylophone", None),  # several tokens a word
        ("1girl, long_hair", "hair", None),  # digits and underscores part words
        ("一只狗坐在沙发上", "狗", (7, 8, 9)),  # no spaces between words
        ("a cafe\u0301 table", "table", None),  # characters that the tokenizer composes
    ],
)
def test_class_is_found(tokenizer, prompt, name, columns):
    found = located(tokenizer, prompt, [name])[name]
    assert columns in (None, found)
    expected = spoken(name).replace(" ", "") * max(1, prompt.count("a dog"))
    assert spelled(tokenizer, prompt, found).replace(" ", "") == expected


@pytest.mark.parametrize(
    ("text", "words", "inside"),
    [
        ("एक कुत्ता घास पर", ["एक", "कुत्ता", "घास", "पर"], "कुत"),  # Hindi: vowel signs and a mark for no vowel
        ("كَلْب في", ["كَلْب", "في"], "كَل"),  # Arabic with its vowels
        ("می\u200cروم", ["می\u200cروم"], "می"),  # Persian: an invisible border between two letters of a word
        ("a cafe\u0301 au lait", ["a", "cafe\u0301", "au", "lait"], "cafe"),  # decomposed
    ],
)
def test_marks_belong_to_their_letters(text, words, inside):
    assert re.findall(ANY_WORD, text) == words
    assert not any_name([inside]).search(text)
    for word in words:
        assert [match[0] for match in any_name([word]).finditer(text)] == [word]


def test_a_part_of_a_token_is_no_word():
    def tokens(text, **_):
        return {"offset_mapping": [(0, 2), (2, 3), (3, 5)]}

    chinese = type("Fast", (), {"is_fast": True, "__call__": staticmethod(tokens)})()
    found = read_prompt(Reader("tokenizer", chinese, 9), "沙发和热狗").columns(["沙发", "和", "狗"])
    assert found == {"沙发": {0}, "和": {1}, "狗": set()}


def test_a_word_of_which_a_part_is_cut_off_is_none(tokenizer):
    """At the limit, and at the end of the columns."""
    prompt = "a cat and a zebra"
    spans = token_spans(Reader("tokenizer", tokenizer, 99), prompt)
    begin = next(number for number, (start, _) in enumerate(spans) if start == prompt.index("zebra"))
    parts = len(spans) - 1 - begin
    assert parts > 1
    for count, columns in ((parts, parts), (parts - 1, 0)):
        limited = Reader("tokenizer", tokenizer, begin + count + 1)
        found = read_prompt(limited, prompt).columns(["cat", "zebra"])
        assert (len(found["cat"]), len(found["zebra"])) == (1, columns)
        ended = read_prompt(Reader("tokenizer", tokenizer, 99), prompt).columns(["zebra"], end=begin + count)
        assert len(ended["zebra"]) == columns


@pytest.mark.parametrize(
    ("text", "weight"),
    [
        ("a (cat)1.5 on a sofa", "(cat)1.5"),
        ("cat++, dog", "cat++,"),
        ('("a dog", "a cat").and()', '("a'),
        ("a [dog:0.5]", "[dog:0.5]"),
        (r"a dog \(animal\)", r"\(animal\)"),
        ("a dog-, a cat", "dog-,"),
        ("a 'black dog'- on grass", "dog'-"),
        ('a "dog"+', '"dog"+'),
        ("<lora:style:0.8> a dog", "<lora:style:0.8>"),
        ("a {dog|bus}", "{dog|bus}"),
        ("a T-shirt, 18+ C3PO, 16:9, sci-fi, black-and-white - dogs' <3 dog--like", None),
    ],
)
def test_weights(text, weight):
    assert find_weight(text) == weight


def test_class_that_is_not_there(tokenizer):
    said = r"class 'tvmonitor' \(in a prompt: 'tv monitor'\) is not in the prompt 'a photo of a dog'"
    with user_error(said):
        located(tokenizer, "a photo of a dog", ["dog", "tvmonitor"])
    with user_error("'dog'"):
        located(tokenizer, "two dogs", ["dog"])


def test_prompt_at_and_beyond_the_limit(tokenizer):
    fitting = " ".join(["dog"] * (tokenizer.model_max_length - 2))
    assert len(located(tokenizer, fitting, ["dog"])["dog"]) == tokenizer.model_max_length - 2
    with user_error(r"33 tokens and the model reads 32: these words would be cut off: 'cat'"):
        located(tokenizer, fitting + " cat", ["dog"])
    with user_error("; shorten the prompt 'dog dog ") as long:
        located(tokenizer, "dog " * 20000, ["dog"])
    assert len(str(long.value)) < 600


def test_as_few_sentences_as_hold_all_words(sd1_model, mini_model):
    names = [f"name{i}" for i in range(40)]
    sentences = split_prompts(mini_model.readers, ["dog", "cat", "bus"])
    assert sentences == [("a photo of a dog, a cat and a bus", ("dog", "cat", "bus"))]
    several = split_prompts(sd1_model.readers, names)
    assert len(several) > 1
    assert [name for _, group in several for name in group] == names
    assert max(len(group) for _, group in several) - min(len(group) for _, group in several) <= 1
    with user_error("cut off"):
        split_prompts(mini_model.readers, ["x" * 200])
    assert split_prompts(mini_model.readers, []) == []
