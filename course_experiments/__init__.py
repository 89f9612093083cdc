"""Les expériences des chapitres : entraînements en direct, et commandes qui refont le reste."""
