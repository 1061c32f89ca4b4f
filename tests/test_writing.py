"""One module writes. What else makes, changes or moves a file is named here, with the reason.

A file that is written under its own name can be found half-written: see `seediff.files.outputs`.
"""

import ast
import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

SOURCE = Path(__file__).parents[1] / "src" / "seediff"
WRITERS = ("files/outputs.py",)
ALLOWED = {
    ("cli/running.py", "open"): "the null device, in the place of a closed stream",
    ("cli/heatmap.py", "save"): "into the folder that stage_output moves into place",
    ("cli/sets.py", "save"): "a dataset's, which goes through places",
    ("drawing/charts.py", "savefig"): "into memory",
    ("script/results.py", "save"): "a picture that a script names",
}
"""(file, call) → why it may."""
WRITING = re.compile(
    r"""(?:os|shutil)\.(?:rename|renames|replace|link|symlink|chmod|mkfifo|copy\w*|move|make_archive|unpack_archive)\(
    |\w*\.?(?:write_text|write_bytes|touch|rename|symlink_to|hardlink_to|chmod|truncate|tofile|savez\w*|\w*memmap
        |savefig|to_csv|to_parquet|save_file|save_pretrained|save_to_disk|ParquetWriter|extract|extractall|FileHandler
        |NamedTemporaryFile|mkstemp)\(
    |\w*\.write_table\(
    |\w*\.replace\([^,=]*\)$                          # a path's: of a text it takes two
    |\w*\.save\((?!\(?buffer\b|file\b|\w+,\ buffer\b|\)) # not into memory
    |\w*\.?open\(.*(?:['"][rbt]*[wax+]|O_WRONLY|O_RDWR)
    |\w*\.?(?:fdopen|ZipFile|GzipFile|TarFile)\(.*['"][rb]*[wax+]""",
    re.X,
)


def writing_calls(text):
    """The names of calls that write or move files by their names."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
            of, _, name = ast.unparse(node.func).rpartition(".")
            arguments = ast.unparse(node).removeprefix(ast.unparse(node.func))
            if WRITING.match(f"{of if of.isidentifier() else '_' if of else ''}{'.' if of else ''}{name}{arguments}"):
                found.append(name)
    return found


def test_writing_goes_through_outputs():
    files = {path.relative_to(SOURCE).as_posix(): path for path in SOURCE.rglob("*.py")}
    found = {(file, name) for file, path in files.items() for name in writing_calls(path.read_text(encoding="utf-8"))}
    strange = {(file, name) for file, name in found - ALLOWED.keys() if file not in WRITERS}
    assert not strange, "use seediff.files.outputs, or say in ALLOWED why not"
    assert ALLOWED.keys() <= found
