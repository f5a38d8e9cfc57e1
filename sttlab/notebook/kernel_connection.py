"""How JupyterLab, started by `sttlab lab`, passes the kernel's messages to the browser."""

from __future__ import annotations

from typing import Any

from jupyter_server.services.kernels.connection.channels import ZMQChannelsWebsocketConnection


class KernelConnection(ZMQChannelsWebsocketConnection):
    """Sends each message at once.

    Jupyter's own connection leaves Nagle's algorithm on. A kernel answers a slider with several
    small messages. All but the first then wait until the browser acknowledges that one, which TCP
    may delay by 40 ms.
    """

    def connect(self) -> Any:
        """Begin to pass messages on."""
        self.websocket_handler.set_nodelay(True)
        return super().connect()
