"""MakeHuman's macro parameters and a random sampler of adults.

A macro target is named by words such as `female`, `young` and `maxmuscle`. Its strength
is the product of one number in [0, 1] per word, which follows from the parameters.
"""

import dataclasses

import numpy as np

_ANCESTRY_WORDS = ("african", "asian", "caucasian")
_AGE_WORDS = ("baby", "child", "young", "old")
_AGE_ANCHORS = (0.0, 1 / 3, 2 / 3, 1.0)
# Interpolated over three levels, each with a target of its own.
_LEVEL_WORDS = {
    "muscle": ("minmuscle", "averagemuscle", "maxmuscle"),
    "weight": ("minweight", "averageweight", "maxweight"),
    "breast_size": ("mincup", "averagecup", "maxcup"),
    "breast_firmness": ("minfirmness", "averagefirmness", "maxfirmness"),
}
_LEVEL_ANCHORS = (0.0, 0.5, 1.0)
# Two targets, both without effect in the middle.
_EXTREME_WORDS = {
    "height": ("minheight", "maxheight"),
    "proportions": ("uncommonproportions", "idealproportions"),
}

# Change of stature by one unit of the height parameter, metres.
_SHORTER_PER_UNIT = 0.73
_TALLER_PER_UNIT = 1.446

# Mean and standard deviation of adult stature, metres.
_STATURE_FEMALE = (1.625, 0.065)
_STATURE_MALE = (1.755, 0.07)


@dataclasses.dataclass(frozen=True)
class Phenotype:
    """Macro parameters of one person; all but the ancestry lie in [0, 1].

    Attributes:
        ancestry: Shares of the three groups of `_ANCESTRY_WORDS`, positive.
        gender: 0 is male, 1 is female.
        age: 2/3 is 25 years old, 1 is 90.
        muscle: 0.5 is average, like all the following.
        weight: Fatness, not kilograms.
        height: Use `with_stature_change` to set it in metres.
        proportions: 1 is the sculptor's ideal.
        breast_size: Has an effect on females only.
        breast_firmness: Has an effect on females only.
    """

    ancestry: tuple[float, float, float] = (1.0, 1.0, 1.0)
    gender: float = 0.5
    age: float = 2 / 3
    muscle: float = 0.5
    weight: float = 0.5
    height: float = 0.5
    proportions: float = 0.5
    breast_size: float = 0.5
    breast_firmness: float = 0.5


# Average, and two opposite bodies: what the reduction of the mesh has to preserve.
REFERENCE_PHENOTYPES = (
    Phenotype(),
    Phenotype(gender=0.0, weight=0.75, muscle=0.8),
    Phenotype(gender=1.0, weight=0.25, age=1.0),
)


def target_strengths(
    target_tokens: list[list[str]], phenotype: Phenotype
) -> np.ndarray:
    """Computes how strongly each macro target acts.

    Args:
        target_tokens: Words of each target, k lists.
        phenotype: The person.

    Returns:
        Strengths in [0, 1], `(k,)` float64.
    """
    words = _word_strengths(phenotype)
    return np.array([np.prod([words[t] for t in tokens]) for tokens in target_tokens])


def with_stature_change(phenotype: Phenotype, change: float) -> Phenotype:
    """Makes a person of average height parameter taller by `change` metres."""
    per_unit = _SHORTER_PER_UNIT if change < 0 else _TALLER_PER_UNIT
    height = float(np.clip(0.5 + change / per_unit, 0, 1))
    return dataclasses.replace(phenotype, height=height)


def sample_adults(
    num_samples: int, generator: np.random.Generator
) -> tuple[list[Phenotype], np.ndarray]:
    """Draws adults of both sexes.

    Returns:
        Phenotypes of average height, and the wanted statures in metres,
        `(num_samples,)` float64.
    """
    phenotypes, statures = [], []
    for _ in range(num_samples):
        female = generator.random() < 0.5
        statures.append(generator.normal(*_STATURE_FEMALE if female else _STATURE_MALE))
        ancestry = tuple(generator.dirichlet([0.7] * 3))
        # Most people are clearly of one sex, few lie near the middle.
        to_other_sex = generator.beta(1, 5)
        phenotypes.append(
            Phenotype(
                ancestry=ancestry,
                gender=1 - to_other_sex if female else to_other_sex,
                age=float(
                    np.clip(2 / 3 - 0.06 + 0.36 * generator.beta(1.2, 2), 0.55, 1)
                ),
                muscle=generator.beta(3, 3),
                weight=0.1 + 0.9 * generator.beta(1.8, 1.8),
                proportions=generator.beta(3, 2.2),
                breast_size=generator.beta(2.5, 3),
                breast_firmness=generator.beta(3, 2),
            )
        )
    return phenotypes, np.array(statures)


def _word_strengths(phenotype: Phenotype) -> dict[str, float]:
    ancestry = np.array(phenotype.ancestry) / np.sum(phenotype.ancestry)
    strengths = dict(zip(_ANCESTRY_WORDS, ancestry))
    strengths["female"] = phenotype.gender
    strengths["male"] = 1 - phenotype.gender
    strengths.update(zip(_AGE_WORDS, _interpolate(phenotype.age, _AGE_ANCHORS)))
    for name, words in _LEVEL_WORDS.items():
        level = _interpolate(getattr(phenotype, name), _LEVEL_ANCHORS)
        strengths.update(zip(words, level))
    for name, (low, high) in _EXTREME_WORDS.items():
        value = getattr(phenotype, name)
        strengths[low] = max(0.0, 1 - 2 * value)
        strengths[high] = max(0.0, 2 * value - 1)
    return strengths


def _interpolate(value: float, anchors: tuple[float, ...]) -> np.ndarray:
    """Weights of linear interpolation between the anchors, they sum to 1."""
    return np.array([np.interp(value, anchors, row) for row in np.eye(len(anchors))])
