"""Trains segmenters (Mask2Former, SegFormer) on datasets of any format, and predicts with them.

config/train.py has all settings, plan.py opens the data, models.py builds networks and their losses (loss.py), data.py makes batches,
run.py is the loop with checkpoint.py, predict.py loads a trained segmenter.
"""
