"""Deux pages connues de la langue française, libres de droits, à citer et à mesurer.

Le conte est celui de Perrault (« Le Petit Chaperon rouge », *Contes*, 1697), dans l’orthographe des
Œuvres choisies de 1826 ; l’autre page est de Poincaré (*La Science et l’Hypothèse*, 1902, chapitre
IX).
"""

PERRAULT = (
    "Il était une fois une petite fille de village, la plus éveillée qu'on eût su voir : sa mère "
    "en était folle, et sa mère-grand plus folle encore. Cette bonne femme lui fit faire un petit "
    "chaperon rouge, qui lui seyait si bien, que partout on l'appelait le petit Chaperon rouge."
)
POINCARE = (
    "Ne pouvons-nous nous contenter de l'expérience toute nue ? Non, cela est impossible ; ce "
    "serait méconnaître complètement le véritable caractère de la science. Le savant doit "
    "ordonner ; on fait la science avec des faits comme une maison avec des pierres ; mais une "
    "accumulation de faits n'est pas plus une science qu'un tas de pierres n'est une maison."
)
