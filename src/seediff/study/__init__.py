"""Studies of mask quality on the embedded model, whose scenes have exact masks.

contest.py    who competes: each method's paper constants and the grid that its own best is sought in
score.py      one capture → every method's soft masks → PAMR once → intersections and unions at every threshold
tune.py       the best setting of every method on the `tune` scenes
constants.py  the settings that are measured, from tuning or an earlier study, and the preset that a model can carry
truth.py      masks of held-out scenes against exact ones
generated.py  masks of generated images against a segmenter trained on exact masks
presence.py   how well presence scores tell the classes that a scene holds from others
table.py      results as Markdown, CSV, JSON and a picture grid
"""
