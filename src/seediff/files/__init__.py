"""Reads and writes all files. A foreign file becomes typed values or a one-line error, and nobody ever sees a
half-written file.

reading.py      bytes and text; JSON, TOML, YAML, CSV and XML; paths that must stay inside a folder
tensors.py      safetensors
image_files.py  any picture: opening it safely, its pixels as stored, or upright in sRGB; and the bytes of one
photo_files.py  finding pictures, and giving each a name
names.py        the names: suffixes, and which names belong together
label_maps.py   label maps: reading and resizing them, the colours of their palette
outputs.py      writing files and folders: checks, locks, and nothing that is seen half-written
messages.py     text for terminals
"""
