import pytest
from refusals import user_error

from seediff import register_method
from seediff.attention.plan import plan_capture
from seediff.config.methods import CaptureConfig, MaskConfig
from seediff.models.families.unet import SD
from seediff.models.families.z_image import Z_IMAGE
from seediff.models.layers import JOINT, SELF


@pytest.mark.parametrize("layers", ["", "left", "3-1", "-1", "1-", "1,,2", "0-200", "99999", "²", "3/", "0/1/2"])
def test_what_is_no_group_is_told_in_a_line(layers):
    with user_error(r"^layers: .* must be all, up, down or last, of a UNet, or blocks of a transformer, as 9-12 or"):
        CaptureConfig(layers=layers)


def test_blocks_that_lack_what_a_method_reads():
    layers = {f"noise_refiner.{number}.attention": SELF for number in range(2)}
    layers |= {f"layers.{number}.attention": JOINT for number in range(3)}
    plan = plan_capture(Z_IMAGE, layers, CaptureConfig(layers="1-2"), mask=MaskConfig())
    assert plan.capture.layers == "1-2"
    names = {kind: [*of_kind] for kind, of_kind in plan.layers.items()}
    assert names == {"self": ["noise_refiner.1.attention", "layers.0.attention"], "cross": ["layers.0.attention"]}
    register_method("mine", lambda maps, name, config: maps.cross_at(1, name))
    for method in ("seediff", "mine"):
        said = f"^capture\\.layers: 0-1: method {method} reads cross-attention, which these layers do not have$"
        with user_error(said):
            plan_capture(Z_IMAGE, layers, CaptureConfig(layers="0-1"), mask=MaskConfig(method=method))


def test_the_last_layer_of_each_block_on_the_way_up():
    """Of two digits, too, and with all of its transformer's blocks."""
    names = ["down_blocks.0.attentions.1.attn1", "mid_block.attentions.0.attn1"]
    names += [f"up_blocks.1.attentions.{n}.transformer_blocks.{m}.attn2" for n in (0, 9, 10) for m in (0, 1)]
    assert SD.names_in(names, "last") == [names[1], *names[-2:]]
    assert SD.names_in(names, "up") == names[1:]
    assert SD.names_in(names, "down") == names[:2]
    with user_error(r"^capture\.layers: 1: blocks are a transformer's, and this model has a UNet; use all, up"):
        SD.names_in(names, "1")
