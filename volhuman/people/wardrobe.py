"""Draws recipes: bodies, outfits, fabrics and colours from a seed."""

import dataclasses

import numpy as np

from volhuman.people.palettes import HAIR, PALETTES, SKIN
from volhuman.people.recipe import (
    Colour,
    Footwear,
    Hair,
    Hanging,
    Lower,
    Pattern,
    Recipe,
    Upper,
)

_PATTERNS = (
    "hstripe",
    "vstripe",
    "plaid",
    "dots",
    "blobs",
    "camouflage",
    "blocks",
    "gradient",
    "melange",
    "floral",
)
_OFFSET = {
    "tank": 0.004,
    "tee": 0.006,
    "long": 0.006,
    "shirt": 0.007,
    "sweater": 0.012,
    "hoodie": 0.015,
    "jacket": 0.014,
    "blazer": 0.012,
    "coat": 0.016,
}
_SLACK = {
    "tank": (0.0, 0.012),
    "tee": (0.004, 0.045),
    "long": (0.0, 0.022),
    "shirt": (0.006, 0.035),
    "sweater": (0.006, 0.04),
    "hoodie": (0.012, 0.045),
    "jacket": (0.006, 0.025),
    "blazer": (0.004, 0.016),
    "coat": (0.008, 0.03),
}


def sample_recipe(seed: int) -> Recipe:
    """Draws a person's body and outfit.

    Args:
        seed: Non-negative; the same seed gives the same recipe on every machine.

    Returns:
        The recipe.
    """
    generator = np.random.default_rng([20200614, seed])
    feminine = bool(generator.random() < 0.5)
    shape = 0.95 * generator.standard_normal(10)
    # The first two components separate the sexes in the embedded body.
    shape[:2] += (-0.7, 1.0) if feminine else (0.7, -0.6)
    # Together they are kept where the skin still has no creases that turn over.
    shape[:2] *= min(1.0, 2.2 / np.hypot(*shape[:2]))
    shape = np.clip(shape, -2.2, 2.2)
    uppers = [_upper(generator, feminine)]
    lower, hangings = _below_the_waist(generator, feminine, uppers)
    if generator.random() < 0.3 and uppers[0].kind in ("tank", "tee", "long", "shirt"):
        uppers.append(_outer(generator))
    hangings += _tails(generator, uppers, has_skirt=lower is None)
    hair = _hair(generator, feminine)
    return Recipe(
        seed=seed,
        shape=tuple(shape.tolist()),
        feminine=feminine,
        skin=_vary(generator, _pick(generator, SKIN), 0.06, 0.012),
        uppers=tuple(uppers),
        lower=lower,
        hangings=tuple(hangings),
        footwear=_footwear(generator, feminine, wears_skirt=lower is None),
        hair=hair,
        hat=_colour(generator)
        if hair.style in ("short", "buzz") and generator.random() < 0.25
        else None,
        glasses=_colour(generator, "neutral") if generator.random() < 0.15 else None,
    )


def _upper(generator, feminine):
    shares = {
        "tee": 0.28,
        "long": 0.16,
        "shirt": 0.18,
        "sweater": 0.13,
        "hoodie": 0.13,
        "tank": 0.12 if feminine else 0.06,
    }
    return _make_upper(generator, _pick(generator, shares), feminine=feminine)


def _make_upper(generator, kind, *, feminine):
    uniform = generator.uniform
    sleeve = {"tee": uniform(0.27, 0.42), "tank": 0.168}.get(kind, uniform(0.6, 0.668))
    if kind == "shirt" and generator.random() < 0.45:
        sleeve = uniform(0.3, 0.56)
    free = {"crew": 0.5, "v": 0.2, "scoop": 0.2 if feminine else 0.08, "turtle": 0.08}
    neckline = {"shirt": "collar", "hoodie": "crew"}.get(kind) or _pick(generator, free)
    # Below the hip bones a hem hangs freely; tucked in, it ends under the waistband.
    tucked = kind != "hoodie" and generator.random() < 0.28
    hem = uniform(0.05, 0.085) if tucked else uniform(-0.14, 0.01)
    plain = 0.7 if kind == "hoodie" else 0.42
    pattern = _pattern(generator, plain)
    has_motif = (
        kind in ("tee", "long", "hoodie", "sweater")
        and pattern.kind == "plain"
        and generator.random() < 0.5
    )
    return Upper(
        kind=kind,
        sleeve=sleeve,
        hem=hem,
        neckline=neckline,
        offset=_OFFSET[kind] * uniform(0.9, 1.5),
        slack=uniform(*_SLACK[kind]) if generator.random() < 0.8 else 0.003,
        roughness=uniform(0.6, 1.5),
        opening=0.0,
        pattern=pattern,
        trim=_colour(generator, "neutral", "pastel"),
        motif=int(generator.integers(1, 4)) if has_motif else 0,
        motif_colours=(_colour(generator), _colour(generator)),
    )


def _outer(generator):
    """A jacket, blazer or coat, open or closed, over the first garment."""
    uniform = generator.uniform
    kind = _pick(generator, {"jacket": 0.45, "blazer": 0.25, "coat": 0.3})
    hem = {"jacket": uniform(-0.03, 0.06), "blazer": uniform(-0.14, -0.06)}.get(
        kind, uniform(-0.5, -0.2)
    )
    is_open = kind != "coat" and generator.random() < 0.75
    # An open front cannot continue into a closed tube below the hips.
    hem = max(hem, -0.03) if is_open else hem
    return Upper(
        kind=kind,
        sleeve=uniform(0.63, 0.672),
        hem=hem,
        neckline="collar",
        offset=_OFFSET[kind] * uniform(1.0, 1.5) + 0.008,
        slack=uniform(*_SLACK[kind]),
        roughness=uniform(0.6, 1.3),
        opening=uniform(0.015, 0.075) if is_open else 0.0,
        pattern=_pattern(generator, 0.8, kinds=("neutral", "earth", "denim", "vivid")),
        trim=_colour(generator, "neutral"),
        motif=0,
        motif_colours=(_colour(generator), _colour(generator)),
        is_outer=True,
    )


def _below_the_waist(generator, feminine, uppers):
    """Trousers or a skirt; a dress changes the garment above it."""
    shares = {
        "jeans": 0.3 if feminine else 0.4,
        "chinos": 0.12 if feminine else 0.25,
        "wide": 0.12 if feminine else 0.07,
        "sweats": 0.06 if feminine else 0.13,
        "shorts": 0.08 if feminine else 0.15,
        "leggings": 0.12 if feminine else 0.0,
        "skirt": 0.13 if feminine else 0.0,
        "dress": 0.14 if feminine else 0.0,
    }
    kind = _pick(generator, shares)
    if kind not in ("skirt", "dress"):
        return _lower(generator, kind), []
    pattern = _pattern(generator, 0.5)
    if kind == "dress":
        inner = _make_upper(
            generator,
            _pick(generator, {"tank": 0.4, "tee": 0.35, "long": 0.25}),
            feminine=True,
        )
        uppers[0] = dataclasses.replace(
            inner, hem=0.06, pattern=pattern, motif=0, slack=min(inner.slack, 0.01)
        )
    else:
        uppers[0] = dataclasses.replace(uppers[0], hem=max(uppers[0].hem, -0.06))
    skirt = Hanging(
        label="skirt",
        top=0.105,
        length=generator.uniform(0.38, 0.98),
        clearance=0.006,
        flare=max(0.0, generator.uniform(-0.15, 0.6)),
        pleats=int(generator.integers(7, 18)),
        pleat_depth=generator.uniform(0.004, 0.032),
        phase=generator.uniform(0, 2 * np.pi),
        pattern=pattern,
    )
    return None, [skirt]


def _lower(generator, kind):
    uniform = generator.uniform
    hem = {"shorts": uniform(-0.45, -0.2), "leggings": uniform(-0.82, -0.6)}
    # Wide trousers keep their width; slim ones follow the calf.
    flare = {
        "jeans": (0.002, 0.03),
        "chinos": (0.006, 0.025),
        "wide": (0.045, 0.085),
        "sweats": (0.006, 0.022),
        "leggings": (0.0, 0.0),
        "shorts": (0.012, 0.045),
    }
    families = ("denim",) if kind == "jeans" else ("neutral", "earth", "denim")
    return Lower(
        kind=kind,
        waist=uniform(0.085, 0.11),
        hem=hem.get(kind, uniform(-0.862, -0.8)),
        offset={"leggings": 0.002, "jeans": 0.006}.get(kind, 0.008) * uniform(0.9, 1.3),
        slack={"leggings": 0.0, "wide": uniform(0.01, 0.02)}.get(
            kind, uniform(0.002, 0.012)
        ),
        flare=uniform(*flare[kind]),
        roughness=uniform(0.6, 1.4),
        pattern=_pattern(generator, 0.9, kinds=families),
        stripe=_colour(generator, "neutral", "vivid"),
        belt=_colour(generator, "neutral", "earth")
        if kind in ("jeans", "chinos") and generator.random() < 0.5
        else None,
    )


def _tails(generator, uppers, *, has_skirt):
    """The parts of garments that hang below the hip bones."""
    tails = []
    for upper in uppers:
        free = upper.hem < upper.body_hem and (upper.is_outer or not has_skirt)
        hidden = any(other.hem <= upper.hem for other in uppers if other is not upper)
        under = len(uppers) == 2 and not upper.is_outer
        if not free or (under and hidden):
            continue
        tail = Hanging(
            label="outerwear" if upper.is_outer else "top",
            top=0.13,
            length=0.13 - upper.hem,
            clearance=(0.016 if upper.is_outer else 0.004) + 0.02 * has_skirt,
            flare=generator.uniform(0.02, 0.2) + 2 * upper.slack,
            pleats=int(generator.integers(4, 9)),
            pleat_depth=generator.uniform(0.002, 0.012),
            phase=generator.uniform(0, 2 * np.pi),
            pattern=upper.pattern,
        )
        # What is worn underneath has no room to swing.
        slim = dataclasses.replace(tail, flare=0.02, pleat_depth=0.0)
        tails.append(slim if under else tail)
    return tails


def _footwear(generator, feminine, *, wears_skirt):
    shares = {"sneaker": 0.58, "boot": 0.2, "flat": 0.22, "bare": 0.03}
    kind = _pick(generator, shares)
    uniform = generator.uniform
    top = {"boot": uniform(-0.77, -0.6), "flat": -0.868}.get(kind, -0.842)
    has_tights = wears_skirt and generator.random() < 0.35
    sock = uniform(-0.8, -0.72) if kind in ("sneaker", "boot") else -1.0
    return Footwear(
        kind=kind,
        top=top,
        colour=_colour(generator, "neutral", "neutral", "earth", "vivid"),
        sole=_colour(generator, "neutral"),
        sock_top=sock,
        sock=_colour(generator, "neutral"),
        tights=_colour(generator, "neutral") if feminine and has_tights else None,
    )


def _hair(generator, feminine):
    if feminine:
        shares = {"long": 0.36, "bob": 0.22, "ponytail": 0.17, "bun": 0.1, "short": 0.1}
        shares["curly"] = 0.05
    else:
        shares = {"short": 0.42, "swept": 0.2, "buzz": 0.14, "bald": 0.07}
        shares |= {"curly": 0.12, "bob": 0.05}
    style = _pick(generator, shares)
    length = {
        "short": (0.02, 0.045),
        "swept": (0.05, 0.085),
        "curly": (0.035, 0.08),
        "bob": (0.15, 0.22),
        "long": (0.26, 0.45),
        "ponytail": (0.18, 0.36),
    }.get(style, (0.0, 0.0))
    curl = generator.uniform(0.004, 0.016) if generator.random() < 0.45 else 0.002
    return Hair(
        style=style,
        colour=_vary(generator, _pick(generator, HAIR), 0.2, 0.01),
        length=generator.uniform(*length),
        volume=generator.uniform(0.7, 1.35),
        curl=curl,
        parting=generator.uniform(-0.045, 0.045),
        beard=0 if feminine else int(generator.choice(3, p=[0.6, 0.2, 0.2])),
    )


def _pattern(generator, plain, *, kinds=("neutral", "vivid", "earth", "pastel")):
    """A fabric; `plain` is the share without a pattern."""
    kind = "plain"
    if generator.random() > plain:
        kind = _pick(generator, _PATTERNS)
    return Pattern(
        kind=kind,
        colours=tuple(_colour(generator, *kinds) for _ in range(3)),
        frequency=float(np.exp(generator.uniform(np.log(12), np.log(45)))),
        duty=generator.uniform(0.25, 0.6),
        seed=int(generator.integers(1_000_000)),
    )


def _colour(generator, *kinds) -> Colour:
    """A colour of one of the palettes, varied."""
    palette = PALETTES[_pick(generator, kinds or ("neutral", "vivid", "earth"))]
    return _vary(generator, _pick(generator, palette), 0.15, 0.03)


def _vary(generator, colour, brightness, tint) -> Colour:
    varied = np.asarray(colour) * (1 + brightness * generator.standard_normal())
    varied = varied + tint * generator.standard_normal(3)
    return tuple(np.clip(varied, 0.02, 0.97).tolist())


def _pick(generator, choices):
    """One of a sequence, or a key of a dictionary by its share."""
    if isinstance(choices, dict):
        shares = np.array(list(choices.values()))
        return list(choices)[generator.choice(len(shares), p=shares / shares.sum())]
    return choices[generator.integers(len(choices))]
