"""`varied_prompts`: templates with places, light and points of view, so that the images of a class do not all look
alike. A template is a prompt with {class}."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Collection, Sequence

from ..config.names_in_texts import classes_in, content_words
from ..errors import UserError

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
"""Kind of phrase → phrases that fit any class and name no other object."""
MOST_TEMPLATES = 200
"""Maximum number of templates that `varied_prompts` returns."""


def varied_prompts(
    prompts: Sequence[str], kinds: Sequence[str], classes: Sequence[str], words: Collection[str] | None = None
) -> tuple[str, ...]:
    """The templates with phrases: `a {class}` → `a {class}`, `a {class} on grass`, `a {class} on grass at night`, …

    Each template is combined with every choice of at most one phrase of each kind, before its full stop. There are at
    most MOST_TEMPLATES results, in a mixed order that is always the same. Prompts that are no templates follow
    unchanged.

    prompts: may have templates. kinds: keys of PHRASES. classes: phrases that name a class are left out. words: the
    words that the model knows, and phrases with unknown words are left out, too; None: it knows all words. Raises
    UserError for an unknown kind, for a kind without a remaining phrase, and if there is no template.
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
        if template.endswith("."):
            text += "."
        combined.append(text)
    mixed = sorted(combined, key=lambda text: hashlib.blake2b(text.encode()).digest())[:MOST_TEMPLATES]
    return (*mixed, *(prompt for prompt in prompts if "{class}" not in prompt))
