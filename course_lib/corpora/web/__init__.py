"""Un micro-web sale : des pages, et la vérité de chacune, qui permet de mesurer un nettoyage."""

from course_lib.corpora.web.pages import KINDS, Page, Truth, generate_web, leaked_stories

__all__ = ["KINDS", "Page", "Truth", "generate_web", "leaked_stories"]
