"""Des phrases anglaises jumelles : un adjectif change, et ce que « it » désigne change avec lui.

    The animal didn't cross the street because it was too tired.   it = the animal
    The animal didn't cross the street because it was too wide.    it = the street

La première est celle de la littérature ; les autres ont été écrites pour ce cours, sur le même
patron, avant toute mesure. Le modèle réel du cours n’a guère lu autre chose que de l’anglais.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class TwinSentences:
    """Un début et deux adjectifs : `adjectives[i]` ne convient qu’à `nouns[i]`."""

    beginning: str
    nouns: tuple[str, str]
    adjectives: tuple[str, str]

    def sentence(self, adjective: str, subject: str = "it") -> str:
        """La phrase complète ; `subject` remplace « it » par celui qu’il désigne."""
        return f"{self.beginning} because {subject} was too {adjective}."

    def named(self, noun: int, adjective: int) -> str:
        """La phrase où le référent est écrit en toutes lettres."""
        return self.sentence(self.adjectives[adjective], f"the {self.nouns[noun]}")


_ROWS = """
The animal didn't cross the street | tired | wide
The dog didn't jump over the fence | old | high
The horse didn't swim across the river | tired | deep
The truck couldn't pass under the bridge | tall | low
The ball didn't go through the window | big | narrow
The sofa didn't fit through the door | large | narrow
The ship couldn't enter the harbor | large | shallow
The cat didn't climb the tree | lazy | tall
The letter didn't fit in the envelope | long | small
The car couldn't climb the hill | weak | steep
The baby didn't eat the soup | sleepy | hot
The key didn't turn in the lock | thick | tight
The bird didn't eat the seed | sick | hard
The mouse didn't leave the hole | scared | cozy
The rope couldn't reach the boat | short | far
The fox couldn't catch the rabbit | slow | fast
The wolf didn't chase the deer | tired | fast
The knife couldn't cut the bread | dull | hard
The lion didn't attack the elephant | tired | big
The plane couldn't land on the island | heavy | small
The robot couldn't lift the box | weak | heavy
The donkey couldn't carry the bag | weak | heavy
The candle couldn't light the room | weak | large
The lamp couldn't light the hall | dim | large
The book didn't fit on the shelf | big | narrow
The boat couldn't cross the lake | small | rough
The snail didn't reach the garden | slow | far
The nail didn't go into the wall | weak | hard
The drill couldn't break the rock | weak | hard
The turtle didn't follow the path | tired | steep
The cow didn't eat the grass | sick | dry
The monkey couldn't open the nut | weak | hard
The team didn't win the game | tired | hard
The pig couldn't get through the gate | fat | narrow
The piano didn't fit in the elevator | big | small
The bear couldn't enter the cave | fat | narrow
The puppy couldn't climb the ladder | young | steep
The kite didn't fly over the tower | heavy | tall
The wagon couldn't cross the mud | heavy | deep
The battery couldn't start the engine | weak | powerful
The umbrella didn't cover the table | small | wide
The blanket didn't cover the bed | short | wide
The ant couldn't carry the leaf | weak | heavy
The camel didn't cross the desert | thirsty | hot
The goat didn't climb the mountain | tired | steep
The spoon didn't fit in the jar | long | narrow
The tractor couldn't pull the trailer | weak | heavy
The shark didn't follow the boat | tired | fast
"""


def _read_row(row: str) -> TwinSentences:
    beginning, first, second = (cell.strip() for cell in row.split("|"))
    words = beginning.split()
    return TwinSentences(beginning, (words[1], words[-1]), (first, second))


TWIN_SENTENCES: tuple[TwinSentences, ...] = tuple(map(_read_row, _ROWS.strip().splitlines()))
