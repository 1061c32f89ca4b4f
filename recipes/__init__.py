"""Programs that made what ships with the package, and measurements that take days. They are run from the repository's
folder.

mini/      the embedded model: its art, its world, its training, and how well it draws              python -m
recipes.mini --help studies/   masks and segments against exact masks
python -m recipes.studies --help tables/    the papers' tables, whose rows are trained segmenters: one file per table
python -m recipes.tables --help weights/   mini-dit, a transformer that knows the embedded world: for measurements, not
in the package

renew.py           remakes every figure, table, picture and notebook of the docs that is out of date (renewal/,
outputs.toml) new_weights.py     puts new weights of the embedded model, and the constants tuned for them, into the
package contact_sheet.py   makes one picture of a dataset
"""
