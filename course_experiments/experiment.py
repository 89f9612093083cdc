"""Une expérience : ce qu’elle mesure, sur quels noms et quelles graines, et sa commande.

Chaque module d’expérience déclare une `Experiment` et finit par `EXPERIMENT.main()` : les arguments
communs, la reprise, les messages et le code de sortie sont ici, une fois pour toutes.
"""

from argparse import Namespace
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from tqdm.auto import tqdm

from course_experiments.records import Records, load_records, rounded, set_aside
from course_lib.arguments import FrenchArgumentParser, natural_int
from course_lib.commands.failures import run_command, say

FOLDER = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Experiment:
    """`measure(nom, graine, réglages)` pour chaque nom et chaque graine, gardé dans un relevé.

    name, description : ceux du module, et ce que dit son aide
    settings          dataclass de tout ce dont les mesures dépendent
    names, seeds      ce que la commande mesure ; `once` : ce qui ne tient pas à la graine
    tuning            d’après les mesures faites, les noms à essayer encore (option --tuning)
    products          {nom: fichier ou dossier} que la graine 0 laisse ; refait s’il manque
    digits, n_threads décimales gardées, fils de calcul
    add_options       ajoute des options à l’analyseur ; `adapt` en tire l’expérience demandée
    """

    name: str
    description: str
    settings: Any
    names: Sequence[str]
    measure: Callable[[str, int, Any], dict]
    seeds: Sequence[int] = (0, 1, 2)
    seeds_option: tuple[str, str] = ("--seeds", "graines")
    once: Sequence[str] = ()
    tuning: Callable[[dict], Iterable[str]] | None = None
    products: Mapping[str, Path] = field(default_factory=dict)
    digits: int = 4
    n_threads: int = 1
    add_options: Callable[[FrenchArgumentParser], None] = lambda parser: None
    adapt: Callable[["Experiment", Namespace], "Experiment"] = lambda self, options: self

    @property
    def path(self) -> Path:
        """Le relevé livré."""
        return FOLDER / f"{self.name}.json"

    def load(self, path: Path | None = None) -> dict:
        """Relit le relevé livré, ou un autre : settings, libraries et runs[nom][graine]."""
        return load_records(path or self.path)

    def missing(
        self, seeds: Iterable[int], path: Path | None = None, tuning: bool = False
    ) -> list[tuple[str, int]]:
        """Les couples (nom, graine) qui restent à mesurer, graine après graine."""
        runs = Records(path or self.path, asdict(self.settings)).load()["runs"]
        wanted = [(name, 0) for name in (self.tuning(runs) if tuning else self.once)]
        if not tuning:
            wanted += [(name, seed) for seed in seeds for name in self.names]

        def is_done(name: str, seed: int) -> bool:
            product = self.products.get(name) if seed == 0 else None
            return str(seed) in runs.get(name, {}) and (product is None or product.exists())

        return [pair for pair in dict.fromkeys(wanted) if not is_done(*pair)]

    def run(self, seeds: Iterable[int], path: Path | None = None, tuning: bool = False) -> int:
        """Mesure ce qui manque au relevé et l’écrit à mesure ; rend le nombre de mesures faites.

        Le relevé est relu avant chaque mesure : une autre commande a pu en faire une part, et les
        essais à venir dépendent de ceux qui précèdent.
        """
        path, seeds, made = path or self.path, list(seeds), []
        records = Records(path, asdict(self.settings))

        def left() -> list[tuple[str, int]]:
            return [pair for pair in self.missing(seeds, path, tuning) if pair not in made]

        pairs = left()
        with tqdm(desc="Mesures", unit=" mesure", disable=not pairs) as bar, _threads(self):
            while pairs := left():
                bar.total = len(made) + len(pairs)
                bar.refresh()
                name, seed = pairs[0]
                measures = self.measure(name, seed, self.settings)
                records.add(name, seed, rounded(measures, self.digits))
                made.append(pairs[0])
                bar.update()
        return len(made)

    def main(self, arguments: list[str] | None = None) -> int:
        """La commande : fait les mesures, dit ce qui a été fait, rend le code (0, 2 ou 130)."""
        parser = self._parser()
        options = parser.parse_args(arguments)
        tuning = self.tuning is not None and options.tuning
        if tuning and options.seeds != list(self.seeds):
            parser.error("--tuning compare les réglages à la graine 0 seulement : ôtez --seeds")
        path = options.output

        def work() -> None:
            chosen = self.adapt(self, options)
            path.parent.mkdir(parents=True, exist_ok=True)
            if options.force:
                set_aside(path)
            n_made = chosen.run(options.seeds, path, tuning)
            plural = "s" if n_made > 1 else ""
            say(
                f"{n_made} mesure{plural} ajoutée{plural} à « {path} »."
                if n_made
                else f"Rien à mesurer : « {path} » contient déjà tout ce qui est demandé. Pour le "
                "refaire : --force, ou --output vers un autre fichier."
            )

        return run_command(
            work, f"Ce qui est mesuré est dans « {path} » ; la même commande fait le reste."
        )

    def _parser(self) -> FrenchArgumentParser:
        parser = FrenchArgumentParser(
            prog=f"python -m course_experiments.{self.name}", description=self.description
        )
        seeds, (option, what) = list(self.seeds), self.seeds_option
        listed = f"{what} ({' '.join(map(str, seeds))})"
        add = parser.add_argument
        add(option, dest="seeds", type=natural_int, nargs="+", default=seeds, help=listed)
        if self.tuning is not None:
            add("--tuning", action="store_true", help="compare des réglages (validation)")
        self.add_options(parser)
        add(
            "--output",
            type=Path,
            default=self.path,
            help=f"fichier des mesures ({self.path.name} du cours)",
        )
        add(
            "--force",
            action="store_true",
            help="refait tout ; l’ancien fichier est gardé sous un autre nom",
        )
        return parser


@contextmanager
def _threads(experiment: Experiment) -> Iterator[None]:
    """Dans ce bloc, PyTorch calcule sur les fils de l’expérience."""
    before = torch.get_num_threads()
    torch.set_num_threads(experiment.n_threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


if __name__ == "__main__":
    from course_experiments.records import refuse_to_run

    refuse_to_run(__spec__.name)
