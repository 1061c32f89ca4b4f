"""`seediff look`: a page in the browser that shows a dataset and how its masks were made, and takes corrections of
them.

`samples` opens a set, `index` filters and sorts it, `session` keeps the reviewers' actions, `sample_attention` and
`tuning` make maps and masks from attention. `app` says which function of `set_answers` and `attention_answers` answers
which address of the page (`static/`); `events` and `jobs` help them. `gate` keeps everybody else out, and `serve` runs
the server.
"""
