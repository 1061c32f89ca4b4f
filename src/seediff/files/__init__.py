"""All reading and writing of files.

Reading what others may have written: regular files of a limited size become typed values, or an error of one line.

reading.py    bytes, text and lines of regular files; sizes are known before anything is read
schema.py     values → a type; the error names the file, the place, what was there and what should be
documents.py  JSON, JSON lines, TOML and YAML, through schema.py
sheets.py     CSV
tensors.py    headers of safetensors files, checked against the file's size, and their tensors
pictures.py   pictures, with one limit on pixels
photographs.py  what a user names (files, folders, patterns) to upright pixels in sRGB

Writing: no half-written file is ever seen, and no link is followed out of the folder that the user named.

outputs.py      the one module that writes
staging.py      folders that appear when they are complete
locking.py      one run at a time
addresses.py    folders and addresses of stores; apart.py: sources and outputs are not one inside the other
label_maps.py   label maps in folders; palette.py: their colours
space.py        room on disks
"""
