# Pour qui a l'habitude de make : chaque nom passe à `python cours.py`, qui sait tout faire.
PYTHON ?= python3
PORT ?= 8000
COMMANDS := lab test essai bench modeles site style nettoyer

.PHONY: livre chapitres $(COMMANDS)

livre:
	@$(PYTHON) cours.py livre --port "$(PORT)"

chapitres:
	@$(PYTHON) cours.py chapitres $(CHAPITRES)

$(COMMANDS):
	@$(PYTHON) cours.py $@
