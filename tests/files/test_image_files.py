import struct
import warnings
import zlib

import pytest
from damage import BYTES, refusal
from PIL import Image
from refusals import user_error

from seediff.files.image_files import open_image


def png_of(width, height):
    """A PNG whose header promises so many pixels and whose data has none."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("size", [(12_000, 8_400), (20_000, 20_000), (2**31 - 1, 2**31 - 1)])
def test_too_many_pixels_are_one_line_and_no_warning(tmp_path, size):
    (tmp_path / "a.png").write_bytes(png_of(*size))
    limit = Image.MAX_IMAGE_PIXELS
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with user_error(r"a.png: .* megapixels"), open_image(tmp_path / "a.png"):
            pass
    assert limit == Image.MAX_IMAGE_PIXELS is not None


@pytest.mark.parametrize(
    "data", [*BYTES.values(), b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99 99\n"], ids=range(len(BYTES) + 1)
)
def test_what_is_no_image_of_these_formats(tmp_path, data):
    path = tmp_path / "a.png"
    path.write_bytes(data)
    for source in (path, data):
        assert refusal(lambda source=source: open_image(source, str(path)).__enter__(), path)
