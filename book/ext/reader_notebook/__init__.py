"""Le cahier du lecteur : un chapitre exécuté, récrit en Markdown simple, pour tout Jupyter."""
