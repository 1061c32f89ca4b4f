"""Reads and writes all files. A foreign file becomes typed values or a one-line error, and nobody ever sees a
half-written file.

reading.py         bytes and text of files; paths that must stay inside a folder
documents.py       JSON, TOML, YAML, CSV and XML
tensors.py         safetensors and GGUF
image_files.py     any picture: opening it safely, its pixels as stored, its EXIF orientation
photo_files.py     photographs: finding them, reading them as upright sRGB pixels
label_maps.py      label maps: finding and reading them, matching predictions with labels
outputs.py         writing files
output_folders.py  folders for output: checks, locks, replacing them
messages.py        text for terminals
"""
