"""The options that several commands share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Group, Parameter, Token
from cyclopts.validators import Number
from cyclopts.validators import Path as Ending

from ..config.fields import MODEL, MOST, RUN, Whole
from ..errors import UserError
from ..files.outputs import parse_folder
from ..models.saving_memory import Offload


def option(group: Group, text: str, default: object = None, **parameter: Any) -> Parameter:
    """The parameter of an option. group: its group in the help. text: its help text. default: the default that the help
    shows; None: no default. parameter: further arguments of cyclopts' `Parameter`."""
    shown = False if default in (None, "") else str(default)
    return Parameter(group=group, help=text, show_default=shown, **parameter)


def _folder(kind: Any, tokens: Sequence[Token]) -> Path:
    return parse_folder(tokens[0].value)


HERE = Parameter(converter=_folder)
"""Added to an option whose value is a folder or file on this machine: a URL is refused."""


AT_LEAST_0, AT_LEAST_1 = (Parameter(validator=Number(gte=least, lte=MOST)) for least in (0, 1))
Data = Annotated[Path, Parameter(help="Folder of a finished dataset.")]
RunOut = Annotated[Path, HERE, option(RUN, "Folder for the dataset. Continues an unfinished run there.")]
NewOut = Annotated[Path, HERE, option(RUN, "New folder; it appears when it is complete.")]
Link = Annotated[
    bool, option(RUN, "Hard-link images instead of copying them, where the file system allows it.", "no", negative=())
]
WithRejected = Annotated[bool, option(RUN, "Also use samples that were rejected in `seediff look`.", "no", negative=())]
Workers = Annotated[Whole, option(RUN, "Number of processes. The result is the same.", 1)]
Json = Annotated[
    Path | None, HERE, Parameter(validator=Ending(ext="json")), option(RUN, "Also write all results to this JSON file.")
]
DryRun = Annotated[bool, option(RUN, "Print the plan and stop.", negative=())]
Verbose = Annotated[bool, option(RUN, "With --dry-run: also print layers and all settings.", negative=())]
Quiet = Annotated[bool, option(RUN, "Print only errors.", negative=())]
ConfigFile = Annotated[
    Path | None,
    option(
        RUN,
        "TOML file with any of these options, such as an output's seediff.toml. The command line overrides it.",
        name="--config",
    ),
]


@Parameter(name="*", group=RUN)
@dataclass(frozen=True)
class RunOptions:
    """How batches are made. These options change no byte of the output, so they are not part of the configuration."""

    offload: Annotated[Offload, Parameter(group=MODEL)] = "none"
    """Keep whole parts (model) or single layers (sequential) in main memory until the GPU needs them. Slower; same
    bytes."""
    engine: Literal["local", "ray"] = "local"
    """Where batches run: in this process (local), or in Ray workers on this machine or a cluster (ray)."""
    workers: Whole | None = None
    """With --engine ray: number of workers, by default one per GPU, else one per core."""
    address: str | None = None
    """With --engine ray: address of a running cluster, or auto for the one on this machine; by default a cluster is
    started here.
    """
    finish: Annotated[bool, Parameter(negative=())] = False
    """Close a stopped run with the batches made so far. Without this option, the same command goes on."""
    dry_run: DryRun = False
    verbose: Verbose = False
    quiet: Quiet = False

    def __post_init__(self) -> None:
        for name, value in (("workers", self.workers), ("address", self.address)):
            if value is not None and self.engine != "ray":
                raise UserError(name, "is an option of --engine ray")


AS_USUAL = RunOptions()
