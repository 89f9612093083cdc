"""La bibliothèque du cours « Les grands modèles de langage »."""
