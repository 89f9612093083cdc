"""La lisibilité : des syllabes comptées à la main, des indices calculés à la main."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from course_lib.evaluation.readability import (
    count_syllables,
    readability,
    share_outside,
    vocabulary,
    words,
)

# Comptées à l’oreille, e muet final tu, semi-voyelles d’une seule émission (lion, jouer).
BY_HAND = {
    1: "le chat lune pont porte rue vie roue pluie fruit ciel pied bien lion mot eau œuf feu "
    "cœur jour nuit trois huit yeux août fille feuille seuil fée joue jouer jouet muette "
    "louent chantent parlent jouent vient dent cent vent lent brille mer sœur neige quand "
    "nuage clé sac bruit poil hier l'eau d'or genre tigre arbre ogre prince c'est j'ai qu'il "
    "n'est paon femme voient croient aiment dorment rien truite",
    2: "maison château jardin oiseau lapin souris forêt auberge grenouille papier soleil travail "
    "bataille bouteille billet cahier crier client plier prière brouette cruel nation avion "
    "violon camion diamant piano voyage payer moyen pays noyau essai aiguille guitare "
    "guerrier pigeon mangea mangeait cueillit juillet cuillère enfants absent argent content "
    "souvent serpent parent accent talent théâtre théière chaos naïf maïs Léa Zoé Noël Théo "
    "Inès chaussure statue musée bougie journée chantaient finissent grand-père l'auberge "
    "d'Anna patience géante histoire radio précieux triangle",
    3: "seulement papillon oreiller écureuil éléphant animal ouvrier sanglier oublier monument "
    "document différent président excellent récipient géographe numéro tambourin chocolat "
    "araignée hérisson horloger boulanger promener organise délicieux étudier regardaient "
    "quatrième appartient aujourd'hui électrique février",
    4: "individu bibliothèque observation médicament géographie télévision émotionnel "
    "appartement évaluation",
    5: "université autorisation",
    6: "géométriquement définitivement",
}


@pytest.mark.parametrize("n", BY_HAND)
def test_syllables_counted_by_hand(n):
    wrong = {word: count_syllables(word) for word in BY_HAND[n].split()}
    assert {word: found for word, found in wrong.items() if found != n} == {}


def test_the_list_is_long_enough():
    listed = " ".join(BY_HAND.values()).split()
    assert len(listed) == len(set(listed)) >= 150


def test_indices_computed_by_hand():
    # 2 phrases ; 7 mots ; le chat dort (3) il mange une souris (1+1+1+2) : 8 syllabes.
    counts = readability("Le chat dort. Il mange une souris !")
    assert (counts.sentences, counts.words, counts.syllables, counts.long_words) == (2, 7, 8, 0)
    assert counts.kandel_moles == pytest.approx(207 - 1.015 * 3.5 - 0.736 * 100 * 8 / 7)
    assert counts.lix == pytest.approx(3.5)
    long = readability("Observation définitive")  # 1 phrase, 2 mots longs, 4 + 4 syllabes
    assert long.kandel_moles == pytest.approx(207 - 2.03 - 73.6 * 4)
    assert long.lix == pytest.approx(2 + 100)


def test_long_words_begin_at_seven_letters():
    assert readability("maison").long_words == 0
    assert readability("l'étoile").long_words == 1  # l + étoile : 7 lettres
    assert readability("couteau").long_words == 1


def test_words_keep_their_elision_and_hyphen():
    assert words("L'auberge, c'est-à-dire 12 lits… «Oui»") == [
        "l'auberge", "c'est-à-dire", "lits", "oui",
    ]  # fmt: skip


def test_share_outside_ignores_elision_and_case():
    lexicon = vocabulary(["L'ogre dort.", "Une pomme"])
    assert lexicon == {"ogre", "dort", "une", "pomme"}
    assert share_outside("D'ogre une Pomme verte", lexicon) == pytest.approx(1 / 4)


@pytest.mark.parametrize("text", ["", "  ", "12 + 3 = 15 !", "…"])
def test_a_text_without_words_is_refused(text):
    with pytest.raises(ValueError, match="aucun mot"):
        readability(text)
    with pytest.raises(ValueError, match="aucun mot"):
        share_outside(text, {"le"})


def test_other_refusals():
    with pytest.raises(TypeError, match="bytes"):
        readability(b"Le chat")
    with pytest.raises(ValueError, match="Mot reçu : 'le chat'"):
        count_syllables("le chat")


@given(st.text())
def test_any_text_is_counted_or_refused(text):
    if not words(text):
        with pytest.raises(ValueError):
            readability(text)
        return
    counts = readability(text)
    assert 1 <= counts.sentences <= counts.words <= counts.syllables
    assert 0 <= counts.long_words <= counts.words
    assert readability(f"{text} {text}").words == 2 * counts.words


@given(st.text("aeiouyébcdlrstqgnmh", min_size=1, max_size=17))
def test_syllables_never_exceed_vowels(word):
    vowels = sum(letter in "aeiouyé" for letter in word)
    assert 1 <= count_syllables(word) <= max(1, vowels)
