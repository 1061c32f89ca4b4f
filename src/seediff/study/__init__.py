"""Studies: measures methods on the embedded model's scenes, whose exact masks are known, and makes the papers' tables again.

masks/      masks of every method against exact ones: truth, generated, presence, confidence
segments/   segments without classes against exact ones and against photographs' labels
tables/     the papers' tables, whose rows are trained segmenters: a file per table in embedded/ and full/
results.py  results as Markdown, CSV, JSON and a picture grid
"""
