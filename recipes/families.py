"""Write the table of families in docs/models.md, from their own facts and the published configurations of their models
(tests/builders/published.toml).

python recipes/families.py
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from seediff.config.runs import GenerateConfig
from seediff.files.outputs import write_atomic
from seediff.models.describe import ModelInfo, describe
from seediff.models.families import families
from seediff.models.families.family import Family
from seediff.models.locate import ModelFiles
from seediff.models.short_names import SHORT_NAMES

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "models.md"
HEAD = """\
| family | pipeline class | captured | sides | steps, guidance | on a GPU | base of single files |
|---|---|---|---|---|---|---|
"""


def page(text: str) -> str:
    """The page with its table written anew. text: the page."""
    before, head, table = text.partition(HEAD)
    if not head:
        raise SystemExit(f"{PAGE}: has no table with this head:\n{HEAD}")
    return before + HEAD + "".join(f"{row(family)}\n" for family in families()) + "\n" + table.partition("\n\n")[2]


def row(family: Family) -> str:
    """The family's row of the table."""
    models = described(family)
    layers = next(iter(models.values())).layers or {}
    kinds = sorted({kind for layer in layers.values() for kind in layer.kinds}, reverse=True)
    if any(layer.is_joint for layer in layers.values()):
        kinds = ["joint"]
    levels = sorted({layer.level for layer in layers.values()})
    names: dict[str, list[str]] = {}
    for name, model in models.items():
        names.setdefault(_advised(model.defaults()), []).append(f"`{name}`")
    cells = (
        family.title,
        ", ".join(f"`{pipeline}`" for pipeline in family.pipelines),
        ", ".join(kinds),
        ", ".join(f"L/{level}".removesuffix("/1") for level in levels),
        "; ".join(f"{', '.join(which)}: {advised}" for advised, which in names.items()),
        family.half,
        "; ".join(" or ".join(f"`{name}`" for name in bases) for bases in family.single_files.values() if bases),
    )
    return f"| {' | '.join(cells)} |"


def _advised(values: Mapping[str, Any]) -> str:
    steps, guidance = (values.get(name, getattr(GenerateConfig, name)) for name in ("steps", "guidance_scale"))
    return f"{steps}, {guidance:g}"


def described(family: Family) -> dict[str, ModelInfo]:
    """Short name → the description of the model, for all models of a family with short names."""
    sys.path.insert(0, str(ROOT / "tests"))
    from builders.published import written  # pyright: ignore[reportMissingImports]

    with TemporaryDirectory() as folder:
        names = [name for name, named in SHORT_NAMES.items() if named.pipeline in family.pipelines]
        return {name: describe(ModelFiles(name, name, written(name, Path(folder) / name))) for name in names}


if __name__ == "__main__":
    write_atomic(PAGE, page(PAGE.read_text(encoding="utf-8")).encode("utf-8"))
    print(PAGE)
