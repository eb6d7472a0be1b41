"""Builds the wheel through its source archive and uses it in an empty environment."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    """Return 0 when the installed wheel lists its tools and plays the demo."""
    with tempfile.TemporaryDirectory(prefix="leyr-mcp-wheel-") as name:
        folder = Path(name)
        wheel = _build(folder)
        python = _environment(folder / "venv", wheel)
        env = {"PATH": os.environ["PATH"], "HOME": str(folder)}
        command = str(python.parent / "leyr-mcp")
        for argv in ([command, "--version"], [command, "tools"], [command, "demo"]):
            _run(argv, cwd=folder, env=env)
        where = "import leyr_mcp.server as s, leyr_mcp.sandbox; print(s.__file__)"
        found = _run([str(python), "-c", where], cwd=folder, env=env).strip()
        if not Path(found).is_relative_to(folder):
            sys.stderr.write("The wheel was not what ran.\n")
            return 1
    sys.stdout.write("The wheel works in an empty environment.\n")
    return 0


def _build(folder: Path) -> Path:
    """Build sdist, then the wheel from the unpacked sdist, so that only what is shipped is used."""
    backend = "from setuptools import build_meta as b; import sys; print(b.{}(sys.argv[1]))"
    tree = folder / "tree"
    archive = _copy_tree(tree)
    _run([sys.executable, "-c", backend.format("build_sdist"), str(folder)], cwd=archive)
    (sdist,) = folder.glob("*.tar.gz")
    _run(["tar", "-xzf", str(sdist), "-C", str(folder)], cwd=folder)
    unpacked = folder / sdist.name.removesuffix(".tar.gz")
    _run([sys.executable, "-c", backend.format("build_wheel"), str(folder)], cwd=unpacked)
    (wheel,) = folder.glob("*.whl")
    return wheel


def _copy_tree(tree: Path) -> Path:
    """Copy what git knows of, so that no left-over of an earlier build gets in."""
    listed = _run(["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT)
    for name in listed.splitlines():
        source = ROOT / name
        if source.is_symlink() or not source.is_file():
            continue
        target = tree / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source.read_bytes())
    return tree


def _environment(folder: Path, wheel: Path) -> Path:
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    _run(
        [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", str(wheel)],
        cwd=folder,
    )
    return python


def _run(argv: list[str], *, cwd: Path, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        argv, cwd=cwd, env=env, capture_output=True, text=True, timeout=300, check=False
    )
    if done.returncode:
        sys.stderr.write(
            f"{' '.join(argv[:3])} failed:\n{done.stdout[-2000:]}{done.stderr[-4000:]}\n"
        )
        raise SystemExit(1)
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
