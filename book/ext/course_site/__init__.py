"""Extension Sphinx du cours : français soigné, aucune ressource externe, composants interactifs."""

from course_site import (
    api,
    bibliography,
    chrome,
    icons,
    models,
    notebooks,
    search,
    typography,
    widgets,
)


def setup(app):
    """Branche chaque partie de l’extension."""
    parts = (typography, bibliography, search, chrome, icons, models, widgets, api, notebooks)
    for part in parts:
        part.setup(app)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
