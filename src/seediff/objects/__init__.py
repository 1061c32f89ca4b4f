"""Objects of one class: which pixels of a mask are the same object, from self-attention."""
