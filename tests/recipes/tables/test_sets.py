from collections import Counter
from dataclasses import replace

import numpy as np
from refusals import user_error

from recipes.studies.settings import PAPER
from recipes.tables.drawn import SetConfig, draw_set, labelled, set_specs

CONFIG = SetConfig(
    ("dog", "cat", "bus"),
    images=5,
    objects=(1, 2),
    steps=1,
    guidance_scale=1.0,
    batch_size=2,
    threads=1,
    labels={"ca": PAPER["ca"].table(), "seediff": PAPER["seediff"].table()},
)


def test_specs_follow_from_the_configuration_and_their_number():
    config = replace(CONFIG, images=60, prompts=("a photo of a {class}", "a photo of a {class} on grass"))
    specs = set_specs(config)
    assert [len(spec.classes) for spec in specs[:6]] == [1, 2, 1, 2, 1, 2]
    assert set_specs(replace(config, images=20)) == specs[:20]
    single = Counter(spec.classes for spec in specs if len(spec.classes) == 1)
    assert set(single.values()) == {10}
    paired = Counter(name for spec in specs if len(spec.classes) == 2 for name in spec.classes)
    assert max(paired.values()) - min(paired.values()) <= 1
    assert sum("grass" in spec.prompt for spec in specs) == 30
    assert len({spec.seed for spec in specs}) == 60
    assert not {spec.seed for spec in specs} & {spec.seed for spec in set_specs(replace(config, seed=1))}


def test_drawn_once_and_labelled_in_every_way(tmp_path):
    out = tmp_path / "set"
    draw_set(CONFIG, out)
    classes, items = labelled(out, "seediff")
    _, others = labelled(out, "ca", 3)
    assert classes == CONFIG.classes
    assert [item.name for item in items] == [f"{i:06d}" for i in range(5)]
    assert [item.source for item in others] == [item.source for item in items[:3]]
    ids = {name: i for i, name in enumerate(classes, 1)}
    for item in items:
        label_map = item.label_map
        assert label_map.shape == (128, 128)
        assert set(np.unique(label_map)) <= {0, *(ids[name] for name in item.metadata["classes"])}
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    draw_set(CONFIG, out)  # finished: nothing is drawn again
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    with user_error(r"no labelling 'cre'; there are ca, seediff"):
        labelled(out, "cre")
    with user_error(r"images: 5 → 6"):
        draw_set(replace(CONFIG, images=6), out)
