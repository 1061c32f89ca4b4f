"""How what ships was made, and what takes days to measure: programs beside the package, run from the repository's folder.

mini/      the embedded model: its art, its world, its training, the yardsticks that measure it      python -m recipes.mini --help
tables/    the papers' tables, whose rows are trained segmenters: a file per table                   python -m recipes.tables --help
weights/   mini-dit, a transformer that knows the embedded world: for measuring, not in the package

renew.py         every figure, table, picture and notebook of the docs, made anew where it is out of date (renewal/, outputs.toml)
new_weights.py   new weights of the embedded model into the package, and the constants that were found for them
"""
