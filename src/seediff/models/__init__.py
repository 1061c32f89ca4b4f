"""Models by name, and all that is known of their architectures.

    registry.py       load_model; its first lines show the way from a name to a loaded model
    model_files.py    a name → the folder, hub id or file; short_names.py: the table of names; catalogue.py: the list
    hub.py            the hub and its cache
    describe.py       what the small files say, before weights are read
    families/         what is known of each architecture; layer_choice.py: choosing among its attention layers
    pipeline.py       the weights, with weights.py (whole), trust.py (no code), single_file.py (Civitai, GGUF)
    adapters.py       LoRAs; schedulers.py: schedulers, and what distilled weights need
    saving_memory.py  offloading, tiling, quantised weights
    graphs.py         replays the network's calls as CUDA graphs, with graph_calls.py: what is known of a call;
                      graph_maker.py: makes graphs; graph_changes.py: what makes them outdated
    fingerprint.py    by which a continued run knows its weights
    mini/             the weights of a small model, for trials without a download

Nothing here draws: see attention/draw.py.
"""
