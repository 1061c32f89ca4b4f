from seediff.config.names_in_texts import content_words, things_named


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
