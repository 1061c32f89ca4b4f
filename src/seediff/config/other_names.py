"""What other programs call our options: diffusers, web interfaces, ComfyUI, ultralytics, training scripts. Messages
about unknown options suggest ours."""

from __future__ import annotations

from collections.abc import Collection

OTHER_NAMES = {
    "steps": "num_inference_steps inference_steps num_steps sampling_steps sample_steps ddim_steps n_steps max_steps"
    " max_train_steps max_iters iterations iters",
    "timesteps TIMESTEPS (photographs are not drawn in steps)": "num_inference_steps inference_steps num_steps steps",
    "epochs": "epoch num_epochs max_epochs n_epochs num_train_epochs",
    "guidance_scale": "cfg cfg_scale guidance cfg_guidance true_cfg_scale",
    "size": "imgsz img_size image_size resolution res",
    "size WIDTHxHEIGHT": "width height w h",
    "crop": "imgsz img_size image_size resolution size input_size crop_size",
    "side": "imgsz img_size image_size resolution size",
    "per_class N (of each class)": "n num num_images images n_images num_images_per_prompt images_per_class samples"
    " n_samples num_samples n_iter count number total",
    "count": "n num limit max_images",
    "batch_size": "batch b bs batch_count train_batch_size num_images_per_batch",
    "negative_prompt": "negative neg n_prompt neg_prompt uncond_prompt negative_prompts",
    "prompt": "prompts p positive positive_prompt text template",
    "prompts": "prompt p positive positive_prompt text template",
    "scheduler": "sampler sampler_name sampling_method",
    "schedule": "scheduler lr_scheduler",
    "seed": "random_seed manual_seed noise_seed generator random_state",
    "k K (with --method kmeans)": "num_segments n_segments num_classes n_classes num_clusters n_clusters clusters",
    "val_share": "val_split val_fraction",
    "split": "val val_split val_share val_ratio val_fraction validation",
    "split SHARE_FOR_VAL": "train_ratio train_split train_share train_fraction",
    "model": "m model_id model_name model_path pretrained_model_name_or_path pretrained checkpoint ckpt ckpt_name"
    " weights",
    "backbone": "model encoder",
    "architecture": "arch",
    "weights": "pretrained checkpoint ckpt resume",
    "beta": "threshold mask_threshold",
    "lora": "lora_path lora_weights lora_name lora_model",
    "lora_scale": "lora_weight lora_strength cross_attention_kwargs",
    "dtype": "torch_dtype precision weight_dtype mixed_precision amp",
    "dtype float16": "fp16 half",
    "dtype bfloat16": "bf16",
    "device cpu": "cpu",
    "device cuda": "gpu gpus cuda",
    "offload model": "cpu_offload enable_model_cpu_offload medvram lowvram",
    "threads": "num_threads",
    "DATA (without an option)": "data dataset source input train_data",
    "PATHS (without an option)": "source input images photos paths data",
    "MODEL (without an option)": "model weights segmenter",
    "classes": "c class name names labels categories",
    "names": "class name classes categories",
    "out": "o output out_dir outdir output_dir output_path save save_dir project dest",
    "to": "format f",
    "from": "format f",
    "learning_rate": "lr lr0",
    "val": "valid validation val_data split",
    "workers": "num_workers jobs j",
    "quiet": "q silent",
    "timestep": "num_inference_steps inference_steps num_steps steps",
    "port": "p",
}
"""Our option → its names in other programs. If several of our options match, the first option that the command has
counts. What follows an option is for the user to read: a value, such as another program's `cpu`, which is our `device
cpu`; a value in capitals to fill in; a remark in brackets. A key in capitals, such as DATA, is an argument.
"""


def own_name(name: str, options: Collection[str]) -> str:
    """Our option for another program's option, and what to write after it: `num_inference_steps` → `steps`, `width` →
    `size WIDTHxHEIGHT`. "" for an unknown option. options: those of the command or configuration."""
    names = (ours for ours, others in OTHER_NAMES.items() if name in others.split() and ours.split()[0] in options)
    return next(names, "")
