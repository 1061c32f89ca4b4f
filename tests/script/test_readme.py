import numpy as np

from recipes.mini.yardstick import load_segmenter, segment_known
from recipes.pictures import run_block
from seediff.mini import CLASS_IDS


def test_readmes_block_draws_what_it_says(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = run_block()
    (seen,) = segment_known(load_segmenter(), np.asarray(names["image"])[None], [("dog", "car")])
    for number, name in enumerate(("dog", "car"), 1):
        truth, mask = seen == CLASS_IDS[name], names["result"].label_map == number
        assert truth.mean() > 0.05
        assert (truth & mask).sum() / (truth | mask).sum() > 0.5
        heat = names["seen"].heatmap(name).values
        assert truth[heat > 0.9].mean() > 0.5
    assert (tmp_path / "dog.png").is_file()
