"""Trains segmenters (Mask2Former, SegFormer) on datasets of any format, and predicts with them.

stages.py opens the data and divides a training into stages
plan.py says what it will do: its defaults, and the lines of a dry run
models.py builds networks and loads their weights
loss.py computes their losses
data.py makes batches
run.py is the training loop
record.py reads and writes checkpoints
views.py shows their contents: losses, chart and model card
predict.py loads a trained segmenter and predicts label maps

config/train.py has all settings.
"""
