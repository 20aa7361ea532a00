"""Patterns of tops and dresses: how each kind is put together."""

from dataclasses import replace

from triptych.benchmarks.datasets.wardrobe.cuts import luminance, seam, toned
from triptych.benchmarks.datasets.wardrobe.needle import Needle, placket, pockets, print_on, ribs
from triptych.benchmarks.datasets.wardrobe.sheet import bend, mirror, whole
from triptych.benchmarks.datasets.wardrobe.torso import (
    Torso,
    fit,
    lay_band,
    lay_body,
    lay_collar,
    lay_hood,
    lay_sleeves,
    nape,
    ribbed_neck,
    stitched_hem,
    turtleneck,
)

STEEL = (196, 196, 200)


def t_shirt(needle: Needle) -> None:
    """A t-shirt, as a polo shirt where it has a collar."""
    torso = fit(needle, 20.5, 13, 86)
    neckline = needle.garment.neckline
    pointed = neckline != "crew neck"
    lay_sleeves(needle, torso, cuff=1.8 if needle.has("cuffs") or neckline == "collar" else 0)
    nape(needle, torso)
    lay_body(needle, torso, pointed)
    (_, y), depth = torso.neck, torso.depth
    if neckline == "collar":
        placket(needle, y + depth, y + depth + 15, 2)
        lay_collar(needle, torso)
    else:
        ribbed_neck(needle, torso, pointed, 2.3)
    if needle.has("hem"):
        stitched_hem(needle, torso)
    if needle.cut.pocket != "none" and needle.garment.print == "none" and neckline != "collar":
        pockets(needle, 9.5, y + 21, 4.6, 10)
    print_on(needle, (0, y + (35 if neckline != "crew neck" else 31)), 12.5)


def shirt(needle: Needle) -> None:
    """A buttoned shirt with a collar, cuffs and rounded tails."""
    torso = fit(needle, 20, 12, 84)
    cut = needle.cut
    tails = replace(torso, depth=8 + cut.depth, hem=(torso.hem[0], torso.hem[1] - 5), dip=8 + 2 * cut.hem)
    lay_sleeves(needle, tails, cuff=6)
    nape(needle, tails)
    lay_body(needle, tails, True)
    (_, y), foot = tails.neck, tails.hem[1] + tails.dip - 0.8
    placket(needle, y + tails.depth, foot, cut.buttons + 2)
    pockets(needle, 10.5, y + 22, 4.8, 11)
    lay_collar(needle, tails)


def sweater(needle: Needle) -> None:
    """A sweater with ribbed bands, and cables where it is plain."""
    torso = fit(needle, 22, 14, 82)
    neckline = needle.garment.neckline
    pointed = neckline == "v-neck"
    lay_sleeves(needle, torso, cuff=7)
    if neckline != "turtleneck":
        nape(needle, torso)
    lay_body(needle, torso, pointed)
    lay_band(needle, torso, 7.5)
    if needle.garment.pattern == "plain":
        _knit(needle, torso)
    if neckline == "turtleneck":
        turtleneck(needle, torso)
    else:
        ribbed_neck(needle, torso, pointed, 3.6)
    print_on(needle, (0, torso.neck[1] + (37 if pointed else 32)), 12.5)


def _knit(needle: Needle, torso: Torso) -> None:
    """Cables down the front: two columns of little v's, away from where a print sits."""
    top, foot = torso.armpit[1] - 8, torso.hem[1] - 9
    step = 4.6 + needle.cut.weave_scale
    for row in range(int((foot - top) / step)):
        y = top + row * step
        for x in (13.5, -13.5):
            needle.sheet.line([(x - 2, y), (x, y + 2.4), (x + 2, y)], needle.edge, 0.7)


def hoodie(needle: Needle) -> None:
    """A hoodie with a pouch and strings."""
    torso = fit(needle, 22, 17, 84)
    lay_sleeves(needle, torso, cuff=6)
    lay_hood(needle, torso)
    lay_body(needle, torso, False)
    lay_band(needle, torso, 6)
    (x, y), foot = torso.neck, torso.hem[1] - 6.5
    pouch = whole([(0, foot - 19), (8.5, foot - 19), (14.5, foot - 8), (14.5, foot), (0, foot)])
    needle.patterned(pouch, bulge=3)
    ribbed_neck(needle, torso, False, 2.2)
    string = (250, 248, 240) if luminance(needle.main) < 190 else needle.second
    for side in (1, -1):
        points = bend((side * x * 0.5, y + torso.depth - 0.5), (side * x * 0.7, y + 13), (side * x * 0.55, y + 19))
        needle.sheet.line(points, needle.inside, 1.9)
        needle.sheet.line(points, string, 1.2)
    print_on(needle, (0, y + 29), 11)


def jacket(needle: Needle) -> None:
    """An open jacket: long as a coat, short with ribbed bands."""
    long = needle.garment.length == "long"
    torso = fit(needle, 22.5, 6 if long else 13, 95 if long else 74)
    cut = needle.cut
    (nx, y), (hx, hem), dip = torso.neck, torso.hem, torso.dip
    hx += 2.5 if long else 0
    lay_sleeves(needle, torso, cuff=0 if long else 5)
    hooded = needle.garment.neckline == "hood"
    if hooded:
        lay_hood(needle, torso)
    lining = whole([(0, y + 2), (nx + 1, y), (nx + 1, hem - 2), (0, hem - 2)])
    needle.sheet.piece(lining, toned(needle.second, 0.82) if needle.has("yoke") else needle.inside, bulge=9)
    gap = 2.4 + 0.9 * cut.flare
    bare = needle.garment.sleeve == "sleeveless"
    half = torso.outline(True, bare)[2:-10]
    chest = y + 30 + 3 * cut.depth
    front = [
        *bend((nx, y), (gap + 1.5, chest - 10), (gap, chest)),
        (gap + 1.2, hem + dip),
        *reversed([*half[:-1], (hx, hem)]),
    ]
    for side in (1, -1):
        needle.patterned(front if side == 1 else mirror(front), bulge=6)
    if not long:
        for side in (1, -1):
            band = [
                (side * (gap + 1), hem - 5),
                (side * (gap + 1.2), hem + dip),
                (side * (hx - 0.6), hem),
                (side * hx, hem - 5),
            ]
            needle.trimmed(band, "hem")
            ribs(needle, band, "hem", 8)
    for side in (1, -1):
        edge = [(side * px, py) for px, py in front[9:11]]
        if cut.fastening == "zip":
            needle.sheet.line(edge, STEEL, 1.3)
        elif side == 1:
            steps = cut.buttons + (1 if long else 0)
            knob = (250, 246, 236) if luminance(needle.main) < 190 else (110, 84, 60)
            reach = hem - 9 - chest
            needle.sheet.discs(
                [(gap + 2.8, chest + 2 + reach * index / steps) for index in range(steps)],
                1.4,
                knob,
                needle.inside,
            )
        welt = [(side * 9.5, hem - 21), (side * 17.5, hem - (21 if long else 26))]
        needle.sheet.line(welt, needle.edge, 2.2)
    if hooded:
        return
    for side in (1, -1):
        wide = 5.5 + 1.4 * cut.collar
        lapel = [
            (nx - 2.2, y - 2.2),
            (nx + 1.8, y + 0.4),
            (nx + wide, y + 12),
            (nx + wide - 3.6, y + 13.5),
            (nx + wide - 2.2, y + 16.5),
            (gap, chest),
            *reversed(bend((nx - 1.6, y - 0.2), (gap + 1.0, chest - 12), (gap, chest))),
        ]
        needle.trimmed([(side * px, py) for px, py in lapel], "neck", 2.5)


def dress(needle: Needle) -> None:
    """A dress with a waist, belted or not, and a wavy hem."""
    long = needle.garment.length == "long"
    cut = needle.cut
    top, hem = (4, 94) if long else (11, 79)
    base = fit(needle, 15.5, top, hem)
    waist_y = top + 33 + 2 * cut.rise
    waist, skirt = 12 + cut.width, (22 if long else 21.5) + 5.5 * cut.flare
    neckline = needle.garment.neckline
    pointed = neckline != "crew neck"
    bodice = replace(
        base,
        depth=min(base.depth, 15),
        waist=(waist + 0.5, waist_y - 7),
        hem=(waist, waist_y),
        dip=0,
        sleeve=(46 + 2 * cut.arm, 6.8 + cut.cuff),
    )
    lay_sleeves(needle, bodice, cuff=2.6 if needle.has("cuffs") else 0)
    nape(needle, bodice)
    swing = 2.2 + 1.6 * cut.hem
    right = bend((waist, waist_y), (waist + 2.5 + 3 * cut.drop, waist_y + (hem - waist_y) * 0.4), (skirt, hem))
    waves = bend((skirt, hem), (skirt * 0.8, hem + swing + 1.5), (skirt * 0.5, hem + swing * 0.7), 6)
    waves += bend((skirt * 0.5, hem + swing * 0.7), (skirt * 0.25, hem + swing + 1.5), (0, hem + swing), 6)
    needle.patterned(whole([(0, waist_y - 2), *right, *waves]), bulge=6)
    for share in (0.3, -0.3) if not needle.has("pleats") else (0.62, 0.22, -0.22, -0.62):
        needle.sheet.line(
            bend((waist * share, waist_y + 2), (waist * share, waist_y + 12), (skirt * share, hem - 3)),
            needle.edge,
            0.7,
        )
    if needle.has("hem"):
        needle.sheet.line(
            bend((-skirt + 1.4, hem - 2.5), (0, hem + swing - 0.5), (skirt - 1.4, hem - 2.5)),
            needle.second,
            1.8,
        )
    needle.patterned(whole(bodice.outline(pointed, needle.garment.sleeve == "sleeveless")), bulge=5)
    if needle.has("belt"):
        band = whole([(0, waist_y - 1.8), (waist + 0.6, waist_y - 2), (waist + 0.6, waist_y + 2), (0, waist_y + 2.2)])
        needle.sheet.piece(band, needle.second, edge=seam(needle.second), bulge=1.5)
        bow = [(0, waist_y), (5.5, waist_y - 3.4), (6.2, waist_y + 3), (0, waist_y)]
        needle.sheet.piece(bow, needle.second, edge=seam(needle.second), bulge=1.5)
        needle.sheet.piece(mirror(bow), needle.second, edge=seam(needle.second), bulge=1.5)
    else:
        needle.sheet.line([(-waist, waist_y), (waist, waist_y)], needle.edge)
    if neckline == "collar":
        placket(needle, top + bodice.depth, waist_y - 2, cut.buttons)
        lay_collar(needle, bodice)
    elif needle.has("neck"):
        ribbed_neck(needle, bodice, pointed, 1.8)
    if needle.has("cuffs") and needle.has("yoke") and neckline == "crew neck":
        needle.sheet.discs([(0, top + bodice.depth + 4 + 4 * index) for index in range(3)], 1, needle.second)
