"""Sert le site construit sur 127.0.0.1 : `python book/serve.py [--port 8000]`."""

import argparse
import errno
import functools
import socket
import sys
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from course_lib.arguments import FrenchArgumentParser

SITE = Path(__file__).resolve().parent.parent / "_build" / "html"
DEFAULT_PORT, LAST_PORT = 8000, 65535
REASONS = {
    errno.EADDRINUSE: "un autre programme l'occupe",
    errno.EACCES: "le système réserve ceux d'en dessous de 1024",
}


class QuietHandler(SimpleHTTPRequestHandler):
    """Sert les fichiers sans journal, avec le bon type pour les modules."""

    extensions_map = {  # noqa: RUF012 (attribut de la bibliothèque standard)
        **SimpleHTTPRequestHandler.extensions_map,
        ".js": "text/javascript",
        ".svg": "image/svg+xml",
        ".woff2": "font/woff2",
    }

    def send_error(self, code, message=None, explain=None):
        """Une adresse fautive mène à la page 404 du site, comme chez un hébergeur."""
        page = Path(self.directory, "404.html")
        if code != HTTPStatus.NOT_FOUND or not page.is_file():
            super().send_error(code, message, explain)
            return
        content = page.read_bytes()
        self.send_response(code)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *arguments):
        """Tait le journal : le lecteur n’a besoin que de l’adresse."""


def make_server(port: int, folder: Path = SITE) -> ThreadingHTTPServer:
    """Prépare le serveur de `folder` sur 127.0.0.1 ; le port 0 en choisit un libre."""
    handler = functools.partial(QuietHandler, directory=str(folder))
    return ThreadingHTTPServer(("127.0.0.1", port), handler)


def read_port(text: str) -> int:
    """Un numéro de port, de 0 (au choix du système) à 65535 ; une erreur en français sinon."""
    if not text.strip().isdecimal() or int(text) > LAST_PORT:
        raise argparse.ArgumentTypeError(
            f"« {text} » n’est pas un port : il faut un entier de 1024 à {LAST_PORT}, "
            f"par exemple {DEFAULT_PORT}"
        )
    return int(text)


def free_port() -> int:
    """Un port libre : le premier après 8000, ou celui que choisit le système."""
    for port in (*range(DEFAULT_PORT, DEFAULT_PORT + 50), 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return probe.getsockname()[1]
    raise OSError(errno.EADDRINUSE, "aucun port libre")


def main(arguments: list[str] | None = None, site: Path = SITE) -> int:
    """Sert jusqu’à Ctrl+C ; rend 1 si le site manque ou si le port est pris."""
    parser = FrenchArgumentParser(
        prog="python book/serve.py", description="Sert le site du cours sur cette machine."
    )
    parser.add_argument(
        "--port", type=read_port, default=DEFAULT_PORT, help=f"port ({DEFAULT_PORT} par défaut)"
    )
    port = parser.parse_args(arguments).port
    if not (site / "index.html").exists():
        print("Le site n'est pas construit : lancez « python cours.py site ».", file=sys.stderr)
        return 1
    try:
        server = make_server(port, site)
    except OSError as error:
        reason = REASONS.get(error.errno, f"erreur {error.errno} du système")
        other = free_port()
        print(
            f"Impossible d'ouvrir le port {port} : {reason}.\n"
            f"Celui-ci est libre : python cours.py livre --port {other}",
            file=sys.stderr,
        )
        return 1
    print(f"\n  Le cours vous attend : http://127.0.0.1:{server.server_port}/")
    print("  Ctrl+C pour fermer.\n", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        print("\nÀ bientôt.")
    finally:
        server.server_close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
