"""A short run through an installed program, on any system: python tests/smoke.py [PHOTOS]

It needs no test library and no checkout but the photos (by default examples/closet/photos), so that it can also be run
with a wheel in a clean environment. Ends with 0 and one line if all is well.
"""

import importlib.util
import json
import shutil
import subprocess
import sys
import tempfile
import threading
import urllib.request
from pathlib import Path

PHOTOS = Path(__file__).parent.parent / "examples" / "closet" / "photos"
COUNT = 40
PATIENCE = 300  # seconds; a first start on a slow machine is slow


def program() -> str:
    """The installed command, of this very environment if it has one."""
    beside = shutil.which("triptych", path=str(Path(sys.executable).parent))
    found = beside or shutil.which("triptych")
    assert found, "triptych is not installed"
    return found


def run(*arguments: object, folder: Path, code: int = 0) -> str:
    command = [program(), *map(str, arguments)]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, encoding="utf-8", check=False, timeout=PATIENCE
    )
    assert done.returncode == code, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


def index_and_search(folder: Path) -> None:
    assert run("--version", folder=folder).startswith("triptych ")
    assert "onnxruntime" in run("doctor", folder=folder)
    assert f"encoded    {COUNT}" in run("index", "photos", "--catalog", "catalog", folder=folder)
    assert f"unchanged  {COUNT}" in run("index", "photos", "--catalog", "catalog", folder=folder)
    reference = sorted((folder / "photos").iterdir())[0]
    asked = ("--catalog", "catalog", "--image", reference, "--text", "but in black", "-k", 3)
    hits = json.loads(run("search", *asked, "--json", "--output", "sheet.png", folder=folder))
    hits = hits["hits"] if isinstance(hits, dict) else hits
    assert len(hits) == 3
    assert (folder / "sheet.png").stat().st_size > 1000
    message = run("search", "--catalog", "nowhere", "--text", "x", folder=folder, code=1)
    assert len(message.splitlines()) == 1, message


def serve(folder: Path) -> None:
    """The service answers, and adds a picture."""
    command = [program(), "serve", "--catalog", "catalog", "--port", "0"]
    running = subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, encoding="utf-8"
    )
    guard = threading.Timer(PATIENCE, running.kill)
    guard.start()
    try:
        assert running.stdout is not None
        said = []
        for line in running.stdout:
            said.append(line)
            if "http://" in line:
                break
        assert said, "the service said nothing"
        assert "http://" in said[-1], "".join(said)
        address = "http://" + said[-1].split("http://")[1].split()[0].rstrip("/,.")
        for path in ("/health", "/ready", "/v1/catalog", "/"):
            with urllib.request.urlopen(address + path, timeout=PATIENCE) as answer:
                assert answer.status == 200, path
    finally:
        guard.cancel()
        running.terminate()
        running.wait(PATIENCE)


def main(photos: Path) -> None:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        (folder / "photos").mkdir()
        for photo in sorted(photos.glob("*.jpg"))[:COUNT]:
            shutil.copy(photo, folder / "photos")
        index_and_search(folder)
        if importlib.util.find_spec("fastapi"):
            serve(folder)
    print(f"all is well, by {program()}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else PHOTOS)
