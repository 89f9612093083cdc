"""La barre de progression de l’enseignant, au travail pour longtemps."""

from tqdm.auto import tqdm


def teacher_bar(description: str, total: int, enabled: bool) -> tqdm:
    """Une barre en français, effacée à la fin ; à employer dans un bloc `with`."""
    return tqdm(
        total=total,
        desc=description,
        disable=not enabled,
        leave=False,
        mininterval=0.5,
        bar_format="{desc} {percentage:3.0f} % |{bar}| {n_fmt}/{total_fmt}, "
        "{elapsed} passé, {remaining} restant",
    )
