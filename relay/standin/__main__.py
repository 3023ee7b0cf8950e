"""`python -m relay.standin`: the stand-in as a process of its own.

Prints one line, `listening on ws://127.0.0.1:PORT`, when it is ready. Ends with 0 on SIGTERM or SIGINT, and
with --with-parent when its standard input closes; with 2 when it was told something it cannot do.

With --local it has ears, wits and a voice, and prints one line more when it knows: `local voice: ready`, or
`local voice: ` and a sentence about what is missing; then, as without the flag, it says your own words back to you.
"""

import argparse
import asyncio
import logging
import os
import signal
import ssl
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from relay.standin.script import Script, ScriptError, load
from relay.standin.server import serve, tls_context
from relay.standin.workshop import Workshop


class _Parser(argparse.ArgumentParser):
    """Says in one line what is wrong."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"relay.standin: {message}.\n")


def main(argv: list[str] | None = None) -> int:
    parser = _Parser(prog="python -m relay.standin", description=__doc__, allow_abbrev=False)
    parser.add_argument("--port", type=int, default=0, help="0 for any free port (the default)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on; loopback by default")
    parser.add_argument("--tls-cert", type=Path, help="certificate, PEM; with --tls-key")
    parser.add_argument("--tls-key", type=Path, help="its private key, PEM")
    parser.add_argument(
        "--script", type=Path, help="what to say and what to do wrong, JSON; see relay/standin/script.py"
    )
    parser.add_argument("--local", action="store_true", help="understand and speak, by the models of this machine")
    parser.add_argument("--local-weights", type=Path, metavar="DIR", help="the same with the models in this folder")
    parser.add_argument("--with-parent", action="store_true", help="end when standard input closes")
    parser.add_argument("--verbose", action="store_true", help="log connections to standard error")
    args = parser.parse_args(argv)
    logging.basicConfig(
        level=logging.INFO if args.verbose else logging.WARNING,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    logging.getLogger("relay.standin.server.socket").setLevel(logging.ERROR)
    try:
        script = load(args.script) if args.script else Script()
        if bool(args.tls_cert) != bool(args.tls_key):
            raise ScriptError("--tls-cert and --tls-key go together.")
        tls = _tls(args.tls_cert, args.tls_key) if args.tls_cert else None
        shop = Workshop(args.local_weights) if args.local or args.local_weights else None
        asyncio.run(run(script, args.host, args.port, tls, args.with_parent, shop))
    except (ScriptError, OverflowError) as error:
        print(f"relay.standin: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        why = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
        print(f"relay.standin: it cannot listen on {args.host}, port {args.port}: {why}.", file=sys.stderr)
        return 2
    return 0


def _tls(certificate: Path, key: Path) -> ssl.SSLContext:
    try:
        return tls_context(certificate, key)
    except OSError:  # ssl's own error is one too
        raise ScriptError("--tls-cert and --tls-key must be a certificate and its key, both PEM.") from None


async def run(
    script: Script, host: str, port: int, tls: ssl.SSLContext | None, with_parent: bool, shop: Workshop | None = None
) -> None:
    """Serves until a signal, or the parent's end."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    if with_parent:
        threading.Thread(target=_watch, args=(loop, ended), daemon=True).start()
    try:
        async with serve(script, host=host, port=port, tls=tls, record=False, shop=shop) as standin:
            print(f"listening on {standin.url}", flush=True)
            if shop is not None:
                shop.start()
                ready = await shop.ready()
                print(f"local voice: {'ready' if ready else shop.missing}", flush=True)
            await ended.wait()
    finally:
        if shop is not None:
            await shop.close()


def _watch(loop: asyncio.AbstractEventLoop, ended: asyncio.Event) -> None:
    """Waits for the end of standard input, past Python's buffer so that nothing is locked at exit."""
    with suppress(OSError):
        while os.read(0, 4096):
            pass
    with suppress(RuntimeError):  # the loop may be over already
        loop.call_soon_threadsafe(ended.set)


if __name__ == "__main__":
    sys.exit(main())
