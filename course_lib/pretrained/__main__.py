"""Télécharge les deux modèles publiés du cours, ou les vérifie.

python -m course_lib.pretrained [--check]
"""

import sys

from course_lib.arguments import FrenchArgumentParser
from course_lib.pretrained.store import MODELS, fetch, is_ready


def main(arguments: list[str] | None = None) -> int:
    parser = FrenchArgumentParser(
        prog="python -m course_lib.pretrained",
        description="Télécharge les modèles publiés que le cours emploie (180 Mo, une fois).",
    )
    parser.add_argument("--check", action="store_true", help="vérifie sans télécharger")
    options = parser.parse_args(arguments)
    for model in MODELS:
        ready = is_ready(model)
        if not ready and not options.check:
            print(f"{model.name} : téléchargement…", flush=True)
            try:
                fetch(model)
            except (OSError, ValueError) as error:
                print(error, file=sys.stderr)
                return 1
            ready = True
        state = "prêt" if ready else "absent ou abîmé"
        print(f"{model.name} : {state} ({model.licence} ; {model.source})")
        if not ready:
            return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
