import json

import pytest
import torch
from safetensors.torch import save_file

from seediff.attention.maps import AttentionMaps
from seediff.errors import UserError


@pytest.mark.parametrize(
    ("tensors", "about"),
    [
        ({"weight": torch.zeros(4)}, None),
        ({"self.2": torch.zeros(4, 4)}, "{"),
        ({"self.2": torch.zeros(4, 4)}, "[1]"),
        ({"self.2": torch.zeros(4, 4)}, {"latent_side": 2}),
        ({"self.2": torch.zeros(4, 4)}, {"latent_side": 2, "words": [], "prompt": "", "normalized": True}),
        ({"self.2": torch.zeros(3, 4)}, {"latent_side": 2, "words": {}, "prompt": "", "normalized": True}),
    ],
)
def test_foreign_files_are_named(tmp_path, tensors, about):
    path = tmp_path / "a.safetensors"
    save_file(tensors, path, metadata={"seediff": about if isinstance(about, str) else json.dumps(about)} if about else None)
    with pytest.raises(UserError, match=r"a\.safetensors(:|, 'seediff')"):
        AttentionMaps.load(path)
