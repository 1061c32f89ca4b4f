import warnings
from pathlib import Path

import numpy as np
import pytest
from layouts import save_png
from PIL import Image, ImageCms
from refusals import user_error

from seediff.errors import UserError
from seediff.files.image_files import as_pixels, read_photo
from seediff.files.photo_files import find_photos

RED = (200, 30, 60)


def small_image(height=12, width=16):
    """(H, W, 3) uint8: a smooth picture whose four corners differ."""
    y, x = np.mgrid[:height, :width]
    return np.stack([255 * y / (height - 1), 255 * x / (width - 1), 0 * y + 90], -1).round().astype(np.uint8)


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")


def names(found):
    return [photo.name for photo in found.photos]


LONG = "狗" * 80
SETS = "in/a.jpg in/old/seediff.toml in/old/labels/a.png in/new/c.jpg"


@pytest.mark.parametrize(
    ("files", "given", "expected"),
    [
        # In natural order, whatever they are called if they are named themselves.
        (
            "img10.jpg img2.JPG trip/b.webp Ä.png notes.txt .hidden.jpg .git/x.png",
            ".",
            ["img2", "img10", "trip/b", "Ä"],
        ),
        ("scan.0001 scan.0002 .hidden.jpg", "scan.0002 scan.0001 .hidden.jpg", ["scan.0002", "scan.0001", "_hidden"]),
        # Patterns that the shell did not expand.
        ("a/2.jpg a/10.jpg a/notes.txt b/x/3.jpg [1].jpg", "a/*", ["2", "10"]),
        ("a/2.jpg a/10.jpg b/x/3.jpg [1].jpg", "[ab]", ["2", "10", "x/3"]),
        ("a/2.jpg b/x/3.jpg [1].jpg", "**/*.jpg", ["[1]", "2", "3"]),
        # Unique, and inside of the folder.
        ("x/a.jpg x/a.png a.jpg b.jpg", ".", ["a", "b", "x/a.jpg", "x/a.png"]),
        ("one/x/a.jpg two/x/a.jpg one/b.jpg", "one/x/a.jpg two/x/a.jpg one/b.jpg", ["one/x/a", "two/x/a", "one/b"]),
        # Names that no sample may have.
        ("a:b\\c\n.jpg", ".", ["a_b_c_"]),
        (f"{LONG}1.jpg", ".", ["狗" * 66]),
        # Outputs are not read, unless they are named themselves.
        (SETS, "in", ["a", "new/c"]),
        (SETS, "in/old/labels", ["a"]),
    ],
)
def test_names(tmp_path, monkeypatch, files, given, expected):
    monkeypatch.chdir(tmp_path)
    touch(tmp_path, *files.split(" "))
    assert names(find_photos(given.split(" "))) == expected


@pytest.mark.parametrize("files", ["b.jpg B.JPG", "\u00e9.jpg e\u0301.jpg", "a:b.jpg a_b.jpg", "a.jpg a.png a.jpg.png"])
def test_two_pictures_of_one_name_are_refused(tmp_path, files):
    touch(tmp_path, *files.split(" "))
    with user_error("would have the same name as .*; rename one of them"):
        find_photos([tmp_path])


def test_what_is_beside_pictures_is_counted_and_an_output_left_out(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    touch(tmp_path, *SETS.split(" "), "in/notes.txt", "in/ a /b .png")
    found = find_photos(["in"], exclude=Path("in/new"))
    assert ([photo.file_name for photo in found.photos], found.note) == (
        ["_a_/b_.png", "a.jpg"],
        "1 other file skipped: 1 .txt",
    )
    touch(tmp_path, "in/1.PSD", "in/2.psd", "in/3.mov", "in/LICENSE")
    note = "5 other files skipped: 2 .psd, 1 .mov, 1 without a suffix, 1 .txt"
    assert sorted(find_photos(["in"]).note.split(", ")) == sorted(note.split(", "))
    for given in ("in/new", "in/new/c.jpg"):
        with user_error(f"{given}: is inside the output folder"):
            find_photos([given, "in"], exclude=tmp_path / "in" / "new")


def test_links_are_followed_and_the_same_file_is_taken_once(tmp_path):
    touch(tmp_path, "here/a.jpg", "here/sub/b.jpg", "elsewhere/x/c.jpg")
    here = tmp_path / "here"
    (here / "link.jpg").symlink_to(here / "a.jpg")
    (here / "more").symlink_to(tmp_path / "elsewhere")
    (here / "sub" / "circle").symlink_to(here)
    found = find_photos([here, here / "a.jpg", f"{here}/sub/../a.jpg", here / "sub"])
    assert names(found) == ["a", "more/x/c", "sub/b"]


@pytest.mark.parametrize(
    ("paths", "said"),
    [
        (["."], "has no images among 2 files"),
        (["empty"], "has no images among 0 files"),
        (["nowhere.jpg"], "nowhere.jpg: no such file or folder"),
        (["*.png"], r"\*\.png: no such file or folder"),
        *((paths, "there must be a file") for paths in ([], [""])),
    ],
)
def test_nothing_found(tmp_path, monkeypatch, paths, said):
    monkeypatch.chdir(tmp_path)
    touch(tmp_path, "notes.txt", "table.csv")
    (tmp_path / "empty").mkdir()
    with user_error(said):
        find_photos(paths)


def saved(path, image, **options):
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(path, **options)
    return path


@pytest.mark.parametrize("suffix", ["tif", "png", "pgm"])
def test_more_than_eight_bits_are_refused(tmp_path, suffix):
    grey = np.linspace(0, 60000, 64).reshape(8, 8)
    path = saved(tmp_path / f"a.{suffix}", Image.fromarray(grey.astype(np.uint16)))
    paths = [path]
    if suffix == "tif":
        paths += [saved(tmp_path / "b.tif", grey.astype(kind)) for kind in (np.float32, np.int32)]
    elif suffix == "png":
        save_png(tmp_path / "c.png", small_image().astype(np.uint16) * 257, bits=16, kind=2)
        paths.append(tmp_path / "c.png")
    for path in paths:
        with user_error(rf"{path.name}: has more than 8 bits per channel; save it with 8 bits"):
            read_photo(path)
        with Image.open(path) as opened, user_error("more than 8 bits"):
            as_pixels(opened)


def test_transparency_is_laid_on_white(tmp_path):
    rgba = np.zeros((8, 8, 4), np.uint8)
    rgba[..., :3], rgba[:4, :, 3], rgba[4:, :, 3] = RED, 255, 51
    expected = np.round(np.array(RED) * 0.2 + 255 * 0.8)
    palette = Image.fromarray(np.repeat(np.arange(2, dtype=np.uint8), 32).reshape(8, 8))
    palette.putpalette([*RED, *RED])
    grey = Image.fromarray(np.dstack([rgba[..., 0], rgba[..., 3]]))
    for image, suffixes, upper, lower in (
        (rgba, ("png", "tif", "webp"), RED, expected),
        (grey, ("png",), RED[0], expected[0]),
        (palette, ("png", "gif"), RED, 255),
    ):
        for suffix in suffixes:
            options = {"transparency": 1} if image is palette else {"lossless": True}
            pixels = read_photo(saved(tmp_path / f"a.{suffix}", image, **options))
            assert (pixels[:4] == upper).all()
            assert np.abs(pixels[4:] - lower).max() <= 1


def test_cmyk(tmp_path):
    cmyk = np.zeros((16, 16, 4), np.uint8)
    cmyk[...] = (255, 0, 255, 51)  # no red, full green, no blue, a fifth of black
    for path in (
        saved(tmp_path / "a.jpg", Image.fromarray(cmyk, "CMYK"), quality=100),
        saved(tmp_path / "a.tif", Image.fromarray(cmyk, "CMYK")),
    ):
        assert np.abs(read_photo(path).astype(int) - (0, 204, 0)).max() <= 3


def test_colour_profiles(tmp_path):
    """One with red and blue exchanged, sRGB's own, and some that are none."""
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exchanged = srgb.replace(b"rXYZ", b"?XYZ").replace(b"bXYZ", b"rXYZ").replace(b"?XYZ", b"bXYZ")
    expected = {
        exchanged: small_image()[..., ::-1],
        srgb: small_image(),
        b"nonsense": small_image(),
        srgb[:200]: small_image(),
    }
    for number, (profile, pixels) in enumerate(expected.items()):
        for image in (small_image(), np.dstack([small_image(), np.full((12, 16), 255, np.uint8)])):
            found = read_photo(saved(tmp_path / f"{number}.png", image, icc_profile=profile))
            assert np.abs(found.astype(int) - pixels).max() <= 1
    grey = small_image()[..., 0]
    np.testing.assert_array_equal(read_photo(saved(tmp_path / "grey.png", grey, icc_profile=srgb))[..., 2], grey)


def test_a_photograph_of_a_turned_camera_is_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # shown after a quarter turn clockwise
    turned = np.ascontiguousarray(np.rot90(small_image()))
    for suffix in ("png", "tif"):
        np.testing.assert_array_equal(read_photo(saved(tmp_path / f"a.{suffix}", turned, exif=exif)), small_image())


def test_several_frames(tmp_path):
    frames = [Image.fromarray(np.full((8, 8, 3), v, np.uint8)) for v in (0, 90, 200)]
    for suffix in ("gif", "webp", "png", "tif"):
        path = saved(tmp_path / f"moving.{suffix}", frames[0], save_all=True, append_images=frames[1:])
        with user_error(rf"moving\.{suffix}: has several frames or pages"):
            read_photo(path)
        assert read_photo(saved(tmp_path / f"still.{suffix}", frames[1], save_all=True)).shape == (8, 8, 3)
    pixels = read_photo(saved(tmp_path / "phone.jpg", frames[2], format="MPO", save_all=True, append_images=frames[:1]))
    assert (pixels == 200).all()


def test_sizes_that_are_refused(tmp_path):
    with user_error("allowed"):
        read_photo(saved(tmp_path / "a.png", small_image()), max_megapixels=0.0001)
    for shape in ((1, 1), (7, 300), (300, 7)):
        with user_error("at least 8"):
            read_photo(saved(tmp_path / "small.png", np.zeros((*shape, 3), np.uint8)))
    assert read_photo(saved(tmp_path / "8.png", small_image(8, 8))).shape == (8, 8, 3)


@pytest.mark.parametrize("suffix", ["jpg", "png", "gif", "webp", "tif", "jp2"])
def test_damaged_images_give_pixels_or_one_line(tmp_path, suffix, capfd):
    """Cut off, or bytes changed at random, mostly in the header: never a traceback or a warning."""
    rng = np.random.default_rng(1)
    path = saved(tmp_path / f"a.{suffix}", rng.integers(0, 256, (24, 32, 3), dtype=np.uint8))
    data = path.read_bytes()
    for share in (0.2, 0.5, 0.9) if suffix != "jp2" else ():
        path.write_bytes(data[: int(len(data) * share)])
        with user_error(rf"a\.{suffix}: cannot be read as an image"):
            read_photo(path)
    lines = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(40):
            damaged = bytearray(data)
            for at in np.append(rng.integers(0, min(len(data), 400), 3), rng.integers(0, len(data), 2)):
                damaged[at] = rng.integers(0, 256)
            path.write_bytes(damaged)
            try:
                assert read_photo(path, max_megapixels=1).shape[2] == 3
            except UserError as error:
                lines.append(str(error))
    assert lines
    assert all(line.startswith(f"{path}: ") and "\n" not in line for line in lines)
    assert not caught
    if suffix != "tif":  # libtiff itself speaks on stderr about damaged data
        assert capfd.readouterr() == ("", "")
