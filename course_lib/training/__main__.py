"""Point d’entrée de `python -m course_lib.training`."""

import sys

from course_lib.training.cli import main

if __name__ == "__main__":
    sys.exit(main())
