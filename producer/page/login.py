"""Who may see the page: HTTP basic authentication with one user and password."""

import base64
import binascii
import hashlib
import hmac

CHALLENGE = 'Basic realm="facequeue", charset="UTF-8"'
_MOST_CHARACTERS = 4096


class Login:
    """A user and a password."""

    def __init__(self, user: str, password: str) -> None:
        self._digest = _digest(f"{user}:{password}".encode())

    def accepts(self, authorization: str | None) -> bool:
        """Whether a request with this header may see the page. It takes the same time for every wrong password."""
        scheme, _, encoded = (authorization or "").partition(" ")
        if scheme.lower() != "basic" or len(encoded) > _MOST_CHARACTERS:
            return False
        try:
            given = base64.b64decode(encoded.strip().encode("ascii"), validate=True)
        except (binascii.Error, ValueError):
            return False
        return hmac.compare_digest(_digest(given), self._digest)


def _digest(text: bytes) -> bytes:
    return hashlib.sha256(text).digest()
