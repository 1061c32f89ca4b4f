"""Every format except the native one: a codec for each format, and what codecs share.

How `Dataset.export` writes:

exporting.py         `export` makes the folder, names and splits, and calls the codec
  coco.py            `write(export)` asks for each sample; `annotate` encodes a sample, in any process
    exporting.py     `written_masks`, `written_objects`: the shapes of a sample
  exporting.py       `Export.put` writes or links each file

How `Dataset.open` reads:

format_table.py      `recognise` finds the format; the table also names each format's options
source.py            `read_set` calls the codec with a `Source`: the options, and what is noted meanwhile
  coco.py            `read(source)` says what the set says about each picture: a `Labelled` with its shapes, or a `Pair`
                     with its label map; `Source.shapes_of` or `Source.masks_of` makes `Contents` of them
    set_files.py     `SetFiles` reads files; nothing else does
  source.py          `Source.shapes_of` decides what shapes mean, by a `Survey`; `Source.samples_of` makes the samples
    set_files.py     `PictureFinder` finds the file of each picture, a `Picture`
    parts.py         which are in the set, and in which part: a `Member`
    labelled.py      `Painted`: the labels of a sample, which `Painting` (painting.py) paints when they are read; turned
                     pictures

The codecs:

voc.py, coco.py, yolo.py              formats of training code
cvat.py, labelstudio.py, labelme.py   formats of tools in which people correct masks
masks.py, public_sets.py              pictures and PNG masks in folders, and public data sets
trainer.py, cutouts.py                masks for trainers of LoRAs, and pictures with transparency: only written
"""
