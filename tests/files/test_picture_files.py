"""Pictures: one limit on pixels and one line, whatever a file holds, without Pillow's warnings."""

from __future__ import annotations

import io
import os
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from damage import BYTES, truncations
from PIL import Image

from seediff.errors import UserError
from seediff.files.pictures import open_picture


def png_of(width: int, height: int) -> bytes:
    """A PNG whose header promises so many pixels and whose data has none."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("size", [(12_000, 8_400), (20_000, 20_000), (2**31 - 1, 2**31 - 1)])
def test_too_many_pixels_are_one_line_and_no_warning(tmp_path: Path, size: tuple[int, int]) -> None:
    (tmp_path / "a.png").write_bytes(png_of(*size))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with (
            pytest.raises(UserError, match=r"a.png: .* megapixels \(\d+ × \d+\), more than the 100 allowed"),
            open_picture(tmp_path / "a.png"),
        ):
            pass
    assert Image.MAX_IMAGE_PIXELS is not None


def test_a_picture_of_96_megapixels_is_opened_without_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with open_picture(png_of(12_000, 8_000)) as picture:
            assert picture.size == (12_000, 8_000)


def test_damaged_pictures_are_refused_in_a_line(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    for format_ in ("PNG", "JPEG"):
        buffer = io.BytesIO()
        Image.fromarray(np.arange(3 * 32 * 32, dtype=np.uint8).reshape(32, 32, 3)).save(buffer, format_)
        for data in (*(d for _, d in truncations(buffer.getvalue()[: len(buffer.getvalue()) * 3 // 4])), *BYTES.values()):
            path.write_bytes(data)
            for source in (path, data):
                with pytest.raises(UserError, match=r"cannot be read as a picture") as caught, open_picture(source, str(path)) as picture:
                    picture.load()
                assert str(caught.value).startswith(str(path))
                assert str(caught.value).isprintable()


@pytest.mark.timeout(10)
def test_pipes_and_missing_files_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.png")
    with pytest.raises(UserError, match=r"a.png: is a named pipe, not a regular file"), open_picture(tmp_path / "a.png"):
        pass
    with pytest.raises(UserError, match=r"b.png: there is no such file"), open_picture(tmp_path / "b.png"):
        pass


def test_formats_that_were_not_asked_for_are_refused(tmp_path: Path) -> None:
    Image.new("L", (8, 8)).save(tmp_path / "a.png", "BMP")
    with pytest.raises(UserError, match="cannot be read as a picture"), open_picture(tmp_path / "a.png", formats=("PNG", "JPEG")):
        pass
