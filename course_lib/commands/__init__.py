"""Les commandes : ce que l’on fait d’un terminal, avec son texte et ses modèles."""
