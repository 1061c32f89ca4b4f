"""What the commands share: options of several commands, and carrying out a job."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Group, Parameter, Token

from ..config.constants import MaskConfig
from ..config.fields import MODEL, RUN, WORD
from ..config.methods import METHOD_FACTS
from ..errors import UserError
from ..files.output_folders import parse_folder

if TYPE_CHECKING:
    from ..run.loop import AnyJob, Engine, RunResult


def option(group: Group, text: str, default: object = None, **parameter: Any) -> Parameter:
    """An option with its help text. default: shown in the help."""
    return Parameter(
        group=group, help=text, show_default=str(default) if default not in (None, "") else False, **parameter
    )


DryRun = Annotated[bool, option(RUN, "Print the plan and stop.", negative=())]
Quiet = Annotated[bool, option(RUN, "Print only errors.", negative=())]
ConfigFile = Annotated[
    Path | None,
    option(
        RUN, "TOML file with any of these options, such as an output's seediff.toml. The command line overrides it."
    ),
]
OFFLOAD = option(
    MODEL,
    "Keep whole parts (model) or single layers (sequential) in main memory until the GPU needs them. Slower; same"
    " bytes.",
    "none",
)
GRAPHS = option(
    MODEL,
    "On an NVIDIA GPU, replay the network's calls instead of starting a thousand kernels for each: on, off, or auto,"
    " for models that were measured to be faster so. Same bytes.",
    "auto",
)


def _folder(kind: Any, tokens: Sequence[Token]) -> Path:
    return parse_folder(tokens[0].value)


def _check_seed(kind: type, seed: int) -> None:
    from ..dataset.split import check_seed

    check_seed(seed)


HERE = Parameter(converter=_folder)
"""A second Parameter of options whose value is a folder or file on this machine. Raises UserError for an address."""
DatasetOut = Annotated[Path, HERE, option(RUN, "Folder for the dataset. Continues an unfinished run there.")]
SEED = Parameter(validator=_check_seed)
"""A second Parameter of options whose value is a random seed. Raises UserError for seeds that not every random
generator accepts.
"""


@Parameter(name="*", group=RUN)
@dataclass(frozen=True)
class EngineOptions:
    """Where batches run. Not part of the configuration, because it changes no byte of the output."""

    engine: Literal["local", "ray"] = "local"
    """Where batches run: in this process (local), or in Ray workers on this machine or a cluster (ray)."""
    workers: Annotated[int | None, WORD] = None
    """With --engine ray: number of workers, by default one per GPU, else one per core."""
    address: str | None = None
    """With --engine ray: address of a running cluster, or auto for the one on this machine; by default a cluster is
    started here.
    """


def make_engine(options: EngineOptions | None) -> Engine | None:
    """The engine for the batches; None: this process. Raises UserError for options that need --engine ray."""
    options = options or EngineOptions()
    if options.engine == "ray":
        from ..run.cluster import Ray

        return Ray(options.workers, options.address)
    for name in ("workers", "address"):
        if getattr(options, name) is not None:
            raise UserError(name, "is an option of --engine ray")
    return None


def carry_out(
    job: AnyJob, out: Path, engine: Engine | None, what: str, *, dry_run: bool, quiet: bool
) -> RunResult | None:
    """Run a job with progress on stderr, or, for `dry_run`, print its plan. what: the plural of what progress
    counts.
    """
    from ..run import loop
    from .progress import show_progress

    if dry_run:
        print(loop.plan(job, out))
        return None
    with show_progress(quiet, out, what) as progress:
        return loop.run(job, out, engine=engine, progress=progress)


def check_mask_effects(typed: Iterable[str], mask: MaskConfig, reject: bool = False) -> None:
    """Raise UserError for an option of masks, or --attempts, that was typed and has no effect."""
    finish, pamr = mask.facts.finish, "" if mask.pamr else "PAMR is off"
    own = f"{mask.method} has its own"
    reasons = {
        "attempts": "" if reject else "only --reject draws samples again",
        "mask.beta": "the ignored band replaces it" if mask.ignore_band else own if finish.threshold else "",
        "mask.pamr_iterations": pamr or (own if finish.iterations else ""),
        "mask.pamr_dilations": pamr or (own if finish.dilations else ""),
    }
    for name in typed:
        methods = [method for method, facts in METHOD_FACTS.items() if name.removeprefix("mask.") in facts.own_options]
        unread = name.startswith("mask.") and methods and mask.method not in methods and mask.facts.own is None
        reason = f"it is an option of {', '.join(methods)}, not of {mask.method}" if unread else reasons.get(name)
        if reason:
            raise UserError(name, f"has no effect, as {reason}", "leave it out")
