"""Tables of the papers whose rows are trained segmenters."""
