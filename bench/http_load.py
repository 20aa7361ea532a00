"""A client that costs little: raw connections in one thread, each of which sends the next request after an answer."""

import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from selectors import EVENT_READ, DefaultSelector
from time import perf_counter
from uuid import uuid4

_PATIENCE = 120  # seconds without any answer


@dataclass(frozen=True)
class Answer:
    """The milliseconds of one request: in all, as its client measured them, and in
    each stage, as the service reports them."""

    taken: float
    encoding: float
    finding: float


@dataclass
class Connection:
    """A socket, and the part of the answer that has arrived."""

    link: socket.socket
    asked: float = 0.0
    answer: bytearray = field(default_factory=bytearray)

    def ask(self, message: bytes) -> None:
        self.answer.clear()
        self.asked = perf_counter()
        self.link.sendall(message)

    def take(self) -> Answer | None:
        """Read what has arrived; returns the answer once it is complete. Ends the program if the service refuses."""
        piece = self.link.recv(1 << 18)
        self.answer += piece
        head, end, body = self.answer.partition(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head) if end else None
        if piece and (not length or len(body) < int(length[1])):
            return None
        taken = perf_counter() - self.asked
        if not head.startswith(b"HTTP/1.1 200"):
            raise SystemExit(f"the service answered: {head.decode() or 'nothing'}")
        stages = re.search(rb"encoding;dur=([\d.]+), finding;dur=([\d.]+)", head)
        assert stages
        return Answer(taken * 1000, float(stages[1]), float(stages[2]))


def load(address: tuple[str, int], messages: Iterator[bytes], clients: int, seconds: float) -> list[Answer]:
    """The answers that `clients` clients get in `seconds` seconds; each gets at least one."""
    answers: list[Answer] = []
    with DefaultSelector() as selector:
        started = perf_counter()
        for _ in range(clients):
            connection = Connection(socket.create_connection(address))
            connection.link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            selector.register(connection.link, EVENT_READ, connection)
            connection.ask(next(messages))
        while selector.get_map():
            ready = selector.select(_PATIENCE)
            if not ready:
                raise SystemExit(f"no answer in {_PATIENCE} seconds")
            for key, _ in ready:
                connection = key.data
                answer = connection.take()
                if answer is None:
                    continue
                answers.append(answer)
                if perf_counter() - started < seconds:
                    connection.ask(next(messages))
                else:
                    selector.unregister(connection.link)
                    connection.link.close()
    return answers


def search_request(picture: bytes, words: str) -> bytes:
    """The bytes of a search request with a picture and words."""
    boundary = uuid4().hex
    part = f"--{boundary}\r\nContent-Disposition: form-data; name="
    body = f'{part}"text"\r\n\r\n{words}\r\n{part}"picture"; filename="p"\r\n\r\n'.encode()
    body += picture + f"\r\n--{boundary}--\r\n".encode()
    head = (
        f"POST /api/search HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary={boundary}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
