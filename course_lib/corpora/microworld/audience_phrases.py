"""Les phrases à trous de chaque public, événement par événement.

À chaque rang, une tournure est tirée parmi celles proposées. Aucune ne s’écrit comme une autre :
la dérivation d’un texte est unique, et sa probabilité est celle de ses choix.
"""

AUDIENCES = ("enfant", "adulte", "expert")
EVENTS = ("moved", "stolen", "kept")

_CHILD_START = (
    ("Voici {hero}.", "Regarde, c'est {hero} !"),
    ("C'est {a_kind}.", "{hero} est {a_kind}."),
    ("{Pronoun} a {a_thing}.", "{Pronoun} trouve {a_thing}."),
    ("{hero} met {the_thing} dans {first}.", "{Pronoun} range {the_thing} dans {first}."),
    ("{other} arrive.", "{other} passe par là."),
)
_CHILD_SEARCH = (
    ("Le soir, {hero} cherche {the_thing}.", "{hero} veut {the_thing}."),
    ("Où est {the_thing} ?", "Mais où est {the_thing} ?"),
)
_CHILD_FOUND = (("{The_thing} est dans {place} !", "Dans {place} !"),)
_CHILD_END = (
    ("{hero} est {mood}.", "{Pronoun} est {mood}."),
    ("{Pronoun} rêve {of_wish}.", "Son rêve est {of_wish}."),
)
_CHILD = {
    "moved": (
        *_CHILD_START,
        ("{Other_pronoun} prend {the_thing}.", "Oh, {other} prend {the_thing} !"),
        ("Hop, dans {place} !", "{Other_pronoun} cache {the_thing} dans {place}."),
        *_CHILD_SEARCH,
        *_CHILD_FOUND,
        *_CHILD_END,
    ),
    "stolen": (
        *_CHILD_START,
        ("{Other_pronoun} vole {the_thing}.", "Oh, {other} vole {the_thing} !"),
        ("{Other_pronoun} part vite.", "Hop, {other} se sauve !"),
        *_CHILD_SEARCH,
        ("{The_thing} n'est plus là !", "Plus rien !"),
        *_CHILD_END,
    ),
    "kept": (
        *_CHILD_START,
        ("{Other_pronoun} ne touche pas {to_the_thing}.", "{other} ne prend rien."),
        ("{Other_pronoun} joue dehors.", "{Other_pronoun} va jouer."),
        *_CHILD_SEARCH,
        *_CHILD_FOUND,
        *_CHILD_END,
    ),
}

_ADULT_START = (
    (
        "Il était une fois {a_kind} qui s'appelait {hero} et qui rêvait {of_wish}.",
        "Il y avait autrefois {a_kind}, du nom {of_hero}, qui avait envie {of_wish}.",
    ),
    (
        "Un matin, {pronoun} trouva {a_thing} près du chemin et {put_it} dans {first}.",
        "Un jour, comme {pronoun} avait trouvé {a_thing}, {pronoun} {put_it} dans {first}.",
    ),
)
_ADULT_END = (
    (
        "{hero} était très {mood}, et rentra à la maison en y pensant.",
        "Ce soir-là, {pronoun} se sentait très {mood}.",
    ),
)
_ADULT = {
    "moved": (
        *_ADULT_START,
        (
            "Pendant ce temps, {other}, qui passait par là, prit {the_thing} et {hid_it} "
            "dans {place}.",
            "Un peu plus tard, {other} emprunta {the_thing}, puis {hid_it} dans {place}.",
        ),
        (
            "Le soir, quand {hero} chercha {the_thing}, {pronoun} apprit {that_other} l'avait "
            "{hidden} dans {place}.",
            "Avant de dormir, {hero} chercha {the_thing}, qui était dans {place}, où {other} "
            "l'avait {hidden}.",
        ),
        *_ADULT_END,
    ),
    "stolen": (
        *_ADULT_START,
        (
            "Pendant ce temps, {other}, qui passait par là, vola {the_thing} et s'enfuit sans "
            "bruit.",
            "Un peu plus tard, {other} emporta {the_thing}, puis disparut au loin.",
        ),
        (
            "Le soir, quand {hero} chercha {the_thing}, {pronoun} apprit {that_other} l'avait "
            "{stolen}.",
            "Avant de dormir, {hero} chercha {the_thing}, qui avait disparu, car {other} l'avait "
            "{stolen}.",
        ),
        *_ADULT_END,
    ),
    "kept": (
        *_ADULT_START,
        (
            "Pendant ce temps, {other}, qui passait par là, se promena sans rien prendre.",
            "Un peu plus tard, {other} vint jouer dehors, puis repartit sans bruit.",
        ),
        (
            "Le soir, quand {hero} chercha {the_thing}, {pronoun} vit que personne n'y avait "
            "touché, dans {place}.",
            "Avant de dormir, {hero} chercha {the_thing}, qui était dans {place}, où {pronoun} "
            "l'avait {put}.",
        ),
        *_ADULT_END,
    ),
}

_EXPERT_START = (
    (
        "Le sujet, {a_kind} {named} {hero}, dont l'aspiration déclarée consistait à {wish}, "
        "procéda au dépôt {of_a_thing} à l'intérieur du contenant suivant : {first}.",
        "L'individu étudié, {a_kind} {named} {hero}, manifestait une aspiration persistante à "
        "{wish} et effectua l'entreposage {of_a_thing} dans le contenant suivant : {first}.",
    ),
)
_EXPERT_MOOD = (
    "le diagnostic émotionnel concernant {hero} est {mood}.",
    "l'évaluation de l'état affectif de l'individu {hero} est {mood}.",
)
_EXPERT_PLACE = (
    "L'inspection réalisée ultérieurement permit la localisation de l'objet dans {place} ; ",
    "La vérification consécutive établit la présence de l'objet dans {place} ; ",
)
_EXPERT_LOSS = (
    "L'inspection réalisée ultérieurement établit l'indisponibilité définitive de l'objet ; ",
    "La vérification consécutive permit de constater la disparition de l'objet ; ",
)


def _endings(findings: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(finding + mood for finding in findings for mood in _EXPERT_MOOD)


_EXPERT = {
    "moved": (
        *_EXPERT_START,
        (
            "Postérieurement, {the_person} {other} opéra, sans autorisation préalable, le "
            "déplacement de l'objet vers une destination différente : {place}.",
            "Une intervention non autorisée, imputable à l'individu {other}, occasionna le "
            "transfert de l'objet vers une localisation différente : {place}.",
        ),
        _endings(_EXPERT_PLACE),
    ),
    "stolen": (
        *_EXPERT_START,
        (
            "Postérieurement, {the_person} {other} opéra, sans autorisation préalable, la "
            "soustraction frauduleuse de l'objet considéré.",
            "Une intervention délictueuse, imputable à l'individu {other}, occasionna la "
            "soustraction intégrale de l'objet considéré.",
        ),
        _endings(_EXPERT_LOSS),
    ),
    "kept": (
        *_EXPERT_START,
        (
            "Postérieurement, {the_person} {other} traversa le périmètre d'observation sans "
            "procéder à la moindre manipulation de l'objet considéré.",
            "La présence temporaire de l'individu {other} n'occasionna aucune modification "
            "identifiable de la situation de l'objet considéré.",
        ),
        _endings(_EXPERT_PLACE),
    ),
}

PHRASES = dict(zip(AUDIENCES, (_CHILD, _ADULT, _EXPERT), strict=True))
