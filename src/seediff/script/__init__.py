"""For use in scripts: the attention of a pipeline that runs in the script, and masks and segments of single pictures in
memory (single_image.py).

Files of `capture`, in the order in which they act:

    capturing.py      `capture(pipe)`: checks its options, plans what is captured, and connects the parts below
    listener.py       `Listener`: hears of the pipeline's calls and of its network's
    run_recorder.py   `RunRecorder`: records one run, which is one call of the pipeline
    encodings.py      `Encodings`: what the pipeline encodes in the run, and which of it is the prompt
    which_rows.py     `find_rows`: which rows of a batch have the prompt
    run_checks.py     `check_memory`, `check_timesteps`: whether the maps will fit, and are of the picture's own calls
    run.py            `Run`, `Picture`, `Attention`: what was recorded in a run
    placement.py      `Placing`: where the drawn picture lies in the returned one; masks and segments placed there
    captured.py       `Captured`: what `capture` gives to the script
    which_columns.py  `TextColumns`: which columns of the text a word has
    heatmap.py        `HeatMap`
"""
