"""Écrit les cahiers du lecteur : `python book/notebooks.py [--folder cahiers]`."""

import sys
from pathlib import Path

BOOK = Path(__file__).resolve().parent
sys.path.insert(0, str(BOOK / "ext"))

from reader_notebook.delivery import write_all  # noqa: E402
from reader_notebook.links import Links  # noqa: E402

from course_lib.arguments import FrenchArgumentParser  # noqa: E402


def main(arguments: list[str] | None = None) -> int:
    """Rend 0, ou 1 si un chapitre ne se récrit pas."""
    parser = FrenchArgumentParser(
        prog="python book/notebooks.py", description="Écrit les cahiers du lecteur."
    )
    parser.add_argument(
        "--folder", type=Path, default=BOOK.parent / "cahiers", help="dossier (cahiers par défaut)"
    )
    folder = parser.parse_args(arguments).folder
    try:
        said = write_all(folder, Links(""))
    except (ValueError, FileNotFoundError) as error:
        print(error, file=sys.stderr)
        return 1
    print("\n".join([*said, f"Les cahiers sont dans {folder}."]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
