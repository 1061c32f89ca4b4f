import errno
import os
import re
import signal
import subprocess
import sys
from itertools import chain
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from cyclopts import CycloptsError, Token
from fake_engine import fake_draw
from items import write_pets
from PIL import Image
from refusals import refused

from seediff import Dataset, __version__
from seediff.cli.commands import COMMANDS, make_app
from seediff.cli.main import main
from seediff.errors import UserError
from seediff.models.short_names import EMBEDDED
from seediff.run import generate_job as run
from seediff.run.job import Ready

ROOT = Path(__file__).parents[2]
BASE = "generate --classes dog,cat --per-class 2 --batch-size 2 --device cpu --dtype float32".split()


@pytest.fixture(autouse=True)
def no_model(monkeypatch):
    draw_by(monkeypatch, fake_draw)


def draw_by(monkeypatch, draw):
    """Draw by a function, where a model would be loaded."""

    def load(job):
        object.__setattr__(job, "draw", draw)  # jobs are frozen
        return Ready()

    monkeypatch.setattr(run.GenerateJob, "load", load)


def test_help_imports_nothing_heavy_and_version_is_told(capsys):
    """So that it answers at once."""
    code = "import seediff.cli.evaluate, seediff.cli.formats, seediff.cli.sets, sys; print(*sys.modules)"
    modules, *said = python(f"{code}; from seediff.cli.main import main; main(['--help']); print(*sys.modules)")[0]
    assert "rich.table" not in modules.split()
    assert all(name in "".join(said) for name in ("generate", "models", "tune", "completion"))
    assert "cyclopts" in said[-1].split()
    heavy = "torch diffusers transformers numpy scipy PIL cv2 pyarrow pydantic matplotlib".split()
    assert not set(heavy) & set(said[-1].split())
    for flag in ("--version", "-v"):
        assert main([flag]) == 0
        assert capsys.readouterr().out.strip() == f"seediff {__version__}"
    for words in (["help"], ["help", "mask"]):
        assert main(words) == main([*words[1:], "--help"]) == 0
        told = capsys.readouterr().out
        assert told == 2 * told[: len(told) // 2]


def python(program):
    """Lines of its two streams."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=True)
    return done.stdout.splitlines(), done.stderr.splitlines()


def without_torch(lines):
    """(codes, lines on stderr) of command lines, none of which may import it."""
    program = f"import sys\nfrom seediff.cli.main import main\ncodes = [*map(main, {lines})]\nprint()\nprint(*codes)"
    said, errors = python(f"{program}\nprint(*sys.modules)")
    assert not {"torch", "diffusers", "transformers"} & set(said[-1].split())
    return [int(code) for code in said[-2].split()], errors


def test_dry_run_writes_nothing(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(run.GenerateJob, "items", None)  # nor does it hold ten millions of them in memory
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights/seediff.json").write_bytes((EMBEDDED["mini"] / "seediff.json").read_bytes())
    (tmp_path / "weights/model_index.json").write_text('{"_class_name": "StableDiffusionPipeline"}')
    monkeypatch.setitem(EMBEDDED, "mini", tmp_path / "weights")
    out = tmp_path / "out"
    options = ["--size", "64", "--keep-soft", "--prompt", "a {class}", "--prompt", "the {class}"]
    assert main([*BASE, "--out", str(out), "--dry-run", *options]) == 0
    said = capsys.readouterr().out
    assert "Would make: 4 images" in said
    assert "dog 2, cat 2" in said
    assert "a dog" in said
    assert "the cat" in said
    assert not out.exists()


DRAW = "generate --out {tmp}/o"
BAD = [
    (DRAW, "classes: name at least one; for example"),
    (f"{DRAW} --classes {{tmp}}/latin.txt", "latin.txt, line 1: is not UTF-8 text"),
    (f"{DRAW} --classes dog --alpha 2", "--alpha: 2.0 must be a number above 0 and at most 1"),
    (f"{DRAW} --classes dog --method ca_sa --expansion=none", "--expansion: has no effect, as it is an option of"),
    (f"{DRAW} --per-class 2.5", "Invalid value for --per-class: '2.5' must be a whole number (--help-all"),
    (f"{DRAW} --classes dog cat", "unexpected argument 'cat'; separate several names with commas"),
    (f"{DRAW} --config {{tmp}}/bad.toml", "there is no option 'clases'"),
    ("generate --classes dog --outt {tmp}", "unknown option --outt (did you mean '--out'?)"),
    ("generate --classes dog --foo", "unknown option --foo (--help-all lists all options)"),
    (f"{DRAW} --classes dog --no-objects=false", "--no-objects: takes no value; write --no-objects, or --objects"),
    (f"{DRAW} --classes dog --reject yes", "--reject takes no value, such as 'yes'"),
    ("export pets --format coco --out o", "seediff: unknown option --format; the name here: --to ("),
    ("check pets --json pets/metadata.jsonl", '"pets/metadata.jsonl" must have extension "json"'),
    (f"{DRAW} --width=768 --height 512", "unknown option --width, --height; the name here: --size WIDTHxHEIGHT ("),
    (
        f"{DRAW} --num-inference-steps 9 --cfg-scale 5 --num-images=4",
        "the name here: --steps --guidance-scale --per-class N (of each class) (",
    ),
    ("mask a --classes b --steps 20", "--steps; the name here: --timesteps TIMESTEPS (photographs are not drawn in"),
    ("segment a --num-segments 5", "--num-segments; the name here: -k K (with --method kmeans) ("),
    ("train --data pets --out seg", "--data; the name here: DATA (without an option) ("),
    ("export pets coco --out o", "seediff: --to is missing; unexpected argument 'coco'; "),
    ("mask {tmp}/p.png dog --out o", "dog: no such file or folder; a class is an option: --classes dog"),
    ("nope", 'seediff: Unknown command "nope".'),
    (f"{DRAW} --classes dog,house", "--classes: model 'mini' does not know 'house'"),
    ("segment {tmp}/nothing --model mini --out {tmp}/o", "nothing: no such file or folder"),
    ("train {tmp}/nothing --out {tmp}/o", "nothing: no such folder or file"),
]


def test_what_is_finished_or_wrong_is_told_in_a_line_before_torch_is_imported(tmp_path):
    finished, pets = tmp_path / "finished", write_pets(tmp_path / "pets", 2)
    assert main([*BASE, "--out", str(finished)]) == 0
    done = [[*BASE, "--out", str(finished), *more] for more in ((), ("--dry-run",), ("--dry-run", "--verbose"))]
    done += [["stats", str(pets)], ["check", str(pets)], ["generate", "--help"], ["train", "--help-all"]]
    Image.new("RGB", (64, 64)).save(tmp_path / "p.png")
    (tmp_path / "latin.txt").write_bytes("café".encode("latin-1"))
    (tmp_path / "bad.toml").write_text('clases = "dog"')
    before = {*tmp_path.iterdir()}
    codes, errors = without_torch([*done, *(line.replace("{tmp}", str(tmp_path)).split() for line, _ in BAD)])
    assert codes == [0] * len(done) + [2] * len(BAD)
    other = [
        (message, line)
        for (_, message), line in zip(BAD, errors, strict=True)
        if message not in line or not line.startswith("seediff: ")
    ]
    assert other == []
    assert {*tmp_path.iterdir()} == before


@pytest.mark.parametrize(
    ("subject", "said"),
    [
        ("steps", "seediff: steps: 50 must be at most 9"),
        ("capture.steps", "seediff: --capture-steps: 50 must be at most 9"),
        ("mask.pamr", "seediff: --no-pamr: 50 must be at most 9"),
    ],
)
def test_an_error_names_the_option_of_its_field_alone(tmp_path, monkeypatch, capsys, subject, said):
    def refuse(*_):
        raise UserError(subject, "50 must be at most 9")

    monkeypatch.setattr(run.GenerateJob, "plan", refuse)
    line = f"generate --classes=dog --capture-steps 3 --no-pamr --out {tmp_path}/o --dry-run"
    assert refused(capsys, line) == f"{said}\n"


def test_no_fraction_is_cut_to_a_whole_number():
    for command in (*COMMANDS, "evaluate segments"):
        app = make_app().parse_commands(command.split())[1][-1]
        for argument in app.assemble_argument_collection():
            if argument.parse and int in {argument.hint, *get_args(argument.hint)}:
                argument.append(Token(keyword=argument.name, value="2.5"))
                with pytest.raises(CycloptsError, match=argument.name):
                    argument.convert_and_validate()


PLANNED = [
    (
        "generate",
        "--model pixart-alpha --lora none",
        "--lora: none: diffusers cannot load a LoRA into PixArt",
    ),
    (
        "mask",
        "--model {tmp}",
        "model_index.json: no such file; a folder written by diffusers' save_pretrained",
    ),
    ("generate", "--size 100x64", "--size: 100x64: sides must be multiples of 16 for model"),
    (
        "generate",
        "--size 16384",
        "--size: 16384: attention maps of an image of this size take 70.4 TB, and this computer",
    ),
    ("generate", "--model flux-dev --negative-prompt bad", "--negative-prompt: 'bad': model 'flux-dev' reads none"),
    ("generate", "--device cuda:63", "--device: cuda:63: is not available"),
    ("generate", "--prompt a{class}" + 40 * "+long", "tokens and the model reads 32: these words would be cut off: '"),
    ("segment", "--weights 1,0,0,0,1", "--weights: 1, 0, 0, 0, 1: the model has no self-attention at L/16"),
    ("segment", "--num-points 40", "--num-points: 40 must be from 2 to 32"),
    ("segment", "--method kmeans -k 2000", "-k: 2000 must be from 1 to 1024"),
]
WORDS = {"generate": "--classes dog", "mask": "{tmp} --classes dog", "segment": "{tmp}"}


@pytest.mark.parametrize(("command", "options", "message"), PLANNED)
def test_a_dry_run_refuses_what_loading_the_model_would(tmp_path, capsys, command, options, message):
    Image.new("RGB", (64, 64)).save(tmp_path / "photo.png")
    named = "" if "--model" in options else "--model mini"
    line = f"{command} {WORDS[command]} {named} {options} --out {{tmp}}/o --dry-run"
    assert message in refused(capsys, line.replace("{tmp}", str(tmp_path)))
    assert [path.name for path in tmp_path.iterdir()] == ["photo.png"]


def test_words_that_a_small_model_was_never_taught(tmp_path, capsys):
    line = f"generate --classes pottedplant --out {tmp_path}/o --dry-run --prompt".split()
    assert main([*line, "A {class} in the snow near a cabin."]) == 0
    assert "Model 'mini' was never taught some words: cabin; with them it draws worse" in capsys.readouterr().out
    assert main([*line, "A photo of a {class} in the snow"]) == 0
    assert "taught" not in capsys.readouterr().out
    assert main([*line, "A photo of a {class} in the snow <lora:fluffy:0.8>"]) == 0
    said = capsys.readouterr().out
    assert "'<lora:fluffy:0.8>' in a prompt is read as plain words; --lora loads a LoRA" in said
    assert "taught" not in said
    assert main([*line, "A photo of a {class} and a bird"]) == 0
    assert (
        "Prompts name bird, not among the classes: what is drawn of it may get another class's label"
        in capsys.readouterr().out
    )


@pytest.mark.parametrize(
    ("prompt", "more", "said"),
    [
        ("a dog", ["--words", "cat"], 'words: "cat" is not in the prompt; name words that are'),
        ("a dog", ["--steps", "5000"], "steps: 5000 must be a whole number of at least 1 and at most 1000"),
        ("!!!", [], "prompt: '!!!' has no word that names something; name words with --words"),
    ],
)
def test_heat_maps_that_cannot_be_are_refused_before_the_model_is_loaded(
    tmp_path, capsys, mini_folder, monkeypatch, prompt, more, said
):
    monkeypatch.setattr("seediff.models.registry.load", lambda *_, **__: pytest.fail("loaded"))
    line = ["heatmap", prompt, "--model", str(mini_folder), *more, "--out", str(tmp_path / "heat")]
    assert main(line) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "heat").exists()


@pytest.mark.parametrize(
    ("prompt", "words", "names", "strange"),
    [
        ("a photo of a dog on grass", [], "dog grass", "grass"),
        ("a red sofa, a red-sofa", ["red-sofa", "red sofa", "Red sofa"], "red-sofa red-sofa-2 Red-sofa-3", "red"),
    ],
)
def test_each_word_of_a_prompt_has_a_heat_map(
    tmp_path, capsys, monkeypatch, mini_folder, prompt, words, names, strange
):
    line = ["heatmap", prompt, "--model", str(mini_folder), "--steps", "1", "--device", "cpu"]
    line += [*chain.from_iterable(("--words", word) for word in words), "--out", str(tmp_path / "heat")]
    assert main(line) == 0
    said = f"seediff: .*was never taught some words: {strange}.*, and their heat maps mean nothing\n"
    assert re.match(said, capsys.readouterr().err)
    assert {path.stem for path in (tmp_path / "heat").iterdir()} == {*names.split(), "image", "words"}
    assert Image.open(tmp_path / "heat/image.png").size == (64, 64)
    (tmp_path / "heat").rename(tmp_path / "heatmaps")
    monkeypatch.chdir(tmp_path)
    assert main(line[:-2]) == 2
    assert "--out: heatmaps already exists and is not empty" in capsys.readouterr().err


def test_full_disk_is_one_line_and_can_be_continued(tmp_path, capsys, monkeypatch):
    out = tmp_path / "pets"
    replace = Path.replace

    def full(part, path):
        if "000002" in path.name:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return replace(part, path)

    def terminated(part, path):
        if "images" in path.parts:
            signal.raise_signal(signal.SIGTERM)
        return replace(part, path)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", full)
        said = refused(capsys, *BASE, "--out", out)
    assert "images/000002.png: No space left on device" in said
    assert "2 of 4 images finished" in said
    assert "when that is fixed, run the same command to continue, or with --finish to keep what is finished" in said
    assert f"--config {out}/seediff.toml; " in refused(capsys, *BASE, "--seed", "7", "--out", out)
    assert main([*BASE, "--out", str(out), "--finish", "--dry-run"]) == 0
    assert "Would end with 2 finished, of those asked for: 4 images in 2 batches" in capsys.readouterr().out
    assert main([*BASE, "--out", str(out), "--finish"]) == 0
    assert "Ended early: 2 images in" in capsys.readouterr().out
    assert main([*BASE, "--out", str(out), "--dry-run"]) == 0
    assert "Would continue: 4 images" in capsys.readouterr().out
    for folder, further in ((out, ", or with --finish to keep what is finished"), (tmp_path / "new", "")):
        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", terminated)
            assert main([*BASE, "--out", str(folder)]) == 143
        assert capsys.readouterr().err.endswith(f"run the same command to continue{further}\n")
    assert main([*BASE, "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert re.search(r"dog +│ +2 ", said)
    assert "4 images in" in said
    assert said.endswith(f"Look at {out}/preview.html (in a browser)\n")
    assert len(list(Dataset.open(out))) == 4
    assert main([*BASE, "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert f"4 images in {out}; nothing was missing" in said
    assert f"seediff check {out}" in said or "-m seediff check" in said


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory"),
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory"),
    ],
)
def test_out_of_memory_is_no_fault(tmp_path, capsys, monkeypatch, error):
    def too_large(specs):
        raise error

    draw_by(monkeypatch, too_large)
    said = refused(capsys, *BASE, "--out", tmp_path / "out")
    assert re.search(r"out of memory \(.*\); use a smaller --batch-size or --size.*, or --offload model on a GPU", said)


@pytest.mark.parametrize(("debug", "raised"), [("", False), ("1", True)])
def test_faults_show_a_traceback_only_when_asked(tmp_path, capsys, monkeypatch, debug, raised):
    def broken(specs):
        return [np.zeros(3)], []

    draw_by(monkeypatch, broken)
    monkeypatch.setenv("SEEDIFF_DEBUG", debug)
    if raised:
        with pytest.raises(ValueError, match="zip"):
            main([*BASE, "--out", str(tmp_path / "out")])
    else:
        assert "SEEDIFF_DEBUG=1" in refused(capsys, *BASE, "--out", tmp_path / "out", code=1)


def test_all_classes_of_the_model_and_varied_prompts(tmp_path, capsys):
    line = f"generate --out {tmp_path} --dry-run --classes".split()
    assert main([*line, "all", "--per-class", "2", "--vary", "place,light"]) == 0
    said = capsys.readouterr().out
    assert "aeroplane 2, bicycle 2" in said
    assert "diningtable" not in said
    assert len({line for line in said.splitlines() if line.startswith("  a photo of a ")}) == 8
    assert "--classes: all: model 'sd2-base' is not limited to a" in refused(capsys, *line, "all --model sd2-base")
    said = refused(capsys, *line, "dog --vary lights")
    assert "'lights' is not a kind of phrase; choose among place, light, view" in said
    assert "--out: is for a whole model of the hub, and mini is not" in refused(capsys, "download mini --out o")
    part = "--model owner/models/mine.safetensors --base mini".split()
    assert main([*line, "fox", *part, "--vary", "place"]) == 0  # not in the hub's cache yet
    assert "  a photo of a fox in a garden" in capsys.readouterr().out


def test_a_command_alone_answers_with_examples(capsys):
    for command, missing in (("generate", "--out"), ("mask", "PATHS")):
        assert main([command]) == 2
        first, *examples = capsys.readouterr().err.splitlines()
        assert first == f"seediff: {missing} is missing (--help-all lists all options)"
        assert len(examples) == 3
        assert all(line.startswith(f"  seediff {command} ") for line in examples)


def test_the_classes_of_a_small_model_are_listed_and_known_by_other_names(tmp_path, capsys):
    assert main(["models", "mini"]) == 0
    listed = capsys.readouterr().out.split()
    assert (len(listed), listed[0]) == (19, "aeroplane")
    line = f"generate --classes airplane,tv,dog --per-class 1 --out {tmp_path / 'out'} --dry-run".split()
    assert main(line) == 0
    said = capsys.readouterr().out
    assert "Classes: airplane 1, tv 1, dog 1" in said
    assert "a photo of a tv monitor" in said
    (tmp_path / "lines.txt").write_text("an airplane, a tv and a dog\n")
    named = "classes: the model has other words (airplane=aeroplane, tv=tv monitor), and"
    assert named in refused(capsys, *line, "--prompt", str(tmp_path / "lines.txt"))
