//! What Winograd's algorithm does along one axis: polynomials through inputs and kernel are evaluated at a few points,
//! multiplied there, and the product is taken back. The points are small, of both signs and mixed with their inverses,
//! which keeps rounding low; the factors of all of it are in the kernel, so inputs and outputs take few operations.

use crate::isa::{Lanes, Real};

/// `R` taps on `P = M + R - 1` inputs give `M` outputs with `P` products. With A, G and B as in the literature: outputs are
/// A'(G kernel * B' inputs), and the gradient of the kernel is G'(B' inputs * A gradients).
pub(super) trait Scheme<const P: usize, const M: usize, const R: usize>: 'static {
    /// B': inputs at the points.
    fn input<V: Lanes>(d: [V; P]) -> [V; P];
    /// G: the kernel at the points.
    fn kernel<V: Lanes>(g: [V; R]) -> [V; P];
    /// A': outputs from products.
    fn output<V: Lanes>(m: [V; P]) -> [V; M];
    /// A: gradients of outputs at the points.
    fn gradient<V: Lanes>(g: [V; M]) -> [V; P];
    /// G': the gradient of the kernel from products.
    fn sums<V: Lanes>(m: [V; P]) -> [V; R];
}

#[inline(always)]
fn c<V: Lanes>(x: f64) -> V {
    V::splat(V::T::of(x))
}

/// F(4, 3) at 0, 1, -1, 1/2, -2 and infinity.
pub(super) struct Three;

impl Scheme<6, 4, 3> for Three {
    #[inline(always)]
    fn input<V: Lanes>(d: [V; 6]) -> [V; 6] {
        let (a, e) = (d[4] - d[2], d[3] - d[1]);
        [
            c::<V>(1.5).fma(e, d[0] - d[2]) + a,
            c::<V>(2.5).fma(d[3], d[4]) + c::<V>(0.5).fma(d[2], -d[1]),
            c::<V>(0.5).fma(d[3], d[4]) + c::<V>(-2.5).fma(d[2], d[1]),
            c::<V>(2.0).fma(e, a),
            c::<V>(-0.5).fma(e, a),
            c::<V>(1.5).fma(a, (d[5] - d[3]) - e),
        ]
    }

    #[inline(always)]
    fn kernel<V: Lanes>(g: [V; 3]) -> [V; 6] {
        let outer = g[0] + g[2];
        [
            g[0],
            (outer + g[1]) * c(1.0 / 3.0),
            (outer - g[1]) * c(-1.0 / 3.0),
            c::<V>(0.5).fma(g[1], c::<V>(0.25).fma(g[2], g[0])) * c(-16.0 / 15.0),
            c::<V>(-2.0).fma(g[1], c::<V>(4.0).fma(g[2], g[0])) * c(1.0 / 15.0),
            g[2],
        ]
    }

    #[inline(always)]
    fn output<V: Lanes>(m: [V; 6]) -> [V; 4] {
        let (s, d) = (m[1] + m[2], m[1] - m[2]);
        [
            (m[0] + s) + (m[3] + m[4]),
            c::<V>(-2.0).fma(m[4], c::<V>(0.5).fma(m[3], d)),
            c::<V>(4.0).fma(m[4], c::<V>(0.25).fma(m[3], s)),
            c::<V>(-8.0).fma(m[4], c::<V>(0.125).fma(m[3], d)) + m[5],
        ]
    }

    #[inline(always)]
    fn gradient<V: Lanes>(g: [V; 4]) -> [V; 6] {
        let (even, odd) = (g[0] + g[2], g[1] + g[3]);
        let half = c::<V>(0.25).fma(g[3], g[1]);
        let double = c::<V>(4.0).fma(g[3], g[1]);
        [
            g[0],
            even + odd,
            even - odd,
            c::<V>(0.5).fma(half, c::<V>(0.25).fma(g[2], g[0])),
            c::<V>(-2.0).fma(double, c::<V>(4.0).fma(g[2], g[0])),
            g[3],
        ]
    }

    #[inline(always)]
    fn sums<V: Lanes>(m: [V; 6]) -> [V; 3] {
        let (one, minus) = (m[1] * c(1.0 / 3.0), m[2] * c(-1.0 / 3.0));
        let (half, two) = (m[3] * c(-16.0 / 15.0), m[4] * c(1.0 / 15.0));
        let (s, d) = (one + minus, one - minus);
        [
            (m[0] + s) + (half + two),
            c::<V>(-2.0).fma(two, c::<V>(0.5).fma(half, d)),
            c::<V>(4.0).fma(two, c::<V>(0.25).fma(half, s)) + m[5],
        ]
    }
}

/// F(4, 5) at 0, 1, -1, 1/2, -1/2, 2, -2 and infinity. What belongs to a point and to its negative differs in the sign of
/// the odd powers.
pub(super) struct Five;

/// The sum and the difference.
#[inline(always)]
fn both<V: Lanes>(even: V, odd: V) -> (V, V) {
    (even + odd, even - odd)
}

impl Scheme<8, 4, 5> for Five {
    #[inline(always)]
    fn input<V: Lanes>(d: [V; 8]) -> [V; 8] {
        let one = both(c::<V>(-4.25).fma(d[4], d[2] + d[6]), c::<V>(-4.25).fma(d[3], d[1] + d[5]));
        let odd = c::<V>(-2.5) * d[3];
        let half = both(
            c::<V>(4.0).fma(d[2], c::<V>(-5.0).fma(d[4], d[6])),
            c::<V>(2.0).fma(d[1], c::<V>(0.5).fma(d[5], odd)),
        );
        let two = both(
            c::<V>(0.25).fma(d[2], c::<V>(-1.25).fma(d[4], d[6])),
            c::<V>(0.5).fma(d[1], c::<V>(2.0).fma(d[5], odd)),
        );
        let zero = c::<V>(5.25).fma(d[4] - d[2], d[0] - d[6]);
        let infinity = c::<V>(5.25).fma(d[3] - d[5], d[7] - d[1]);
        [zero, one.0, one.1, half.0, half.1, two.0, two.1, infinity]
    }

    #[inline(always)]
    fn kernel<V: Lanes>(g: [V; 5]) -> [V; 8] {
        let one = both(g[0] + (g[2] + g[4]), g[1] + g[3]);
        let half = both(
            c::<V>(0.25).fma(g[2], c::<V>(0.0625).fma(g[4], g[0])),
            c::<V>(0.5).fma(g[1], c::<V>(0.125) * g[3]),
        );
        let two = both(
            c::<V>(4.0).fma(g[2], c::<V>(16.0).fma(g[4], g[0])),
            c::<V>(2.0).fma(g[1], c::<V>(8.0) * g[3]),
        );
        let (a, b, e) = (c::<V>(-2.0 / 9.0), c::<V>(32.0 / 45.0), c::<V>(1.0 / 90.0));
        [g[0], one.0 * a, one.1 * a, half.0 * b, half.1 * b, two.0 * e, two.1 * e, g[4]]
    }

    #[inline(always)]
    fn output<V: Lanes>(m: [V; 8]) -> [V; 4] {
        let (one, half, two) = (both(m[1], m[2]), both(m[3], m[4]), both(m[5], m[6]));
        [
            (m[0] + one.0) + (half.0 + two.0),
            c::<V>(2.0).fma(two.1, c::<V>(0.5).fma(half.1, one.1)),
            c::<V>(4.0).fma(two.0, c::<V>(0.25).fma(half.0, one.0)),
            c::<V>(8.0).fma(two.1, c::<V>(0.125).fma(half.1, one.1)) + m[7],
        ]
    }

    #[inline(always)]
    fn gradient<V: Lanes>(g: [V; 4]) -> [V; 8] {
        let one = both(g[0] + g[2], g[1] + g[3]);
        let half = both(c::<V>(0.25).fma(g[2], g[0]), c::<V>(0.5).fma(g[1], c::<V>(0.125) * g[3]));
        let two = both(c::<V>(4.0).fma(g[2], g[0]), c::<V>(2.0).fma(g[1], c::<V>(8.0) * g[3]));
        [g[0], one.0, one.1, half.0, half.1, two.0, two.1, g[3]]
    }

    #[inline(always)]
    fn sums<V: Lanes>(m: [V; 8]) -> [V; 5] {
        let (a, b, e) = (c::<V>(-2.0 / 9.0), c::<V>(32.0 / 45.0), c::<V>(1.0 / 90.0));
        let (one, half, two) = (both(m[1] * a, m[2] * a), both(m[3] * b, m[4] * b), both(m[5] * e, m[6] * e));
        [
            (m[0] + one.0) + (half.0 + two.0),
            c::<V>(2.0).fma(two.1, c::<V>(0.5).fma(half.1, one.1)),
            c::<V>(4.0).fma(two.0, c::<V>(0.25).fma(half.0, one.0)),
            c::<V>(8.0).fma(two.1, c::<V>(0.125).fma(half.1, one.1)),
            c::<V>(16.0).fma(two.0, c::<V>(0.0625).fma(half.0, one.0)) + m[7],
        ]
    }
}
