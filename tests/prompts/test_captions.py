from pathlib import Path

import pytest
from refusals import user_error

from seediff.files.photo_files import Photo
from seediff.prompts.captions import classes_mentioned, content_words, read_words, things_named

PHOTOS = (Photo(Path("in/a.jpg"), "a"), Photo(Path("in/trip/b.png"), "trip/b"))


def test_content_words():
    assert content_words("A photo of two dogs, running on the green grass; a dog's T-shirt! A dog.") == (
        *("dogs", "running", "green", "grass", "dog's", "t-shirt", "dog"),
    )
    assert content_words("1girl, long_hair, x, 狗、沙发上") == ("girl", "long", "hair", "狗", "沙发上")
    assert content_words("a dog <lora:fluffy_v2:0.8>, 3 < 4, <grass>") == ("dog", "grass")
    family, keycap = "\N{MAN}\u200d\N{WOMAN}", "1\ufe0f\u20e3"
    assert content_words(f"a family {family} with {keycap} dog, 一{family}狗") == ("family", "dog", "一", "狗")


def test_words_that_name_things_of_their_own():
    text, words = "a photo of a dog and a Red cat on grass", ("dog", "red", "cat", "grass")
    assert things_named(text, words) == ["dog", "cat", "grass"]
    assert things_named(text, words, joined=True) == ["dog", "cat"]
    assert things_named("a corgi on a red sofa", ("sofa", "red")) == ["sofa"]
    assert things_named("a bus, dogs and the horse", ("bus", "dogs", "horse"), joined=True) == ["dogs", "horse"]
    assert things_named("dog and cat", ("dog", "cat"), joined=True) == ["dog", "cat"]
    assert (
        things_named("a black and white dog", ("black", "white", "dog"), joined=True)
        == things_named("a dog", ("columns 2, 3",))
        == []
    )


def test_mentioned_names():
    caption = "Two Dogs beside a potted plant in the skyline"
    assert classes_mentioned(caption, ("dog", "pottedplant", "sky", "cat")) == ("dog", "pottedplant")
    assert classes_mentioned("a red fire\nhydrant", ("fire hydrant",)) == ("fire hydrant",)
    assert classes_mentioned("hot dogs in buses", ("dog", "bus", "hot dog")) == ("bus", "hot dog")
    assert classes_mentioned("a dog", ()) == ()
    assert classes_mentioned("1girl2, class12, red_bus", ("girl", "class1", "bus")) == ("girl", "bus")
    assert classes_mentioned("一只狗坐在沙发上", ("猫", "狗", "沙发")) == ("狗", "沙发")
    assert classes_mentioned("犬がソファに座っている", ("犬", "ソファ")) == ("犬", "ソファ")


def test_from_a_table_and_from_a_folder(tmp_path):
    table = tmp_path / "captions.csv"
    table.write_text('file,caption\na.jpg,"a dog on grass"\ntrip/b,a red bus\n', encoding="utf-8")
    assert read_words(table, PHOTOS) == {"a": ("dog", "grass"), "trip/b": ("red", "bus")}
    assert read_words(table, PHOTOS, names=("bus", "dog")) == {"a": ("dog",), "trip/b": ("bus",)}
    assert read_words(table, PHOTOS, vocabulary=("dog", "bus")) == {"a": ("dog",), "trip/b": ("bus",)}
    (tmp_path / "trip").mkdir()
    (tmp_path / "trip" / "b.txt").write_text("a bus", encoding="utf-8")
    (tmp_path / "b.txt").write_text("a cat", encoding="utf-8")  # a photograph b of another folder may be meant
    assert read_words(tmp_path, PHOTOS) == {"trip/b": ("bus",)}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,caption\n", "has no captions for any of the 2"),
        ("file,text\na,b\n", "the first line must name the columns file, caption"),
        ("file,caption\nc.jpg,a dog\n", r"line 2: file 'c\.jpg' is the name of 0"),
        ("file,caption\na,a dog\na,a cat\n", "line 3: file 'a' appears twice"),
    ],
)
def test_bad_captions_are_told_by_file_and_line(tmp_path, text, message):
    table = tmp_path / "captions.csv"
    table.write_text(text, encoding="utf-8")
    with user_error(message):
        read_words(table, PHOTOS)
