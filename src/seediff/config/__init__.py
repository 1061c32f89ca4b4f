"""Configurations: every option that decides a result, in frozen dataclasses that check their values and are kept in
TOML files.

    fields.py        the types of fields, and the check of values; sizes.py: sizes in pixels
    other_names.py   what other programs call our options
    class_names.py   names of classes, also as people write them; names_in_texts.py: found in texts
    settings.py      `Settings`, `BatchConfig`, `RunConfig`: what all configurations share; flat names, and `build`
    methods.py       what each method reads, and its constants
    resolve.py       the configuration of a run, with what its model and method decide
    runs.py          those of `generate`, `mask`, `segment` and `predict`; sets.py: of `augment` and `filter`
    train.py         the configuration of a training

A value has a flat name, such as `mask.beta`, until `build` (settings.py) makes a configuration of all values. The
sources of a run's defaults, the stronger later, are one list in `default_sources` (resolve.py); a training's are in
`make_config` (train.py).
"""
