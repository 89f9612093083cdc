# Le cours en cinq commandes : livre · lab · chapitres · test · bench
# (site : construit sans servir ; modeles : télécharge les deux modèles publiés)
PYTHON ?= python3
PORT ?= 8000
BIN := .venv/bin
STAMP := .venv/installed
SITE := _build/html
NBVAL := $(BIN)/pytest chapters --nbval --nbval-sanitize-with tests/nbval_sanitize.cfg \
	-o addopts= -o filterwarnings= -p no:cacheprovider -q

.PHONY: livre site modeles lab chapitres test bench nettoyer

livre: modeles site
	$(BIN)/python book/serve.py --port $(PORT)

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

test: modeles
	$(BIN)/ruff check . && $(BIN)/ruff format --check .
	$(BIN)/pytest tests -m "not browser" -n 2 --dist loadfile -q
	PYTHONHASHSEED=0 OMP_NUM_THREADS=2 $(NBVAL)
	$(MAKE) site
	$(BIN)/pytest tests -m browser -q

bench: modeles
	for script in $(filter-out benchmarks/report.py,$(wildcard benchmarks/*.py)); do $(BIN)/python $$script || exit 1; done

$(STAMP): requirements.txt pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

nettoyer:
	rm -rf _build
