"""What holds for every family of FAMILIES, each tried on its twin: `save_NAME` of builders/twins.py, or of language_twins.py, for that of
families/NAME.py."""

from importlib import import_module
from pathlib import Path

import pytest
from builders import language_twins, twins
from builders.families import check_singles, run_commands

from seediff.models.families import FAMILIES, REFUSED
from seediff.models.registry import load_model

OWN_TWINS = {"unet"}
"""Whose twins are those of conftest.py, with tests all over tests/."""
FILES = {type(family).__module__.rpartition(".")[2]: family for family in FAMILIES}
PAGE = (Path(__file__).parents[3] / "docs/models.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module", params=sorted(set(FILES) - OWN_TWINS))
def folder(request, tmp_path_factory):
    save = getattr(twins, f"save_{request.param}", None) or getattr(language_twins, f"save_{request.param}")
    return save(tmp_path_factory.mktemp("models") / request.param)


def test_an_image_does_not_depend_on_the_batch(folder):
    check_singles(load_model(str(folder), device="cpu"))


def test_the_commands(folder, tmp_path):
    run_commands(folder, tmp_path)


@pytest.mark.parametrize("family", FAMILIES, ids=[family.title for family in FAMILIES])
def test_the_page_has_a_row_for_it(family):
    row = next(line for line in PAGE.splitlines() if line.startswith("|") and all(f"`{name}`" in line for name in family.pipelines))
    own = [family.steps, family.guidance_scale]
    assert f"| {', '.join(f'{number:g}' for number in own)}" in row if None not in own else True
    assert not set(family.pipelines) & set(REFUSED)


def test_diffusers_has_the_classes_that_are_named():
    diffusers = import_module("diffusers")
    named = [name for family in FAMILIES for name in (*family.pipelines, family.class_name)]
    assert [name for name in (*named, *REFUSED) if not hasattr(diffusers, name)] == []
