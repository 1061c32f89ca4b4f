import io
import struct
import sys
import warnings
import zlib
from base64 import b85decode
from contextlib import suppress

import numpy as np
import pytest
from damage import BYTES, refusal
from items import noise_pixels
from PIL import Image, ImageOps
from refusals import user_error

from seediff.dataset.encoding import encode_grey, encode_mask
from seediff.errors import UserError
from seediff.files.image_files import as_stored, open_image, read_photo, read_pixels
from seediff.files.photo_files import find_photos


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
    "data", [*BYTES, b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99 99\n"], ids=range(len(BYTES) + 1)
)
def test_what_is_no_image_of_these_formats(tmp_path, data):
    path = tmp_path / "a.png"
    path.write_bytes(data)
    for source in (path, data):
        assert refusal(lambda source=source: open_image(source, str(path)).__enter__(), path)


PIXELS = noise_pixels(16, 24)
XMP = '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="{}"/></x:xmpmeta>'


def encoded(kind, orientation, metadata):
    exif, options = Image.Exif(), {}
    exif[0x0112] = orientation
    if metadata == "exif":
        options = {"exif": exif}
    elif kind == "JPEG":
        options = {"xmp": XMP.format(orientation).encode()}
    else:
        from PIL.PngImagePlugin import PngInfo

        options = {"pnginfo": PngInfo()}
        if metadata == "xmp":
            options["pnginfo"].add_itxt("XML:com.adobe.xmp", XMP.format(orientation), zip=True)
        else:
            text = exif.tobytes().hex()
            options["pnginfo"].add_text("Raw profile type exif", f"\nexif\n{len(text) // 2}\n{text}\n", zip=True)
    Image.fromarray(PIXELS).save(file := io.BytesIO(), kind, dpi=(72, 72), **options)
    return file.getvalue()


def pixels(data, *, turned):
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(ImageOps.exif_transpose(image) if turned else image)


KINDS = [("PNG", "exif"), ("PNG", "xmp"), ("PNG", "text"), ("JPEG", "exif"), ("JPEG", "xmp")]


@pytest.mark.parametrize("orientation", [2, 6, 8])
@pytest.mark.parametrize(("kind", "metadata"), KINDS)
def test_an_image_that_readers_would_turn_keeps_its_pixels(kind, metadata, orientation):
    data = encoded(kind, orientation, metadata)
    stored = pixels(data, turned=False)
    assert not np.array_equal(pixels(data, turned=True), stored)
    assert np.array_equal(pixels(as_stored(data), turned=True), stored)
    with Image.open(io.BytesIO(as_stored(data))) as image:
        assert image.info["dpi"] == pytest.approx((72, 72), abs=0.1)  # other metadata stay


@pytest.mark.parametrize(("kind", "metadata"), KINDS)
def test_an_upright_image_keeps_its_bytes(kind, metadata):
    data = encoded(kind, 1, metadata)
    assert as_stored(data) is data


@pytest.mark.parametrize(
    ("dtype", "encode"), [(np.uint8, encode_mask), (np.uint8, encode_grey), (np.uint16, encode_grey)]
)
def test_no_changed_byte_gives_other_labels(dtype, encode):
    """Pillow by itself does not compare the checksums of pixels."""
    pixels = (np.arange(24 * 32).reshape(24, 32) % 7).astype(dtype)
    data, others = encode(pixels), []
    for place in range(len(data)):
        changed = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
        with suppress(UserError):
            others.append(read_pixels(changed, "a mask")[0])
    assert all(np.array_equal(one, pixels) for one in others)
    assert len(others) < 20  # behind the pixels


HEIC = zlib.decompress(b85decode(
    "c-muNV30{GsVvAy%}izhg51nBLl8SRGck>Uf$?~5YDppk1Sn>t<P<^K3<a6VB@Af5Br_);Y>0~k0}}%yh{gCCLIXhxPz(r|{NW-hKx~njnU@CUfn-I"
    "2oK&zfpqh-bWJ3ldK}L`g*NRNAa=wDhl3WI;N=CNKf}#Q-`)OuDaz2nQ1?qKXWCjUM04tLF!0_kqj~@&S{LBeJ9TE<VJdFSUgA_1>R4{{(+%6`EM4+"
    "Um6C)#<%mRf*)@iTS&3g7gae+bu0|QS3NVp{lsG7}%@nG@6PM{sa$@w`&dC55yKv7->MxYV~k<8+PRH$zqpjab0ClTZ@35eSn1VHrv|Nn1*!T?BLfQ"
    "E%YL1slJNFy@`2M3Vi%q+?;0Xm04GP58T7AK5Azc(^5v$nJWIZ~NLscBFNzT}kRWN<8i?3j?7k_d{f1P#XZ!ip;kX8d@w>HRm2@8?-=JO0*H`YgY^^"
    "?hZme#=}X_bImvDib~>&bY}n@tf^=@!E4omLJZE7t4GWzL<AnWlHrL7q`=&J)f{$_P?R-5T;PezsK!TVW94gb8J^-Q$c=agG7<9FM}44$HBnJC<F>c"
    "P*6df1^~>AiZl"
))  # fmt: skip
"""24 × 16 pixels, the upper half red, the lower half blue and green; and a turn by 90 degrees, as phones write it."""


@pytest.mark.parametrize("name", ["IMG_1.HEIC", "named.jpg"])
def test_a_photograph_of_a_phone_is_turned_once_or_both_ways_out_are_named(tmp_path, monkeypatch, name):
    (tmp_path / name).write_bytes(HEIC)
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "pi_heif", None)
        with user_error(rf"{name}: is HEIC, .*; `pip install 'seediff\[heic\]'`, or save it as JPEG$"):
            read_photo(tmp_path / name)
    pytest.importorskip("pi_heif", reason="pip install 'seediff[heic]'")
    pixels = read_photo(tmp_path / name)
    assert pixels.shape == (24, 16, 3)
    assert np.argmax(pixels[[2, 2, -3], [2, -3, 2]], 1).tolist() == [2, 0, 1]
    assert find_photos([tmp_path]).photos[0].file_name == name
