"""Des phrases, leurs paraphrases et leurs pièges, en anglais et en français.

La paraphrase dit la même chose avec d’autres mots ; le piège reprend les mots et dit autre chose.
Qui compare les sens préfère la première, qui compare les mots tombe dans le second. Écrites pour
ce cours ; les deux langues se traduisent, à quelques pièges près.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Triplet:
    """Une phrase, une autre qui dit la même chose, une autre qui lui ressemble."""

    sentence: str
    paraphrase: str
    trap: str


def _read(blocks: str) -> tuple[Triplet, ...]:
    """Trois lignes par triplet, une ligne vide entre deux."""
    return tuple(Triplet(*block.splitlines()) for block in blocks.strip().split("\n\n"))


ENGLISH_TRIPLETS = _read(
    """
The doctor closed her office early.
The physician ended her workday ahead of time.
The doctor opened her new office.

A child is playing with a dog.
A young boy has fun with his puppy.
A child is afraid of a dog.

The bank raised its interest rates.
Borrowing money became more expensive.
The boat reached the bank of the river.

He forgot to lock the door.
The entrance was left open by mistake.
He painted the door and the lock.

The film made everyone cry.
The movie was very sad.
The film was shown to everyone.

Our train left an hour late.
The departure was delayed by sixty minutes.
Our train stops here every hour.

She learned to cook from her father.
Her dad taught her how to prepare meals.
She cooked dinner for her father.

The storm destroyed many houses.
Bad weather ruined a lot of homes.
Many houses were built after the storm.

He is allergic to peanuts.
Eating nuts makes him sick.
He is selling peanuts in the street.

The meeting was moved to Monday.
We will not meet until the start of next week.
The moving company works on Monday.

The price of bread has doubled.
Loaves cost twice as much as before.
The bread is sold with a free knife.

The teacher praised his essay.
His professor liked what he had written.
The teacher wrote an essay.

My phone ran out of battery.
The device has no power left.
I bought a battery for the car and a phone.

The river is too polluted for swimming.
Bathing there is dangerous because the water is dirty.
Swimming in the river is fun.

The company fired half of its workers.
Fifty percent of the staff lost their jobs.
The workers put out the fire.

The museum is free on Sundays.
You do not have to pay to visit at the end of the week.
The museum is closed on Sundays.
"""
)
FRENCH_TRIPLETS = _read(
    """
La médecin a fermé son cabinet plus tôt.
La docteure a fini sa journée en avance.
La médecin a ouvert son nouveau cabinet.

Un enfant joue avec un chien.
Un petit garçon s’amuse avec son chiot.
Un enfant a peur d’un chien.

La banque a relevé ses taux.
Emprunter de l’argent coûte plus cher.
La banque a relevé ses stores.

Il a oublié de fermer la porte à clé.
L’entrée est restée ouverte par mégarde.
Il a peint la porte et la clé.

Le film a fait pleurer tout le monde.
Le long métrage était très triste.
Le film a été montré à tout le monde.

Notre train est parti avec une heure de retard.
Le départ a été repoussé de soixante minutes.
Notre train s’arrête ici toutes les heures.

Elle a appris à cuisiner avec son père.
Son papa lui a montré comment préparer les repas.
Elle a cuisiné pour son père.

La tempête a détruit beaucoup de maisons.
Le mauvais temps a ruiné de nombreux logements.
Beaucoup de maisons ont été bâties après la tempête.

Il est allergique aux arachides.
Manger des cacahuètes le rend malade.
Il vend des arachides dans la rue.

La réunion a été reportée à lundi.
On ne se verra qu’au début de la semaine prochaine.
La réunion de lundi a été filmée.

Le prix du pain a doublé.
Une baguette coûte deux fois plus cher qu’avant.
Le pain est vendu avec un couteau.

La professeure a félicité son devoir.
Son enseignante a aimé ce qu’il avait écrit.
La professeure a écrit un devoir.

Mon téléphone n’a plus de batterie.
L’appareil est déchargé.
J’ai acheté une batterie et un téléphone.

La rivière est trop polluée pour s’y baigner.
Nager là-bas est dangereux, car l’eau est sale.
Se baigner dans la rivière est un plaisir.

L’entreprise a licencié la moitié de ses ouvriers.
Un employé sur deux a perdu son travail.
Les ouvriers ont réparé l’entreprise.

Le musée est gratuit le dimanche.
On ne paie pas la visite en fin de semaine.
Le musée est fermé le dimanche.
"""
)
