"""What once went silently wrong: closures, captures, dtypes, coupling, seeds, constants."""

import warnings

import numpy as np
import pytest

import gradwire as gw

pytestmark = pytest.mark.usefixtures("server")

rng = np.random.default_rng(1)
X = rng.standard_normal((6, 3))
W = rng.standard_normal((2, 3))


def test_a_closure_that_changed_gives_the_new_answer():
    """Nothing is cached by the function's identity."""
    scale = 2.0
    f = lambda x: np.sum(scale * x)  # noqa: E731
    g = gw.grad(f)
    np.testing.assert_allclose(g(X[0]), [2, 2, 2])
    scale = 3.0
    np.testing.assert_allclose(g(X[0]), [3, 3, 3])


def test_a_captured_array_changed_in_place_gives_the_new_answer():
    """Its values are read at each call."""
    c = np.ones(3)
    g = gw.grad(lambda x: np.sum(c * x))
    np.testing.assert_allclose(g(X[0]), [1, 1, 1])
    c[0] = 5
    np.testing.assert_allclose(g(X[0]), [5, 1, 1])


def test_a_captured_array_changed_while_tracing_is_read_at_each_use():
    """As NumPy does: each use sees the values of its time."""

    def f(x):
        buffer = np.zeros(3)
        total = 0.0
        for step in range(3):
            buffer[:] = step
            total = total + np.sum(buffer * x)
        return total

    np.testing.assert_allclose(gw.remote(f)(X[0]), f(X[0]))


def test_a_prepared_function_freezes_what_it_captured():
    """It never runs the Python function again."""
    c = np.ones(3)
    runs = []

    def f(x):
        runs.append(1)
        return np.sum(c * x)

    step = gw.prepare(gw.grad(f), X[0])
    c[0] = 5
    np.testing.assert_allclose(step(X[1]), [1, 1, 1])
    np.testing.assert_allclose(step(X[2]), [1, 1, 1])
    assert len(runs) == 1


def test_a_prepared_function_checks_its_arguments():
    """Another shape, dtype or tree is named."""
    step = gw.prepare(lambda p: np.sum(p["x"]), {"x": X[0]})
    with pytest.raises(gw.InvalidInputError, match=r"\['x'\].*float64\[3\].*\[2\]"):
        step({"x": np.ones(2)})
    with pytest.raises(gw.InvalidInputError, match=r"\['x'\].*float32"):
        step({"x": np.ones(3, np.float32)})
    with pytest.raises(gw.InvalidInputError, match="same tree"):
        step({"y": X[0]})


def test_new_values_never_compile_again(server):
    """Arrays are inputs, and a scalar that changes becomes one."""

    def run(rate):
        captured = rng.standard_normal(3)
        return gw.remote(lambda x: np.sum(x * captured) * rate)(X[0])

    run(0.1)
    run(0.2)
    held = server.plans.num_held
    for rate in (0.3, 0.4, 0.5):
        run(rate)
    assert server.plans.num_held == held


def test_scalar_constants_that_become_inputs_give_the_new_value():
    """Lifting changes the program, never the answer."""
    for rate in (0.5, 0.25, 0.125, 0.125, 4.0):
        np.testing.assert_allclose(
            gw.remote(lambda x, r=rate: x * r + 1.5)(X[0]), X[0] * rate + 1.5
        )


def test_float32_lifted_by_a_numpy_scalar_warns_with_the_line():
    """np.sqrt(64) is a float64 scalar; the warning names this file."""
    x = X[0].astype(np.float32)
    with pytest.warns(gw.PrecisionWarning, match="test_semantics.py"):
        y = gw.remote(lambda x: x / np.sqrt(64))(x)
    assert y.dtype == np.float64
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pinned = gw.remote(lambda x: x / np.sqrt(64), float_dtype="float32")(x)
        plain = gw.remote(lambda x: x / 8.0)(x)
    assert pinned.dtype == plain.dtype == np.float32


def test_captures_are_shared_by_all_samples_of_a_vmap():
    """A captured array, and a value of the outer function, are unmapped; gradients flow to it."""

    def loss(w, xs):
        inner = gw.vmap(lambda x: np.sum(np.sin(w @ x)) * np.sum(w))
        return np.sum(inner(xs))

    wanted = sum(
        np.outer(np.cos(W @ x), x) * W.sum() + np.sin(W @ x).sum() * np.ones_like(W) for x in X
    )
    np.testing.assert_allclose(gw.grad(loss)(W, X), wanted)


def test_captures_lift_through_many_levels():
    """A value of the outermost function is read three functions further in."""

    def f(a):
        return gw.grad(
            lambda b: gw.grad(lambda c: gw.jvp(lambda d: d * a * b * c, (a,), (a,))[1])(b)
        )(a)

    # jvp: a·(abc) = a²bc; grad by c: a²b; grad by b: a²
    np.testing.assert_allclose(gw.remote(f)(3.0), 9.0)
    np.testing.assert_allclose(gw.grad(f)(3.0), 6.0)


@pytest.mark.parametrize("batch", [0, 1, 2, 5, 8])
def test_top_level_vmap_takes_any_batch(batch):
    """One program; padding rows are never seen."""
    xs = rng.standard_normal((batch, 3))
    values, gradients = gw.vmap(gw.value_and_grad(lambda x: np.sum(x * np.log(x**2))))(xs)
    assert values.shape == (batch,)
    np.testing.assert_allclose(values, np.sum(xs * np.log(xs**2), axis=1))
    np.testing.assert_allclose(gradients, np.log(xs**2) + 2)


def test_axes_of_vmap():
    """in_axes and out_axes move the batch, at top level and nested."""
    f = gw.vmap(lambda w, x: w @ x, in_axes=(None, 1), out_axes=1)
    np.testing.assert_allclose(f(W, X.T), W @ X.T)
    np.testing.assert_allclose(gw.remote(lambda w, x: f(w, x) * 2)(W, X.T), 2 * W @ X.T)
    with pytest.raises(gw.InvalidInputError, match="one length"):
        gw.vmap(lambda x, y: x * y)(X, X[:4])


def test_a_prepared_vmap_takes_another_batch_length():
    """The batch axis stays open."""
    step = gw.prepare(gw.vmap(gw.grad(lambda x: np.sum(x**3))), X)
    np.testing.assert_allclose(step(X[:2]), 3 * X[:2] ** 2)
    np.testing.assert_allclose(step(X), 3 * X**2)


class TestCoupling:
    """batched_jacobian never returns blocks of a function that mixes samples."""

    def test_independent_samples_are_proved(self):
        """No run-time check is sent along."""
        jac = gw.batched_jacobian(lambda x: np.tanh(x @ W.T))(X)
        wanted = (1 - np.tanh(X @ W.T) ** 2)[:, :, None] * W
        np.testing.assert_allclose(jac, wanted)

    @pytest.mark.parametrize(
        "coupled",
        [
            lambda x: x - np.mean(x, axis=0),
            lambda x: x * x[::-1],
            lambda x: np.cumsum(x, axis=0),
            lambda x: np.concatenate([x[3:], x[:3]]) * x,
            lambda x: x + 0.01 * np.roll(x, 1, axis=0),
        ],
    )
    def test_coupling_is_found_at_top_level(self, coupled):
        """Batch statistics, reversals, shifts: CoupledBatchError, each time."""
        for _ in range(3):
            with pytest.raises(gw.CoupledBatchError):
                gw.batched_jacobian(coupled)(X)

    def test_coupling_is_found_by_a_prepared_function(self):
        """The check belongs to each run."""
        step = gw.prepare(gw.batched_jacobian(lambda x: x - np.mean(x, axis=0)), X)
        with pytest.raises(gw.CoupledBatchError):
            step(X)

    def test_an_independent_function_that_cannot_be_proved_passes_the_check(self):
        """Reversing twice is independent, and the numbers show it."""
        jac = gw.batched_jacobian(lambda x: np.sin(x[::-1])[::-1])(X)
        np.testing.assert_allclose(jac, np.cos(X)[:, :, None] * np.eye(3))

    def test_nested_coupling_is_refused(self):
        """Inside a traced function there is no check, so the proof is demanded."""
        f = lambda x: np.sum(gw.batched_jacobian(lambda x: np.sin(x[::-1])[::-1])(x))  # noqa: E731
        with pytest.raises(gw.TraceError, match=r"independent=True.*test_semantics.py"):
            gw.grad(f)(X)
        g = lambda x: np.sum(  # noqa: E731
            gw.batched_jacobian(lambda x: np.sin(x[::-1])[::-1], independent=True)(x)
        )
        np.testing.assert_allclose(gw.grad(g)(X), -np.sin(X))

    def test_parameters_need_no_independence(self):
        """Blocks with respect to parameters are the whole Jacobian, samples mixed or not."""
        f = lambda w, x: (x - np.mean(x, axis=0)) @ w.T  # noqa: E731
        jac = gw.batched_jacobian(f, in_axes=(None, 0))(W, X)
        centred = X - X.mean(axis=0)
        wanted = np.einsum("bi,ok->boki", centred, np.eye(2))
        np.testing.assert_allclose(jac, wanted)

    def test_other_batch_axes(self):
        """in_axes=1 passes f its own layout."""
        jac = gw.batched_jacobian(lambda x: np.sin(x.T), in_axes=1)(X.T)
        np.testing.assert_allclose(jac, np.cos(X)[:, :, None] * np.eye(3))


class TestSeeds:
    """Estimates are reproducible, and never share their errors by accident."""

    f = staticmethod(lambda x: np.sin(np.array([[0.0, 1, 2], [3, 0, 4], [5, 6, 0]]) @ x))

    def test_a_seed_or_probes_are_required(self):
        """Hidden randomness is refused."""
        with pytest.raises(TypeError, match="either `seed` or `probes`"):
            gw.trace_estimate(self.f)(X[0])

    def test_one_seed_one_answer(self):
        """The seed decides, and new seeds never compile again."""
        estimate = gw.trace_estimate(self.f, num_samples=2)
        first, again, other = (estimate(X[0], seed=s)[0] for s in (7, 7, 8))
        assert first == again
        assert first != other

    def test_matvecs_and_standard_error(self):
        """A plain int; one sample has an infinite error; the whole budget none."""
        _, sem, matvecs = gw.trace_estimate(self.f, num_samples=1)(X[0], seed=0)
        assert sem == np.inf
        assert type(matvecs) is int
        assert matvecs == 1
        _, sem, matvecs = gw.trace_estimate(self.f, num_samples=50)(X[0], seed=0)
        assert sem == 0
        assert matvecs == 3

    def test_a_shared_seed_under_vmap_is_refused(self):
        """All samples would have the same error; the caller must ask for that."""
        estimate = gw.trace_estimate(self.f, num_samples=2)
        with pytest.raises(gw.TraceError, match="shared_probes=True"):
            gw.vmap(lambda x: estimate(x, seed=1)[0])(X)
        with pytest.raises(gw.TraceError, match="shared_probes=True"):
            gw.remote(lambda x: gw.vmap(lambda x: estimate(x, seed=1)[0])(x))(X)
        shared = gw.vmap(lambda x: estimate(x, seed=1, shared_probes=True)[0])(X)
        assert shared.shape == (6,)

    def test_mapped_seeds_give_each_sample_its_own_probes(self):
        """Equal samples get different estimates."""
        same = np.repeat(X[:1], 6, axis=0)
        seeds = np.arange(6, dtype=np.uint32)
        estimate = gw.trace_estimate(self.f, num_samples=2)
        values = gw.vmap(lambda x, s: estimate(x, seed=s)[0])(same, seeds)
        nested = gw.remote(lambda x, s: gw.vmap(lambda x, s: estimate(x, seed=s + 0)[0])(x, s))
        assert len(set(values.tolist())) > 1
        np.testing.assert_allclose(nested(same, seeds), values)


def test_non_finite_outputs_are_warned_about_with_the_line():
    """The warning names the output, the op and the line that made it."""
    with pytest.warns(gw.NonFiniteWarning, match=r"result\['y'\].*log.*test_semantics.py"):
        gw.remote(lambda x: {"y": np.log(x), "z": x})(np.array([0.0, 1.0]))


def test_an_error_of_the_server_names_the_caller_s_line():
    """The node that is too large is this file's."""
    with pytest.raises(gw.LimitExceededError, match=r"test_semantics.py"):
        gw.remote(lambda x: np.sum(x[:, None] * x[None, :]))(np.ones(46_000))


def test_static_results_are_returned_as_they_are():
    """What tracing knows already is not sent."""
    assert gw.remote(lambda x: {"n": x.shape[0], "name": None})(X) == {"n": 6, "name": None}
