"""Models by name, and all that is known of their architectures.

    registry.py       load_model; its first lines show the way from a name to a loaded model
    locate.py         a name → the folder, hub id or file; the models with short names; hub.py: the hub and its cache
    describe.py       what the small files say, before weights are read; presets.py: constants tuned for a model
    families/         what is known of each architecture; layers.py: its attention layers, and choosing among them
    pipeline.py       loads the weights and LoRAs, with weights.py (complete, finite), no_code.py (no code), and
                      libraries.py (transformers and diffusers, without their warnings)
    single_file.py    files that replace parts of a model (Civitai, GGUF)
    sampling.py       schedulers by short names
    saving_memory.py  offloading, tiling, quantised weights
    mini/             the weights of a small model, for trials without a download

Nothing here draws: see attention/draw.py.
"""
