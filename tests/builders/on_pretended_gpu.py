"""Everything that tests/attention/test_pretended_gpu.py looks at, in one process that pretends to have a GPU.

python on_pretended_gpu.py guard.so FOLDER commands xl     # one line of JSON: name → what was counted, or the error

commands: all that does not depend on a family. Other names are families.
"""

import gc
import json
import sys
import warnings
import weakref
from collections import Counter
from functools import partial
from pathlib import Path
from unittest import mock

from builders import pretend_cuda

seen = pretend_cuda.install(Path(sys.argv[1]))
folder = Path(sys.argv[2])

import torch  # noqa: E402
from builders.families import SPECS, generate  # noqa: E402
from builders.plans import plan_of  # noqa: E402
from builders.reference_attention import BOOKS  # noqa: E402
from builders.twins import save_mini  # noqa: E402

import seediff  # noqa: E402
from recipes.studies.capture import capture_images  # noqa: E402
from seediff.attention import recorder  # noqa: E402
from seediff.attention.probabilities import Scores, Scratch, Target, add_probabilities  # noqa: E402
from seediff.cli.main import main  # noqa: E402
from seediff.errors import Notice  # noqa: E402
from seediff.files.reading import read_toml  # noqa: E402
from seediff.models.registry import load_model  # noqa: E402

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from on_gpu.segments_and_masks import works  # noqa: E402

FAMILIES = {"unet": "float16", "xl": "float16", "sd3": "bfloat16", "flux": "bfloat16"}
"""Twins of SD 1.5, SDXL, SD 3.5 and FLUX, each in the number format that it gets on a GPU."""
STEPS = ("xl", "flux")
"""Families whose denoising steps are counted, and which a script captures: a UNet and a transformer."""
OFFLOADS = {"xl": "model", "flux": "sequential"}
"""Offload moves modules, whatever the family: a UNet with two text encoders, and a transformer."""
told = {}
gc.freeze()  # what was imported, through which every collection would look again


def watch(name, work):
    """Do the work, and note what was counted meanwhile."""
    seen.clear()
    error, result = "", None
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            result = work()
        except Exception as raised:
            error = f"{type(raised).__name__}: {raised}"
    told[name] = {
        "error": error,
        "code": result if isinstance(result, int) else None,
        "waits": seen.waits.total(),
        "at": {f"{place} {what}": number for (what, place), number in seen.waits.items()},
        "races": [f"{place} {what}" for what, place in seen.races],
        "threads": len(seen.threads),
        "notices": [str(one.message) for one in said if one.category is Notice],
        "warnings": [str(one.message) for one in said if "Triton" in str(one.message)],
    }
    return result


def command(name, *words):
    line = [*map(str, words), "--device", "cuda", "--quiet", "--out", str(folder / name)]
    watch(name, lambda: main(line))


def draw(model, steps=2):
    return generate(model, SPECS[:1], steps=steps)[0][0]


def scripted(model):
    with seediff.capture(model.pipe) as captured:
        model.pipe("a photo of a dog", num_inference_steps=1, height=64, width=64)
    captured.heatmap("dog")
    captured.masks("dog")


def see_photo(model, image):
    (spec,) = SPECS[:1]
    capture_images(model, [image], [spec.prompt], [spec.classes], timesteps=(200,), seed=1, plan=plan_of(model))


def first(found):
    return (found[0] if isinstance(found, tuple) else found).cpu()


ROOM, alive, take_maps = 3, [], recorder.AttentionRecorder.maps
"""Maps of so many pictures fit, of four."""


def maps_in_room(self, words, prompts):
    alive[:] = [reference for reference in alive if reference() is not None]
    if len(alive) + len(prompts) > ROOM:
        raise torch.OutOfMemoryError("CUDA out of memory.")
    found = take_maps(self, words, prompts)
    alive.extend(map(weakref.ref, found))
    return found


def try_commands():
    """The four, what follows drawing, memory, and faults, which must be found: of these the counts are made."""
    of = ("--model", save_mini(folder / "mini"), "--steps", 2)
    draw_two = ("generate", "--classes", "dog,cat", "--per-class", 1, "--batch-size", 1, "--dtype", "float16", *of)
    command("generate", *draw_two, "--keep-attention")
    photos, two = folder / "generate" / "images", ("--batch-size", 2)
    command("mask", "mask", photos, "--classes", "dog,cat", "--presence", 0, "--timesteps", 100, *of[:2], *two)
    command("segment", "segment", photos, "--num-points", 4, *of[:2], *two)
    training = ("--backbone", "tiny", "--steps", 2, "--batch-size", 2, "--dtype", "bfloat16")
    command("train", "train", folder / "generate", *training)

    with mock.patch.object(recorder.AttentionRecorder, "maps", maps_in_room):
        command("tried", *draw_two[:3], "--per-class", 2, *of[:2], "--steps", 1, "--dtype", "float16")
    about = read_toml(folder / "tried" / "seediff.toml")
    told["tried"]["gpu"] = about["gpu"]
    told["tried"]["sizes"] = about["batch_size"], "batch_size" in about["given"]

    # What follows drawing, as the benchmark has it: the values are the CPU's to the byte
    here, there = (dict(works(device, 32)) for device in ("cpu", "cuda"))
    told["after"] = {name: torch.equal(first(watch(name, work)), first(here[name]())) for name, work in there.items()}

    # Memory that is not empty
    query, key = (torch.randn(1, 2, 5, 4, generator=torch.Generator().manual_seed(n)).to("cuda") for n in (0, 1))
    total = torch.zeros(1, 5, 5, device="cuda")
    with (
        mock.patch.object(torch, "baddbmm", lambda _, a, b, beta, alpha, out: out.mul_(beta).add_(a @ b, alpha=alpha)),
        mock.patch.object(Scratch, "take", lambda _self, numbers, like: like.new_full((numbers,), torch.nan)),
    ):
        add_probabilities(
            [Target(total)], Scores(query, key, 0.5), normalize=True, finite=torch.zeros((), device="cuda")
        )
    told["uninitialised"] = {"finite": bool(total.cpu().isfinite().all())}

    # Faults
    one = torch.ones(3, device="cuda")
    torch.cuda.set_stream(torch.cuda.Stream())
    elsewhere = one + 1
    torch.cuda.set_stream(torch.cuda.default_stream())
    watch("fault: no event", lambda: elsewhere + 1)
    watch("fault: left on the CPU", lambda: one + torch.ones(3))
    watch("fault: a wait", lambda: float(one.sum()))


def try_family(name):
    place = str(BOOKS[name].save(folder / name))
    model = load_model(place, device="cuda", dtype=FAMILIES.get(name, "float32"))
    image = watch(f"{name}: draw", partial(draw, model))
    watch(f"{name}: photograph", partial(see_photo, model, image))
    if name in STEPS:
        watch(f"{name}: one step", partial(draw, model, steps=1))
        at_two, at_one = (Counter(told[f"{name}: {drawn}"]["at"]) for drawn in ("draw", "one step"))
        told[f"{name}: draw"]["step"] = at_two - at_one
        watch(f"{name}: capture(pipe)", partial(scripted, model))
    if offload := OFFLOADS.get(name):
        turns = load_model(place, device="cuda", dtype=FAMILIES[name], offload=offload)
        watch(f"{name}: offload {offload}", partial(draw, turns, steps=1))


for part in sys.argv[3:]:
    if part == "commands":
        try_commands()
    else:
        try_family(part)
print(json.dumps(told))
