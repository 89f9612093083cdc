"""Le lexique des micro-histoires : des listes courtes, où aucune entrée n’en commence une autre.

Cette dernière propriété, vérifiée par un test, rend la dérivation d’un texte unique : en lisant de
gauche à droite, on sait toujours quel choix a été fait. La probabilité d’un texte est donc celle
de sa seule dérivation.
"""

from __future__ import annotations

from dataclasses import dataclass

from course_lib.corpora.microworld.kernel import Adjective, Noun


def _list(text: str) -> tuple[str, ...]:
    return tuple(entry.strip() for entry in text.split("|"))


def _nouns(feminine: str, masculine: str) -> tuple[Noun, ...]:
    return tuple(Noun(form, "f") for form in _list(feminine)) + tuple(
        Noun(form, "m") for form in _list(masculine)
    )


def _adjectives(text: str) -> tuple[Adjective, ...]:
    return tuple(Adjective(*entry.split("/")) for entry in _list(text))


def _pairs(text: str) -> tuple[tuple[str, str], ...]:
    """« féminin/masculin », ou « passé simple/participe »."""
    pairs = (tuple(entry.split("/")) for entry in _list(text))
    return tuple((first, second) for first, second in pairs)


@dataclass(frozen=True)
class Lexicon:
    """Toutes les listes où puise une histoire ; on peut la réduire pour énumérer la grammaire."""

    girls: tuple[str, ...] = _list(
        "Zoé|Léa|Anna|Emma|Louise|Alice|Chloé|Inès|Lina|Manon|Sarah|Juliette|Clara|Nina|Lucie"
        "|Eva|Margot|Agathe|Élise|Jeanne|Iris|Mathilde|Olivia|Romane|Adèle|Nora"
    )
    boys: tuple[str, ...] = _list(
        "Léo|Louis|Paul|Jules|Adam|Tom|Nathan|Lucas|Théo|Gabin|Arthur|Victor|Martin|Simon|Samuel"
        "|Robin|Oscar|Émile|Antoine|Bastien|Clément|Étienne|Félix|Ismaël|Malo|Rémi"
    )
    kinds: tuple[tuple[str, str], ...] = _pairs(
        "petite fille/petit garçon|jeune princesse/jeune prince|souris/lapin|fée/lutin|chatte/chat"
        "|ourse/ours|renarde/renard|sorcière/sorcier|fermière/fermier|géante/géant|ogresse/ogre"
        "|bergère/berger|chouette/hibou|tortue/hérisson|grenouille/crapaud|girafe/éléphant"
    )
    traits: tuple[Adjective, ...] = _adjectives(
        "courageux/courageuse|curieux/curieuse|timide/timide|rêveur/rêveuse|gourmand/gourmande"
        "|joyeux/joyeuse|prudent/prudente|têtu/têtue|bavard/bavarde|patient/patiente"
        "|malin/maligne|distrait/distraite|coquet/coquette|généreux/généreuse|gentil/gentille"
        "|discret/discrète"
    )
    openings: tuple[str, ...] = _list("Il était une fois|Il y avait autrefois")
    live_verbs: tuple[str, ...] = _list("habitait|vivait")
    homes: tuple[Noun, ...] = _nouns(
        "maison|cabane|ferme|villa|grotte|chaumière|roulotte|hutte|auberge|yourte|caverne",
        "château|moulin|palais|chalet|manoir|hôtel|igloo|hameau|atelier|terrier|appartement",
    )
    dream_verbs: tuple[str, ...] = _list("rêvait|avait envie")
    wishes: tuple[str, ...] = _list(
        "voler dans le ciel|voir la mer|rencontrer un dragon|danser toute la nuit"
        "|chanter comme un rossignol|traverser le désert|gagner la course|apprendre à lire"
        "|construire un navire|visiter la lune|préparer un gâteau|sauver le royaume"
        "|écrire un poème|ouvrir une école|inventer une machine|explorer une île"
        "|dessiner des étoiles|jouer du violon|nager avec les dauphins|grimper aux arbres"
        "|dompter un tigre|habiter sur un nuage|organiser une fête|cultiver des roses"
        "|aider les pauvres|fabriquer des jouets|faire le tour du monde"
        "|parler aux animaux|étudier les planètes|acheter un cheval|guérir les malades"
        "|offrir des fleurs|réparer les montres|élever des dindons|goûter des glaces"
        "|photographier les volcans"
    )
    days: tuple[str, ...] = _list(
        "Un matin|Un dimanche|Un lundi|Un jeudi|Au printemps|En hiver|En automne"
        "|Après le repas|À midi"
    )
    find_verbs: tuple[str, ...] = _list("trouva|découvrit|ramassa")
    objects: tuple[Noun, ...] = _nouns(
        "clé|bague|lanterne|carte|plume|couronne|flûte|montre|perle|boussole|balle|poupée|cloche"
        "|lettre|pomme|graine|corde|médaille|harpe|horloge|épée|échelle|écharpe|amulette|toupie"
        "|bougie|trompette|guitare|orange|loupe|cerise|noisette|broche|chaussure|fourchette|raquette"
        "|peluche|coquille|statuette|cuillère|galette",
        "livre|bouton|collier|tambour|chapeau|foulard|bateau|sifflet|miroir|ruban|bijou|crayon"
        "|cadeau|ballon|parapluie|gant|couteau|biscuit|caillou|hamac|arc|anneau|éventail|habit"
        "|oreiller|œuf|masque|bracelet|pinceau|harmonica|carnet|timbre|peigne|bonnet|manteau|stylo"
        "|mouchoir|sablier|tabouret|domino|diamant",
    )
    colours: tuple[Adjective, ...] = _adjectives(
        "rouge/rouge|vert/verte|bleu/bleue|blanc/blanche|noir/noire|jaune/jaune"
        "|brillant/brillante|ancien/ancienne|minuscule/minuscule|magique/magique|doré/dorée"
        "|violet/violette|précieux/précieuse|léger/légère"
    )
    nearness: tuple[str, ...] = _list("près|à côté")
    landmarks: tuple[Noun, ...] = _nouns(
        "forêt|rivière|plage|montagne|prairie|route|colline|fontaine|église|école|haie|cascade"
        "|gare|mare|falaise|clairière|grange|vigne|cathédrale",
        "jardin|pont|lac|marché|chemin|parc|puits|champ|étang|arbre|hangar|verger|rocher|port"
        "|ruisseau|escalier|phare|théâtre|sentier",
    )
    put_verbs: tuple[tuple[str, str], ...] = _pairs(
        "rangea/rangé|posa/posé|déposa/déposé|plaça/placé|mit/mis|laissa/laissé"
    )
    containers: tuple[Noun, ...] = _nouns(
        "boîte|malle|poche|valise|armoire|corbeille|cave|marmite|hotte|huche|commode|baignoire"
        "|cuisine|théière|étable|brouette|sacoche|cuvette|niche",
        "coffre|tiroir|panier|sac|placard|seau|vase|grenier|buffet|tonneau|four|chaudron"
        "|cartable|pot|étui|landau|bocal|bidon|aquarium",
    )
    weather: tuple[str, ...] = _list(
        "Il pleuvait.|Le soleil brillait.|Le vent soufflait très fort.|La neige fondait doucement."
        "|Un merle sifflait sur le toit.|La brume se levait peu à peu.|Les nuages défilaient."
        "|Tout semblait calme.|L'orage grondait.|Les feuilles dansaient.|Il faisait chaud."
        "|Les abeilles bourdonnaient.|Une odeur de pain flottait.|Les enfants riaient."
        "|Le coq s'était tu.|Un arc-en-ciel apparut."
    )
    meanwhile: tuple[str, ...] = _list("Pendant ce temps|Un peu plus tard")
    relations: tuple[tuple[str, str], ...] = _pairs(
        "amie/ami|voisine/voisin|cousine/cousin|rivale/rival"
    )
    take_verbs: tuple[str, ...] = _list("prit|emprunta")
    hide_verbs: tuple[tuple[str, str], ...] = _pairs(
        "cacha/caché|enferma/enfermé|dissimula/dissimulé|oublia/oublié|glissa/glissé|jeta/jeté"
    )
    steal_verbs: tuple[tuple[str, str], ...] = _pairs("vola/volé|emporta/emporté|chipa/chipé")
    flights: tuple[str, ...] = _list(
        "partit en courant|s'enfuit sans bruit|disparut au loin|se sauva à toute vitesse"
        "|fila vers la frontière"
    )
    activities: tuple[str, ...] = _list(
        "se promena|marcha|courut|se reposa|joua|dansa|chanta|dormit|travailla|pêcha|bricola"
        "|jardina|médita|bavarda|patina|se baigna|observa les oiseaux|cueillit des fraises"
        "|mangea des cerises|répara une chaise|compta les moutons|raconta des blagues"
    )
    evenings: tuple[str, ...] = _list("Le soir|Avant de dormir")
    search_verbs: tuple[str, ...] = _list("chercha|voulut reprendre")


LEXICON = Lexicon()
