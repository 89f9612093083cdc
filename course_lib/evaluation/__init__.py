"""Mesurer un modèle : ce qu’il sait, ce qu’il croit savoir, ce qu’il préfère."""
