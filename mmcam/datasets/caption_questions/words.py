"""Small words of captions: colours, numbers, what stands before a noun, actions, places, sports."""

from __future__ import annotations

from typing import Final


def words_of(text: str) -> frozenset[str]:
    """The words of a text."""
    return frozenset(text.split())


COLOURS: Final = {
    **{name: name for name in words_of("black white red blue green yellow orange pink purple brown grey tan")},
    **{"gray": "grey", "silver": "grey", "beige": "tan", "golden": "tan", "gold": "yellow", "maroon": "red"},
    **{"violet": "purple", "navy": "blue", "turquoise": "blue", "blond": "blonde", "blonde": "blonde", "teal": "blue"},
    **{"lavender": "purple", "reddish": "red", "magenta": "pink", "brunette": "brown", "cream": "tan"},
}
"""A colour's word → the name that answers use."""

CLOSE_COLOURS: Final = frozenset(map(frozenset, [("brown", "tan"), ("blonde", "tan"), ("white", "tan")]))
"""Pairs that two people may say of one thing."""

MIXED: Final = words_of(
    "striped plaid colorful colourful multicolored multi-colored checkered patterned floral flowered spotted printed "
    "camouflage tie-dyed multi-coloured tricolored tri-colored rainbow mottled brindle dotted"
)
"""Before a noun they say that it has no one colour."""

NUMBERS: Final = {
    **{"one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10},
    **{"both": 2, "pair": 2, "couple": 2, "trio": 3},
}
VAGUE: Final = words_of("several many some few multiple various numerous lots group crowd bunch all pack")
SINGLE: Final = frozenset(("a", "an", "another", "one", "single", "lone"))
DEFINITE: Final = frozenset(("the", "his", "her", "its", "their", "this", "that", "'s", "each", "other"))

MODIFIERS: Final = words_of(
    "small large big little young old older elderly tall short long tiny huge giant fat skinny thin wet dry dirty "
    "muddy furry fluffy shaggy hairy curly curly-haired long-haired short-haired light dark bright plain fancy wooden "
    "plastic metal leather inflatable rubber stone concrete brick sandy snowy grassy rocky muddy dusty shallow deep "
    "clear open dirt male female asian indian african american black-haired blonde-haired blond dark-haired dark- "
    "skinned smiling happy laughing barefoot bald bearded shirtless topless naked bare adult baby toddler teenage "
    "middle-aged aged beautiful pretty cute lovely nice colored coloured sleeveless long-sleeved short-sleeved hooded "
    "denim knit knitted wool woolen fur sports football soccer baseball basketball tennis hockey winter summer ski "
    "swim swimming bathing motocross racing race stuffed squeaky toy fallen round square flat steep empty full "
    "crowded busy calm foamy soft hard heavy thick formal casual very matching similar identical own homeless blue- "
    "eyed redheaded red-haired dressed bikini-clad uniformed oriental caucasian hispanic chinese japanese western "
    "tan-colored thin lone single shiny vintage broken running jumping swimming playing sleeping sitting standing "
    "tattooed rolled rolling flying"
)
"""May stand between "a" and a noun and tell neither colour nor number."""

AMBIGUOUS: Final = words_of(
    "swing swings slide slides park watch watches bark rock rocks train trains dress top tops play lead drum drums "
    "fish duck ducks net ring rail jump bar pole cycle cycles lab step steps fire sign signs wave waves camera back "
    "bat bats fly ski skis bus crane cranes swallow cup boxer glass stick sticks goal suit suits shades deck rose tie "
    "ties ball bag pack skate skates pitcher hose"
)
"""Nouns only where a determiner, an adjective, a number, a colour or a preposition comes before."""

PREPOSITIONS: Final = words_of(
    "in on at through across into along over down up near by off onto around with under towards toward of from"
)

ACTIONS: Final = {
    name: words_of(forms)
    for name, forms in {
        "running": "running runs run racing races sprinting sprints",
        "jumping": "jumping jumps leaping leaps jump leap midair",
        "swimming": "swimming swims swim",
        "sitting": "sitting sits sit seated",
        "standing": "standing stands stand",
        "walking": "walking walks walk strolling strolls",
        "climbing": "climbing climbs climb",
        "sleeping": "sleeping sleeps asleep napping",
        "lying": "laying lays lying lies",
        "sliding": "sliding slides",
        "swinging": "swinging swings",
        "dancing": "dancing dances",
        "eating": "eating eats",
        "drinking": "drinking drinks",
        "reading": "reading reads",
        "fishing": "fishing fishes",
        "digging": "digging digs",
        "skateboarding": "skateboarding skateboards",
        "surfing": "surfing surfs",
        "skiing": "skiing skis",
        "snowboarding": "snowboarding snowboards",
        "skating": "skating skates rollerblading",
        "riding": "riding rides ride biking cycling",
        "kissing": "kissing kisses",
        "hugging": "hugging hugs embracing",
        "fighting": "fighting fights wrestling wrestles",
        "singing": "singing sings",
        "smoking": "smoking smokes",
        "kayaking": "kayaking kayaks paddling paddles rowing rows canoeing",
        "kicking": "kicking kicks",
        "throwing": "throwing throws",
        "catching": "catching catches",
        "hiking": "hiking hikes",
        "wading": "wading wades",
        "shaking": "shaking shakes",
        "flying": "flying flies",
        "talking": "talking talks chatting",
        "driving": "driving drives",
        "crawling": "crawling crawls",
        "posing": "posing poses",
        "licking": "licking licks",
        "diving": "diving dives",
        "bouncing": "bouncing bounces",
    }.items()
}
"""What someone does → the forms that say so. A form may be another word, so it counts only after someone is named."""

CLOSE_ACTIONS: Final = frozenset(
    map(
        frozenset,
        [
            *[("lying", other) for other in ("sleeping", "sitting")],
            *[("jumping", other) for other in ("bouncing", "diving", "running", "flying", "riding", "skateboarding")],
            *[("jumping", other) for other in ("snowboarding", "skiing", "skating", "catching")],
            *[("swimming", other) for other in ("wading", "diving")],
            *[("walking", other) for other in ("hiking", "wading", "running")],
            *[("standing", other) for other in ("posing", "talking", "walking", "wading")],
            *[("sitting", other) for other in ("talking", "reading", "eating", "drinking", "smoking", "posing")],
            *[("climbing", other) for other in ("hiking",)],
            *[("skateboarding", other) for other in ("skating", "riding")],
            *[("surfing", "riding"), ("riding", "driving"), ("skiing", "snowboarding")],
            *[("kayaking", "riding"), ("running", "catching"), ("running", "throwing"), ("running", "kicking")],
        ],
    )
)
"""Pairs that may be true of one scene: neither is the wrong answer where the other is told."""

PLACES: Final = {
    name: tuple(words.split("; "))
    for name, words in {
        "beach": "beach; shore; seashore; sandy beach; shoreline; sand",
        "water": "water; ocean; lake; river; sea; pond; stream; creek; waves; surf; wave; rapids",
        "pool": "pool; swimming pool; kiddie pool; wading pool",
        "snow": "snow; snowy field; snowy hill; snowy slope; snowy mountain; snowbank; deep snow; ski slope",
        "grass": "grass; lawn; yard; backyard; grassy area; grassy hill; grassy yard",
        "field": "field; grassy field; meadow; pasture",
        "street": "street; road; highway; crosswalk; dirt road; intersection; alley",
        "sidewalk": "sidewalk; pavement; walkway",
        "park": "park",
        "forest": "woods; forest; wooded area; jungle",
        "mountain": "mountain; mountaintop; mountains; mountain top; mountainside",
        "rock": "cliff; rock; rock face; rocks; boulder; boulders",
        "stage": "stage",
        "track": "track; race track; racetrack; dirt track",
        "court": "court; basketball court; tennis court",
        "ramp": "ramp; skate park; halfpipe; half pipe; skateboard ramp; skatepark",
        "playground": "playground; jungle gym",
        "trampoline": "trampoline",
        "swing": "swing; tire swing; swings",
        "slide": "slide; water slide; playground slide",
        "bench": "bench; park bench",
        "couch": "couch; sofa",
        "bed": "bed",
        "boat": "boat; canoe; kayak; raft",
        "restaurant": "restaurant; bar; cafe",
        "room": "room; kitchen; living room; bedroom",
        "city": "city; downtown",
        "desert": "desert; sand dune; dune",
        "ice": "ice; ice rink; rink",
        "stairs": "stairs; steps; staircase",
        "bathtub": "bathtub; tub; bath",
        "bridge": "bridge",
        "market": "market; store; shop",
        "dock": "dock; pier",
        "stadium": "stadium",
        "garden": "garden",
        "fountain": "fountain",
        "table": "table",
        "puddle": "puddle",
        "mud": "mud",
    }.items()
}
"""Where something is → the nouns that say so after a preposition."""

AT: Final = words_of("in on at through across into along onto down inside")
"""The prepositions that say where something is."""

CLOSE_PLACES: Final = frozenset(
    map(
        frozenset,
        [
            *[("water", other) for other in ("beach", "pool", "boat", "fountain", "puddle", "bathtub", "dock")],
            *[("street", other) for other in ("sidewalk", "city")],
            *[("park", other) for other in ("grass", "bench", "playground", "ramp", "sidewalk", "garden")],
            *[("playground", other) for other in ("swing", "slide")],
            *[("mountain", other) for other in ("snow", "beach", "rock")],
            *[("field", other) for other in ("grass", "park", "snow", "stadium", "mud")],
            *[("rock", other) for other in ("water", "beach")],
            *[("snow", "forest"), ("grass", "forest"), ("beach", "desert"), ("grass", "garden"), ("room", "bed")],
            *[("room", "couch"), ("restaurant", "table"), ("room", "table"), ("city", "sidewalk"), ("mud", "puddle")],
            *[("track", "grass"), ("stadium", "track"), ("grass", "mountain"), ("park", "fountain")],
        ],
    )
)

SPORTS: Final = {
    "soccer": ("soccer",),
    "football": ("football",),
    "basketball": ("basketball",),
    "baseball": ("baseball", "softball"),
    "tennis": ("tennis racket", "tennis player", "playing tennis", "tennis court", "plays tennis", "tennis match"),
    "volleyball": ("volleyball",),
    "hockey": ("hockey",),
    "skateboarding": ("skateboarding", "skateboard", "skateboarder", "skateboards"),
    "surfing": ("surfing", "surfboard", "surfer", "surfs"),
    "skiing": ("skiing", "skier", "skis"),
    "snowboarding": ("snowboarding", "snowboard", "snowboarder"),
    "cycling": ("cyclist", "bmx", "bicyclist", "cycling", "biker", "bicyclists", "cyclists"),
    "motocross": ("motocross", "dirt bike", "dirtbike"),
    "wrestling": ("wrestling", "wrestlers", "wrestler", "wrestle"),
    "climbing": ("rock climbing", "rock climber", "climber", "climbing a rock", "climbs a rock"),
    "kayaking": ("kayak", "kayaking", "kayaker"),
    "karate": ("karate", "martial arts"),
    "rugby": ("rugby",),
    "golf": ("golf", "golfer", "golfing"),
    "cricket": ("cricket",),
}
