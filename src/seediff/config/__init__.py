"""Configurations: every option of the commands in validated frozen dataclasses, read from and written to TOML, and
models' presets.
"""
