"""Files that are no text, damaged at random or where their format can be made to lie: pictures, tensors, archives, tables of columns.

Bytes in, bytes out. Bombs are made, not stored: a few kilobytes that claim or become gigabytes.
"""

from __future__ import annotations

import io
import json
import random
import struct
import tarfile
import zlib
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from .structured import damage, dump_json
from .values import NUMBERS, TEXTS

Way = Callable[[bytes, random.Random], bytes]


def any_bytes(data: bytes, rng: random.Random) -> bytes:
    """Cut off, flipped, filled, doubled, emptied."""
    at = rng.randrange(len(data) + 1)
    length = rng.choice((1, 4, 16, 200))
    ways: tuple[Callable[[], bytes], ...] = (
        lambda: data[:at],
        lambda: data[: max(0, len(data) - rng.randrange(1, 13))],
        lambda: data[:at] + rng.randbytes(length) + data[at + length :],
        lambda: data[:at] + bytes(length) + data[at + length :],
        lambda: data[:at] + b"\xff" * length + data[at + length :],
        lambda: data[:at] + data[at + length :],
        lambda: data[:at] + rng.randbytes(length) + data[at:],
        lambda: (
            b"".join(bytes((b ^ (1 << rng.randrange(8)),)) if rng.random() < 8 / (len(data) + 1) else bytes((b,)) for b in data)
            if len(data) < 100_000
            else data[:at] + bytes((rng.randrange(256),)) + data[at + 1 :]
        ),
        lambda: data + data,
        lambda: data + rng.randbytes(1000),
        lambda: b"",
        lambda: rng.randbytes(rng.choice((1, 10, 1000))),
    )
    return rng.choice(ways)()


# Pictures


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


@lru_cache(maxsize=16)
def png(width: int, height: int, *, bits: int = 8, colour: int = 0, whole: bool = True, interlaced: int = 0, extra: bytes = b"") -> bytes:
    """A picture of zeros; not `whole`: only its header claims the size."""
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


def big_text_chunk() -> bytes:
    return chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(80_000_000), 9))


def odd_picture(data: bytes, rng: random.Random) -> bytes:
    """A picture of another kind, size or format, or one that is far larger than its file."""
    ways: tuple[Callable[[], bytes], ...] = (
        lambda: png(30_000, 30_000, bits=1, whole=False),
        lambda: png(12_000, 8_000, bits=1),
        lambda: png(12_000, 8_000, colour=3),
        lambda: png(100_000, 2),
        lambda: png(2, 100_000),
        lambda: png(2**31 - 1, 2**31 - 1, whole=False),
        lambda: png(0, 0, whole=False),
        lambda: png(1, 1, colour=2),
        lambda: png(1, 1, colour=3),
        lambda: png(32, 40, colour=2),
        lambda: png(40, 32, colour=rng.choice((0, 2, 3, 4, 6)), bits=rng.choice((1, 2, 4, 8, 16, 3)), interlaced=rng.choice((0, 1, 7))),
        lambda: png(40, 32, colour=2, extra=big_text_chunk()),
        lambda: png(40, 32, colour=2, extra=chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(3_000_000)))),
        lambda: png(40, 32, colour=2, extra=chunk(b"eXIf", b"MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x09\0\0\0\0\0\0")),
        lambda: png(40, 32, colour=3, extra=chunk(b"tRNS", bytes(256))),
        lambda: patched_header(data, rng),
        lambda: pillow_picture(rng),
    )
    return rng.choice(ways)()


def patched_header(data: bytes, rng: random.Random) -> bytes:
    """The same PNG whose header claims another size or kind, its checksum right."""
    if data[:4] != b"\x89PNG":
        return any_bytes(data, rng)
    header = bytearray(data[16:29])
    at = rng.choice((0, 4, 8, 9, 10, 11, 12))
    value = struct.pack(">I", rng.choice((0, 1, 39, 41, 1000, 65_536, 2**31 - 1, 2**32 - 1))) if at < 8 else bytes((rng.randrange(20),))
    header[at : at + len(value)] = value
    return data[:8] + chunk(b"IHDR", bytes(header[:13])) + data[33:]


def pillow_picture(rng: random.Random) -> bytes:
    """A whole picture in another format or mode."""
    from PIL import Image

    kind, modes = rng.choice(
        (
            ("PNG", ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")),
            ("JPEG", ("L", "RGB", "CMYK")),
            ("GIF", ("P", "L")),
            ("BMP", ("1", "RGB")),
            ("TIFF", ("F", "I", "CMYK", "RGB")),
            ("WEBP", ("RGBA",)),
            ("PPM", ("RGB",)),
        )
    )
    buffer = io.BytesIO()
    mode = rng.choice(modes)
    size = rng.choice(((40, 32), (40, 32), (1, 1), (32, 40), (3000, 1)))
    Image.new(mode, size).save(buffer, kind)
    return buffer.getvalue()


# Tensors


def tensors(data: bytes, rng: random.Random) -> bytes:
    """A safetensors file with another header: sizes, kinds, places, names, metadata, or its numbers made NaN."""
    if len(data) < 8 or (length := int.from_bytes(data[:8], "little")) > len(data):
        return any_bytes(data, rng)
    header, body = json.loads(data[8 : 8 + length]), data[8 + length :]
    what = rng.choice(("header", "header", "metadata", "shape", "dtype", "drop", "rename", "numbers", "length", "add"))
    names = [name for name in header if name != "__metadata__"]
    name = rng.choice(names) if names else ""
    if what == "length":
        return struct.pack("<Q", rng.choice((0, 1, length - 1, length + 1, 10**9, 2**63, 2**64 - 1))) + data[8:]
    if what == "numbers":
        fill = rng.choice(
            (struct.pack("<f", float("nan")), struct.pack("<f", float("inf")), struct.pack("<f", 1e38), b"\xff" * 4, bytes(4))
        )
        return data[: 8 + length] + fill * (len(body) // 4) + body[len(body) // 4 * 4 :]
    if what == "metadata":
        given = header.get("__metadata__") or {"seediff": "{}"}
        key = rng.choice(list(given) or ["x"])
        try:
            changed = dump_json(damage(json.loads(given[key]), rng)).decode("utf-8", "replace")
        except (ValueError, KeyError):
            changed = rng.choice(TEXTS)
        header["__metadata__"] = rng.choice(({**given, key: changed}, {**given, key: changed}, {}, {key: 5}, [], {key: None}))
    elif name and what == "shape":
        shape = header[name]["shape"]
        header[name]["shape"] = rng.choice((shape[::-1], [*shape, 1], [1, *shape], shape[1:], [], [0], [-1], [2**62, 4], [10**9] * 8))
    elif name and what == "dtype":
        header[name]["dtype"] = rng.choice(("F64", "F16", "BF16", "U8", "I64", "BOOL", "F8_E4M3", "x", 5, None))
    elif name and what == "drop":
        del header[name]
    elif name and what == "rename":
        new = rng.choice(
            ("", "x", name + ".x", "adamw.x.y", "adamw.999.step", "self.0", "self.-1", "cross.99999999", "step.x", "../x", "trainee.")
        )
        header[new] = header.pop(name)
    elif what == "add":
        new = rng.choice(("x", "self.3", "step.99", "adamw.0.x", "adamw.q.exp_avg", "average.x", "other.y"))
        header[new] = {"dtype": "U8", "shape": [0], "data_offsets": [len(body), len(body)]}
    else:
        header = damage(header, rng)
    text = dump_json(header)
    text += b" " * (-len(text) % 8)
    if rng.random() < 0.7:
        body = repacked(header, body)
        text = dump_json(header)
        text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + body


WIDTHS = {"F64": 8, "I64": 8, "F32": 4, "F16": 2, "BF16": 2, "U8": 1, "BOOL": 1, "I32": 4, "F8_E4M3": 1}


def repacked(header: Any, body: bytes) -> bytes:
    """The body with each tensor's bytes as long as its header now says, so that readers believe it. Changes the header's offsets."""
    if not isinstance(header, dict):
        return body
    parts, end = [], 0
    for name, entry in header.items():
        try:
            if name == "__metadata__":
                continue
            size = WIDTHS[entry["dtype"]]
            for side in entry["shape"]:
                size *= side
            if not 0 <= size < 20_000_000:
                continue
            begin, stop = entry["data_offsets"]
            part = body[begin:stop][:size].ljust(size, b"\0")
        except (TypeError, KeyError, ValueError):
            continue
        parts.append(part)
        entry["data_offsets"] = [end, end + size]
        end += size
    return b"".join(parts)


# Archives and tables


def archive(data: bytes, rng: random.Random) -> bytes:
    """A tar file with one member changed, or a hostile one added."""
    buffer = io.BytesIO()
    extra = rng.choice(("path", "link", "hard", "device", "sparse", "pax", "big", "twice", "bytes", "name", "directory", "fifo"))
    with tarfile.open(fileobj=io.BytesIO(data)) as old, tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as new:
        members = old.getmembers()
        at = rng.randrange(len(members)) if members else 0
        for number, member in enumerate(members):
            content = old.extractfile(member)
            body = content.read() if content else b""
            if number == at:
                if extra == "bytes":
                    body = rng.choice((any_bytes, odd_picture))(body, rng)
                elif extra == "name":
                    member.name = rng.choice((*TEXTS[10:20], "/abs/x.png", "../x.png", "a" * 300 + ".png", ".png", "x.mask.png"))
                elif extra == "pax":
                    member.pax_headers = {"size": str(rng.choice(NUMBERS)), "path": rng.choice(TEXTS).replace("\0", "")}
                elif extra == "twice":
                    member.size = len(body)
                    new.addfile(member, io.BytesIO(body))
            member.size = len(body)
            member.name = member.name.encode("utf-8", "replace").decode()
            new.addfile(member, io.BytesIO(body))
        if extra in ("path", "link", "hard", "device", "big", "directory", "fifo"):
            one = tarfile.TarInfo(rng.choice(("../../secret/planted", "x.png", "zz.mask.png", "/tmp/x.png", "000/x.json")))
            one.type = {"link": tarfile.SYMTYPE, "hard": tarfile.LNKTYPE, "device": tarfile.CHRTYPE, "directory": tarfile.DIRTYPE}.get(
                extra, tarfile.FIFOTYPE if extra == "fifo" else tarfile.REGTYPE
            )
            one.linkname = "../../secret/key" if extra in ("link", "hard") else ""
            new.addfile(one)
    found = bytearray(buffer.getvalue())
    if extra in ("big", "sparse"):  # the last header claims a size that the file does not have
        start = len(found) - tarfile.RECORDSIZE
        header = tarfile.TarInfo("huge.png")
        header.size = rng.choice((2**33 - 1, 2**40, 2**62))
        block = bytearray(header.tobuf(tarfile.GNU_FORMAT))
        if extra == "sparse":
            block[156:157] = b"S"
            block[483:495] = b"77777777777\0"
            block[148:156] = b"        "
            block[148:156] = f"{sum(block[:512]):06o}\0 ".encode()
        found[max(0, start) :] = block + bytes(1024)
    return bytes(found)


def columns(data: bytes, rng: random.Random) -> bytes:
    """A parquet file with one column changed, or one that unpacks to gigabytes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(io.BytesIO(data), use_threads=False)
    at = rng.randrange(table.num_columns)
    name = table.column_names[at]
    what = rng.choice(("type", "nulls", "drop", "rename", "twice", "empty", "bytes", "bomb", "metadata", "nested"))
    rows = table.num_rows
    if what == "type":
        values = rng.choice(
            ([5] * rows, ["x"] * rows, [[1, 2]] * rows, [b"\x00\xff"] * rows, [True] * rows, [{"bytes": "x", "path": 5}] * rows)
        )
        table = table.set_column(at, name, pa.array(values))
    elif what == "nulls":
        table = table.set_column(at, name, pa.array([None] * rows, table.schema.field(at).type))
    elif what == "drop":
        table = table.remove_column(at)
    elif what == "rename":
        table = table.rename_columns(
            [rng.choice(("x", "", name.upper(), "image")) if i == at else one for i, one in enumerate(table.column_names)]
        )
    elif what == "twice":
        table = pa.concat_tables([table, table])
    elif what == "empty":
        table = table.slice(0, 0)
    elif what == "metadata":
        own = rng.choice((b"{", b"[]", b'{"info": 5}', b'{"info": {"features": {"label_map": {"names": 5}}}}', b"\xff", b"null"))
        table = table.replace_schema_metadata({"huggingface": own})
    elif what in ("bytes", "bomb", "nested"):
        image = rng.choice((odd_picture, any_bytes))(b"\x89PNG\r\n\x1a\n" + bytes(60), rng)
        values = [{"bytes": image, "path": rng.choice(("../../secret/planted.png", "x.png", None, "\x1b[31m.png"))}] * rows
        if what == "bomb":
            values = [{"bytes": bytes(20_000_000), "path": "x.png"}] * 60
            table = pa.table(
                {
                    one: pa.array(values) if i == at else pa.array([None] * 60, table.schema.field(i).type)
                    for i, one in enumerate(table.column_names)
                }
            )
        else:
            table = table.set_column(at, name, pa.array(values))
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd", use_dictionary=what == "bomb")
    return buffer.getvalue()


FORMATS: dict[str, tuple[Way, ...]] = {
    ".png": (any_bytes, odd_picture, patched_header),
    ".jpg": (any_bytes, any_bytes, odd_picture),
    ".safetensors": (tensors, tensors, tensors, any_bytes),
    ".tar": (archive, archive, any_bytes),
    ".parquet": (columns, columns, any_bytes),
}


def damaged_binary(suffix: str, data: bytes, rng: random.Random) -> bytes:
    """A file of this suffix, damaged as its format can be, or as anything can."""
    way = rng.choice(FORMATS.get(suffix, (any_bytes,)))
    try:
        return way(data, rng)
    except Exception:  # it was damaged before
        return any_bytes(data, rng)
