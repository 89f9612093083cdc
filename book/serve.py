"""Sert le site construit sur 127.0.0.1 : `python book/serve.py [--port 8000]`."""

import argparse
import functools
import sys
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

SITE = Path(__file__).resolve().parent.parent / "_build" / "html"


class QuietHandler(SimpleHTTPRequestHandler):
    """Sert les fichiers sans journal, avec le bon type pour les modules."""

    extensions_map = {  # noqa: RUF012 (attribut de la bibliothèque standard)
        **SimpleHTTPRequestHandler.extensions_map,
        ".js": "text/javascript",
        ".svg": "image/svg+xml",
        ".woff2": "font/woff2",
    }

    def log_message(self, *arguments):
        """Tait le journal : le lecteur n'a besoin que de l'adresse."""


def make_server(port: int, folder: Path = SITE) -> ThreadingHTTPServer:
    """Prépare le serveur de `folder` sur 127.0.0.1 ; le port 0 en choisit un libre."""
    handler = functools.partial(QuietHandler, directory=str(folder))
    return ThreadingHTTPServer(("127.0.0.1", port), handler)


def main() -> int:
    """Sert jusqu'à Ctrl+C ; rend 1 si le site manque ou si le port est pris."""
    parser = argparse.ArgumentParser(description="Sert le site du cours sur cette machine.")
    parser.add_argument("--port", type=int, default=8000, help="port (8000 par défaut)")
    port = parser.parse_args().port
    if not (SITE / "index.html").exists():
        print("Le site n'est pas construit : lancez « make site ».", file=sys.stderr)
        return 1
    try:
        server = make_server(port)
    except OSError as error:
        print(
            f"Impossible d'ouvrir le port {port} ({error.strerror}).\n"
            f"Choisissez-en un autre : make livre PORT={port + 1}",
            file=sys.stderr,
        )
        return 1
    print(f"\n  Le cours vous attend : http://127.0.0.1:{server.server_port}/")
    print("  Ctrl+C pour fermer.\n", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        print("\nÀ bientôt.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
