"""`sttlab lab`: a real JupyterLab, whose kernel finds this sttlab."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

pytestmark = [
    pytest.mark.needs("jupyter"),
    pytest.mark.skipif(sys.platform == "win32", reason="sends a POSIX signal"),
]


def ask(url: str, path: str, body: object = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url.replace("/lab?", f"/api/{path}?"), data)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def wait_until_it_answers(process: subprocess.Popen[str], url: str) -> None:
    for _ in range(600):
        with contextlib.suppress(urllib.error.URLError):
            ask(url, "status")
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            raise AssertionError(f"JupyterLab ended with {process.wait(0.1)}")
    raise AssertionError("JupyterLab does not answer")


def test_messages_of_a_kernel_go_to_the_browser_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from jupyter_server.services.kernels.connection.channels import ZMQChannelsWebsocketConnection
    from jupyter_server.services.kernels.websocket import KernelWebsocketHandler
    from tornado.iostream import IOStream

    from sttlab.notebook.kernel_connection import KernelConnection

    monkeypatch.setattr(ZMQChannelsWebsocketConnection, "connect", lambda self: "connected")
    handler: Any = KernelWebsocketHandler.__new__(KernelWebsocketHandler)
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as browser,
    ):
        handler.ws_connection = IOStream(browser)
        assert KernelConnection(websocket_handler=handler).connect() == "connected"
        assert browser.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_the_kernel_imports_sttlab_and_ctrl_c_ends_it(tmp_path: Path, root: Path) -> None:
    from jupyter_client.blocking.client import BlockingKernelClient

    # A kernel that the user installed for another Python must not take precedence.
    other = tmp_path / "data" / "kernels" / "python3"
    other.mkdir(parents=True)
    kernel = {"argv": ["/nowhere/python"], "display_name": "other", "language": "python"}
    (other / "kernel.json").write_text(json.dumps(kernel))
    runtime = tmp_path / "runtime"
    environment = os.environ | {
        "JUPYTER_DATA_DIR": str(tmp_path / "data"),
        "JUPYTER_RUNTIME_DIR": str(runtime),
        "JUPYTER_CONFIG_DIR": str(tmp_path / "config"),
    }
    options = ["--no-browser", "--ServerApp.port=0", "--allow-root"]
    process = subprocess.Popen(
        [sys.executable, "-m", "sttlab", "lab", *options],
        env=environment,
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr
    try:
        found = (re.search(r"http://\S+/lab\?token=\S+", line) for line in process.stderr)
        url = next(match[0] for match in found if match)
        wait_until_it_answers(process, url)  # JupyterLab prints its address before it listens
        names = {item["name"] for item in ask(url, "contents")["content"]}
        assert names == {p.name for p in (root / "notebooks").iterdir() if p.name[0] != "."}
        started = ask(url, "kernels", {"name": "python3"})
        client = BlockingKernelClient(connection_file=str(runtime / f"kernel-{started['id']}.json"))
        client.load_connection_file()
        client.start_channels(hb=False)  # a busy machine misses a heartbeat of a living kernel
        client.wait_for_ready(timeout=60)
        said: list[str] = []
        client.execute_interactive(
            "import sttlab, sys; print(sys.executable, sttlab.__file__)",
            timeout=60,
            output_hook=lambda message: said.append(message["content"].get("text", "")),
        )
        client.stop_channels()
        assert "".join(said).split() == [sys.executable, str(root / "sttlab" / "__init__.py")]
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
        assert process.returncode == 0
    finally:
        process.kill()
        process.communicate()
