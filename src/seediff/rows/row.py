"""A row of metadata.jsonl: `Row`. A key is declared here and nowhere else: its type, its sentence in docs/formats.md,
and what becomes of it when the mask is replaced. Keys of other programs go from set to set in `rest`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, get_args, get_type_hints

import msgspec

from ..config.fields import Share
from ..files.names import sample_name
from ..files.reading import ABSENT, Byte, Json, composed, fit, read_json_lines
from .values import UNLABELLED, Shown, part_of


@dataclass(frozen=True)
class QualityScore:
    """How the viewer and `filter` compare masks by a score, of which 1 is the best."""

    title: str
    help: str
    worst: float


@dataclass(frozen=True)
class Key:
    """What is to be known of a key of a row."""

    about: str
    """Its sentence in docs/formats.md."""
    of_mask: bool = False
    """Whether it describes the mask, and goes when another mask takes its place."""
    of_classes: bool = False
    """Whether it names classes, or has values by their names."""
    score: QualityScore | None = None
    """How the viewer filters and sorts by the worst of its values; None: it does not."""
    in_viewer: bool = False
    """Whether the viewer shows it beside the sample."""
    in_place: bool = False
    """Whether a command writes it into the rows of a finished set, so that it stays when the set grows."""
    writers: str = ""
    """Which commands write it, for an error about a row that lacks it."""


Text = str | None
Names = tuple[str, ...] | None
Ids = tuple[Byte, ...] | None
Number = Annotated[int, msgspec.Meta(ge=0)] | None
Shares = dict[str, Share] | None


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """An object whose keys are None if they are absent or null, and whose other keys are in `rest`, also within it:

    in a file   {"file_name": "images/1.png", "by": "me", "review": {"verdict": "accepted", "why": "sharp"}}
    read        Row(file_name="images/1.png", rest={"by": "me"}, review=Review("accepted", rest={"why": "sharp"}))
    written     as in the file, with the keys in their order, and those of `rest` behind them
    """

    inner: ClassVar[Mapping[str, type[Kept]]] = {}
    """Key → what its value, or each of its values, is."""
    rest: Json = {}

    def to_json(self) -> Json:
        """The object as it is written."""
        values = ((name, getattr(self, name)) for name in _names(type(self)))
        return {name: _plain(value) for name, value in values if value is not None} | self.rest


@cache
def _names(kind: type[Kept]) -> Mapping[str, None]:
    return dict.fromkeys(name for name in kind.__struct_fields__ if name != "rest")


def _plain(value: Any) -> Any:
    if isinstance(value, Kept):
        return value.to_json()
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    return value


def _sorted_out(value: Any, kind: type[Kept]) -> Any:
    """A value from a file with its unknown keys in `rest`, also within it, for `fit`. A value of another type stays."""
    if isinstance(value, list):
        return [_sorted_out(one, kind) for one in value]
    if not isinstance(value, dict):
        return value
    names = _names(kind)
    known = {key: one for key, one in value.items() if key in names}
    known["rest"] = {key: one for key, one in value.items() if key not in names}
    for key in kind.inner.keys() & known.keys():
        known[key] = _sorted_out(known[key], kind.inner[key])
    return known


class RecipeStep(Kept, frozen=True, kw_only=True):
    """A step of a recipe. Its other keys are random choices."""

    operation: str


class Recipe(Kept, frozen=True, kw_only=True):
    """How `augment` made a sample."""

    inner: ClassVar[Mapping[str, type[Kept]]] = {"steps": RecipeStep}
    source: Any = None
    """The name of the sample that was changed."""
    pixels: Text = None
    """The `pixel_digest` of the picture that was changed. If `augment` made that picture, too, the digest is that of
    the first picture."""
    seed: Any = None
    """What the random choices follow from."""
    steps: tuple[RecipeStep, ...] | None = None


class Review(Kept, frozen=True, kw_only=True):
    """What people decided about a sample."""

    verdict: Literal["accepted", "rejected"] | None = None
    corrected: bool | None = None
    """Whether a person drew or changed the mask."""
    divided: bool | None = None
    """Whether a person cut or joined objects of the mask."""
    by: Text = None
    """The person who acted last."""
    made: Annotated[Json, msgspec.Meta(min_length=1)] | None = None
    """The constants with which `seediff look` made the mask anew."""

    @property
    def judged(self) -> bool:
        """Whether a person has judged or changed the mask."""
        return bool(self.verdict or self.corrected)

    @property
    def remade(self) -> bool:
        """Whether a method made the mask anew."""
        return self.made is not None

    @property
    def replaced(self) -> bool:
        """Whether a person or a method has made another mask than the original."""
        return bool(self.corrected) or self.remade

    @property
    def rejected(self) -> bool:
        """Whether people rejected the sample."""
        return self.verdict == "rejected"


class Row(Kept, frozen=True, kw_only=True):
    """A row of metadata.jsonl, or of the files beside it about what did not become a sample. Keys that a row lacks are
    None. Three properties stand for keys, and are then empty instead: `class_names` for `classes`, `flag_list` for
    `flags`, and `review_or_empty` for `review`."""

    inner: ClassVar[Mapping[str, type[Kept]]] = {"recipe": Recipe, "review": Review}

    file_name: Annotated[Text, Key("the image's path relative to the folder, with `/`")] = None
    mask_file_name: Annotated[Text, Key("the label map's path")] = None
    prompt: Annotated[
        Text,
        Key(
            "the text that the image was drawn from; `mask`: the text shown with the photograph, "
            '"" if no class was looked for'
        ),
    ] = None
    classes: Annotated[
        Names,
        Key(
            "the names of the classes, in the prompt's order; `mask`: only classes that were found",
            of_mask=True,
            of_classes=True,
        ),
    ] = None
    class_ids: Annotated[Ids, Key("the mask values of `classes`", of_mask=True)] = None
    seed: Annotated[Number, Key("only `generate`: the image's noise was drawn from it", in_viewer=True)] = None
    attempt: Annotated[Number, Key("only `generate`: the number of rejected draws before this one")] = None
    photo: Annotated[Text, Key("only in failed.jsonl: the photograph's file")] = None
    reason: Annotated[Text, Key("only in failed.jsonl: why the photograph could not be used")] = None
    source: Annotated[Any, Key("only photographs: the path below the given folder, without suffix", in_viewer=True)] = (
        None
    )
    index: Annotated[Number, Key("`mask`, `segment`: the photograph's number in the run, which decides its noise")] = (
        None
    )
    asked: Annotated[
        Names,
        Key(
            "`mask`: the classes that the command looked for; `segment`: the words that could name segments",
            of_classes=True,
        ),
    ] = None
    presence: Annotated[
        Shares,
        Key(
            "only `mask`: each class in `asked` → its presence score in [0, 1]: whether the image shows it. "
            "A class got a mask if its score reached `--presence`",
            of_classes=True,
            in_viewer=True,
        ),
    ] = None
    flags: Annotated[
        Names,
        Key(
            "problems, as `kind:class`; empty if there are none. `mask`: `no_class` if no class was found", of_mask=True
        ),
    ] = None
    area: Annotated[Shares, Key("class → its share of the image, in [0, 1]", of_mask=True, of_classes=True)] = None
    confidence: Annotated[
        Shares,
        Key(
            "class → its [confidence](quality.md#seediff-filter), in [0, 1]",
            of_mask=True,
            of_classes=True,
            score=QualityScore("Confidence, 0 to 1", "How clear-cut the soft mask is", worst=0),
            in_viewer=True,
            writers="generate and mask write it",
        ),
    ] = None
    support: Annotated[
        Shares,
        Key(
            "after `doubt`: the class of the least supported place → the sample's [support](quality.md#seediff-doubt), "
            "in [0, 1]",
            of_mask=True,
            of_classes=True,
            score=QualityScore(
                "Support by other samples, 0 to 1",
                "Whether a segmenter that learned from other samples of the set agrees with the mask everywhere",
                worst=0,
            ),
            in_viewer=True,
            in_place=True,
            writers="`seediff doubt` writes it",
        ),
    ] = None
    least_piece: Annotated[
        Number,
        Key("after `filter --clean`: pieces of fewer pixels got the label around them", of_mask=True, in_viewer=True),
    ] = None
    model: Annotated[Text, Key("the model that made the sample", in_viewer=True)] = None
    method: Annotated[Text, Key("the method that made the mask", in_viewer=True)] = None
    version: Annotated[Text, Key("the SeeDiff version that made the sample")] = None
    trained_on: Annotated[
        bool | None, Key("only `predict`: true if the segmenter was trained on the image", of_mask=True)
    ] = None
    instances: Annotated[Ids, Key("only with `instances/`: the class ids of the objects 1, 2, …")] = None
    instance_scores: Annotated[
        tuple[Share, ...] | None, Key("their [scores](objects.md) in [0, 1], if they are known")
    ] = None
    made: Annotated[
        Text,
        Key(
            "after `filter`, `split` or `merge`: the file in `made/` with the configuration that made the mask, "
            "if known"
        ),
    ] = None
    split: Annotated[Text, Key('the part of the set: "train", "val" or "test"', in_viewer=True, in_place=True)] = None
    origin: Annotated[Any, Key("after `merge`: where the sample came from, as `set/name`")] = None
    recipe: Annotated[Recipe | None, Key("after `augment`: how the sample [was made](augmentation.md)")] = None
    review: Annotated[Review | None, Key("what people [decided](correct.md) about the sample")] = None

    def replace(self, **changes: Any) -> Row:
        """The row with other values of some keys."""
        return msgspec.structs.replace(self, **changes)

    def of_other_mask(self, **changes: Any) -> Row:
        """The row without what describes its mask, because another mask takes its place. changes: what describes the
        new mask, and other values."""
        return self.replace(**dict.fromkeys(OF_MASK, None) | changes)

    def showing(self, shown: Shown) -> Row:
        """The row with the classes that a label map shows."""
        return self.replace(classes=shown.classes, class_ids=shown.class_ids, area=shown.area)

    @property
    def sample(self) -> str:
        """The sample's name, which is that of its picture; "" if the row names none."""
        return sample_name(self.file_name or "")

    @property
    def class_names(self) -> tuple[str, ...]:
        """The `classes`; empty if they are absent."""
        return self.classes or ()

    @property
    def shown(self) -> tuple[str, ...]:
        """The `classes` of which the mask has a pixel. `generate` also names those that it did not find. A class of
        unknown area counts."""
        area = self.area or {}
        return tuple(name for name in self.class_names if area.get(name, 1))

    @property
    def flag_list(self) -> tuple[str, ...]:
        """The `flags`; empty if they are absent."""
        return self.flags or ()

    @property
    def review_or_empty(self) -> Review:
        """The `review`; an empty one if it is absent."""
        return self.review or Review()

    @property
    def pixels(self) -> str | None:
        """The `pixels` of the recipe."""
        return (self.recipe or Recipe()).pixels

    @property
    def operations(self) -> str:
        """What `augment` did, such as `flip+noise`; "" for a sample without a recipe."""
        steps = (self.recipe or Recipe()).steps
        return "+".join(step.operation for step in steps or ())

    @property
    def of_photo(self) -> bool:
        """Whether `mask` or `segment` made the sample of a photograph, so that its `model` did not draw the picture."""
        return self.asked is not None

    @property
    def unchecked(self) -> bool:
        """Whether a method made the mask, and no person has judged or changed it: it is a pseudo-label."""
        return bool(self.method) and not self.review_or_empty.judged

    @property
    def replaced(self) -> bool:
        """Whether another mask has taken the place of the original, which soft masks and confidences describe."""
        return self.review_or_empty.replaced or self.least_piece is not None

    @property
    def part(self) -> str:
        """The sample's part: the one of SPLITS that `split` means, or else `split` itself. "train" if it is missing."""
        name = self.split or "train"
        return part_of(name) or name

    def why_left_out(self, with_rejected: bool = False) -> str:
        """Why the sample is not used for training and comparing: "rejected" or "unlabelled"; "" if it is used.
        with_rejected: whether rejected samples are used."""
        if self.review_or_empty.rejected and not with_rejected:
            return "rejected"
        if UNLABELLED in self.flag_list:
            return UNLABELLED
        return ""


def _declared() -> dict[str, Key]:
    """Key → what is declared of it."""
    hints = get_type_hints(Row, include_extras=True)
    found = {name: [one for one in get_args(hints[name]) if isinstance(one, Key)] for name in _names(Row)}
    return {name: key for name, (key,) in found.items()}


KEYS = _declared()
OF_CLASSES = tuple(name for name, key in KEYS.items() if key.of_classes)
OF_MASK = tuple(name for name, key in KEYS.items() if key.of_mask)
IN_PLACE = tuple(name for name, key in KEYS.items() if key.in_place)
SCORES = {name: key.score for name, key in KEYS.items() if key.score}
IN_VIEWER = tuple(name for name, key in KEYS.items() if key.in_viewer)


def as_row(values: Mapping[str, Any], where: str = "a row") -> Row:
    """A row from a file. Letters of class names become single characters (NFC). where: its name in errors. Raises
    UserError naming a key whose value has the wrong type."""
    row = fit(_sorted_out(dict(values), Row), Row, where)
    names = tuple(map(composed, row.class_names))
    if names != row.class_names:
        row = row.replace(classes=names)
    return row


def each_row(path: Path, absent: str = ABSENT) -> Iterator[tuple[str, Row]]:
    """(where, row) of each row of a file. `where`: its name in errors. absent: the error if the file is missing. Raises
    UserError naming the first invalid row."""
    for number, (_, values) in enumerate(read_json_lines(path, Json, absent=absent), 1):
        where = f"{path}, row {number}"
        yield where, as_row(values, where)
