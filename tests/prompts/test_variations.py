from refusals import user_error

from seediff.prompts.variations import MOST, PHRASES, varied_prompts


def test_every_combination_once_and_always_in_the_same_order():
    prompts = varied_prompts(["a {class}"], ["light", "view"])
    assert len(set(prompts)) == len(prompts) == (len(PHRASES["light"]) + 1) * (len(PHRASES["view"]) + 1)
    assert prompts == varied_prompts(["a {class}"], ["light", "view"])
    assert "a {class}" in prompts
    assert all(prompt.startswith("a {class}") for prompt in prompts)
    assert len(varied_prompts(["a {class}"], ["place", "light", "view"])) == MOST


def test_words_that_the_model_does_not_know_are_left_out():
    expected = {"a {class}", "a {class} on grass", "a {class} in the snow"}
    assert set(varied_prompts(["a {class}"], ["place"], ["snow", "grass"])) == expected
    with user_error("knows no phrase for view"):
        varied_prompts(["a {class}"], ["view"], ["snow"])
    with user_error("'lights' is not a kind of phrase; choose among place, light, view"):
        varied_prompts(["a {class}"], ["lights"])
