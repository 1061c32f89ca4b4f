"""The methods of `Dataset` and the codecs of the formats say the same."""

from __future__ import annotations

from inspect import signature

import pytest
from formats import EVERY, READ

from seediff.dataset.conversions import Conversions, export_options, import_options
from seediff.dataset.formats.drivers import export
from seediff.dataset.formats.known import FORMATS, codec


@pytest.mark.parametrize("name", EVERY)
def test_methods_take_what_the_codec_and_the_driver_do(name):
    shared = [option for option in ("split", "seed", "link", "workers") if option in export_options(name)]
    written = signature(codec(name).write).parameters
    assert export_options(name) == [*shared, *list(written)[1:]]
    method = signature(getattr(Conversions, f"as_{name}")).parameters
    for option in export_options(name):
        assert method[option].default == (signature(export).parameters if option in shared else written)[option].default


@pytest.mark.parametrize("name", READ)
def test_methods_read_what_the_codec_does(name):
    assert [option for option in import_options(name) if option != "skip_missing"] == list(signature(codec(name).read).parameters)[1:]


def test_every_format_has_its_codec():
    assert all(callable(codec(name).is_folder) for name in FORMATS)
