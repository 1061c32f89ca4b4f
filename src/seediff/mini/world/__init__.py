"""The embedded world: sprites on procedural backgrounds, scenes with exact masks."""
