"""Point d’entrée de `python -m course_lib.training`."""

import sys

from course_lib.training.cli import main

if __name__ == "__main__":
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8")  # certaines consoles ignorent l’espace fine insécable
    sys.exit(main())
