from dataclasses import fields

import numpy as np
import pytest
from builders.refusals import user_error
from formats import READ, WRITTEN, export

from seediff import Dataset
from seediff.cli.formats import ExportOptions, ImportOptions
from seediff.dataset.formats.format_table import export_options, import_options
from seediff.dataset.sample import Sample


@pytest.mark.parametrize("call", [*(f"as_{name}" for name in WRITTEN), *(f"from_{name}" for name in READ)])
def test_options_that_a_format_does_not_have(tmp_path, call):
    with pytest.raises(TypeError, match="layers"):
        getattr(Dataset(("dog",), []), call)(tmp_path / "set", layers=2)
    assert not (tmp_path / "set").exists()


OF_OTHERS = {"workers", "num_classes", "void"}
"""Options that `export` has for every format, and those with which `evaluate` reads masks."""


@pytest.mark.parametrize(
    ("names", "options_of", "kind"), [(WRITTEN, export_options, ExportOptions), (READ, import_options, ImportOptions)]
)
def test_every_option_of_a_format_is_one_of_the_command(names, options_of, kind):
    options = {option for name in names for option in options_of(name)}
    assert options - OF_OTHERS == {field.name for field in fields(kind)}


ESCAPED = "../../../escaped"
SAMPLES = [Sample(np.zeros((8, 8, 3), np.uint8), np.ones((8, 8), np.uint8), name="0")]


@pytest.mark.parametrize("name", WRITTEN)
def test_names_of_classes_lead_out_of_no_folder(name, tmp_path):
    out = tmp_path / "some" / "inner" / "set"
    export(name, (ESCAPED,), SAMPLES, out)
    assert {*tmp_path.rglob("*")} == {out.parent.parent, out.parent, out, *out.rglob("*")}


def test_a_folder_that_is_not_empty_is_refused_before_a_picture_is_read(tmp_path):
    (tmp_path / "a.txt").write_text("mine")
    unread = Sample(None, None, name="0")  # type: ignore[arg-type]
    with user_error("already exists and is not empty"):
        export("coco", ("dog",), [unread], tmp_path, split=0.5)
