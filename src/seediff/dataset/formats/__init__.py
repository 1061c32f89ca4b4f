"""Every format except the native one: one codec per format, and what codecs share.

format_table.py, drivers.py    the table of formats; reading and writing in any of them (`Export`, `Import`)
voc.py, coco.py, panoptic.py, yolo.py    formats of training code
cvat.py, labelstudio.py, labelme.py    formats of tools in which people correct masks
masks.py, public_sets.py    pictures and PNG masks: Ultralytics' folders, and others that are only read
cutouts.py    pictures with transparency, which are only written
pictures.py, label_files.py    pictures by the names in foreign files, and shapes on them
coco_data.py, yolo_data.py, labelstudio_data.py    what the files of these formats say
"""
