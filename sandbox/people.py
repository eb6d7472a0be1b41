"""The synthetic patients of the seed: invented names on officially published test numbers.

Sources of the numbers: the vendor's own samples, the Swedish Tax Agency's open list of test
numbers, the Norwegian Tax Administration's published examples, and the NHS test range 9.
"""

from typing import NamedTuple


class Person(NamedTuple):
    """Name and national number of a seeded patient."""

    first_name: str
    last_name: str
    number: str | None = None


RIGHT_TO_LEFT = "\u202e"
ZERO_WIDTH = "\u200b"

# Two pairs of namesakes: Åsa Testdotter and Lars-Göran Provström.
SWEDISH = (
    Person("Tolvan", "Tolvansson", "191212121212"),
    Person("Åsa", "Testdotter", "197110021834"),
    Person("Åsa", "Testdotter", "194010126672"),
    Person("Lars-Göran", "Provström", "195003042222"),
    Person("Lars-Göran", "Provström", "194912062306"),
    Person("Älva", "Exempelsson", "195008121856"),
    Person("Örjan", "Provlund", "198702072391"),
    Person("Märta", "Övningsberg", "189001019802"),
    Person("Sven-Åke", "Låtsasmyr", "198001022386"),
    Person("Ida-Maria", "Påhittsgård", "199006022397"),
    Person("Elis", "Testkvist", "201501012395"),
    Person("Tyra", "Sandlådén", "202001012398"),
    Person("Björn", "Attrappfors", "199001012385"),
    Person("Hildur", "Mönsterstedt", "190001019801"),
    Person("Nils-Örjan", "Skenberg", "200002292399"),
    Person("Alma", "Fiktivius", "202402292383"),
    Person("Gunnel", "Prov-Exempel", "197811012397"),
    Person("Åke", "Dummyqvist", "198506012387"),
    Person("Siân", "O'Testigan", "198506232381"),
    Person("Malin", "D'Exempel", "199912012391"),
    Person("Viggo", "af Provklinta", "200203012398"),
    Person("Stina", "von Låtsas", "198004262385"),
    Person("Göte", "Testlöf", "198108222384"),
    Person("Linnéa", "Blindprov", "198204212396"),
    Person("Kjell", "Kulissman", "198308172397"),
    Person("Ylva", "Modellhjelm", "198404152392"),
    Person("Jöns", "Provbäck", "198508122382"),
    Person("Ebba-Stina", "Skissgren", "198612092380"),
    Person("Håkan", "Testsjö", "198708152387"),
    Person("Annika", "Utkastner", "198804202383"),
    Person("Folke", "Exempelgren", "189506299818"),
    Person("Göran", "Övnäs-Test", "189002099811"),
    Person("Svea", "Attrapplind", "189103179801"),
    Person("Ingeborg", "Låtsasdal", "190006129803"),
    Person("Signe", "Provhed", "190704019801"),
    Person("Ture", "Skenlöv", "190108219817"),
    Person("Wilma", "Teståker", "200306062381"),
    Person("Melvin", "Fiktivbrandt", "200802122390"),
    Person("Nova" + ZERO_WIDTH, "Dold" + RIGHT_TO_LEFT + "svängd", "200607092384"),
    Person("Ronja", "Påhittsén", "198202142397"),
    # Coordination numbers: day plus 60; a month 00 and a 30 February are among the published ones.
    Person("Amina", "Samordningsdotter", "191401682396"),
    Person("José", "Månadsnolla", "199000702390"),
    Person("Zoë", "Dagsextio", "191711602399"),
    Person("Łukasz", "Trettiofebruari", "193002902397"),
)

ELSEWHERE = (
    Person("Bjørn", "Testesen", "26258605879"),
    Person("Ragnhild", "Prøvestad", "10915596784"),
    Person("Øyvind", "Eksempelsen", "30108299920"),
    Person("Solveig-Anne", "Lissomdal", "13527248013"),
    Person("Jan", "D-Nummersen", "53097248016"),
    Person("Maisie", "Fakename", "9434765919"),
    Person("Rhys", "Ap Testing", "9990000018"),
    Person("Niamh", "O'Placeholder", "9990000026"),
    Person("Alasdair", "MacSample", "9990000034"),
    Person("Ævar", "Prufuson"),
    Person("Sáŋŋá", "Geahččaleaddji"),
    Person("Aino", "Koeväki"),
    Person("Freja", "Prøvegaard"),
)
