"""Tables of a study's results.md into a page of docs/, each below the heading that it has there.

    python benchmarks/paste_tables.py docs/truth.md runs/renew/truth/results.md
    python benchmarks/paste_tables.py docs/truth.md runs/renew/shift/results.md \\
        --as "Every method at its own best, with PAMR" "On another vendor's art"

The first table below a heading is replaced, up to the next heading; what stands around it stays. With --as only the table of the first
heading is taken, below the page's second.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path

HEADING = re.compile(r"#+ +(.*)")


def is_row(line: str) -> bool:
    return line.startswith("|")


def tables(lines: Sequence[str]) -> dict[str, tuple[int, int]]:
    """Heading → where the first table below it begins and ends, in lines; headings without one are left out."""
    found: dict[str, tuple[int, int]] = {}
    heading = ""
    for number, line in enumerate(lines):
        if match := HEADING.fullmatch(line):
            heading = match[1]
        elif is_row(line) and heading not in found:
            found[heading] = (number, number + len(list(takewhile(is_row, lines[number:]))))
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("page", type=Path)
    parser.add_argument("results", type=Path)
    parser.add_argument("--as", dest="renamed", nargs=2, metavar=("THERE", "HERE"))
    args = parser.parse_args()
    page, results = (path.read_text(encoding="utf-8").split("\n") for path in (args.page, args.results))
    new, old = tables(results), tables(page)
    pairs = [tuple(args.renamed)] if args.renamed else [(heading, heading) for heading in new if heading in old]
    if not pairs or any(there not in new or here not in old for there, here in pairs):
        print(f"no common heading; {args.results} has: {', '.join(new)}; {args.page}: {', '.join(old)}", file=sys.stderr)
        return 2
    for there, here in sorted(pairs, key=lambda pair: -old[pair[1]][0]):  # from the end, so that numbers of lines stay
        page[slice(*old[here])] = results[slice(*new[there])]
        print(f"{here}: {new[there][1] - new[there][0] - 2} rows")
    args.page.write_text("\n".join(page), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
