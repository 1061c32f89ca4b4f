"""Models by name, and all that is known of their architectures.

    registry.py       load_model, Model; its first lines show the way from a name to a loaded model
    locate.py         a name → where the parts are, with short_names.py (a table) and hub.py (the hub and its cache)
    describe.py       what the small files say, before weights are read, and the constants tuned for a model
    families/         what is known of each architecture; layers.py: its attention layers, and choosing among them
    pipeline.py       loads the weights and LoRAs, with weights.py (which files, their tensors and fingerprint),
                      no_code.py (no code), and libraries.py (transformers and diffusers, without their warnings)
    single_file.py    files that replace parts of a model (Civitai, GGUF)
    schedulers.py     schedulers by short names
    saving_memory.py  offloading, tiling, quantised weights
    hooks.py          hears the calls of networks and of pipelines' methods
    mini/             the weights of a small model, for trials without a download

Nothing here draws: see attention/draw.py.
"""
