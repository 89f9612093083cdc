"""Vitesse du générateur d’histoires : `python benchmarks/corpora.py`.

L’étalon, mesuré dans la même exécution, est un tirage nu : autant d’appels à `random.choice` que
l’histoire a de choix, sans texte, sans probabilité, sans sondes.
"""

import random
import time

from course_lib.corpora import generate_pairs, generate_stories
from course_lib.corpora.microworld.kernel import Draw
from course_lib.corpora.microworld.stories import write_story

N = 20_000
N_CHOICES = 28  # choix d’une histoire moyenne


def main() -> None:
    """Affiche histoires et phrases par seconde, et le rapport au tirage nu."""
    options, source = range(32), random.Random(0)
    start = time.perf_counter()
    for _ in range(N * N_CHOICES):
        source.choice(options)
    bare = N / (time.perf_counter() - start)
    draw = Draw(0)
    tasks = {
        "grammaire seule": lambda: [write_story(draw) for _ in range(N)],
        "generate_stories": lambda: generate_stories(N),
        "generate_pairs": lambda: generate_pairs(N),
    }
    print(f"tirage nu        : {bare:10.0f} /s")
    for name, task in tasks.items():
        start = time.perf_counter()
        task()
        rate = N / (time.perf_counter() - start)
        print(f"{name:17}: {rate:10.0f} /s  ({rate / bare:.2f} fois le tirage nu)")


if __name__ == "__main__":
    main()
