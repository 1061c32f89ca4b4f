"""Counts and scores, pure functions on arrays: confusion, IoU, Hungarian matching, boundary IoU, bootstrap intervals."""
