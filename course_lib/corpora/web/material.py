"""Ce dont le micro-web est fait, hors des histoires : menus, bandeaux, langues, remplissage.

Tout est écrit pour le cours. Rien ne désigne un site, une marque ou une personne qui existe.
"""

from __future__ import annotations

import random
from collections.abc import Callable


def _list(text: str) -> tuple[str, ...]:
    return tuple(entry.strip() for entry in text.split("|"))


HOSTS = _list(
    "contes-du-soir.example|la-malle-aux-histoires.example|petits-lecteurs.example"
    "|le-coin-du-feu.example|veillees.example|encre-et-plume.example"
)
MENUS = (
    "Accueil › Contes › Jeux › Contact",
    "Menu : histoires, coloriages, comptines, forum",
    "Connexion | Inscription | Panier (0) | Aide",
    "Retour à la liste des contes",
    "Rechercher dans le site… Valider",
    "Aller au contenu principal",
)
BANNERS = (
    "Nous utilisons des cookies pour améliorer votre visite. Accepter ou refuser.",
    "Ce site dépose des traceurs. En continuant, vous acceptez nos conditions.",
    "Abonnez-vous à notre lettre et recevez un conte chaque semaine !",
    "Désactivez votre bloqueur de publicités pour soutenir ce site.",
    "Votre navigateur est ancien : certaines images peuvent manquer.",
    "Publicité : passez votre souris ici pour fermer l'annonce.",
)
FOOTERS = (
    "Partager sur le réseau de votre choix, imprimer ou envoyer à un ami.",
    "© {year} Tous droits réservés. Mentions légales. Plan du site.",
    "Lu {count} fois. Donnez votre avis : une, deux ou trois étoiles ?",
    "Articles au hasard : dix idées de goûter, nos plus belles comptines.",
    "Haut de page. Signaler une erreur. Politique de confidentialité.",
    "{count} commentaires. Connectez-vous pour écrire le vôtre.",
)

# Chaque langue : des phrases à trous, et pour chaque trou ses mots.
FOREIGN = {
    "en": (
        (
            "Once upon a time, a {trait} {animal} lived near the {place}.",
            "Every morning the {animal} walked to the {place} and waited for the rain to stop.",
            "The old {animal} had never seen such a {trait} {thing} before.",
            "Nobody knew where the {thing} was hidden, but everyone wanted to find it.",
            "They looked behind the {place}, under the stones and inside the {thing}.",
            "In the evening, the {trait} {animal} went back home with the {thing}.",
        ),
        {
            "trait": _list("brave|quiet|hungry|clever|sleepy|golden|tiny"),
            "animal": _list("fox|hedgehog|princess|fisherman|rabbit|baker|owl"),
            "place": _list("river|bridge|lighthouse|forest|mill|harbour|orchard"),
            "thing": _list("lantern|key|basket|mirror|drum|letter|necklace"),
        },
    ),
    "es": (
        (
            "Había una vez un {animal} muy {trait} que vivía cerca del {place}.",
            "Todas las mañanas el {animal} caminaba hasta el {place} y esperaba a su hermano.",
            "Nadie sabía dónde estaba el {thing}, pero todos lo querían encontrar.",
            "El viejo {animal} nunca había visto un {thing} tan hermoso.",
            "Buscaron detrás del {place}, debajo de las piedras y dentro de la casa.",
            "Por la noche, el {animal} volvió a su casa con el {thing} y cantó de alegría.",
        ),
        {
            "trait": _list("valiente|tranquilo|curioso|pequeño|travieso|dormilón"),
            "animal": _list("zorro|erizo|príncipe|pescador|conejo|panadero|búho"),
            "place": _list("río|puente|faro|bosque|molino|puerto|huerto"),
            "thing": _list("farol|espejo|tambor|collar|cuaderno|sombrero|cesto"),
        },
    ),
    "de": (
        (
            "Es war einmal ein {trait} {animal}, der wohnte nicht weit von dem {place}.",
            "Jeden Morgen ging der {animal} zu dem {place} und wartete auf seinen Bruder.",
            "Niemand wusste, wo der {thing} versteckt war, aber alle wollten ihn finden.",
            "Der alte {animal} hatte noch nie einen so schönen {thing} gesehen.",
            "Sie suchten hinter dem {place}, unter den Steinen und auch im Keller.",
            "Am Abend kehrte der {animal} mit dem {thing} glücklich nach Hause zurück.",
        ),
        {
            "trait": _list("mutiger|kleiner|hungriger|kluger|fröhlicher|müder"),
            "animal": _list("Fuchs|Igel|Prinz|Fischer|Hase|Bäcker|Uhu"),
            "place": _list("Fluss|Leuchtturm|Wald|Hafen|Garten|Brunnen|Hügel"),
            "thing": _list("Schlüssel|Spiegel|Korb|Brief|Ring|Hut|Kessel"),
        },
    ),
    "it": (
        (
            "C'era una volta un {animal} molto {trait} che viveva vicino al {place}.",
            "Ogni mattina il {animal} camminava fino al {place} e aspettava suo fratello.",
            "Nessuno sapeva dove fosse il {thing}, ma tutti lo volevano trovare.",
            "Il vecchio {animal} non aveva mai visto un {thing} così bello.",
            "Cercarono dietro il {place}, sotto le pietre e dentro la casa.",
            "La sera il {animal} tornò a casa con il {thing} e cantò per la gioia.",
        ),
        {
            "trait": _list("coraggioso|tranquillo|curioso|piccolo|allegro|pigro"),
            "animal": _list("riccio|principe|pescatore|coniglio|fornaio|gufo|lupo"),
            "place": _list("fiume|ponte|faro|bosco|mulino|porto|frutteto"),
            "thing": _list("tamburo|cestino|cappello|libro|gioiello|quaderno|flauto"),
        },
    ),
}

KEYWORDS = _list(
    "pas cher|promo|livraison|gratuit|meilleur prix|avis|code|remise|en ligne|acheter|offre"
    "|comparatif|soldes|devis|jeux|cadeau|montre|chaussure|crédit|voyage|hôtel|serrurier"
)
REPEATED = (
    "Cliquez ici pour gagner un cadeau !",
    "Votre numéro a été tiré au sort, répondez vite !",
    "Offre du jour : moins 80 % sur tout le magasin.",
    "Regardez la suite de cette vidéo incroyable…",
)
LOREM = _list(
    "lorem|ipsum|dolor|sit|amet|consectetur|adipiscing|elit|sed|do|eiusmod|tempor|incididunt|ut"
    "|labore|et|dolore|magna|aliqua|enim|ad|minim|veniam|quis|nostrud|exercitation|ullamco"
)


def write_foreign(rng: random.Random, language: str) -> str:
    """Écrit un petit texte dans une autre langue : cinq à huit phrases, les mots tirés au sort."""
    sentences, words = FOREIGN[language]
    chosen = [rng.choice(sentences) for _ in range(rng.randint(5, 8))]
    return " ".join(
        s.format(**{slot: rng.choice(options) for slot, options in words.items()}) for s in chosen
    )


def _keywords(rng: random.Random) -> str:
    return ", ".join(rng.choice(KEYWORDS) for _ in range(rng.randint(30, 60)))


def _repeated_lines(rng: random.Random) -> str:
    return "\n".join([rng.choice(REPEATED)] * rng.randint(6, 12))


def _lorem(rng: random.Random) -> str:
    words = [rng.choice(LOREM) for _ in range(rng.randint(40, 80))]
    return "Lorem ipsum " + " ".join(words) + "."


def _figures(rng: random.Random) -> str:
    rows = [f"réf. {rng.randint(1000, 9999)} ; {rng.randint(1, 99)} €" for _ in range(25)]
    return "\n".join(rows)


def _noise(rng: random.Random) -> str:
    letters = "bcdfghjklmnpqrstvwxzaeiou"
    words = ["".join(rng.choices(letters, k=rng.randint(9, 16))) for _ in range(40)]
    return " ".join(words)


SPAM: dict[str, Callable[[random.Random], str]] = {
    "keywords": _keywords,
    "repeated_lines": _repeated_lines,
    "lorem": _lorem,
    "figures": _figures,
    "noise": _noise,
}


def wrap_in_boilerplate(rng: random.Random, text: str) -> str:
    """Entoure un texte d’un menu, d’un bandeau et d’un pied de page, chacun sur sa ligne."""
    footer = rng.choice(FOOTERS).format(year=rng.randint(2004, 2024), count=rng.randint(2, 9999))
    return "\n".join([rng.choice(MENUS), rng.choice(BANNERS), text, footer])
