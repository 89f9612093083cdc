"""Les suppléments : ce qu’une pièce demande de plus que le cœur, et la commande qui l’installe."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def needed_by(extra: str) -> Iterator[None]:
    """Autour des imports d’un supplément : s’il manque, ModuleNotFoundError dit quoi installer."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"Il manque « {error.name} », que demande cette partie de course_lib. "
            f'Installez-le : pip install "course-lib[{extra}]"',
            name=error.name,
        ) from error
