"""The demo's catalogue: 500 believable products in 12 categories, the same from every seed run."""

import random
from dataclasses import dataclass

PRODUCTS = 500
SHOPPERS = 500
SHOPPER_PASSWORD = "demo-shopper"  # noqa: S105 - demo accounts, published in the README
SEED = 20261122


@dataclass(frozen=True, slots=True)
class Category:
    """A shelf of the shop; prices in cents, parts are what names are made of."""

    slug: str
    name: str
    colour: str
    lowest_cents: int
    highest_cents: int
    things: tuple[str, ...]
    qualities: tuple[str, ...]
    sentence: str


@dataclass(frozen=True, slots=True)
class Product:
    """One article; stock in units."""

    id: int
    sku: str
    name: str
    description: str
    category: Category
    price_cents: int
    stock: int
    safety_stock: int

    @property
    def image(self) -> str:
        """Return the file name of its picture under /images/."""
        return f"{self.sku.lower()}.svg"


def _category(slug: str, name: str, colour: str, cents: str, *parts: str) -> Category:
    lowest, highest = (int(value) for value in cents.split("-"))
    things, qualities, sentence = parts
    return Category(
        slug, name, colour, lowest, highest,
        tuple(things.split("|")), tuple(qualities.split("|")), sentence,
    )  # fmt: skip


CATEGORIES = (
    _category(
        "kitchen", "Kitchen", "#c2410c", "900-8900",
        "Saucepan|Frying Pan|Chef's Knife|Mixing Bowl|Coffee Press|Teapot|Cutting Board|Whisk",
        "Classic|Large|Small|Everyday|Professional|Compact",
        "Made for daily cooking, easy to clean and good to hold.",
    ),
    _category(
        "living", "Living Room", "#0f766e", "1900-34900",
        "Floor Lamp|Armchair|Side Table|Throw Blanket|Cushion|Bookshelf|Rug|Wall Clock",
        "Slim|Generous|Woven|Modern|Classic|Natural",
        "A calm piece that makes an evening at home warmer.",
    ),
    _category(
        "bedroom", "Bedroom", "#6d28d9", "1500-24900",
        "Duvet Cover|Pillow|Bed Frame|Night Stand|Reading Light|Mattress Topper|Sheet Set",
        "Natural|Soft|Light|Double|Single|Organic",
        "Soft, breathable and made to last many washes.",
    ),
    _category(
        "garden", "Garden", "#15803d", "700-15900",
        "Watering Can|Pruning Shears|Plant Pot|Hand Trowel|Garden Hose|Seed Tray|Lantern",
        "Weatherproof|Recycled|Balcony|Large|Small|Classic",
        "Weatherproof, repairable and at home on a balcony or in a large garden.",
    ),
    _category(
        "outdoor", "Outdoor", "#4d7c0f", "1900-18900",
        "Tent|Sleeping Bag|Camp Stove|Trekking Poles|Headlamp|Water Bottle|Dry Bag|Hammock",
        "Ultralight|Expedition|Rugged|Four-Season|Compact|Family",
        "Tested on long trails in rain, wind and snow.",
    ),
    _category(
        "sport", "Sport", "#b91c1c", "900-19900",
        "Yoga Mat|Kettlebell|Skipping Rope|Football|Tennis Racket|Swim Goggles|Resistance Band",
        "Training|Pro|Club|Home|Travel|Junior",
        "For training at home, in the club and on the road.",
    ),
    _category(
        "shoes", "Shoes", "#1d4ed8", "3900-17900",
        "Running Shoe|Hiking Boot|Sneaker|Sandal|Chelsea Boot|Slipper|Loafer",
        "Leather|Suede|Wide|Canvas|Vegan|Light",
        "A comfortable last with a replaceable insole.",
    ),
    _category(
        "bags", "Bags", "#a16207", "2900-22900",
        "Backpack|Tote|Messenger Bag|Weekender|Belt Bag|Laptop Sleeve|Wash Bag",
        "Waxed Canvas|Leather|Recycled|Roll-Top|Padded|Everyday",
        "Reinforced seams, strong zips and a pocket for everything.",
    ),
    _category(
        "audio", "Audio", "#be185d", "2500-39900",
        "Headphones|Earbuds|Bookshelf Speaker|Soundbar|Turntable|Radio|Microphone",
        "Wireless|Vintage|Studio|Portable|Hi-Fi|Compact",
        "Clear, balanced sound and a battery or plug that is easy to replace.",
    ),
    _category(
        "desk", "Desk", "#475569", "900-19900",
        "Notebook|Fountain Pen|Desk Lamp|Monitor Stand|Desk Mat|Office Chair|Keyboard",
        "Studio|Slim|Classic|Compact|Walnut|Graphite",
        "Keeps a working day in order without standing in the way.",
    ),
    _category(
        "toys", "Toys", "#db2777", "800-9900",
        "Building Blocks|Puzzle|Toy Train|Plush Bear|Board Game|Kite|Marble Run",
        "Classic|Little|Big|Colourful|Travel|Giant",
        "Sturdy, safe for small hands and fun for the whole family.",
    ),
    _category(
        "books", "Books", "#7c2d12", "900-5900",
        "Cookbook|Atlas|Field Guide|Travel Journal|Crossword Book|Art Book|Photo Album",
        "Illustrated|Pocket|Hardcover|Annotated|Large-Print|Collector's",
        "Printed on heavy paper and bound to lie open flat.",
    ),
)  # fmt: skip

_LINES = (
    "Alder", "Birch", "Coast", "Dune", "Ember", "Fjord", "Grove", "Harbour", "Isle", "Juniper",
    "Kestrel", "Larch", "Meadow", "North", "Orchard", "Pebble", "Quarry", "River", "Summit", "Tide",
)  # fmt: skip


def make_products(seed: int = SEED, count: int = PRODUCTS) -> list[Product]:
    """Return the catalogue; equal seeds give equal catalogues."""
    rng = random.Random(seed)
    products = []
    names: set[str] = set()
    for number in range(1, count + 1):
        category = CATEGORIES[(number - 1) % len(CATEGORIES)]
        name = thing = quality = line = ""
        while not name or name in names:
            line, quality = rng.choice(_LINES), rng.choice(category.qualities)
            thing = rng.choice(category.things)
            name = f"{line} {quality} {thing}"
        names.add(name)
        price = rng.randint(category.lowest_cents // 100, category.highest_cents // 100) * 100 + 90
        products.append(
            Product(
                id=number,
                sku=f"{category.slug[:3].upper()}-{number:04d}",
                name=name,
                description=(
                    f"{quality} {thing.lower()} from our {line} line. {category.sentence}"
                ),
                category=category,
                price_cents=price,
                stock=rng.randint(40, 90) * 100,
                safety_stock=rng.randint(5, 20) * 10,
            )
        )
    return products
