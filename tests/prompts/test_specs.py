from collections import Counter
from dataclasses import replace

import pytest
from refusals import user_error

from seediff.config.class_names import VOC_CLASSES
from seediff.config.runs import GenerateConfig
from seediff.prompts.specs import (
    MOST_TEMPLATES,
    PHRASES,
    redraw,
    sample_count,
    sample_seed,
    sample_specs,
    varied_prompts,
)


@pytest.mark.parametrize(
    ("kinds", "per_class", "given"),
    [(7, 3, 2), (2, 1, 2), (19, 90, (1, 1, 2, 2, 3)), (5, 6, (3, 1)), (2, 1, (1, 2))],
)
def test_numbers_of_classes_take_turns_and_every_class_is_shown_as_often(kinds, per_class, given):
    config = GenerateConfig(classes=VOC_CLASSES[:kinds], per_class=per_class, classes_per_image=given)
    specs, turns = sample_specs(config), given if isinstance(given, tuple) else (given,)
    assert [len(set(s.classes)) for s in specs] == [turns[i % len(turns)] for i in range(len(specs))]
    shown = sum(len(s.classes) for s in specs)
    assert shown - len(specs[-1].classes) < kinds * per_class <= shown
    counts = Counter(name for s in specs for name in s.classes)
    assert set(counts.values()) <= {per_class, per_class + (shown > kinds * per_class)}


def test_seeds_are_stable_and_exact_in_json():
    assert sample_seed(0, 0, 0) == 69405177597480  # as written into datasets: must never change
    spec = sample_specs(GenerateConfig(classes=("dog",)))[3]
    assert redraw(spec, 0, 0) == spec
    assert redraw(spec, 0, 2).seed != spec.seed
    assert max(sample_seed(s, i, 0) for s in range(9) for i in range(99)) < 2**53


def test_subclasses_take_turns_beside_the_templates():
    prompts, subclasses = ("a {class}", "one {class}"), ("poodle dog", "orange dog")
    config = GenerateConfig(classes=("dog", "cat"), per_class=8, prompts=prompts, subclasses=subclasses, seed=4)
    specs = sample_specs(config)
    assert Counter(s.prompt for s in specs if s.classes == ("cat",)) == {"a cat": 4, "one cat": 4}
    dogs = [s.prompt for s in specs if s.classes == ("dog",)]
    assert Counter(prompt.split(" ", 1)[1] for prompt in dogs) == {"poodle dog": 4, "orange dog": 4}
    assert len(set(dogs)) == 4
    assert sample_specs(replace(config, per_class=9))[:16] == specs


def test_a_subclass_belongs_to_the_longest_class_that_it_names():
    config = GenerateConfig(classes=("car", "police car"), per_class=2, subclasses=("red police car", "blue Car"))
    assert [s.prompt for s in sample_specs(config)] == ["a photo of a blue Car", "a photo of a red police car"] * 2


def test_subclasses_leave_noise_and_prompts_of_other_classes_as_they_are():
    plain = GenerateConfig(classes=("dog", "cat", "cow"), per_class=3, classes_per_image=2)
    with_some = replace(plain, subclasses=("poodle dog",))
    for one, other in zip(sample_specs(plain), sample_specs(with_some), strict=True):
        assert replace(other, prompt=other.prompt.replace("poodle ", "")) == one


def test_prompts_that_name_their_classes_are_dealt_out():
    """A line's classes are the longest names in it; each class is shown as often, by each of its lines in turn."""
    lines = ("a Dog on grass", "a dog and\ta potted plant", "one cat", "a plant", "a {class}", "a potted plant")
    classes = ("plant", "cat", "dog", "pottedplant")
    config = GenerateConfig(classes=classes, prompts=tuple(line.replace("\t", " ") for line in lines), per_class=7)
    specs = sample_specs(config)
    assert len(specs) == sample_count(config)
    shown = Counter(name for s in specs for name in s.classes)
    assert set(shown) == set(classes)
    assert set(shown.values()) <= {7, 8}
    of = {s.prompt: s.classes for s in specs}
    assert of["a dog and a potted plant"] == ("dog", "pottedplant")
    assert (of["a Dog on grass"], of["one cat"], of["a plant"]) == (("dog",), ("cat",), ("plant",))
    prompts = Counter(s.prompt for s in specs if s.classes == ("cat",))
    assert prompts == {"one cat": 4, "a cat": 3}
    assert sample_specs(replace(config, per_class=8))[: len(specs)] == specs
    assert len({s.seed for s in specs}) == len(specs)


def test_each_line_of_a_class_is_used_as_often():
    lines = [
        "a dog and a cat",
        *(f"a dog {word}" for word in ("in", "on", "at")),
        "a cat in",
        "a cat on",
        "a cat by a dog",
    ]
    specs = sample_specs(GenerateConfig(("dog", "cat"), prompts=tuple(lines), per_class=6))
    used = Counter(s.prompt for s in specs)
    for name in ("dog", "cat"):
        of_class = [used[line] for line in lines if name in line]
        assert max(of_class) - min(of_class) <= 1


def test_subclasses_go_into_the_templates_among_prompts():
    config = GenerateConfig(("dog",), prompts=("a dog", "the {class}"), subclasses=("big dog", "old dog"), per_class=4)
    assert sorted(s.prompt for s in sample_specs(config)) == ["a dog", "a dog", "the big dog", "the old dog"]


def test_every_combination_once_and_always_in_the_same_order():
    prompts = varied_prompts(["a {class}"], ["light", "view"], ["dog"])
    assert len(set(prompts)) == len(prompts) == (len(PHRASES["light"]) + 1) * (len(PHRASES["view"]) + 1)
    assert prompts == varied_prompts(["a {class}"], ["light", "view"], ["dog"])
    assert all(prompt.startswith("a {class}") for prompt in prompts)
    assert len(varied_prompts(["a {class}"], ["place", "light", "view"], ["dog"])) == MOST_TEMPLATES


def test_words_that_the_model_does_not_know_are_left_out():
    expected = {"a {class}", "a {class} on grass", "a {class} in the snow"}
    assert set(varied_prompts(["a {class}"], ["place"], ["dog"], ["snow", "grass"])) == expected
    with user_error("knows no phrase for view"):
        varied_prompts(["a {class}"], ["view"], ["dog"], ["snow"])


def test_phrases_come_before_the_full_stop_and_only_into_templates():
    prompts = varied_prompts(["A {class}.", "A dog beside a cat."], ["light"], ["dog", "cat", "lamp"])
    assert "A {class} at night." in prompts
    assert prompts[-1] == "A dog beside a cat."
    assert len(prompts) == len(PHRASES["light"]) + 1, "with none, and without the lamp, which is a class"
    with user_error("vary: adds phrases to prompts with {class}, and there is none; leave it out"):
        varied_prompts(["A dog."], ["light"], ["dog"])
