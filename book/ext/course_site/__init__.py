"""Extension Sphinx du cours : français soigné, aucune ressource externe, composants interactifs."""

from course_site import (
    api,
    bibliography,
    chrome,
    formulas,
    icons,
    models,
    notebooks,
    pages,
    roles,
    search,
    typography,
    views,
    widgets,
)

PARTS = (
    typography,
    bibliography,
    search,
    pages,
    chrome,
    formulas,
    icons,
    models,
    widgets,
    api,
    roles,
    views,
    notebooks,
)


def setup(app):
    """Branche chaque partie de l’extension."""
    for part in PARTS:
        part.setup(app)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
