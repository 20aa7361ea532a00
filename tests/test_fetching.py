"""Pictures by URL: only from hosts that were named, only from the open internet, within bytes and seconds."""

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any

import pytest

from serving_helpers import picture_file
from triptych.core.errors import UsageError

pytest.importorskip("fastapi", reason="the extra `serve` is not installed")
from triptych.serving.fetching import PictureFetcher, is_public, read_hosts
from triptych.serving.problems import Problem

PICTURE = picture_file()


class Site(ThreadingHTTPServer):
    """A site that misbehaves as its paths say."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[tuple[str, str]] = []
        self.ending = Event()


class _Handler(BaseHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        site: Any = self.server
        site.asked.append((self.headers["Host"], self.path))
        kind, _, rest = self.path[1:].partition("?")
        if kind == "moved":
            self.send_response(302)
            self.send_header("Location", rest)
            self.end_headers()
            return
        self.send_response(404 if kind == "lost" else 200)
        self.send_header("Content-Type", "text/html" if kind == "page" else "image/png")
        if kind == "declared-large":
            self.send_header("Content-Length", "99999999")
        elif kind == "cut":
            self.send_header("Content-Length", str(len(PICTURE) + 9))
        self.end_headers()
        if kind == "large":
            self.wfile.write(b"x" * 200_000)
        elif kind == "slow":
            while not site.ending.wait(0.02):
                self.wfile.write(b"x")
        else:
            self.wfile.write(PICTURE)


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with Site() as running:
        Thread(target=running.serve_forever, daemon=True).start()
        yield running
        running.ending.set()
        running.shutdown()


class Names:
    """Resolves names as a test wants, and counts how often."""

    def __init__(self, site: Site, **addresses: list[str]) -> None:
        self.port = site.server_address[1]
        self.addresses = addresses
        self.asked: list[str] = []

    def __call__(self, host: str, port: int) -> list[tuple[str, int]]:
        self.asked.append(host)
        given = self.addresses[host.partition(".")[0]]
        return [(given.pop(0) if len(given) > 1 else given[0], self.port)]


def fetcher(site: Site, **addresses: list[str]) -> tuple[PictureFetcher, Names]:
    """One that takes 127.0.0.1 for the open internet, and every other loopback address for what it is."""
    names = Names(site, **(addresses or {"shop": ["127.0.0.1"]}))
    hosts = read_hosts(["shop.example", ".cdn.example"])
    return PictureFetcher(hosts, 100_000, 1.0, names, lambda one: one == "127.0.0.1" or is_public(one)), names


def refused(fetch: PictureFetcher, url: str) -> Problem:
    with pytest.raises(Problem) as raised:
        fetch(url)
    return raised.value


def test_a_picture_is_fetched_by_the_name_that_was_asked_for(site: Site) -> None:
    fetch, names = fetcher(site)
    assert fetch("http://Shop.example/jacket.png?v=2") == PICTURE
    assert site.asked[-1] == ("shop.example", "/jacket.png?v=2")
    assert names.asked == ["shop.example"]
    assert fetcher(site, a=["127.0.0.1"])[0]("http://a.cdn.example/") == PICTURE


@pytest.mark.parametrize(
    "url",
    ["http://other.example/", "http://cdn.example/", "http://shop.example.evil.example/", "http://evilshop.example/",
     "http://shop.example:8080/", "http://127.0.0.1/", "http://[::1]/", "http://2130706433/", "http://0x7f.1/"],
)  # fmt: skip
def test_other_hosts_are_not_even_resolved(site: Site, url: str) -> None:
    fetch, names = fetcher(site)
    assert refused(fetch, url).status == 403
    assert names.asked == []


@pytest.mark.parametrize(
    "url",
    ["file:///etc/passwd", "ftp://shop.example/", "shop.example", "http://", "http://u:p@shop.example/", "http://a b/",
     "http://shop.example\\@other.example/", "http://shop.example/\r\nHost: x", "http://shop.example:99999/",
     "http://shop.example/" + "x" * 2000, "http://[::1", "http://shöp.example/"],
)  # fmt: skip
def test_what_is_no_plain_address_is_refused(site: Site, url: str) -> None:
    fetch, names = fetcher(site)
    assert refused(fetch, url).status == 422
    assert names.asked == []


def test_addresses_that_are_not_of_the_open_internet() -> None:
    for inner in ("127.0.0.1", "10.1.2.3", "192.168.0.1", "172.16.9.9", "169.254.169.254", "100.64.0.1", "0.0.0.0",
                  "255.255.255.255", "224.0.0.1", "::1", "::", "fe80::1%eth0", "fc00::1", "::ffff:127.0.0.1",
                  "::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "ff02::1", "localhost", ""):  # fmt: skip
        assert not is_public(inner), inner
    for outer in ("93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946", "::ffff:93.184.216.34"):
        assert is_public(outer), outer


def test_a_name_of_a_private_address_leads_nowhere(site: Site) -> None:
    for address in ("127.0.0.2", "10.0.0.1", "169.254.169.254"):
        assert refused(fetcher(site, shop=[address])[0], "http://shop.example/").status == 403
    before = len(site.asked)
    # A name that means another machine the next time it is asked for: it is asked for once.
    fetch, names = fetcher(site, shop=["127.0.0.1", "127.0.0.2"])
    assert fetch("http://shop.example/") == PICTURE
    assert names.asked == ["shop.example"]
    assert len(site.asked) == before + 1


def test_redirects_are_judged_as_the_first_address_is(site: Site) -> None:
    fetch, names = fetcher(site, shop=["127.0.0.1"], a=["10.0.0.1"])
    assert fetch("http://shop.example/moved?/other") == PICTURE
    assert fetch("http://shop.example/moved?http://shop.example/third") == PICTURE
    for there, status in (
        ("http://127.0.0.1/", 403),
        ("http://other.example/", 403),
        ("http://a.cdn.example/", 403),
        ("file:///etc/passwd", 422),
        ("/moved?/moved?/moved?/moved?/x", 422),
    ):
        assert refused(fetch, f"http://shop.example/moved?{there}").status == status, there
    assert "other.example" not in names.asked
    # A name that turns private between a redirect and the next request.
    assert refused(fetcher(site, shop=["127.0.0.1", "127.0.0.2"])[0], "http://shop.example/moved?/x").status == 403


@pytest.mark.parametrize(
    ("path", "status", "why"),
    [("large", 413, "too large"), ("declared-large", 413, "too large"), ("slow", 422, "took longer than 1 s"),
     ("page", 422, "no picture"), ("lost", 422, "answered 404"), ("cut", 422, "did not answer")],
)  # fmt: skip
def test_bodies_have_limits(site: Site, path: str, status: int, why: str) -> None:
    problem = refused(fetcher(site)[0], f"http://shop.example/{path}")
    assert (problem.status, why in problem.detail) == (status, True), problem.detail


def test_the_allow_list_names_hosts() -> None:
    assert read_hosts(["Shop.example.", "img.example:8080", ".cdn.example"]) == {
        "shop.example", "img.example:8080", ".cdn.example",
    }  # fmt: skip
    for wrong in ("*", "http://shop.example", "shop.example/x", "", ".", "a@b", "shop.example:http"):
        with pytest.raises(UsageError, match="--fetch-from"):
            read_hosts([wrong])
