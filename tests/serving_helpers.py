"""A service as a process of its own, and a small client for it."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from http.client import HTTPConnection, HTTPResponse
from io import BytesIO
from pathlib import Path
from threading import Thread
from typing import Any
from uuid import uuid4

from PIL import Image

Field = tuple[str, str | bytes]


class Service:
    """`triptych serve` on a free port of this machine; its output is kept. `before` is run before the program."""

    def __init__(self, catalog: Path, *options: str | Path, before: str = "") -> None:
        program = f"{before}from triptych.cli import main; main()"
        command = [sys.executable, "-c", program, "serve", "--catalog", str(catalog)]
        command += ["--port", "0", "--threads", "1", *map(str, options)]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ})
        self.log: list[str] = []
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.log.append(line)
            if found := re.search(r" at http://(\S+):(\d+)", line):
                self.host, self.port = found.group(1), int(found.group(2))
                break
        else:
            raise AssertionError("".join(self.log))
        self._reader = Thread(target=lambda: self.log.extend(self.process.stderr or ()), daemon=True)
        self._reader.start()

    def __enter__(self) -> "Service":
        return self

    def __exit__(self, *_: object) -> None:
        self.end(signal.SIGKILL)

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def end(self, how: int = signal.SIGTERM) -> int:
        """Send a signal and wait; the exit status."""
        self.process.send_signal(how)
        status = self.process.wait(60)
        self._reader.join()
        return status

    def connect(self) -> HTTPConnection:
        return HTTPConnection(self.host, self.port, timeout=60)

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[HTTPResponse, bytes]:
        connection = self.connect()
        try:
            connection.request(method, path, body, dict(headers or {}))
            answer = connection.getresponse()
            return answer, answer.read()
        finally:
            connection.close()

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> Any:
        answer, body = self.ask("GET", path, headers=headers)
        assert answer.status == 200, (answer.status, body)
        return json.loads(body)

    def post(
        self, path: str, fields: Sequence[Field], headers: Mapping[str, str] | None = None
    ) -> tuple[int, Any, HTTPResponse]:
        body, kind = form(fields)
        answer, content = self.ask("POST", path, body, {"Content-Type": kind, **(headers or {})})
        return answer.status, json.loads(content), answer

    def search(self, *fields: Field) -> Any:
        status, answer, _ = self.post("/v1/search", fields)
        assert status == 200, answer
        return answer


def form(fields: Sequence[Field]) -> tuple[bytes, str]:
    """A multipart form; bytes are files."""
    boundary = uuid4().hex
    out = BytesIO()
    for name, value in fields:
        filename = '; filename="picture"' if isinstance(value, bytes) else ""
        out.write(f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"{filename}\r\n\r\n'.encode())
        out.write((value if isinstance(value, bytes) else value.encode()) + b"\r\n")
    out.write(f"--{boundary}--\r\n".encode())
    return out.getvalue(), f"multipart/form-data; boundary={boundary}"


def picture_file(colour: tuple[int, int, int] = (200, 30, 30), form: str = "PNG") -> bytes:
    out = BytesIO()
    Image.new("RGB", (40, 60), colour).save(out, form)
    return out.getvalue()


def problem(answer: HTTPResponse, body: bytes) -> Any:
    """The problem that an answer is."""
    content = json.loads(body)
    assert answer.getheader("Content-Type") == "application/problem+json"
    assert content["status"] == answer.status
    assert content["detail"]
    return content
