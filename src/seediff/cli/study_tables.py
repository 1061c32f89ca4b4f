"""`seediff study main | ablation | …`: tables of trained segmenters as commands."""

from __future__ import annotations

from collections.abc import Callable

from cyclopts import App

from .study_options import Options

TABLES = {
    "main": "Train on generated pairs and on exact masks, and fine-tune (SeeDiff, table 1).",
    "ablation": "Train on masks of CAA, CRE, IRE and the whole of SeeDiff (table 2).",
    "resolution": "Train on masks of cross-attention at one resolution (table 4).",
    "strategy": "Train on masks of CA, CA·SA and SeeDiff (table 5).",
    "pamr": "Train on masks with and without PAMR (table S4).",
    "zero-shot": "Train with five classes that no exact mask shows (table S1).",
    "cityscapes": "Measure on human and vehicle, as on Cityscapes (table 3).",
    "ade20k": "Measure on bus, car and person, as on ADE20K (table S3).",
    "domain": "Measure one synthetic set on two domains (table S2).",
    "augmentation": "Train with and without DiffuMask's augmentation.",
    "scale": "Train on more and more generated images, with a fitted curve.",
    "gap": "How much of what generated pairs lack is due to the images, and how much to the masks.",
    "drawing": "Train on images of other numbers of objects, and drawn with more or less guidance.",
    "steps": "Train on masks from the attention of all steps, or of the second half.",
    "selection": "Train on parts of a set: the surest masks, one object per image, objects pasted in front.",
    "photographs": "Measure the embedded world's segmenter on photographs, and fine-tune it on some.",
}
"""By the name of the command and of the file in studies/."""


def register(app: App) -> None:
    """Add a command per table."""
    for table, what in TABLES.items():
        app.command(_command(table, what), name=table)


DEFAULTS = Options()


def _command(table: str, what: str) -> Callable[..., None]:
    def command(options: Options = DEFAULTS) -> None:
        from .study_table_run import run

        run(table, options)

    command.__doc__ = f"""{what}

    What is not there yet is made: sets are drawn, segmenters trained and measured. The same command continues a study that was stopped.

    Examples:

    - `seediff study {table} --art art --out studies/{table}`

    - `seediff study {table} --world full --dry-run`
    """
    return command
