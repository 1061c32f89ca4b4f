"""From class names to what is to be drawn: captions, the specification of each sample, and where words are among tokens."""
