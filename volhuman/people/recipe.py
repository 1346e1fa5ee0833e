"""What a person wears and looks like: plain data, before any geometry.

Positions of hems, cuffs and waists are rest coordinates in metres (`people.surface`):
the waist is near y = 0.10, the crotch -0.08, the knee -0.41, the sole -0.91, the
shoulder x = 0.18, the elbow 0.42, the wrist 0.66.
"""

import dataclasses

LABELS = (
    "background",
    "skin",
    "hair",
    "top",
    "outerwear",
    "trousers",
    "skirt",
    "footwear",
    "socks",
    "accessory",
)
LABEL = {name: number for number, name in enumerate(LABELS)}

Colour = tuple[float, float, float]


@dataclasses.dataclass(frozen=True)
class Pattern:
    """Colours of a fabric.

    Attributes:
        kind: One of `textures.PATTERNS`.
        colours: Three sRGB colours in [0, 1]: ground and two others.
        frequency: Repeats a metre.
        duty: Share of the second colour in stripes.
        seed: Seed of its noise.
    """

    kind: str
    colours: tuple[Colour, Colour, Colour]
    frequency: float
    duty: float
    seed: int


@dataclasses.dataclass(frozen=True)
class Upper:
    """A garment of the upper body.

    Attributes:
        kind: tank, tee, long, shirt, sweater, hoodie, jacket, blazer or coat.
        sleeve: |x| of the cuffs.
        hem: y of the hem on the body; lower hems hang freely (`Hanging`).
        neckline: crew, v, scoop, turtle or collar.
        offset: Thickness over the skin in metres.
        slack: How far loose fabric hangs, metres.
        roughness: Strength of its folds, 1 is usual.
        opening: Half width of the open front at the hem, 0 when closed.
        pattern: Fabric.
        trim: Colour of buttons, zip and lining.
        motif: 0 for none, 1 disc, 2 block, 3 lettering on the chest.
        motif_colours: Its two colours.
        is_outer: Worn over another garment.
    """

    kind: str
    sleeve: float
    hem: float
    neckline: str
    offset: float
    slack: float
    roughness: float
    opening: float
    pattern: Pattern
    trim: Colour
    motif: int
    motif_colours: tuple[Colour, Colour]
    is_outer: bool = False

    @property
    def body_hem(self) -> float:
        """y down to which it covers the body; below that it hangs freely."""
        return max(self.hem, 0.03)


@dataclasses.dataclass(frozen=True)
class Lower:
    """Trousers, leggings or shorts.

    Attributes:
        kind: jeans, chinos, wide, sweats, leggings or shorts.
        waist: y of the waistband.
        hem: y of the hems.
        offset: Thickness in metres.
        slack: How far loose fabric hangs, metres.
        flare: Growth of the radius from hip to hem, metres.
        roughness: Strength of its folds.
        pattern: Fabric.
        stripe: Colour of the side stripe of sweats.
        belt: Colour of the belt, or None.
    """

    kind: str
    waist: float
    hem: float
    offset: float
    slack: float
    flare: float
    roughness: float
    pattern: Pattern
    stripe: Colour
    belt: Colour | None


@dataclasses.dataclass(frozen=True)
class Hanging:
    """A tube of fabric that hangs from the waist: skirt, dress, coat or shirt tail.

    Attributes:
        label: Name in `LABELS`.
        top: y where it leaves the body.
        length: Metres of fabric from there to the hem.
        clearance: Distance to the body in metres.
        flare: Slope of the free fabric, metres outwards per metre down.
        pleats: Number of pleats around.
        pleat_depth: Their depth at the hem, metres.
        phase: Where the pleats begin, radians.
        pattern: Fabric.
    """

    label: str
    top: float
    length: float
    clearance: float
    flare: float
    pleats: int
    pleat_depth: float
    phase: float
    pattern: Pattern


@dataclasses.dataclass(frozen=True)
class Footwear:
    """Shoes and socks.

    Attributes:
        kind: sneaker, boot, flat or bare.
        top: y of the shaft.
        colour: Upper.
        sole: Sole.
        sock_top: y where the socks end; below the shaft for none.
        sock: Their colour.
        tights: Colour of tights, or None.
    """

    kind: str
    top: float
    colour: Colour
    sole: Colour
    sock_top: float
    sock: Colour
    tights: Colour | None


@dataclasses.dataclass(frozen=True)
class Hair:
    """Hair of the head.

    Attributes:
        style: bald, buzz, short, swept, curly, bob, long, ponytail or bun.
        colour: sRGB.
        length: Length of the locks in metres.
        volume: Distance from the scalp, 1 is usual.
        curl: Amplitude of the locks' waves, metres.
        parting: x where the hair divides.
        beard: 0 none, 1 stubble, 2 full.
    """

    style: str
    colour: Colour
    length: float
    volume: float
    curl: float
    parting: float
    beard: int


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Everything that makes one person, reproducible from the seed.

    Attributes:
        seed: Seed it was drawn from.
        shape: Shape components of the embedded body.
        feminine: Whether face, body and clothes are drawn from the feminine ranges.
        skin: sRGB.
        uppers: One or two garments, the inner one first.
        lower: Trousers, or None under a skirt.
        hangings: Skirts, coat and shirt tails.
        footwear: Shoes, socks and tights.
        hair: Hair and beard.
        hat: Colour of a cap, or None.
        glasses: Colour of the frames, or None.
    """

    seed: int
    shape: tuple[float, ...]
    feminine: bool
    skin: Colour
    uppers: tuple[Upper, ...]
    lower: Lower | None
    hangings: tuple[Hanging, ...]
    footwear: Footwear
    hair: Hair
    hat: Colour | None
    glasses: Colour | None
