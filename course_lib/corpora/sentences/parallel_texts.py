"""De courts textes écrits deux fois, en anglais et en français, pour comparer un modèle à lui-même.

Les deux versions disent la même chose : si l’une surprend plus le modèle, c’est la langue qui en
est cause, non le sujet. Écrits pour ce cours.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class ParallelText:
    """Le même texte dans les deux langues."""

    english: str
    french: str


PARALLEL_TEXTS: tuple[ParallelText, ...] = (
    ParallelText(
        "On Saturday morning the market fills the square in front of the church. Farmers "
        "bring apples, cheese and bread, and people stop to talk before they buy anything.",
        "Le samedi matin, le marché remplit la place devant l’église. Les paysans apportent "
        "des pommes, du fromage et du pain, et les gens s’arrêtent pour parler avant "
        "d’acheter.",
    ),
    ParallelText(
        "Water boils at one hundred degrees at sea level. In the mountains the air is "
        "thinner, so water boils at a lower temperature and food takes longer to cook.",
        "L’eau bout à cent degrés au niveau de la mer. À la montagne, l’air est moins dense "
        ": l’eau bout à une température plus basse et les aliments cuisent plus lentement.",
    ),
    ParallelText(
        "My grandmother kept her letters in a wooden box under the bed. When she died we "
        "read them together, and we learned that she had wanted to become a pilot.",
        "Ma grand-mère gardait ses lettres dans une boîte en bois sous le lit. À sa mort, "
        "nous les avons lues ensemble, et nous avons appris qu’elle avait voulu devenir "
        "pilote.",
    ),
    ParallelText(
        "The printing press changed Europe. Before it, a book was copied by hand and cost "
        "as much as a small house; fifty years later, students could own several.",
        "L’imprimerie a changé l’Europe. Avant elle, un livre se copiait à la main et "
        "coûtait aussi cher qu’une petite maison ; cinquante ans plus tard, les étudiants "
        "en possédaient plusieurs.",
    ),
    ParallelText(
        "To make the soup, cut the onions and cook them slowly in butter. Add the potatoes "
        "and the leeks, cover with water, and let everything simmer for half an hour.",
        "Pour faire la soupe, coupez les oignons et faites-les cuire doucement dans le "
        "beurre. Ajoutez les pommes de terre et les poireaux, couvrez d’eau et laissez "
        "mijoter une demi-heure.",
    ),
    ParallelText(
        "The train was late again, so Paul walked along the platform and counted the "
        "windows of the old factory. He had reached forty when he heard someone call his "
        "name.",
        "Le train était encore en retard, alors Paul marcha le long du quai et compta les "
        "fenêtres de la vieille usine. Il en était à quarante quand il entendit quelqu’un "
        "l’appeler.",
    ),
    ParallelText(
        "A computer does not understand the words it shows. It moves numbers from one place "
        "to another, very quickly, and follows rules that someone wrote for it.",
        "Un ordinateur ne comprend pas les mots qu’il affiche. Il déplace des nombres d’un "
        "endroit à un autre, très vite, et suit des règles que quelqu’un a écrites pour "
        "lui.",
    ),
    ParallelText(
        "Bees tell each other where the flowers are by dancing. The angle of the dance "
        "gives the direction, and its length gives the distance from the hive.",
        "Les abeilles se disent en dansant où sont les fleurs. L’angle de la danse donne la "
        "direction, et sa durée la distance depuis la ruche.",
    ),
    ParallelText(
        "The doctor listened to the child’s heart and smiled. There was nothing to worry "
        "about, she said, but he should sleep more and spend less time in front of screens.",
        "La médecin écouta le cœur de l’enfant et sourit. Il n’y avait pas de quoi "
        "s’inquiéter, dit-elle, mais il devait dormir plus et passer moins de temps devant "
        "les écrans.",
    ),
    ParallelText(
        "In winter the lake freezes and the children of the village skate on it after "
        "school. The oldest of them tests the ice with a stick before anyone is allowed to "
        "follow.",
        "En hiver, le lac gèle et les enfants du village y patinent après l’école. La plus "
        "âgée éprouve la glace avec un bâton avant que quiconque ait le droit de la suivre.",
    ),
    ParallelText(
        "The court decided that the city must repay the families. The mayor said he would "
        "appeal, because the money had already been spent on the new bridge.",
        "Le tribunal a décidé que la ville devait rembourser les familles. Le maire a "
        "annoncé qu’il ferait appel, car l’argent avait déjà servi à construire le nouveau "
        "pont.",
    ),
    ParallelText(
        "If you get lost in a forest, stop walking. Sit down, drink some water, look at the "
        "sun, and try to remember the last thing you recognized.",
        "Si vous vous perdez dans une forêt, arrêtez de marcher. Asseyez-vous, buvez un peu "
        "d’eau, regardez le soleil et essayez de vous rappeler la dernière chose reconnue.",
    ),
)
