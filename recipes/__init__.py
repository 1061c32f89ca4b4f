"""Programs that made what ships with the package, and measurements that take days. They are run from the repository's
folder.

    mini/             the embedded model: its art, its world, its training, how well it draws; python -m recipes.mini
    methods/          published mask methods, a file each, for --method
    studies/          masks, segments and the order of doubt against exact masks; python -m recipes.studies
    tables/           the papers' tables, whose rows are trained segmenters, a file each; python -m recipes.tables
    weights/          mini-dit, a transformer that knows the embedded world: for measurements, not in the package
    renew.py          remakes every figure, table, picture and notebook of the docs that is out of date (outputs.toml)
    new_weights.py    puts the constants that were tuned for new weights of the embedded model into the package
    pictures.py       makes the pages' pictures of datasets and drawings
    commands.py       writes docs/commands.md; families.py: the table of families in docs/models.md

Nothing in the package imports them.
"""
