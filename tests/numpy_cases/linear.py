"""Products, linear algebra and Fourier transforms."""

from __future__ import annotations

from numpy_cases.core import (
    BOOL,
    COMPLEX,
    DOUBLE,
    FLOATS,
    INEXACT,
    NUMBERS,
    REALS,
    cases,
)

PRODUCTS = [
    *cases(NUMBERS, "np.dot(a, e)", "np.dot(b, b)", "np.dot(a, b)", "np.dot(z0, a)", "a.dot(b)"),
    *cases(NUMBERS, "np.dot(b, c.mT)", "np.dot(a, c.mT)", "np.inner(a, d)", "np.inner(c, b)"),
    *cases(NUMBERS, "np.inner(z0, b)", "np.vdot(a, d)", "np.outer(u3, b)", "np.outer(a, u3)"),
    *cases(("float32",), "np.dot(a, 2.0)", "np.outer(b, 2.0)", "np.dot(a, f64)", "np.kron(b, 2.0)"),
    *cases(NUMBERS, "np.linalg.outer(u3, b)", "np.linalg.matmul(a, e)", "np.linalg.vecdot(a, b)"),
    *cases(NUMBERS, "np.tensordot(a, d)", "np.tensordot(a, e, 1)", "np.tensordot(u3, b, 0)"),
    *cases(NUMBERS, "np.tensordot(c, a, axes=([1, 2], [0, 1]))", "np.tensordot(a, b, (1, 0))"),
    *cases(NUMBERS, "np.linalg.tensordot(c, a, axes=((2,), (1,)))"),
    *cases(NUMBERS, "np.kron(u3, b)", "np.kron(a, e)", "np.kron(c, b)"),
    *cases(NUMBERS, "np.cross(u3, w3)", "np.cross(r, u3)", "np.linalg.cross(r, r.T)"),
    *cases(NUMBERS, "np.cross(a, d, axis=0)", "np.cross(a[:, :3], r, axisa=0, axisb=1, axisc=0)"),
    *cases(NUMBERS, "np.trace(r)", "np.trace(c, 1)", "np.trace(c, axis1=1, axis2=2)", "r.trace()"),
    *cases(NUMBERS, "np.linalg.trace(c)", "np.linalg.multi_dot([a, e, e.T, b])"),
    *cases(NUMBERS, "np.linalg.matrix_power(r, 3)", "np.linalg.matrix_power(r, 0)"),
    *cases(BOOL, "np.trace(r)"),
    *cases(
        NUMBERS, "np.einsum('ij,jk->ik', a, e)", "np.einsum('ij,jk', a, e)", "np.einsum('ii', r)"
    ),
    *cases(NUMBERS, "np.einsum('ii->i', r)", "np.einsum('ji', a)", "np.einsum('ij->', a)"),
    *cases(("float64",), "np.einsum('...ij,...jk->...ik', c, e)", "np.einsum('...i,i', c, b)"),
    *cases(("float64",), "np.einsum('...i,...i', c, a)", "np.einsum('i...->...', c)"),
    *cases(("float64",), "np.einsum('ij, jk, kl -> il', a, e, e.T)", "np.einsum('i,j', u3, b)"),
    *cases(("float64",), "np.einsum(a, [0, 1], e, [1, 2], [0, 2])", "np.einsum(a, [1, 0])"),
    *cases(("float64",), "np.einsum(c, [..., 0], b, [0])", "np.einsum('ij,ij->i', a, b[I])"),
    *cases(("float64",), "np.einsum('ij,kj->ik', a[:, :1], d, optimize=True)"),
    *cases(("int32",), "np.einsum('ij,jk->ik', a, e * 1.5)"),
]

LINEAR_ALGEBRA = [
    *cases(NUMBERS, "np.linalg.inv(r)", "np.linalg.det(r)", "np.linalg.slogdet(r)", loose=20),
    *cases(NUMBERS, "np.linalg.solve(r, u3)", "np.linalg.solve(r, r.T)", loose=20),
    *cases(NUMBERS, "np.linalg.cholesky(s)", "np.linalg.eigvalsh(s)", loose=20),
    *cases(NUMBERS, "np.linalg.cholesky(s, upper=True)", "np.linalg.svdvals(tall)", loose=20),
    *cases(  # one triangle alone is filled as it must be
        NUMBERS,
        "np.linalg.cholesky(np.tril(s))",
        "np.linalg.cholesky(np.triu(s), upper=True)",
        "np.linalg.eigvalsh(r)",
        "np.linalg.eigvalsh(r, 'U')",
        "np.linalg.eigh(r, UPLO='u')[0]",
        "np.linalg.pinv(r, hermitian=True)",
        "np.linalg.svd(r, hermitian=True).S",
        "np.linalg.svd(r, False, False, True)",
        loose=50,
    ),
    *cases(INEXACT, "(lambda x, w, y: (x * w) @ y)(*np.linalg.svd(r, hermitian=True))", loose=50),
    *cases(("int32", "float32"), "np.linalg.solve(r, f64[:3])", "np.linalg.solve(r, [1, 2, 3])"),
    *cases(FLOATS, "np.linalg.slogdet(r).logabsdet", "np.linalg.eigvalsh(s, UPLO='U')", loose=20),
    *cases(INEXACT, "np.linalg.eigh(s)[0]", "np.linalg.eigh(s).eigenvalues", loose=20),
    *cases(INEXACT, "(lambda w, x: (x * w) @ np.conj(x.T))(*np.linalg.eigh(s))", loose=50),
    *cases(
        INEXACT,
        "(lambda q, t: q @ t)(*np.linalg.qr(tall))",
        "abs(np.linalg.qr(tall, 'r'))",
        loose=20,
    ),
    *cases(INEXACT, "abs(np.linalg.qr(tall.T, 'complete').R)", loose=20),
    *cases(
        INEXACT,
        "(lambda x, w, y: (x * w) @ y)(*np.linalg.svd(tall, full_matrices=False))",
        "np.linalg.svd(r).S",
        "np.linalg.svd(tall, compute_uv=False)",
        loose=50,
    ),
    *cases(INEXACT, "np.linalg.pinv(tall)", "np.linalg.pinv(tall, rcond=0.01)", loose=50),
    *cases(INEXACT, "np.linalg.pinv(tall, rtol=None)", loose=50),
    *cases(INEXACT, "np.linalg.lstsq(tall, tall[:, 0] + 1)[0]", loose=50),
    *cases(INEXACT, "np.linalg.lstsq(tall, tall[:, :2] + 1)[1:]", loose=50),
    *cases(("int32", "float64"), "np.linalg.lstsq(tall, tall[:, 0] + 1)[1]", loose=50),
    *cases(DOUBLE, "np.linalg.lstsq(tall.T, u3)[1]", "np.linalg.lstsq(r, r)[1]", loose=50),
    *cases(COMPLEX, "np.sum(np.linalg.eigvals(r))", "np.prod(np.linalg.eig(r)[0])", loose=50),
    *cases(INEXACT, "np.linalg.matrix_power(r, -2)", loose=100),
    *cases(NUMBERS, "np.linalg.norm(a)", "np.linalg.norm(b)", "np.linalg.norm(a, axis=0)"),
    *cases(
        NUMBERS, *(f"np.linalg.norm(b, {o})" for o in ("1", "2", "3", "np.inf", "-np.inf", "0"))
    ),
    *cases(NUMBERS, *(f"np.linalg.norm(a, {o})" for o in ("1", "-1", "np.inf", "-np.inf"))),
    *cases(NUMBERS, *(f"np.linalg.norm(a, {o})" for o in ("2", "-2", "'fro'", "'nuc'")), loose=20),
    *cases(FLOATS, "np.linalg.norm(c, axis=(0, 2))", "np.linalg.norm(c, 1, axis=(2, 0))"),
    *cases(FLOATS, "np.linalg.norm(c, np.inf, (0, 1), keepdims=True)", "np.linalg.norm(c)"),
    *cases(FLOATS, "np.linalg.norm(a, axis=1, keepdims=True)", "np.linalg.norm(a, keepdims=True)"),
    *cases(FLOATS, "np.linalg.matrix_norm(c)", "np.linalg.matrix_norm(c, ord=1, keepdims=True)"),
    *cases(FLOATS, "np.linalg.vector_norm(c)", "np.linalg.vector_norm(c, axis=(0, 1), ord=3)"),
]

FOURIER = [
    *cases(NUMBERS, "np.fft.fft(b)", "np.fft.ifft(a, axis=0)", "np.fft.fft(a, 6)", loose=5),
    *cases(NUMBERS, "np.fft.fft(a, n=2, norm='ortho')", "np.fft.irfft(a)", loose=5),
    *cases(NUMBERS, "np.fft.irfft(b, 5, norm='forward')", "np.fft.hfft(a, axis=0)", loose=5),
    *cases(REALS, "np.fft.rfft(a)", "np.fft.rfft(v, 5, norm='ortho')", "np.fft.ihfft(v)", loose=5),
    *cases(NUMBERS, "np.fft.fftn(a)", "np.fft.ifftn(c, axes=(0, 2))", loose=5),
    *cases(NUMBERS, "np.fft.fft2(c)", "np.fft.ifft2(a, s=(2, 5))", "np.fft.irfftn(c)", loose=5),
    *cases(NUMBERS, "np.fft.irfft2(c, s=(3, -1))", loose=5),
    *cases(REALS, "np.fft.rfftn(c)", "np.fft.rfft2(a, s=(2, 3), norm='forward')", loose=5),
    *cases(("int32",), "np.fft.fftshift(a)", "np.fft.ifftshift(v)", "np.fft.fftshift(a, 1)"),
    *cases(
        ("float16",), "np.fft.fft(b)", "np.fft.irfft(b)", "np.fft.irfftn(a, axes=(1,))", loose=5
    ),
    *cases(("float16",), "np.fft.irfftn(c)", loose=5),
]
