"""`seediff augment`: a dataset and changed copies of its samples, as a new dataset."""

from __future__ import annotations

from typing import Annotated

from ..config.augment import AugmentConfig
from ..config.fields import RUN, WORD
from ..config.resolve import configure
from ..files.messages import plural
from .formats import follow_progress, say_reviewed
from .line import UNTYPED, Typed
from .options import ConfigFile, Data, DryRun, Link, NewOut, Quiet, option


def augment(
    data: Data,
    *,
    out: NewOut,
    line: Typed[AugmentConfig] = UNTYPED,
    link: Link = False,
    workers: Annotated[int, WORD, option(RUN, "Number of processes that make samples. The result is the same.", 1)] = 1,
    config: ConfigFile = None,
    dry_run: DryRun = False,
    quiet: Quiet = False,
) -> None:
    """Add changed copies of a dataset's samples: spliced, noisy, blurred, tilted, occluded, flipped, in other colours.

    Masks change with their pictures and are never interpolated. soft/, attention/ and steps/ are not copied.

    For example:

    - `seediff augment pets --out more-pets`

    - `seediff augment pets --add flip:100%,splice-2x2:25% --add flip+noise:500 --workers 4 --out more-pets`

    - `seediff augment pets --add diffumask,colour:10% --no-keep-originals --image-format jpg --out new-pets`
    """
    from ..dataset import native
    from ..dataset.augmented import open_augmented, write_augmented
    from ..files.output_folders import check_apart, check_free
    from .summary import command_line, look_at, next_steps

    settled = configure(AugmentConfig, line.values, config)
    check_apart(out, [data])
    check_free(out)
    augmented = open_augmented(settled, data)
    originals, new, sources = len(augmented.originals), len(augmented.new), len(augmented.sources)
    if dry_run:
        print(f"Would make: {plural(len(augmented), 'sample')} of {plural(len(augmented.classes), 'class')}")
        print(
            f"Originals: {originals} of {len(augmented.samples)}; for training, and so sources of new ones: {sources}"
        )
        print(*(f"  {kind}: {count}" for kind, count in augmented.added().items()), sep="\n")
        return
    write_augmented(augmented, out, link=link, workers=workers, follow=follow_progress(quiet))
    if quiet:
        return
    print(f"{plural(originals, 'original')} and {plural(new, 'new sample')} in {out}")
    say_reviewed(augmented.originals or [augmented.samples[position] for position in augmented.sources])
    print(next_steps(command_line("train", out, "--out", "segmenter")))
    print(f"\n{look_at(out / native.PREVIEW)}")
