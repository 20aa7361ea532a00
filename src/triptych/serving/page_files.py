"""The files of the search page, with ETags, so that unchanged files are not sent again."""

from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from pathlib import PurePosixPath

from fastapi import FastAPI, Request
from starlette.responses import Response

from triptych.serving.problems import Problem

_TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".svg": "image/svg+xml",
    ".json": "application/json",
    ".js": "text/javascript",
}


@dataclass(frozen=True)
class _PageFile:
    content: bytes
    media_type: str
    tag: str

    def answer(self, request: Request) -> Response:
        """Answer with the file, or with status 304 if the browser's copy is current."""
        headers = {"Cache-Control": "no-cache", "ETag": self.tag}
        if self.tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(self.content, media_type=self.media_type, headers=headers)


def add_page(app: FastAPI, root_path: str) -> None:
    """Add the page and its files to `app`."""
    found = {file.name: file.read_bytes() for file in (files("triptych.serving") / "page").iterdir() if file.is_file()}
    if root_path:  # the page also works without a slash at the end of its URL
        found["page.html"] = found["page.html"].replace(b'="page/', f'="{root_path}/page/'.encode())
    kept = {name: _PageFile(content, _type_of(name), _tag_of(content)) for name, content in found.items()}

    @app.get("/", include_in_schema=False)
    async def page(request: Request) -> Response:
        return kept["page.html"].answer(request)

    @app.get("/page/{name}", include_in_schema=False)
    async def part(request: Request, name: str) -> Response:
        if name not in kept:
            raise Problem(404, "there is no such file")
        return kept[name].answer(request)


def _type_of(name: str) -> str:
    return _TYPES.get(PurePosixPath(name).suffix, "application/octet-stream")


def _tag_of(content: bytes) -> str:
    return f'"{sha256(content).hexdigest()[:20]}"'
