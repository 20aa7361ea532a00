"""Sentences about pictures, made by a grammar: what the text side learns from, and how facts become words.

A fact is a pair of a group ("kind", "colour", …) and a word. Nothing here is taken from a benchmark.
"""

import re
from collections.abc import Mapping, Sequence
from random import Random

COLOURS = """\
black, white, grey, silver, charcoal, blue, navy|navy blue, light blue|pale blue|sky blue, turquoise, teal, green,
olive|olive green, khaki, yellow, mustard, gold|golden, orange, peach, red, maroon|dark red, burgundy|wine red, pink,
magenta|fuchsia, purple|violet, lavender|lilac, brown, tan, beige, cream, off-white, copper, bronze, multicoloured|of
many colours, rust, coral, nude, dark green, light green|mint green, dark blue, light grey, dark grey, ivory, rose"""
PATTERNS = """\
plain|one-coloured|without a pattern, striped|with stripes, checked|plaid|with checks, dotted|polka dot|with dots,
floral|flowered|with flowers, printed|with a print|with a graphic print, colour-block|colour-blocked|in blocks of
colour, camouflage|camo, animal print|leopard print, denim|made of denim, knit|knitted, lace|made of lace, zigzag|with
a zigzag pattern, embroidered, melange|heathered"""
SLEEVES = """\
long sleeves|long-sleeved|with long sleeves, short sleeves|short-sleeved|with short sleeves, no
sleeves|sleeveless|without sleeves, three-quarter sleeves|with three-quarter sleeves"""
GENDERS = """\
men|men's|for him, women|women's|for her|ladies', boys|for a boy, girls|for a girl, men and women|unisex,
children|kids'"""
USES = """\
casual|for every day, sports|sporty|for training, formal|for the office|smart, ethnic|traditional, party|for a party,
travel|for travelling"""
MATERIALS = """\
leather|made of leather, wood|wooden, metal|made of metal, cotton, wool|woollen, silk, linen, velvet, suede, glass,
plastic, ceramic, paper, stone, rattan|wicker, denim, nylon, fur, concrete, brass, marble, bamboo, rubber"""
STYLES = """\
photo|photograph|as a photo, painting|painted|as a painting, cartoon|as a cartoon|comic, sketch|pencil drawing|as a
sketch, drawing|drawn|line drawing, watercolour, oil painting, black-and-white photo, illustration|illustrated, toy|as
a toy, sculpture|statue, embroidery, close-up|seen from close"""
CLOTHES = """\
t-shirt|tee, shirt, polo shirt|polo, blouse, top, tank top|undershirt|sleeveless top, long-sleeve top|long-sleeved
t-shirt, sweater|pullover|jumper, sweatshirt, hoodie|hooded sweatshirt, cardigan, jacket, coat|overcoat, blazer,
waistcoat, vest, dress|gown, skirt, trousers|pants, jeans|denim trousers, shorts, joggers|track pants|sweatpants,
leggings, jumpsuit, swimsuit|swimwear, pyjamas|nightwear, bodysuit|baby body, hat|headwear, cap, scarf, gloves, socks,
tie, belt, shoes|pair of shoes, sneakers|trainers|sports shoes, boots, sandals, heels|high heels, flats, flip
flops|slippers, handbag, bag, backpack, wallet, watch, sunglasses, earrings, necklace, bracelet, ring, saree,
kurta, tunic, suit, outerwear|outdoor jacket, romper, bra, underwear, briefs, umbrella, clutch, lipstick, perfume,
formal shoes, casual shoes"""
THINGS = """\
sofa|couch, armchair, chair, stool, bench, table|desk, coffee table, bed, wardrobe|closet, bookshelf|shelf, lamp|floor
lamp, rug|carpet, curtain, cushion|pillow, mirror, vase, plant pot, clock, candle, cabinet|chest of drawers, dressing
table, bathtub, sink, oven, refrigerator, kettle, toaster, cup|mug, plate, bowl, bottle, glass, knife, spoon, pan,
teapot, basket, box, suitcase, bicycle|bike, motorcycle, car|automobile, truck|lorry, bus, train, boat|ship,
aeroplane|airplane, helicopter, tent, guitar, piano, violin, drum, trumpet, book, laptop|notebook computer,
phone|mobile phone, camera, television|screen, keyboard, ball, football, tennis racket, skateboard, doll, teddy bear,
toy car, puzzle, house|home|building, church|cathedral, castle, bridge, tower, skyscraper, barn, tree, flower, rose,
mushroom, apple, banana, orange, lemon, strawberry, pineapple, bread, cake, pizza, sandwich, ice cream, coffee,
dog|puppy, cat|kitten, horse, cow, sheep, pig, goat, elephant, giraffe, lion, tiger, bear, monkey, zebra, deer,
rabbit, mouse, bird, eagle, owl, parrot, duck, chicken, penguin, fish, shark, whale, dolphin, turtle, snake, lizard,
frog, butterfly, bee, spider, person|human|man, woman, child|kid, baby, face, hand, robot, dragon, beach, mountain,
forest, lake, river, street, garden, desert, city, sky, sunset, room, kitchen, bathroom, bedroom, office, shop,
playground, bridge, fountain, statue, traffic light, flag, balloon, hat, helmet, crown, sword, key, ladder, hammer,
scissors, pencil, brush, broom, bucket, wheel, engine, fan, radio, microphone, speaker, tripod, necklace, wig, mask"""
SHAPES = """\
round, square, rectangular, oval, long, short, tall, low, small, large|big, wide, narrow, thick, thin, curved,
pointed, flat, soft, hard, shiny|glossy, matte, transparent, patterned, folded, open, closed, old|vintage|antique,
modern, new, rustic, minimalist"""
DETAILS = """\
a hood|hood, buttons, a zip|zipper, a collar, a round neck|crew neck, a v-neck, a logo|brand logo, writing on it|text
on it, pockets, a pocket, a belt, a ribbon, laces, high heels, a flat sole, straps, one strap, a long strap, handles,
a lid, drawers, wheels, arms|armrests, legs of metal, wooden legs, a backrest, fringes, a bow, ruffles, a pattern of
leaves, hearts on it, stars on it, an animal on it, a picture of a face, a stand, a shade, a round dial, a leather
strap, a metal strap"""
PLACES = """\
on a white background, on the floor, on a bed, on a hanger, on a table, in a room, outdoors, on grass, at the beach,
in the snow, in front of a wall, on wood, at night, in a studio, worn by a person, on a shelf, in a garden, in the
kitchen, at the window"""


def _lists(text: str) -> list[list[str]]:
    """Entries between commas, each with its other ways to say it."""
    return [entry.strip().split("|") for entry in text.replace("\n", " ").split(",")]


GROUPS: Mapping[str, Sequence[Sequence[str]]] = {
    "colour": _lists(COLOURS),
    "pattern": _lists(PATTERNS),
    "sleeve": _lists(SLEEVES),
    "gender": _lists(GENDERS),
    "use": _lists(USES),
    "material": _lists(MATERIALS),
    "style": _lists(STYLES),
    "clothes": _lists(CLOTHES),
    "thing": _lists(THINGS),
    "shape": _lists(SHAPES),
    "detail": _lists(DETAILS),
    "place": _lists(PLACES),
}
_SAYINGS = {group: {way: ways for ways in entries for way in ways} for group, entries in GROUPS.items()}
_SAYINGS["kind"] = {**_SAYINGS["thing"], **_SAYINGS["clothes"]}

_ADJECTIVES = ("colour", "pattern", "material", "shape", "use", "sleeve", "style")
_BEFORE = re.compile(r"^(with|without|for|in|on|of|as|made|seen|at|worn) ")
_PAIRS = re.compile(r"(?:[^s]s|jeans|trousers)$")

# How a wish is framed; {0} is "in red", "with stripes", "a red dress", …
FRAMES = (
    "{0}",
    "{0}",
    "{0}",
    "{0}",
    "but {0}",
    "the same but {0}",
    "the same one {0}",
    "i want it {0}",
    "make it {0}",
    "i would like {0}",
    "please {0}",
    "show me the same {0}",
    "change it to {0}",
    "something like this but {0}",
    "do you have this {0}?",
    "is there one {0}?",
    "i am looking for {0}",
    "give me one {0}",
    "let it be {0}",
    "more like this, {0}",
    "now {0}",
    "rather {0}",
    "instead {0}",
    "replace it by one {0}",
    "like the picture but {0}",
    "keep the rest, but {0}",
    "it should be {0}",
    "i prefer it {0}",
    "this one, {0} please",
    "can you find it {0}",
    "another one {0}",
    "a similar one {0}",
    "want the same thing {0}",
    "the other is {0}",
    "is {0}",
    "{0} and otherwise the same",
    "exactly the same, but {0}",
    "my wish: {0}",
    "this in another way: {0}",
    "how about {0}?",
    "try {0}",
    "find {0}",
    "get me {0}",
    "one that is {0}",
    "should be {0}",
    "the one i want is {0}",
    "would be nicer {0}",
    "same item {0}",
    "a version {0}",
    "let me see {0}",
    "comes {0}",
    "must be {0}",
    "just {0}",
    "maybe {0}",
    "only different in that it is {0}",
    "the design is good, but i need {0}",
)
SHOWN = (
    "{0}",
    "{0}",
    "{0}",
    "a photo of {0}",
    "a picture of {0}",
    "{0}, product photo",
    "there is {0}",
    "this is {0}",
    "an image of {0}",
    "here one sees {0}",
    "{0} in a shop",
    "new: {0}",
    "buy {0}",
    "close view of {0}",
    "{0}, seen from the front",
)
_COLOURED = (
    "{0}",
    "{0}",
    "in {0}",
    "in {0}",
    "{0} in colour",
    "of {0} colour",
    "with {0} as its colour",
    "coloured in {0}",
    "in the colour {0}",
    "{0} instead",
    "dyed {0}",
    "{0}, no other colour",
    "in a {0} tone",
)
_KINDS = (
    "{0}",
    "{0}",
    "as {0}",
    "{0} instead",
    "{0} instead of this",
    "into {0}",
    "{0} in its place",
    "in the form of {0}",
)
_GENDERS = (
    "for {0}",
    "for {0}",
    "{0}",
    "made for {0}",
    "to be worn by {0}",
    "in the {0} department",
    "for {0} instead",
)
_USES = ("{0}", "for {0} wear", "more {0}", "for {0} use")


def a(noun: str) -> str:
    """The noun with an article, unless it is a plural or has one."""
    if re.match(r"(a|an|the|some|pair) ", noun) or (_PAIRS.search(noun) and not noun.endswith(("dress", "glass"))):
        return noun
    return f"{'an' if noun[:1] in tuple('aeiou') else 'a'} {noun}"


def say(group: str, word: str, random: Random) -> str:
    """One of the ways to say a word of a group."""
    return random.choice(_SAYINGS.get(group, {}).get(word, (word,)))


def described(facts: Mapping[str, str], random: Random) -> str:
    """A noun phrase of facts that include a kind: "a red striped dress with long sleeves for women"."""
    before, after = [], []
    for group in random.sample(list(facts), len(facts)):
        word = say(group, facts[group], random)
        if group == "kind":
            continue
        if group == "gender":
            if word.startswith("for ") or random.random() < 0.6:
                after.append(
                    word if word.startswith("for ") else f"for {word.removesuffix(chr(39) + 's').rstrip(chr(39))}"
                )
            else:
                before.append(word)
        elif (group == "sleeve" and word.endswith("sleeves") and not _BEFORE.match(word)) or group == "detail":
            after.append(f"with {word}")
        elif _BEFORE.match(word) or group == "place":
            after.append(word)
        elif group == "colour" and random.random() < 0.3:
            after.append(f"in {word}")
        else:
            before.append(word)
    noun = " ".join([*before, say("kind", facts["kind"], random)])
    return " ".join([a(noun) if random.random() < 0.7 else noun, *after])


def fragment(group: str, word: str, random: Random) -> str:
    """A wish about one group alone."""
    said = say(group, word, random)
    if _BEFORE.match(said):
        return said
    if group == "colour":
        return random.choice(_COLOURED).format(said)
    if group == "kind":
        return random.choice(_KINDS).format(a(said) if random.random() < 0.8 else said)
    if group == "gender":
        return random.choice(_GENDERS).format(said.removesuffix("'s").rstrip("'"))
    if group == "use":
        return random.choice(_USES).format(said)
    if group in ("sleeve", "detail") and not said.endswith("ed") and said != "sleeveless":
        return f"with {said}"
    return said


def wish(facts: Mapping[str, str], random: Random) -> str:
    """A sentence that asks for these facts and says nothing else."""
    if "kind" in facts and len(facts) > 1 and random.random() < 0.6:
        content = described(facts, random)
    else:
        groups = random.sample(list(facts), len(facts))
        content = random.choice((" and ", ", ", " ")).join(fragment(group, facts[group], random) for group in groups)
    return random.choice(FRAMES).format(content)


def caption(facts: Mapping[str, str], random: Random) -> str:
    """A caption of a picture with these facts."""
    if "kind" not in facts:
        return wish(facts, random)
    return random.choice(SHOWN).format(described(facts, random))


def anything(random: Random) -> dict[str, str]:
    """Some facts that may go together, of clothes or of any other thing."""
    clothes = random.random() < 0.5
    facts = {"kind": random.choice(GROUPS["clothes" if clothes else "thing"])[0]} if random.random() < 0.8 else {}
    groups = (
        ["colour", "pattern", "sleeve", "gender", "use", "material", "detail", "place"]
        if clothes
        else ["colour", "material", "shape", "style", "detail", "place"]
    )
    weights = [3, 1.5, 1, 1, 0.5, 0.7, 0.6, 0.5] if clothes else [2, 1, 1, 2, 0.6, 0.8]
    for _ in range(random.choice((0, 1, 1, 2, 2, 3)) if facts else random.choice((1, 1, 2))):
        group = random.choices(groups, weights)[0]
        facts[group] = random.choice(GROUPS[group])[0]
    return facts


def sentences(count: int, seed: int, names: Sequence[str] = ()) -> list[str]:
    """Distinct sentences for distillation; `names` are further things to speak of, such as class names."""
    random = Random(seed)
    made: dict[str, None] = {}
    while len(made) < count:
        facts = anything(random)
        if names and random.random() < 0.25:
            facts["kind"] = random.choice(names)
        style = random.random()
        if style < 0.35:
            text = caption(facts, random)
        elif style < 0.75:
            text = wish(facts, random)
        elif style < 0.9:
            group = random.choice(list(facts))
            old = random.choice(GROUPS.get(group, GROUPS["thing"]))[0]
            text = random.choice(
                (
                    "{0} instead of {1}",
                    "not {1} but {0}",
                    "{0} rather than {1}",
                    "{1} to {0}",
                    "{0}, no longer {1}",
                    "with {0} and no {1}",
                )
            ).format(say(group, facts[group], random), old)
        else:
            other = anything(random)
            text = random.choice(
                (
                    "{0} next to {1}",
                    "{0} and {1}",
                    "{0} in front of {1}",
                    "{0} with {1}",
                    "two of {0} behind {1}",
                    "{0} that looks like {1}",
                    "{0} on top of {1}",
                    "no {0}, only {1}",
                    "{0} holding {1}",
                    "{0} matching {1}",
                )
            ).format(caption(facts, random), caption(other, random))
        made[text] = None
    return list(made)
