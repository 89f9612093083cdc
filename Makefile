# Le cours en six commandes : livre · lab · chapitres · essai · test · bench
# (site : construit sans servir ; modeles : télécharge les deux modèles publiés)
PYTHON ?= python3
PORT ?= 8000
BIN := .venv/bin
STAMP := .venv/installed
SITE := _build/html
# Chaque module n'est compilé qu'une fois, à son premier emploi.
export PYTHONDONTWRITEBYTECODE :=
# Deux processus, un fil de calcul chacun : ils ne se disputent pas les cœurs.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 -q
NBVAL := PYTHONHASHSEED=0 OMP_THREAD_LIMIT=1 $(PYTEST) chapters --nbval --dist loadfile -p no:cacheprovider \
	--nbval-sanitize-with tests/nbval_sanitize.cfg -o addopts= -o filterwarnings=

.PHONY: livre port site modeles lab chapitres style unites essai test bench nettoyer

livre: port modeles site
	@$(BIN)/python book/serve.py --port $(PORT)

# Un port impossible se dit avant de construire, non après.
port:
	@[ "$(PORT)" -ge 0 ] 2> /dev/null && [ "$(PORT)" -le 65535 ] || \
		{ echo "PORT=$(PORT) n'est pas un port : il faut un entier de 1024 à 65535."; exit 2; }

site: $(STAMP)
	@mkdir -p _build
	@$(BIN)/jupyter-book build . --toc book/_toc.yml -W -n --keep-going --all -q \
		> _build/journal.txt 2>&1 || { cat _build/journal.txt; exit 1; }
	@echo "Le site est construit : $(SITE)/index.html. « make livre » le sert."

# Les deux modèles publiés que le chapitre 06 charge : 180 Mo, une fois par machine.
modeles: $(STAMP)
	@$(BIN)/python -m course_lib.pretrained

lab: modeles
	mkdir -p .venv/share/jupyter/lab/settings
	cp book/lab/overrides.json .venv/share/jupyter/lab/settings/
	$(BIN)/jupyter lab chapters

chapitres: modeles
	$(BIN)/python book/execute.py $(CHAPITRES)

style: $(STAMP)
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

# Ce qu'on lance à chaque changement : moins de deux minutes.
essai: style
	$(PYTEST) tests -m "not browser and not slow" --dist loadfile

unites: modeles
	$(PYTEST) tests -m "not browser" --dist loadfile

# Le site se construit pendant les tests ; les chapitres, puis les pages, viennent ensuite.
test: style modeles
	$(MAKE) -j 2 unites site
	$(NBVAL)
	$(PYTEST) tests -m browser --dist loadgroup

# Les références les plus rapides se compilent : sans compilateur, leurs lignes manquent, c'est dit.
bench: modeles .venv/bench
	@set -e; for script in $(filter-out benchmarks/report.py,$(wildcard benchmarks/*.py)); do \
		echo "$$script"; $(BIN)/python $$script; done

.venv/bench: benchmarks/requirements.txt $(STAMP)
	@echo "Compilation de llama.cpp (quelques minutes)…"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r $< 2> .venv/bench.log \
		&& touch $@ || echo "llama.cpp n'a pas pu être compilé : il faut un compilateur C++ et \
	CMake. Ses lignes manqueront aux tableaux (détail : .venv/bench.log)."

$(STAMP): requirements.txt pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --no-compile --editable .
	touch $@

nettoyer:
	rm -rf _build
