"""A real Milvus 2.3.5 standalone, from the package `milvus`, for tests.

    from nestvec_milvus.testing.server import milvus_server   # in conftest.py: a session fixture

    with running() as server:       # anywhere else: the same server, while anybody uses it
        ...

The package is installed once, into an environment of its own in the user's cache directory. Every server has a
folder and ports of its own, so any number can run side by side.
"""

from __future__ import annotations

import base64
import ctypes
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

VERSION = "2.3.5"
#: User and password that every new server knows.
ROOT = "root:Milvus"
_DEADLINE = 120.0
_PR_SET_PDEATHSIG = 1
_PORTS = (
    "proxy", "proxy_internal", "root_coord", "query_coord", "query_node", "index_coord", "index_node", "data_coord",
    "data_node", "etcd",
)  # fmt: skip
# How often its parts look for work, in milliseconds. Its defaults, made for clusters, let every test wait seconds.
_HASTE = {
    "PROXY_TIMETICKINTERVAL": "5",
    "QUERYCOORD_CHECKINTERVAL": "50",
    "QUERYCOORD_CHECKCHANNELINTERVAL": "50",
    "QUERYCOORD_CHECKSEGMENTINTERVAL": "50",
    "QUERYCOORD_CHECKHANDOFFINTERVAL": "100",
    "QUERYCOORD_DISTPULLINTERVAL": "50",
    "QUERYCOORD_UPDATENEXTTARGETINTERVAL": "1",
}


class ServerFailed(RuntimeError):
    """The server did not start, or did not answer in time. The message ends with the last lines of its logs."""


def unavailable() -> str | None:
    """Why the server cannot run on this machine, or None where it can."""
    here = f"{platform.system()} {platform.machine()}"
    if here != "Linux x86_64":
        return f"the package milvus {VERSION} is for Linux x86_64, and this is {here}"
    if _python() is None:
        return f"the package milvus {VERSION} needs Python 3.11, which is not installed"
    return None


class MilvusServer:
    """A running server in a folder of its own. Use it in a `with` statement.

    Raises `ServerFailed` where it does not start. `uri` is its address, `folder` where it keeps everything. With
    `authorization` it wants to know who calls; then `ROOT` is the user that may do everything. Unless `hasten`, it
    works at the pace of its defaults, as servers in production do: for benchmarks.
    """

    def __init__(
        self, folder: Path, environment: Path | None = None, *, authorization: bool = False, hasten: bool = True
    ) -> None:
        self.folder = folder
        self._hasten = hasten
        self._environment = environment
        self._authorization = authorization
        self._process: subprocess.Popen[bytes] | None = None
        self.uri = ""

    def __enter__(self) -> MilvusServer:
        command = (self._environment or install()) / "bin" / "milvus-server"
        ports = dict(zip((*_PORTS, "etcd_peer"), _free_ports(len(_PORTS) + 1), strict=True))
        self.uri = f"http://127.0.0.1:{ports['proxy']}"
        self.folder.mkdir(parents=True, exist_ok=True)
        settings = [item for name in _PORTS for item in (f"--{name.replace('_', '-')}-port", str(ports[name]))]
        environment = {
            **os.environ,
            **(_HASTE if self._hasten else {}),
            "COMMON_SECURITY_AUTHORIZATIONENABLED": "true" if self._authorization else "false",
            "ETCD_CONFIG_PATH": str(_etcd_settings(self.folder, ports)),
        }
        with (self.folder / "wrapper.log").open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own environment's program  # nosec B603
                [str(command), "--data", str(self.folder / "data"), *settings],
                env=environment,
                stdout=log,
                stderr=log,
                start_new_session=True,  # so that it and its child can be stopped together
                preexec_fn=_end_with_parent,
            )
        try:
            self._wait(ports["proxy"])
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop the wrapper and the server that it started. Safe to call twice."""
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal.SIGINT)  # the wrapper ends its child, and itself
        with suppress(subprocess.TimeoutExpired):
            process.wait(10)
        # Whatever is left of them: they have a process group of their own.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def logs(self, lines: int = 40) -> str:
        """The last lines of every log."""
        parts = []
        for path in sorted({self.folder / "wrapper.log", *self.folder.glob("data/logs/milvus-*.log")}):
            if path.is_file():
                text = path.read_text(errors="replace").splitlines()[-lines:]
                parts.append(f"--- {path}\n" + "\n".join(text))
        return "\n".join(parts)

    def _wait(self, port: int) -> None:
        import grpc  # type: ignore[import-untyped]
        from pymilvus.grpc_gen import milvus_pb2, milvus_pb2_grpc

        messages, last = milvus_pb2, ""
        headers = (("authorization", base64.b64encode(ROOT.encode()).decode()),)
        until = time.monotonic() + _DEADLINE
        while time.monotonic() < until:
            if self._process is None or self._process.poll() is not None:
                raise ServerFailed(f"Milvus {VERSION} ended while it was starting\n{self.logs()}")
            with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
                try:
                    stub = milvus_pb2_grpc.MilvusServiceStub(channel)
                    health = stub.CheckHealth(messages.CheckHealthRequest(), timeout=5, metadata=headers)
                    if health.isHealthy:
                        return
                    last = str(list(health.reasons))
                except grpc.RpcError as error:
                    last = str(error)
            time.sleep(0.2)
        raise ServerFailed(f"Milvus {VERSION} did not answer within {_DEADLINE:g} seconds: {last}\n{self.logs()}")


def install() -> Path:
    """The environment that holds the package, made where it is missing. Raises `ServerFailed`."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nestvec"
    environment = cache / f"milvus-{VERSION}"
    if (environment / "bin" / "milvus-server").is_file():
        return environment
    cache.mkdir(parents=True, exist_ok=True)
    # Scripts in an environment know its path, so it is made in its place: under a lock, whole or not at all.
    with _locked(cache / f"milvus-{VERSION}.lock"):
        if not (environment / "bin" / "milvus-server").is_file():
            shutil.rmtree(environment, ignore_errors=True)
            try:
                _run([str(_python()), "-m", "venv", str(environment)])
                # Its entry point needs pkg_resources, and nothing of what the package lists.
                pip = [str(environment / "bin" / "python"), "-m", "pip", "install", "--quiet"]
                _run([*pip, "--no-deps", f"milvus=={VERSION}"])
            except ServerFailed:
                shutil.rmtree(environment, ignore_errors=True)
                raise
    return environment


@pytest.fixture(scope="session")
def milvus_server() -> Iterator[MilvusServer]:
    """A server for the whole run. See `running`."""
    with running() as server:
        yield server


@contextmanager
def running(*, authorization: bool = False) -> Iterator[MilvusServer]:
    """A server, which all share who ask for it at the same time: it starts for the first and stops after the last.

    Skips the test where it cannot run; where it can and does not, the test fails.
    """
    reason = unavailable()
    if reason is not None:
        pytest.skip(reason)
    shared = _SHARED[authorization]
    if not shared.users:
        shared.start(authorization=authorization)
    shared.users += 1
    try:
        yield shared.server
    finally:
        shared.users -= 1
        if not shared.users:
            shared.stack.close()


class _Shared:
    """A server in a folder that goes with it, and the number of its users."""

    server: MilvusServer

    def __init__(self) -> None:
        self.users = 0
        self.stack = ExitStack()

    def start(self, *, authorization: bool) -> None:
        folder = Path(tempfile.mkdtemp(prefix="nestvec-milvus-server-"))
        try:
            self.server = MilvusServer(folder, authorization=authorization).__enter__()
        except ServerFailed as error:
            pytest.fail(f"{error}\nlogs are kept in {folder}", pytrace=False)
        self.stack.callback(shutil.rmtree, folder, ignore_errors=True)
        self.stack.callback(self.server.stop)


_SHARED = {False: _Shared(), True: _Shared()}


def _end_with_parent() -> None:
    """Have the kernel send SIGINT when the test run ends, however it ends."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGINT)


def _python() -> str | None:
    return sys.executable if sys.version_info[:2] == (3, 11) else shutil.which("python3.11")


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - venv and pip  # nosec B603
    if done.returncode:
        raise ServerFailed(f"{' '.join(command)} failed:\n{done.stdout}\n{done.stderr}")


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _etcd_settings(folder: Path, ports: dict[str, int]) -> Path:
    """The embedded etcd's own file: without it, it listens on ports that every other etcd wants, too."""
    client, peer = (f"http://127.0.0.1:{ports[name]}" for name in ("etcd", "etcd_peer"))
    path = folder / "etcd.yaml"
    path.write_text(
        f"name: default\nlisten-client-urls: {client}\nadvertise-client-urls: {client}\n"
        f"listen-peer-urls: {peer}\ninitial-advertise-peer-urls: {peer}\ninitial-cluster: default={peer}\n"
    )
    return path


class _locked:  # noqa: N801 - used like a function
    """Holds a lock file while in the block."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        import fcntl

        self._file = self._path.open("w")
        fcntl.flock(self._file, fcntl.LOCK_EX)

    def __exit__(self, *exception: object) -> None:
        self._file.close()
