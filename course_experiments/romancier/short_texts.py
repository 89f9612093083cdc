"""De courts textes de plusieurs sortes, pour mesurer ce qu’un modèle sait de chacune.

Les articles sont ceux du Code civil (textes officiels, en vigueur ; plusieurs datent de 1804, et un
roman a pu les citer) ; les autres textes ont été écrits pour le cours.
"""

ENCYCLOPEDIC = (
    "La photosynthèse est le processus par lequel les plantes, les algues et certaines "
    "bactéries convertissent l'énergie lumineuse en énergie chimique. Elle consomme du "
    "dioxyde de carbone et de l'eau, et libère du dioxygène. Dans les cellules végétales, "
    "elle se déroule dans les chloroplastes, dont les membranes portent la chlorophylle. On "
    "distingue une phase photochimique, qui dépend directement de la lumière, et un cycle de "
    "réactions qui fixe le carbone sous forme de sucres.",
    "Internet est un réseau informatique mondial, formé de l'interconnexion de dizaines de "
    "milliers de réseaux autonomes. Les données y circulent par paquets, acheminés "
    "indépendamment les uns des autres grâce à un protocole commun. Le courrier "
    "électronique, la messagerie instantanée, le Web et la visioconférence en sont les "
    "usages les plus répandus. Ses origines remontent aux années 1960, avec des travaux "
    "financés par le ministère américain de la Défense.",
    "La tectonique des plaques décrit les mouvements de la lithosphère, découpée en une "
    "douzaine de grandes plaques rigides. Celles-ci s'écartent au niveau des dorsales "
    "océaniques, où naît une croûte nouvelle, et se rapprochent dans les zones de "
    "subduction, où l'une plonge sous l'autre. La plupart des séismes et des éruptions "
    "volcaniques se produisent le long de leurs limites.",
)
LAW = (
    "La propriété est le droit de jouir et disposer des choses de la manière la plus "
    "absolue, pourvu qu'on n'en fasse pas un usage prohibé par les lois ou par les "
    "règlements. Nul ne peut être contraint de céder sa propriété, si ce n'est pour cause "
    "d'utilité publique, et moyennant une juste et préalable indemnité.",
    "Tout fait quelconque de l'homme, qui cause à autrui un dommage, oblige celui par la "
    "faute duquel il est arrivé à le réparer. Chacun est responsable du dommage qu'il a "
    "causé non seulement par son fait, mais encore par sa négligence ou par son imprudence.",
    "Les contrats légalement formés tiennent lieu de loi à ceux qui les ont faits. Les "
    "contrats ne peuvent être modifiés ou révoqués que du consentement mutuel des parties, "
    "ou pour les causes que la loi autorise. Les contrats doivent être négociés, formés et "
    "exécutés de bonne foi.",
)
MESSAGES = (
    "mdr j'ai raté le bus pour 2 secondes 😭 du coup je suis en retard au boulot et mon tel "
    "est à 4% de batterie, belle journée qui commence",
    "qui est chaud pour un ciné ce soir ?? le film a l'air trop bien et y'a une promo "
    "étudiant, dites moi vite que je prenne les places",
    "Petit thread sur les IA : non, votre appli ne « comprend » pas ce que vous tapez. Elle "
    "prédit. 1/5 #IA #tech",
)
ENGLISH = (
    "The train was late again, so we sat on the platform and watched the rain. A woman next "
    "to us was reading a newspaper, turning each page as if it might break. When the train "
    "finally came, nobody moved at first, as though we had all forgotten why we were there.",
    "A computer does exactly what it is told to do, which is rarely what we meant. Most of "
    "the work of programming is finding out the difference between the two, and most of the "
    "rest is explaining it to someone else.",
    "Bread needs only flour, water, salt and time. Mix the flour and the water, leave them "
    "alone for half an hour, then add the salt and fold the dough a few times. The next "
    "morning it will have doubled, and your kitchen will smell of it.",
)
SHORT_TEXTS = {
    "article d'encyclopédie": ENCYCLOPEDIC,
    "droit": LAW,
    "messages": MESSAGES,
    "anglais": ENGLISH,
}

if __name__ == "__main__":
    from course_experiments.records import refuse_to_run

    refuse_to_run(__spec__.name)
