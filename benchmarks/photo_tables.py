"""The tables of docs/segments.md about photographs, from what `seediff study segments --images` wrote: each method and floor at its own
best, and each method less the strongest blind floor of its column.

    python benchmarks/photo_tables.py docs/segments-coco27.json docs/segments-voc-val.json docs/segments-voc.json docs/segments-camvid.json
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from seediff.files.documents import read_json
from seediff.files.reading import SETTINGS

METHODS = {
    "diffseg": "DiffSeg",
    "diffseg+kmeans": "DiffSeg, K-Means after",
    "kmeans-c": "K-Means-C (k = {k})",
    "kmeans-s": "K-Means-S",
    "diffcut": "DiffCut",
    "diffcut+pamr": "DiffCut, PAMR",
}
COLOURS = {"colour-c": "colour and position, k = {k}", "colour-s": "the same, k of the truth"}
BLIND = {
    "one": "one segment",
    "top-bottom": "upper and lower half",
    "left-right": "left and right half",
    "quadrants": "four quarters",
    "bands": "three bands",
    "centre": "a box in the middle",
    "rings": "two boxes, one in the other",
    "grid-truth": "grid, as many tiles as classes",
}


def name_of(text: str, result: dict[str, Any]) -> str:
    return text.format(**{"k": "", **result.get("constants", {})})


def rows(tables: list[dict[str, Any]]) -> dict[str, list[tuple[float, float]]]:
    """What is shown → ACC and mIoU of each set of photographs."""
    found: dict[str, list[tuple[float, float]]] = {}
    for table in tables:
        best, floors = table["best"], table["floors"]
        own_grid = table["ahead"]["best"]["diffseg"]["grid"]
        for name, text in METHODS.items():
            found.setdefault(name_of(text, best[name]), []).append((best[name]["acc"], best[name]["miou"]))
        for name, text in COLOURS.items():
            found.setdefault(f"**floor**: {name_of(text, best[name])}", []).append((best[name]["acc"], best[name]["miou"]))
        for name, text in BLIND.items():
            found.setdefault(f"**blind**: {text}", []).append((floors[name]["acc"], floors[name]["miou"]))
        found.setdefault("**blind**: grid, as many tiles as DiffSeg's segments", []).append((own_grid["acc"], own_grid["miou"]))
    return found


def lead(table: dict[str, Any], method: str, metric: str) -> str:
    """The method's figure less that of the blind floor with the highest, in bold where the whole interval is above 0."""
    strongest = max(BLIND, key=lambda floor: table["floors"][floor][metric])
    ahead = table["ahead"]["best"][method][strongest]["ahead"]
    value, (low, high) = ahead[metric], ahead[f"{metric}_ci95"]
    shown, bounds = signed(value), f"[{signed(low)}, {signed(high)}]"
    return f"**{shown}** {bounds}" if low > 0 else f"{shown} {bounds}"


def signed(value: float) -> str:
    return f"{value:+.3f}".replace("-", "−")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("results", type=Path, nargs="+")
    tables = [read_json(path, dict[str, Any], limit=SETTINGS) for path in parser.parse_args().results]
    names = [table["pairs"].split(" of ")[1].split(" ")[0] for table in tables]
    heads = [f"{name}, {table['images']}" for name, table in zip(names, tables, strict=True)]
    print(f"| ACC / mIoU | {' | '.join(heads)} |", "|---" * (len(tables) + 1) + "|", sep="\n")
    for what, figures in rows(tables).items():
        print(f"| {what} | {' | '.join(f'{acc:.3f} / {miou:.3f}' for acc, miou in figures)} |")
    for metric, title in (("acc", "ACC"), ("miou", "mIoU")):
        print(f"\n| {title} less the strongest blind floor's | {' | '.join(names)} |", "|---" * (len(tables) + 1) + "|", sep="\n")
        for method, text in METHODS.items():
            label = name_of(text, tables[0]["best"][method])
            print(f"| {label} | {' | '.join(lead(table, method, metric) for table in tables)} |")


if __name__ == "__main__":
    main()
