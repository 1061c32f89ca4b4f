"""Studies: masks and segments on many scenes with exact masks. `python -m recipes.studies --help` lists them."""
