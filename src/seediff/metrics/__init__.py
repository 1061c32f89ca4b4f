"""Pure functions on arrays. confusion.py counts the pixels of label maps, also near outlines (boundary IoU);
matching.py matches unnamed segments with classes; scores.py turns their counts into IoU and accuracy with bootstrap
intervals."""
