import re
from pathlib import Path

import numpy as np
import pytest
import torch

import seediff
from recipes.mini.yardstick import load_segmenter, segment_known
from recipes.readme_block import run_block
from seediff.attention.maps import AttentionMaps
from seediff.mini.scenes import CLASS_IDS
from seediff.models import registry
from seediff.models.registry import load_model

PAGE = (Path(__file__).parents[2] / "docs" / "script.md").read_text(encoding="utf-8")
BLOCK = re.findall(r"^```python\n(.*?)^```$", PAGE, re.M | re.S)[0]


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


@pytest.mark.parametrize("name", ["flux2", "sana"])
def test_the_block(name, twin, tmp_path, monkeypatch):
    model = load_model(str(twin(name)), device="cpu")
    monkeypatch.setattr(registry, "load_model", lambda name: model)
    monkeypatch.chdir(tmp_path)
    side = 16 * model.pixels
    torch.manual_seed(0)
    plain = model.pipe(prompt="a dog and a cat on a sofa", num_inference_steps=2, height=side, width=side).images[0]
    code = BLOCK.replace("num_inference_steps=30", f"num_inference_steps=2, height={side}, width={side}")
    assert code != BLOCK
    code = code.replace('pipe("a dog', 'pipe(prompt="a dog')  # the first argument of FLUX.2's is a picture
    if model.family.no_self_attention:
        (line,) = [line for line in code.splitlines() if "seen.segments" in line]
        code = code.replace(line, "")
    torch.manual_seed(0)
    names = {}
    exec(code, names)
    assert np.array_equal(np.asarray(names["image"]), np.asarray(plain))
    assert names["seen"].words == [("dog", "cat", "sofa")]
    assert names["result"].label_map.shape == (side, side)
    assert (tmp_path / "dog.png").is_file()
    assert {"dog", "cat", "sofa"} == set(AttentionMaps.load(tmp_path / "maps.safetensors").words)
    if model.family.no_self_attention:
        with pytest.raises(seediff.UserError, match="segments need self-attention"):
            names["seen"].segments()
    else:
        assert names["parts"].label_map.shape == (side, side)
