"""All reading and writing of files. Foreign files become typed values or a one-line error; nobody ever sees a
half-written file.

reading.py bytes and text; documents.py JSON, TOML, YAML, CSV, XML; tensors.py safetensors and GGUF; image_files.py,
label_maps.py and photo_files.py pictures. outputs.py writes files, output_folders.py has the places for them, and
messages.py the text for terminals.
"""
