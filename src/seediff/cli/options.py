"""What several commands share: options, checks of what was typed, and the lines about
next steps."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from functools import lru_cache
from itertools import product
from pathlib import Path
from types import MappingProxyType
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Generic,
    Literal,
    TypedDict,
    TypeVar,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

from cyclopts import Group, Parameter, Token
from cyclopts.validators import Number
from cyclopts.validators import Path as Ending

from ..config.fields import MODEL, MOST, RUN, WORD, flatten, tables_of
from ..config.methods import METHOD_FACTS, MaskConfig, MethodFacts, methods_with
from ..config.runs import GenerateConfig
from ..config.settings import defaults
from ..dataset.formats.format_table import formats_with
from ..errors import UserError
from ..files.messages import plural
from ..files.outputs import CONFIG, parse_folder
from ..files.reading import real
from ..models.saving_memory import Offload
from .commands import show_default

if TYPE_CHECKING:
    from rich.console import Console

    from ..rows.row import Row


Kind = TypeVar("Kind")
Names = TypeVar("Names")
FLAT = Parameter(name="*")
"""The parameter of a table whose fields are options without the table's name."""


class Typed(dict[str, Any], Generic[Kind]):
    """`Typed[GenerateConfig]` is the type of a command's parameter that gets the typed fields of a configuration: field
    → value, with tables for the fields of its parts. The parser sees a dictionary all of whose keys may be missing."""

    described = False
    """Whether fields have their texts and defaults, which take long to find and which only the help shows."""

    def __class_getitem__(cls, kind: type) -> Any:
        return Annotated[_typed_fields(kind, kind, "", cls.described), FLAT]


class TypedSome(dict[str, Any], Generic[Kind, Names]):
    """`TypedSome[GenerateConfig, Literal["model", "seed"]]`: as `Typed`, for these fields alone."""

    def __class_getitem__(cls, kind_and_names: Any) -> Any:
        kind, names = kind_and_names
        return Annotated[_typed_fields(kind, kind, "", Typed.described, get_args(names)), FLAT]


NOTHING: Any = MappingProxyType({})
"""The default of a parameter `typed`: nothing was typed."""


@lru_cache
def _typed_fields(kind: type, whole: type, prefix: str, described: bool, names: Collection[str] = ()) -> type:
    """A TypedDict with the fields of a dataclass, none of them required. kind: the dataclass. whole: the configuration
    that it is a part of, or that it is itself. prefix: what its fields' flat names begin with. names: the fields; ():
    all."""
    hints, parts, options = get_type_hints(kind, include_extras=True), tables_of(kind), dict[str, Any]()
    texts: Mapping[str, str] = {}
    shown: Mapping[str, Any] = {}
    if described:
        texts, shown = _texts_beneath_fields(kind), usual_values(whole)
    for field in fields(kind):
        if names and field.name not in names:
            continue
        hint, flat_name = hints[field.name], f"{prefix}{field.name}"
        if field.name in parts:
            part = _typed_fields(parts[field.name], whole, f"{flat_name}.", described)
            options[field.name] = Annotated[part, FLAT]
            continue
        text, methods = texts.get(field.name), formats_with(kind, field.name) or methods_with(flat_name)
        if text and methods:
            text = f"{', '.join(methods)}: {text[0].lower()}{text[1:]}"
        about = Parameter(help=text, show_default=show_default(shown.get(flat_name)) or False)
        plain, *more = get_args(hint) if get_origin(hint) is Annotated else (hint,)
        options[field.name] = Annotated[(plain, about, *more)]  # what comes later counts more
    made = cast(Any, TypedDict)(kind.__name__, options, total=False)
    if hasattr(kind, "__cyclopts__"):  # the class's own Parameter, such as its group
        made.__cyclopts__ = kind.__cyclopts__
    return made


@lru_cache
def usual_values(kind: type) -> Mapping[str, Any]:
    """Flat name → the value of a field without any option, for a configuration's class: what the default model's preset
    says, if the command has a default model, or else the class's default, or MISSING."""
    if issubclass(kind, GenerateConfig):
        return kind.recommended(classes=("any",)).flat() | {"classes": MISSING}
    return defaults(kind)


def _texts_beneath_fields(kind: type) -> dict[str, str]:
    from docstring_parser import parse_from_object  # takes long, and reads the module's source

    texts: dict[str, str] = {}
    for base in reversed(kind.__mro__[:-1]):
        texts |= {text.arg_name: " ".join((text.description or "").split()) for text in parse_from_object(base).params}
    return texts


def option(group: Group, text: str, default: object = None, **parameter: Any) -> Parameter:
    """The parameter of an option. group: its group in the help. text: its help text. default: the default that the help
    shows; None: no default. parameter: further arguments of cyclopts' `Parameter`."""
    shown = False if default in (None, "") else str(default)
    return Parameter(group=group, help=text, show_default=shown, **parameter)


def shown(default: str | bool) -> Parameter:
    """A parameter with which the help shows a default. default: its text; False: show no default."""
    return Parameter(show_default=default)


def _folder(kind: Any, tokens: Sequence[Token]) -> Path:
    return parse_folder(tokens[0].value)


def _check_seed(kind: type, seed: int) -> None:
    from ..dataset.split import check_seed

    check_seed(seed)


HERE = Parameter(converter=_folder)
"""Added to an option whose value is a folder or file on this machine: a URL is refused."""


Whole = Annotated[int, WORD, Parameter(validator=Number(lte=MOST))]
"""A whole number that is no field of a configuration: those have their bounds in their types."""
AT_LEAST_0, AT_LEAST_1 = (Parameter(validator=Number(gte=least, lte=MOST)) for least in (0, 1))
AnySeed = Annotated[int, WORD, Parameter(validator=_check_seed)]
"""A random seed: a number that random generators do not accept is refused."""
Data = Annotated[Path, Parameter(help="Folder of a finished dataset.")]
RunOut = Annotated[Path, HERE, option(RUN, "Folder for the dataset. Continues an unfinished run there.")]
NewOut = Annotated[Path, HERE, option(RUN, "New folder; it appears when it is complete.")]
Link = Annotated[
    bool,
    option(RUN, "Hard-link images instead of copying them, where the file system allows it.", "no", negative=()),
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

    def warn(self, text: str) -> None:
        if not self.quiet:
            print(f"seediff: {text}", file=sys.stderr, flush=True)


AS_USUAL = RunOptions()


Rule = tuple[str, object, str]
"""The flat name of an option, whether it has no effect, and why."""


def check_effects(typed: Mapping[str, Any], method: str, rules: Sequence[Rule]) -> None:
    """Raise UserError for a typed option that has no effect, for example --tau with another method than ca_sa. typed:
    what was typed. method: the method of masks or segments. rules: for what depends on more than the method."""
    names, facts = flatten(typed), METHOD_FACTS.get(method, MethodFacts())
    useless = [(name, reason) for name, has_none, reason in rules if has_none and name in names]
    if facts.user_function is None:  # a user's function may read any constant
        for name in names:
            methods = methods_with(name)
            if methods and method not in methods:
                useless.append((name, f"it is an option of {', '.join(methods)}, not of {method}"))
    for name, reason in useless:
        raise UserError(name, f"has no effect, as {reason}", "leave it out")


def mask_rules(mask: MaskConfig) -> list[Rule]:
    """The rules for options of masks. mask: the constants in use."""
    finish, has_own = mask.facts.finish, f"{mask.method} has its own"
    return [
        ("mask.beta", mask.ignore_band, "the ignored band replaces it"),
        ("mask.beta", finish.threshold, has_own),
        ("mask.pamr_iterations", not mask.pamr, "PAMR is off"),
        ("mask.pamr_iterations", finish.iterations, has_own),
        ("mask.pamr_dilations", not mask.pamr, "PAMR is off"),
        ("mask.pamr_dilations", finish.dilations, has_own),
    ]


PHOTOS_AND_MAPS = (("images", "masks"), ("JPEGImages", "SegmentationClass"), ("leftImg8bit", "gtFine"))
"""(folder of photographs, folder of label maps) in datasets of SeeDiff, VOC and Cityscapes."""


def check_photos(paths: Sequence[Path]) -> None:
    """Raise UserError for a folder that is a dataset or contains one, because its label maps would be taken for
    photographs. Outputs of SeeDiff inside the folder are allowed, because `find_photos` leaves them out."""
    for path in filter(Path.is_dir, paths):
        below = [folder for folder in sorted(path.iterdir()) if not (folder / CONFIG).is_file()]
        for folder, (photos, maps) in product([path, *below], PHOTOS_AND_MAPS):
            if (folder / photos).is_dir() and (folder / maps).is_dir():
                problem = "is a dataset, whose label maps are not photographs"
                raise UserError(folder, problem, f"give {folder / photos}")


def report_unusable(failed: Sequence[Row], photos: int, out: Path) -> None:
    """Raise UserError at the end of a run if some photographs could not be used, so that the exit code shows it.
    failed: the rows of failed.jsonl. photos: the number of all photographs. out: the folder of the output."""
    from ..files.photo_files import FAILED  # imports numpy

    if failed:
        first, count = failed[0], len(failed)
        reasons = f"{first.photo}: {first.reason}"
        if count > 1:
            reasons += f" and {count - 1} more"
        where = shlex.quote(str(out / FAILED))
        raise UserError(f"{count} of {plural(photos, 'image')} could not be used ({reasons}); the list is in {where}")


def print_lines(console: Console, lines: Iterable[str]) -> None:
    """Print lines as they are. console: from `make_console`."""
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)


LOOK = "see how each mask was made, and correct it"


def next_steps(*commands: str, made: Path | None = None) -> str:
    """The last lines that a command prints: the commands to run next, and the page to look at. commands: from
    `command_line`. made: the folder of the new dataset, which has the page; None: there is no page."""
    from ..dataset.native import PREVIEW  # imports numpy

    steps = "\n  ".join(("\nNext:", *commands))
    return steps if made is None else f"{steps}\n\nLook at {shlex.quote(str(made / PREVIEW))} (in a browser)"


def command_line(*arguments: object, about: str = "") -> str:
    """A line for a shell that runs this program, such as `seediff check pets`. about: its purpose, appended as a
    comment."""
    line = " ".join([own_command(), *(shlex.quote(str(argument)) for argument in arguments)])
    return f"{line}    # {about}" if about else line


def export_line(data: Path) -> str:
    return command_line("export", data, "--to", "coco", "--out", f"{data}-coco", about="or yolo, voc, cvat …")


def train_line(data: Path) -> str:
    return command_line("train", data, "--out", "segmenter")


def own_command() -> str:
    """What to type to run this program: `seediff` if the shell finds it by that name; otherwise the path of the running
    script, or `python -m seediff` if no script is running."""
    script = Path(sys.argv[0])
    if script.stem != "seediff":
        return f"{shlex.quote(sys.executable)} -m seediff"
    installed = shutil.which("seediff")
    if installed and real(installed) == real(script):
        return "seediff"
    return shlex.quote(str(script))
