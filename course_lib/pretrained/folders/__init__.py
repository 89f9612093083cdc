"""Le dossier Hugging Face : le trouver, le lire en entier, l’écrire sans rien écraser."""
