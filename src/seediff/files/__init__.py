"""All reading and writing of files.

Reading foreign files: regular files of limited size become typed values, or a one-line error.

reading.py     bytes, text and lines of regular files; checks sizes before reading
documents.py   JSON, JSON lines, TOML, YAML, CSV and XML as typed values; errors name the file and the place in it
tensors.py     safetensors files, and the headers of GGUF files
pictures.py    pictures, with a limit on pixels, and their orientation
label_maps.py  label maps in folders, and their colours
photographs.py from a user's files, folders and patterns to upright pixels in sRGB

Writing: nobody ever sees a half-written file, and no link is followed out of the folder that the user named.

outputs.py     the one module that writes
output_folders.py  folders and addresses for output: checked first, one run at a time, complete or absent
messages.py    safe values and output for terminals
"""
