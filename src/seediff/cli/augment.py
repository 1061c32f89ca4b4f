"""`seediff augment`: a dataset and changed copies of its samples, as a new dataset."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Group, Parameter

from ..config.augment import OPERATIONS, PRESETS, AugmentConfig, Strength
from ..config.resolve import configure
from .derive import option
from .following import command_line, following, look_at
from .options import RUN, EngineOptions, chosen_engine, given, numbers
from .places import parse_place
from .progress import show_progress

WHAT = Group("What to add", sort_key=1)
STRENGTH = Group("How much; pairs are ranges", sort_key=2)
KEPT = Group("Output", sort_key=3)


def shown(name: str) -> str:
    """A default of Strength as the command line writes it."""
    value = getattr(Strength, name)
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


@Parameter(name="*")
@dataclass(frozen=True)
class StrengthOptions:
    """Fields of Strength; pairs as texts with commas."""

    noise_sigma: Annotated[str | None, option(STRENGTH, "Noise; 1 is white minus black.", shown("noise_sigma"))] = None
    blur_sigma: Annotated[str | None, option(STRENGTH, "Blur, share of the shorter side.", shown("blur_sigma"))] = None
    perspective_shift: Annotated[
        str | None, option(STRENGTH, "How far corners move inwards, share of the sides.", shown("perspective_shift"))
    ] = None
    box_count: Annotated[str | None, option(STRENGTH, "Boxes of noise.", shown("box_count"))] = None
    box_side: Annotated[str | None, option(STRENGTH, "Sides of the boxes, as a share of the picture's.", shown("box_side"))] = None
    object_count: Annotated[str | None, option(STRENGTH, "Objects pasted.", shown("object_count"))] = None
    object_side: Annotated[
        str | None, option(STRENGTH, "Longer side of pasted objects, as a share of the picture's shorter side.", shown("object_side"))
    ] = None
    colour_change: Annotated[
        float | None, option(STRENGTH, "Brightness, contrast, saturation: times 1 ± this.", shown("colour_change"))
    ] = None
    hue_change: Annotated[float | None, option(STRENGTH, "Share of the colour circle, either way.", shown("hue_change"))] = None


def augment(
    data: Annotated[Path, Parameter(help="Folder of a finished dataset.")],
    *,
    out: Annotated[
        str, option(RUN, "Folder of the new dataset, or a URL of a store such as s3://bucket/name. An unfinished run in it is continued.")
    ],
    add: Annotated[
        list[str] | None,
        option(
            WHAT,
            "OPERATION:HOW-MANY, with commas between or repeated; flip:50% (of the set's samples), blur:200 (pictures), flip+noise:10% "
            f"(one after the other). Operations: {', '.join(OPERATIONS)}.",
            negative=(),
        ),
    ] = None,
    preset: Annotated[
        Literal["diffumask"] | None, option(WHAT, "DiffuMask's recipe, scaled to the set's size; before --add.", "diffumask without --add")
    ] = None,
    seed: Annotated[int | None, option(WHAT, "Another seed, other pictures.", AugmentConfig.seed)] = None,
    strength: StrengthOptions | None = None,
    keep_originals: Annotated[bool | None, option(KEPT, "The output has the originals too.", "yes")] = None,
    image_format: Annotated[
        Literal["png", "jpg"] | None, option(KEPT, "Format of new pictures; masks are always PNG.", "as the source")
    ] = None,
    link: Annotated[
        bool, option(KEPT, "Hard links to original pictures, where the file system allows them, instead of copies.", negative=())
    ] = False,
    workers: Annotated[
        int | None, option(RUN, "Processes of this machine, or workers of Ray; the result is the same.", "1; ray: one per core")
    ] = None,
    engine: Annotated[Literal["local", "ray"], option(RUN, "Who does it: this machine, or a Ray cluster's workers.", "local")] = "local",
    address: Annotated[
        str | None, option(RUN, "With --engine ray: address of a running cluster; auto: this machine's.", "a cluster of this machine alone")
    ] = None,
    batch_size: Annotated[
        int | None, option(RUN, "Samples between two points from which a stopped run continues.", AugmentConfig.batch_size)
    ] = None,
    config: Annotated[
        Path | None,
        option(RUN, "TOML file with any of these options, such as the seediff.toml of an augmented set; the command line overrides it."),
    ] = None,
    dry_run: Annotated[bool, option(RUN, "Only say what would be done.", negative=())] = False,
    quiet: Annotated[bool, option(RUN, "Print nothing but errors.", negative=())] = False,
) -> None:
    """Add changed copies of a dataset's samples: spliced, noisy, blurred, tilted, occluded, flipped, in other colours.

    Masks move with their pictures and are never interpolated. A run that was stopped, in whatever way, is continued by the same command and
    ends with the same bytes. soft/, attention/ and steps/ stay behind.

    For example:

    - `seediff augment pets --out more-pets`

    - `seediff augment pets --add flip:100%,splice-2x2:25% --add flip+noise:500 --workers 4 --out more-pets`

    - `seediff augment pets --preset diffumask --add colour:10% --no-keep-originals --image-format jpg --out new-pets`
    """
    from ..run.augment import augment as run
    from ..run.augment import describe

    line: dict[str, Any] = {"seed": seed, "keep_originals": keep_originals, "image_format": image_format, "batch_size": batch_size}
    line = {name: value for name, value in line.items() if value is not None}
    if add or preset:
        listed = [part.strip() for text in add or () for part in text.split(",")]
        line["add"] = (*(PRESETS[preset] if preset else ()), *listed)
    line["strength"] = strength_table(strength or StrengthOptions())
    chosen = configure(AugmentConfig, line, config)
    place, local = parse_place(out), engine == "local"
    others = chosen_engine(EngineOptions(engine, None if local else workers, address))
    if dry_run:
        from ..run.place import describe_at

        print(describe_at(place, chosen, lambda config, folder: describe(config, data, folder)))
        return
    processes = workers if local and workers is not None else 1
    with show_progress(quiet, place, "samples") as progress:
        result = run(chosen, data, place, workers=processes, link=link, engine=others, progress=progress)
    if not quiet:
        start = "Complete: " if not result.done else ""
        print(f"{start}{result.originals} originals and {result.added} new samples in {place}")
        if result.reviewed:
            print(f"Reviewed: {result.reviewed}")
        if isinstance(place, Path):
            print(following(command_line("train", out, "--out", "segmenter")))
        print(f"\n{look_at(place / 'preview.html')}")


def strength_table(options: StrengthOptions) -> dict[str, Any]:
    """What of Strength was given. UserError naming the option that cannot be read."""
    table = given(options)
    for f in fields(Strength):
        if isinstance(table.get(f.name), str):
            kind = type(getattr(Strength, f.name)[0])
            table[f.name] = numbers(table[f.name], "--" + f.name.replace("_", "-"), kind, 2)
    return table
