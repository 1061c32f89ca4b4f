"""The configuration that values of a command line or a program make."""

import json

from seediff.config.resolve import configure_run


def configured(kind, *given, **options):
    """As `configure_run`, without the model."""
    return configure_run(kind, *given, **options)[0]


PRESET = {
    "steps": 20,
    "guidance_scale": 4.0,
    "capture_steps": "second-half",
    "method": "ca_sa",
    "presence": 0.7,
    "name_threshold": 0.6,
    "methods": {
        "ca_sa": {
            "mask": {"beta": 0.4, "tau": 1, "expand_levels": [2, 1], "pamr_dilations": [1, 2]},
            "capture": {"layers": "up"},
        },
        "ca": {"mask": {"beta": 0.5}, "capture": {"steps": 2}},
        "reference": {"mask": {"alpha": 0.45}},
    },
    "segments": {"diffseg": {"kl_threshold": 0.5, "weights": [0.0, 1.0]}},
}


def write_model(folder, preset=None):
    """What is known of a model before it is loaded. preset: its constants. Returns its name."""
    folder.mkdir()
    (folder / "model_index.json").write_text('{"_class_name": "StableDiffusionPipeline"}')
    if preset:
        (folder / "seediff.json").write_text(json.dumps({"preset": preset}))
    return str(folder)
