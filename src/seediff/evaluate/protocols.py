"""`Protocol`: the classes of an evaluation, which of them are in the mean, and how the classes of data and models map
to them. Names match without case, spaces and punctuation; `comparison_key` also knows synonyms. The published
protocols:

- voc: Pascal VOC's 21 classes with the background; `objects` is the mean of the 20 without it.
- voc-zero-shot: the same, but the mean is over the 20, of which 5 are unseen; plus the harmonic mean of both parts.
- voc-zero-shot-objects: as voc-zero-shot, but pixels of the truth's background do not count, as in some papers.
- cityscapes-human-vehicle: Human = person and rider, Vehicle = car, truck, bus and train; the mean is over the two.
  Motorcycles, bicycles and the classes that Cityscapes itself does not evaluate are ignored; all else is background.
- ade20k: bus, car and person; all other labels are background.
- domain: car, person and motorbike on any data set that has them; a rider is a person, as in VOC; all other labels are
  background, but classes that Cityscapes itself does not evaluate are ignored.
- camvid: the 11 classes of SegNet's version of CamVid; it has no background.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..config.class_names import BACKGROUND, VOC_CLASSES, comparison_key
from ..dataset.formats.public_sets import CAMVID_CLASSES, CITYSCAPES_CLASSES
from ..errors import UserError
from ..files.label_maps import IGNORE
from ..files.messages import first_of
from ..files.reading import fit, read_toml

VOC_WITH_BACKGROUND = (BACKGROUND, *VOC_CLASSES)
UNSEEN = ("pottedplant", "sheep", "sofa", "train", "tvmonitor")
CITYSCAPES_IGNORED = ("parking", "rail track", "guard rail", "bridge", "tunnel", "polegroup", "caravan", "trailer")
"""Classes that Cityscapes labels but leaves out of its own evaluation (`ignoreInEval`), besides its void ids."""


@dataclass(frozen=True)
class Protocol:
    """The classes of an evaluation, and how other class names map to them.

    A class that maps to none of them is background if the protocol has a background. Otherwise its pixels are ignored
    in the truth, and wrong in a prediction.
    """

    name: str
    classes: tuple[str, ...]
    """classes[i] has the id i in compared label maps."""
    counted: tuple[str, ...]
    """The classes in the mean."""
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Further means: name → classes."""
    harmonic: tuple[str, str] | None = None
    """Two groups whose harmonic mean is reported."""
    truth: Mapping[str, str | None] = field(default_factory=dict)
    """A data set's class → the protocol's class; None: its pixels are ignored. Equal names need no entry."""
    predicted: Mapping[str, str] = field(default_factory=dict)
    """A model's class → the protocol's class. It also uses the entries of `truth`."""

    def truth_table(self, classes: Mapping[int, str], where: str = "the data set") -> np.ndarray:
        """(256,) uint8: the protocol's id for each id of a data set; 255 for ids without a class. classes: id → class
        of the data set. where: its description, for errors. Raises UserError if it has none of the counted classes."""
        table, has_any = self._table(classes, self._targets(self.truth))
        if not has_any:
            wanted = f"has none of the classes of protocol {self.name} ({first_of(self.counted, in_all=True)})"
            raise UserError(where, f"{wanted}, but {first_of(classes.values(), in_all=True)}")
        return table

    def predicted_table(
        self, classes: Mapping[int, str], class_map: Mapping[str, str] | None = None, where: str = "the model"
    ) -> np.ndarray:
        """(256,) uint8, or longer for larger ids: the protocol's id for each id in a model's label maps; 255, which
        counts as wrong, for ids without a class.

        classes: id → class of the model. class_map: the model's name of a class → the protocol's or the data set's.
        where: the model, for errors. Raises UserError if the model has none of the counted classes.
        """
        class_map = class_map or {}
        targets = self._targets({**self.truth, **self.predicted})
        plain_names = set(map(comparison_key, classes.values()))
        mapped = {}
        for name, target in class_map.items():
            protocol_class = targets.get(comparison_key(target))
            if protocol_class is None:
                unknown = f"'{name}' is mapped to '{target}', which is not in protocol {self.name}"
                raise UserError(f"class map: {unknown}: {first_of(self.classes, in_all=True)}")
            if comparison_key(name) not in plain_names:
                known = first_of(classes.values(), in_all=True)
                raise UserError(f"class map: '{name}' is not a class of {where}, which knows {known}")
            mapped[comparison_key(name)] = protocol_class
        table, has_any = self._table(classes, {**targets, **mapped})
        if not has_any:
            wanted = f"is one of protocol {self.name}: {first_of(self.counted, in_all=True)}"
            if not class_map:
                wanted += "; --class-map says what they mean"
            raise UserError(where, f"none of its classes ({first_of(classes.values(), in_all=True)}) {wanted}")
        return table

    def _targets(self, names: Mapping[str, str | None]) -> dict[str, str | None]:
        """`comparison_key` of a name → the protocol's class; None: ignored. names: the names that differ from the
        protocol's own → the protocol's class or None."""
        own_names = {name: name for name in self.classes}
        return {comparison_key(name): target for name, target in {**own_names, **names}.items()}

    def _table(self, classes: Mapping[int, str], targets: Mapping[str, str | None]) -> tuple[np.ndarray, bool]:
        """(table, has_any). table: (256,) uint8, or longer: the protocol's id for each id. has_any: whether an id maps
        to a counted class other than the background. classes: id → class. targets: from `_targets`."""
        table = np.full(max(256, max(classes, default=0) + 1), IGNORE, np.uint8)
        ids = {name: number for number, name in enumerate(self.classes)}
        has_any = False
        for number, name in classes.items():
            target = targets.get(comparison_key(name), BACKGROUND)
            has_any |= target in self.counted and target != BACKGROUND
            table[number] = ids.get(target or "", IGNORE)
        return table, has_any


def own(classes: Sequence[str]) -> Protocol:
    """The protocol `own`, with a data set's own classes. If there is a background, its group `objects` is the mean
    without it. Raises UserError for no classes, too many, or two with the same `comparison_key`."""
    classes = tuple(classes)
    objects = tuple(name for name in classes if name != BACKGROUND)
    if not objects or len(classes) > IGNORE:
        raise UserError(f"{len(objects)} classes to evaluate; label maps of 8 bits hold 1 to {IGNORE}")
    seen: dict[str, str] = {}
    for class_name in classes:
        other = seen.get(comparison_key(class_name))
        if other:
            problem = f"'{other}' and '{class_name}' cannot be told apart by name"
            raise UserError(f"classes {problem}; give one of them another name")
        seen[comparison_key(class_name)] = class_name
    if BACKGROUND not in classes:
        return Protocol("own", classes, classes)
    return Protocol("own", classes, classes, {"objects": objects})


def protocol_for(name: str, classes: Iterable[str]) -> Protocol:
    """The protocol with a name. classes: the data's, which the protocol `own` uses; for Cityscapes, only the 19 classes
    that it evaluates itself. Raises UserError for an unknown name."""
    if name != "own" and name not in PROTOCOLS:
        raise UserError("protocol", f"{name} must be own or one of {', '.join(PROTOCOLS)}")
    if name != "own":
        return PROTOCOLS[name]
    classes = tuple(classes)
    if classes == CITYSCAPES_CLASSES:
        classes = tuple(name for name in classes if name not in CITYSCAPES_IGNORED)
    return own(classes)


def read_class_map(path: Path | None) -> dict[str, str] | None:
    """A model's class name → the data set's, from a TOML file of `name = "name"` lines; None without a file. Raises
    UserError."""
    if path is None:
        return None
    names = fit(read_toml(path), dict[str, str], str(path))
    if not names:
        raise UserError(path, "maps nothing", "a line has the model's name and the data's: bike = 'bicycle'")
    return names


_SEEN = tuple(name for name in VOC_CLASSES if name not in UNSEEN)
_PARTS: dict[str, tuple[str, ...]] = {"seen": _SEEN, "unseen": UNSEEN}
_NOT_EVALUATED: dict[str, str | None] = dict.fromkeys(CITYSCAPES_IGNORED)
_HUMAN = dict.fromkeys(("person", "rider", "pedestrian", "human"), "Human")
_VEHICLE = dict.fromkeys(("car", "truck", "bus", "train", "vehicle"), "Vehicle")

_PROTOCOLS = (  # name, classes, counted, groups, harmonic
    Protocol("voc", VOC_WITH_BACKGROUND, VOC_WITH_BACKGROUND, {"objects": VOC_CLASSES}),
    Protocol("voc-zero-shot", VOC_WITH_BACKGROUND, VOC_CLASSES, _PARTS, ("seen", "unseen")),
    Protocol("voc-zero-shot-objects", VOC_CLASSES, VOC_CLASSES, _PARTS, ("seen", "unseen")),
    Protocol(
        "cityscapes-human-vehicle",
        (BACKGROUND, "Human", "Vehicle"),
        ("Human", "Vehicle"),
        truth={**_NOT_EVALUATED, "motorcycle": None, "bicycle": None, **_HUMAN, **_VEHICLE},
    ),
    Protocol("ade20k", (BACKGROUND, "bus", "car", "person"), ("bus", "car", "person")),
    Protocol(
        "domain",
        (BACKGROUND, "car", "person", "motorbike"),
        ("car", "person", "motorbike"),
        truth={**_NOT_EVALUATED, "rider": "person"},
    ),
    Protocol("camvid", CAMVID_CLASSES, CAMVID_CLASSES, predicted={"person": "pedestrian", "rider": "bicyclist"}),
)
PROTOCOLS: dict[str, Protocol] = {protocol.name: protocol for protocol in _PROTOCOLS}
"""Name → published protocol. `own` makes a protocol for any other data set."""
