"""All reading and writing of files.

Reading what others may have written: regular files of a limited size become typed values, or an error of one line.

reading.py     bytes, text and lines of regular files; sizes are known before anything is read
documents.py   JSON, JSON lines, TOML, YAML, CSV and XML as values of a type; the error names the file and the place in it
tensors.py     safetensors files and NumPy's arrays
pictures.py    pictures, with one limit on pixels; label_maps.py: label maps in folders, and their colours
photographs.py what a user names (files, folders, patterns) to upright pixels in sRGB

Writing: no half-written file is ever seen, and no link is followed out of the folder that the user named.

outputs.py     the one module that writes
places.py      folders and addresses that are written to: tried before, one run at a time, complete or not there
messages.py    values and output as terminals may show them
"""
