"""Writes and reads WebDataset's shards, tar files to be read in one pass. Pictures, label maps, rows and classes come
back exactly.

out/  classes.txt             line i, counted from 0, names id i
      000000.tar              the samples in the order of their names, continued in 000001.tar and so on:
        KEY.jpg or KEY.png    the picture, as it is
        KEY.mask.png          palette PNG: 0 background, 255 ignore, else the class id
        KEY.json              {"name": …, "metadata": a row of metadata.jsonl}

KEY is the sample's name, with all characters but ASCII letters, digits, - and _ written as %XX, because readers end a
key at its first dot and take / for a folder.
"""

from __future__ import annotations

import json
import re
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import unquote

from ...errors import UserError, first_line
from ...files.documents import parse_json
from ...files.messages import show_json
from ...files.outputs import name_errors
from ...files.reading import LIST, PICTURE
from .. import native
from ..rows import check_class_list
from ..sample import Sample
from .drivers import Export, Placed, Source
from .label_files import Own, from_record, palette

MASK, JSON = "mask.png", "json"
PICTURES = ("jpg", "jpeg", "png")
LIMITS = {**dict.fromkeys((*PICTURES, MASK), PICTURE), JSON: LIST}
"""The members of a sample that are read, and the maximum bytes of each. Of other members, only the names are read."""
SHARD = 10_000
"""Maximum number of samples in a file."""


def write(export: Export, *, shard_size: int = 500_000_000) -> None:
    """WebDataset's tar files. shard_size: maximum size of a file in bytes; only a single large sample may exceed it."""
    if shard_size < 1:
        raise UserError("shard_size", f"{shard_size} must be at least one byte")
    export.put(native.CLASSES, native.classes_text(export.classes))
    members = (_members(one) for one in export.placed(palette, key=lambda name, split: name))
    next_one = next(members, None)
    while next_one is not None:
        path, size, samples = export.folder / f"{export.files - 1:06d}.tar", 0, 0
        export.files += 1
        with name_errors(path), path.open("xb") as shard:
            while next_one and samples < SHARD and not (samples and size + len(next_one) > shard_size):
                shard.write(next_one)
                size, samples = size + len(next_one), samples + 1
                next_one = next(members, None)
            shard.write(bytes(2 * tarfile.BLOCKSIZE))  # the end of a tar file


def _members(placed: Placed) -> bytes:
    """The tar members of a sample, without date and owner."""
    sample, key, members = placed.sample, as_key(placed.name), b""
    content = json.dumps({"name": sample.name, "metadata": sample.metadata}, ensure_ascii=False).encode("utf-8")
    for ending, data in ((sample.suffix, sample.data()), (JSON, content), (MASK, placed.data)):
        info = tarfile.TarInfo(f"{key}.{ending}")
        info.size = len(data)
        members += info.tobuf(tarfile.GNU_FORMAT) + data + bytes(-len(data) % tarfile.BLOCKSIZE)
    return members


def as_key(name: str) -> str:
    """`trip/1.a` → `trip%2F1%2Ea`. A _ at the beginning is replaced too: WebDataset leaves out `__…__`."""
    return re.sub(r"^_|[^A-Za-z0-9_-]", lambda found: "".join(f"%{byte:02X}" for byte in found[0].encode()), name)


def is_folder(folder: Path) -> bool:
    return any(folder.glob("*.tar"))


def read(source: Source, *, classes: Sequence[str] | None = None) -> tuple[tuple[str, ...], Iterator[Sample]]:
    """A folder of WebDataset's tar files, or one of them. classes: None: those of the classes.txt beside the tar files.

    Nothing is unpacked to disk: a member's path only gives the sample's key, and only regular files count.
    """
    files = sorted(source.path.glob("*.tar")) if source.path.is_dir() else [source.path]
    if absent := next((file for file in files if not file.is_file()), None) or (None if files else source.path):
        raise UserError(absent, "no such file" if files else "has no tar files")
    names = tuple(native.read_classes(files[0].parent) if classes is None else classes)
    check_class_list(names, files[0].parent / native.CLASSES)
    return names, (_sample(source, file, key, members) for file in files for key, members in _samples(file))


def _sample(source: Source, file: Path, key: str, members: dict[str, bytes]) -> Sample:
    """members: ending → content."""
    where = f"{file}, sample '{key}'"
    own = parse_json(members.get(JSON, b"{}"), Own, f"{where}: its {JSON}")
    picture = next((members[ending] for ending in PICTURES if ending in members), None)
    if picture is None or MASK not in members:
        raise UserError(where, f"needs a picture ({', '.join(PICTURES)}) and {MASK}; it has {', '.join(members)}")
    return from_record(source, Own(own.name or unquote(key), own.metadata), picture, members[MASK], where)


def _samples(file: Path) -> Iterator[tuple[str, dict[str, bytes]]]:
    """(key, {ending: bytes}) of consecutive members with the same key."""
    key, members = "", {}
    try:
        with tarfile.open(file, "r:") as tar:
            for info in tar:
                tar.members = []  # type: ignore[attr-defined]  # otherwise it keeps the header of each member
                folder, slash, base = info.name.rpartition("/")
                stem, _, ending = base.partition(".")
                if info.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or info.issparse() or not stem or not ending:
                    continue
                name, ending = f"{folder}{slash}{stem}", ending.lower()
                if name != key and members:
                    yield key, members
                    members = {}
                if ending in members:
                    raise UserError(file, f"{info.name!r} appears twice")
                limit = LIMITS.get(ending)
                if limit and not 0 <= info.size <= limit:
                    raise UserError(file, f"{show_json(info.name)} has {info.size} bytes; at most {limit} are read")
                opened = tar.extractfile(info) if limit else None
                key, members[ending] = name, opened.read() if opened else b""
            # Python takes a damaged header, or a missing end, for the end of the file.
            tar.fileobj.seek(tar.offset)  # type: ignore[union-attr]
            if tar.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):  # type: ignore[union-attr]
                raise UserError(file, f"is cut off or damaged after byte {tar.offset}")
    except (tarfile.TarError, EOFError, OSError, ValueError, LookupError, ArithmeticError, RecursionError) as error:
        # tarfile raises the last four for invalid sparse maps and extended headers.
        raise UserError(file, f"cannot be read as a tar file ({first_line(error)})") from error
    if members:
        yield key, members
