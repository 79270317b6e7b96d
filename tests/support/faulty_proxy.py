"""A TCP proxy that delays, resets and cuts short what passes through it, or answers with an error of its own."""

import socket
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress

Fault = str | None
"""`reset`, `cut`, `503` or None, for one request."""


class FaultyProxy:
    """Forwards HTTP connections to a server. `fault` decides on each request by its first line."""

    def __init__(self, port: int) -> None:
        self.delay_s = 0.0
        self.fault: Callable[[bytes], Fault] = lambda line: None
        self.requests: list[bytes] = []
        """The first lines of all requests."""
        self._to, self._open = port, True
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        """The proxy's address."""
        return f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        """Takes no more connections, and ends those that are open with their next request."""
        self._open = False
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while self._open:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError), client, socket.create_connection(("127.0.0.1", self._to)) as server:
            for each in (client, server):
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while self._open and (request := client.recv(1 << 16)):
                line = request.split(b"\r\n", 1)[0]
                self.requests.append(line)
                fault = self.fault(line)
                if fault == "reset":
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    return
                if fault == "503":
                    client.sendall(b"HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\n\r\n")
                    continue
                time.sleep(self.delay_s)
                server.sendall(request)
                if not self._answer(server, client, cut=fault == "cut"):
                    return

    @staticmethod
    def _answer(server: socket.socket, client: socket.socket, *, cut: bool) -> bool:
        """Forwards one answer; False if the connection is over."""
        data = b""
        while b"\r\n\r\n" not in data:
            part = server.recv(1 << 16)
            if not part:
                return False
            data += part
        head, _, body = data.partition(b"\r\n\r\n")
        length = 0
        for field in head.split(b"\r\n")[1:]:
            name, _, value = field.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        if cut:
            client.sendall(head + b"\r\n\r\n" + body[: length // 2])
            return False
        client.sendall(data)
        left = length - len(body)
        while left > 0:
            part = server.recv(min(left, 1 << 16))
            if not part:
                return False
            client.sendall(part)
            left -= len(part)
        return b"connection: close" not in head.lower()
