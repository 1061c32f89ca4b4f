"""What type checkers know of a script's calls. pyright reads this file (`make lint`); pytest only imports it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import seediff

if TYPE_CHECKING:
    from typing_extensions import assert_type

    from seediff.masks.results import MaskResult
    from seediff.script.results import HeatMap
    from seediff.segments.make_segments import Segments

    def of_pictures_and_clips(pipe: Any) -> None:
        with seediff.capture(pipe) as seen:
            assert_type(seen.heatmap("dog"), HeatMap)
            assert_type(seen.heatmap("dog", -1), HeatMap)
            assert_type(seen.heatmap("dog", seen.clips[0][0]), HeatMap)
            assert_type(seen.masks("dog", "cat", beta=0.4), MaskResult)
            assert_type(seen.clip_masks("dog", clip=0), list[MaskResult])
            assert_type(seen.segments(k=5), Segments)
        assert_type(seediff.mask("photo.jpg", ["dog"], model="sd1.5"), MaskResult)


def test_the_package_says_that_it_has_types():
    from pathlib import Path

    assert (Path(seediff.__file__).parent / "py.typed").is_file()
