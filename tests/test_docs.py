"""README.md and docs/ say what is true as far as running them shows: every command and every piece of Python there is
run, by `make docs`; `make test` parses them.

Commands run in this process, in the order of their page, in one folder per page that holds photographs, their label
maps and two model folders. They are made small: by SMALL, Python by FEW_IMAGES, the embedded model by a narrow twin.

Only tried with --dry-run, or parsed where a command has none: what names a model that is in no folder here (gigabytes).
Only parsed or compiled: a block below the line `<!-- not run: why -->`, and commands within a sentence.
"""

import json
import re
import shlex
import shutil
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
from cyclopts import MissingArgumentError
from items import rows_of
from photo_set import write_photos
from PIL import Image
from shapes import CLASSES, items

from recipes import commands
from seediff.cli.commands import make_app
from seediff.cli.line import CommandLine
from seediff.cli.main import main
from seediff.dataset.dataset import Dataset
from seediff.files.photo_files import find_photos
from seediff.models import registry
from seediff.models.locate import resolve_name
from seediff.models.short_names import EMBEDDED

ROOT = Path(__file__).parents[1]
PAGES = [path.relative_to(ROOT).as_posix() for path in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))]
TAGS = ("sh", "python", "text", "csv")

SMALL = {
    "generate --classes all": {"--classes": "dog,cat,car", "--per-class": "1", "--steps": "2"},
    "generate": {"--per-class": "1", "--steps": "2"},
    "mask": {"--timesteps": "300"},
    "train": {"--steps": "2"},
    "doubt": {"--steps": "2"},
    "split": {"--val": "0.5"},
    "tune": {"--count": "1"},
}
"""Command → options that it gets, whether its line has them or not."""
FEW_IMAGES = ((r"steps=500", "steps=2"), (r"per_class=\d+", "per_class=1, steps=2"))
"""The same in Python."""
RECIPES = {f"recipes.{name}": f"recipes.{name}.__main__" for name in ("mini", "studies", "tables")}
"""Programs beside the package, which fetch art, draw and train for hours: parsed alone."""
WELL = ("README.md", "docs/first.md")
"""What these pages go on with must be drawn well: by `mini` itself. On the others the embedded models are narrow
twins.
"""
LOADED = tuple(cache(registry.load_model) for _ in range(2))
"""Commands share a model."""
PROGRAM = re.compile(r"(?:\.venv/bin/)?seediff ")
CSV = {
    "classes.csv": 'file,classes\n0.png,dog\n1.jpg,"dog,cat"\n2.png,\n',
}


@dataclass(frozen=True)
class Block:
    """A fenced block. line: of its first line in the page. why: it is not run; empty when it is."""

    tag: str
    text: str
    line: int
    why: str


def blocks(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    for found in re.finditer(
        r"^(?:<!-- not run: (?P<why>.+) -->\n+)?```(?P<tag>.*)\n(?P<text>(?s:.*?))^```$", text, re.M
    ):
        yield Block(found["tag"], found["text"], text.count("\n", 0, found.start("text")) + 1, found["why"] or "")


def shell_lines(block):
    """The commands of a block, continuations joined, with the numbers of their lines in the page."""
    line = block.line
    for command in block.text.replace("\\\n", "\0").splitlines():
        if command.strip() and not command.startswith("#"):
            yield line, command.replace("\0", " ")
        line += 1 + command.count("\0")


def begins(words, commands):
    """Which of the commands it is, "" when none."""
    return next((name for name in commands if words[: len(name.split())] == name.split()), "")


def small(words):
    """A command's words with the options of SMALL."""
    options = SMALL.get(begins(words, SMALL), {})
    kept = [word for before, word in zip(["", *words], words, strict=False) if not {before, word} & set(options)]
    return [*kept, *chain(*options.items())]


def seediff_words(command):
    """Its words after `seediff`; none when it is another program's."""
    program = PROGRAM.match(command)
    return shlex.split(command[program.end() :], comments=True) if program else []


APP = make_app()


def parse_recipe(words, name):
    parse(words, import_module(RECIPES[name]).app)


def parse(words, program=APP):
    """Raise CycloptsError when there is no such command or it has not these options."""
    CommandLine(program, words).parse()


def is_here(words):
    """Whether the model that a command names is in a folder, or none is named."""
    model = words[words.index("--model") + 1] if "--model" in words else "mini"
    return isinstance(resolve_name(model), Path)


def try_command(words, capsys):
    """What went wrong with a command line without `seediff`, "" when nothing did."""
    if words[0] == "look":  # which serves until Ctrl-C
        return ""
    if not is_here(words) and "--dry-run" not in words:
        words = [*words, "--dry-run"]
    capsys.readouterr()
    code = main(small(words))
    return f"exit code {code}: {capsys.readouterr().err.strip()}" if code else ""


def other_command(command):
    """What is wrong with a command that is not seediff's, "" when all that it names is there. These install or take
    long: none is run.
    """
    words = shlex.split(command, comments=True)
    if words[0] == "make":
        return "" if re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), re.M) else "no such target"
    if re.fullmatch(
        r"python3 -m venv .venv|source .venv/bin/activate|(\.venv/bin/)?pip install .*|\.venv/bin/python -m pytest",
        command.partition(" #")[0].rstrip(),
    ):
        return ""
    if run_by_tests := re.fullmatch(r"(?:[A-Z_]+=\S+ )?python -m pytest (tests/\S+\.py)", command):
        return "" if (ROOT / run_by_tests[1]).is_file() else "no such file"
    if words[:2] == ["python", "-m"] and words[2] in RECIPES:
        parse_recipe(words[3:], words[2])
        return ""
    if words[0] == "python" and words[1].startswith(("benchmarks/", "recipes/")):
        return "" if (ROOT / words[1]).is_file() else "no such file"
    return "a command that nobody checks: mark its block as text, or teach this test about it"


def run_python(block, page, namespace):
    """What a block of Python raised, "" when nothing; its names stay in the namespace."""
    try:
        source = "\n" * (block.line - 1) + block.text  # tracebacks then show the page's lines
        for long, short in FEW_IMAGES:
            source = re.sub(long, short, source)
        code = compile(source, page, "exec")
        if not block.why:
            exec(code, namespace)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


def prepare(folder):
    """photos/; labels/ of each with ids below 21 (VOC's); the tables of CSV; my-finetuned-sd/, a model that
    does not say what it knows; my-coco/, a COCO set of scenes that are learnt in seconds."""
    found = find_photos([write_photos(folder / "photos", 3)]).photos
    for photo in found:
        width, height = Image.open(photo.path).size
        label_map = np.full((height, width), 255, np.uint8)
        label_map[2:-2, 2:-2] = np.arange(width - 4) * 3 // width * 7
        path = folder / "labels" / f"{photo.name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(label_map).save(path)
    Dataset(CLASSES, items(4)).export("coco", folder / "my-coco")
    for name, text in CSV.items():
        (folder / name).write_text(text, encoding="utf-8")
    (folder / "my-finetuned-sd").mkdir()
    for part in EMBEDDED["mini"].iterdir():
        if part.name != "seediff.json":
            (folder / "my-finetuned-sd" / part.name).symlink_to(part)


@pytest.fixture(scope="module")
def twins(mini_folder, twin, tmp_path_factory):
    """Narrow twins of the embedded models with random weights, and with their presets, but SeeDiff with another
    threshold.
    """
    folders = {}
    for name, folder in (("mini", mini_folder), ("mini-dit", twin("sd3"))):
        folders[name] = tmp_path_factory.mktemp("embedded") / name
        shutil.copytree(folder, folders[name])
        settings = json.loads((EMBEDDED[name] / "seediff.json").read_text())
        settings["preset"]["methods"]["seediff"] = {
            "mask": {"beta": 0.6}
        }  # masks of random attention cover whole pictures below it
        (folders[name] / "seediff.json").write_text(json.dumps(settings))
    return folders


def write_files(page, folder):
    """Those of the page's blocks that its commands name, beside recipes/."""
    (folder / "recipes").symlink_to(ROOT / "recipes")
    for block in blocks(page):
        if named := re.match(r"# (\w+\.py)\n", block.text):
            (folder / named[1]).write_text(block.text, encoding="utf-8")


def run_page(page, folder, capsys):
    """Do all that a page says in the folder, and return what went wrong."""
    prepare(folder)
    write_files(page, folder)
    wrong = []
    namespace = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for block in blocks(page):
            if block.tag == "python" and (error := run_python(block, page, namespace)):
                wrong.append(f"{page}:{block.line}: {error}")
            for line, command in shell_lines(block) if block.tag == "sh" and not block.why else ():
                if (words := seediff_words(command)) and (error := try_command(words, capsys)):
                    wrong.append(f"{page}:{line}: {command}: {error}")
    return wrong


RUN = [page for page in PAGES if any(block.tag in ("sh", "python") for block in blocks(page))]


@pytest.mark.pages
@pytest.mark.parametrize("page", RUN)
def test_what_a_page_says_can_be_done(page, twins, tmp_path, capsys, monkeypatch):
    for name, twin in twins.items() if page not in WELL else ():
        monkeypatch.setitem(EMBEDDED, name, twin)
    monkeypatch.setattr(registry, "load_model", LOADED[page in WELL])
    if find_spec("datasets") is not None:  # the user's cache may know the files of an earlier run, which are gone
        monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    wrong = run_page(page, tmp_path, capsys)
    assert not wrong, "\n".join(wrong)
    if page == "docs/formats.md":
        unexplained = [
            name for name in written_names(tmp_path) if f"`{name}`" not in (ROOT / page).read_text(encoding="utf-8")
        ]
        assert unexplained == []


def written_names(folder):
    """Every key of the JSON that the commands of docs/formats.md wrote."""
    tables = [rows_of(folder / name)[0] for name in ("pets", "masked", "segments")]
    for name in ("scores.json", "evaluation.json"):
        scores = json.loads((folder / name).read_text())
        tables += [scores, *scores["per_class"].values()]
    return {re.sub("_(ci95|images)$", "", key) for table in tables for key in table}


def test_tables_are_those_of_the_pages():
    shown = [block.text for page in PAGES for block in blocks(page) if block.tag == "csv"]
    assert sorted(shown) == sorted(CSV.values())


def test_readmes_first_block_goes_from_the_demo_to_the_tests():
    """They have left it three times."""
    commands = [command for _, command in shell_lines(next(blocks("README.md")))]
    assert (commands[0], commands[-1]) == ("make demo", "make test")


@pytest.mark.parametrize(
    "page", [pytest.param(page, marks=pytest.mark.slow if page != "README.md" else ()) for page in PAGES]
)
def test_commands_are_whole_and_stand_where_they_are_tried(page, tmp_path, monkeypatch):
    """And none has a presence of 0, with which `mask` gives a picture of a dog masks of all the other classes, too:
    readers copy them.
    """
    write_files(page, tmp_path)
    monkeypatch.chdir(tmp_path)
    shell = [block for block in blocks(page) if block.tag == "sh"]
    for line, command in chain.from_iterable(map(shell_lines, shell)):
        if words := seediff_words(command):
            parse(words)
        else:
            assert not (wrong := other_command(command)), f"{page}:{line}: {command}: {wrong}"
    for block in blocks(page):
        assert block.tag in TAGS, f"{page}:{block.line}: ```{block.tag} is none of {', '.join(TAGS)}"
        assert block.tag == "sh" or not any(map(PROGRAM.match, block.text.splitlines())), (
            f"{page}:{block.line}: commands go into ```sh"
        )
    text = re.sub(r"^```.*?^```$", "", (ROOT / page).read_text(encoding="utf-8"), flags=re.M | re.S)
    for command in re.findall(r"`seediff ([^`]* -[^`]*)`", text):
        words = shlex.split(command.partition(" > ")[0])
        try:
            parse(words)
        except MissingArgumentError:  # which is said before anything that is wrong
            parse([*words, "--out", "out"])
    for program, options in re.findall(r"`python -m (recipes\.\w+) ([^`]* -[^`]*)`", text):
        parse_recipe(shlex.split(options), program)


def anchors(page):
    """Of a page's headings, as GitHub makes them."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in re.findall(r"^#+ (.*)$", text, re.M)}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    """And files of the repository that it names are there."""
    text = (ROOT / page).read_text(encoding="utf-8")
    named = re.findall(r"(?<![\w/])(?:src|tests|benchmarks|recipes)/[\w/.-]*\w", text)
    assert [name for name in named if not (ROOT / name).exists()] == []
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        path, _, anchor = link.partition("#")
        target = (ROOT / page).parent / path if path else ROOT / page
        if not re.match(r"\w+:", link):
            assert target.exists(), f"{page}: {link}: no such file"
            assert not anchor or anchor in anchors(target), f"{page}: {link}: no such heading"


def test_the_page_of_commands_is_the_programs_own():
    assert commands.PAGE.read_text(encoding="utf-8") == commands.page(), "python recipes/commands.py writes it anew"


def test_every_decision_is_in_the_index_once():
    folder = ROOT / "docs" / "decisions"
    linked = re.findall(r"\]\((0[^)]*)\)", (folder / "README.md").read_text(encoding="utf-8"))
    assert sorted(linked) == sorted(path.name for path in folder.glob("0*.md"))
