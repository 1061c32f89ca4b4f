"""`seediff heatmap`: draws an image, and heat maps of the words of its prompt."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from ..config.fields import INPUT, RUN
from ..config.runs import GenerateConfig
from ..errors import UserError
from ..files.messages import show_json
from ..files.outputs import check_free, stage_output
from .advice import warn
from .options import HERE, Quiet, option
from .typed import ANY_CLASS, NOTHING, Typed

if TYPE_CHECKING:
    from ..models.families.inputs import Reader

OnePicture = Annotated[
    GenerateConfig, "model base lora lora_scale seed device dtype steps guidance_scale scheduler size"
]
"""The fields that decide a picture."""


def heatmap(
    prompt: Annotated[str, Parameter(help="What to draw, in quotes.")],
    /,
    *,
    words: Annotated[
        tuple[str, ...],
        option(INPUT, "Words or phrases of the prompt. Repeat the option for several.", "all words", negative=()),
    ] = (),
    typed: Typed[OnePicture] = NOTHING,
    out: Annotated[Path, HERE, option(RUN, "New folder for the images.", "heatmaps")] = Path("heatmaps"),
    quiet: Quiet = False,
) -> None:
    """Draw an image, and a heat map of each word of its prompt: where the model looked for the word.

    Writes image.png, a PNG per word with the scale of colours, and words.png, in which all are side by side.

    For example:

    - `seediff heatmap "a photo of a dog and a car on grass" --seed 2`

    - `seediff heatmap "a corgi on a red sofa" --model sd1.5 --words corgi --words "red sofa" --out corgi`
    """
    from ..config.resolve import configure_run
    from ..run.plan import check_model, strange_words

    # 1. What can be refused before the model is loaded
    check_free(out)
    config, info = configure_run(GenerateConfig, {"classes": ANY_CLASS, **typed})

    from PIL import Image
    from torch import Generator

    from ..attention.draw import check_steps, draw_noise_in_float32
    from ..config.names_in_texts import things_named
    from ..models.families.inputs import DrawRequest
    from ..models.registry import LoadOptions, load
    from ..script.capture import capture
    from ..script.results import heat_sheet
    from ..view import image_shape

    check_model(config, info)
    if info.readers:
        find_shown(info.readers, prompt, words)
    strange = strange_words(info, [prompt])
    if strange:
        warn(f"{strange}, and their heat maps mean nothing", quiet)

    # 2. The image
    loaded = load(info, LoadOptions.of(config), device=config.device, dtype=config.dtype)
    shown = find_shown(loaded.readers, prompt, words)
    check_steps(loaded, config.steps)
    pipe = loaded.pipe
    noise = Generator().manual_seed(config.seed)
    shape = image_shape(loaded.sizes, config.size)
    request = DrawRequest([prompt], "", *shape, config.steps, config.guidance_scale, [noise])
    with draw_noise_in_float32(pipe), capture(loaded) as seen:
        pipe(**loaded.family.pipeline_arguments(pipe, request))
    picture = seen.images[0]
    assert picture is not None

    # 3. Things that may not be what the words say
    things = things_named(prompt, shown, joined=not words)
    if len(things) > 1 and not quiet:
        doubt = seen.doubt(*things)
        if doubt:
            warn(doubt, quiet)

    # 4. The files
    heats = [seen.heatmap(word) for word in shown]
    with stage_output(out) as folder:
        Image.fromarray(picture).save(folder / "image.png")
        for name, heat in zip(file_names(shown, ("image", "words")), heats, strict=True):
            heat.save(folder / f"{name}.png")
        heat_sheet(heats).save(folder / "words.png")
    if not quiet:
        print(f"Heat maps of {', '.join(shown)} in {out}; all of them side by side: {out / 'words.png'}")


def find_shown(readers: Sequence[Reader], prompt: str, words: Sequence[str]) -> Sequence[str]:
    """The words whose heat maps are made, each once: `words`, or all words of the prompt. readers: the tokenizers.
    Raises UserError for a prompt that is too long, for words that are not in it, and if there is no word."""
    from ..config.names_in_texts import content_words
    from ..prompts.tokens import check_length, readings_of

    readings = readings_of(readers, prompt)
    check_length(readings)
    for word in words:
        if not word.strip() or not all(reading.columns([word])[word] for reading in readings):
            raise UserError(
                "words", f"{show_json(word)} is not in the prompt", "name words that are, each with --words"
            )
    if not words:
        named = content_words(prompt)
        found = [reading.columns(named) for reading in readings]
        words = [word for word in named if any(columns[word] for columns in found)]
    if not words:
        raise UserError("prompt", f"{prompt!r} has no word that names something", "name words with --words")
    return [*dict.fromkeys(words)]


def file_names(words: Iterable[str], taken: Iterable[str]) -> list[str]:
    """A file's name without ending for each word. All differ, also where a disk does not tell upper from lower case.
    taken: names of other files."""
    names: list[str] = []
    used = {*taken}
    for word in words:
        plain = re.sub(r"\W+", "-", word)
        numbered = chain([plain], (f"{plain}-{number}" for number in count(2)))
        name = next(name for name in numbered if name.casefold() not in used)
        used.add(name.casefold())
        names.append(name)
    return names
