"""Scenes of the embedded model's world with exact masks."""
