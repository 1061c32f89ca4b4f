"""Capture: reads a diffusion model's attention while it draws an image, or while it is given a photograph. The result
is one `AttentionMaps` per image. The methods in `masks`, and most methods in `segments`, need nothing else.

Files, in the order in which they act:

    plan.py           `CapturePlan`: which layers, levels and steps are captured, and how maps are averaged
    draw.py           draws images under capture
    see_photos.py     shows photographs to the network under capture; windows.py: which part of one it sees
    networks.py       finds a pipeline's network, and refuses one that could not be captured completely
    capture.py        `capture_attention`: hooks the network and its layers for a recorder
    recorder.py       `AttentionRecorder`: which calls are recorded (calls.py), and what happens after an error
    layers.py         `CapturedLayer`: one layer, while it runs; cuts the picture's part out of its product
    product.py        `Watch`: sees the queries, keys and mask with which the layer computes its output
    running_maps.py   sums over the recorded steps, to which probabilities.py adds; on a GPU fused.py does, with the
                      kernels of kernels.py; own_sums.py: log-sum-exps that the layer computed itself
    maps.py           `AttentionMaps`, the means
    features.py       features of a UNet's encoder, in place of attention
"""
