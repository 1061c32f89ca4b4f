"""Damaged content for files, drawn by hypothesis: values, lines, headers and bytes.

Bombs, a few kilobytes that claim or become gigabytes, are made when needed and not stored.
"""

from __future__ import annotations

import copy
import io
import json
import struct
import sys
import tarfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import yaml
from hypothesis import strategies as st

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # type: ignore[import-not-found]

Draw = Callable[[st.SearchStrategy[Any]], Any]

# Values

NUMBERS: tuple[Any, ...] = (
    *(0, -1, 1, 2, 255, 256, 65536, 2**31 - 1, 2**31, 2**32, 2**53 + 1, 2**63 - 1, 2**63, 2**64, -(2**63) - 1, 10**30, 10**400),
    *(-0.0, 0.5, -0.5, 1.5, 1e-320, 1e38, 1e308, -1e308, float("nan"), float("inf"), float("-inf")),
)
TEXTS = (
    *("", " ", "\n", "\t", "a\nb", "\r", ".", "..", "/", "~", "-", "--", "../../secret/key", "../secret/key", "a/../../../b"),
    *("/dev/zero", "/dev/full", "C:\\x", "con", "file:///etc/hostname", "http://127.0.0.1:9/x", "s3://bucket/x", "memory://x/y"),
    *("\x00", "a\x00b", "\x1b[2J\x1b]0;pwned\x07", "\x7f", "\x85", "\u2028", "\u202eabc", "\ufeffdog", "\ud800", "\udcff"),
    *("é", "e\u0301", "💥" * 50, "x" * 300, "x" * 70_000, "<script>alert(1)</script>", "'\"><img src=x onerror=alert(1)>"),
    *("{{7*7}}", "%s%n", "${x}", "[red]x[/red]", "[/]", "&amp;", "]]>", "# x", "*a", "&a x", "!!python/object:x.y {}"),
    *("nan", "inf", "-1", "1e999", "0x10", "١", "true", "yes", "null", "None", "__class__", "dog", "cat", "background"),
)
DEEP, DIGITS, TWICE = "@deep@", "@digits@", "@twice@"
"""Marks that are replaced by what libraries do not write: 10,000 levels of nesting, 5,000 digits, a key that exists already."""
OTHERS: tuple[Any, ...] = (
    *(None, True, False, [], {}, [[]], [None], [0], ["x"], {"x": None}, {"": 0}, [{}], [1, 2, 3, 4, 5], ["dog", "dog"], {"dog": 1}),
    *([["dog"]], ["\ud800"], ["\x1b[31m"], [""], DEEP, DIGITS),
)


def value(draw: Draw, old: Any = None) -> Any:
    """A replacement for `old`: often of its type, but extreme."""
    kinds = [NUMBERS, TEXTS, OTHERS]
    if isinstance(old, (str, int, float)) and not isinstance(old, bool):
        kinds.insert(0, TEXTS if isinstance(old, str) else NUMBERS)
    return draw(st.sampled_from(draw(st.sampled_from(kinds))))


# Documents


def places(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value below `node`."""
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, child in children:
        yield (*path, key)
        yield from places(child, (*path, key))


def at(node: Any, path: Sequence[Any]) -> Any:
    for step in path:
        node = node[step]
    return node


def changed(draw: Draw, node: Any) -> Any:
    """A document with one value replaced, removed, doubled, renamed, moved, wrapped or made long."""
    node = copy.deepcopy(node)
    paths = list(places(node))
    if not paths or draw(st.integers(0, 19)) == 19:
        return draw(st.sampled_from(([], {}, None, 5, "text", [node], {"x": node}, DEEP)))
    *above, key = draw(st.sampled_from(paths))
    parent = at(node, above)
    way = draw(st.sampled_from(("replace", "replace", "replace", "remove", "rename", "double", "move", "wrap", "grow")))
    if way == "remove":
        del parent[key]
    elif way == "double" and isinstance(parent, list):
        parent.insert(key, copy.deepcopy(parent[key]))
    elif way in ("rename", "double") and isinstance(parent, dict):
        old = parent[key] if way == "double" else parent.pop(key)
        parent[str(draw(st.sampled_from(("", "__class__", f"{key} ", str(key).upper(), "unknown_key", TWICE + str(key)))))] = old
    elif way == "move":
        parent[key] = copy.deepcopy(at(node, draw(st.sampled_from(paths))))
    elif way == "wrap":
        parent[key] = draw(st.sampled_from(([parent[key]], {"x": parent[key]}, str(parent[key]))))
    elif way == "grow" and isinstance(parent[key], (list, str)):
        parent[key] = parent[key] * draw(st.sampled_from((2, 100, 3000)))
    else:
        parent[key] = value(draw, parent[key])
    return node


def write_toml(node: Any) -> str:
    import tomli_w

    for path in list(places(node)):  # TOML has no null
        if at(node, path) is None:
            at(node, path[:-1])[path[-1]] = ""
    return tomli_w.dumps(node if isinstance(node, dict) else {"x": []})


DOCUMENTS: dict[str, tuple[Callable[[str], Any], Callable[[Any], str]]] = {
    ".json": (json.loads, partial(json.dumps, ensure_ascii=False, default=str)),  # NaN and halves of surrogate pairs as Python writes them
    ".toml": (tomllib.loads, write_toml),
    ".yaml": (yaml.safe_load, partial(yaml.safe_dump, allow_unicode=True)),
}


def document(draw: Draw, suffix: str, data: bytes) -> bytes:
    """A document of this format with one thing in it changed. Raises what its reader or writer raises."""
    read, write = DOCUMENTS[suffix]
    text = write(changed(draw, read(data.decode("utf-8"))))
    for mark, meant in ((DEEP, "[" * 10_000 + "]" * 10_000), (DIGITS, "9" * 5000)):
        text = text.replace(f'"{mark}"', meant).replace(mark, meant)
    return text.replace(TWICE, "").encode("utf-8", "surrogatepass")


def lines(draw: Draw, suffix: str, data: bytes) -> bytes:
    """A text with a line removed, doubled, replaced, or with another end; in another encoding; very large; with a table's cells changed."""
    rows = data.split(b"\n")
    i, j = (draw(st.integers(0, len(rows) - 1)) for _ in range(2))
    if suffix == ".jsonl" and rows[i]:
        return b"\n".join([*rows[:i], document(draw, ".json", rows[i]), *rows[i + 1 :]])
    cell = str(value(draw, "")).encode("utf-8", "surrogatepass")
    if suffix == ".csv" and draw(st.booleans()):
        cells = rows[i].split(b",")
        cells[draw(st.integers(0, len(cells) - 1))] = cell
        cells = draw(st.sampled_from((cells, cells * 3, cells[:1], [], [b'"'], [b"x" * 200_000])))
        return b"\n".join([*rows[:i], b",".join(cells), *rows[i + 1 :]])
    end = draw(st.sampled_from((b" ", b"\t", b"\x00", b"\r", b"\x1b[31m", b"\xff", b",")))
    put = draw(st.sampled_from(([], [rows[i]] * 2, [rows[j]], [cell], [rows[i] + end])))
    line = b"\n".join([*rows[:i], *put, *rows[i + 1 :]])
    text = data.decode("utf-8", "replace")
    ways = (b"\xef\xbb\xbf" + data, data.replace(b"\n", b"\r\n"), text.encode("utf-16"), text.encode("latin-1", "replace") + b"\xe9")
    large = (b"\n" * 1000 + data, data * 300, b"\0" * 5_000_000, b"[" * 20_000, b'{"a":' * 20_000, b"x" * 5_000_000)
    return draw(st.sampled_from((*(line,) * 10, *ways, b"", *large)))


# Pictures


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


@lru_cache(maxsize=16)
def png(width: int, height: int, *, bits: int = 8, colour: int = 0, whole: bool = True, interlaced: int = 0, extra: bytes = b"") -> bytes:
    """A picture of zeros. whole: False means that only the header claims this size."""
    samples = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}.get(colour, 1)
    line = 1 + (width * bits * samples + 7) // 8
    packer = zlib.compressobj(9)
    if whole:
        rows = max(1, (1 << 20) // line)
        body = b"".join(packer.compress(bytes(line * min(rows, height - top))) for top in range(0, height, rows)) + packer.flush()
    else:
        body = packer.compress(bytes(100)) + packer.flush()
    palette = chunk(b"PLTE", bytes(3 * min(256, 2**bits))) if colour == 3 else b""
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, interlaced)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + palette + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def saved(kind: str, mode: str) -> bytes:
    """A small picture in another format or mode."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.new(mode, (40, 32)).save(buffer, kind)
    return buffer.getvalue()


PICTURES: tuple[Callable[[], bytes], ...] = (
    *(partial(png, 1, 1, colour=colour) for colour in (0, 2, 3)),
    partial(png, 32, 40, colour=2),
    *(partial(png, 40, 32, colour=colour, bits=bits) for colour, bits in ((0, 1), (0, 16), (2, 16), (3, 4), (4, 8), (6, 8), (0, 3))),
    *(partial(png, 40, 32, colour=2, interlaced=way) for way in (1, 7)),
    *(partial(png, *size, whole=False) for size in ((0, 0), (2**31 - 1, 2**31 - 1))),
    partial(png, 30_000, 30_000, bits=1, whole=False),
    *(partial(png, 12_000, 8_000, **more) for more in ({"bits": 1}, {"colour": 3})),
    *(partial(png, *size) for size in ((100_000, 2), (2, 100_000))),
    lambda: png(40, 32, colour=2, extra=chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(80_000_000), 9))),
    lambda: png(40, 32, colour=2, extra=chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(3_000_000)))),
    lambda: png(40, 32, colour=2, extra=chunk(b"eXIf", b"MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x09\0\0\0\0\0\0")),
    lambda: png(40, 32, colour=3, extra=chunk(b"tRNS", bytes(256))),
    *(partial(saved, "PNG", mode) for mode in ("1", "LA", "P", "RGBA", "I;16")),
    *(partial(saved, kind, mode) for kind, mode in (("JPEG", "CMYK"), ("GIF", "P"), ("BMP", "1"), ("TIFF", "F"), ("WEBP", "RGBA"))),
)
"""Functions that make pictures of another mode, size or format, or far larger than their file."""


def picture(draw: Draw, data: bytes) -> bytes:
    """One of PICTURES, or the given PNG with a header that claims another size or type, under a correct checksum."""
    if data[:4] != b"\x89PNG" or draw(st.booleans()):
        return draw(st.sampled_from(PICTURES))()
    header = bytearray(data[16:29])
    start = draw(st.sampled_from((0, 4, 8, 9, 10, 11, 12)))
    claimed = struct.pack(">I", draw(st.sampled_from((0, 1, 39, 41, 1000, 65_536, 2**31 - 1, 2**32 - 1)))) if start < 8 else b"\x05"
    header[start : start + len(claimed)] = claimed
    return data[:8] + chunk(b"IHDR", bytes(header[:13])) + data[33:]


# Tensors, archives, columns


def tensors(draw: Draw, data: bytes) -> bytes:
    """A safetensors file with one tensor of another name, shape, type or content, other metadata, or a wrong header."""
    from safetensors.numpy import load, save

    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    way = draw(st.sampled_from(("tensor", "tensor", "metadata", "header", "length")))
    if way == "length":
        return struct.pack("<Q", draw(st.sampled_from((0, 1, length - 1, length + 1, 10**9, 2**63, 2**64 - 1)))) + data[8:]
    if way == "header":
        text = document(draw, ".json", data[8 : 8 + length])
        return struct.pack("<Q", len(text)) + text + data[8 + length :]
    about, arrays = header.get("__metadata__") or {}, load(data)
    if way == "metadata" and about:
        key = draw(st.sampled_from(sorted(about)))
        about[key] = document(draw, ".json", about[key].encode()).decode("utf-8", "replace")
    elif arrays:
        name = draw(st.sampled_from(sorted(arrays)))
        array = arrays.pop(name)
        others = ("", "x", f"{name}.x", "adamw.999.step", "self.-1", "cross.99999999", "step.x", "../x", "trainee.", "average.x")
        shapes = (array.reshape(-1), array[None], array[..., None], array[:0], array.T.copy())
        arrays |= draw(
            st.sampled_from(
                (
                    {},
                    *({other: array} for other in others),
                    *({name: other} for other in shapes),
                    *({name: array.astype(kind)} for kind in ("float64", "float16", "uint8", "int64", "bool")),
                    *({name: array * number} for number in (0, -1, 1e38, float("nan"))),
                )
            )
        )
    return save(arrays, about)


def archive(draw: Draw, data: bytes) -> bytes:
    """A tar file with one member damaged, renamed or doubled, or a hostile one added."""
    with tarfile.open(fileobj=io.BytesIO(data)) as old:
        members = [(member, old.extractfile(member).read()) for member in old.getmembers()]  # type: ignore[union-attr]
    i = draw(st.integers(0, len(members) - 1))
    member, body = members[i]
    way = draw(st.sampled_from(("bytes", "name", "headers", "twice", "added", "size")))
    added = copy.copy(member)
    if way == "bytes":
        members[i] = (member, content(draw, Path(member.name).suffix, body))
    elif way == "name":
        member.name = draw(st.sampled_from(("/abs/x.png", "../x.png", "a" * 300 + ".png", ".png", "x.mask.png", *TEXTS[10:20])))
    elif way == "headers":
        member.pax_headers = {"size": str(draw(st.sampled_from(NUMBERS))), "path": draw(st.sampled_from(TEXTS)).replace("\0", "")}
    elif way == "twice":
        members.append((added, body))
    elif way == "added":
        added.name = draw(st.sampled_from(("../../secret/planted", "x.png", "zz.mask.png", "/tmp/x.png", "000/x.json")))
        added.type = draw(st.sampled_from((tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE)))
        added.linkname = "../../secret/key" if added.type in (tarfile.SYMTYPE, tarfile.LNKTYPE) else ""
        members.append((added, b""))
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as new:
        for info, held in members:
            info.size = len(held)
            new.addfile(info, io.BytesIO(held))
    if way == "size":  # the last header claims a size that the file does not have
        added.size = draw(st.sampled_from((2**33 - 1, 2**40, 2**62)))
        return buffer.getvalue()[: -tarfile.RECORDSIZE] + added.tobuf(tarfile.GNU_FORMAT) + bytes(1024)
    return buffer.getvalue()


def columns(draw: Draw, data: bytes) -> bytes:
    """A parquet file with one column of another type, name or content, or one column that unpacks to gigabytes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(io.BytesIO(data), use_threads=False)
    rows, names = table.num_rows, table.column_names
    i = draw(st.integers(0, len(names) - 1))
    way = draw(st.sampled_from(("values", "picture", "nulls", "drop", "rename", "twice", "empty", "metadata", "bomb")))
    if way in ("values", "picture"):
        held = {"bytes": content(draw, ".png", data[:60]), "path": draw(st.sampled_from(("../../secret/planted.png", "x.png", None)))}
        other = held if way == "picture" else draw(st.sampled_from((5, "x", [1, 2], b"\x00\xff", True, {"bytes": "x", "path": 5})))
        table = table.set_column(i, names[i], pa.array([other] * rows))
    elif way == "nulls":
        table = table.set_column(i, names[i], pa.array([None] * rows, table.schema.field(i).type))
    elif way == "drop":
        table = table.remove_column(i)
    elif way == "rename":
        table = table.rename_columns([*names[:i], draw(st.sampled_from(("x", "", names[i].upper(), "image"))), *names[i + 1 :]])
    elif way == "twice":
        table = pa.concat_tables([table, table])
    elif way == "empty":
        table = table.slice(0, 0)
    elif way == "metadata":
        own = (b"{", b"[]", b'{"info": 5}', b'{"info": {"features": {"label_map": {"names": 5}}}}', b"\xff", b"null")
        table = table.replace_schema_metadata({"huggingface": draw(st.sampled_from(own))})
    else:
        large = pa.array([{"bytes": bytes(20_000_000), "path": "x.png"}] * 60)
        table = pa.table({name: large if name == names[i] else pa.nulls(60, table.schema.field(name).type) for name in names})
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd", use_dictionary=way == "bomb")
    return buffer.getvalue()


BINARIES = {".png": picture, ".jpg": picture, ".safetensors": tensors, ".tar": archive, ".parquet": columns}


def cut(draw: Draw, data: bytes) -> bytes:
    """The data cut off, overwritten, with bytes left out or inserted, doubled, lengthened or emptied."""
    start = draw(st.integers(0, len(data)))
    length = draw(st.sampled_from((1, 4, 16, 200)))
    put = draw(st.sampled_from((b"", b"", bytes(length), b"\xff" * length, bytes(range(7, 7 + min(length, 200))))))
    whole = (data[:start], data[:start] + put + data[start + length :], data[:start] + put + data[start:])
    return draw(st.sampled_from((*whole, data[: -start % 13 or None], data + data, data + bytes(1000), b"")))


def content(draw: Draw, suffix: str, data: bytes) -> bytes:
    """Damaged content for a file of this suffix: in ways of its format, or as any bytes can be damaged."""
    way = draw(st.integers(0, 9))
    try:
        if suffix in BINARIES and way < 7:
            return BINARIES[suffix](draw, data)
        if suffix in DOCUMENTS and way < 7:
            return document(draw, suffix, data)
        if suffix not in BINARIES and way < 9:
            return lines(draw, suffix, data)
    except Exception as error:  # the content is no longer of its format, or cannot be written in it
        if type(error).__module__.startswith("hypothesis"):
            raise
    return cut(draw, data)
