import pytest
from PIL import Image, ImageDraw

from recipes.mini.art import sprite_table


@pytest.fixture(scope="session")
def art(tmp_path_factory):
    """Stand-in art: one coloured shape a sprite, under the names that the real art has."""
    folder = tmp_path_factory.mktemp("art") / "fluent"
    folder.mkdir()
    for index, sprite in enumerate(sprite_table()):
        image = Image.new("RGBA", (96, 96), (0, 0, 0, 0))
        colour = (40 + index * 2 % 200, 220 - index % 180, (index * 37) % 255, 255)
        ImageDraw.Draw(image).ellipse((8, 8 + index % 20, 88, 90), fill=colour)
        image.save(folder / f"{sprite.codepoint}.webp", lossless=True)
    return folder.parent
