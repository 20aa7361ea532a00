"""Word lists for BASIC: names of things, whose differences matter in a reference, and names of styles, which do not
matter."""

_SUBJECTS = """
dog cat horse cow sheep pig goat bird eagle owl duck swan chicken parrot fish shark dolphin whale turtle frog snake
lizard spider bee butterfly ant elephant lion tiger bear wolf fox deer rabbit mouse monkey gorilla giraffe zebra
kangaroo penguin camel crocodile dinosaur woman man girl boy baby child crowd family couple dancer athlete soldier
doctor chef musician farmer face hand eye hair tree flower rose tulip sunflower grass leaf forest mountain hill valley
river lake sea beach island desert volcano waterfall cave rock sky cloud sun moon star snow ice rain garden park field
house castle tower church temple mosque palace bridge statue fountain monument skyscraper street road square market
shop restaurant kitchen bedroom bathroom office library school hospital museum theatre stadium airport harbour station
factory barn tent car bus truck van motorcycle bicycle train tram boat ship yacht aeroplane helicopter rocket tractor
chair table sofa bed lamp desk shelf cupboard door window mirror carpet curtain clock vase candle cup mug plate bowl
bottle glass knife fork spoon pan pot kettle fridge oven book newspaper letter pen pencil scissors bag backpack
suitcase wallet umbrella watch ring necklace earrings bracelet glasses hat cap scarf glove shirt blouse jumper jacket
coat dress skirt trousers jeans shorts suit tie sock shoe boot sandal trainers heel belt swimsuit phone computer
laptop keyboard screen camera television radio headphones loudspeaker robot guitar piano violin drum trumpet ball
racket skateboard surfboard ski kite doll puzzle balloon bread cake pizza burger sandwich salad soup pasta rice egg
cheese meat apple banana orange grape strawberry lemon tomato potato carrot onion mushroom chocolate coffee tea wine
beer juice hammer saw drill ladder rope box basket bucket bin fence wall roof stairs flag sign map painting coin key
tool
"""

_STYLES = """
a photo; a drawing; a painting; an oil painting; a watercolour; a sketch; a pencil drawing; a cartoon; a comic; an
engraving; a mosaic; an origami; a sculpture; a toy; a tattoo; embroidery; graffiti; a stamp; a logo; an icon; a
poster; pixel art; a video game; a 3d rendering; a plastic model; a screenshot; a black and white photo; a sepia
photo; an old photo; a blurred photo; a close-up; seen from above; seen from below; seen from the side; seen from
behind; from far away; at night; at dawn; at sunset; in bright daylight; in the dark; in the rain; in the snow; in
fog; under water; in summer; in autumn; in winter; in spring; indoors; outdoors; in the city; in the country; in the
forest; on the beach; on a table; on a white background; on a shelf; in a museum; in a shop; with people; with a
crowd; without people; with many of them; with only one; red; orange; yellow; green; blue; purple; pink; brown; black;
white; grey; colourful; striped; shiny; large; small; broken; old; new; wet; dirty; decorated; covered; reflected in a
mirror; made of wood; made of metal; made of glass
"""

SUBJECTS: tuple[str, ...] = tuple(_SUBJECTS.split())
"""Names of things of all kinds, one word each."""

STYLES: tuple[str, ...] = tuple(" ".join(style.split()) for style in _STYLES.split(";"))
"""Ways to show things: techniques, views, times, places, colours and states."""
