"""Configurations: every option of the commands in validated frozen dataclasses, read from and written to TOML, and
models' presets.

    fields.py            types of fields, and one check of their values; other_names.py: other programs' names of them
    class_names.py       names of classes, and prompts; sides.py: left and right
    sizes.py             sizes in pixels
    settings.py          `Settings`, `RunConfig`: what all configurations share
    methods.py           what each method reads; method_constants.py: the constants of methods
    presets.py           constants for a model, in its folder or from `seediff tune`
    resolve.py           the value of each field, from all sources
    generate_config.py   the commands' configurations, with photos_config.py, train.py, augment.py and filter.py
"""
