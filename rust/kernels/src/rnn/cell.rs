//! One step of long short-term memory on finished sums, elementwise: what convolutional cells need of it.

use super::*;
use crate::shared::ranges;

/// Rows of a chunk: enough work to hand over.
fn grain(units: usize) -> usize {
    (4096 / units.max(1)).max(1)
}

/// From the sums `z` (rows, 4 units) of the gates i, f, g, o and `c` (rows, units): the next h and c.
pub fn lstm_cell<T: Scalar>(units: usize, z: &[T], c: &[T], h: &mut [T], next: &mut [T]) {
    let n = c.len();
    assert!(z.len() == 4 * n && h.len() == n && next.len() == n, "lstm_cell: lengths differ");
    if n == 0 {
        return;
    }
    let (h, next) = (Ptr(h.as_mut_ptr()), Ptr(next.as_mut_ptr()));
    ranges(n / units, grain(units), |start, end| {
        let (h, next) = (h.get(), next.get());
        dispatch(level(), Cell { units, start, end, z, c, h, next });
    });
}

struct Cell<'a, T> {
    units: usize,
    start: usize,
    end: usize,
    z: &'a [T],
    c: &'a [T],
    h: *mut T,
    next: *mut T,
}

/// The finished gates.
#[inline(always)]
pub(super) fn gates<V: Lanes>(z: [V; 4]) -> [V; 4] {
    let (a, b, d) = (sigmoid_den(z[0]), sigmoid_den(z[1]), sigmoid_den(z[3]));
    let (numerator, e) = tanh_parts(z[2]);
    // 1 / a = b · (1 / ab): one division for all four.
    let (ab, de) = (a * b, d * e);
    let r = V::splat(V::T::ONE) / (ab * de);
    let (rab, rde) = (r * de, r * ab);
    [rab * b, rab * a, numerator * (rde * d), rde * e]
}

impl<T: Scalar> Kernel for Cell<'_, T> {
    type Out = ();
    #[inline(always)]
    fn run<S: Isa>(self) {
        let u = self.units;
        let n = <T::V<S> as Lanes>::N;
        for row in self.start..self.end {
            let mut u0 = 0;
            while u0 < u {
                let width = n.min(u - u0);
                // SAFETY: the lengths were checked; chunks write different rows.
                unsafe {
                    let from = self.z.as_ptr().add(row * 4 * u + u0);
                    let mut z = [<T::V<S>>::splat(T::ZERO); 4];
                    for g in 0..4 {
                        z[g] = fetch(from.add(g * u), width);
                    }
                    let y = gates(z);
                    let c = fetch::<T::V<S>>(self.c.as_ptr().add(row * u + u0), width);
                    let c = y[1].fma(c, y[0] * y[2]);
                    put(c, self.next.add(row * u + u0), width);
                    put(y[3] * tanh(c), self.h.add(row * u + u0), width);
                }
                u0 += n;
            }
        }
    }
}

/// The gradients of z and c from those of h and of the next c.
pub fn lstm_cell_grad<T: Scalar>(
    units: usize,
    z: &[T],
    c: &[T],
    dh: &[T],
    dnext: &[T],
    dz: &mut [T],
    dc: &mut [T],
) {
    let n = c.len();
    let fits = z.len() == 4 * n && dh.len() == n && dnext.len() == n && dz.len() == 4 * n && dc.len() == n;
    assert!(fits, "lstm_cell_grad: lengths differ");
    if n == 0 {
        return;
    }
    let (dz, dc) = (Ptr(dz.as_mut_ptr()), Ptr(dc.as_mut_ptr()));
    ranges(n / units, grain(units), |start, end| {
        let (dz, dc) = (dz.get(), dc.get());
        dispatch(level(), CellGrad { units, start, end, z, c, dh, dnext, dz, dc });
    });
}

struct CellGrad<'a, T> {
    units: usize,
    start: usize,
    end: usize,
    z: &'a [T],
    c: &'a [T],
    dh: &'a [T],
    dnext: &'a [T],
    dz: *mut T,
    dc: *mut T,
}

impl<T: Scalar> Kernel for CellGrad<'_, T> {
    type Out = ();
    #[inline(always)]
    fn run<S: Isa>(self) {
        let u = self.units;
        let n = <T::V<S> as Lanes>::N;
        let one = <T::V<S>>::splat(T::ONE);
        for row in self.start..self.end {
            let mut u0 = 0;
            while u0 < u {
                let width = n.min(u - u0);
                let at = row * u + u0;
                // SAFETY: the lengths were checked; chunks write different rows.
                unsafe {
                    let from = self.z.as_ptr().add(row * 4 * u + u0);
                    let mut z = [<T::V<S>>::splat(T::ZERO); 4];
                    for g in 0..4 {
                        z[g] = fetch(from.add(g * u), width);
                    }
                    let [i, f, g, o] = gates(z);
                    let before = fetch::<T::V<S>>(self.c.as_ptr().add(at), width);
                    let tc = tanh(f.fma(before, i * g));
                    let dh = fetch::<T::V<S>>(self.dh.as_ptr().add(at), width);
                    let cell = (dh * o).fma(one - tc * tc, fetch(self.dnext.as_ptr().add(at), width));
                    let out = [
                        cell * g * (i * (one - i)),
                        cell * before * (f * (one - f)),
                        cell * i * (one - g * g),
                        dh * tc * (o * (one - o)),
                    ];
                    for g in 0..4 {
                        put(out[g], self.dz.add(row * 4 * u + g * u + u0), width);
                    }
                    put(cell * f, self.dc.add(at), width);
                }
                u0 += n;
            }
        }
    }
}
