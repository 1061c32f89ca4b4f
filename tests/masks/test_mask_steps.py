"""A step's text is what lies on disk and in reports; it can be read back."""

from __future__ import annotations

from typing import get_args

import pytest

from seediff.masks.steps import Kind, Step


@pytest.mark.parametrize(
    ("step", "text"),
    [
        (Step("cross_attention"), "cross_attention"),
        (Step("seeds", 1), "seeds L"),
        (Step("background seeds", 2), "background seeds L/2"),
        (Step("self-attention product", 2, 3), "self-attention product 3 L/2"),
        *[(Step(kind, 4), f"{kind} L/4") for kind in get_args(Kind)],
    ],
)
def test_a_step_is_its_text_and_back(step: Step, text: str):
    assert str(step) == text
    assert Step.parse(text) == step


@pytest.mark.parametrize("text", ["something", "L", "seeds L/0", "seeds  L", "3", "a\nb"])
def test_a_step_of_another_kind_keeps_its_text(text: str):
    assert str(Step.parse(text)) == text
