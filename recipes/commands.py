"""Write docs/commands.md: every command with all its options, as `--help-all` has them.

python recipes/commands.py
"""

from __future__ import annotations

import re
from pathlib import Path

from seediff.cli.commands import make_app
from seediff.cli.typed import Typed
from seediff.files.outputs import write_atomic

PAGE = Path(__file__).parents[1] / "docs" / "commands.md"
HEAD = """# Commands

Every command with its options, as `--help-all` prints them. `seediff generate --help` shows the most common ones
only. Other models, methods and presets may set other defaults: `--dry-run --verbose` prints those in use.
"""


def page() -> str:
    """The page's text, from the command line's own descriptions."""
    Typed.described = True
    text = make_app().generate_docs(output_format="markdown")
    text = text[text.index("**Make**") : text.index("**Other**")] + text[text.index("## seediff generate") :]
    text = re.sub(r"^```console\n.*?^```\n+", "", text, flags=re.M | re.S)
    # Kinds of values, which versions of cyclopts name differently; how a subcommand shows that a switch is on
    text = re.sub(r"^(\* `-[^`]*?) [A-Z|.]+(?: [A-Z|.]+)*`", r"\1`", text, flags=re.M)
    text = text.replace("*[default: True]*", "*[default: yes]*")
    text = re.sub(r"\n {8}(?=\S)", " ", text)  # an option's text is wrapped as in its source
    text = re.sub(r"\n\n(?=- `seediff)", "\n", text).replace("For example:\n", "For example:\n\n")
    return f"{HEAD}\n{text.strip()}\n"


if __name__ == "__main__":
    write_atomic(PAGE, page().encode("utf-8"))
    print(PAGE)
