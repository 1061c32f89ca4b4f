"""Measures the embedded model: scenes of its world with exact masks, and yardsticks for its drawings."""
