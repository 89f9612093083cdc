"""Demander au romancier ce qu’il n’a pas pu lire : est-il moins sûr de lui ?

    python -m course_experiments.romancier.invention

Des débuts de phrase, chacun avec quatre fins, dont une vraie. Les unes étaient connues d’un lecteur
de 1900 ; les autres parlent de ce qui n’existait pas encore. La confiance est la part que le modèle
donne à la fin qu’il préfère, parmi les quatre. Les mesures vont dans
`results/romancier.invention.json`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from course_experiments.experiment import Experiment
from course_experiments.romancier.trades import form_scores
from course_lib.pretrained.loading import Pretrained, load_pretrained

# (début, la vraie fin, trois fausses)
KNOWN = (
    ("La capitale de l'Angleterre est", "Londres", ("Vienne", "Madrid", "Berlin")),
    ("La capitale de l'Espagne est", "Madrid", ("Rome", "Londres", "Berlin")),
    ("La capitale de l'Autriche est", "Vienne", ("Londres", "Rome", "Madrid")),
    ("Le Vésuve domine la ville de", "Naples", ("Venise", "Paris", "Londres")),
    ("La tour de Londres se dresse au bord de la", "Tamise", ("Seine", "Loire", "Garonne")),
    ("Notre-Dame de Paris est au bord de la", "Seine", ("Tamise", "Loire", "Garonne")),
    ("Napoléon perdit la bataille de", "Waterloo", ("Valmy", "Bouvines", "Marengo")),
    ("Roméo aimait", "Juliette", ("Marguerite", "Ophélie", "Charlotte")),
    ("Faust aimait", "Marguerite", ("Juliette", "Ophélie", "Virginie")),
    ("Paul aimait sa chère", "Virginie", ("Juliette", "Ophélie", "Marguerite")),
    ("Après lundi vient", "mardi", ("jeudi", "samedi", "dimanche")),
    ("Le premier mois de l'année est", "janvier", ("juin", "octobre", "mars")),
    ("Une semaine compte", "sept jours", ("douze jours", "vingt jours", "trois jours")),
    ("Une heure compte", "soixante minutes", ("vingt minutes", "cent minutes", "dix minutes")),
    ("Le fils de mon frère est mon", "neveu", ("oncle", "cousin", "gendre")),
    ("La sœur de mon père est ma", "tante", ("nièce", "cousine", "belle-mère")),
    ("Le Christ mourut sur la", "croix", ("table", "roue", "mer")),
    ("Les abeilles font du", "miel", ("pain", "vin", "lait")),
    ("Le contraire de la guerre est la", "paix", ("mort", "faim", "gloire")),
    ("Le soleil se lève à", "l'est", ("l'ouest", "midi", "minuit")),
)
UNREAD = (
    ("Le siège des Nations unies est à", "New-York", ("Naples", "Vienne", "Lyon")),
    ("En juillet 1969, un homme marcha sur la", "lune", ("mer", "terre", "route")),
    ("La bombe atomique tomba sur", "Hiroshima", ("Londres", "Moscou", "Paris")),
    ("Le premier homme dans l'espace fut un", "Russe", ("Anglais", "Français", "Italien")),
    ("Le mur qui tomba en 1989 était celui de", "Berlin", ("Rome", "Vienne", "Londres")),
    ("La monnaie de la France en 2010 était", "l'euro", ("le franc", "l'écu", "le louis")),
    ("Un ordinateur sert à", "calculer", ("labourer", "chasser", "coudre")),
    ("On regarde un film à la", "télévision", ("cuisine", "fontaine", "messe")),
    ("On écrit un message sur son", "téléphone", ("cheval", "chapeau", "lit")),
    ("Le vaccin contre la tuberculose fut inventé par", "Calmette", ("Molière", "Ney", "Hugo")),
    ("Un avion de ligne traverse l'Atlantique en huit", "heures", ("jours", "mois", "ans")),
    ("Le président de la République en 1962 était", "De Gaulle", ("Thiers", "Danton", "Guizot")),
    ("La pénicilline fut découverte par", "Fleming", ("Voltaire", "Molière", "Danton")),
    ("En 1944, les Alliés débarquèrent en", "Normandie", ("Bourgogne", "Savoie", "Russie")),
    ("Les femmes françaises votèrent pour la première fois en", "1945", ("1848", "1789", "1830")),
    ("La ligne de métro va sous", "terre", ("mer", "clef", "bois")),
    ("Internet relie les", "ordinateurs", ("chevaux", "paysans", "navires")),
    ("Einstein était un", "physicien", ("général", "peintre", "cocher")),
    ("Un satellite tourne autour de la", "Terre", ("ville", "table", "maison")),
    ("La molécule qui porte les gènes est", "l'ADN", ("l'or", "l'eau", "l'air")),
)
QUESTIONS = {"connu en 1900": KNOWN, "jamais lu": UNREAD}


@dataclass(frozen=True)
class Protocol:
    """La température à laquelle on lit les probabilités."""

    temperature: float = 1.0


def shares(loaded: Pretrained, start: str, ends: Sequence[str], temperature: float) -> list[float]:
    """La part que le modèle donne à chaque fin, parmi elles seules ; par jeton, en moyenne.

    La moyenne par jeton (géométrique) empêche une fin courte de gagner parce qu’elle est courte.
    """
    model, tokenizer = loaded.model, loaded.tokenizer
    scores = form_scores(model, tokenizer, start, ends, temperature)
    lengths = torch.tensor([len(tokenizer.encode(" " + end)) for end in ends])
    return (scores / lengths).softmax(-1).tolist()


def measure(name: str, seed: int, protocol: Protocol) -> dict:
    """Pour chaque question, la part de la vraie fin et celle de la préférée ; et les moyennes."""
    loaded = load_pretrained("romancier")
    answers = []
    for start, truth, wrong in QUESTIONS[name]:
        parts = shares(loaded, start, (truth, *wrong), protocol.temperature)
        answers.append({"start": start, "truth": parts[0], "confidence": max(parts)})
    right = [answer["truth"] == answer["confidence"] for answer in answers]
    return {
        "questions": len(answers),
        "right": sum(right),
        "confidence": sum(answer["confidence"] for answer in answers) / len(answers),
        "answers": answers,
    }


EXPERIMENT = Experiment(
    name="romancier.invention",
    description="Mesure la confiance du romancier sur ce qu’il a pu lire ou non.",
    settings=Protocol(),
    names=tuple(QUESTIONS),
    seeds=(0,),
    measure=measure,
    n_threads=2,
)

if __name__ == "__main__":
    raise SystemExit(EXPERIMENT.main())
