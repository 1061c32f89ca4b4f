"""How files are read that others may have written: regular ones of a limited size, into typed values, or one line that says what is wrong.

reading.py    bytes, text and lines of regular files; sizes are known before anything is read
schema.py     values → a type; the error names the file, the place, what was there and what should be
documents.py  JSON, JSON lines, TOML and YAML, through schema.py
sheets.py     CSV
tensors.py    headers of safetensors files, checked against the file's size, and their tensors
pictures.py   pictures, with one limit on pixels
"""
