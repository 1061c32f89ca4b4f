"""Samples from anywhere as one finished native dataset, with its card and preview."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..dataset import native
from ..dataset.store import Item, check_class_list, check_name, copy_file, described, labels_of, mask_bytes, put_image
from ..files.outputs import write_new
from ..files.staging import put, staged
from ..report import load_trace, write_preview
from ..report.card import data_card


def write_native(out: Path | str, classes: Sequence[str], items: Iterable[Item], *, about: Mapping[str, Any], link: bool = False) -> int:
    """Write a native dataset and return how many samples it has. `out` appears only when everything is in it.

    Rows keep what they hold; file_name, mask, classes, class_ids and area are those of the files written. Items' `extras` come along.
    about: what the card and the preview say of the whole (`command`, `source`, …: texts, numbers, lists). link: hard links to pictures
    and extras, where the file system allows them, instead of copies. Raises UserError naming the sample that cannot be used.
    """
    check_class_list(classes)
    rows: list[dict[str, Any]] = []
    names: set[str] = set()
    with staged(out) as part:
        for item in items:
            check_name(item.name, names)
            labels = labels_of(item, len(classes))
            file_name, mask = f"{native.IMAGES}/{item.name}.{item.suffix}", f"{native.MASKS}/{item.name}.png"
            put_image(item, part / file_name, link=link)
            put(part / mask, mask_bytes(item, labels))
            for (kind, class_id), path in item.extras.items():
                ending = path.suffix if class_id is None else f"_{class_id}{path.suffix}"
                copy_file(path, part / kind / f"{item.name}{ending}", link=link)
            rows.append({"file_name": file_name, "mask": mask, **described(item, labels, classes)})
        write_new(part / native.CLASSES, native.classes_text(classes))
        write_new(part / native.METADATA, native.jsonl(rows))
        write_new(part / native.CARD, data_card(about=about, rows=rows, class_names=classes).encode("utf-8"))
        steps = [load_trace(path) for path in sorted((part / native.STEPS).rglob("*.safetensors"))]
        write_preview(part, summary=about, rows=rows, class_names=classes, steps=steps)
    return len(rows)
