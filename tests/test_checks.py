"""Argument checks: what fits binds sizes, what does not is named."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from volhuman.checks import check_option, check_shape


@pytest.mark.parametrize(
    "shape, pattern, bound",
    [
        ((), "", {}),
        ((), "...", {}),
        ((24, 3), "24 3", {}),
        ((5, 3), "N 3", {"N": 5}),
        ((0, 3), "N 3", {"N": 0}),
        ((4, 4), "N N", {"N": 4}),
        ((2, 7, 9), "A B C", {"A": 2, "B": 7, "C": 9}),
        ((3,), "... 3", {}),
        ((8, 2, 5, 3), "... N 3", {"N": 5}),
    ],
)
def test_a_fitting_shape_binds_its_sizes(shape, pattern, bound):
    assert check_shape("x", np.zeros(shape), pattern) == bound
    assert check_shape("x", jnp.zeros(shape), pattern, K=1) == bound | {"K": 1}


@pytest.mark.parametrize(
    "shape, pattern",
    [
        ((), "3"),
        ((3,), ""),
        ((24, 4), "24 3"),
        ((3, 24), "24 3"),
        ((24, 3, 1), "24 3"),
        ((24,), "24 3"),
        ((4, 5), "N N"),
        ((), "... 3"),
        ((3, 2), "... 3"),
        ((3,), "... N 3"),
    ],
)
def test_another_shape_is_refused_with_both_shapes(shape, pattern):
    with pytest.raises(ValueError) as refusal:
        check_shape("pose", np.zeros(shape), pattern)
    message = str(refusal.value)
    assert message.startswith("pose ") and str(shape) in message
    assert all(axis in message for axis in pattern.split())


def test_sizes_of_earlier_arguments_must_agree():
    sizes = check_shape("points", np.zeros((5, 3)), "N 3")
    assert check_shape("weights", np.zeros(5), "N", **sizes) == {"N": 5}
    with pytest.raises(ValueError, match=r"weights has shape \(6,\).*N=5"):
        check_shape("weights", np.zeros(6), "N", **sizes)
    # A refusal does not change what was known.
    assert sizes == {"N": 5}


def test_shapes_are_checked_while_tracing_and_cost_nothing_after():
    def double(x):
        check_shape("x", x, "N 3")
        return 2 * x

    assert len(jax.make_jaxpr(double)(jnp.ones((2, 3))).eqns) == 1
    with pytest.raises(ValueError, match="x has shape"):
        jax.jit(double)(jnp.ones((2, 4)))


def test_options():
    check_option("outside", "zero", ("zero", "edge"))
    for wrong in ("Zero", "", "zer"):
        with pytest.raises(ValueError, match=r"outside is .*zero, edge") as refusal:
            check_option("outside", wrong, ("zero", "edge"))
        assert repr(wrong) in str(refusal.value)
