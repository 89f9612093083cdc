"""Un échantillon par langue, écrit pour le cours : de quoi compter des suites de lettres.

Les cinq textes parlent d’un même marché, loin des contes du micro-web : la langue se reconnaît à
ses lettres, non à son sujet.
"""

SAMPLES = {
    "fr": """
Le samedi, la ville entière descend au marché. Les marchands installent leurs tables bien avant
l'aube, quand les rues sont encore vides et que les lampadaires n'ont pas fini de s'éteindre. On y
trouve des légumes de saison, du fromage de chèvre, des œufs, des étoffes et quelques livres
d'occasion. Ma grand-mère connaissait chaque vendeur par son prénom ; elle demandait des nouvelles
de leurs enfants avant même de regarder les prix. Nous avions le droit de choisir une pâtisserie,
une seule, et ce choix nous occupait pendant toute la matinée. Aujourd'hui, beaucoup de gens font
leurs courses ailleurs, mais il reste ici une façon de parler, de prendre son temps, que l'on ne
rencontre nulle part. Quand il pleut, les bâches claquent au vent et tout le monde se serre près du
café. Les habitués disent que le marché était plus grand autrefois. C'est peut-être vrai, ou bien
nous étions plus petits. Je crois qu'on ne sait jamais très bien ce qu'on achète ici : un kilo de
pommes, ou bien le plaisir d'avoir été reconnu. Voilà pourquoi j'y reviens, même lorsque je n'ai
besoin de rien, et que je rentre toujours avec un panier trop lourd.
""",
    "en": """
On Saturdays the whole town goes down to the market. The traders set up their tables well before
dawn, when the streets are still empty and the lamps have not yet been switched off. You can find
seasonal vegetables, goat cheese, eggs, cloth and a few second-hand books there. My grandmother knew
every seller by name; she would ask about their children before she even looked at the prices. We
were allowed to choose one cake, only one, and that choice kept us busy for most of the morning.
Today many people do their shopping somewhere else, but there is still a way of talking here, of
taking your time, which you will not find anywhere else. When it rains, the covers flap in the wind
and everybody crowds together near the coffee stand. The regulars say that the market used to be
larger. Perhaps that is true, or perhaps we were simply smaller. I think one never really knows what
one is buying here: a pound of apples, or the pleasure of having been recognised. That is why I keep
coming back, even though I need nothing, and always walk home with a basket that is much too heavy.
""",
    "es": """
Los sábados, toda la ciudad baja al mercado. Los vendedores montan sus mesas mucho antes del alba,
cuando las calles todavía están vacías y las farolas no se han apagado. Allí se encuentran verduras
de temporada, queso de cabra, huevos, telas y algunos libros de segunda mano. Mi abuela conocía a
cada vendedor por su nombre; preguntaba por sus hijos antes incluso de mirar los precios. Nosotros
teníamos derecho a elegir un pastel, solo uno, y esa elección nos ocupaba durante toda la mañana.
Hoy mucha gente hace la compra en otra parte, pero aquí queda una manera de hablar, de tomarse el
tiempo, que no se encuentra en ningún otro lugar. Cuando llueve, las lonas golpean con el viento y
todo el mundo se aprieta cerca del café. Los más viejos dicen que el mercado era antes más grande.
Quizás sea verdad, o quizás nosotros éramos más pequeños. Creo que nunca se sabe muy bien lo que se
compra aquí: un kilo de manzanas o el placer de haber sido reconocido. Por eso vuelvo siempre,
aunque no necesite nada, y regreso a casa con una cesta que pesa demasiado.
""",
    "de": """
Am Samstag geht die ganze Stadt hinunter auf den Markt. Die Händler stellen ihre Tische lange vor
der Morgendämmerung auf, wenn die Straßen noch leer sind und die Laternen noch nicht erloschen sind.
Man findet dort Gemüse der Saison, Ziegenkäse, Eier, Stoffe und einige gebrauchte Bücher. Meine
Großmutter kannte jeden Verkäufer mit Namen; sie fragte nach den Kindern, noch bevor sie auf die
Preise schaute. Wir durften uns ein Stück Kuchen aussuchen, nur eines, und diese Wahl beschäftigte
uns den ganzen Vormittag. Heute kaufen viele Leute anderswo ein, aber hier bleibt eine Art zu reden
und sich Zeit zu nehmen, die man nirgendwo sonst antrifft. Wenn es regnet, schlagen die Planen im
Wind, und alle drängen sich in der Nähe des Kaffees zusammen. Die Stammgäste sagen, dass der Markt
früher größer gewesen sei. Vielleicht stimmt das, oder wir waren damals einfach kleiner. Ich glaube,
man weiß nie so genau, was man hier eigentlich kauft: ein Kilo Äpfel oder die Freude, wiedererkannt
zu werden. Deshalb komme ich immer wieder, auch wenn ich nichts brauche, und gehe mit einem viel zu
schweren Korb nach Hause.
""",
    "it": """
Il sabato tutta la città scende al mercato. I venditori montano i loro banchi molto prima dell'alba,
quando le strade sono ancora vuote e i lampioni non si sono ancora spenti. Ci si trovano verdure di
stagione, formaggio di capra, uova, stoffe e qualche libro usato. Mia nonna conosceva ogni venditore
per nome; chiedeva notizie dei figli prima ancora di guardare i prezzi. Noi avevamo il diritto di
scegliere un dolce, uno solo, e quella scelta ci occupava per tutta la mattina. Oggi molta gente fa
la spesa altrove, ma qui resta un modo di parlare, di prendersi il proprio tempo, che non si
incontra da nessun'altra parte. Quando piove, i teloni sbattono al vento e tutti si stringono vicino
al caffè. I clienti più anziani dicono che un tempo il mercato era più grande. Forse è vero, oppure
eravamo noi a essere più piccoli. Credo che non si sappia mai bene che cosa si compra qui: un chilo
di mele, oppure il piacere di essere stati riconosciuti. Ecco perché ci ritorno sempre, anche quando
non ho bisogno di niente, e rientro a casa con una cesta troppo pesante.
""",
}
