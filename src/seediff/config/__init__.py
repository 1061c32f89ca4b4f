"""Every configuration and its presets: frozen dataclasses, validated, read from and written to TOML. Nothing here computes."""
