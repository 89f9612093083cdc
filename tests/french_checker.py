"""Un contrôleur de français indépendant du noyau : il ne lit que la surface des textes.

Le genre d’un nom se déduit de sa terminaison (-e féminin, le reste masculin) et d’une liste
d’exceptions écrite à la main ; l’élision, du premier son du mot. Rien ne vient de `course_lib`.
"""

import re


def _words(text):
    return frozenset(text.split())


ASPIRATED = _words("hotte huche hutte hameau hamac harpe hibou hérisson hangar haie")
MUTE = _words("horloge habit hôtel harmonica habiter hiver heure heureux heureuse")
MASCULINE_IN_E = _words(
    "livre parapluie masque timbre peigne arbre théâtre phare vase coffre royaume prince "
    "ogre merle orage navire poème tigre nuage monde repas camarade jeune dimanche cartable âne"
)
FEMININE_NOT_IN_E = _words("clé forêt maison souris brebis fourmi cour mer odeur nuit villa fois")
EPICENE = _words(
    "rouge jaune minuscule magique timide malade jeune faible large sombre vide triste"
)
PLACE_ADJECTIVES = re.compile(
    r"large|long(ue)?|étroite?|sombre|boueu(x|se)|glissante?|pentue?|bondée?|bruyante?|inondée?"
    r"|profonde?|glacée?|venteu(x|se)|vide|ensoleillée?|dangereu(x|se)"
)
VOWEL = "aeiouàâéèêëîïôöùûüœæ"
WORD = r"[^\W\d_][\w-]*"


def starts_with_vowel_sound(word):
    word = word.lower()
    if word[0] == "h":
        assert word in ASPIRATED | MUTE, f"h inconnu : {word}"
        return word in MUTE
    return word[0] in VOWEL


def gender_of(noun):
    if noun in FEMININE_NOT_IN_E:
        return "f"
    return "f" if noun.endswith("e") and noun not in MASCULINE_IN_E else "m"


def agrees(adjective, gender):
    """Un féminin finit par -e ; un masculin non, sauf les adjectifs à une seule forme."""
    if gender == "f":
        return adjective.endswith("e")
    return not adjective.endswith("e") or adjective in EPICENE


def elision_faults(text):
    """Élisions manquées ou abusives, contractions manquées, possessifs devant voyelle."""
    faults = []
    for match in re.finditer(
        rf"\b(le|la|de|que|qu|se|ne|du|au|sa|ma|ta|puisque|jusque) (?=({WORD}))", text, re.I
    ):
        if starts_with_vowel_sound(match[2]) and match[2] != "où":
            faults.append(f"élision manquée : {match[0]}{match[2]}")
    for match in re.finditer(rf"\b(\w+)'({WORD})", text):
        head, word = match[1].lower(), match[2]
        if head == "aujourd":
            continue
        if head not in {"l", "d", "s", "n", "qu", "puisqu"} or not starts_with_vowel_sound(word):
            faults.append(f"élision abusive : {match[0]}")
    faults += [f"contraction manquée : {m[0]}" for m in re.finditer(r"\b(de|à) les?\b", text)]
    faults += [f"apostrophe isolée : {m[0]}" for m in re.finditer(r"\w+' |\s'", text)]
    return faults


def article_faults(text):
    """Article, contraction ou possessif qui ne s’accorde pas avec le nom qui suit."""
    faults = []
    pattern = rf"\b(le|la|un|une|du|au|sa|son)( petite?| jeune)? ({WORD})"
    for match in re.finditer(pattern, text, re.I):
        article, qualifier, noun = match[1].lower(), (match[2] or "").strip(), match[3]
        before, after = text[: match.start()], text[match.end() :]
        if noun == "peu" or (before.endswith(" et ") and after.startswith(" dans ")):
            continue  # « un peu », et le pronom de « et la cacha dans »
        gender = gender_of(noun)
        expected = "f" if article in {"la", "une", "sa"} else "m"
        hiatus = article == "son" and starts_with_vowel_sound(noun)
        if gender != expected and not hiatus:
            faults.append(f"genre : {match[0]}")
        if qualifier.startswith("petit") and (qualifier == "petite") != (gender == "f"):
            faults.append(f"adjectif : {match[0]}")
    return faults


def shape_faults(text):
    """Majuscules, espaces, point final."""
    faults = []
    if "  " in text or text != text.strip():
        faults.append("espaces")
    if not text.endswith("."):
        faults.append("point final")
    faults += [f"majuscule : {s[:20]}" for s in re.split(r"(?<=\.) ", text) if not s[0].isupper()]
    faults += [f"ponctuation : {m[0]}" for m in re.finditer(r"\s[.,]|[.,][^\s]", text)]
    return faults


STORY = re.compile(
    rf"^Il (?:était une fois|y avait autrefois) (?P<article>une?) (?P<kind>.+?) (?P<trait>{WORD}) "
    rf"qui s'appelait (?P<hero>{WORD})\. "
    rf"(?P<pronoun>Il|Elle) \w+ dans .+? d(?:e |').+?\. "
    rf".+?, (?P<again>{WORD}) \w+ (?P<one>une?) (?P<thing>{WORD}) (?P<colour>{WORD}) (?:près|à) .+?"
    rf"\. (?P<pronoun2>Il|Elle) .+ (?P<which>l'|le |la )(?P=thing)\. .*?"
    rf"l'avait (?P<participle>{WORD})\. (?P<final>{WORD}) était très (?P<emotion>{WORD}), "
    rf"car (?P<pronoun3>il|elle) (?:ne )?pouvait .+?\. (?P<pronoun4>Il|Elle) rentra dans .+\.$"
)


def story_faults(text):
    """Tout ce que le contrôleur trouve à redire à une histoire."""
    faults = elision_faults(text) + article_faults(text) + shape_faults(text)
    match = STORY.match(text)
    if not match:
        return [*faults, "histoire illisible"]
    part = match.groupdict()
    hero = "f" if part["article"] == "une" else "m"
    thing = gender_of(part["thing"])
    pronoun = "elle" if hero == "f" else "il"
    checks = {
        "espèce": gender_of(part["kind"].split()[-1]) == hero,
        "caractère": agrees(part["trait"], hero),
        "émotion": part["emotion"] in ("triste", "heureuse" if hero == "f" else "heureux"),
        "pronom": {part[f"pronoun{i}"].lower() for i in ("", 2, 3, 4)} == {pronoun},
        "nom": {part["hero"], part["again"]} == {part["final"]},
        "couleur": agrees(part["colour"], thing),
        "participe": agrees(part["participle"], thing),
    }
    moved = re.search(rf" et (le|la) {WORD} dans ", text)
    if moved:
        checks["complément"] = (moved[1] == "la") == (thing == "f")
    return faults + [name for name, right in checks.items() if not right]


CLAUSE = re.compile(
    rf"^(?:le |la |l')(?P<agent>{WORD})(?: (?P<colour>(?!près|a\b|n'){WORD}))?"
    rf"(?: près (?:du |de la |de l'){WORD})? (?:n'a pas|a) {WORD} "
    rf"(?:le |la |l')(?P<place>{WORD})(?: derrière (?:le |la |l'){WORD})?(?: [\w' ]+?)? "
    rf"(?:parce qu'|puisqu'|car )(?P<pronoun>il|elle) était trop (?P<adjective>{WORD})$"
)


def pair_faults(french):
    """Tout ce que le contrôleur trouve à redire à une traduction en mots séparés."""
    text = re.sub(r"' ", "'", french)
    faults = elision_faults(text) + article_faults(text)
    for clause in text.removesuffix(" .").split(" et "):
        match = CLAUSE.match(clause)
        if not match:
            faults.append(f"proposition illisible : {clause}")
            continue
        referent = "place" if PLACE_ADJECTIVES.fullmatch(match["adjective"]) else "agent"
        gender = gender_of(match[referent])
        if (match["pronoun"] == "elle") != (gender == "f"):
            faults.append(f"pronom : {clause}")
        if not agrees(match["adjective"], gender):
            faults.append(f"attribut : {clause}")
        if match["colour"] and not agrees(match["colour"], gender_of(match["agent"])):
            faults.append(f"couleur : {clause}")
    return faults
