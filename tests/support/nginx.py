"""nginx with the file that is shipped, on a port of loopback and in a folder of its own."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.http_node import free_port

ROOT = Path(__file__).parent.parent.parent
SHIPPED = ROOT / "deploy" / "nginx.conf"
_START_S = 10.0
_MAIN = """
daemon off;
pid {folder}/pid;
error_log {folder}/error.log;
worker_processes 1;
{user}
events {{ worker_connections 1024; }}
http {{
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/site.conf;
}}
"""


@dataclass(frozen=True, slots=True)
class Proxy:
    """nginx while it runs."""

    origin: str
    folder: Path

    @property
    def errors(self) -> str:
        """What it wrote to its log."""
        return (self.folder / "error.log").read_text()


def program() -> str:
    """Return nginx, or fail with how to get it."""
    found = shutil.which("nginx") or shutil.which("/usr/sbin/nginx")
    if found is None:
        pytest.fail("nginx is missing. Run tests/outside/setup.sh.")
    return found


def main_file(site: str, folder: Path) -> Path:
    """Write what nginx is started with, around the file of a site."""
    folder.mkdir(exist_ok=True)
    (folder / "site.conf").write_text(site)
    # Its processes may read the folder of a test, whoever runs that.
    user = "user root;" if Path("/proc/self").owner() == "root" else ""
    path = folder / "nginx.conf"
    path.write_text(_MAIN.format(folder=folder, user=user))
    return path


def rendered(ports: Sequence[int], port: int) -> str:
    """Return the shipped file for these nodes, without the certificate that a test has not."""
    lines = SHIPPED.read_text()
    node = re.search(r"^ +server node-1:8080(.*)$", lines, re.MULTILINE)
    assert node is not None
    own = "\n".join(f"    server 127.0.0.1:{one}{node[1]}" for one in ports)
    lines, count = re.subn(r"(^ +server node-\d:8080.*\n)+", f"{own}\n", lines, flags=re.MULTILINE)
    assert count == 1
    lines, count = re.subn(r"listen 443 ssl;", f"listen 127.0.0.1:{port};", lines)
    assert count == 1
    return re.sub(r"^ +ssl_.*\n", "", lines, flags=re.MULTILINE)


@contextmanager
def proxying(ports: Sequence[int], home: Path) -> Iterator[Proxy]:
    """Run nginx in front of nodes on these ports."""
    port = free_port()
    path = main_file(rendered(ports, port), home / "nginx")
    log = path.with_name("error.log")
    with subprocess.Popen(
        [program(), "-e", str(log), "-c", str(path)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            _listening(port, process, log)
            yield Proxy(f"http://127.0.0.1:{port}", path.parent)
        finally:
            process.terminate()


def _listening(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + _START_S
    while time.monotonic() < until and process.poll() is None:
        with socket.socket() as sock:
            if sock.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    pytest.fail(f"nginx does not run: {log.read_text()}")
