"""Le tableau des vitesses à deux processus, d’après `course_experiments.parallel_speed`.

    python benchmarks/parallel.py [--repetitions 3]

Les mesures déjà livrées ne sont pas refaites : pour les refaire, effacez
`course_experiments/results/parallel_speed.json`. L’efficacité rapporte le débit de deux
processus à deux fois celui d’un seul ; elle n’a de sens que sur une machine au repos.
"""

import statistics
from pathlib import Path

from report import markdown_table, write_report

from course_experiments import parallel_speed
from course_experiments.parallel_speed import ALONE, SHAPES, Load
from course_lib.arguments import FrenchArgumentParser, positive_int
from course_lib.parallel import STRATEGIES
from course_lib.typography import format_number, format_percent

REPORT = Path(__file__).parent / "resultats" / "parallel.md"


def rows(records: dict, size: str) -> list[list[str]]:
    """Les quatre lignes d’une taille : un processus, puis deux de chaque façon."""
    speed_ups, lines = parallel_speed.speed_ups(records, size), []
    for strategy in (ALONE, *STRATEGIES):
        runs = list(records["runs"][f"{size} {strategy}"].values())
        rate = statistics.median(run["tokens_per_second"] for run in runs)
        cells = [format_number(runs[0]["parameters"], 0), strategy, format_number(rate, 0)]
        if strategy == ALONE:
            lines.append([*cells, "1,00", "", ""])
            continue
        assert all(run["sent_bytes"] == run["expected_bytes"] for run in runs)
        ratio, sent = speed_ups[strategy], runs[0]["sent_bytes"] / 1e6
        efficiency = format_percent(ratio / 2)
        lines.append([*cells, format_number(ratio, 2), efficiency, format_number(sent, 2)])
    return lines


def main() -> None:
    """Mesure ce qui manque et écrit le tableau."""
    parser = FrenchArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repetitions", type=positive_int, default=3, help="nombre de tours")
    options = parser.parse_args()
    parallel_speed.EXPERIMENT.run(range(options.repetitions))
    records = parallel_speed.load_results()
    load = Load()
    headers = [
        "paramètres",
        "partage",
        "jetons/s",
        "accélération",
        "efficacité",
        "Mo envoyés par pas et par processus",
    ]
    write_report(
        REPORT,
        "Entraînement à plusieurs processus",
        f"Un ou deux processus, un fil chacun, sur une machine ; lots de {load.batch_size} × "
        f"{load.context_length} jetons, vocabulaire de {load.vocab_size}, {load.n_steps} pas, "
        f"médiane de {options.repetitions} tours. Les octets comptés sont ceux de la formule.",
        markdown_table(headers, [row for size in SHAPES for row in rows(records, size)]),
    )


if __name__ == "__main__":
    main()
