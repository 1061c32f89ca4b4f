"""The table of the formats and the exporters say the same."""

from __future__ import annotations

from typing import get_type_hints

import pytest

from seediff.dataset.formats.known import FORMATS, FormatName


@pytest.mark.parametrize("name", FORMATS)
def test_every_exporter_takes_classes_items_a_folder_and_its_options(name: FormatName) -> None:
    hints = get_type_hints(exporter(name))
    assert list(hints) == ["classes", "items", "out", "options", "return"]
    assert hints["options"] == FORMATS[name].options | None
