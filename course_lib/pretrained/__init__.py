"""De vrais poids, dans nos modèles et hors d’eux."""
