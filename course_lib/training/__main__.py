"""`python -m course_lib.training` : un autre nom de `python -m course_lib train`."""

import sys

from course_lib.commands.train import main

if __name__ == "__main__":
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8")  # certaines consoles ignorent l’espace fine insécable
    sys.exit(main())
