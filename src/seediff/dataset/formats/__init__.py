"""Conversions to and from every format except the native one: those of training code (VOC, COCO, YOLO, Ultralytics,
parquet, WebDataset, imagefolder) and of tools in which people correct masks (CVAT, Label Studio)."""
