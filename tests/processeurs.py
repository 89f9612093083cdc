"""Essaie la suite et les chapitres comme sur d’autres processeurs, et dit ce qui diffère.

Un calcul flottant change de dernier bit d’un processeur à l’autre, et un entraînement suit alors un
autre chemin. Chaque case de la matrice imite une machine sur celle-ci : jeu d’instructions, nombre
de fils, ordre des ensembles de Python, et, pour les cases « bruit », un dernier bit changé dans les
poids de départ. Le bilan liste les échecs, puis les bornes que l’écart entre cases menace.

    python tests/processeurs.py                            # toute la matrice, tests et chapitres
    python tests/processeurs.py --cases avx2 ancien --chapitres 05_limites_entrainement
    python tests/processeurs.py --tests tests/test_recurrent.py --sans-chapitres

Une case finie n’est pas refaite ; `--refaire` l’exige. Tout est écrit dans `_build/processeurs/`.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import nbformat
from margins import instrument_cell

ROOT = Path(__file__).resolve().parent.parent
OUTPUT = ROOT / "_build" / "processeurs"
AVX2 = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",
    "OPENBLAS_CORETYPE": "Haswell",
    "NUMBA_CPU_NAME": "haswell",
}
OLD = {
    "ATEN_CPU_CAPABILITY": "default",
    "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
    "ONEDNN_MAX_CPU_ISA": "SSE41",
    "NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4 AVX512_ICL AVX512_SPR",
    "OPENBLAS_CORETYPE": "Nehalem",
    "NUMBA_CPU_NAME": "nehalem",
}
CASES = {
    "ici": {},
    "deux-fils": {"OMP_NUM_THREADS": "2"},
    "avx512": {"ATEN_CPU_CAPABILITY": "avx512", "ONEDNN_MAX_CPU_ISA": "AVX512_CORE"},
    "avx2": AVX2,
    "ancien": OLD,
    "ancien-deux-fils": {**OLD, "OMP_NUM_THREADS": "2"},
    **{f"bruit-{seed}": {"COURS_BRUIT": str(seed)} for seed in range(1, 7)},
}
SPREADS = 2.0  # une borne plus proche que deux fois l’étendue mesurée est signalée
PYTEST = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", "-n", "2"]
PYTEST += ["--durations", "40"]


def environment(case: str) -> dict[str, str]:
    """Les variables d’une case ; l’ordre des ensembles diffère de l’une à l’autre."""
    rank = str(list(CASES).index(case))
    base = {"OMP_NUM_THREADS": "1", "PYTHONHASHSEED": rank, "TOKENIZERS_PARALLELISM": "false"}
    paths = [str(ROOT / "tests"), str(ROOT), os.environ.get("PYTHONPATH", "")]
    return {
        **os.environ,
        **base,
        **CASES[case],
        "OMP_THREAD_LIMIT": CASES[case].get("OMP_NUM_THREADS", "1"),
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "PYTHONPYCACHEPREFIX": str(OUTPUT / "pycache"),  # les tests instrumentés n’y restent pas
        # Un noyau compilé pour un processeur n’est pas celui d’un autre : chaque case a les siens.
        "TORCHINDUCTOR_CACHE_DIR": str(OUTPUT / case / "inductor"),
        "NUMBA_CACHE_DIR": str(OUTPUT / case / "numba"),
    }


def instrument_chapters(names: list[str], folder: Path) -> list[str]:
    """Copie les cahiers, chaque `claim` instrumenté ; rend leurs chemins."""
    folder.mkdir(parents=True, exist_ok=True)
    copies = []
    for path in sorted((ROOT / "chapters").glob("*.ipynb")):
        if names and path.stem not in names:
            continue
        notebook = nbformat.read(path, as_version=4)
        cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
        for rank, cell in enumerate(cells):
            cell.source = instrument_cell(cell.source, f"{path.stem}:cellule {rank}")
        cells[0].source = f"import margins\n\nmargins.start()\n{cells[0].source}"
        nbformat.write(notebook, folder / path.name)
        copies.append(str(folder / path.name))
    return copies


def run_case(case: str, kind: str, targets: list[str], again: bool) -> tuple[list[str], list[dict]]:
    """Passe une case ; rend les échecs et les relevés de marges."""
    folder = OUTPUT / case
    folder.mkdir(parents=True, exist_ok=True)
    report, margins = folder / f"{kind}.txt", folder / f"{kind}.jsonl"
    done = folder / f"{kind}.fini"
    if again or not done.exists() or done.read_text("utf-8") != " ".join(targets):
        margins.unlink(missing_ok=True)
        done.unlink(missing_ok=True)
        command = [*PYTEST, "--dist", "loadfile"]
        if kind == "chapitres":
            copies = instrument_chapters(targets, folder / "chapters")
            sanitize = str(ROOT / "tests" / "nbval_sanitize.cfg")
            command += ["--nbval", "--nbval-sanitize-with", sanitize, "-o", "addopts="]
            command += ["-o", "filterwarnings=", *copies]
        else:
            command += ["-p", "margins", "-m", "not browser", *(targets or ["tests"])]
        print(f"{case} · {kind}…", end=" ", flush=True)
        start = time.monotonic()
        with report.open("w", encoding="utf-8") as file:
            variables = {**environment(case), "COURS_MARGES": str(margins)}
            code = subprocess.run(
                command, cwd=ROOT, env=variables, stdout=file, stderr=subprocess.STDOUT
            ).returncode
        print(f"{time.monotonic() - start:.0f} s, code {code}", flush=True)
        if code > 1:
            raise SystemExit(f"pytest n’a pas pu finir : lisez {report}.")
        done.write_text(" ".join(targets), "utf-8")
    failures = re.findall(r"^(?:FAILED|ERROR) (.*)$", report.read_text("utf-8"), re.M)
    lines = margins.read_text("utf-8").splitlines() if margins.exists() else []
    return failures, [json.loads(line) for line in lines]


def closest_by_case(results: dict[str, tuple[list[str], list[dict]]]) -> dict[str, dict[str, dict]]:
    """Pour chaque comparaison, le relevé le plus serré de chaque case."""
    found: dict[str, dict[str, dict]] = {}
    for case, (_, margins) in results.items():
        for line in margins:
            kept = found.setdefault(line["place"], {})
            if case not in kept or line["margin"] < kept[case]["margin"]:
                kept[case] = line
    return found


def summarize(results: dict[str, tuple[list[str], list[dict]]], spreads: float) -> str:
    """Le bilan en Markdown : les échecs par case, puis les bornes que l’écart entre cases menace.

    Une comparaison identique dans toutes les cases ne dépend pas du processeur. Une autre est
    signalée si sa plus petite marge vaut moins de `spreads` fois l’étendue de ses marges.
    """
    failing: dict[str, list[str]] = {}
    for case, (failures, _) in results.items():
        for failure in failures:
            failing.setdefault(failure.split(" - ")[0], []).append(case)
    rows = ["## Échecs", ""]
    rows += [f"- {name} : {', '.join(dict.fromkeys(cases))}" for name, cases in failing.items()]
    rows += [] if failing else ["Aucun."]
    threatened = []
    for place, cases in closest_by_case(results).items():
        margins = [line["margin"] for line in cases.values()]
        smallest, spread = min(margins), max(margins) - min(margins)
        if spread and smallest < spreads * spread:
            threatened.append((smallest / spread, smallest, place, cases))
    rows += ["", f"## Bornes à moins de {spreads:g} fois l’étendue mesurée", ""]
    rows += ["| marge / étendue | marge | où | mesuré (signe) borne, de chaque case |"]
    rows += ["|---:|---:|---|---|"]
    for ratio, smallest, place, cases in sorted(threatened, key=lambda row: row[:2]):
        seen = {f"{d['left']:.5g} {d['kind']} {d['right']:.5g}" for d in cases.values()}
        rows.append(f"| {ratio:.2f} | {smallest:.3f} | {place} | {' ; '.join(sorted(seen))} |")
    return "\n".join(rows) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Passe les cases demandées et écrit `bilan.md` ; 1 si un test ou une cellule échoue."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", nargs="*", choices=CASES, default=list(CASES))
    parser.add_argument("--tests", nargs="*", default=[], help="fichiers de tests (tous sinon)")
    parser.add_argument("--chapitres", nargs="*", default=[], help="chapitres (tous sinon)")
    parser.add_argument("--sans-tests", action="store_true")
    parser.add_argument("--sans-chapitres", action="store_true")
    parser.add_argument("--etendues", type=float, default=SPREADS, help="marge, en étendues")
    parser.add_argument("--refaire", action="store_true", help="refait une case déjà finie")
    options = parser.parse_args(arguments)
    kinds = {"tests": options.tests, "chapitres": options.chapitres}
    skipped = {"tests": options.sans_tests, "chapitres": options.sans_chapitres}
    results: dict[str, tuple[list[str], list[dict]]] = {}
    for case in options.cases:
        failures, margins = results.setdefault(case, ([], []))
        for kind, targets in kinds.items():
            if not skipped[kind]:
                new = run_case(case, kind, targets, options.refaire)
                failures += new[0]
                margins += new[1]
    text = summarize(results, options.etendues)
    (OUTPUT / "bilan.md").write_text(text, "utf-8")
    print(text)
    return int(any(failures for failures, _ in results.values()))


if __name__ == "__main__":
    sys.exit(main())
