"""`seediff heatmap`: draws a picture, and heat maps of the words of its prompt."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from ..config.fields import INPUT, RUN
from ..config.generate_config import GenerateConfig
from ..errors import UserError
from ..files.outputs import check_free, stage_output
from .options import HERE, NOTHING, Quiet, TypedSome, option

DrawnFields = Literal[
    "model", "base", "lora", "lora_scale", "seed", "device", "dtype", "steps", "guidance_scale", "scheduler", "size"
]
"""The fields that decide the picture."""


def heatmap(
    prompt: Annotated[str, Parameter(help="What to draw, in quotes.")],
    /,
    *,
    words: Annotated[
        tuple[str, ...],
        option(INPUT, "Words or phrases of the prompt. Repeat the option for several.", "all words", negative=()),
    ] = (),
    typed: TypedSome[GenerateConfig, DrawnFields] = NOTHING,
    out: Annotated[Path, HERE, option(RUN, "New folder for the pictures.", "heatmaps")] = Path("heatmaps"),
    quiet: Quiet = False,
) -> None:
    """Draw a picture, and a heat map of each word of its prompt: where the model looked for the word.

    Writes picture.png, a PNG per word with the scale of colours, and words.png, in which all are side by side.

    For example:

    - `seediff heatmap "a photo of a dog and a car on grass"`

    - `seediff heatmap "a corgi on a red sofa" --model sd1.5 --words corgi --words "red sofa" --out corgi`
    """
    check_free(out)
    config = GenerateConfig.recommended(classes=("any",), **typed)

    from PIL import Image
    from torch import Generator

    from ..attention.draw import draw_noise_in_float32, image_shape
    from ..models.families.inputs import DrawRequest
    from ..models.registry import load_model
    from ..prompts.tokens import locate_columns
    from ..script.capturing import capture

    loaded = load_model(
        config.model,
        base=config.base,
        device=config.device,
        dtype=config.dtype,
        lora=config.lora,
        lora_scale=config.lora_scale,
        scheduler=config.scheduler,
    )
    pipe, noise = loaded.pipe, Generator().manual_seed(config.seed)
    locate_columns(loaded.readers, prompt, words)  # refuses words that are not in the prompt
    shape = image_shape(loaded, config.size)
    request = DrawRequest([prompt], "", *shape, config.steps, config.guidance_scale, [noise])
    with draw_noise_in_float32(pipe), capture(loaded) as seen:
        pipe(**loaded.family.pipeline_arguments(pipe, request))
    picture = seen.images[0]
    assert picture is not None
    files = {re.sub(r"\W+", "-", word): word for word in words or seen.words[0]}
    if not files:
        raise UserError("prompt", f"{prompt!r} has no word that names something", "name words with --words")
    with stage_output(out) as folder:
        Image.fromarray(picture).save(folder / "picture.png")
        for name, word in files.items():
            seen.heatmap(word).save(folder / f"{name}.png")
        seen.heatmaps(*files.values()).save(folder / "words.png")
    if not quiet:
        print(f"Heat maps of {', '.join(files.values())} in {out}; all of them side by side: {out / 'words.png'}")
