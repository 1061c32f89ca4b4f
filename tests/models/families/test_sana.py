import torch
from builders.families import SPECS, generate
from PIL import Image

from seediff.cli.main import main
from seediff.config.method_constants import CaptureConfig
from seediff.prompts.specs import SampleSpec


def test_words_at_the_end_of_an_instruction(model):
    specs = [SampleSpec(0, ("dog",), " A photo of a Dog", 1), SPECS[1]]
    maps = generate(model, specs, capture=CaptureConfig(normalize=False))[1]
    assert 0 < maps[0].words["dog"][0] < 10
    assert float(maps[0].cross_attention[16, 16][:, 20:].abs().max()) == 0  # padding is not attended to
    torch.testing.assert_close(maps[0].cross_attention[16, 16].sum(1), torch.ones(256))


def test_methods_that_need_self_attention_say_so(folder, model, tmp_path, capsys):
    Image.new("RGB", (8, 8)).save(photo := tmp_path / "photo.png")
    segment = ["segment", str(photo)]
    for line in ("generate --classes dog --method seediff".split(), [*segment, "--method", "diffcut"], segment):
        assert (
            main([*line, "--model", str(folder), "--out", str(tmp_path / "out"), "--device", "cpu", "--dry-run"]) == 2
        )
        said = capsys.readouterr().err
        assert "self-attention, and Sana has no maps of it: its self-attention is linear, which has no map" in said
