import json
import re
from pathlib import Path

import pytest
from numbers_nearly import assert_nearly

import recipes.mini.__main__ as mini
import recipes.studies.__main__ as studies
import recipes.tables.__main__ as recipes_tables
from recipes import renew
from recipes.studies import drawings
from recipes.studies.markdown import sections
from recipes.studies.truth import COLUMNS, SECTIONS, TITLES
from recipes.tables.results import write_table
from seediff.cli.commands import make_app
from seediff.cli.line import CommandLine

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
STUDIES = DOCS / "studies"

OUTPUTS = renew.read_outputs()


def test_no_figure_is_out_of_date():
    """`python recipes/renew.py --dry-run` says what it would cost to make them anew."""
    assert renew.out_of_date(OUTPUTS) == {}, "python recipes/renew.py --dry-run says why, and what it costs"


def test_every_published_file_has_a_command():
    published = {file for output in OUTPUTS for file in output.files}
    kept = [
        path
        for kind in ("*.jpg", "*.json", "*.ipynb", "results.*")
        for path in DOCS.rglob(kind)
        if path != renew.RECORD
    ]
    assert {path.relative_to(ROOT).as_posix() for path in kept} == published


PROGRAMS = {
    "seediff": make_app(),
    "python -m recipes.mini": mini.app,
    "python -m recipes.studies": studies.app,
    "python -m recipes.tables": recipes_tables.app,
}
COMMANDS = [
    (output.name, text, start)
    for output in OUTPUTS
    for text in output.commands
    for start in PROGRAMS
    if text.startswith(f"{start} ")
]


@pytest.mark.parametrize(("name", "text", "start"), COMMANDS, ids=[f"{name}: {start}" for name, _, start in COMMANDS])
def test_commands_of_outputs_are_still_commands(name, text, start, tmp_path):
    words = renew.words(text.removeprefix(f"{start} "), tmp_path, tmp_path, {})
    CommandLine(PROGRAMS[start], words).parse()


@pytest.mark.parametrize("name", sorted(path.parent.name for path in STUDIES.glob("*/results.json")))
def test_pages_of_tables_say_what_the_results_do(name, tmp_path):
    result = json.loads((STUDIES / name / "results.json").read_text(encoding="utf-8"))
    del result["summary"]
    write_table(tmp_path, result)
    written = sorted(tmp_path.iterdir())
    assert len(written) == 2
    for file in written:
        assert_nearly(*((folder / file.name).read_text(encoding="utf-8") for folder in (tmp_path, STUDIES / name)))


def tables(lines):
    """Heading → the first table below it."""
    found = {}
    heading, before = "", ""
    for line in lines:
        if line.startswith("#"):
            heading = line.lstrip("# ")
        elif line.startswith("|") and (heading not in found or before.startswith("|")):
            found.setdefault(heading, []).append(line)
        before = line
    return found


BEST = "Every method at its own best, with PAMR"


def cells(rows):
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


def figures(cell):
    return [float(figure) for figure in re.findall(r"[-+]?\d+\.\d", cell.replace("−", "-"))]


def test_the_pasted_table_says_what_the_results_do():
    page = cells(tables((DOCS / "truth.md").read_text(encoding="utf-8").splitlines())[BEST])
    pasted = {title: {row[0]: row[number] for row in page[2:]} for number, title in enumerate(page[0])}
    for name, title in (("truth", "held out"), ("shift", "another vendor's art"), ("truth-dit", "joint attention")):
        result = json.loads((DOCS / f"{name}.json").read_text(encoding="utf-8"))
        made = cells(tables(sections(result, SECTIONS, COLUMNS).splitlines())[BEST])
        for column, heading in ((1, title), (2, "− SeeDiff")):
            if heading == title or name == "truth":
                own = {TITLES.get(row[0], row[0]): figures(row[column]) for row in made[2:]}
                assert {method: figures(cell) for method, cell in pasted[heading].items()} == own


def test_the_table_of_redrawing_says_what_the_results_do():
    page = (DOCS / "truth.md").read_text(encoding="utf-8").splitlines()
    sets = json.loads((DOCS / "drawn.json").read_text(encoding="utf-8"))["sets"]
    assert len(sets) == 4
    assert not {drawings.row(name, counts) for name, counts in sets.items()} - {*page}
