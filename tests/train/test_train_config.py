import pytest

from seediff.config.resolve import load_config
from seediff.config.train import TrainConfig, make_config
from seediff.errors import UserError


def test_toml_comes_back(tmp_path):
    config = make_config({"backbone": "tiny", "seed": 3, "drops": (0.5,)})
    (tmp_path / "seediff.toml").write_text(config.to_toml())
    assert load_config(tmp_path / "seediff.toml", TrainConfig) == config
    # Also where a preset differs from the defaults.
    plain = TrainConfig(**{**TrainConfig().values(), "backbone": "tiny", "weights": "scratch"})
    (tmp_path / "seediff.toml").write_text(plain.to_toml())
    assert load_config(tmp_path / "seediff.toml", TrainConfig).crop == 512


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"backbone": "b0"}, "mask2former has r50, swin-t, swin-b, tiny"),
        (
            {"architecture": "segformer", "backbone": "tiny", "weights": "pretrained"},
            "is not available for segformer's tiny",
        ),
        ({"accumulate": 3}, "cannot be divided into 3"),
        ({"scale": (2.0, 1.0)}, "0 < low ≤ high"),
    ],
)
def test_bad_values(given, says):
    with pytest.raises(UserError) as error:
        make_config(given)
    assert says in str(error.value)


def test_other_weights_over_a_file_bring_their_rate(tmp_path):
    file = tmp_path / "seediff.toml"
    for first, other in ((("scratch", 1.0), ("pretrained", 0.1)), (("pretrained", 0.1), ("scratch", 1.0))):
        file.write_text(make_config({"backbone": "tiny", "weights": first[0]}).to_toml())
        assert make_config({}, file).backbone_factor == first[1]
        assert make_config({"weights": other[0]}, file).backbone_factor == other[1]
    file.write_text(make_config({"backbone": "tiny"}).to_toml())
    swin = make_config({"backbone": "swin-b"}, file)  # the weights were those of the tiny backbone
    assert (swin.weights, swin.backbone_factor) == ("pretrained", 0.1)
