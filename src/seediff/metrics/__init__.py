"""Pure functions on arrays that count and score: confusion, IoU, Hungarian matching, boundary IoU, bootstrap
intervals."""
