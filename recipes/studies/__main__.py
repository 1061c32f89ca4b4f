"""`python -m recipes.studies …`: measure masks and segments against exact masks."""

from __future__ import annotations

import sys

from cyclopts import App

from seediff.cli.main import main

from .doubt import run_faults, run_loop
from .drawings import run_redrawing, run_review
from .segments import run_segments
from .truth import run_truth, run_tune

app = App(
    name="python -m recipes.studies",
    help="Measure masks and segments. `--model` is `mini`, `mini-dit`, or a pipeline trained on the embedded world.",
    help_format="markdown",
    result_action="return_value",
)
for command in (run_truth, run_tune, run_segments, run_redrawing, run_review, run_faults, run_loop):
    app.command(command, name=command.__name__.removeprefix("run_"))


if __name__ == "__main__":
    sys.exit(main(program=app))
