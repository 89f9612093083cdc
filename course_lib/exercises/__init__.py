"""Les exercices du cours, un module par chapitre : `from course_lib.exercises import generation`.

Chaque exercice s’appelle avec la réponse du lecteur : `generation.cool_down(answer)`.
"""
