"""Long commands, done batch by batch: a killed run leaves no half-written file, and the same command continues it.

The nouns: a `Job` is one command's work, a batch at a time; an `Engine` maps it over the batches that are missing; a `Place` is the
output, a folder or objects in a store, and knows by a `BatchRecord` of each which batches are finished; a `RunResult` says what there
is in the end. `loop.run(job, out)` is all of it, and `loop.plan(job, out)` is what `--dry-run` prints.

loop.py      the one loop of all of them, in this process or several; cluster.py: on many machines
output.py    the place of the output and its finished batches: a folder, or objects in a store
generate.py, mask.py, segment.py, augment.py    the commands: how a batch is made
samples.py, segment_files.py, photos.py    what they read and write
plan.py, reopen.py, tune.py    before a run begins; after something was damaged; thresholds for `mask` and `segment`
"""
