"""Long commands, run batch by batch: a killed run leaves no half-written file, and the same command continues it.

job.py       `Job`: what a command does for each batch, and at the end
engine.py    `Engine`: makes a job's batches in this process; cluster.py, on several machines
loop.py      `run`: has an engine make the batches of a job that are missing in a folder, and commits them
output.py    the folder of the output: what an earlier run left there, the records of its batches, and how it grows
generate_job.py, mask_job.py, segment_job.py    the commands: how each makes a batch
model_job.py    what these jobs share: checks, dry runs, files about the set
sample_writer.py    writes samples with their masks, for `generate` and `mask`
photos.py    what `mask` and `segment` share: their photographs, and how a batch of them is made
evaluate_masks.py, tune.py    `evaluate masks`, and `tune`, which counts masks of labelled photographs as it does
"""
