"""Datasets on disk: native.py is the folder that `generate` and `mask` write; `formats/` converts it to other formats
and back.
"""
