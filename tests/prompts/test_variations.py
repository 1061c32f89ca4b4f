from refusals import user_error

from seediff.prompts.variations import MOST_TEMPLATES, PHRASES, varied_prompts


def test_every_combination_once_and_always_in_the_same_order():
    prompts = varied_prompts(["a {class}"], ["light", "view"], ["dog"])
    assert len(set(prompts)) == len(prompts) == (len(PHRASES["light"]) + 1) * (len(PHRASES["view"]) + 1)
    assert prompts == varied_prompts(["a {class}"], ["light", "view"], ["dog"])
    assert "a {class}" in prompts
    assert all(prompt.startswith("a {class}") for prompt in prompts)
    assert len(varied_prompts(["a {class}"], ["place", "light", "view"], ["dog"])) == MOST_TEMPLATES


def test_words_that_the_model_does_not_know_are_left_out():
    expected = {"a {class}", "a {class} on grass", "a {class} in the snow"}
    assert set(varied_prompts(["a {class}"], ["place"], ["dog"], ["snow", "grass"])) == expected
    with user_error("knows no phrase for view"):
        varied_prompts(["a {class}"], ["view"], ["dog"], ["snow"])
    with user_error("'lights' is not a kind of phrase; choose among place, light, view"):
        varied_prompts(["a {class}"], ["lights"], ["dog"])


def test_phrases_come_before_the_full_stop_and_only_into_templates():
    prompts = varied_prompts(["A {class}.", "A dog beside a cat."], ["light"], ["dog", "cat", "lamp"])
    assert "A {class} at night." in prompts
    assert prompts[-1] == "A dog beside a cat."
    assert len(prompts) == len(PHRASES["light"]) + 1, "with none, and without the lamp, which is a class"
    with user_error("vary: adds phrases to prompts with {class}, and there is none; leave it out"):
        varied_prompts(["A dog."], ["light"], ["dog"])
