"""What hostile requests cost a service: memory, time, and how long others wait meanwhile.

    python bench/service_attacks.py CATALOG [--option=value of `triptych serve` …]

One service for each attack, on this machine; prints a table in Markdown.
"""

import socket
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from threading import Event, Thread
from time import perf_counter
from urllib.parse import urlsplit

FORM = "application/x-www-form-urlencoded"


@dataclass
class Running:
    """A service, and what happened to others while it was attacked."""

    process: subprocess.Popen[str]
    host: str
    port: int
    waits: list[float] = field(default_factory=list)

    def memory(self, which: str) -> int:
        """VmRSS or VmHWM (the most so far), in MB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        return next(int(line.split()[1]) // 1024 for line in status.splitlines() if line.startswith(which))

    def ask(self, method: str, path: str, body: bytes | None = None, kind: str = FORM) -> str:
        """The status of one request, or what became of it."""
        connection = HTTPConnection(self.host, self.port, timeout=120)
        try:
            connection.request(method, path, body, {"Content-Type": kind} if body else {})
            return str(connection.getresponse().status)
        except OSError as error:
            return type(error).__name__
        finally:
            connection.close()

    def send(self, beginning: bytes, piece: bytes, count: int) -> str:
        """Send what has no end, for as long as it is taken."""
        sent = len(beginning)
        with socket.create_connection((self.host, self.port), timeout=120) as connection, suppress(OSError):
            connection.sendall(beginning)
            for _ in range(count):
                connection.sendall(piece)
                sent += len(piece)
        return f"{sent / 1e6:.0f} MB taken"


def start(catalog: str, options: list[str]) -> Running:
    """`triptych serve` on a free port."""
    program = [sys.executable, "-c", "from triptych.cli import main; main()", "serve"]
    command = [*program, "--catalog", catalog, "--port", "0", *options]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if " at http://" in line:
            address = urlsplit("http://" + line.rsplit(" at http://", 1)[1].strip())
            Thread(target=process.stderr.read, daemon=True).start()
            return Running(process, str(address.hostname), int(address.port or 0))
    raise SystemExit("the service did not start")


def multipart(name: str, value: bytes, count: int, picture: bool = False) -> tuple[bytes, str]:
    """A form of so many equal fields."""
    file = b'; filename="x"' if picture else b""
    one = b'--b\r\nContent-Disposition: form-data; name="' + name.encode() + b'"' + file + b"\r\n\r\n" + value + b"\r\n"
    return one * count + b"--b--\r\n", "multipart/form-data; boundary=b"


def attacks() -> dict[str, tuple[int, Callable[[Running], str]]]:
    """What is done, how often (eight at a time), by name."""
    header = b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: "
    trailer = b"POST /api/search HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: "
    conditions, boundaries = (
        multipart("where", b"line=1" + b" " * 900_000, 11),
        multipart("picture", b"\r\n--b\r\n-" * 1_000_000, 1, picture=True),
    )
    ampersands = b"&" * 10_000_000
    return {
        "one header of 150 MB": (8, lambda service: service.send(header, b"x" * 1_000_000, 150)),
        "one trailer of 150 MB": (8, lambda service: service.send(trailer, b"x" * 1_000_000, 150)),
        "10 MB of `&`": (8, lambda service: service.ask("POST", "/api/search", ampersands)),
        "10 MB of `where`": (64, lambda service: service.ask("POST", "/api/search", *conditions)),
        "10 MB of near boundaries": (8, lambda service: service.ask("POST", "/api/search", *boundaries)),
    }


def main() -> None:
    """Print the table."""
    catalog, *options = sys.argv[1:]
    print("| attack | outcomes | MB before | most MB | seconds | longest wait of `/health`, ms |")
    print("|---|---|---|---|---|---|")
    for name, (count, attack) in attacks().items():
        service, over = start(catalog, options), Event()

        def look(service: Running = service, over: Event = over) -> None:
            while not over.is_set():
                began = perf_counter()
                service.ask("GET", "/health")
                service.waits.append(perf_counter() - began)

        try:
            before, began = service.memory("VmRSS"), perf_counter()
            looking = Thread(target=look)
            looking.start()
            with ThreadPoolExecutor(8) as threads:
                outcomes = list(threads.map(attack, [service] * count))
            seconds = perf_counter() - began
            over.set()
            looking.join()
            answers = ", ".join(f"{outcomes.count(one)} x {one}" for one in sorted(set(outcomes)))
            most = service.memory("VmHWM")
            wait = 1000 * max(service.waits)
            print(f"| {name}, {count} times | {answers} | {before} | {most} | {seconds:.1f} | {wait:.0f} |")
        finally:
            over.set()
            service.process.kill()
            service.process.wait()


if __name__ == "__main__":
    main()
