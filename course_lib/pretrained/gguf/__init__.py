"""Le format GGUF : lire et écrire un fichier, ses blocs arrondis, ses modèles, ses morceaux."""
