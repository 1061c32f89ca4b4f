"""Trains segmenters (Mask2Former, SegFormer) on datasets of any format, and predicts with them.

stages.py opens the data and divides a training into stages (dry_run.py describes it)
defaults.py chooses the default backbone, and whether images are mirrored
models.py builds networks and loads their weights (loss.py has Mask2Former's loss)
data.py makes batches
run.py is the training loop
record.py reads and writes checkpoints, losses and the model card
predict.py loads a trained segmenter and predicts label maps

config/train.py has all settings.
"""
