"""Pure functions on arrays that count and score: confusion, IoU, Hungarian matching, boundary IoU, AP, PQ, bootstrap intervals."""
