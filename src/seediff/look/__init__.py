"""`seediff look`: a page in the browser that shows a dataset and how its masks were made, and takes corrections of
them.

`samples` opens a set, `index` filters and sorts it, `session` keeps the reviewers' actions, `why` and `tuning` make
maps and masks from attention, `app` and `answers` answer the page (`static/`) with the help of `events`, `gate` keeps
everybody else out, and `serve` runs the server.
"""
