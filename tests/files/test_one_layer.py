import re
from pathlib import Path

import seediff

ROOT = Path(seediff.__file__).parent
PARSING = re.compile(
    r"\b(json\.loads?|csv\.(?:reader|DictReader)|yaml\.\w*load\w*|tomll?i?b?\.loads?|pickle\.(?:loads?|Unpickler)"
    r"|np\.(?:load|loadtxt|genfromtxt|fromfile)|torch\.load|safe_open|deserialize|load_file|load_model_file"
    r"|ElementTree\.(?:parse|fromstring|iterparse|XML)|msgspec\.\w+\.(?:decode|Decoder)|Image\.open|tarfile\.open"
    r"|ZipFile)\("
)
ALLOWED = {
    ("evaluate/score_list.py", "json.loads"): "scores that have just been encoded, no file",
    ("models/no_code.py", "json.loads"): "configurations as diffusers writes them, with infinite numbers",
    ("train/run.py", "json.loads"): "what transformers has just written of its configuration, no file",
}


def test_files_are_parsed_in_one_layer():
    found = {
        (path.relative_to(ROOT).as_posix(), call)
        for path in sorted(ROOT.rglob("*.py"))
        if path.parent != ROOT / "files"
        for call in PARSING.findall(path.read_text(encoding="utf-8"))
    }
    assert found == set(ALLOWED)  # neither more, nor a reason for what is no longer there


def test_links_are_followed_in_one_function():
    """Before Python 3.13, `Path.resolve` raises RuntimeError for links in a circle; `files.reading.real` does not."""
    calls = re.compile(r"\.resolve\((strict.*)?\)|Path\.resolve[,)]")
    assert not [path for path in ROOT.rglob("*.py") if calls.search(path.read_text(encoding="utf-8"))]
