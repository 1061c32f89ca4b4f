# SeeDiff in a container, not as root. For a CPU:
#   docker build -t seediff .
# For NVIDIA GPUs (PyPI's torch has the CUDA libraries):
#   docker build -t seediff:cuda --build-arg BASE=nvidia/cuda:12.8.1-base-ubuntu24.04 --build-arg TORCH_INDEX=https://pypi.org/simple .
# How to run it: docs/installation.md.
ARG BASE=python:3.11-slim
FROM ${BASE}

# CUDA's images have no Python, and Triton compiles with gcc when it first runs.
RUN command -v python3 || ( \
      apt-get update \
      && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends gcc libc6-dev python3-dev python3-venv \
      && rm -rf /var/lib/apt/lists/* )
RUN python3 -m venv /opt/seediff
ENV PATH=/opt/seediff/bin:$PATH PYTHONUNBUFFERED=1

ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ARG EXTRAS=lora,gguf,quantize,plots
WORKDIR /build
COPY constraints.txt pyproject.toml README.md LICENSE NOTICE ./
COPY src ./src
RUN pip install --no-cache-dir --extra-index-url "${TORCH_INDEX}" -c constraints.txt ".[${EXTRAS}]"

# Not 1000, which Ubuntu's images give to a user of their own.
RUN useradd --create-home --uid 10001 seediff && install -d -o seediff /work
USER seediff
WORKDIR /work
ENTRYPOINT ["seediff"]
CMD ["--help"]
