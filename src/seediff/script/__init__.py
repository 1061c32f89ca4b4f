"""For use in scripts: the attention of a pipeline that runs in the script, and masks and segments of single pictures in
memory (single_image.py).

Files of `capture`, in the order in which they act:

    capturing.py      `capture(pipe)`: checks its options, plans what is captured, and connects the parts below
    listener.py       `Listener`: hears of the pipeline's calls and of its network's
    run_recorder.py   `RunRecorder`: records one run, which is one call of the pipeline
    encodings.py      `Encodings`: what the pipeline encodes in the run, and which of it is the prompt
    recording.py      `TextRecording`: records attention to one text of each picture, the prompt or the negative prompt
    which_rows.py     `find_rows`: which rows of a batch have that text
    memory.py         `check_memory`: whether the maps will fit
    timesteps.py      `Timesteps`: whether only the picture's own calls had the prompt
    what_size.py      `Placing`: what the pipeline did to the picture after it was drawn
    run.py            `Run`, `Picture`, `Attention`: what is left of a run
    captured.py       `Captured`: what `capture` gives to the script
    which_columns.py  `TextColumns`: which columns of the text a word has
    placed.py         `masks_of_frames`, `place_segments`: results, placed in the returned picture
    heatmap.py        `HeatMap`
"""
