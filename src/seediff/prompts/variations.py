"""Templates with places, light and points of view, so that the images of a class do not all look alike."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence
from hashlib import blake2b

from ..config.class_names import classes_in
from ..errors import UserError
from .tokens import content_words

PHRASES: dict[str, tuple[str, ...]] = {
    "place": (
        "on grass", "on sand", "in the snow", "in the city", "in a room", "in the sky", "on the water",
        "on a street", "in a forest", "in a field", "by a wall", "in a garden", "indoors", "in front of mountains",
    ),
    "light": ("in sunlight", "at sunrise", "at dusk", "at night", "on a cloudy day", "in fog", "under a lamp"),
    "view": (
        "seen from the front", "seen from the side", "seen from behind", "seen from above", "in the distance",
        "in close-up",
    ),
}  # fmt: skip
"""Phrases that fit any class. They name no other object."""
MOST_TEMPLATES = 200
"""The maximum number of templates with phrases."""


def varied_prompts(
    prompts: Sequence[str], kinds: Sequence[str], classes: Sequence[str], words: Collection[str] | None = None
) -> tuple[str, ...]:
    """The templates, each followed by a phrase of each kind or none, before a full stop: all combinations, at most
    MOST_TEMPLATES, in a mixed order that is always the same; then the unchanged prompts that name their classes.

    Phrases that name one of the classes are left out. words: the model's words, if its vocabulary is limited; phrases
    with other words are left out, too. Raises UserError for an unknown kind, for a kind without a remaining phrase, and
    without a template.
    """
    templates = [prompt for prompt in prompts if "{class}" in prompt]
    if not templates:
        raise UserError("vary", "adds phrases to prompts with {class}, and there is none", "leave it out")
    for kind in kinds:
        if kind not in PHRASES:
            raise UserError("vary", f"{kind!r} is not a kind of phrase", f"choose among {', '.join(PHRASES)}")
    choices: list[tuple[str, ...]] = []
    for kind in dict.fromkeys(kinds):
        named = classes_in(PHRASES[kind], classes)
        phrases = [phrase for phrase, names in zip(PHRASES[kind], named, strict=True) if not names]
        if words is not None:
            phrases = [phrase for phrase in phrases if set(content_words(phrase)) <= set(words)]
        if not phrases:
            raise UserError("vary", f"the model knows no phrase for {kind}", "leave it out")
        choices.append(("", *phrases))
    combined = []
    for template, *phrases in itertools.product(templates, *choices):
        text = " ".join(filter(None, (template.rstrip("."), *phrases)))
        combined.append(text + "." * template.endswith("."))
    mixed = sorted(combined, key=lambda text: blake2b(text.encode()).digest())[:MOST_TEMPLATES]
    return (*mixed, *(prompt for prompt in prompts if "{class}" not in prompt))
