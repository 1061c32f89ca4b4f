"""Run the notebooks of docs/notebooks and write their outputs into them, or into copies of them.

    python website/execute.py                                  # all
    python website/execute.py first-masks --into /tmp/copies   # one, by its name

The cells of one run in this process, in order, in a folder that is made for it and removed: no Jupyter is needed. An
output is what a cell prints, and the value of its last line: a picture as JPEG, else as text. tests/test_notebooks.py
runs them in the same way.
"""

from __future__ import annotations

import argparse
import ast
import base64
import contextlib
import io
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image

FOLDER = Path(__file__).parents[1] / "docs" / "notebooks"


def run_cells(notebook: dict[str, Any], name: str) -> list[list[dict[str, Any]]]:
    """Outputs (nbformat 4) of every code cell, which run where the process is. What a cell raises goes on up."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    return [_run("".join(cell["source"]), f"{name}, cell {number}", namespace) for number, cell in enumerate(cells, 1)]


def _run(source: str, where: str, namespace: dict[str, Any]) -> list[dict[str, Any]]:
    tree = ast.parse(source, where)
    last = (
        tree.body.pop()
        if tree.body and isinstance(tree.body[-1], ast.Expr) and not source.rstrip().endswith(";")
        else None
    )
    value = None
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile(tree, where, "exec"), namespace)
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), where, "eval"), namespace)
    outputs: list[dict[str, Any]] = []
    if text := printed.getvalue().replace(sys.executable, "python"):  # a reader's is elsewhere
        outputs.append({"name": "stdout", "output_type": "stream", "text": text.splitlines(keepends=True)})
    if value is not None:
        outputs.append({"data": _data(value), "execution_count": None, "metadata": {}, "output_type": "execute_result"})
    return outputs


def _data(value: Any) -> dict[str, Any]:
    as_text = {"text/plain": repr(value).splitlines(keepends=True)}
    if not hasattr(value, "_repr_png_"):
        return as_text
    image = io.BytesIO()
    # All colours at a third of a PNG's bytes; a repository keeps them for ever.
    picture = Image.open(io.BytesIO(value._repr_png_())).convert("RGB")
    picture.save(image, "JPEG", quality=80, subsampling=0, optimize=True)
    as_text["text/plain"] = [f"{picture.width} × {picture.height} pixels"]  # an image's repr has an address
    return {"image/jpeg": base64.b64encode(image.getvalue()).decode(), **as_text}


def with_outputs(notebook: dict[str, Any], outputs: list[list[dict[str, Any]]]) -> dict[str, Any]:
    left = iter(outputs)
    cells = [{**cell, "outputs": next(left)} if cell["cell_type"] == "code" else cell for cell in notebook["cells"]]
    return {**notebook, "cells": cells}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=sorted(path.stem for path in FOLDER.glob("*.ipynb")))
    parser.add_argument("--into", type=Path, default=FOLDER, help="folder of the copies")
    given = parser.parse_args()
    before = Path.cwd()
    for name in given.names:
        path = given.into.absolute() / f"{name}.ipynb"
        notebook = json.loads((FOLDER / path.name).read_text(encoding="utf-8"))
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            outputs = run_cells(notebook, path.name)
            os.chdir(before)
        path.write_text(
            json.dumps(with_outputs(notebook, outputs), indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
        )
        print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
