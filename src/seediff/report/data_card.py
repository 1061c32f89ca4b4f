"""The dataset card of a folder that was not generated in one go: imported, augmented, filtered, merged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .card import markdown_text, model_note, size_category, yaml_text
from .tables import Row, count_classes, show_reasons, show_value
from .templates import render


def data_card(*, about: Mapping[str, Any], rows: Sequence[Row], class_names: Sequence[str]) -> str:
    """The text of README.md, as `dataset_card` gives it for generated images, claiming nothing about how these came to be but what the
    rows' `model` and `about` say. about: name → text, number or list, shown as it is; anything nested is left out."""
    classes = count_classes(rows, class_names)
    models = sorted({str(row["model"]) for row in rows if row.get("model")})
    facts = [(key.replace("_", " "), show_value(v)) for key, v in about.items() if not isinstance(v, Mapping)]
    return render(
        "data_card.md.j2",
        title=yaml_text("Masks: " + (", ".join(class_names[:5]) + (", …" if len(class_names) > 5 else "") or "empty")),
        size=size_category(len(rows)),
        images=len(rows),
        facts=[(markdown_text(k), markdown_text(v)) for k, v in facts],
        classes=[
            {
                "label": c.label,
                "name": markdown_text(c.name),
                "made": c.made,
                "area": "–" if c.area is None else f"{c.area:.1%}",
                "flags": markdown_text(show_reasons(c.flags) or "–"),
            }
            for c in classes
        ],
        models=[(markdown_text(name), markdown_text(model_note(name))) for name in models],
        unmade=sum(not row.get("model") for row in rows),
    )
