"""All reading and writing of files. Foreign files become typed values or a one-line error; nobody ever sees a
half-written file.

reading.py    bytes and text
documents.py    JSON, TOML, YAML, CSV and XML
tensors.py    safetensors and GGUF
image_files.py, label_maps.py, photo_files.py    pictures
outputs.py, output_folders.py    writing files, and the folders for them
messages.py    text for terminals
"""
