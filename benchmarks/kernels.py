"""The fused capture kernels compiled for a real GPU, without one: the shared memory of each in bytes, and that they compile at all.

    python benchmarks/kernels.py 90 fp16 64 128 128 8     # compute capability, number format, channels, rows, columns, warps

Needs `pip install triton`, and a minute or several on a CPU. TRITON_INTERPRET must not be set.
"""

from __future__ import annotations

import sys


def main(capability: int, dtype: str, width: int, rows: int, columns: int, warps: int) -> None:
    import triton  # pyright: ignore[reportMissingImports]
    from triton.backends.compiler import GPUTarget  # pyright: ignore[reportMissingImports]
    from triton.compiler import ASTSource  # pyright: ignore[reportMissingImports]

    from seediff.attention import kernels
    from seediff.attention.fused import STAGES

    pointers: dict[str, str] = {
        "query": dtype,
        "key": dtype,
        "bias": "fp32",
        "found": "fp32",
        "sums": "fp32",
        "total": "fp32",
        "peaks": "fp32",
    }
    flags = {"ROWS": rows, "COLUMNS": columns, "CHANNELS": width, "EXACT": dtype == "fp32", "WIDEN": False}
    cases = [(kernels.log_sum_exps, {"HAS_BIAS": biased}) for biased in (False, True)]
    for find, add, divide in ((True, False, False), (False, True, True), (True, True, False)):
        cases += [(kernels.head_means, {"HAS_BIAS": biased, "FIND": find, "ADD": add, "DIVIDE": divide}) for biased in (False, True)]
    for kernel, more in cases:
        constants = {**flags, **more}
        signature = {name: "constexpr" for name in kernel.arg_names if name in constants}
        signature |= {name: "*" + pointers[name] for name in kernel.arg_names if name in pointers}
        signature = {name: signature.get(name, "fp32" if name == "scale" else "i32") for name in kernel.arg_names}
        source = ASTSource(fn=kernel, signature=signature, constexprs=constants)
        target = GPUTarget("cuda", capability, 32)
        found = triton.compile(source, target=target, options={"num_warps": warps, "num_stages": STAGES})
        assert found.asm["ptx"]
        print(found.metadata.shared)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], *map(int, sys.argv[3:]))
