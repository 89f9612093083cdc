"""Toutes les commandes du cours, sous Linux, macOS et Windows : `python cours.py --help`.

Il ne faut que Python 3.11 ou plus récent. La première commande crée `.venv` et y installe le
reste, aux versions de `constraints.txt` ; les suivantes n’y reviennent que si elles ont changé.
"""

import contextlib
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
BUILD = ROOT / "_build"
# Ce dont l’installation dépend : si l’un d’eux change, elle est refaite.
INSTALLED_FROM = ("constraints.txt", "pyproject.toml", "course_experiments/pyproject.toml")
EXPERIMENTS = "./course_experiments"
READER_NOTEBOOKS = "cahiers"  # hors de _build : le lecteur y écrit, rien ne l’efface
# En français, sans jupyterlab-myst : les cahiers n’en ont pas besoin, et il casse leurs replis.
LAB_SETTINGS = {
    "overrides.json": Path("share", "jupyter", "lab", "settings"),
    "page_config.json": Path("etc", "jupyter", "labconfig"),
}
BENCH_REQUIREMENTS = "benchmarks/requirements.txt"
OLDEST = (3, 11)
TIMEOUT_SECONDS = 10  # ce qu’on laisse à une tâche interrompue pour se ranger
# Un fil de calcul par processus de test : ils ne se disputent pas les cœurs.
ONE_THREAD = {"OMP_NUM_THREADS": "1"}
TESTS = ["-m", "pytest", "-n", "2", "-q"]
# nbval sous son autre nom : `addopts` l’écarte des séances ordinaires.
NOTEBOOKS = ["chapters", "-p", "nbval.plugin", "--nbval"]
NOTEBOOKS += ["--nbval-sanitize-with", "tests/nbval_sanitize.cfg"]
SITE = ["-c", "from jupyter_book.cli.main import main; main()", "build", "."]
SITE += ["--toc", "book/_toc.yml", "-W", "-n", "--keep-going", "--all", "-q"]


class Failure(Exception):
    """Une étape a échoué : `code` est celui que rend la commande."""

    def __init__(self, code, message=""):
        super().__init__(message)
        self.code = code


def venv_python(folder=None, system=os.name):
    """Le Python de `.venv`, ou d’un autre : dans `Scripts` sous Windows, `bin` ailleurs."""
    folder = folder or VENV
    return folder / "Scripts" / "python.exe" if system == "nt" else folder / "bin" / "python"


def environment(extra):
    """Les variables d’une tâche : de l’UTF-8 partout, modules et noyaux compilés une seule fois."""
    kept = {"PYTHONUTF8": "1", "NUMBA_CACHE_DIR": str(BUILD / "numba")}
    variables = {**os.environ, **kept, **extra}
    variables.pop("PYTHONDONTWRITEBYTECODE", None)
    return variables


def start(command, extra=None, output=None):
    """Lance un programme, sans interpréteur de commandes : une liste, jamais une chaîne."""
    command = [str(part) for part in command]
    return subprocess.Popen(
        command, cwd=ROOT, env=environment(extra or {}), stdout=output, stderr=output
    )


def finish(process):
    """Attend la fin d’une tâche ; interrompue, elle a dix secondes pour se ranger."""
    try:
        return process.wait()
    except BaseException:
        stop(process)
        raise


def stop(process):
    """Attend une tâche que Ctrl+C a déjà atteinte, l’arrête si elle tarde."""
    try:
        process.wait(TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def run(command, extra=None):
    """Lance un programme et l’attend ; Failure s’il échoue, avec son code."""
    code = finish(start(command, extra))
    if code:
        raise Failure(code)


def accompany(*arguments):
    """Lance un programme qui répond lui-même à Ctrl+C : c’est ainsi qu’on le quitte."""
    process = start([venv_python(), *arguments])
    while True:
        try:
            code = process.wait()
            break
        except KeyboardInterrupt:
            continue
    if code:
        raise Failure(code)


def python(*arguments, extra=None):
    """Lance le Python de l’environnement."""
    run([venv_python(), *arguments], extra)


# L’installation


def fingerprint():
    """L’empreinte de ce dont l’installation dépend, et de la version de Python."""
    digest = hashlib.sha256(f"{sys.version_info[:2]} {sys.platform}".encode())
    for name in INSTALLED_FROM:
        digest.update((ROOT / name).read_bytes().replace(b"\r\n", b"\n"))
    return digest.hexdigest()


def group_requirements(name="dev"):
    """Ce que demande un groupe de `pyproject.toml`, groupes inclus compris."""
    import tomllib

    with (ROOT / "pyproject.toml").open("rb") as file:
        groups = tomllib.load(file)["dependency-groups"]

    def expand(group):
        for item in groups[group]:
            if isinstance(item, str):
                yield item
            else:
                yield from expand(item["include-group"])

    return sorted(set(expand(name)))


def install():
    """Crée `.venv` s’il manque et y met le cours, sauf si c’est déjà fait."""
    stamp = VENV / "installed"
    if venv_python().exists() and stamp.exists() and stamp.read_text("utf-8") == fingerprint():
        return
    if not venv_python().exists():
        if importlib.util.find_spec("ensurepip") is None:
            raise Failure(
                1,
                "Ce Python ne sait pas créer d’environnement. Sous Debian ou Ubuntu : "
                "sudo apt-get install python3-venv",
            )
        run([sys.executable, "-m", "venv", VENV])
    say("Installation de ce qui manque (plusieurs minutes la première fois)…")
    command = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"]
    command += ["--constraint", "constraints.txt"]
    python(*command, "--upgrade", "pip")  # celui de Python 3.11 met deux fois plus de temps
    python(*command, *group_requirements(), "--editable", ".[all]", "--editable", EXPERIMENTS)
    stamp.write_text(fingerprint(), "utf-8")


# Les commandes


def livre(options):
    """construit le livre et l’ouvre à la lecture, sur cette machine"""
    install()
    fetch_models()
    build_site()
    accompany("book/serve.py", "--port", str(options.port))


def site(options):
    """construit le livre sans le servir, dans _build/html"""
    install()
    build_site()


def lab(options):
    """ouvre les cahiers du lecteur dans JupyterLab, en français"""
    install()
    fetch_models()
    for name, folder in LAB_SETTINGS.items():
        (VENV / folder).mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / "book" / "lab" / name, VENV / folder)
    python("book/notebooks.py")
    accompany("-m", "jupyterlab", READER_NOTEBOOKS)


def chapitres(options):
    """exécute les chapitres dont le code a changé"""
    install()
    fetch_models()
    python("book/execute.py", *(["--all"] if options.all else []), *options.noms)


def modeles(options):
    """télécharge les deux modèles publiés (180 Mo, une fois par machine)"""
    install()
    fetch_models()


def style(options):
    """vérifie la forme du code"""
    install()
    check_style()


def essai(options):
    """style et tests rapides : ce qu’on lance à chaque changement"""
    install()
    check_style()
    tests("tests", "-m", "not browser and not slow")


def test(options):
    """tout vérifier : style, tests, site, chapitres exécutés et comparés, navigateur"""
    install()
    check_style()
    with site_beside():
        fetch_models()
        tests("tests", *NOTEBOOKS, "-m", "not browser")
    tests(*browser_files(), "-m", "browser")


def bench(options):
    """mesure nos vitesses et celles des bibliothèques de référence"""
    install()
    fetch_models()
    compile_llama_cpp()
    for script in sorted((ROOT / "benchmarks").glob("*.py")):
        if script.name != "report.py":
            say(f"benchmarks/{script.name}")
            python(script)


def nettoyer(options):
    """efface ce qui a été construit (le dossier _build)"""
    shutil.rmtree(BUILD, ignore_errors=True)


COMMANDS = (livre, lab, test, essai, chapitres, bench, modeles, site, style, nettoyer)


# Leurs étapes


def fetch_models():
    """Les deux modèles publiés que les chapitres 07 à 09 chargent."""
    python("-m", "course_lib.pretrained")


def check_style():
    """ruff : les fautes, puis la mise en forme."""
    python("-m", "ruff", "check", ".")
    python("-m", "ruff", "format", "--check", ".")


def tests(*arguments):
    """pytest, sur deux processus et une seule file ; tests/conftest.py la met en ordre."""
    python(*TESTS, *arguments, extra=ONE_THREAD)


def browser_files():
    """Les fichiers qui ouvrent un navigateur : importer tous les autres prend vingt secondes."""
    return [
        path.relative_to(ROOT).as_posix()
        for path in sorted((ROOT / "tests").glob("test_*.py"))
        if "mark.browser" in path.read_text("utf-8")
    ]


def start_site(journal):
    """Commence à construire le site ; ce que dit Sphinx va dans `journal`."""
    return start([venv_python(), *SITE], output=journal)


def open_journal():
    """Le fichier où Sphinx écrit ; on ne le montre que s’il se plaint."""
    BUILD.mkdir(exist_ok=True)
    return (BUILD / "journal.txt").open("w", encoding="utf-8")


def report_site(code):
    """Dit où est le site, ou montre le journal ; Failure si la construction a échoué."""
    if code:
        say((BUILD / "journal.txt").read_text("utf-8", errors="replace"))
        raise Failure(code, "Le site n’est pas construit : le journal ci-dessus dit pourquoi.")
    say("Le site est construit : _build/html/index.html. « python cours.py livre » le sert.")


def build_site():
    """Construit le site ; le moindre avertissement est une erreur."""
    with open_journal() as journal:
        code = finish(start_site(journal))
    report_site(code)


@contextlib.contextmanager
def site_beside():
    """Le site se construit pendant ce qui suit, et l’on attend toujours les deux."""
    with open_journal() as journal:
        building = start_site(journal)
        try:
            yield
        except KeyboardInterrupt:
            stop(building)
            raise
        finally:
            code = finish(building)
    report_site(code)


def compile_llama_cpp():
    """llama.cpp se compile ; sans compilateur, ses lignes manqueront aux tableaux, c’est dit."""
    stamp, requirements = VENV / "bench", (ROOT / BENCH_REQUIREMENTS).read_text("utf-8")
    if stamp.exists() and stamp.read_text("utf-8") == requirements:
        return
    say("Compilation de llama.cpp (quelques minutes)…")
    pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    with (VENV / "bench.log").open("w", encoding="utf-8") as journal:
        command = [venv_python(), *pip, "--requirement", BENCH_REQUIREMENTS]
        code = finish(start(command, output=journal))
    if code:
        say(
            "llama.cpp n’a pas pu être compilé : il faut un compilateur C++ et CMake. Ses lignes "
            "manqueront aux tableaux (détail : .venv/bench.log)."
        )
    else:
        stamp.write_text(requirements, "utf-8")


# L’entrée


def say(text):
    """Écrit tout de suite : les tâches lancées écrivent au même endroit."""
    print(text, flush=True)


def port(text):
    """Un numéro de port ; il se vérifie avant de construire, non après."""
    import argparse

    if not text.strip().isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(
            f"« {text} » n’est pas un port : il faut un entier de 1024 à 65535"
        )
    return int(text)


def build_parser():
    """Les commandes et leurs options, en français."""
    from course_lib.arguments import FrenchArgumentParser

    parser = FrenchArgumentParser(
        prog="python cours.py", description="Lire, exécuter et vérifier le cours."
    )
    choices = parser.add_subparsers(
        title="commandes ", dest="commande", metavar="COMMANDE", required=True
    )
    for command in COMMANDS:
        help_text = command.__doc__
        sub = choices.add_parser(command.__name__, help=help_text, description=help_text)
        sub.set_defaults(run=command)
        if command is livre:
            sub.add_argument("--port", type=port, default=8000, help="port (8000 par défaut)")
        if command is chapitres:
            sub.add_argument("noms", nargs="*", metavar="NOM", help="01_transformer, par exemple")
            sub.add_argument("--all", action="store_true", help="même ce qui n’a pas changé")
    return parser


def main(arguments=None):
    """Rend 0, le code de l’étape qui a échoué, ou 130 après Ctrl+C."""
    if sys.version_info < OLDEST:
        print(f"Il faut Python 3.11 ou plus récent ; celui-ci est {sys.version.split()[0]}.")
        return 2
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8")
    options = build_parser().parse_args(arguments)
    try:
        options.run(options)
    except Failure as failure:
        if str(failure):
            print(failure, file=sys.stderr)
        return failure.code if failure.code > 0 else 1  # tué par un signal : un code négatif
    except KeyboardInterrupt:
        print("\nInterrompu.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
