"""Training segmenters on datasets of any format, and predicting with them.

config/train.py says everything that decides the result, models.py builds networks and their losses (loss.py), data.py makes batches,
run.py is the loop with checkpoint.py, predict.py loads what it made.
"""
