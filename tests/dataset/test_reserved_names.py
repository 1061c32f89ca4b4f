"""No way to name a class takes a name that means the background or ignored pixels. To rename a class so removes it."""

import numpy as np
import pytest
from command_line import runner
from items import noise_pixels, write_pets
from look_server import running
from refusals import user_error

from seediff.cli.formats import import_
from seediff.cli.run_commands import generate
from seediff.cli.train_commands import train
from seediff.config.class_names import RESERVED
from seediff.dataset.dataset import Dataset
from seediff.dataset.sample import Sample

run = runner(generate, import_, train)
WAYS = [
    "generate --classes dog,{name} --out {out} --dry-run",
    "import {pets}/images --classes dog,{name} --unlabelled --out {out}",
    "train {pets} --classes dog,cat,{name} --out {out} --dry-run",
]


@pytest.mark.parametrize("line", WAYS)
@pytest.mark.parametrize("name", [*RESERVED, "Void"])
def test_a_command_refuses_it(line, name, tmp_path):
    pets = write_pets(tmp_path / "pets", 4)
    with user_error(rf"'{name}' means .* in labels, and cannot be a class; choose another name"):
        run(line.format(name=name, pets=pets, out=tmp_path / "out"))


def test_a_class_that_a_set_has_keeps_its_name(tmp_path):
    """Foreign sets have such classes: `check` says which command joins them."""
    samples = [
        Sample(noise_pixels(1, 8, 8)[0], np.full((8, 8), number, np.uint8), name=f"{number}") for number in (1, 2)
    ]
    joined = Dataset(("void", "Void"), samples).renamed({"Void": "void"})
    assert (joined.classes, [sample.label_map.max() for sample in joined]) == (("void",), [1, 1])
    pets = write_pets(tmp_path / "pets", 4)
    Dataset(("void",), samples[:1]).save(tmp_path / "foreign")
    run(f"train {pets} --finetune {tmp_path}/foreign --classes dog,cat,void --out {tmp_path}/out --dry-run")


def test_the_viewer_refuses_it(tmp_path):
    pets = write_pets(tmp_path / "pets", 4)
    with running(pets) as (client, _):
        for name in RESERVED:
            answer = client.post("/api/classes", {"name": name})
            assert (answer.status, "cannot be a class" in answer.body.decode()) == (400, True)
