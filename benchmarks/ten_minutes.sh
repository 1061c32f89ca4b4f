#!/usr/bin/env bash
# Ten minutes on a borrowed machine with a GPU and without a network, of which only the folder $OUT comes back. Rows of
# which nothing is known come first. Options of gpu.py may follow.
#
#     OUT=back bash benchmarks/ten_minutes.sh
#
# It needs torch and transformers there, and brings what it finds in build/gpu. To fill that folder, for the Python there:
#
#     pip download --no-deps --python-version 3.12 -d build/gpu diffusers cyclopts attrs msgspec tomli_w
set -o pipefail -o nounset
cd "$(dirname "$0")/.." || exit
site=$(mktemp -d)
if ls build/gpu/*.whl >/dev/null 2>&1; then
  python3 -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --target "$site" build/gpu/*.whl || exit
fi
export PYTHONPATH="$site:src${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1 HF_HUB_OFFLINE=1
python3 benchmarks/gpu.py "$OUT/figures.jsonl" --minutes 9.5 --seconds 200 --rows \
  sd1.5:8,sd3.5-medium:1,flux-dev:1,kernels,sdxl:8,sd1.5:1,sdxl:1 \
  "$@" 2>&1 | tee "$OUT/log"
