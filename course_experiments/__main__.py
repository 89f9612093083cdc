"""`python -m course_experiments` : la liste des expériences que l’on peut refaire."""

import ast
from pathlib import Path

FOLDER = Path(__file__).parent


def commands() -> dict[str, str]:
    """{commande: ce qu’elle mesure}, d’après la première phrase de chaque module."""
    found = {}
    for path in [*FOLDER.glob("[a-z]*.py"), *FOLDER.glob("*/*.py")]:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if tree.body and "main(" in ast.unparse(tree.body[-1]):  # la dernière ligne la lance
            names = path.relative_to(FOLDER).with_suffix("").parts
            name = ".".join(part for part in names if part != "__main__")
            found[name] = ast.get_docstring(tree).splitlines()[0]
    return dict(sorted(found.items()))


if __name__ == "__main__":
    for name, what in commands().items():
        print(f"python -m course_experiments.{name}\n    {what}")
