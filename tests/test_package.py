"""Le paquet installé : ce qu’il demande, ce que charge son entrée, ce que contient sa roue."""

import ast
import importlib
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from itertools import chain
from pathlib import Path

import pytest
from conftest import load_script

import course_lib
from course_lib.extras import needed_by

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
EXTRAS = PROJECT["project"]["optional-dependencies"]
# Les pièces que leur supplément porte ; footprint est posée sur scaling.
ROOMS_OF_EXTRAS = {"figures", "footprint", "scaling", "widgets"}
BRANCHES = ("matplotlib", "anywidget", "traitlets", "scipy", "numba", "tokenizers")
BRANCHES += ("transformers", "peft", "IPython", "myst_nb", "pytest")
# Sans PYTHONPATH, un Python neuf ne voit pas le dépôt.
ALONE = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
ALONE["PYTHONUTF8"] = "1"


def names(requirements) -> set[str]:
    """Les distributions d’une liste de dépendances, sans version."""
    return {re.match(r"[\w.-]+", line)[0].lower().replace("_", "-") for line in requirements}


def run_python(code: str, python: Path | str = sys.executable, **options) -> str:
    """Ce qu’écrit un Python neuf, lancé loin du dépôt s’il le faut."""
    done = subprocess.run(
        [python, "-c", code], capture_output=True, text=True, encoding="utf-8", **options
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


# Ce qu’il demande


def third_party_imports() -> dict[str, set[str]]:
    """{distribution: fichiers de course_lib qui l’importent}, où que soit l’instruction."""
    found = {}
    for path in sorted((ROOT / "course_lib").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            else:
                modules = [node.module] if isinstance(node, ast.ImportFrom) else []
            for module in {name.split(".")[0] for name in modules}:
                if module not in sys.stdlib_module_names and module != "course_lib":
                    name = module.replace("_", "-")
                    found.setdefault(name, set()).add(path.relative_to(ROOT).as_posix())
    return found


def test_what_the_library_imports_is_what_it_asks_for():
    core, extras = names(PROJECT["project"]["dependencies"]), names(chain(*EXTRAS.values()))
    imported = third_party_imports()
    # Le cahier et le livre apportent les leurs : ces modules ne s’emploient que là.
    notebooks = {"ipython": "IPython", "myst-nb": "myst_nb"}
    asked = core | extras - {"course-lib"} | set(notebooks)
    assert {name.lower() for name in imported} == asked


def test_the_library_pins_nothing():
    requirements = [*PROJECT["project"]["dependencies"], *chain(*EXTRAS.values())]
    assert [line for line in requirements if not re.search(r">=|^course-lib\[", line)] == []
    assert names(EXTRAS["all"]) == {"course-lib"}
    assert set(re.search(r"\[(.*)\]", EXTRAS["all"][0])[1].split(",")) == set(EXTRAS) - {"all"}


def test_the_installation_pins_everything():
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    packages = [line for line in lines if line and not line.startswith("#")]
    assert [line for line in packages if not re.fullmatch(r"[\w.-]+==[\w.]+", line)] == []
    asked = names(load_script(ROOT / "cours.py").group_requirements())
    asked |= names(PROJECT["project"]["dependencies"]) | names(chain(*EXTRAS.values()))
    assert asked - names(packages) - {"course-lib"} == {"traitlets"}  # anywidget l’apporte


# Ce que charge son entrée


def test_the_entrance_loads_nothing_heavy():
    loaded = run_python(
        "import sys, course_lib; print(course_lib.__version__); print(*sys.modules)", cwd=ROOT
    )
    version, modules = loaded.splitlines()
    assert re.fullmatch(r"\d+\.\d+\.\d+", version)
    assert not {name.split(".")[0] for name in modules.split()} & {"torch", "numpy", *BRANCHES}


@pytest.mark.slow
def test_each_name_of_the_entrance_is_that_of_its_room():
    assert set(course_lib.__all__) - {"__version__"} == set(course_lib._HOMES)
    assert set(course_lib.__all__) <= set(dir(course_lib))
    for name, room in course_lib._HOMES.items():
        assert getattr(course_lib, name) is getattr(
            importlib.import_module(f"course_lib.{room}"), name
        )
    tree = ast.parse(Path(course_lib.__file__).read_text("utf-8"))
    declared = {
        alias.name: node.module
        for block in tree.body
        if isinstance(block, ast.If)
        for node in block.body
        for alias in node.names
    }
    assert declared == {name: f"course_lib.{room}" for name, room in course_lib._HOMES.items()}


def test_an_unknown_name_is_said_in_french():
    with pytest.raises(AttributeError, match=r"pas de « lama ».*load_petit_llm"):
        course_lib.lama  # noqa: B018


@pytest.mark.slow
def test_the_core_does_without_the_extras():
    """Chaque pièce sans supplément s’importe quand rien de plus que le cœur n’est là."""
    rooms = {path.stem for path in (ROOT / "course_lib").glob("[a-z]*") if path.suffix != ".typed"}
    core = sorted(rooms - ROOMS_OF_EXTRAS - {"__pycache__"})
    assert len(core) > 15
    run_python(
        f"import sys\nfor name in {BRANCHES}: sys.modules[name] = None\n"
        f"from importlib import import_module\n"
        f"for room in {core}: import_module('course_lib.' + room)\n"
        "import course_lib\nfor name in course_lib.__all__: getattr(course_lib, name)\n",
        cwd=ROOT,
    )


@pytest.mark.parametrize(
    ("module", "missing", "extra"),
    [
        ("course_lib.figures", "matplotlib", "figures"),
        ("course_lib.widgets.base", "anywidget", "widgets"),
        ("course_lib.scaling.laws", "scipy", "scaling"),
        ("course_lib.evaluation.bias", "scipy", "evaluation"),
    ],
)
@pytest.mark.slow
def test_a_missing_extra_is_named_with_its_remedy(module, missing, extra):
    said = run_python(
        f"import sys; sys.modules['{missing}'] = None\n"
        f"try: import {module}\nexcept ModuleNotFoundError as error: print(error)",
        cwd=ROOT,
    )
    assert f"Il manque « {missing}" in said
    assert f'pip install "course-lib[{extra}]"' in said
    assert extra in EXTRAS


def test_only_an_import_is_explained():
    with pytest.raises(ZeroDivisionError), needed_by("figures"):
        1 / 0  # noqa: B018


# Ce que contient sa roue


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """La roue, bâtie hors du dépôt : rien n’y est laissé."""
    folder = tmp_path_factory.mktemp("roue")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    for name in ("course_lib", "course_experiments"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    command = [*pip, "wheel", "--quiet", "--no-deps", "--no-build-isolation", "."]
    subprocess.run([*command, "--wheel-dir", "dist"], cwd=folder, check=True)
    return next((folder / "dist").glob("*.whl"))


@pytest.mark.slow
def test_the_wheel_holds_the_library_and_its_models_only(wheel):
    with zipfile.ZipFile(wheel) as archive:
        content = {name for name in archive.namelist() if ".dist-info/" not in name}
    source = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "course_lib").rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    assert content == source
    assert "course_lib/models/petit_llm/model.safetensors" in content
    assert "course_lib/py.typed" in content


@pytest.mark.slow
def test_a_story_is_written_from_the_wheel_in_an_empty_environment(wheel, tmp_path):
    """Rien que la roue et le cœur : ni le dépôt, ni les suppléments, ni les essais.

    PyTorch n’est pas téléchargé : un fichier .pth montre ceux de cet environnement.
    """
    environment = tmp_path / "vide"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    python = load_script(ROOT / "cours.py").venv_python(environment)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", python]
    install = [*pip, "install", "--quiet", "--no-deps", "--no-index", wheel]
    subprocess.run(install, check=True, env=ALONE)
    packages = run_python("import sysconfig; print(sysconfig.get_path('purelib'))", python).strip()
    Path(packages, "coeur.pth").write_text(sysconfig.get_path("purelib") + "\n", "utf-8")
    story = run_python(
        f"import sys\nfor name in {BRANCHES}: sys.modules[name] = None\n"
        "import course_lib\n"
        "assert 'torch' not in sys.modules\n"
        "from course_lib import SamplingConfig, TextGenerator, load_petit_llm\n"
        "writer = TextGenerator(*load_petit_llm())\n"
        "print(course_lib.__file__)\n"
        "print(writer.complete('Il était une fois', max_new_tokens=80,"
        " sampling=SamplingConfig(temperature=0.8)))",
        python,
        cwd=tmp_path,
        env=ALONE,
    )
    where, text = story.split("\n", 1)
    assert Path(where).resolve().is_relative_to(environment.resolve())
    assert text.startswith("Il était une fois") and len(text.split()) > 20
