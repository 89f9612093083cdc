"""Bibliographie à la française : « et », « Dans », guillemets français, renvois (auteur, année)."""

from dataclasses import dataclass, field

import sphinxcontrib.bibtex.plugin
from pybtex.plugin import register_plugin
from pybtex.style.formatting import toplevel
from pybtex.style.formatting.unsrt import Style as Unsrt
from pybtex.style.template import field as entry_field
from pybtex.style.template import join, names, optional, sentence, tag, words
from sphinxcontrib.bibtex.style.referencing import BracketStyle, PersonStyle
from sphinxcontrib.bibtex.style.referencing.author_year import AuthorYearReferenceStyle


class FrenchStyle(Unsrt):
    """Notices en français, triées par auteur puis par année."""

    default_sorting_style = "author_year_title"
    default_label_style = "alpha"

    def format_names(self, role, as_sentence=True):
        people = names(role, sep=", ", sep2=" et ", last_sep=" et ")
        return sentence[people] if as_sentence else people

    def format_title(self, e, which_field, as_sentence=True):
        title = join["« ", entry_field(which_field), " »"]
        return sentence[title] if as_sentence else title

    def format_btitle(self, e, which_field, as_sentence=True):
        title = tag("em")[entry_field(which_field)]
        return sentence[title] if as_sentence else title

    def get_inproceedings_template(self, e):
        return toplevel[
            sentence[self.format_names("author", as_sentence=False)],
            self.format_title(e, "title"),
            join[
                words["Dans"],
                " ",
                self.format_btitle(e, "booktitle", as_sentence=False),
                optional[", p. ", entry_field("pages")],
                ", ",
                entry_field("year"),
                ".",
            ],
            self.format_web_refs(e),
        ]

    def get_article_template(self, e):
        return toplevel[
            sentence[self.format_names("author", as_sentence=False)],
            self.format_title(e, "title"),
            join[
                tag("em")[entry_field("journal")],
                optional[", vol. ", entry_field("volume")],
                optional[", p. ", entry_field("pages")],
                ", ",
                entry_field("year"),
                ".",
            ],
            self.format_web_refs(e),
        ]

    def get_misc_template(self, e):
        return toplevel[
            sentence[self.format_names("author", as_sentence=False)],
            self.format_title(e, "title"),
            sentence[optional[entry_field("howpublished")], entry_field("year")],
            self.format_web_refs(e),
        ]


def french_brackets() -> BracketStyle:
    return BracketStyle(left="(", right=")", sep=" ; ", sep2=" ; ", last_sep=" ; ")


def french_person() -> PersonStyle:
    return PersonStyle(
        style="last", abbreviate=False, sep=", ", sep2=" et ", last_sep=" et ", other=" et al."
    )


@dataclass
class FrenchAuthorYear(AuthorYearReferenceStyle):
    """Renvois dans le texte : « Vaswani et al. (2017) »."""

    bracket_parenthetical: BracketStyle = field(default_factory=french_brackets)
    bracket_textual: BracketStyle = field(default_factory=french_brackets)
    bracket_author: BracketStyle = field(default_factory=french_brackets)
    bracket_label: BracketStyle = field(default_factory=french_brackets)
    bracket_year: BracketStyle = field(default_factory=french_brackets)
    person: PersonStyle = field(default_factory=french_person)


def setup(app):
    """Inscrit les deux styles sous les noms que `_config.yml` emploie."""
    register_plugin("pybtex.style.formatting", "french", FrenchStyle)
    sphinxcontrib.bibtex.plugin.register_plugin(
        "sphinxcontrib.bibtex.style.referencing", "author_year_french", FrenchAuthorYear
    )
