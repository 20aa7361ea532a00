"""Pictures sent to `triptych serve` one by one; what is killed is the service."""

import contextlib
import hashlib
import random
import socket
import sys
import time
from collections.abc import Sequence
from http.client import HTTPConnection, HTTPException
from io import BytesIO
from pathlib import Path
from typing import Any
from uuid import uuid4

from PIL import Image

from kills.commands import ONE, digest
from kills.processes import STUCK, WrongError, compute, end_of, start
from triptych.catalog import indexing
from triptych.catalog.catalog import Catalog
from triptych.cli import main as program

_ADDED = 12  # pictures sent to the service


def pictures() -> list[bytes]:
    """The files that are sent."""
    files = []
    for number in range(_ADDED):
        out = BytesIO()
        blotches = Image.frombytes("RGB", (6, 6), random.Random(number).randbytes(6 * 6 * 3))
        blotches.resize((48, 48)).save(out, "PNG")
        files.append(out.getvalue())
    return files


def send_all(out: Path, delays: Sequence[float]) -> tuple[int, float]:
    """Send all pictures to a service in a new folder. It is killed after each delay, and run once more.

    Returns:
        How often it was killed while there were pictures left, and how many seconds the last part took.

    Raises:
        WrongError: an acknowledged picture is not in the catalog, or the service does not start.
    """
    out.mkdir(parents=True)
    log, files = out.with_suffix(".log"), pictures()
    compute(_make_catalog, out, log=log)
    kills, seconds = 0, 0.0
    for delay in (*delays, STUCK):
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        process = start(_serve, out / "catalog", port, log=log)
        if not _listens(port, process):
            process.kill()
            raise WrongError(f"the service does not start: {end_of(log)}")
        began = time.monotonic()
        client = start(_send, port, files, out / "acknowledged", log=log)
        client.join(delay)
        seconds = time.monotonic() - began
        finished = client.exitcode is not None
        process.kill()
        process.join()
        client.join(STUCK)
        kills += not finished
        known = _acknowledged(out)
        there = {Path(name).stem for name in compute(added, out, log=log)["names"]} if known else set()
        if lost := set(known) - there:
            raise WrongError(f"{len(lost)} acknowledged pictures are not in the catalog")
        if finished and len(known) == len(files):
            return kills, seconds
    raise WrongError(f"not all pictures were taken: {end_of(log)}")


def added(out: Path) -> Any:
    """The pictures that were added, named by their content, with their vectors; and their files."""
    catalog = Catalog(out / "catalog")
    rows = {name: row for name, row in catalog.row_of.items() if name.startswith("uploads/")}
    vectors = {name: catalog.vectors[row].round(5).tolist() for name, row in rows.items()}
    files = sorted(path.name for path in (out / "pictures" / "uploads").iterdir() if path.suffix == ".png")
    return {"names": sorted(rows), "digest": digest(vectors, files)}


def _make_catalog(out: Path) -> None:
    """A small catalog, to add to."""
    (out / "pictures" / "uploads").mkdir(parents=True)
    for number, file in enumerate(pictures()[:3]):
        with Image.open(BytesIO(file)) as picture:
            picture.rotate(90).save(out / "pictures" / f"{number}.png")
    indexing.index(out / "pictures", out / "catalog", encoder="wardrobe", runtime=ONE)


def _serve(catalog: Path, port: int) -> None:
    sys.argv = ["triptych", "serve", "--catalog", str(catalog), "--port", str(port), "--threads", "1"]
    program()


def _listens(port: int, process: Any) -> bool:
    """Wait until the service is ready; False where it ended."""
    end = time.monotonic() + STUCK
    while process.exitcode is None and time.monotonic() < end:
        with contextlib.suppress(OSError, HTTPException):
            connection = HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", "/ready")
            if connection.getresponse().status == 200:
                return True
        process.join(0.05)
    return False


def _send(port: int, files: Sequence[bytes], acknowledged: Path) -> None:
    """Send what is not acknowledged yet, one picture at a time, and note what is, as long as somebody listens."""
    known = _acknowledged(acknowledged.parent)
    with contextlib.suppress(OSError, HTTPException), acknowledged.open("a", buffering=1) as notes:
        for data in files:
            content = hashlib.sha256(data).hexdigest()
            if content in known:
                continue
            boundary = uuid4().hex
            head = f'--{boundary}\r\nContent-Disposition: form-data; name="picture"; filename="p"\r\n\r\n'
            connection = HTTPConnection("127.0.0.1", port, timeout=60)
            body = head.encode() + data + f"\r\n--{boundary}--\r\n".encode()
            kind = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
            connection.request("POST", "/api/pictures", body, kind)
            if connection.getresponse().status in (200, 201):
                notes.write(content + "\n")


def _acknowledged(out: Path) -> list[str]:
    """Hashes of the pictures that the service took."""
    notes = out / "acknowledged"
    return notes.read_text().split() if notes.exists() else []
