"""Shows what is in a data set: the card and the page in its folder.

set_summary.py  the figures of a set's rows, and what is to be known besides
card.py         README.md; fills the templates in templates/
page.py         preview.html, and `write_reports`, which writes both
"""
