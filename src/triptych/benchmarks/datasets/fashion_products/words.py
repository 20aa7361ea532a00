"""Natural words for attribute values of the fashion products, and the colour words of titles."""

import re

# The word for a single item of each articleType. Some are plurals in English ("jeans").
_KINDS = {
    "Accessory Gift Set": "accessory gift set",
    "Baby Dolls": "babydoll nightdress",
    "Backpacks": "backpack",
    "Bangle": "bangle",
    "Basketballs": "basketball",
    "Bath Robe": "bathrobe",
    "Beauty Accessory": "beauty accessory",
    "Belts": "belt",
    "Blazers": "blazer",
    "Body Lotion": "body lotion",
    "Body Wash and Scrub": "body wash",
    "Booties": "baby booties",
    "Boxers": "boxer shorts",
    "Bra": "bra",
    "Bracelet": "bracelet",
    "Briefs": "briefs",
    "Camisoles": "camisole",
    "Capris": "capri pants",
    "Caps": "cap",
    "Casual Shoes": "casual shoes",
    "Churidar": "churidar",
    "Clothing Set": "clothing set",
    "Clutches": "clutch",
    "Compact": "compact powder",
    "Concealer": "concealer",
    "Cufflinks": "cufflinks",
    "Cushion Covers": "cushion cover",
    "Deodorant": "deodorant",
    "Dresses": "dress",
    "Duffel Bag": "duffel bag",
    "Dupatta": "dupatta",
    "Earrings": "earrings",
    "Eye Cream": "eye cream",
    "Eyeshadow": "eyeshadow",
    "Face Moisturisers": "face moisturiser",
    "Face Scrub and Exfoliator": "face scrub",
    "Face Serum and Gel": "face serum",
    "Face Wash and Cleanser": "face wash",
    "Flats": "flats",
    "Flip Flops": "flip flops",
    "Footballs": "football",
    "Formal Shoes": "formal shoes",
    "Foundation and Primer": "foundation",
    "Fragrance Gift Set": "perfume gift set",
    "Free Gifts": "free gift",
    "Gloves": "gloves",
    "Hair Accessory": "hair accessory",
    "Hair Colour": "hair dye",
    "Handbags": "handbag",
    "Hat": "hat",
    "Headband": "headband",
    "Heels": "heels",
    "Highlighter and Blush": "blush",
    "Innerwear Vests": "vest",
    "Ipad": "ipad",
    "Jackets": "jacket",
    "Jeans": "jeans",
    "Jeggings": "jeggings",
    "Jewellery Set": "jewellery set",
    "Jumpsuit": "jumpsuit",
    "Kajal and Eyeliner": "eyeliner",
    "Key chain": "key chain",
    "Kurta Sets": "kurta set",
    "Kurtas": "kurta",
    "Kurtis": "kurti",
    "Laptop Bag": "laptop bag",
    "Leggings": "leggings",
    "Lehenga Choli": "lehenga choli",
    "Lip Care": "lip balm",
    "Lip Gloss": "lip gloss",
    "Lip Liner": "lip liner",
    "Lip Plumper": "lip plumper",
    "Lipstick": "lipstick",
    "Lounge Pants": "lounge pants",
    "Lounge Shorts": "lounge shorts",
    "Lounge Tshirts": "lounge t-shirt",
    "Makeup Remover": "makeup remover",
    "Mascara": "mascara",
    "Mask and Peel": "face mask",
    "Mens Grooming Kit": "grooming kit",
    "Messenger Bag": "messenger bag",
    "Mobile Pouch": "mobile pouch",
    "Mufflers": "muffler",
    "Nail Essentials": "nail care kit",
    "Nail Polish": "nail polish",
    "Necklace and Chains": "necklace",
    "Nehru Jackets": "nehru jacket",
    "Night suits": "night suit",
    "Nightdress": "nightdress",
    "Patiala": "patiala pants",
    "Pendant": "pendant",
    "Perfume and Body Mist": "perfume",
    "Rain Jacket": "rain jacket",
    "Rain Trousers": "rain trousers",
    "Ring": "ring",
    "Robe": "robe",
    "Rompers": "romper",
    "Rucksacks": "rucksack",
    "Salwar": "salwar",
    "Salwar and Dupatta": "salwar and dupatta set",
    "Sandals": "sandals",
    "Sarees": "saree",
    "Scarves": "scarf",
    "Shapewear": "shapewear",
    "Shirts": "shirt",
    "Shoe Accessories": "shoe accessory",
    "Shoe Laces": "shoe laces",
    "Shorts": "shorts",
    "Shrug": "shrug",
    "Skirts": "skirt",
    "Socks": "socks",
    "Sports Sandals": "sports sandals",
    "Sports Shoes": "sports shoes",
    "Stockings": "stockings",
    "Stoles": "stole",
    "Suits": "suit",
    "Sunglasses": "sunglasses",
    "Sunscreen": "sunscreen",
    "Suspenders": "suspenders",
    "Sweaters": "sweater",
    "Sweatshirts": "sweatshirt",
    "Swimwear": "swimsuit",
    "Tablet Sleeve": "tablet sleeve",
    "Ties": "tie",
    "Ties and Cufflinks": "tie and cufflink set",
    "Tights": "tights",
    "Toner": "toner",
    "Tops": "top",
    "Track Pants": "track pants",
    "Tracksuits": "tracksuit",
    "Travel Accessory": "travel accessory",
    "Trolley Bag": "trolley bag",
    "Trousers": "trousers",
    "Trunk": "trunks",
    "Tshirts": "t-shirt",
    "Tunics": "tunic",
    "Umbrellas": "umbrella",
    "Waist Pouch": "waist pouch",
    "Waistcoat": "waistcoat",
    "Wallets": "wallet",
    "Watches": "watch",
    "Water Bottle": "water bottle",
    "Wristbands": "wristband",
}

# Values whose lower-case name is not the word for them.
_WORDS = {
    "gender": {"Unisex": "men and women"},
    "kind": _KINDS,
    "colour": {
        "Fluorescent Green": "fluorescent green",
        "Multi": "multicoloured",
        "Off White": "off-white",
        "Skin": "skin-coloured",
        "Turquoise Blue": "turquoise",
    },
}

_UNCOUNTED = {"shapewear"}

# The words of every baseColour, and other colour words of titles.
COLOUR_WORDS = frozenset(
    re.findall(
        r"\w+",
        """
        beige black blue bronze brown burgundy charcoal coffee copper cream fluorescent gold green grey khaki
        lavender lime magenta maroon mauve melange metallic multi mushroom mustard navy nude off olive orange
        peach pink purple red rose rust sea silver skin steel tan taupe teal turquoise white yellow

        aqua blues colored coloured coral crimson cyan dark fuchsia golden gray greens greys gunmetal indigo
        ivory lemon light lilac mint multicolor multicolored multicolour multicoloured pale pastel plum sand
        scarlet sky toned violet wine
        """,
    )
)


def word_for(attribute: str, value: str) -> str:
    """The word for a value of the data set: "t-shirt" for the kind "Tshirts", "men" for the gender "Men".

    Args:
        attribute: "gender", "kind" or "colour".
        value: the value. A value without an entry is used in lower case.
    """
    return _WORDS[attribute].get(value, value.casefold())


def with_article(noun: str, before: str = "") -> str:
    """A noun with `before` and an article, unless it is a plural: "an orange shirt"."""
    phrase = f"{before} {noun}".strip()
    if noun in _UNCOUNTED or re.search(r"[^s]s$", noun):
        return phrase
    return f"{'an' if phrase[:1] in tuple('aeiou') else 'a'} {phrase}"
