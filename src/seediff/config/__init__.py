"""Configurations: every option of the commands, in frozen dataclasses that check their values and are kept in TOML
files.

    fields.py            the types of fields, and the check of values
    class_names.py       names of classes, and prompts; sides.py: left and right in names
    sizes.py             sizes in pixels
    settings.py          `Settings`, `RunConfig`: what all configurations share
    methods.py           what each method reads; method_constants.py: the constants of methods
    resolve.py           the configuration of a run, with what its model and method decide
    generate_config.py   the configuration of `generate`; photos_config.py, train.py, augment.py, filter.py: of the
                         other commands
"""
