"""stagelog serve: the wall page of the service park, live in a browser."""

from __future__ import annotations

import ipaddress
import secrets
import socket
from pathlib import Path
from urllib.parse import quote

import click

from stagelog.cli._common import json_option, print_json
from stagelog.cli._fleet import archive_option
from stagelog.errors import InputError, UsageError

SHORTEST_TOKEN = 16


@click.command()
@archive_option
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Address to listen on; 0.0.0.0 is all."
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8600,
    show_default=True,
    help="Port; 0: one that is free.",
)
@click.option(
    "--token",
    envvar="STAGELOG_TOKEN",
    help="What a browser must show beyond this computer.  [default: a new one]",
)
@click.option(
    "--certificate",
    type=click.Path(readable=False),
    help="Serve by HTTPS: a PEM file with this computer's certificate.",
)
@click.option(
    "--certificate-key", type=click.Path(readable=False), help="PEM file with its private key."
)
@json_option
def command(
    archive: str,
    host: str,
    port: int,
    token: str | None,
    certificate: str | None,
    certificate_key: str | None,
    as_json: bool,
) -> None:
    """Serve a page for the wall: the cars, their loggers, what is being downloaded, what is red,
    the last reports, the life of the parts. It is live, reads only, and needs no internet.

    It shows what the fleet file and the archive hold, and what 'sync', 'download', 'check',
    'provision', 'summary' and 'flash --all' are doing on any computer that writes into this
    archive. It is for this computer alone, unless --host says otherwise; then the address that is
    printed holds a token. With --certificate and --certificate-key what goes over the network is
    encrypted. Ctrl-C ends it.
    """
    from stagelog.extras import need
    from stagelog.park.place import find_fleet

    for module in ("starlette", "uvicorn"):
        need(module, "serve")
    from stagelog.serve.app import LOOPBACK_NAMES, Certificate, make_app, run
    from stagelog.serve.wall import Wall

    if not Path(archive).is_dir():
        raise InputError(f"{archive} is no folder", "name the archive")
    if token is not None and len(token) < SHORTEST_TOKEN:
        raise UsageError(
            f"a token of {len(token)} characters",
            f"take {SHORTEST_TOKEN} or more, or leave it out",
        )
    if (certificate is None) != (certificate_key is None):
        raise UsageError("--certificate and --certificate-key belong together", "give both")
    files = None
    if certificate is not None and certificate_key is not None:
        files = Certificate(Path(certificate), Path(certificate_key))
        files.check()
    is_local = _is_loopback(host)
    token = token or (None if is_local else secrets.token_urlsafe(24))
    listening = _listen(host, port)
    with listening:
        scheme = "http" if files is None else "https"
        addresses = _addresses(host, listening.getsockname()[1], scheme)
        urls = [f"{each}?token={quote(token)}" if token else each for each in addresses]
        if as_json:
            print_json("stagelog.serve.address/1", {"urls": urls, "archive": archive})
        else:
            click.echo("\n".join(urls))
            if not is_local:
                text = "everyone who has this address reads the archive"
                text += "; it is not encrypted" if files is None else ""
                click.echo(text, err=True)
        names = (*LOOPBACK_NAMES, host) if is_local else None
        run(make_app(Wall(archive, find_fleet()), token, names), listening, files)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        reason = f"cannot listen on {host} port {port}: {error.strerror or error}"
        raise UsageError(reason, "choose another --host or --port") from None


def _addresses(host: str, port: int, scheme: str = "http") -> list[str]:
    """Return what a browser opens; where all addresses are listened on, one for each of them."""
    names = [host]
    if host in ("0.0.0.0", "::"):
        import psutil

        every = [one for some in psutil.net_if_addrs().values() for one in some]
        own = [one.address for one in every if one.family == socket.AF_INET]
        names = [name for name in own if not _is_loopback(name)] or [socket.gethostname()]
    shown = (f"[{name}]" if ":" in name else name for name in names)
    return [f"{scheme}://{name}:{port}/" for name in shown]
