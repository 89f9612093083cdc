"""`cours.py` : les commandes du cours, sans make, sans interpréteur de commandes, partout."""

import ast
import importlib.util
import io
import re
import subprocess
import sys
from pathlib import Path, PureWindowsPath

import pytest
from conftest import OneQueue, load_script

ROOT = Path(__file__).resolve().parent.parent
SOURCE = (ROOT / "cours.py").read_text("utf-8")


class FakeProcess:
    """Une tâche qui rend `code`, ou que Ctrl+C surprend si `code` est une exception."""

    def __init__(self, code):
        self.code, self.killed, self.waited = code, False, False

    def wait(self, timeout=None):
        self.waited = True
        if isinstance(self.code, type):
            error, self.code = self.code, 7
            raise error
        return self.code

    def kill(self):
        self.killed = True


class Launches:
    """Tient la place de `start` : note chaque tâche, et rend le code choisi pour elle."""

    def __init__(self, codes):
        self.codes, self.seen, self.processes = codes, [], []

    def __call__(self, command, extra=None, output=None):
        self.seen.append(([str(part) for part in command], extra or {}))
        text = " ".join(self.seen[-1][0])
        code = next((code for part, code in self.codes.items() if part in text), 0)
        self.processes.append(FakeProcess(code))
        return self.processes[-1]

    def texts(self):
        """Les tâches, sans le Python qui les lance."""
        return [" ".join(command[1:]) for command, _ in self.seen]


@pytest.fixture
def cours(tmp_path, monkeypatch):
    """Le module, dans un dossier d’essai ; il ne lance rien tant qu’un essai ne le décide pas."""
    module = load_script(ROOT / "cours.py")
    monkeypatch.setattr(module, "start", lambda *command: pytest.fail(f"lancé : {command}"))
    monkeypatch.setattr(module, "VENV", tmp_path / "venv")
    monkeypatch.setattr(module, "BUILD", tmp_path / "build")
    return module


@pytest.fixture
def launch(cours, monkeypatch):
    """Joue une commande, installation faite, sans rien lancer : son code et ses tâches."""

    def play(*arguments, codes=None):
        launches = Launches(codes or {})
        monkeypatch.setattr(cours, "start", launches)
        monkeypatch.setattr(cours, "install", lambda: None)
        (cours.VENV).mkdir(exist_ok=True)
        return cours.main(list(arguments)), launches

    return play


# Sans interpréteur de commandes, sur tout système


def test_no_command_goes_through_a_shell():
    """Un seul endroit lance un programme ; il reçoit une liste, et ne nomme pas `shell`."""
    calls = [node for node in ast.walk(ast.parse(SOURCE)) if isinstance(node, ast.Call)]
    launching = [ast.unparse(call.func) for call in calls if "subprocess" in ast.unparse(call.func)]
    assert launching == ["subprocess.Popen"]
    assert not re.search(r"os\.(system|popen|exec|spawn)|shell *=", SOURCE)


def test_only_the_standard_library_and_our_parser_are_imported():
    for node in ast.walk(ast.parse(SOURCE)):
        if isinstance(node, ast.Import):
            assert {alias.name.split(".")[0] for alias in node.names} <= sys.stdlib_module_names
        elif isinstance(node, ast.ImportFrom):
            root = node.module.split(".")[0]
            assert root in sys.stdlib_module_names or node.module == "course_lib.arguments"


def test_an_old_python_understands_enough_to_refuse(cours, monkeypatch, capsys):
    ast.parse(SOURCE, feature_version=(3, 7))
    monkeypatch.setattr(sys, "version_info", (3, 9, 1))
    assert cours.main(["style"]) == 2
    assert "Il faut Python 3.11" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("system", "expected"),
    [("nt", ("Scripts", "python.exe")), ("posix", ("bin", "python"))],
)
def test_the_python_of_the_environment_follows_the_system(cours, system, expected):
    assert cours.venv_python(Path("x"), system).parts == ("x", *expected)
    windows = cours.venv_python(PureWindowsPath(r"C:\cours d’été\.venv"), "nt")
    assert str(windows) == r"C:\cours d’été\.venv\Scripts\python.exe"


COMMANDS = ["lab", "test", "essai", "chapitres", "bench", "modeles", "site", "style", "livre"]


@pytest.mark.parametrize("command", COMMANDS)
def test_the_path_of_each_command_under_windows(cours, launch, monkeypatch, command):
    """Chaque tâche est le Python de `Scripts`, avec des modules et des fichiers qui existent."""
    python = cours.venv_python(cours.VENV, "nt")
    monkeypatch.setattr(cours, "venv_python", lambda: python)
    code, launches = launch(command)
    assert code == 0 and launches.seen
    for (program, *arguments), _ in launches.seen:
        assert program == str(python) and program.endswith("python.exe")
        if arguments[0] == "-m":
            assert importlib.util.find_spec(arguments[1])
        elif arguments[0] == "-c":
            ast.parse(arguments[1])
        else:
            assert (ROOT / arguments[0]).is_file()


def test_what_is_launched_is_really_launched(tmp_path):
    """La vraie `start` : un nom à espaces et accents traverse, et les variables aussi."""
    cours = load_script(ROOT / "cours.py")
    name = "deux mots & l’été $HOME"
    output = tmp_path / "sortie.txt"
    code = "import os, sys; print(sys.argv[1], os.environ['X'], os.environ['PYTHONUTF8'])"
    with output.open("w") as file:
        process = cours.start([sys.executable, "-c", code, name], {"X": "1"}, file)
        assert cours.finish(process) == 0
    assert output.read_text("utf-8") == f"{name} 1 1\n"


# Ce que font les commandes


def test_the_help_the_makefile_and_the_readme_say_the_same(cours, capsys):
    commands = {command.__name__ for command in cours.COMMANDS}
    assert commands == {*COMMANDS, "nettoyer"}
    with pytest.raises(SystemExit) as stopped:
        cours.main(["--help"])
    assert stopped.value.code == 0
    told = capsys.readouterr().out
    assert all(re.search(rf"^ +{name}\b", told, re.MULTILINE) for name in commands)
    makefile = (ROOT / "Makefile").read_text("utf-8")
    listed = set(re.search(r"^COMMANDS := (.*)$", makefile, re.MULTILINE)[1].split())
    assert listed | {"livre", "chapitres"} == commands
    for page in ("README.md", "CONTRIBUTING.md", "book/index.md", "book/guide_enseignant.md"):
        cited = set(re.findall(r"python cours\.py (\w+)", (ROOT / page).read_text("utf-8")))
        assert cited and cited <= commands, page


def test_the_quick_checks_leave_the_browser_and_the_slow_tests(launch):
    code, launches = launch("essai")
    assert code == 0
    assert launches.texts() == [
        "-m ruff check .",
        "-m ruff format --check .",
        "-m pytest -n 2 -q tests -m not browser and not slow",
    ]
    assert launches.seen[-1][1] == {"OMP_NUM_THREADS": "1"}


def test_everything_is_checked_in_order(launch):
    code, launches = launch("test")
    assert code == 0
    steps = launches.texts()
    order = ["ruff check", "ruff format", "build .", "course_lib.pretrained", "not browser"]
    order += ["-m browser"]
    assert [part in step for part, step in zip(order, steps, strict=True)] == [True] * 6
    assert "tests chapters -p nbval.plugin --nbval" in steps[4]
    assert marked_browser() <= set(steps[-1].split())


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("chapters/01_a.ipynb::Cell 3", "chapters/01_a.ipynb"),
        ("tests/test_b.py::test_c[x-2]", "tests/test_b.py"),
        ("tests/test_site.py::test_d[chapters/01_a.html]", "chapters/01_a.html"),
        ("tests/test_budget.py::test_e[chapters/01_a.html]", "chapters/01_a.html"),
        ("tests/test_f_browser.py::test_g[12]", "tests/test_f_browser.py::test_g[12]"),
    ],
)
def test_what_goes_whole_to_one_process(name, unit):
    assert OneQueue._split_scope(None, name) == unit


def marked_browser() -> set[str]:
    """Les fichiers d’essais où paraît l’étiquette `browser`, lus comme Python les lit."""
    found = set()
    for path in (ROOT / "tests").rglob("*.py"):
        tree = ast.walk(ast.parse(path.read_text("utf-8")))
        names = {node.attr for node in tree if isinstance(node, ast.Attribute)}
        if {"mark", "browser"} <= names and path.name.startswith("test_"):
            found.add(path.relative_to(ROOT).as_posix())
    assert len(found) > 10
    return found


@pytest.mark.parametrize(
    ("failing", "code", "last"),
    [
        ("ruff check", 1, "ruff check"),
        ("not browser", 1, "not browser"),
        ("course_lib.pretrained", 4, "course_lib.pretrained"),
        ("build .", 3, "not browser"),  # les tests, déjà commencés, vont au bout
        ("-m browser", 1, "-m browser"),
    ],
)
def test_a_failing_step_stops_everything_and_gives_its_code(launch, failing, code, last, capsys):
    result, launches = launch("test", codes={failing: code})
    assert result == code
    assert last in launches.texts()[-1]
    assert ("Le site n’est pas construit" in capsys.readouterr().err) == (failing == "build .")


def test_a_killed_step_does_not_pass_for_a_success(launch):
    assert launch("style", codes={"ruff": -9})[0] == 1


def test_both_tasks_are_waited_for(launch):
    _, launches = launch("test", codes={"not browser": 2})
    site = next(
        p for p, text in zip(launches.processes, launches.texts(), strict=True) if "build ." in text
    )
    assert site.code == 0 and not site.killed


def test_control_c_stops_everything_and_says_so(launch, capsys):
    code, launches = launch("test", codes={"not browser": KeyboardInterrupt})
    assert code == 130
    assert capsys.readouterr().err.strip() == "Interrompu."
    assert len(launches.seen) == 5  # rien d’autre n’est lancé


@pytest.mark.parametrize("command", ["lab", "livre"])
def test_control_c_is_the_way_out_of_the_book_and_of_the_notebooks(launch, command):
    """Le programme y répond lui-même : on l’attend, et son code est le nôtre."""
    module = {"lab": "jupyterlab", "livre": "serve.py"}[command]
    code, launches = launch(command, codes={module: KeyboardInterrupt})
    assert code == launches.processes[-1].code == 7
    assert not launches.processes[-1].killed


def test_the_notebooks_are_written_then_opened_where_the_site_looks_for_them(cours, launch):
    """Le site ouvre `lab/tree/NN_nom.ipynb` : JupyterLab sert le dossier des cahiers du lecteur."""
    _, launches = launch("lab")
    assert launches.texts()[-2:] == ["book/notebooks.py", "-m jupyterlab cahiers"]
    buttons = (ROOT / "book" / "ext" / "course_site" / "chrome.py").read_text("utf-8")
    assert '"http://localhost:8888/lab/tree/{name}"' in buttons
    assert (cours.VENV / "share" / "jupyter" / "lab" / "settings" / "overrides.json").exists()
    assert "cahiers/" in (ROOT / ".gitignore").read_text("utf-8").split()


def test_a_task_that_does_not_stop_is_killed(monkeypatch):
    cours = load_script(ROOT / "cours.py")
    monkeypatch.setattr(cours, "TIMEOUT_SECONDS", 0.1)
    deaf = "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); time.sleep(60)"
    process = cours.start([sys.executable, "-c", deaf])
    cours.stop(process)
    assert process.returncode != 0


def test_an_impossible_port_is_refused_before_building(launch, capsys):
    with pytest.raises(SystemExit) as stopped:
        launch("livre", "--port", "99999")
    assert stopped.value.code == 2
    assert "« 99999 » n’est pas un port" in capsys.readouterr().err


def test_chapters_are_chosen_by_name(launch):
    _, launches = launch("chapitres", "01_transformer", "--all")
    assert launches.texts()[-1] == "book/execute.py --all 01_transformer"


def test_cleaning_removes_what_was_built_and_nothing_else(cours, launch):
    assert not (ROOT / cours.READER_NOTEBOOKS).is_relative_to(cours.ROOT / "_build")
    (cours.BUILD / "html").mkdir(parents=True)
    assert launch("nettoyer")[0] == 0
    assert not cours.BUILD.exists() and cours.VENV.exists()


# L’installation


def test_the_installation_is_done_once_then_again_if_a_version_changes(cours, monkeypatch):
    launches = Launches({})
    monkeypatch.setattr(cours, "start", launches)
    python = cours.venv_python()
    assert not python.exists()
    python.parent.mkdir(parents=True)
    cours.install()
    assert launches.seen[0][0][1:] == ["-m", "venv", str(cours.VENV)]
    upgrade, pip = (launches.seen[rank][0] for rank in (1, 2))
    assert upgrade[-2:] == ["--upgrade", "pip"]
    assert {upgrade[upgrade.index("--constraint") + 1], pip[pip.index("--constraint") + 1]} == {
        "constraints.txt"
    }
    assert pip[:4] == [str(python), "-m", "pip", "install"]
    assert pip[-4:] == ["--editable", ".[all]", "--editable", "./course_experiments"]
    assert {"pytest", "jupyterlab", "jupyter-book<2", "transformers"} <= set(pip)
    python.touch()
    cours.install()
    assert len(launches.seen) == 3
    monkeypatch.setattr(cours, "fingerprint", lambda: "autre")
    cours.install()
    assert len(launches.seen) == 5  # pip seul : l’environnement est gardé


def test_a_failed_installation_is_tried_again(cours, monkeypatch):
    monkeypatch.setattr(cours, "start", Launches({"pip": 1}))
    python = cours.venv_python()
    python.parent.mkdir(parents=True)
    assert cours.main(["style"]) == 1
    assert not (cours.VENV / "installed").exists()


def test_without_the_module_of_environments_the_remedy_is_named(cours, monkeypatch, capsys):
    monkeypatch.setattr(cours.importlib.util, "find_spec", lambda name: None)
    assert cours.main(["style"]) == 1
    assert "apt-get install python3-venv" in capsys.readouterr().err


def test_llama_cpp_may_be_absent(cours, launch, capsys):
    code, launches = launch("bench", codes={"pip": 1})
    assert code == 0
    assert "n’a pas pu être compilé" in capsys.readouterr().out
    scripts = {path.name for path in (ROOT / "benchmarks").glob("*.py")} - {"report.py"}
    assert sum(Path(text).name in scripts for text in launches.texts()) == len(scripts)


def test_the_makefile_and_the_ci_are_aliases():
    commands = re.findall(r"^\t(.*)$", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    assert commands and all(line.startswith("@$(PYTHON) cours.py ") for line in commands)
    assert (ROOT / ".ci" / "run").read_text("utf-8").rstrip().endswith("python3 cours.py test")


def test_the_console_of_windows_can_show_french(cours, monkeypatch):
    """Une console cp1252 n’a pas l’espace fine insécable : la sortie passe en UTF-8."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding="cp1252")
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setattr(sys, "stderr", stream)
    with pytest.raises(SystemExit):
        cours.main(["--help"])
    assert stream.encoding == "utf-8"


def test_the_script_answers_from_another_folder(tmp_path):
    done = subprocess.run(
        [sys.executable, ROOT / "cours.py", "nettoie"], cwd=tmp_path, capture_output=True
    )
    assert done.returncode == 2
    assert "choix impossible" in done.stderr.decode("utf-8")
