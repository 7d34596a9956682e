//! Linear algebra on the last two axes: determinants, inverses, equations, factorisations.
//!
//! All of it is computed in float64 and rounded once. Gradients follow Giles, 2008, Murray, 2016, Walter and Lehmann,
//! 2010 and Townsend, 2016.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rkeras_kernels::{convert, linalg as kernel};

use crate::dtype::DType;
use crate::error::{Error, Kind, Result};
use crate::op::*;
use crate::ops::cast::cast;
use crate::ops::elementwise as ew;
use crate::ops::matmul::matmul;
use crate::ops::reshape;
use crate::shape::{Dim, Shape, Spec, agree};
use crate::tensor::{Tensor, View, ViewMut};
use crate::trace::{Value, push, push1};

/// An op on matrices; A is input 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Linalg {
    /// The determinant.
    Det,
    /// The sign of the determinant and the logarithm of its absolute value.
    SlogDet,
    /// The inverse.
    Inv,
    /// X with A X = B, B being input 1.
    Solve,
    /// X with T X = B, T being a triangle of A, B input 1.
    SolveTriangular {
        /// The lower triangle.
        lower: bool,
    },
    /// L, lower triangular, with L Lᵀ = (A + Aᵀ) / 2.
    Cholesky,
    /// Q, orthonormal columns, and R, upper triangular, with Q R = A.
    Qr {
        /// As many columns as rows in Q, instead of as few as possible.
        complete: bool,
    },
    /// Eigenvalues, ascending, and eigenvectors (columns) of (A + Aᵀ) / 2.
    Eigh,
    /// U, singular values, descending, and Vᵀ with U S Vᵀ = A, as small as possible.
    Svd,
    /// L and U in one matrix, and the row that each row was exchanged with (int32).
    LuFactor,
}

use Linalg::*;

/// Batch axes, rows, columns of a matrix or a stack of them.
fn split(who: &str, x: &Spec) -> Result<(Vec<Dim>, Dim, Dim)> {
    if !matches!(x.dtype, DType::F32 | DType::F64) {
        return Err(Error::dtype(who, "float32 or float64", x.dtype.name())
            .hint("half precision is cast to float32 around it"));
    }
    match &x.shape[..] {
        [batch @ .., m, n] => Ok((batch.to_vec(), *m, *n)),
        _ => Err(Error::value(who, "at least two axes", format!("shape {}", x.shape))),
    }
}

/// The elements as float64.
fn read(x: &View<'_>) -> Vec<f64> {
    let mut out = vec![0.0; x.len()];
    if x.dtype == DType::F64 {
        out.copy_from_slice(x.slice());
    } else {
        convert::convert(x.slice::<f32>(), &mut out);
    }
    out
}

fn write(x: &[f64], y: &mut ViewMut<'_>) {
    match y.dtype {
        DType::F64 => y.slice().copy_from_slice(x),
        DType::I32 => convert::convert(x, y.slice::<i32>()),
        _ => convert::convert(x, y.slice::<f32>()),
    }
}

/// The part of matrix `i`.
fn part(x: &[f64], i: usize, size: usize) -> &[f64] {
    &x[i * size..(i + 1) * size]
}

/// (a + aᵀ) / 2.
fn symmetric(a: &[f64], n: usize, out: &mut [f64]) {
    for i in 0..n {
        for j in 0..n {
            out[i * n + j] = 0.5 * (a[i * n + j] + a[j * n + i]);
        }
    }
}

impl Linalg {
    fn on_stack(self, x: &[View<'_>], outs: &mut [&mut [f64]], singular: &AtomicBool) {
        let shape = x[0].shape();
        let (m, n) = (shape[shape.len() - 2], shape[shape.len() - 1]);
        let count: usize = shape[..shape.len() - 2].iter().product();
        let a = read(&x[0]);
        let b = x.get(1).map(read).unwrap_or_default();
        let k = x.get(1).map_or(0, |b| b.shape()[b.shape().len() - 1]);
        let fail = |regular: bool| {
            if !regular {
                singular.store(true, Ordering::Relaxed);
            }
        };
        kernel::stack(count, outs, |i, y| {
            let a = part(&a, i, m * n);
            let factored = || {
                let (mut f, mut pivots) = (a.to_vec(), vec![0; n]);
                let regular = kernel::lu(&mut f, n, &mut pivots);
                (f, pivots, regular)
            };
            let diagonal = |f: &[f64]| (0..n).map(|i| f[i * n + i]).collect::<Vec<f64>>();
            let exchanges = |p: &[usize]| p.iter().enumerate().filter(|(i, p)| i != *p).count();
            match (self, y) {
                (Det, [det]) => {
                    let (f, pivots, _) = factored();
                    let sign = if exchanges(&pivots) % 2 == 0 { 1.0 } else { -1.0 };
                    det[0] = diagonal(&f).iter().fold(sign, |p, d| p * d);
                }
                (SlogDet, [sign, log]) => {
                    let (f, pivots, regular) = factored();
                    let negative = diagonal(&f).iter().filter(|d| **d < 0.0).count() + exchanges(&pivots);
                    sign[0] = if !regular {
                        0.0
                    } else if negative % 2 == 0 {
                        1.0
                    } else {
                        -1.0
                    };
                    log[0] = diagonal(&f).iter().map(|d| d.abs().ln()).sum();
                }
                (Inv, [y]) => {
                    let (f, pivots, regular) = factored();
                    fail(regular);
                    y.fill(0.0);
                    (0..n).for_each(|i| y[i * n + i] = 1.0);
                    kernel::lu_solve(&f, n, &pivots, y, n);
                }
                (Solve, [y]) => {
                    let (f, pivots, regular) = factored();
                    fail(regular);
                    y.copy_from_slice(part(&b, i, n * k));
                    kernel::lu_solve(&f, n, &pivots, y, k);
                }
                (SolveTriangular { lower }, [y]) => {
                    fail(diagonal(a).iter().all(|&d| d != 0.0));
                    y.copy_from_slice(part(&b, i, n * k));
                    kernel::triangular_solve(a, n, lower, false, y, k);
                }
                (Cholesky, [y]) => {
                    symmetric(a, n, y);
                    fail(kernel::cholesky(y, n));
                }
                (Qr { .. }, [q, r]) => kernel::qr(a, m, n, q, r),
                (Eigh, [w, v]) => {
                    let mut work = vec![0.0; n * n];
                    symmetric(a, n, &mut work);
                    kernel::eigh(&mut work, n, w, v);
                }
                (Svd, [u, s, vt]) => kernel::svd(a, m, n, u, s, vt),
                (LuFactor, [lu, p]) => {
                    let (f, pivots, _) = factored();
                    lu.copy_from_slice(&f);
                    p.iter_mut().zip(pivots).for_each(|(p, row)| *p = row as f64);
                }
                _ => unreachable!("infer fixed the number of outputs"),
            }
        });
    }
}

impl Op for Linalg {
    fn name(&self) -> &'static str {
        match self {
            Det => "det",
            SlogDet => "slogdet",
            Inv => "inv",
            Solve => "solve",
            SolveTriangular { .. } => "solve_triangular",
            Cholesky => "cholesky",
            Qr { .. } => "qr",
            Eigh => "eigh",
            Svd => "svd",
            LuFactor => "lu_factor",
        }
    }

    fn attrs(&self) -> Attrs {
        Attrs(match self {
            SolveTriangular { lower } => vec![("lower", Attr::Bool(*lower))],
            Qr { complete } => {
                vec![("mode", Attr::Str(if *complete { "complete" } else { "reduced" }.into()))]
            }
            _ => vec![],
        })
    }

    fn infer(&self, x: &[Spec]) -> Result<Outputs<Spec>> {
        let who = self.name();
        let two = matches!(self, Solve | SolveTriangular { .. });
        if x.len() != 1 + usize::from(two) {
            return Err(Error::value(who, format!("{} inputs", 1 + usize::from(two)), x.len().to_string()));
        }
        let (batch, m, n) = split(who, &x[0])?;
        if !matches!(self, Qr { .. } | Svd) && !agree(m, n) {
            return Err(Error::value(who, "square matrices", format!("shape {}", x[0].shape)));
        }
        let spec = |tail: &[Dim]| Spec::new(Shape::new(batch.iter().chain(tail).copied()), x[0].dtype);
        let n_any = m.or(n);
        let least = m.zip(n).map(|(m, n)| m.min(n));
        Ok(Outputs::from_vec(match self {
            Det => vec![spec(&[])],
            SlogDet => vec![spec(&[]), spec(&[])],
            Inv | Cholesky => vec![spec(&[n_any, n_any])],
            Solve | SolveTriangular { .. } => {
                let (other, rows, k) = split(who, &x[1])?;
                let fits = other.len() == batch.len()
                    && other.iter().zip(&batch).all(|(&a, &b)| agree(a, b))
                    && agree(rows, n_any);
                if !fits {
                    return Err(Error::value(
                        who,
                        format!("a right-hand side of shape {}", spec(&[n_any, None]).shape),
                        format!("{}", x[1].shape),
                    )
                    .hint("add an axis of size one to vectors, and broadcast the batch axes"));
                }
                let batch = batch.iter().zip(&other).map(|(a, b)| a.or(*b));
                vec![Spec::new(Shape::new(batch.chain([n_any.or(rows), k])), x[0].dtype)]
            }
            Qr { complete } => {
                let k = if *complete { m } else { least };
                vec![spec(&[m, k]), spec(&[k, n])]
            }
            Eigh => vec![spec(&[n_any]), spec(&[n_any, n_any])],
            Svd => vec![spec(&[m, least]), spec(&[least]), spec(&[least, n])],
            LuFactor => {
                let pivots = spec(&[n_any]);
                vec![spec(&[n_any, n_any]), Spec::new(pivots.shape, DType::I32)]
            }
        }))
    }

    fn eval(&self, x: &[View<'_>], y: &mut [ViewMut<'_>], faults: &Faults) {
        let mut outs: Vec<Vec<f64>> = y.iter().map(|y| vec![0.0; y.len()]).collect();
        let singular = AtomicBool::new(false);
        {
            let mut parts: Vec<&mut [f64]> = outs.iter_mut().map(Vec::as_mut_slice).collect();
            self.on_stack(x, &mut parts, &singular);
        }
        for (from, to) in outs.iter().zip(y) {
            write(from, to);
        }
        if singular.into_inner() {
            faults.set(Fault::Singular);
        }
    }

    fn grad(&self) -> Grad {
        match self {
            LuFactor => {
                Grad::Missing("pivoting is not differentiated; det, inv and solve have rules of their own")
            }
            Qr { complete: true } => {
                Grad::Missing("only the factors of mode='reduced' are determined by the matrix")
            }
            _ => Grad::Rule,
        }
    }

    fn vjp(&self, cx: &Vjp<'_>) -> Result<Vec<Option<Value>>> {
        let a = &cx.x[0];
        Ok(match self {
            Det => {
                let weight = one_by_one(&ew::multiply(&cx.dy(0)?, &cx.y[0])?)?;
                vec![Some(ew::multiply(&weight, &swapped(&push1(Inv, std::slice::from_ref(a))?)?)?)]
            }
            SlogDet => match &cx.dy[1] {
                None => vec![None],
                Some(dy) => {
                    let inverse = push1(Inv, std::slice::from_ref(a))?;
                    vec![Some(ew::multiply(&one_by_one(dy)?, &swapped(&inverse)?)?)]
                }
            },
            Inv => {
                let y = &cx.y[0];
                vec![Some(ew::negative(&matmul(&matmul(y, &cx.dy(0)?, true, false)?, y, false, true)?)?)]
            }
            Solve => {
                let db = push1(Solve, &[swapped(a)?, cx.dy(0)?])?;
                vec![Some(ew::negative(&matmul(&db, &cx.y[0], false, true)?)?), Some(db)]
            }
            SolveTriangular { lower } => {
                let db = push1(SolveTriangular { lower: !lower }, &[swapped(a)?, cx.dy(0)?])?;
                let da = ew::negative(&matmul(&db, &cx.y[0], false, true)?)?;
                vec![Some(masked(&da, |i, j| if *lower { i >= j } else { i <= j })?), Some(db)]
            }
            Cholesky => vec![Some(cholesky_vjp(&cx.y[0], &cx.dy(0)?)?)],
            Qr { .. } => {
                let (m, n) = (a.shape()[a.rank() - 2], a.shape()[a.rank() - 1]);
                if m.zip(n).is_none_or(|(m, n)| m < n) {
                    return Err(Error::new(
                        Kind::Unsupported,
                        "qr",
                        "a matrix with at least as many rows as columns, for its gradient",
                        format!("shape {}", a.shape()),
                    ));
                }
                vec![Some(qr_vjp(&cx.y[0], &cx.y[1], &cx.dy(0)?, &cx.dy(1)?)?)]
            }
            Eigh => vec![Some(eigh_vjp(&cx.y[0], &cx.y[1], cx)?)],
            Svd => vec![Some(svd_vjp(&cx.y[0], &cx.y[1], &cx.y[2], cx)?)],
            LuFactor => {
                return Err(Error::internal("lu_factor", "vjp asked of an op without a gradient rule"));
            }
        })
    }

    fn traits(&self) -> Traits {
        Traits { promotes: true, floats: true, ..Traits::default() }
    }
}

/// The matrices transposed.
fn swapped(x: &Value) -> Result<Value> {
    let mut axes: Vec<i64> = (0..x.rank() as i64).collect();
    let n = axes.len();
    axes.swap(n - 2, n - 1);
    reshape::transpose(x, &axes)
}

fn shape_with(x: &Value, tail: impl FnOnce(&mut Vec<i64>)) -> Result<Value> {
    let mut shape: Vec<i64> = x.shape().iter().map(|d| d.map_or(-1, |d| d as i64)).collect();
    tail(&mut shape);
    reshape::reshape(x, &shape)
}

/// Numbers as matrices of one element.
fn one_by_one(x: &Value) -> Result<Value> {
    shape_with(x, |shape| shape.extend([1, 1]))
}

/// Vectors as matrices of one row.
fn row(x: &Value) -> Result<Value> {
    shape_with(x, |shape| shape.insert(shape.len() - 1, 1))
}

/// Vectors as matrices of one column.
fn column(x: &Value) -> Result<Value> {
    shape_with(x, |shape| shape.push(1))
}

/// A matrix of ones where `keep(row, column)`, as big as those of `like`.
fn mask(like: &Value, keep: impl Fn(usize, usize) -> bool) -> Result<Value> {
    let shape = like.shape();
    let (Some(m), Some(n)) = (shape[shape.rank() - 2], shape[shape.rank() - 1]) else {
        return Err(Error::internal("linalg", "unknown size in a gradient"));
    };
    let ones: Vec<f64> = (0..m * n).map(|i| f64::from(u8::from(keep(i / n, i % n)))).collect();
    cast(&Value::Tensor(Tensor::from_slice(&[m, n], &ones)?), like.dtype())
}

fn masked(x: &Value, keep: impl Fn(usize, usize) -> bool) -> Result<Value> {
    ew::multiply(x, &mask(x, keep)?)
}

/// (x + xᵀ) / 2.
fn mean_with_transpose(x: &Value) -> Result<Value> {
    ew::scale(&ew::add(x, &swapped(x)?)?, 0.5)
}

/// L⁻ᵀ Φ(Lᵀ dL) L⁻¹, Φ taking the lower triangle with half the diagonal.
fn cholesky_vjp(l: &Value, dl: &Value) -> Result<Value> {
    let p = matmul(l, &masked(dl, |i, j| i >= j)?, true, false)?;
    let half = ew::scale(&ew::add(&mask(&p, |i, j| i >= j)?, &mask(&p, |i, j| i > j)?)?, 0.5)?;
    let p = ew::multiply(&p, &half)?;
    let left = |x: &Value| push1(SolveTriangular { lower: false }, &[swapped(l)?, x.clone()]);
    mean_with_transpose(&left(&swapped(&left(&p)?)?)?)
}

/// (dQ + Q M') R⁻ᵀ, M' the lower triangle of M = R dRᵀ - dQᵀ Q made symmetric.
fn qr_vjp(q: &Value, r: &Value, dq: &Value, dr: &Value) -> Result<Value> {
    let dr = masked(dr, |i, j| i <= j)?;
    let m = ew::subtract(&matmul(r, &dr, false, true)?, &matmul(dq, q, true, false)?)?;
    let both = ew::add(&masked(&m, |i, j| i >= j)?, &swapped(&masked(&m, |i, j| i > j)?)?)?;
    let total = ew::add(dq, &matmul(q, &both, false, false)?)?;
    swapped(&push1(SolveTriangular { lower: false }, &[r.clone(), swapped(&total)?])?)
}

/// 1 / (w_j - w_i), zero on the diagonal.
fn inverse_gaps(w: &Value) -> Result<Value> {
    let gaps = ew::subtract(&row(w)?, &column(w)?)?;
    ew::divide(&mask(&gaps, |i, j| i != j)?, &ew::add(&gaps, &mask(&gaps, |i, j| i == j)?)?)
}

/// V (diag dw + F ∘ Vᵀ dV) Vᵀ.
fn eigh_vjp(w: &Value, v: &Value, cx: &Vjp<'_>) -> Result<Value> {
    let mut inner = ew::multiply(&row(&cx.dy(0)?)?, &mask(v, |i, j| i == j)?)?;
    if let Some(dv) = &cx.dy[1] {
        inner = ew::add(&inner, &ew::multiply(&inverse_gaps(w)?, &matmul(v, dv, true, false)?)?)?;
    }
    mean_with_transpose(&matmul(&matmul(v, &inner, false, false)?, v, false, true)?)
}

/// U (F ∘ (Uᵀ dU - dUᵀ U) S + diag ds + S F ∘ (Vᵀ dV - dVᵀ V)) Vᵀ and the parts of dU and dV outside of U and V.
fn svd_vjp(u: &Value, s: &Value, vt: &Value, cx: &Vjp<'_>) -> Result<Value> {
    if cx.dy[0].is_none() && cx.dy[2].is_none() {
        return matmul(&ew::multiply(u, &row(&cx.dy(1)?)?)?, vt, false, false);
    }
    let (du, ds, dvt) = (&cx.dy(0)?, &cx.dy(1)?, &cx.dy(2)?);
    let gaps = inverse_gaps(&ew::square(s)?)?;
    let skew = |x: &Value| ew::multiply(&gaps, &ew::subtract(x, &swapped(x)?)?);
    let (udu, dvv) = (matmul(u, du, true, false)?, matmul(dvt, vt, false, true)?);
    let from_u = ew::multiply(&skew(&udu)?, &row(s)?)?;
    let from_v = ew::multiply(&column(s)?, &skew(&swapped(&dvv)?)?)?;
    let diagonal = ew::multiply(&row(ds)?, &mask(&gaps, |i, j| i == j)?)?;
    let inner = ew::add(&ew::add(&from_u, &from_v)?, &diagonal)?;
    let inverse = ew::reciprocal(s)?;
    let beside_u = ew::multiply(&ew::subtract(du, &matmul(u, &udu, false, false)?)?, &row(&inverse)?)?;
    let beside_v = ew::multiply(&column(&inverse)?, &ew::subtract(dvt, &matmul(&dvv, vt, false, false)?)?)?;
    let left = ew::add(&matmul(u, &inner, false, false)?, &beside_u)?;
    ew::add(&matmul(&left, vt, false, false)?, &matmul(u, &beside_v, false, false)?)
}

/// Calls an op of this family.
pub fn apply(op: Linalg, x: &[Value]) -> Result<Outputs<Value>> {
    let op: Arc<dyn Op> = Arc::new(op);
    push(&op, x)
}

/// Matrices for samples, far from singular; symmetric ones are positive definite.
fn regular(batch: &[usize], n: usize, is_symmetric: bool) -> Draw {
    let count: usize = batch.iter().product();
    let element = |m: usize, i: usize, j: usize| {
        let (i, j) = if is_symmetric { (i.min(j), i.max(j)) } else { (i, j) };
        let near = (((m * 31 + i * 17 + j * 29 + 5) % 23) as f64 / 23.0 - 0.5) * 1.5;
        if i == j { near + 2.5 + 0.8 * i as f64 } else { near }
    };
    let data: Vec<f64> = (0..count * n * n).map(|k| element(k / (n * n), k / n % n, k % n)).collect();
    let shape: Vec<usize> = batch.iter().copied().chain([n, n]).collect();
    Draw::Fixed(Tensor::from_slice(&shape, &data).expect("as many elements as the shape has"))
}

/// The ops of this file.
pub fn ops() -> Vec<OpDef> {
    macro_rules! def {
        ($op:ident, $name:literal, $symmetric:literal) => {
            OpDef {
                name: $name,
                make: |_| Ok(Arc::new($op)),
                samples: || {
                    vec![
                        Sample::new($op, vec![regular(&[], 4, $symmetric)]),
                        Sample::new($op, vec![regular(&[3], 3, $symmetric)]),
                        Sample::new($op, vec![regular(&[2, 2], 1, $symmetric)]),
                    ]
                },
            }
        };
    }
    vec![
        def!(Det, "det", false),
        def!(SlogDet, "slogdet", false),
        def!(Inv, "inv", false),
        def!(Cholesky, "cholesky", true),
        def!(Eigh, "eigh", true),
        def!(LuFactor, "lu_factor", false),
        OpDef {
            name: "solve",
            make: |_| Ok(Arc::new(Solve)),
            samples: || {
                let b = |shape: &[usize]| Draw::Float64(shape.to_vec(), -1.0, 1.0);
                vec![
                    Sample::new(Solve, vec![regular(&[], 4, false), b(&[4, 3])]),
                    Sample::new(Solve, vec![regular(&[2], 3, false), b(&[2, 3, 1])]),
                ]
            },
        },
        OpDef {
            name: "solve_triangular",
            make: |a| Ok(Arc::new(SolveTriangular { lower: a.opt_bool("lower")?.unwrap_or(false) })),
            samples: || {
                let b = |shape: &[usize]| Draw::Float64(shape.to_vec(), -1.0, 1.0);
                let op = |lower| SolveTriangular { lower };
                vec![
                    Sample::new(op(true), vec![regular(&[], 4, false), b(&[4, 3])]),
                    Sample::new(op(false), vec![regular(&[2], 3, false), b(&[2, 3, 2])]),
                ]
            },
        },
        OpDef {
            name: "qr",
            make: |a| {
                let complete = match a.opt_str("mode")?.as_deref() {
                    None | Some("reduced") => false,
                    Some("complete") => true,
                    Some(other) => {
                        return Err(Error::value("qr", "mode 'reduced' or 'complete'", format!("{other:?}")));
                    }
                };
                Ok(Arc::new(Qr { complete }))
            },
            samples: || {
                let a = |shape: &[usize]| Draw::Float64(shape.to_vec(), -1.0, 1.0);
                vec![
                    Sample::new(Qr { complete: false }, vec![regular(&[], 4, false)]),
                    Sample::new(Qr { complete: false }, vec![a(&[2, 7, 3])]),
                    Sample::new(Qr { complete: true }, vec![a(&[5, 3])]),
                    Sample::new(Qr { complete: true }, vec![a(&[3, 5])]),
                ]
            },
        },
        OpDef {
            name: "svd",
            make: |_| Ok(Arc::new(Svd)),
            samples: || {
                let a = |shape: &[usize]| Draw::Float64(shape.to_vec(), -1.0, 1.0);
                vec![
                    Sample::new(Svd, vec![regular(&[], 4, false)]),
                    Sample::new(Svd, vec![a(&[2, 5, 3])]),
                    Sample::new(Svd, vec![a(&[3, 6])]),
                ]
            },
        },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn singular_and_misshapen_matrices() {
        let a: Value = Tensor::from_slice(&[2, 2], &[1f32, 2.0, 2.0, 4.0]).unwrap().into();
        let error = push1(Inv, std::slice::from_ref(&a)).unwrap_err().to_string();
        assert!(error.starts_with("inv:") && error.contains("singular"), "{error}");
        assert!(push1(Cholesky, std::slice::from_ref(&a)).is_err());
        let det = push1(Det, std::slice::from_ref(&a)).unwrap();
        assert_eq!(det.tensor().unwrap().to_f64().unwrap(), [0.0]);
        let wide: Value = Tensor::zeros(&[2, 3], DType::F32).unwrap().into();
        let error = push1(Det, std::slice::from_ref(&wide)).unwrap_err().to_string();
        assert!(error.contains("square") && error.contains("(2, 3)"), "{error}");
        assert!(push1(Solve, &[a, wide]).unwrap_err().to_string().starts_with("solve:"));
        let vector: Value = Tensor::zeros(&[2], DType::F32).unwrap().into();
        assert!(push1(Qr { complete: false }, &[vector]).is_err());
    }

    #[test]
    fn empty_stacks_and_matrices() {
        for shape in [&[0, 2, 2][..], &[2, 0, 0], &[0, 0]] {
            let a: Value = Tensor::zeros(shape, DType::F64).unwrap().into();
            for op in [Det, SlogDet, Inv, Cholesky, Qr { complete: false }, Eigh, Svd, LuFactor] {
                assert!(apply(op, std::slice::from_ref(&a)).is_ok(), "{op:?} {shape:?}");
            }
        }
    }
}
