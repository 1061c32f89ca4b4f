"""One module writes. What else makes, changes or moves a file is named here, with the reason.

A file that is written under its own name can be found half-written: see `seediff.files.outputs`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "src" / "seediff"
WRITERS = ("files/outputs.py", "files/output_folders.py")
"""output_folders.py: folders that appear when they are complete, and the lock of a folder at work."""

ALLOWED = {
    ("cli/commands.py", "open"): "the null device, in the place of a closed stream",
    ("files/messages.py", "open"): "the null device, in the place of a closed stream",
    ("cli/quality.py", "save"): "a dataset's, which goes through places",
    ("cli/sets.py", "save"): "a dataset's, which goes through places",
    ("dataset/formats/parquet.py", "open"): "in a folder that appears when it is complete",
    ("dataset/formats/parquet.py", "ParquetWriter"): "into this file",
    ("dataset/formats/parquet.py", "write_table"): "the same file",
    ("dataset/formats/webdataset.py", "open"): "in a folder that appears when it is complete",
    ("run/output.py", "touch"): "in a temporary folder of our own",
}
"""(file, call) → why it may."""

METHODS = {
    *("write_text", "write_bytes", "touch", "rename", "symlink_to", "hardlink_to", "link_to", "chmod", "truncate"),
    *(
        "tofile",
        "savez",
        "savez_compressed",
        "memmap",
        "open_memmap",
        "savefig",
        "to_csv",
        "to_parquet",
        "save_file",
        "save_model",
    ),
    *(
        "save_pretrained",
        "save_state",
        "export_chrome_trace",
        "ParquetWriter",
        "write_table",
        "extract",
        "extractall",
        "save_to_disk",
    ),
    *("FileHandler", "NamedTemporaryFile", "mkstemp", "urlretrieve"),
}
"""Calls by these names, of whatever object."""
MODULES = {
    "os": {"rename", "renames", "replace", "link", "symlink", "truncate", "chmod", "mkfifo"},
    "shutil": {
        "copy",
        "copy2",
        "copyfile",
        "copytree",
        "copymode",
        "copystat",
        "move",
        "make_archive",
        "unpack_archive",
    },
}
"""Calls of modules."""
OPENERS = {"open": 1, "fdopen": 1, "ZipFile": 1, "GzipFile": 1, "TarFile": 1, "LZMAFile": 1, "BZ2File": 1}
"""Name → which argument is the mode, for functions; of a path's own `open` it is the one before."""


def writing_calls(text: str) -> Iterator[tuple[int, str]]:
    """(line, call) of what writes or moves files by their names."""
    tree = ast.parse(text)
    buffers = {
        target.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign | ast.AnnAssign)
        and isinstance(node.value, ast.Call)
        and ast.unparse(node.value.func).endswith("BytesIO")
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and (name := _written(node, buffers)):
            yield node.lineno, name


def _written(call: ast.Call, buffers: set[str]) -> str:
    """How a call that writes is listed; "" for others."""
    function = call.func
    own = (
        function.attr if isinstance(function, ast.Attribute) else function.id if isinstance(function, ast.Name) else ""
    )
    module = function.value.id if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name) else ""
    if own in MODULES.get(module, ()):
        return f"{module}.{own}"
    if module == "Dataset":
        return ""
    if own in OPENERS:
        return own if _opens_to_write(call, own, module, isinstance(function, ast.Attribute)) else ""
    if own in METHODS and (
        own != "write_table" or isinstance(function, ast.Attribute)
    ):  # a function of our own has this name
        return own
    if (
        own == "replace" and isinstance(function, ast.Attribute) and len(call.args) == 1 and not call.keywords
    ):  # of a text it takes two
        return own
    if own == "save" and call.args:  # np.save, torch.save, a picture's; not into memory
        into = call.args[1] if module == "torch" and len(call.args) > 1 else call.args[0]
        return "" if isinstance(into, ast.Name) and into.id in buffers else own
    return ""


def _opens_to_write(call: ast.Call, own: str, module: str, is_method: bool) -> bool:
    if (module, own) == ("os", "open"):
        flags = ast.unparse(call.args[1]) if len(call.args) > 1 else ""
        return any(flag in flags for flag in ("O_WRONLY", "O_RDWR", "O_CREAT", "O_APPEND", "O_TRUNC"))
    place = OPENERS[own] - (
        is_method and own == "open" and module not in ("io", "tarfile", "gzip", "bz2", "lzma", "os", "Image", "wave")
    )
    mode = next(
        (one.value for one in call.keywords if one.arg == "mode"), call.args[place] if len(call.args) > place else None
    )
    if mode is None:
        return False
    return not (isinstance(mode, ast.Constant) and isinstance(mode.value, str)) or bool(set("wax+") & set(mode.value))


FILES = sorted(path.relative_to(SOURCE).as_posix() for path in SOURCE.rglob("*.py"))


def test_writing_goes_through_outputs():
    found = {
        (file, name): line
        for file in FILES
        for line, name in writing_calls((SOURCE / file).read_text(encoding="utf-8"))
    }
    strange = [
        f"{file}:{line}: {name}"
        for (file, name), line in found.items()
        if file not in WRITERS and (file, name) not in ALLOWED
    ]
    assert not strange, "use seediff.files.outputs, or say in ALLOWED why not"
    assert set(ALLOWED) <= found.keys()


WRITES = """
open(path, 'w')
open(path, mode='ab')
open(path, mode)
path.open('x')
path.open(mode='r+')
path.write_text('')
os.open(path, os.O_RDWR | os.O_CREAT)
os.replace(a, b)
a.replace(b)
np.save(path, values)
np.save(path / 'a.npy', values)
torch.save(values, path)
save_file(tensors, path)
Image.fromarray(values).save(path)
picture.save(folder / 'a.png', 'PNG')
tarfile.open(path, 'w')
zipfile.ZipFile(path, 'w')
"""
READS = """
open(path)
open(path, 'rb')
path.open()
path.open('rb')
Image.open(path)
os.open(path, os.O_RDONLY)
text.replace('a', 'b')
tarfile.open(path, 'r:')
write_atomic(path, b'')
"""
INTO_MEMORY = [
    f"buffer = io.BytesIO()\n{call}" for call in ("picture.save(buffer, 'PNG')", "torch.save(values, buffer)")
]


def test_what_writes_is_found_and_nothing_else():
    assert [line for line in WRITES.strip().splitlines() if not list(writing_calls(line))] == []
    assert [line for line in (*READS.strip().splitlines(), *INTO_MEMORY) if list(writing_calls(line))] == []
