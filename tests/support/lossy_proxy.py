"""A proxy that loses an answer of the server: the server has executed the command, and the client does not know."""

import socket
import threading
from urllib.parse import urlsplit

_MOST = 2**16


class LossyProxy:
    """Forwards connections to a server's Unix socket. Clients connect to `url`."""

    def __init__(self, server_url: str) -> None:
        self._server_path = urlsplit(server_url).path
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._marker: bytes | None = None
        self.lost = 0
        """`lost` counts the lost answers."""
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        """The server's address through this proxy."""
        return f"redis://127.0.0.1:{self._listener.getsockname()[1]}/0"

    def lose_answer_to(self, marker: bytes) -> None:
        """Closes the connection instead of forwarding the answer to the next request with the marker.

        An error is forwarded: then nothing was done, and the client asks again in another way.
        """
        self._marker = marker

    def close(self) -> None:
        """Accepts no more connections."""
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._forward, args=(client,), daemon=True).start()

    def _forward(self, client: socket.socket) -> None:
        with client, socket.socket(socket.AF_UNIX) as server:
            server.connect(self._server_path)
            drop = threading.Event()
            threading.Thread(target=self._pass_answers, args=(server, client, drop), daemon=True).start()
            while request := _receive(client):
                if self._marker is not None and self._marker in request:
                    drop.set()
                server.sendall(request)

    def _pass_answers(self, server: socket.socket, client: socket.socket, drop: threading.Event) -> None:
        while answer := _receive(server):
            if drop.is_set() and not answer.startswith(b"-"):
                self._marker = None
                self.lost += 1
                break
            drop.clear()
            client.sendall(answer)
        try:
            client.shutdown(socket.SHUT_RDWR)
        except OSError:  # the client was faster
            return


def _receive(end: socket.socket) -> bytes:
    try:
        return end.recv(_MOST)
    except OSError:
        return b""
