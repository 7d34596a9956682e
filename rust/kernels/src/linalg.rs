//! Factorisations of small dense matrices, in float64, row by row so that inner loops run along memory.
//!
//! One matrix is one task; stacks of matrices share out over the threads by [`stack`].

use crate::shared::{Shared, ranges};

/// Calls `work(i, parts)` for each of `count` matrices with part `i` of every output, in parallel.
pub fn stack(count: usize, outs: &mut [&mut [f64]], work: impl Fn(usize, &mut [&mut [f64]]) + Sync) {
    if count == 0 {
        return;
    }
    let sizes: Vec<usize> = outs.iter().map(|o| o.len() / count).collect();
    let shared: Vec<Shared<'_, f64>> = outs.iter_mut().map(|o| Shared::new(o)).collect();
    ranges(count, 1, |start, end| {
        for i in start..end {
            let mut parts: Vec<&mut [f64]> = shared
                .iter()
                .zip(&sizes)
                // SAFETY: matrices are disjoint.
                .map(|(out, &size)| unsafe { out.part(i * size, size) })
                .collect();
            work(i, &mut parts);
        }
    });
}

/// Σ a b, in four partial sums.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; 4];
    let (a4, b4) = (a.chunks_exact(4), b.chunks_exact(4));
    let rest: f64 = a4.remainder().iter().zip(b4.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in a4.zip(b4) {
        for l in 0..4 {
            sums[l] += a[l] * b[l];
        }
    }
    (sums[0] + sums[1]) + (sums[2] + sums[3]) + rest
}

/// y += f x.
fn axpy(f: f64, x: &[f64], y: &mut [f64]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y += f * x;
    }
}

/// Rows `p` and `q` (p < q) of a matrix of `n` columns.
fn two_rows(a: &mut [f64], n: usize, p: usize, q: usize) -> (&mut [f64], &mut [f64]) {
    let (upper, lower) = a.split_at_mut(q * n);
    (&mut upper[p * n..(p + 1) * n], &mut lower[..n])
}

/// Replaces `a` [n, n] by its factors L (unit diagonal, below) and U; row `k` was exchanged with row `pivots[k]`.
/// Returns whether no pivot is zero.
pub fn lu(a: &mut [f64], n: usize, pivots: &mut [usize]) -> bool {
    let mut regular = true;
    for k in 0..n {
        let mut p = k;
        for i in k + 1..n {
            if a[i * n + k].abs() > a[p * n + k].abs() {
                p = i;
            }
        }
        pivots[k] = p;
        if p != k {
            let (x, y) = two_rows(a, n, k, p);
            x.swap_with_slice(y);
        }
        let pivot = a[k * n + k];
        if pivot == 0.0 {
            regular = false;
            continue;
        }
        let (upper, lower) = a.split_at_mut((k + 1) * n);
        let row = &upper[k * n + k + 1..];
        for other in lower.chunks_exact_mut(n) {
            let f = other[k] / pivot;
            other[k] = f;
            axpy(-f, row, &mut other[k + 1..]);
        }
    }
    regular
}

/// Replaces `b` [n, k] by the solution of A x = b, A given by [`lu`].
pub fn lu_solve(lu: &[f64], n: usize, pivots: &[usize], b: &mut [f64], k: usize) {
    for (i, &p) in pivots.iter().enumerate() {
        if p != i {
            let (x, y) = two_rows(b, k, i, p);
            x.swap_with_slice(y);
        }
    }
    triangular_solve(lu, n, true, true, b, k);
    triangular_solve(lu, n, false, false, b, k);
}

/// Replaces `b` [n, k] by the solution of T x = b, T being the lower or upper triangle of `a`, with ones on its
/// diagonal if `unit`.
pub fn triangular_solve(a: &[f64], n: usize, lower: bool, unit: bool, b: &mut [f64], k: usize) {
    for step in 0..n {
        let i = if lower { step } else { n - 1 - step };
        let (others, at) = if lower { (0..i, i * k) } else { (i + 1..n, i * k) };
        let (before, rest) = b.split_at_mut(at);
        let (row, after) = rest.split_at_mut(k);
        for j in others {
            let x = if lower { &before[j * k..(j + 1) * k] } else { &after[(j - i - 1) * k..(j - i) * k] };
            axpy(-a[i * n + j], x, row);
        }
        if !unit {
            let d = a[i * n + i];
            row.iter_mut().for_each(|v| *v /= d);
        }
    }
}

/// Replaces `a` [n, n], of which the lower triangle is read, by L with A = L Lᵀ (zeros above). Returns whether A is
/// positive definite.
pub fn cholesky(a: &mut [f64], n: usize) -> bool {
    for i in 0..n {
        for j in 0..=i {
            let s = a[i * n + j] - dot(&a[i * n..i * n + j], &a[j * n..j * n + j]);
            if i != j {
                a[i * n + j] = s / a[j * n + j];
            } else if s > 0.0 {
                a[i * n + i] = s.sqrt();
            } else {
                return false;
            }
        }
        a[i * n + i + 1..(i + 1) * n].fill(0.0);
    }
    true
}

/// Q [m, k] and R [k, n] of `a` [m, n] by Householder reflections; k is the number of columns that `q` has room for:
/// min(m, n) or m.
pub fn qr(a: &[f64], m: usize, n: usize, q: &mut [f64], r: &mut [f64]) {
    let k = q.len().checked_div(m).unwrap_or(0);
    let steps = m.min(n);
    // Columns as rows.
    let mut c = vec![0.0; m * n];
    transpose(a, m, n, &mut c);
    let mut mirrors: Vec<Option<Vec<f64>>> = Vec::with_capacity(steps);
    for s in 0..steps {
        let x = &c[s * m + s..(s + 1) * m];
        let tail = dot(&x[1..], &x[1..]);
        if tail == 0.0 {
            // Nothing to eliminate; the column stays as it is, sign included.
            mirrors.push(None);
            continue;
        }
        let mut v = x.to_vec();
        v[0] += (tail + x[0] * x[0]).sqrt().copysign(x[0]);
        let norm = dot(&v, &v).sqrt();
        v.iter_mut().for_each(|e| *e /= norm);
        for j in s..n {
            let column = &mut c[j * m + s..(j + 1) * m];
            axpy(-2.0 * dot(&v, column), &v, column);
        }
        mirrors.push(Some(v));
    }
    for i in 0..k {
        for j in 0..n {
            r[i * n + j] = if i <= j { c[j * m + i] } else { 0.0 };
        }
    }
    let mut columns = vec![0.0; k * m];
    for j in 0..k {
        columns[j * m + j] = 1.0;
    }
    for (s, v) in mirrors.iter().enumerate().rev() {
        let Some(v) = v else { continue };
        for j in 0..k {
            let column = &mut columns[j * m + s..(j + 1) * m];
            axpy(-2.0 * dot(v, column), v, column);
        }
    }
    transpose(&columns, k, m, q);
}

/// `out` [n, m] = `a` [m, n] transposed.
pub fn transpose(a: &[f64], m: usize, n: usize, out: &mut [f64]) {
    for i in 0..m {
        for j in 0..n {
            out[j * m + i] = a[i * n + j];
        }
    }
}

/// Sweeps after which Jacobi iterations have always converged; they need about ten.
const SWEEPS: usize = 60;

/// cos and sin of the rotation that makes the off-diagonal element `c` of [[a, c], [c, b]] zero.
fn rotation(a: f64, b: f64, c: f64) -> (f64, f64) {
    let zeta = (b - a) / (2.0 * c);
    let t = 1.0f64.copysign(zeta) / (zeta.abs() + (1.0 + zeta * zeta).sqrt());
    let cos = 1.0 / (1.0 + t * t).sqrt();
    (cos, cos * t)
}

fn rotate(x: &mut [f64], y: &mut [f64], cos: f64, sin: f64) {
    for (x, y) in x.iter_mut().zip(y) {
        (*x, *y) = (cos * *x - sin * *y, sin * *x + cos * *y);
    }
}

/// Eigenvalues `w` [n], ascending, and eigenvectors (columns of `v` [n, n]) of a symmetric matrix, which is destroyed,
/// by Jacobi rotations.
pub fn eigh(a: &mut [f64], n: usize, w: &mut [f64], v: &mut [f64]) {
    // Eigenvectors as rows.
    let mut rows = vec![0.0; n * n];
    for i in 0..n {
        rows[i * n + i] = 1.0;
    }
    for _ in 0..SWEEPS {
        let mut settled = true;
        for p in 0..n {
            for q in p + 1..n {
                let c = a[p * n + q];
                let (x, y) = (a[p * n + p], a[q * n + q]);
                if c.is_nan()
                    || c.abs() <= f64::EPSILON * 0.01 * (x.abs() * y.abs()).sqrt()
                    || c.abs() < 1e-300
                {
                    continue;
                }
                settled = false;
                let (cos, sin) = rotation(x, y, c);
                let (rp, rq) = two_rows(a, n, p, q);
                rotate(rp, rq, cos, sin);
                for i in 0..n {
                    let (x, y) = (a[i * n + p], a[i * n + q]);
                    (a[i * n + p], a[i * n + q]) = (cos * x - sin * y, sin * x + cos * y);
                }
                (a[p * n + q], a[q * n + p]) = (0.0, 0.0);
                let (rp, rq) = two_rows(&mut rows, n, p, q);
                rotate(rp, rq, cos, sin);
            }
        }
        if settled {
            break;
        }
    }
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&i, &j| a[i * n + i].total_cmp(&a[j * n + j]));
    for (to, &from) in order.iter().enumerate() {
        w[to] = a[from * n + from];
        for i in 0..n {
            v[i * n + to] = rows[from * n + i];
        }
    }
}

/// U [m, k], singular values `s` [k], descending, and Vᵀ [k, n] of `a` [m, n], k = min(m, n), by one-sided Jacobi
/// rotations.
pub fn svd(a: &[f64], m: usize, n: usize, u: &mut [f64], s: &mut [f64], vt: &mut [f64]) {
    if m < n {
        // Aᵀ = V S Uᵀ.
        let mut t = vec![0.0; m * n];
        transpose(a, m, n, &mut t);
        let (mut v, mut ut) = (vec![0.0; n * m], vec![0.0; m * m]);
        svd(&t, n, m, &mut v, s, &mut ut);
        transpose(&v, n, m, vt);
        transpose(&ut, m, m, u);
        return;
    }
    // Columns of A and of V as rows.
    let (mut c, mut v) = (vec![0.0; n * m], vec![0.0; n * n]);
    transpose(a, m, n, &mut c);
    for i in 0..n {
        v[i * n + i] = 1.0;
    }
    for _ in 0..SWEEPS {
        let mut settled = true;
        for p in 0..n {
            for q in p + 1..n {
                let (x, y) = two_rows(&mut c, m, p, q);
                let (a, b, g) = (dot(x, x), dot(y, y), dot(x, y));
                if g.is_nan() || g.abs() <= f64::EPSILON * (a * b).sqrt() || g.abs() < 1e-300 {
                    continue;
                }
                settled = false;
                let (cos, sin) = rotation(a, b, g);
                rotate(x, y, cos, sin);
                let (x, y) = two_rows(&mut v, n, p, q);
                rotate(x, y, cos, sin);
            }
        }
        if settled {
            break;
        }
    }
    let norms: Vec<f64> = c.chunks_exact(m.max(1)).map(|x| dot(x, x).sqrt()).collect();
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&i, &j| norms[j].total_cmp(&norms[i]));
    let least = norms.iter().copied().fold(0.0, f64::max) * f64::EPSILON * 1e-3;
    let mut columns: Vec<Vec<f64>> = Vec::with_capacity(n);
    for (to, &from) in order.iter().enumerate() {
        s[to] = norms[from];
        vt[to * n..(to + 1) * n].copy_from_slice(&v[from * n..(from + 1) * n]);
        columns.push(if norms[from] > least || norms[from].is_nan() {
            c[from * m..(from + 1) * m].iter().map(|x| x / norms[from]).collect()
        } else {
            orthogonal_to(&columns, m)
        });
    }
    for (j, column) in columns.iter().enumerate() {
        for i in 0..m {
            u[i * n + j] = column[i];
        }
    }
}

/// A unit vector orthogonal to the given ones: the unit vector of the axis they reach least, freed of them twice.
fn orthogonal_to(columns: &[Vec<f64>], m: usize) -> Vec<f64> {
    let reach = |i: usize| columns.iter().map(|c| c[i] * c[i]).sum::<f64>();
    let axis = (0..m).min_by(|&i, &j| reach(i).total_cmp(&reach(j))).unwrap_or(0);
    let mut x = vec![0.0; m];
    x[axis] = 1.0;
    for _ in 0..2 {
        for c in columns {
            axpy(-dot(c, &x), c, &mut x);
        }
        let norm = dot(&x, &x).sqrt();
        x.iter_mut().for_each(|v| *v /= norm);
    }
    x
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(n: usize, seed: usize) -> Vec<f64> {
        let mut state = seed as u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 11) as f64 / (1u64 << 52) as f64 - 1.0
        };
        (0..n).map(|_| next()).collect()
    }

    fn product(a: &[f64], b: &[f64], m: usize, k: usize, n: usize) -> Vec<f64> {
        let mut out = vec![0.0; m * n];
        for i in 0..m {
            for l in 0..k {
                axpy(a[i * k + l], &b[l * n..(l + 1) * n], &mut out[i * n..(i + 1) * n]);
            }
        }
        out
    }

    fn transposed(a: &[f64], m: usize, n: usize) -> Vec<f64> {
        let mut out = vec![0.0; m * n];
        transpose(a, m, n, &mut out);
        out
    }

    fn close(a: &[f64], b: &[f64]) {
        assert_eq!(a.len(), b.len());
        for (a, b) in a.iter().zip(b) {
            assert!((a - b).abs() < 1e-9 * b.abs().max(1.0), "{a} is not {b}");
        }
    }

    fn identity(n: usize) -> Vec<f64> {
        (0..n * n).map(|i| if i % (n + 1) == 0 { 1.0 } else { 0.0 }).collect()
    }

    #[test]
    fn factors_multiply_back() {
        for n in [1, 2, 5, 12] {
            let a = data(n * n, n);
            let (mut f, mut pivots, mut x) = (a.clone(), vec![0; n], data(n * 3, 9));
            let b = x.clone();
            assert!(lu(&mut f, n, &mut pivots));
            lu_solve(&f, n, &pivots, &mut x, 3);
            close(&product(&a, &x, n, n, 3), &b);

            let mut spd = product(&a, &transposed(&a, n, n), n, n, n);
            (0..n).for_each(|i| spd[i * n + i] += 1.0);
            let mut l = spd.clone();
            assert!(cholesky(&mut l, n));
            close(&product(&l, &transposed(&l, n, n), n, n, n), &spd);

            let (mut w, mut v) = (vec![0.0; n], vec![0.0; n * n]);
            eigh(&mut spd.clone(), n, &mut w, &mut v);
            let scaled: Vec<f64> = v.iter().enumerate().map(|(i, v)| v * w[i % n]).collect();
            close(&product(&scaled, &transposed(&v, n, n), n, n, n), &spd);
            close(&product(&transposed(&v, n, n), &v, n, n, n), &identity(n));
            assert!(w.windows(2).all(|w| w[0] <= w[1]));
        }
        assert!(!cholesky(&mut [1.0, 2.0, 2.0, 1.0], 2));
        assert!(!lu(&mut [1.0, 2.0, 2.0, 4.0], 2, &mut [0, 0]));
    }

    #[test]
    fn orthogonal_factors() {
        for (m, n) in [(1, 1), (4, 4), (7, 3), (3, 7), (1, 5), (6, 1)] {
            let a = data(m * n, m + n);
            for k in [m.min(n), m] {
                let (mut q, mut r) = (vec![0.0; m * k], vec![0.0; k * n]);
                qr(&a, m, n, &mut q, &mut r);
                close(&product(&q, &r, m, k, n), &a);
                close(&product(&transposed(&q, m, k), &q, k, m, k), &identity(k));
            }
            let k = m.min(n);
            let (mut u, mut s, mut vt) = (vec![0.0; m * k], vec![0.0; k], vec![0.0; k * n]);
            svd(&a, m, n, &mut u, &mut s, &mut vt);
            let scaled: Vec<f64> = u.iter().enumerate().map(|(i, u)| u * s[i % k]).collect();
            close(&product(&scaled, &vt, m, k, n), &a);
            close(&product(&transposed(&u, m, k), &u, k, m, k), &identity(k));
            close(&product(&vt, &transposed(&vt, k, n), k, n, k), &identity(k));
        }
        // A matrix of rank one still has orthogonal factors.
        let (mut u, mut s, mut vt) = (vec![0.0; 6], vec![0.0; 2], vec![0.0; 4]);
        svd(&[1.0, 2.0, 2.0, 4.0, 3.0, 6.0], 3, 2, &mut u, &mut s, &mut vt);
        close(&product(&transposed(&u, 3, 2), &u, 2, 3, 2), &identity(2));
        assert!(s[1] < 1e-12);
    }
}
