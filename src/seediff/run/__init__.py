"""Long commands, run batch by batch: a killed run leaves no half-written file, and the same command continues it.

job.py       `Job`: what a command makes of a batch, and says about the whole; `ModelJob`: also what it plans
plan.py      `Plan`: what a run will do with a model, made before and after the model is loaded
loop.py      `run`: has an engine make the batches of a job that are missing in a folder, and commits them
engine.py    `Engine`: makes batches in this process
cluster.py   an engine on several machines
output.py    the folder of the output: what an earlier run left there, the records of its batches, and how it grows
photos.py    photographs: how they are read, and which could not be used; `PhotoJob`, a `ModelJob` for them
generate_job.py    `generate`, a `ModelJob`
mask_job.py, segment_job.py    `mask` and `segment`, two `PhotoJob`s
predict_job.py     `predict`, a `Job`
tune.py      `tune`: finds thresholds from the masks of labelled photographs
"""
