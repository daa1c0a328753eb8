"""Compiles nb201's kernels for NVIDIA GPUs: internal/cudakernels/kernels.fatbin, and sources.sha256 beside it.

    python3 tools/cuda_kernels.py

Needs tools/nvcc/requirements.txt in .cache/nvcc (`tools/provide.sh nvcc`) and a C++ compiler, but no GPU. Takes
minutes. sources.sha256 has the hashes of the sources and of what they were compiled to, which a test compares.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "internal" / "cudakernels"
SOURCES = ["conv.cu", "shapes.h"]
COMPILED = "kernels.fatbin"

# Code for H100 and H200, and for A100 and later GPUs of compute capability 8; and code that a driver compiles for
# all GPUs after them.
TARGETS = [("compute_90", "sm_90"), ("compute_80", "sm_80"), ("compute_80", "compute_80")]


def main() -> None:
    (toolkit,) = (ROOT / ".cache" / "nvcc").glob("lib/python*/site-packages/nvidia/cu13")
    command = [str(toolkit / "bin" / "nvcc"), "-std=c++17", "-O3", "-fatbin", "-compress-mode=size", "--threads=0"]
    for architecture, code in TARGETS:
        command += ["-gencode", f"arch={architecture},code={code}"]
    environment = {**os.environ, "PATH": f"{toolkit / 'bin'}:{os.environ['PATH']}"}
    subprocess.run([*command, "-o", COMPILED, SOURCES[0]], cwd=FOLDER, env=environment, check=True)
    lines = [f"{hashlib.sha256((FOLDER / name).read_bytes()).hexdigest()}  {name}\n" for name in (*SOURCES, COMPILED)]
    (FOLDER / "sources.sha256").write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
