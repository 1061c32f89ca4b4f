"""Capture: reads a diffusion model's attention while it draws an image, or while it is given a photograph. The result
is one `AttentionMaps` per image. The methods in `masks`, and most methods in `segments`, need nothing else.

    pipeline           draw.py: draws images; see_photos.py: shows photographs
      │ calls
      ▼
    network            network.py: its hooks; calls.py: reads its calls; which_rows.py: their rows
      │ runs
      ▼
    layer              layers.py: its hooks; cut.py: what of its product is the picture's
      │ attends
      ▼
    product            product.py: sees the queries, keys and mask that PyTorch's operator is given
      ▼
    softmax            probabilities.py: its mean over heads; on a GPU fused.py, with launches.py, kernels.py
      │ is added
      ▼
    running maps       running_maps.py: sums over layers and steps
      │ at the end
      ▼
    maps               maps.py: `AttentionMaps`, the means

plan.py decides before all this which layers, levels and steps are captured, and how maps are averaged. recorder.py
holds what belongs to one capture: the call and the layer that run now, and the running maps. models/layers.py says what
a level is.
"""
