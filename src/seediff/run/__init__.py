"""Long commands, done batch by batch: a killed run leaves no half-written file, and the same command continues it.

loop.py      the one loop of all of them, in this process or several; cluster.py: on many machines
place.py     where the output is and which batches of it are finished: a folder, or objects in a store
generate.py, mask.py, segment.py, augment.py    the commands: how a batch is made
samples.py, segment_files.py, photo_files.py    what they write
model_files.py, plan.py, reopen.py              a run before it begins, and after something of it was damaged
"""
