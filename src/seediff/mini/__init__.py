"""The embedded model measured: scenes of its world with exact masks, and yardsticks for what it draws."""
