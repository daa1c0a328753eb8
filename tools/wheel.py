"""Builds nb201's wheel for Linux: the command and the Python package with its C shared library.

    .cache/wheel/bin/python tools/wheel.py [--to DIR] [x86_64 | aarch64]

Needs Go and the packages of tools/wheel/requirements.txt (`tools/provide.sh wheel`). C code is compiled with
Zig's C compiler, which links with glibc 2.17, as manylinux_2_17 requires. A wheel depends on the commit and
on the versions of the tools alone, not on the time or the directory.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import importlib.metadata
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple

ROOT = Path(__file__).resolve().parent.parent
MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}  # to Go's names
GLIBC = (2, 17)
LARGEST = 30_000_000  # bytes of a wheel

# Files of this repository that say under which licence a part of the program came from others.
LICENCES = {
    "Apache ECharts": ["results/report/page/echarts.LICENSE", "results/report/page/echarts.NOTICE"],
    "The digits": ["configs/digits/ATTRIBUTION.md"],
}

SUMMARY = "NAS-Bench-201 and NATS-Bench, regenerated, and read without loading them"

DESCRIPTION = """\
# nb201

NAS-Bench-201 and NATS-Bench are standard benchmarks for neural architecture search. nb201 trains their
architectures the way the original PyTorch code did, and reads published files of both.

This wheel contains

- the command `nb201`, which trains, queries, verifies and exports: `nb201 --help`;
- the Python package `nb201`, which reads the same files without loading them, and has drop-in replacements of
  the packages `nas_201_api` and `nats_bench`.

It needs Linux with glibc 2.17 or later and Python 3.9 or later, and no other package. The extras `numpy`,
`pandas` and `torch` install what arrays, data frames and weights need. Training needs the XLA plugin, which
`nb201 setup` downloads.
"""


def release() -> str:
    """Returns the release number, which the program and the Python package must have in common."""
    found = [
        re.findall(pattern, (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE)
        for path, pattern in (
            ("cmd/nb201/versions.go", r'^const release = "(\d+(?:\.\d+)+(?:(?:a|b|rc)\d+)?)"$'),
            ("python/nb201/__init__.py", r'^__version__ = "([^"]*)"$'),
        )
    ]
    if len(found[0]) != 1 or found[0] != found[1]:
        raise SystemExit(f"wheel.py: the release is {found[0]} in cmd/nb201/versions.go, {found[1]} in python/nb201/__init__.py; make them equal")
    return str(found[0][0])


def environment(machine: str) -> Dict[str, str]:
    """Returns the environment in which go builds for a machine, with Zig's C compiler."""
    target = f"{machine}-linux-gnu.{GLIBC[0]}.{GLIBC[1]}"
    compiler = shlex.join([sys.executable, "-m", "ziglang", "cc", "-target", target])
    return {**os.environ, "CGO_ENABLED": "1", "GOOS": "linux", "GOARCH": MACHINES[machine], "CC": compiler}


def build(machine: str, commit: str, to: Path) -> Tuple[bytes, bytes]:
    """Returns the program and the shared library."""
    link = f"-s -w -buildid= -extldflags=-s -X main.commit={commit}"  # the second -s is for Zig's linker
    flags = ["-buildvcs=false", "-trimpath", "-tags", "minimal", "-ldflags", link]
    built = []
    for package, more in (("./cmd/nb201", []), ("./python/bridge", ["-buildmode=c-shared"])):
        path = to / package.split("/")[-1]
        subprocess.run(["go", "build", *flags, *more, "-o", str(path), package], cwd=ROOT, env=environment(machine), check=True)
        built.append(path.read_bytes())
    return built[0], built[1]


def packages(machine: str) -> List[Dict[str, Any]]:
    """Returns what `go list` reports about each package that the program and the library are built from."""
    command = ["go", "list", "-deps", "-tags", "minimal", "-json=Dir,Module", "./cmd/nb201", "./python/bridge"]
    listed = subprocess.run(command, cwd=ROOT, env=environment(machine), check=True, stdout=subprocess.PIPE, encoding="utf-8").stdout
    found: List[Dict[str, Any]] = json.loads("[" + listed.replace("\n}\n{", "\n},\n{") + "]")
    return found


def licences(directory: Path, top: Path) -> Iterator[Path]:
    """Yields the files with licences in a directory and in those above it, up to top."""
    for place in (directory, *directory.parents):
        for path in sorted(place.iterdir()):
            if re.match(r"(UN)?LICEN[CS]E|COPYING|NOTICE|PATENTS|AUTHORS", path.name, re.I) and path.suffix != ".go" and path.is_file():
                yield path
        if place == top:
            return


def notices(machine: str) -> str:
    """Returns the licences of everything in the program and the library that comes from others."""
    goroot = Path(subprocess.run(["go", "env", "GOROOT"], cwd=ROOT, check=True, stdout=subprocess.PIPE, encoding="utf-8").stdout.strip())
    zig = importlib.metadata.distribution("ziglang").locate_file("ziglang")
    files: Dict[str, List[Path]] = {title: [ROOT / path for path in paths] for title, paths in LICENCES.items()}
    files["Go's standard library"] = list(licences(goroot, goroot))
    files["Zig's compiler runtime"] = [Path(str(zig), "LICENSE")]
    for package in packages(machine):
        module = package.get("Module", {})
        if "Version" not in module or "Replace" in module:
            continue  # the standard library, or this repository
        found = files.setdefault(f"{module['Path']} {module['Version']}", [])
        found += [path for path in licences(Path(package["Dir"]), Path(module["Dir"])) if path not in found]
    texts = ["What nb201's program and library contain of other projects, and under which licences."]
    for title, paths in sorted(files.items()):
        if not paths:
            raise SystemExit(f"wheel.py: {title} has no file with its licence; add one to LICENCES")
        texts.append(f"{'=' * 80}\n{title}\n{'=' * 80}")
        texts += [path.read_text(encoding="utf-8").strip() for path in paths]
    return "\n\n".join(texts) + "\n"


def metadata(version: str) -> str:
    """Returns the core metadata, version 2.4."""
    fields = [
        ("Metadata-Version", "2.4"),
        ("Name", "nb201"),
        ("Version", version),
        ("Summary", SUMMARY),
        ("Description-Content-Type", "text/markdown; charset=UTF-8"),
        ("Keywords", "neural architecture search,NAS-Bench-201,NATS-Bench,benchmark"),
        ("License-Expression", "MIT"),
        ("License-File", "LICENSE"),
        ("License-File", "NOTICES.txt"),
        ("Classifier", "Intended Audience :: Science/Research"),
        ("Classifier", "Operating System :: POSIX :: Linux"),
        ("Classifier", "Programming Language :: Python :: 3"),
        ("Classifier", "Topic :: Scientific/Engineering :: Artificial Intelligence"),
        ("Classifier", "Typing :: Typed"),
        ("Requires-Python", ">=3.9"),
    ]
    for extra in ("numpy", "pandas", "torch"):
        fields += [("Provides-Extra", extra), ("Requires-Dist", f'{extra}; extra == "{extra}"')]
    return "".join(f"{name}: {value}\n" for name, value in fields) + "\n" + DESCRIPTION


def pack(files: Dict[str, bytes], programs: Tuple[str, ...], info: str, to: Path) -> None:
    """Writes files, by name, as a wheel whose bytes depend on nothing else. RECORD is added to info."""
    record = ""
    for name, data in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        record += f"{name},sha256={digest},{len(data)}\n"
    record += f"{info}/RECORD,,\n"
    with zipfile.ZipFile(to, "w") as wheel:
        for name, data in {**files, f"{info}/RECORD": record.encode()}.items():
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            entry.create_system = 3  # Unix, so that the mode counts
            entry.external_attr = (0o100755 if name in programs else 0o100644) << 16
            wheel.writestr(entry, data, zipfile.ZIP_DEFLATED, 9)


def make(machine: str, commit: str, to: Path) -> Path:
    """Builds the wheel of a machine into a directory, and removes those of earlier versions."""
    version = release()
    tags = [f"manylinux_{GLIBC[0]}_{GLIBC[1]}_{machine}", f"manylinux2014_{machine}"]
    stem, package = f"nb201-{version}", ROOT / "python"
    info, program, library = f"{stem}.dist-info", f"{stem}.data/scripts/nb201", "nb201/libnb201.so"
    with tempfile.TemporaryDirectory() as built:
        binaries = dict(zip((program, library), build(machine, commit, Path(built))))
    sources = [path for path in (package / "nb201").rglob("*") if path.suffix in (".py", ".typed")]
    files = {path.relative_to(package).as_posix(): path.read_bytes() for path in sources}
    files = dict(sorted({**files, **binaries}.items()))
    about = f"Wheel-Version: 1.0\nGenerator: nb201 ({version})\nRoot-Is-Purelib: false\n" + "".join(f"Tag: py3-none-{tag}\n" for tag in tags)
    files[f"{info}/METADATA"] = metadata(version).encode()
    files[f"{info}/WHEEL"] = about.encode()
    files[f"{info}/licenses/LICENSE"] = (ROOT / "LICENSE").read_bytes()
    files[f"{info}/licenses/NOTICES.txt"] = notices(machine).encode()
    to.mkdir(parents=True, exist_ok=True)
    for old in to.glob(f"nb201-*_{machine}.whl"):
        old.unlink()
    wheel = to / f"{stem}-py3-none-{'.'.join(tags)}.whl"
    pack(files, (program, library), info, wheel)
    return wheel


def check(wheel: Path, machine: str) -> None:
    """Refuses a wheel that is too large, that has invalid metadata, or that auditwheel finds unfit for its tags."""
    from packaging.metadata import Metadata

    with zipfile.ZipFile(wheel) as files:
        Metadata.from_email(files.read(next(name for name in files.namelist() if name.endswith("/METADATA"))), validate=True)
    if wheel.stat().st_size > LARGEST:
        raise SystemExit(f"wheel.py: {wheel} has {wheel.stat().st_size:,} bytes; at most {LARGEST:,} are allowed")
    shown = subprocess.run([sys.executable, "-m", "auditwheel", "show", str(wheel)], check=True, stdout=subprocess.PIPE, encoding="utf-8").stdout
    tag = re.search(rf'platform\s+tag:\s+"manylinux_(\d+)_(\d+)_{machine}"', shown)
    if not tag or (int(tag[1]), int(tag[2])) > GLIBC:
        raise SystemExit(f"wheel.py: auditwheel does not find {wheel} fit for manylinux_{GLIBC[0]}_{GLIBC[1]}_{machine}:\n{shown}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="wheel.py", description="Builds nb201's wheel for Linux.")
    parser.add_argument("machine", nargs="?", choices=MACHINES, default="x86_64", help="the processor (default x86_64)")
    parser.add_argument("--to", type=Path, default=ROOT / "dist", metavar="DIR", help="where the wheel is written (default dist)")
    options = parser.parse_args()
    wheel = make(options.machine, os.environ.get("COMMIT", ""), options.to)
    check(wheel, options.machine)
    print(f"{wheel}  {wheel.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
