"""Long commands, run batch by batch: a killed run leaves no half-written file, and the same command continues it.

job.py       `Job`: what a command does for each batch, and at the end
engine.py    `Engine`: makes a job's batches in this process; cluster.py, on several machines
loop.py      `run`: has an engine make the batches of a job that are missing in a folder, and commits them
output.py    the folder of the output: what an earlier run left there, the records of its batches, and how it grows
model_job.py `ModelJob`, a `Job` that runs a model: checks, the plan of what is captured, dry runs, files about the set
photos.py    `PhotoJob`, a `ModelJob` for photographs: how they are read, and which could not be used
generate_job.py, mask_job.py, segment_job.py    the commands: a `ModelJob`, and two `PhotoJob`s
masked_sample.py    makes samples of pictures and their masks, for `generate` and `mask`
evaluate_masks.py, tune.py    `evaluate masks`, and `tune`: both count the pixels of masks of labelled photographs
"""
