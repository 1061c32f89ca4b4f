"""Long commands, run batch by batch: a killed run leaves no half-written file, and the same command continues it.

A `Job` is the work of one command. An `Engine` does it for the batches that are missing. A `Place` is the output, a
folder or objects in a store; it has a `BatchRecord` of every finished batch. A `RunResult` describes the finished
output. `loop.run(job, out)` does everything; `loop.plan(job, out)` returns what `--dry-run` prints.

loop.py      the loop that all commands share, in this process or several; cluster.py: on several machines
output.py    the place of the output and its finished batches: a folder, or objects in a store
generate.py, mask.py, segment.py, augment.py    the commands: how each makes a batch
samples.py, segment_files.py, photos.py    what these commands read and write
plan.py, reopen.py    checks and dry runs before a run begins; how a finished dataset becomes an unfinished one again
tune.py, evaluate_masks.py    `tune` and `evaluate masks`, which look at labelled photographs
"""
