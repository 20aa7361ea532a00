"""A catalog over HTTP: a service for programs, and a page for people."""

from triptych.serving.keys import make_key
from triptych.serving.running import serve
from triptych.serving.settings import Settings

__all__ = ["Settings", "make_key", "serve"]
