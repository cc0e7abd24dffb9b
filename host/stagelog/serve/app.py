"""The server of the wall page: five addresses, read-only, to a browser on this computer or, with a
token, to others.

    /              the page            /wall.css, /wall.js, /report.css   its parts
    /events        server-sent events: the facts of `wall`, again at each change
    /reports/...   a report of the archive, in a sandbox: it can read nothing of this server

Owns who may read: on loopback whoever calls this computer by its own name (so that no page of the
internet reads it by a name of its own), elsewhere who has the token. Nothing is loaded from
elsewhere, and a policy forbids it to the browser.
"""

import asyncio
import contextlib
import hashlib
import hmac
import json
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders, QueryParams
from starlette.requests import Request, cookie_parser
from starlette.responses import FileResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stagelog.errors import InputError
from stagelog.serve.wall import SCHEMA, Wall

POLL_S = 1.0
BEAT_S = 15.0  # a comment, so that a browser that is gone is noticed
COOKIE = "stagelog"
LOOPBACK_NAMES = ("127.0.0.1", "localhost", "::1")
_OWN = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
_OWN += "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
_REPORT = "sandbox allow-scripts allow-downloads allow-modals; default-src 'none'; "
_REPORT += "script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; "
_REPORT += "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
_REFUSED = "Open the address that 'stagelog serve' has printed: it has the token.\n"


class Live:
    """The facts as text, read once a second while the server runs, for all browsers together."""

    def __init__(self, wall: Wall, poll_s: float = POLL_S) -> None:
        self.wall = wall
        self.text = ""
        self._poll_s = poll_s
        self._changed = asyncio.Condition()

    async def run(self) -> None:
        """Read again and again."""
        while True:
            await self.read()
            await asyncio.sleep(self._poll_s)

    async def read(self) -> None:
        """Read once, and wake up who waits if anything has changed."""
        try:
            facts = await run_in_threadpool(self.wall.read)
        except Exception as error:  # the page says it; the next reading may go well
            text = f"a defect of stagelog: {type(error).__name__}: {error}"
            facts = {"schema": SCHEMA, "cars": [], "problems": [text]}
        text = json.dumps(facts)
        if text != self.text:
            async with self._changed:
                self.text = text
                self._changed.notify_all()

    async def events(self) -> AsyncIterator[str]:
        """Yield the facts as server-sent events: at once, and at each change."""
        seen = ""
        while True:
            if self.text != seen:
                seen = self.text
                yield f"data: {seen}\n\n"
            try:
                async with asyncio.timeout(BEAT_S), self._changed:
                    while self.text == seen:
                        await self._changed.wait()
            except TimeoutError:
                yield ": still here\n\n"


class Guard:
    """Lets in who may read, and puts the headers onto every answer.

    token  that a browser must show, as ?token= once, then as a cookie; None on loopback
    names  by which the computer may be called, None for any
    """

    def __init__(self, app: ASGIApp, token: str | None, names: tuple[str, ...] | None) -> None:
        self._app = app
        self._token = token
        self._names = names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)

        async def send_safe(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
                headers.setdefault("Content-Security-Policy", _OWN)
            await send(message)

        answer = self._refusal(scope)
        await (answer or self._app)(scope, receive, send_safe)

    def _refusal(self, scope: Scope) -> Response | None:
        """Return the answer to who may not read, or who has just shown the token; else None."""
        headers = Headers(scope=scope)
        if self._names is not None and _name_of(headers.get("host", "")) not in self._names:
            return PlainTextResponse("This is not the name of this computer.\n", 421)
        if scope["method"] not in ("GET", "HEAD"):
            return PlainTextResponse("This page is read only.\n", 405)
        if self._token is None:
            return None
        shown = QueryParams(scope.get("query_string", b"")).get("token")
        wanted = _digest_of(self._token)
        if shown is not None and hmac.compare_digest(_digest_of(shown), wanted):
            answer = Response(status_code=303, headers={"Location": "/"})
            is_tls = scope.get("scheme") == "https"
            answer.set_cookie(COOKIE, wanted, httponly=True, samesite="strict", secure=is_tls)
            return answer
        kept = cookie_parser(headers.get("cookie", "")).get(COOKIE, "")
        is_known = hmac.compare_digest(kept.encode(), wanted.encode())
        return None if is_known else PlainTextResponse(_REFUSED, 401)


def _digest_of(token: str) -> str:
    """Return a token as its cookie has it: of any characters."""
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()


def _name_of(host: str) -> str:
    """Return the name in a Host header, without its port and brackets."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].lower()


def make_app(
    wall: Wall,
    token: str | None = None,
    names: tuple[str, ...] | None = LOOPBACK_NAMES,
    poll_s: float = POLL_S,
) -> ASGIApp:
    """Return the application; see Guard for token and names."""
    live = Live(wall, poll_s)

    async def events(_: Request) -> Response:
        return StreamingResponse(live.events(), media_type="text/event-stream")

    async def report(request: Request) -> Response:
        key = tuple(request.path_params[part] for part in ("event", "car", "stage", "file"))
        path = wall.reports.get((key[0], key[1], key[2], key[3]))
        if path is None or path.is_symlink() or not path.is_file():
            return PlainTextResponse("There is no such report.\n", 404)
        return FileResponse(
            path, media_type="text/html", headers={"Content-Security-Policy": _REPORT}
        )

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        await live.read()
        reading = asyncio.create_task(live.run())
        yield
        reading.cancel()

    own = resources.files(__package__) / "page"
    parts = {"/": own / "wall.html", "/wall.css": own / "wall.css", "/wall.js": own / "wall.js"}
    parts["/report.css"] = resources.files("stagelog.report") / "page" / "report.css"
    routes = [
        Route(address, _file(part.read_bytes(), part.name)) for address, part in parts.items()
    ]
    routes.append(Route("/favicon.ico", lambda _: Response(status_code=204)))
    routes.append(Route("/events", events))
    routes.append(Route("/reports/{event}/{car}/{stage}/{file}", report))
    return Guard(Starlette(routes=routes, lifespan=lifespan), token, names)


def _file(content: bytes, name: str) -> Callable[[Request], Response]:
    kind = _TYPES[Path(name).suffix]
    return lambda _: Response(content, media_type=kind)


class Certificate(NamedTuple):
    """Files of PEM: the certificate with those that vouch for it, and its private key."""

    chain: Path
    key: Path

    def check(self) -> None:
        """Raise InputError unless a server can use them."""
        try:
            ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(*self, password="")
        except OSError as error:  # ssl's own are OSErrors
            names = f"{self.chain} and {self.key}"
            reason = error.strerror or error
            raise InputError(
                f"{names} are no certificate and its key: {reason}", "PEM is wanted, unencrypted"
            ) from None


def run(app: ASGIApp, listening: socket.socket, certificate: Certificate | None = None) -> None:
    """Serve on a socket until Ctrl-C; by HTTPS with a certificate."""
    config: dict[str, Any] = {"log_level": "warning", "access_log": False, "server_header": False}
    if certificate is not None:
        config |= {"ssl_certfile": certificate.chain, "ssl_keyfile": certificate.key}
    settings = uvicorn.Config(
        app, timeout_graceful_shutdown=1, limit_concurrency=200, lifespan="on", **config
    )
    uvicorn.Server(settings).run(sockets=[listening])
