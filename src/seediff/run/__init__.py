"""Long commands, done batch by batch: a killed run leaves no half-written file, and the same command continues it.

engine.py        the batches of any command, in this process; engine_ray.py in many, on many machines
opening.py       where the output is: a folder (place.py), or a store of objects (storage.py)
generate.py, mask.py, segment.py, augment.py    the commands: what a batch is made of
samples.py, segment_files.py, photo_files.py    what they write; collect.py: samples from anywhere as one finished set
plan.py, reopen.py                              a run before it begins, and after something of it was damaged
"""
