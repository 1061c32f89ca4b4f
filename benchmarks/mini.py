"""Speed of the embedded model: images per second of `seediff generate` by batch size, and how the time divides.

    python benchmarks/mini.py                                  # a minute or so per batch size on two cores
    python benchmarks/mini.py --batches 1 8 --steps 10
    python benchmarks/mini.py --model runs/mini/pipeline --device cuda

Loading is not counted. `capture.py` measures how much of drawing is capture.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from seediff.config.generate import GenerateConfig
from seediff.run.generate import generate

PARTS = ("drawing", "masks", "writing")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="mini")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--steps", type=int, help="denoising steps; by default those that the model recommends")
    parser.add_argument("--device", help="cuda, mps or cpu; the best there is by default")
    given = parser.parse_args()
    chosen = {name: value for name in ("steps", "device") if (value := getattr(given, name))}
    print(f"| batch | images/s | {' | '.join(PARTS)} |\n|---|{'---|' * (1 + len(PARTS))}")
    for batch in given.batches:
        config = GenerateConfig.recommended(model=given.model, classes=("dog", "cat"), per_class=max(8, batch), batch_size=batch, **chosen)
        with tempfile.TemporaryDirectory() as folder:
            seconds = generate(config, Path(folder) / "out").seconds
        total = sum(seconds[part] for part in PARTS)
        shares = " | ".join(f"{seconds[part] / total:.1%}" for part in PARTS)
        print(f"| {batch} | {2 * config.per_class / total:.3f} | {shares} |", flush=True)


if __name__ == "__main__":
    main()
