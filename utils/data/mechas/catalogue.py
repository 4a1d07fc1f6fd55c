"""What may be chosen: the factions, their colours and parts, poses, paints and names."""

from __future__ import annotations

from typing import NamedTuple

Colour = tuple[int, int, int]

OUTLINE: Colour = (34, 30, 41)
STEEL: Colour = (104, 109, 121)
GUNMETAL: Colour = (68, 71, 83)

# The colours of a scheme, in this order: the chest, the limbs and the head, what is set off from
# them, vents and markings, the joints underneath, and the light of the eye.
ROLES = ("body", "armour", "trim", "accent", "frame", "eye")


class Faction(NamedTuple):
    """A side of the war: its share of the designs and its taste in parts."""

    share: float
    code: str  # starts the designations of its machines
    school: str  # the part of the CATALOGUE it builds from


HERO_SHARE = 0.05  # of all designs; the factions' shares are those of the rest
FACTIONS = {
    "dominion": Faction(0.20, "DGR", "mono"),
    "ace": Faction(0.08, "VKR", "mono"),
    "heavy": Faction(0.10, "OBX", "mono"),
    "desert": Faction(0.09, "SND", "mono"),
    "union": Faction(0.18, "RGV", "visor"),
    "marine": Faction(0.10, "NAV", "visor"),
    "night": Faction(0.08, "NOX", "visor"),
    "arctic": Faction(0.07, "BOR", "visor"),
    "trial": Faction(0.10, "TRX", "visor"),
    "hero": Faction(0.0, "XVA", "hero"),
}
# One colour scheme a line: whose it is, then a hexadecimal colour for each of ROLES.
SCHEMES = """
    dominion 3f6144 8cb26a 59665e d0ac4c 5f656c ff4f8b
    dominion 4f6a42 a6b866 4e5c50 dcc67e 5b5f60 ff5a5a
    dominion 2f5650 74a67c 3e565a e0a63f 626870 ff4fa0
    dominion 5a6238 b4b872 5c5440 d8783c 5e605c ffd24a
    ace 8f2230 dd5850 5e4c58 ecbc4b 5c5a63 63f08c
    ace 74202f e8705f 92303e f4d67c 56545e 7cf0ff
    ace a83248 f08a92 66586a f4e2c0 5e5c66 6affb4
    heavy 423a5c 7c68ac 565270 c2b0e0 5e5e70 ff5a7a
    heavy 34406a 6478b0 4a5678 d86262 626878 ff6a4a
    heavy 4a3854 9878b0 5e4e6e e4b650 625e6c ffd24a
    desert ac8250 e2c490 866a50 c0563a 66605a ff6a4a
    desert 94704e d6b682 70604f 62845f 605c56 ffb43c
    union c8493f e8e8e0 c8493f ecc04c 70767e 3fe0c0
    union 6688b0 e4e8ec 5a6c8e e6b64e 6c727c 4adcff
    union 84939e dadee2 6a7884 dc683e 646a72 5aff9a
    union 4e8a78 e6e6da 4a6a64 e8c452 6a7076 ffd24a
    marine 2c487a 6490cc 40568a f2c650 626a76 7affd0
    marine 236270 68b8b4 305a70 f2904e 606c72 ffe66a
    marine 30528a b2cce2 3c5282 ece8da 68707c ff6a8a
    night 464656 787888 4c4c5c e6b850 7c7a84 ff4a4a
    night 4e3a46 706a78 a03044 d8dbe0 74747e ff5a4a
    night 3a485c 687c92 44566c 62d8c8 7a8290 6affea
    arctic 90aecc eef3f6 6e8caa 5070c8 707a88 2ac8ff
    arctic a8b0bc f2f0ea 7e8896 e68040 70727a ff9a2c
    trial eae6dc f09c48 666a76 4060a0 6c7076 5aff8a
    trial eadcba ecc044 5c6074 c85040 66666e 4ad8ff
    trial eeeae4 d87496 6e5c6e f2d468 6c6870 6affe0
    hero 3a60bc f4f4f0 d84040 f8ca3a 767b84 ffe030
    hero 3050a4 f0f2f6 cc344e f4bc34 70768a 2af0a8
    hero 45536e f2f1ee c83640 f6d044 7a7e86 3ce884
"""
BEAMS = ("ff5f9e", "ff4fc0", "58e06c", "ffd23c", "42c8ff")
BACKGROUNDS = ("fcfcfc", "f6f7f8", "f3f3f2", "f7f4ef", "f0f5fa", "eef0f3")

# What each school builds: part -> {variant: weight}.
CATALOGUE: dict[str, dict[str, dict[str, float]]] = {
    "mono": {
        "head": {"mono-eye": 6, "dome": 2.4, "visor": 0.6, "twin-eye": 0.5, "v-fin": 0.1},
        "crest": {"none": 3, "horn": 3, "fin": 1.2, "ears": 1, "twin-horns": 1.4},
        "torso": {"barrel": 4, "slab": 2, "prow": 1.5, "vented": 1},
        "shoulders": {"round": 2, "spiked": 3, "shielded": 2, "flared": 1.5, "boxy": 0.7},
        "skirt": {"bell": 3, "plates": 2, "long": 1.5, "short": 1},
        "legs": {"flared": 4, "straight": 2, "heavy": 2, "slim": 0.7, "digitigrade": 0.8},
        "feet": {"round": 3, "wedge": 1.5, "boots": 1.5, "claw": 0.8},
        "forearms": {"cuffed": 3, "plain": 2, "boxy": 1},
        "weapon": {"rifle": 3, "bazooka": 2, "axe": 3, "gatling": 1.5, "sabre": 1, "none": 0.7},
        "shield": {"none": 5, "round": 1.2, "spiked": 1.2, "tower": 0.8},
        "backpack": {"twin": 2.4, "tanks": 2, "slim": 1.5, "cannons": 1.3, "funnels": 1},
        "wings": {"none": 8, "binders": 1.6, "blades": 0.5},
        "paint": {"plain": 3, "boots": 2, "vest": 3, "thighs": 1.5, "sleeves": 1.5},
    },
    "visor": {
        "head": {"visor": 5, "twin-eye": 2.6, "mono-eye": 0.8, "dome": 0.5, "v-fin": 0.3},
        "crest": {"none": 2, "fin": 2, "ears": 3, "horn": 0.8, "twin-horns": 0.8},
        "torso": {"vented": 4, "prow": 2, "slab": 2, "barrel": 0.7},
        "shoulders": {"boxy": 5, "layered": 2.4, "flared": 1.8, "round": 1},
        "skirt": {"plates": 5, "short": 2, "long": 1.6, "bell": 0.4},
        "legs": {"straight": 4, "slim": 2.4, "heavy": 1.8, "flared": 1, "digitigrade": 0.8},
        "feet": {"wedge": 4, "boots": 2.5, "claw": 0.8, "round": 0.5},
        "forearms": {"boxy": 3, "cuffed": 1.5, "plain": 1.5},
        "weapon": {"rifle": 5, "sabre": 2.2, "bazooka": 1.4, "gatling": 1, "axe": 0.4, "none": 0.7},
        "shield": {"kite": 3, "tower": 2, "round": 0.5, "none": 4},
        "backpack": {"twin": 4, "slim": 1.6, "cannons": 1.6, "tanks": 1, "funnels": 0.8},
        "wings": {"none": 7, "blades": 1.6, "binders": 1.2},
        "paint": {"plain": 3, "boots": 1.5, "vest": 1.5, "thighs": 2, "sleeves": 2},
    },
    "hero": {
        "head": {"v-fin": 1},
        "crest": {"none": 1},
        "torso": {"vented": 3, "prow": 1},
        "shoulders": {"boxy": 4, "layered": 2, "flared": 1},
        "skirt": {"plates": 4, "short": 1},
        "legs": {"straight": 4, "slim": 2},
        "feet": {"wedge": 3, "boots": 1},
        "forearms": {"boxy": 3, "plain": 1},
        "weapon": {"rifle": 5, "sabre": 4, "bazooka": 1},
        "shield": {"kite": 6, "tower": 1, "none": 2},
        "backpack": {"twin": 5, "cannons": 1, "funnels": 1},
        "wings": {"none": 4, "blades": 2, "binders": 0.6},
        "paint": {"plain": 1},
    },
}
# What every school draws alike.
COMMON: dict[str, dict[str, float]] = {
    "stance": {"narrow": 2, "wide": 3, "contrapposto": 3, "stride": 2},
    "free_arm": {"down": 3, "bent": 2, "fist": 1},
    "marking": {"none": 2, "stripe": 2, "chevron": 1.5, "disc": 1.5},
}
# How each weapon may be held.
POSES: dict[str, dict[str, float]] = {
    "rifle": {"low": 3, "forward": 3, "up": 1.5},
    "sabre": {"forward": 2, "raised": 2, "low": 1.5},
    "bazooka": {"level": 3, "low": 1},
    "axe": {"raised": 2, "forward": 2, "low": 1.5},
    "gatling": {"low": 1, "forward": 2},
    "none": {"down": 1},
}
# Which role's colour each part of the body takes.
PAINTED = ("thigh", "shin", "knee", "foot", "arm", "forearm", "shoulder", "skirt", "helmet")
PAINTS = {
    "plain": "armour armour armour trim armour armour armour armour armour",
    "boots": "armour trim accent trim armour trim armour armour armour",
    "vest": "armour armour body trim armour armour body body armour",
    "thighs": "body armour trim body body armour armour trim armour",
    "sleeves": "armour body armour trim trim body armour body armour",
}
WORDS = """
    Halberd Palisade Basalt Ironwood Bulwark Lodestar Caldera Brigand Mistral Obsidian Partisan
    Ravelin Saltire Tollgate Umbra Anvil Bastion Cinder Ember Falchion Glacier Harrow Keystone
    Monsoon Nomad Onyx Portcullis Rampart Tundra Vesper Warden Alloy Beacon Cobalt Drumlin
    Escarp Flintlock Gantry Hauberk Isobar Jackdaw Kelp Lichen Marlin Nettle Ocelot Pylon Quarrel
    Rookery Saffron Tarn Undertow Verdigris Wolfram Yarrow Bramble Culverin Dolmen Estoc Fjord
    Gambeson Hornbeam Ibex Juniper Kiln Lantern Mangrove Narwhal Osprey Petrel Quill Redoubt Solace
"""
