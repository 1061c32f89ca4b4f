"""Trains segmenters (Mask2Former, SegFormer) on datasets of any format, and predicts with them.

config/train.py has all settings. stages.py opens the data, usual.py chooses the default backbone, models.py builds
networks (loss.py: their losses), data.py makes batches, run.py is the training loop, record.py reads and writes
checkpoints, and predict.py loads a trained segmenter.
"""
